"""Training on several coils: what the examples hold, what the targets show, and what is learnt."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

import mrsim
from harness.audits.conformance import CHECKS, Candidate
from mrsim.errors import InputError
from recon.cascade import checkpoint
from recon.cascade.coil_inputs import coil_inputs
from recon.cascade.network import CascadeConfig
from recon.cascade.reconstructor import OnlineCascade
from recon.classical.zero_filled import ViewSharing
from recon.coils.combination import combine, expand
from recon.coils.sensitivities import Autocalibration
from recon.coils.waves import maps_of
from recon.data.augmentation import Augmentation
from recon.data.coil_targets import SeenSensitivities, true_waves
from recon.data.examples import batch_of, examples_of
from recon.fourier import to_image
from recon.line_memory import LineMemory
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from tests.recon.classical.opponents import coil_maps, nmse, with_lines
from tests.recon.conftest import run, small_stream

NY, NX, COILS = 24, 20, 4
SMALL = CascadeConfig(2, 3, 8, "mean", "zero-filled+view-shared", math.inf, True, True, 2, NY, coils=COILS)


def shading() -> np.ndarray:
    """Return what all coils have in common, which no one can tell from the anatomy."""
    y, x = np.mgrid[-1 : 1 : NY * 1j, -1 : 1 : NX * 1j]
    return (1 + 0.3 * y - 0.2 * x).astype(np.float32)


def coil_stream(frames: int, seed: int, noise: float = 0.01, shade: bool = True):
    maps = coil_maps(COILS, NY, NX) * (shading() if shade else 1)
    return small_stream(frames, NY, NX, lines=8, noise=noise, seed=seed, maps=maps)


def seen_by_then(stream):
    """Yield the frame, the memory and the sensitivities at every frame's end."""
    memory, calibration = LineMemory(stream.header), Autocalibration(stream.header)
    for readout in stream:
        if memory.push(readout):
            yield readout, memory, calibration.maps(memory)


def left(inputs, image, maps):
    """Return what an image leaves of the lines that were taken at its instant, the last of each frame."""
    last = (inputs.ages == 0)[:, None, :, None]
    off = (inputs.lines - expand(image, maps)) * last
    return float(off.abs().square().sum() / (inputs.lines * last).abs().square().sum())


@pytest.fixture(scope="module")
def scan():
    return coil_stream(40, 5)


@pytest.mark.parametrize(("noise", "bound"), [(0.0, 0.0025), (0.01, 0.02)])
def test_sensitivities_are_found_where_there_is_signal(noise, bound):
    """The body moves half a row in a frame; each line is taken for the instant of its own."""
    scan = coil_stream(40, 5, noise)
    found, true = maps_of(true_waves(scan), scan.header.matrix), coil_maps(COILS, NY, NX) * shading()
    signal = np.abs(scan.truth.image).max(0)
    assert np.sqrt(np.sum(np.abs(signal * (found - true)) ** 2) / np.sum(np.abs(signal * true) ** 2)) < bound


def test_a_line_that_is_not_finite_leaves_the_sensitivities_alone(scan):
    samples = scan.samples.copy()
    samples[100, 1, 3] = np.inf
    found = maps_of(true_waves(dataclasses.replace(scan, samples=samples)), scan.header.matrix)
    assert np.isfinite(found).all()
    signal = np.abs(scan.truth.image).max(0)
    assert np.abs(signal * (found - maps_of(true_waves(scan), scan.header.matrix))).max() < 0.02


def test_tissue_that_folds_in_is_shaded_as_the_lines_say():
    """Of a body that goes on beyond the field of view, which waves of smooth sensitivities cannot follow."""
    scan = mrsim.simulate(
        "v2/patient1-day2", frames=5, acceleration=1, sampler="full", timing="retrospective",
        matrix=(64, 64), coils=4, field_t=0.5, seed=2, target_snr=math.inf,
    )  # fmt: skip
    head = slice(0, 6)
    found, memory = SeenSensitivities(scan), LineMemory(scan.header)
    for readout in scan:
        if memory.push(readout):
            found.take(memory)
    seen = to_image(memory.shared, (-2,))[:, head]
    by_waves, by_pixels = (
        float(np.sum(np.abs(seen - (maps * scan.truth.image[-1])[:, head]) ** 2))
        for maps in (maps_of(true_waves(scan), scan.header.matrix), found.found())
    )
    assert by_pixels < 0.5 * by_waves


def test_the_target_is_what_the_lines_say_of_the_truth():
    """Seen through the estimated coils the target leaves little of the lines, and the bare truth much."""
    scan = coil_stream(60, 3, noise=0.0)
    inputs, target = batch_of([examples_of(scan)], np.array([(0, f) for f in range(20, 50)]), 1.0)
    truth = torch.from_numpy(scan.truth.image[-len(examples_of(scan)) :][20:50])
    ours = left(inputs, target, inputs.maps)
    assert ours < 2e-3
    assert left(inputs, truth, inputs.maps) > 10 * ours


def test_examples_are_what_the_stream_has_shown_by_then():
    """What training sees of a frame, the cascade in the stream sees of it, bit for bit; lost lines, too."""
    scan = coil_stream(40, 5)
    scan.samples[::5, 1, 2] = np.nan
    examples = examples_of(scan)
    first = scan.frames - len(examples)
    for readout, memory, maps in seen_by_then(scan):
        at = readout.frame - first
        if at < 0:
            continue
        online = coil_inputs(memory, maps, readout.index, 2.0)
        trained, _ = batch_of([examples], np.array([[0, at]]), 2.0)
        for name in ("mask", "ages", "shared", "mean", "lines", "maps"):
            assert torch.equal(getattr(online, name), getattr(trained, name)), (name, at)
        zero_filled = combine(torch.from_numpy(memory.acquired) / 2, maps)
        assert torch.allclose(to_image(online.named("zero-filled"), (-2,))[0], zero_filled, atol=1e-5)


def test_no_example_knows_a_later_line(scan):
    """Change every line from a frame on: all frames before it are the same, bit for bit."""
    per_frame, cut = scan.header.lines_per_frame, 30
    early, late = examples_of(scan), examples_of(with_lines(scan, cut * per_frame))
    before = cut - (scan.frames - len(early))
    rows = np.array([(0, f) for f in range(len(early))])
    a, b = (batch_of([e], rows, 1.0)[0] for e in (early, late))
    for name in ("shared", "mean", "lines", "maps"):
        same = (getattr(a, name) == getattr(b, name)).flatten(1).all(1)
        assert same[:before].all(), name
    assert not torch.equal(a.lines[before], b.lines[before])


def test_lines_sensitivities_and_target_are_moved_alike():
    """Had body and coils been where the target shows them, these very lines would have been acquired."""
    scan = coil_stream(40, 3, noise=0.0, shade=False)
    inputs, target = batch_of([examples_of(scan)], np.array([(0, f) for f in range(5, 35)]), 1.0)
    moved, shown = Augmentation(2.0, 1.0, 1.0)(inputs, target, np.random.default_rng(2))
    ours = left(moved, shown, moved.maps)
    assert ours < 5e-3
    assert left(moved, target, moved.maps) > 10 * ours
    assert left(moved, shown, inputs.maps) > 1.5 * ours
    assert (moved.maps.abs().square().sum(1) < 1 + 1e-4).all()


@pytest.fixture(scope="module")
def trained():
    plan = TrainingPlan((Stage("coarse", 22, 5e-3), Stage("fine", 4, 1e-3)), columns=16, seed=3)
    return train_cascade([coil_stream(80, 5)], SMALL, plan)


def test_training_beats_view_sharing_and_the_zero_filled_combination_in_time_it_never_saw(trained):
    """Against the truth on the scale of all: times the root of the sum of squares of the sensitivities."""
    test = coil_stream(40, 77)
    errors: dict[str, list[float]] = {"cascade": [], "shared": [], "zero-filled": []}
    for readout, memory, maps in seen_by_then(test):
        if readout.frame < 10:
            continue
        inputs = coil_inputs(memory, maps, readout.index, trained.scale)
        with torch.inference_mode():
            shown = trained.cascade(inputs)[0]
        images = {
            "cascade": shown,
            "shared": to_image(inputs.shared, (-2,))[0],
            "zero-filled": combine(inputs.lines * inputs.mask[:, None, :, None], inputs.maps)[0],
        }
        truth = test.truth.image[readout.frame] * shading()
        for name, image in images.items():
            errors[name].append(nmse(image.numpy() * trained.scale, truth))
    mean = {name: np.mean(values) for name, values in errors.items()}
    squares = np.mean(
        [nmse(i.pixels, test.truth.image[i.frame] * shading()) for i in run(ViewSharing(), test)[10:]]
    )
    assert mean["cascade"] < 0.7 * min(mean["shared"], mean["zero-filled"], squares)


def test_weights_of_several_coils_keep_their_number(trained, tmp_path):
    checkpoint.save(tmp_path / "w.npz", trained)
    loaded = checkpoint.load(tmp_path / "w.npz")
    assert loaded.cascade.config == trained.cascade.config
    assert loaded.cascade.config.coils == COILS == loaded.record["header"]["coils"]
    inputs = batch_of([examples_of(coil_stream(30, 1))], np.array([[0, 5]]), trained.scale)[0]
    with torch.inference_mode():
        assert torch.equal(trained.cascade(inputs), loaded.cascade(inputs))


@pytest.mark.parametrize("columns", [None, (4, 12)])
def test_in_the_stream_it_shows_what_it_was_trained_to_show(trained, columns):
    """Image by image it is the cascade on what training would have seen of that frame; a band likewise."""
    test = coil_stream(30, 8)
    examples = examples_of(test)
    images = run(OnlineCascade(trained, columns=columns), test)
    assert len(images) == test.frames * (1 if columns is None else 2)
    for at in (0, 7, len(examples) - 1):
        inputs, _ = batch_of([examples], np.array([[0, at]]), trained.scale)
        for image in (i for i in images if i.frame == test.frames - len(examples) + at):
            seen = inputs if image.columns is None else inputs.band(slice(*image.columns))
            with torch.inference_mode():
                expected = trained.cascade(seen)[0].numpy() * np.float32(trained.scale)
            assert np.allclose(image.pixels, expected, atol=1e-5)


@pytest.fixture(scope="module")
def conforming(trained):
    return Candidate("cascade of 4 coils", lambda: OnlineCascade(trained), coil_stream(24, 9))


@pytest.mark.parametrize("check", CHECKS, ids=repr)
def test_it_conforms(check, conforming):
    """It is causal, forgets a bad line, and does what every reconstructor must."""
    check(conforming)


def test_a_stream_of_other_coils_is_refused_with_both_named(trained):
    with pytest.raises(InputError, match=r"4 coils, the stream has \(24, 20\) and 1"):
        run(OnlineCascade(trained), small_stream())


def test_other_coils_than_those_of_the_network_are_refused_with_both_named(scan, trained):
    with pytest.raises(InputError, match="coils = 1, the streams have 4"):
        train_cascade([scan], dataclasses.replace(SMALL, coils=1))
    with pytest.raises(InputError, match="coils = 4, the streams have 1"):
        train_cascade([small_stream()], trained.cascade.config, first=trained)
    with pytest.raises(InputError, match="truth"):
        train_cascade([dataclasses.replace(scan, truth=None)], SMALL)


def test_blocks_of_one_coil_start_those_of_several(scan):
    """The blocks see one combined image whatever the coils: before the first step they are the given ones."""
    alone = dataclasses.replace(SMALL, coils=1)
    plan = TrainingPlan((Stage("coarse", 1, 1e-3),), batch=8)
    given = train_cascade([small_stream(30, NY, NX)], alone, plan)
    gentle = TrainingPlan((Stage("coarse", 1, 1e-9),), batch=8)
    made = train_cascade([scan], SMALL, gentle, blocks=given)
    for (name, one), (_, other) in zip(
        given.cascade.blocks.named_parameters(), made.cascade.blocks.named_parameters(), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6), name
