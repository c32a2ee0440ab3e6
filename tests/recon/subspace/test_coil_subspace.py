"""The subspace of an anatomy under several coils: what their lines say together, and what is shown of it."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest
import torch

from harness.audits.conformance import CHECKS, Candidate
from mrsim.errors import InputError
from recon.cascade import checkpoint
from recon.cascade.network import named_config
from recon.cascade.reconstructor import OnlineCascade
from recon.coils.combination import expand
from recon.coils.waves import maps_of, unit_maps
from recon.data.examples import batch_of, examples_of
from recon.fourier import to_image
from recon.subspace.subspace import EXPLAINED_MISFIT
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from tests.recon.classical.opponents import coil_maps, nmse
from tests.recon.conftest import run, small_stream

NY, NX, COILS = 24, 20, 4
FRAME_S = 8 * 2.2e-3
CONFIG = dataclasses.replace(
    named_config("compact", NY, NX, COILS), blocks=1, convolutions=2, filters=4, components=8
)
PLAN = TrainingPlan((Stage("coarse", 2, 1e-3),), columns=16, seed=1, balanced=True)


def shaded_maps(coils: int = COILS) -> np.ndarray:
    """Return sensitivities of a sum of squares that differs over the body: a uniform coil's is 1."""
    y, x = np.mgrid[-1 : 1 : NY * 1j, -1 : 1 : NX * 1j]
    return coil_maps(coils, NY, NX) * (1 + 0.6 * y - 0.4 * x)


def scan(frames: int, seed: int, noise: float = 0.01, maps: np.ndarray | None = None):
    return small_stream(frames, NY, NX, noise=noise, seed=seed, maps=shaded_maps() if maps is None else maps)


def waves_of(trained):
    return torch.view_as_complex(trained.cascade.subspace.waves).numpy()


@pytest.fixture(scope="module")
def trained():
    return train_cascade([scan(160, 5)], CONFIG, PLAN)


def errors(images, stream):
    return [nmse(i.pixels, stream.truth.image[i.frame]) for i in images]


def test_it_knows_what_its_coils_see(trained):
    """The sensitivities are those of the scan, as far as its body reaches; the combination has unit ones."""
    found, body = maps_of(waves_of(trained), (NY, NX)), np.abs(scan(1, 1).truth.image[0]) > 0.1
    assert np.abs(found - shaded_maps())[:, body].max() < 0.05
    unit, shading = unit_maps(found)
    assert np.square(np.abs(unit)).sum(0)[body] == pytest.approx(1, abs=1e-5)
    assert np.array_equal(trained.cascade.subspace.maps.numpy(), unit)
    assert unit * shading == pytest.approx(found, abs=1e-5)


def test_what_no_coil_sees_is_left_out():
    maps = np.ones((2, 4, 6), np.complex64)
    maps[:, :, :2] = 1e-3
    unit, shading = unit_maps(maps)
    assert not unit[:, :, :2].any()
    assert not shading[:, :2].any()
    assert shading[:, 2:] == pytest.approx(2**0.5)


def test_it_shows_the_image_of_a_uniform_coil_in_a_scan_it_never_saw(trained):
    """The truth is that image; the coils' combination is shaded, and far off by that alone."""
    test = scan(40, 77)
    images = run(OnlineCascade(trained), test)
    assert np.median(errors(images, test)) < 1e-3
    shading = unit_maps(shaded_maps())[1]
    shaded = [dataclasses.replace(i, pixels=i.pixels * shading) for i in images]
    assert np.median(errors(shaded, test)) > 0.02


def test_several_coils_place_the_anatomy_better_than_one(trained):
    """Four coils of the same noise, beside one that sees as much as all of them."""
    one = train_cascade(
        [small_stream(160, NY, NX, noise=0.05, seed=5)], dataclasses.replace(CONFIG, coils=1), PLAN
    )
    test = small_stream(60, NY, NX, noise=0.05, seed=77)
    alone = np.median(errors(run(OnlineCascade(one), test)[8:], test))
    four = 2 * coil_maps(COILS, NY, NX)  # each of them sees about what the one does
    together = train_cascade([scan(160, 5, 0.05, four)], CONFIG, PLAN)
    test = scan(60, 77, 0.05, four)
    assert np.median(errors(run(OnlineCascade(together), test)[8:], test)) < 0.6 * alone


def test_rows_of_the_subspace_are_what_the_coils_see_of_its_images(trained):
    """With the transform and the sensitivities written out, for the mean and for every component."""
    subspace = trained.cascade.subspace
    mean, basis, gram = subspace.hybrid()
    maps, _ = unit_maps(maps_of(waves_of(trained), (NY, NX)))
    centred = np.arange(NY) - NY // 2
    along_y = np.exp(-2j * np.pi * np.outer(centred, centred) / NY) / np.sqrt(NY)
    for found, parts in ((mean, subspace.mean), *zip(basis, subspace.basis, strict=True)):
        image = torch.view_as_complex(parts).numpy()
        wanted = np.einsum("ky,cyx->kcx", along_y, maps * image).reshape(NY, COILS * NX)
        assert np.abs(torch.view_as_complex(found.contiguous()).numpy() - wanted).max() < 1e-5
    assert torch.allclose(gram[3, 0, 1], (basis[0, 3].double() * basis[1, 3].double()).sum())


@pytest.mark.parametrize("columns", [None, (4, 12), (0, NX)])
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "without numba"])
def test_in_the_stream_it_shows_what_it_was_trained_to_show(trained, columns, compiled, monkeypatch):
    """Where the blocks mend and where there is nothing to mend; a band likewise."""
    if not compiled:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        monkeypatch.setitem(sys.modules, "recon.subspace.tracker", None)
    test = scan(40, 8)
    test.samples[-80:] += 0.2 * scan(10, 3, maps=np.roll(shaded_maps(), 4, 1)).samples  # something new
    examples = examples_of(test, waves=waves_of(trained))
    first = test.frames - len(examples)
    images = [i for i in run(OnlineCascade(trained, columns=columns), test) if i.frame >= first]
    _, shading = unit_maps(maps_of(waves_of(trained), (NY, NX)))
    rested = []
    for image in images:
        inputs, _ = batch_of([examples], np.array([[0, image.frame - first]]), trained.scale)
        with torch.no_grad():
            inputs = trained.cascade.prepare(inputs, FRAME_S)
            rested.append(float(inputs.misfit) < EXPLAINED_MISFIT)
            seen = inputs if image.columns is None else inputs.band(slice(*image.columns))
            shown = to_image(seen.subspace, (-2,)) if rested[-1] else trained.cascade(seen)
        wanted = shown[0].numpy() * trained.scale / shading[:, slice(*(image.columns or (None,)))]
        assert np.abs(image.pixels - wanted).max() < 1e-3 * np.abs(wanted).max()
    assert len(set(rested)) == 2


def test_training_and_stream_see_the_same_lines(trained):
    """A row's newest line in every coil, whichever frame it came in, lost ones left out."""
    test = scan(40, 6)
    test.samples[::5, 1, 2] = np.nan
    examples = examples_of(test, waves=waves_of(trained))
    part = examples.part(slice(3, None))
    newest = np.zeros((COILS, NY, NX), np.complex64)
    per_frame, at = test.header.lines_per_frame, 0
    for index, (row, samples) in enumerate(zip(test.ky + NY // 2, test.samples, strict=True)):
        if np.isfinite(samples).all():
            newest[:, row] = to_image(samples, (-1,))
        if (index + 1) % per_frame == 0 and index // per_frame >= test.frames - len(examples):
            assert np.abs(examples.coils.shared(at) - newest).max() < 1e-5
            if at >= 3:
                assert np.array_equal(part.coils.shared(at - 3), examples.coils.shared(at))
            at += 1
    assert at == len(examples)


def test_the_target_is_what_the_lines_say_of_the_truth(trained):
    """Seen by known coils it leaves of the lines what a frame's motion makes, and the bare truth far more."""
    quiet = scan(60, 3, noise=0.0)
    examples = examples_of(quiet, waves=waves_of(trained))
    inputs, target = batch_of([examples], np.array([(0, f) for f in range(20, 50)]), 1.0)
    last = (inputs.ages == 0)[:, None, :, None]

    def left(image):
        off = (inputs.lines - expand(image, inputs.maps)) * last
        return float(off.abs().square().sum() / (inputs.lines * last).abs().square().sum())

    truth = torch.from_numpy(quiet.truth.image[-len(examples) :][20:50])
    assert left(target) < 1e-4
    assert left(truth) > 100 * left(target)


def test_it_survives_its_file_bit_for_bit(trained, tmp_path):
    checkpoint.save(tmp_path / "w.npz", trained)
    test = scan(30, 8)
    ours, read = (run(OnlineCascade(r), test) for r in (trained, tmp_path / "w.npz"))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(ours, read, strict=True))
    again = train_cascade([scan(160, 5)], trained.cascade.config, PLAN, first=trained)
    assert torch.equal(again.cascade.subspace.waves, trained.cascade.subspace.waves)


def test_other_coils_are_noticed(trained):
    """Coils that lie elsewhere are other anatomy to it: the lines are believed, not the subspace."""
    test = scan(40, 77, maps=np.roll(shaded_maps(), 1, 0))
    examples = examples_of(test, waves=waves_of(trained))
    inputs, _ = batch_of([examples], np.array([(0, f) for f in range(len(examples))]), trained.scale)
    with torch.no_grad():
        assert trained.cascade.prepare(inputs, FRAME_S).misfit.min() > 10


def test_scans_under_different_coils_are_not_trained_on_together(trained):
    other = scan(120, 7, maps=np.roll(shaded_maps(), 1, 0))
    with pytest.raises(InputError, match=r"sensitivities differ by 1?\d\d% from those of .*one patient's"):
        train_cascade([scan(120, 5), scan(120, 6), other], CONFIG, PLAN)
    with pytest.raises(InputError, match=r"differ by .* from those of the weights"):
        train_cascade([other], trained.cascade.config, PLAN, first=trained)
    assert train_cascade([scan(120, 5), scan(120, 6)], CONFIG, PLAN).cascade.config.coils == COILS


@pytest.mark.parametrize("check", CHECKS, ids=repr)
def test_it_conforms(check, trained):
    """It is causal, forgets a bad line, and does what every reconstructor must."""
    check(Candidate("compact of 4 coils", lambda: OnlineCascade(trained), scan(24, 9)))
