"""The six patients of nsclc-v2: what their recipe states, and that memory does not beat them.

`MRSIM_ADMIT=all` admits all six on both days, 498 images each, as `scripts/admit_v2.py` does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.hardness.other_day import hardness_of_other_day
from harness.hardness.score import hardness_of
from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import Scanner
from mrsim.scanner.channels import channels_of
from mrsim.scanner.protocol import ScanProtocol

ROOT = Path(__file__).parents[3]
NUMBERS = range(1, 7)
NAMES = [f"v2/patient{n}-day{day}" for n in NUMBERS for day in (1, 2)]


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple]:
    """Import the recipe and the admission from their folder."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import admit_v2
        import make_v2

        yield make_v2, admit_v2
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_the_files_are_what_the_recipe_makes(scripts) -> None:
    make, _ = scripts
    for patient in make.PATIENTS:
        for day in (1, 2):
            file = ROOT / "phantoms" / "v2" / f"patient{patient.number}-day{day}.toml"
            assert file.read_text("utf-8") == make.text(patient, day), file.name


@pytest.mark.parametrize("name", NAMES)
def test_everything_stays_where_it_belongs_and_the_target_is_seen(name: str, scripts) -> None:
    """For 83 s: inside its parent, out of its neighbours; the tumour clear against the lung at its field."""
    field_t = scripts[1].FIELDS_T[int(name[len("v2/patient")])]
    phantom = load_phantom(name)
    scanner = Scanner(phantom, ScanProtocol(field_t=field_t, matrix=(96, 96)), 3, 1450)
    breathing = scanner.oracle.scene.anatomy.drives["breathing"]  # type: ignore[attr-defined]
    t_ns = np.arange(0, 20 * 10**9, 10**8)
    value = breathing.at(t_ns)
    side = "left" if any(r.name == "tumour" and r.parent == "left-lung" for r in phantom.regions) else "right"
    for at in (int(t_ns[value.argmin()]), int(t_ns[value.argmax()])):
        mask = scanner.oracle.mask("tumour", at)
        image = np.abs(scanner.oracle.image(at))
        lung = scanner.oracle.mask(f"{side}-lung", at) & ~mask
        assert mask.sum() > 8
        assert image[mask].mean() > 1.5 * np.median(image[lung])
    path = scanner.oracle.centroid("tumour", t_ns)
    assert np.ptp(path[:, 1]) > 2e-3


def test_motions_are_many_and_independent() -> None:
    """Of the motions that drive fields, at least eight are independent: none is a mixture of the others."""
    anatomy = Anatomy(load_phantom("v2/patient1-day1"), 1)
    names = tuple(dict.fromkeys(f.motion for f in anatomy.phantom.fields.values()))
    values = anatomy.values_of(names, np.arange(0, 600 * 10**9, 2 * 10**8))
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    energy = np.linalg.svd(scaled, compute_uv=False) ** 2
    assert (energy / energy.sum() > 0.3 / len(names)).sum() >= 8
    assert len(names) >= 12


def test_day_two_is_the_same_body_set_up_elsewhere() -> None:
    for number in NUMBERS:
        one, two = (load_phantom(f"v2/patient{number}-day{day}") for day in (1, 2))
        tumours = [p.regions[p.index("tumour")].shape for p in (one, two)]
        assert 0.7 < tumours[1].area / tumours[0].area < 0.9
        shift = np.array(two.regions[0].shape.center) - one.regions[0].shape.center
        assert 3e-3 < np.linalg.norm(shift) < 8e-3
        places = [np.array(p.texture[0].places) for p in (one, two)]
        assert np.abs(places[1] - places[0] - (*shift, 0)).max() < 2e-4
        assert one.coil_shift_m == (0.0, 0.0) != two.coil_shift_m
        assert one.motions["breathing"] != two.motions["breathing"]
        assert one.region_names == two.region_names


def test_coils_of_day_two_are_elsewhere_and_see_the_same_bits_however_cut() -> None:
    protocol = ScanProtocol(acceleration=16, coils=4, matrix=(64, 64))
    scanners = [Scanner(load_phantom(f"v2/patient2-day{day}"), protocol, 5, 9) for day in (1, 2)]
    loops = [np.array([loop.center for loop in s.receiver.array.loops]) for s in scanners]
    assert np.allclose(loops[1] - loops[0], (6e-3, -8e-3, 0))
    whole = scanners[1].chunk(0, 9, False).samples
    cut = [scanners[1].chunk(a, 3, False).samples for a in (0, 3, 6)]
    assert np.concatenate(cut).tobytes() == whole.tobytes()


@pytest.mark.parametrize("number", [1, 3])
def test_the_snr_is_that_of_the_target_s_pixels(number: int) -> None:
    """Measured: the mean of the true image in the mask over the deviation of the noise of an image."""
    scanner = Scanner(load_phantom(f"v2/patient{number}-day1"), ScanProtocol(matrix=(96, 96)), 3, 2)
    image, mask = np.abs(scanner.oracle.image(0)), scanner.oracle.mask("tumour", 0)
    noise = scanner._noise.lines(0, 96)[:, 0]
    std = np.std([noise.real, noise.imag])  # the transform is unitary
    assert image[mask].mean() / std == pytest.approx(20, rel=0.02)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_snr_of_eight_coils_is_that_of_their_combination_in_the_target(number: int, scripts) -> None:
    """The combination of least noise, by its weights and the covariance, over the target's pixels."""
    field_t = scripts[1].FIELDS_T[number]
    phantom = load_phantom(f"v2/patient{number}-day{1 + number % 2}")
    scanner = Scanner(phantom, ScanProtocol(coils=8, field_t=field_t, matrix=(64, 64)), 3, 2)
    image, mask = np.abs(scanner.oracle.image(0)), scanner.oracle.mask("tumour", 0)
    channels = channels_of(scanner.oracle.header, scanner.provenance)
    noise = scanner.provenance.noise_std / 2**0.5 * np.sqrt(np.mean(channels.least_noise[mask] ** 2))
    assert image[mask].mean() / noise == pytest.approx(20, rel=0.02)


@pytest.mark.parametrize("number", NUMBERS)
def test_memory_does_not_beat_a_patient_of_v2(number: int, scripts) -> None:
    """A short share: 60 coarse images in 10 s. All of it is `scripts/admit_v2.py`."""
    _, admit = scripts
    first, second = (admit.images(number, day, frames=60, side=48) for day in (1, 2))
    same, other = hardness_of(first, 83 / 498), hardness_of_other_day(first, second, 83 / 498)
    assert same.memory_score > 0.5
    assert other.memory_score > 0.5
    assert same.outside > 2e-4
    assert other.outside > 1e-3


def test_memory_does_beat_a_patient_of_v1() -> None:
    """The same short share of one of the first set: its bars are not met by whatever moves."""
    easy = Scanner(load_phantom("patient1"), ScanProtocol(matrix=(48, 48)), 1, 4).oracle
    shown = np.stack([np.abs(easy.image(int(n * 83 / 498 * 1e9))) for n in range(60)])
    known = hardness_of(shown, 83 / 498)
    assert known.memory_score < 0.2
    assert known.outside < 2e-5


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("MRSIM_ADMIT") != "all", reason="MRSIM_ADMIT=all admits all patients")
@pytest.mark.parametrize("number", NUMBERS)
def test_a_patient_is_as_hard_as_real_cines(number: int, scripts) -> None:
    _, admit = scripts
    first, second = admit.images(number, 1), admit.images(number, 2)
    other = hardness_of_other_day(first, second, 83 / 498)
    assert admit.faults(hardness_of(first, 83 / 498), other.memory_score, other.outside) == []
