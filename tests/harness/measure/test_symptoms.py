"""Images that are wrong in a simple way are named; poor, symmetric and empty ones are not."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.candidates.registry import builder
from harness.measure.symptoms import MOST, symptom
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService
from harness.testing.kit import phantom_stream
from mrsim.errors import InputError
from mrsim.stream import Stream
from recon.convention import ORIENTATIONS, Convention, split_convention

Images = NDArray[np.complex64]
SIDE = 64
YX = (-2, -1)


def shown_by(candidate: str, scan: Stream) -> Images:
    run = replay(scan, builder(candidate)(), VirtualClock(), ConstantService(0))
    assert run.images.pixels is not None
    return run.images.pixels


def to_kspace(images: Images) -> Images:
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, YX), norm="ortho"), YX)


def transformed(
    change: Callable[[Images], Images] = lambda k: k,
    norm: str = "ortho",
    shift: bool = True,
    way: str = "ifft2",
) -> Callable[[Images], Images]:
    """Return images as a stranger's transform of the same k-space gives them."""

    def make(images: Images) -> Images:
        found = getattr(np.fft, way)(np.fft.ifftshift(change(to_kspace(images)), YX), norm=norm)
        return np.fft.fftshift(found, YX) if shift else found

    return make


@pytest.fixture(scope="module")
def truth() -> Images:
    """Another anatomy than a symmetric one: the patient's heart and spine are on one side."""
    scan = phantom_stream(24, "nsclc/patient1", (SIDE, SIDE), 4.0)
    assert scan.truth is not None
    return scan.truth.image


MISTAKES: dict[str, tuple[Callable[[Images], Images], str]] = {
    "no norm": (transformed(norm="backward"), "64 times too small (the root of the number of pixels"),
    "norm forward": (transformed(norm="forward"), "64 times too large (the root of the number of pixels"),
    "norm twice": (lambda m: m / SIDE**2, "4096 times too small (the number of pixels"),
    "any scale": (lambda m: 300 * m, "30"),
    "no fftshift": (transformed(shift=False), "shifted by half the matrix in y and x (fftshift is missing"),
    "no fftshift along y": (lambda m: np.fft.fftshift(m, -2), "shifted by half the matrix in y (fftshift"),
    "no fftshift along x": (lambda m: np.fft.fftshift(m, -1), "shifted by half the matrix in x (fftshift"),
    "conjugated": (transformed(np.conj), "reflected through the centre (k-space is conjugated"),
    "the wrong way": (transformed(way="fft2"), "reflected through the centre (k-space is conjugated"),
    "ky has the wrong sign": (
        transformed(lambda k: np.roll(k[:, ::-1], 1, 1)),
        "mirrored in y (ky has the wrong",
    ),
    "kx has the wrong sign": (
        transformed(lambda k: np.roll(k[..., ::-1], 1, 2)),
        "mirrored in x (kx has the wrong",
    ),
    "transposed": (lambda m: m.swapaxes(1, 2), "transposed (y and x exchanged)"),
    "turned": (lambda m: np.rot90(m, 1, YX), "turned by 90 degrees"),
    "turned back": (lambda m: np.rot90(m, -1, YX), "turned by -90 degrees"),
    "rows reversed": (lambda m: m[:, ::-1], "upside down (rows reversed)"),
    "columns reversed": (lambda m: m[..., ::-1], "left to right (columns reversed)"),
    "both reversed": (lambda m: m[:, ::-1, ::-1], "turned by 180 degrees"),
    "two at once": (lambda m: m.swapaxes(1, 2) / 64, "transposed (y and x exchanged) and 64 times too small"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("candidate", ["truth", "view-sharing"])
def test_a_mistake_is_named(mistake: str, candidate: str, truth: Images) -> None:
    scan = phantom_stream(24, "nsclc/patient1", (SIDE, SIDE), 4.0)
    images = truth if candidate == "truth" else shown_by(candidate, scan)[8:]
    make, told = MISTAKES[mistake]
    said = symptom(make(images), truth[-len(images) :])
    assert said is not None
    assert said.startswith(f"images are {told}"), said
    assert "does not tell which" not in said
    before, after = (float(n) for n in re.findall(r"from (\S+) to (\S+) when", said)[0])
    assert after < 0.05 < before


def remedy(said: str | None) -> Convention:
    """Return what a sentence says is to be done, as the bench reads it."""
    assert said is not None
    (options,) = re.findall(r"\(CANDIDATE\?(\S+)\)$", said)
    return split_convention(f"mine?{options}")[1]


@pytest.mark.parametrize("orient", ORIENTATIONS)
@pytest.mark.parametrize("habit", ["", "rolled", "conjugated"])
def test_what_is_only_a_convention_is_named_with_what_sets_it_right(
    orient: str, habit: str, truth: Images
) -> None:
    """Eight orientations, rolled by a pixel or conjugated, inverted and scaled or not."""
    changed = {
        "": lambda m: m,
        "rolled": lambda m: np.roll(m, (1, -1), YX),
        "conjugated": transformed(np.conj),
    }[habit](truth)
    turned = Convention(orient=orient).apply(changed)
    wrong = {
        (False, False): turned,
        (False, True): 37 * turned,
        (True, False): np.abs(turned).max() - np.abs(turned),
        (True, True): np.rint(4095 * (1 - np.abs(turned) / np.abs(turned).max())),
    }
    if habit == "rolled":
        wrong |= {(False, False): np.roll(turned, (-5, 2), YX)}
    for (negative, scaled), images in wrong.items():
        said = symptom(images.astype(np.complex64), truth)
        if not (negative or scaled or habit or orient != "as-is"):
            assert said is None
            continue
        found = remedy(said)
        assert (found.negative, found.fit) == (negative, scaled), said
        right, true = np.abs(found.apply(images)), np.abs(truth)
        gain = np.vdot(right, true) / np.vdot(right, right) if scaled else 1.0
        assert np.square(gain * right - true).sum() < 1e-3 * np.square(true).sum(), said


def test_the_sentence_has_all_that_is_to_be_stated(truth: Images) -> None:
    """What was stated before is in it: to state what it says sets the images right, whatever was stated."""
    shown = Convention(orient="rot90", roll=(1, 0)).apply(truth)
    for stated in (Convention(), Convention(orient="rot90"), Convention(orient="transpose", roll=(0, 3))):
        found = remedy(symptom(stated.apply(shown), truth, stated))
        np.testing.assert_array_equal(np.abs(found.apply(shown)), np.abs(truth))


def test_what_was_stated_wrongly_is_to_be_left_out(truth: Images) -> None:
    """Upright images that were turned by a stated convention are set right by stating nothing."""
    stated = Convention(orient="rot180")
    said = symptom(stated.apply(truth), truth, stated)
    assert said is not None
    assert "CANDIDATE without these options" in said
    assert "CANDIDATE?" not in said


def test_a_combination_that_was_stated_stays_in_the_sentence(truth: Images) -> None:
    said = symptom(Convention(orient="flipud").apply(truth), truth, Convention(combine="uniform"))
    assert said is not None
    assert "orient=flipud&combine=uniform" in said


@pytest.mark.parametrize("size", [(45, 63), (45, 64), (64, 45)])
def test_a_shift_once_too_often_is_undone_in_odd_sizes(size: tuple[int, int]) -> None:
    scan = phantom_stream(8, "nsclc/patient1", size, 4.0)
    assert scan.truth is not None
    true = scan.truth.image
    for shift in (np.fft.fftshift, np.fft.ifftshift):
        shown = shift(true, YX)
        np.testing.assert_array_equal(remedy(symptom(shown, true)).apply(shown), true)


def test_nothing_is_named_in_200_poor_reconstructions_that_stand_upright() -> None:
    """Late, undersampled, blurred and noisy images, at random."""
    scans = [phantom_stream(24, name, (SIDE, SIDE), 4.0) for name in ("quasar", "nsclc/patient1")]
    truths = [scan.truth.image for scan in scans if scan.truth is not None]
    for seed in range(200):
        rng = np.random.default_rng(seed)
        true = truths[seed % 2]
        late = int(rng.integers(0, 8))
        kspace = to_kspace(true[: len(true) - late])
        kept = rng.random(SIDE) < rng.uniform(0.1, 1)
        kept[SIDE // 2 - 2 : SIDE // 2 + 3] = True
        blur = np.exp(-((np.arange(SIDE) - SIDE // 2) ** 2) / rng.uniform(5, 60) ** 2)
        kspace = kspace * kept[:, None] * (blur[:, None] if rng.random() < 0.5 else 1)
        kspace = kspace + rng.uniform(0, 0.3) * np.abs(true).max() * (
            rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape)
        )
        images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, YX), norm="ortho"), YX)
        said = symptom(images.astype(np.complex64), true[late:])
        assert said is None, (seed, said)


@pytest.mark.parametrize("candidate", ["zero-filled", "view-sharing", "keyhole", "sliding-window:2", "null"])
@pytest.mark.parametrize("acceleration", [2.0, 4.0, 10.0])
@pytest.mark.parametrize("phantom", ["quasar", "nsclc/patient1", "nsclc/patient4"])
def test_poor_images_are_not_taken_for_wrong_ones(candidate: str, acceleration: float, phantom: str) -> None:
    scan = phantom_stream(24, phantom, (SIDE, SIDE), acceleration)
    assert scan.truth is not None
    images = shown_by(candidate, scan)
    assert symptom(images, scan.truth.image) is None
    assert symptom(images[:4], scan.truth.image[:4]) is None  # of rows that have not all come yet


@pytest.mark.parametrize("mistake", ["no norm", "no fftshift", "conjugated", "the wrong way", "transposed"])
@pytest.mark.parametrize("phantom", ["quasar", "nsclc/patient1"])
def test_a_first_try_is_told_through_the_noise_of_missing_lines(mistake: str, phantom: str) -> None:
    """A zero-filled image at 4x has an NMSE of 0.1 to 0.2 by itself; where names are unsure, one is right."""
    scan = phantom_stream(24, phantom, (SIDE, SIDE), 4.0)
    assert scan.truth is not None
    make, told = MISTAKES[mistake]
    said = symptom(make(shown_by("zero-filled", scan)), scan.truth.image)
    assert said is not None
    assert told.partition(" (")[0] in said


@pytest.mark.parametrize(
    "images",
    [
        lambda t, rng: np.zeros_like(t),
        lambda t, rng: np.ones_like(t),
        lambda t, rng: np.full_like(t, np.nan),
        lambda t, rng: np.full_like(t, np.inf),
        lambda t, rng: rng.normal(size=t.shape) + 1j * rng.normal(size=t.shape),
        lambda t, rng: t + np.abs(t).max() * rng.normal(size=t.shape),
        lambda t, rng: np.ones_like(t) * np.arange(SIDE),
        lambda t, rng: np.where(np.arange(SIDE) == 7, t, 0),
        lambda t, rng: np.broadcast_to(np.abs(t).mean(axis=0), t.shape),
        lambda t, rng: t,
    ],
    ids=["black", "uniform", "nan", "inf", "noise", "noisy", "ramp", "a column", "the mean", "the truth"],
)
def test_what_is_no_image_has_no_name(
    images: Callable[[Images, np.random.Generator], Images], truth: Images
) -> None:
    assert symptom(images(truth, np.random.default_rng(1)).astype(np.complex64), truth) is None


@pytest.mark.parametrize("phantom", ["quasar", "nsclc/patient1"])
@pytest.mark.parametrize("noise", [0.3, 0.5, 0.7])
def test_noise_that_brightens_is_not_called_a_scale(phantom: str, noise: float) -> None:
    scan = phantom_stream(24, phantom, (SIDE, SIDE), 4.0)
    assert scan.truth is not None
    true = np.abs(scan.truth.image)
    added = noise * true.max() * np.abs(np.random.default_rng(1).normal(size=true.shape))
    assert symptom((true + added).astype(np.complex64), scan.truth.image) is None


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_noise_does_not_decide_what_a_nearly_symmetric_scan_cannot_tell(noise: float) -> None:
    """Of a disc with a faint spot on one side, noise makes one mistake or another agree a little better."""
    true = drawn(lambda y, x: np.hypot(y, x) < 9)[:2]
    true[:, 20:26, 44:50] += 0.02
    named = set()
    for seed in range(30):
        added = noise * np.random.default_rng(seed).normal(size=(2, *true.shape))
        named.add(symptom(np.abs(true + added[0] + 1j * added[1]).astype(np.complex64), true))
    assert named == {None}


@pytest.mark.parametrize("mistake", ["transposed", "conjugated", "no fftshift along y"])
def test_images_that_are_as_much_right_as_wrong_have_no_name(mistake: str, truth: Images) -> None:
    make, _ = MISTAKES[mistake]
    wrong = np.abs(make(truth))
    for share, told in ((0.3, False), (0.6, False), (0.9, True)):
        images = (share * wrong + (1 - share) * np.abs(truth)).astype(np.complex64)
        assert (symptom(images, truth) is not None) == told, share


def test_another_anatomy_is_not_called_turned() -> None:
    scans = {
        name: phantom_stream(12, name, (SIDE, SIDE), 4.0)
        for name in ("quasar", "nsclc/patient1", "nsclc/patient2", "nsclc/patient4")
    }
    images = {name: scan.truth.image for name, scan in scans.items() if scan.truth is not None}
    for one, shown in images.items():
        for other, true in images.items():
            assert symptom(shown, true) is None, (one, other)


Shape = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def drawn(shape: Shape, middle: float = SIDE // 2) -> Images:
    """Draw a shape, 8 times, with a dimmer body around it; its middle is the pixel of k = 0."""
    y, x = np.mgrid[:SIDE, :SIDE] - middle
    image = 0.3 * (np.hypot(y, x) < 28) + 1.0 * shape(y, x)
    return np.repeat(image[None], 8, axis=0).astype(np.complex64)


def test_of_a_symmetric_scan_nothing_is_named_that_it_does_not_show() -> None:
    disc, bar = drawn(lambda y, x: np.hypot(y, x) < 9), drawn(lambda y, x: (abs(y) < 4) & (abs(x) < 18))
    changes: tuple[Callable[[Images], Images], ...] = (
        lambda m: m.swapaxes(1, 2), lambda m: np.roll(np.flip(m, 1), 1, 1),
        lambda m: np.roll(np.flip(m, YX), (1, 1), YX),
    )  # fmt: skip
    for change in changes:
        assert symptom(change(disc), disc) is None
    for change in changes[1:]:
        assert symptom(change(bar), bar) is None
    bar = drawn(lambda y, x: (abs(y) < 4) & (abs(x) < 18), (SIDE - 1) / 2)  # here a transpose is a turn
    said = symptom(changes[0](bar), bar)
    assert said is not None
    assert said.startswith(
        "images are transposed (y and x exchanged) or turned by 90 degrees or turned by -90"
    )
    assert "(this scan does not tell which)" in said
    # What the scan does show is still told, and nothing with it.
    scaled = symptom(bar[:, ::-1] / 64, bar)
    assert scaled is not None
    assert scaled.startswith("images are 64 times too small")


def test_matrices_that_are_not_square_or_odd_are_looked_at_too() -> None:
    for side in ((48, 64), (45, 63)):
        scan = phantom_stream(8, "nsclc/patient1", side, 4.0)
        assert scan.truth is not None
        true = scan.truth.image
        for name in ("conjugated", "no fftshift", "ky has the wrong sign"):
            make, told = MISTAKES[name]
            if name == "ky has the wrong sign":
                make = transformed(lambda k: np.roll(k[:, ::-1], 1 - k.shape[1] % 2, 1))
            said = symptom(make(true), true)
            assert said is not None
            assert said.startswith(f"images are {told}"), (side, said)
        assert symptom(true, true) is None


def test_frames_that_never_came_are_left_out_and_so_is_what_is_too_many(truth: Images) -> None:
    images = truth.swapaxes(1, 2).copy()
    images[::2] = 0
    images[1] = np.nan
    said = symptom(images, truth)
    assert said is not None
    assert "transposed" in said
    assert symptom(images[:0], truth[:0]) is None
    many = np.repeat(truth, 4, axis=0)
    wrong = many.copy()
    looked_at = np.unique(np.linspace(0, len(many) - 1, MOST).round().astype(int))
    wrong[looked_at] = wrong[looked_at].swapaxes(1, 2)  # the others are right
    assert "transposed" in (symptom(wrong, many) or "")


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(-200, 200), st.sampled_from([(1, 1), (2, 3), (5, 4), (8, 8)]))
def test_any_images_are_looked_at_without_an_error(seed: int, power: float, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    powers = power, rng.uniform(-40, 38)
    with np.errstate(all="ignore"):
        images, true = ((rng.normal(size=(3, *size)) * 10.0**p).astype(np.complex64) for p in powers)
    assert symptom(images, true) is None or symptom(images, true)


def test_shapes_that_differ_are_refused(truth: Images) -> None:
    for wrong in (truth[:3], truth[:, :5], truth[0]):
        with pytest.raises(InputError, match="expected the same"):
            symptom(wrong, truth)
