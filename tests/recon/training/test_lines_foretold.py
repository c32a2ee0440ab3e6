"""Learning from the lines that a scan reads next: no truth is looked at, and the truth is what is learnt."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from mrsim.errors import InputError
from recon.cascade.network import CascadeConfig, named_config
from recon.cascade.reconstructor import OnlineCascade
from recon.coils.combination import combine
from recon.data.augmentation import Augmentation
from recon.data.examples import batch_of, examples_of
from recon.data.later import foretold_instant
from recon.fourier import to_image
from recon.target_instant import offset_ns
from recon.training import run as training_run
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from recon.training.wanted import foretold, squared_error
from tests.recon.conftest import run, small_stream
from tests.recon.training.test_coil_training import COILS, coil_stream
from tests.recon.training.test_resume import interrupted, same, weights

MEMORY = CascadeConfig(
    1, 2, 6, "previous", "view-shared+mean", math.inf, True, True, 2, 24, features=4, context=6
)
PLAIN = CascadeConfig(2, 2, 6, "mean", "view-shared", math.inf, True, True, 2, 24)
PLAN = TrainingPlan(
    (Stage("coarse", 2, 5e-3), Stage("fine", 1, 1e-3)), batch=2, columns=16, seed=3, learn_from="lines"
)


def scan_of(coils: int, frames: int = 30, seed: int = 5, noise: float = 0.01):
    return coil_stream(frames, seed, noise) if coils > 1 else small_stream(frames, noise=noise, seed=seed)


def without_truth(stream):
    return dataclasses.replace(stream, truth=None)


@pytest.mark.parametrize("coils", [1, COILS])
def test_what_is_wanted_are_the_lines_of_the_frame_after(coils):
    """Every row that counts is that of a readout of the next frame, in every coil, and no other counts."""
    stream = scan_of(coils)
    examples = examples_of(stream, foretell=True)
    first = stream.frames - len(examples) - 1
    per_frame = stream.header.lines_per_frame
    for at in (0, 7, len(examples) - 1):
        inputs, _ = batch_of([examples], np.array([[0, at]]), 2.0)
        wanted = foretold([examples], np.array([[0, at]]), 2.0, inputs.maps)
        expected = {}
        for line in range((first + at + 1) * per_frame, (first + at + 2) * per_frame):
            readout = stream.readout(line)
            rows = torch.from_numpy(np.ascontiguousarray(readout.samples))
            expected[readout.ky + 12] = to_image(rows, (-1,)) / 2
        counted = set(np.flatnonzero(wanted.weights[0].numpy()).tolist())
        assert counted == set(expected)
        for row, value in expected.items():
            assert torch.allclose(wanted.lines[0, :, row], value, atol=1e-5)


@pytest.mark.parametrize("coils", [1, COILS])
def test_over_many_frames_the_error_is_that_of_the_whole_image_and_the_noise(coils):
    """Rows are read unequally often; of a wrong image the error exceeds the true one's by its own."""
    frames = 300
    still = dataclasses.replace(scan_of(coils, frames, noise=0.0))
    image = still.truth.image[0]
    samples = np.empty_like(still.samples)
    maps = np.ones((1, 24, 20), np.complex64)
    rng = np.random.default_rng(3)
    if coils > 1:
        from tests.recon.classical.opponents import coil_maps
        from tests.recon.training.test_coil_training import shading

        maps = coil_maps(COILS, 24, 20) * shading()
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(maps * image, axes=(1, 2)), norm="ortho"), (1, 2))
    size = 0.02
    for line in range(len(samples)):
        noise = rng.normal(size=(2, coils, 20)) * size
        samples[line] = kspace[:, still.ky[line] + 12] + noise[0] + 1j * noise[1]
    stream = without_truth(dataclasses.replace(still, samples=samples))
    examples = examples_of(stream, foretell=True)
    rows = np.array([(0, f) for f in range(100, len(examples))])
    inputs, _ = batch_of([examples], rows, 1.0)
    wanted = foretold([examples], rows, 1.0, inputs.maps)
    true = torch.from_numpy(image)[None].expand(len(rows), -1, -1)
    if inputs.maps is not None:
        seen = torch.from_numpy(kspace.astype(np.complex64))[None]
        true = combine(to_image(seen, (-1,)).expand(len(rows), -1, -1, -1), inputs.maps)
    off = torch.randn(1, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(1)) * 0.3
    support = 1.0 if inputs.maps is None else (inputs.maps.abs().square().sum(1) > 0).float()
    wrong = true + off * support
    excess = float((wanted.error(wrong) - wanted.error(true)).mean())
    assert excess == pytest.approx(float(squared_error(wrong, true).mean()), rel=0.05)
    assert float(wanted.error(true).mean()) == pytest.approx(2 * size**2 * coils, rel=0.15)


@pytest.mark.parametrize("config", [MEMORY, PLAIN], ids=["memory", "none"])
@pytest.mark.parametrize("coils", [1, COILS])
def test_no_truth_is_looked_at(coils, config):
    stream, config = scan_of(coils), dataclasses.replace(config, coils=coils)
    blind = train_cascade([without_truth(stream)], config, PLAN)
    assert same(weights(train_cascade([stream], config, PLAN)), weights(blind))
    assert blind.record["learnt_from"] == "lines"


def test_lines_of_a_later_frame_change_what_is_learnt():
    """The last frame is foretold alone: that it was read at all is seen in the weights."""
    stream = scan_of(1)
    samples = stream.samples.copy()
    samples[-stream.header.lines_per_frame :] *= 1.5
    other = dataclasses.replace(stream, samples=samples)
    plan = dataclasses.replace(PLAN, validation=0.01)
    assert not same(
        weights(train_cascade([stream], PLAIN, plan)), weights(train_cascade([other], PLAIN, plan))
    )


@pytest.mark.parametrize("coils", [1, COILS])
def test_it_learns_the_image_that_nobody_showed_it(coils):
    """In a scan that it never saw its error against the truth of its instant is far below view sharing's."""
    stages = (Stage("coarse", 10, 5e-3), Stage("fine", 3, 1e-3))
    plan = dataclasses.replace(PLAN, stages=stages, batch=4, columns=20)
    config = dataclasses.replace(MEMORY, coils=coils)
    made = train_cascade([without_truth(scan_of(coils, 90, seed)) for seed in (5, 6)], config, plan)
    test = scan_of(coils, 60, 8)
    ahead = offset_ns(made.record["target_instant"], test.header)
    known = examples_of(test)
    first = test.frames - len(known)
    shown = {image.frame: image for image in run(OnlineCascade(made), test)}
    ours, shared, power = 0.0, 0.0, 0.0
    views = to_image(torch.from_numpy(known.shared), (-2,)).numpy()
    for at in range(10, len(known) - 1):
        # The truth of the instant, between those of two frames' ends.
        part = ahead / test.header.frame_ns
        target = (1 - part) * known.target[at] + part * known.target[at + 1]
        image = shown[first + at]
        assert image.shows_ns == test.header.echo_ns(image.last_line) + ahead
        ours += float(np.sum(np.abs(image.pixels - target) ** 2))
        shared += float(np.sum(np.abs(views[at] - target) ** 2))
        power += float(np.sum(np.abs(target) ** 2))
    assert ours < 0.7 * shared


def test_its_instant_is_the_mean_of_the_next_frames_echoes():
    header = small_stream().header
    ahead = offset_ns(foretold_instant(header), header)
    last = header.echo_ns(header.lines_per_frame - 1)
    echoes = [header.echo_ns(line) for line in range(header.lines_per_frame, 2 * header.lines_per_frame)]
    assert last + ahead == np.mean(echoes)
    assert train_cascade([small_stream()], PLAIN, PLAN).record["target_instant"] == "last+9.9"


def test_killed_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "SAVE_EVERY_S", 0.0)
    scans, state = [scan_of(1)], tmp_path / "w.training"
    straight = train_cascade(scans, MEMORY, PLAN)
    interrupted(scans, state, 4, PLAN, MEMORY)
    assert same(weights(train_cascade(scans, MEMORY, PLAN, state=state)), weights(straight))


@pytest.mark.parametrize(
    ("changes", "config", "said"),
    [
        ({"target_instant": "centre"}, PLAIN, "--target-instant"),
        ({"augmentation": Augmentation()}, PLAIN, "--augment"),
        ({"undersample": 4.0, "target_instant": "centre"}, PLAIN, "goes without"),
        ({"learn_from": "hope"}, PLAIN, "expected truth or lines"),
        ({}, named_config("compact", 24, 20), "a subspace is learnt from true images"),
    ],
)
def test_what_does_not_go_with_it_is_refused(changes, config, said):
    with pytest.raises(InputError, match=said):
        train_cascade([small_stream()], config, dataclasses.replace(PLAN, **changes))
