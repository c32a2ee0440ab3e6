"""The six lung patients: what they promise, and that the scanner keeps its own promises on them."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.containment import _course, check_containment
from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.anatomy.polygon import Polygon
from mrsim.errors import InputError
from mrsim.kernels.grid import Grid
from mrsim.scanner.acquisition import Scanner, scan
from mrsim.scanner.protocol import ScanProtocol
from tests.mrsim.bodies import definition, region

NAMES = [f"nsclc/patient{n}" for n in range(1, 7)]
MULTI = ScanProtocol(acceleration=8, coils=6)
STOP_NS = 650 * 128 * 2_200_000


@pytest.mark.parametrize("name", NAMES)
def test_everything_stays_inside_its_parent_for_a_whole_scan(name: str) -> None:
    for seed in (0, 1, 2):
        check_containment(Anatomy(load_phantom(name), seed), (0.4, 0.4), STOP_NS, name)


@pytest.mark.parametrize("name", NAMES)
def test_no_region_ever_enters_its_neighbour(name: str) -> None:
    phantom = load_phantom(name)
    anatomy = Anatomy(phantom, 1)
    used = tuple({f.motion for r in phantom.regions for f in r.follows} - {"static"})
    state, times = _course(anatomy, used, 0, 40 * 10**9)
    for i, a in enumerate(phantom.regions):
        points, _ = state.edge(a, None)
        for b in phantom.regions:
            if a.name == b.name or a.parent != b.parent:
                continue
            if not (a.follows or b.follows) and i % 4:
                continue
            hit = state.inside(b, points[:, ::3], None)
            assert not hit.any(), (a.name, b.name, times[int(np.argmax(hit.any(axis=1)))] * 1e-9)


def test_the_tumours_differ_as_they_say() -> None:
    sizes, ways, signals = [], [], set()
    t_ns = np.arange(0, 60 * 10**9, 10**8)
    for name in NAMES:
        phantom = load_phantom(name)
        tumour = phantom.regions[phantom.index("tumour")]
        edge = tumour.shape.boundary(180)
        sizes.append(1e3 * max(np.linalg.norm(edge - p, axis=1).max() for p in edge))
        away = Anatomy(phantom, 1).displacement(t_ns)[:, phantom.index("tumour")]
        ways.append(1e3 * np.percentile(np.abs(away[:, 1]), 95))
        signals.add(tumour.tissue)
    assert min(sizes) == pytest.approx(20, abs=1)
    assert max(sizes) == pytest.approx(60, abs=1)
    assert min(ways) < 5
    assert max(ways) > 20
    assert len(signals) > 1
    fifth = load_phantom("patient5")
    assert isinstance(fifth.regions[fifth.index("tumour")].shape, Polygon)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field_t", [0.5, 1.5, 3.0])
def test_the_tumour_is_clear_against_the_lung_at_every_field(name: str, field_t: float) -> None:
    oracle = Scanner(load_phantom(name), ScanProtocol(field_t=field_t), 1, 4).oracle
    image, mask = np.abs(oracle.image(0)), oracle.mask("tumour", 0)
    lung = oracle.mask("right-lung", 0) & ~mask
    assert mask.sum() > 20
    assert image[mask].mean() > 1.8 * np.median(image[lung])


def test_a_name_may_leave_its_folder_out() -> None:
    assert load_phantom("patient3") == load_phantom("nsclc/patient3")


def test_chunks_and_threads_change_no_bit() -> None:
    phantom, before = load_phantom("patient4"), numba.get_num_threads()
    whole = scan(phantom, MULTI, seed=5, frames=12, truth=False)
    cut = scan(phantom, MULTI, seed=5, frames=12, truth=False, chunk_frames=5)
    try:
        numba.set_num_threads(1)
        single = scan(phantom, MULTI, seed=5, frames=12, truth=False)
    finally:
        numba.set_num_threads(before)
    assert whole.samples.tobytes() == cut.samples.tobytes() == single.samples.tobytes()
    line = Scanner(phantom, MULTI, 5, 12).chunk(7, 1, False)
    assert line.samples.tobytes() == whole.samples[7 * 16 : 8 * 16].tobytes()


def test_every_coil_sees_the_object_through_its_sensitivity() -> None:
    full = ScanProtocol(acceleration=1, sampler="full", order="ascending", coils=5, target_snr=float("inf"))
    scanner = Scanner(load_phantom("patient1"), full, 1, 4)
    fitted = scanner.receiver.fitted
    assert fitted is not None
    rows = np.arange(-64, 64, dtype=np.int32)
    # Brute force at small k: the sum over a finer image of sensitivity times object.
    seen = scanner._source.lines(rows, np.zeros(128, np.int64))
    grid = Grid((256, 256), (0.4, 0.4))
    wide = Scanner(load_phantom("patient1"), ScanProtocol(matrix=(256, 256), acceleration=8), 1, 1)
    x, y = grid.pixels()
    image = wide.oracle.image(0).astype(np.complex128)
    for row, column in ((64, 64), (66, 61), (58, 70), (75, 60)):
        wave = np.exp(-2j * np.pi * ((column - 64) / 0.4 * x + (row - 64) / 0.4 * y))
        expected = (fitted.sensitivity(x, y) * image * wave).sum(axis=(1, 2)) / (256 / 128) ** 2 / 128
        assert np.abs(seen[row, :, column] - expected).max() < 2e-3 * np.abs(seen[64, :, 64]).max()


def test_noise_has_the_covariance_that_is_stated() -> None:
    scanner = Scanner(load_phantom("patient1"), MULTI, 3, 64)
    noise = scanner.receiver.coloured(scanner._noise.lines(0, 1024))
    flat = np.moveaxis(noise, 1, 0).reshape(6, -1)
    std = scanner.provenance.noise_std
    psi = flat @ flat.conj().T / flat.shape[1] / std**2
    assert np.abs(psi - scanner.receiver.psi).max() < 0.02 * np.abs(psi).max()
    # The best combination at the target's centre has the SNR of one uniform coil.
    target = scanner.oracle.phantom.regions[scanner.oracle.phantom.index("tumour")].shape.center
    assert scanner.receiver.fitted is not None
    s = scanner.receiver.fitted.sensitivity(*(np.array([v]) for v in target))[:, 0]
    assert (s.conj() @ np.linalg.solve(scanner.receiver.psi, s)).real == pytest.approx(1, rel=1e-9)


def test_the_liver_follows_the_lung_s_base_and_the_apex_rests() -> None:
    phantom = load_phantom("patient1")
    anatomy, i = Anatomy(phantom, 1), phantom.index("right-lung")
    corners = anatomy.vertices(i, np.array([0, 2_100_000_000]))
    moved = corners[1] - corners[0]
    assert np.abs(moved[:, 0]).max() == 0
    assert moved[corners[0, :, 1].argmin(), 1] == 0
    assert moved[:, 1].max() > 0.012
    oracle = Scanner(phantom, ScanProtocol(), 1, 40).oracle
    areas = [oracle.mask("right-lung", t).sum() for t in (0, 2_100_000_000)]
    assert areas[1] > 1.05 * areas[0]


BREATHING = '[motion.breathing]\nkind = "breathing"\namplitude_mm = 12.0\nperiod_s = 3.0\n'
LUNG = region("lung", "lung", (0, 0), (40, 60))


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (
            region("target", "muscle", (0, 45), (9, 9), parent="lung", motion="breathing", direction=[0, 1]),
            r"region 'target': center_mm, semi_axes_mm: at t = 0\.\d\d s it leaves its parent 'lung'",
        ),
        (
            region(
                "target", "muscle", (0, 0), (35, 9), parent="lung", motion="breathing",
                direction=[0, 0], stretch_percent_per_mm=[2, 0],
            ),
            r"region 'target': center_mm, semi_axes_mm: at t = \d\.\d\d s it leaves its parent 'lung' at \(",
        ),
        (
            region("target", "muscle", (0, 0, 0), (9, 9, 9), parent="lung", shape="ellipsoid"),
            r"region 'target': it extends along z",
        ),
    ],
)  # fmt: skip
def test_a_child_that_leaves_its_parent_is_refused_with_the_instant(child: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scan(Phantom.from_text(definition(LUNG, child, motion=BREATHING)), seed=1, seconds=10)


def test_a_child_that_stays_until_later_is_refused_at_that_time_alone() -> None:
    motion = BREATHING + "drift_mm_per_min = 30\n"
    child = region("target", "muscle", (0, 30), (9, 9), parent="lung", motion="breathing", direction=[0, 1])
    phantom = Phantom.from_text(definition(LUNG, child, motion=motion))
    scan(phantom, seed=1, seconds=8, truth=False)
    with pytest.raises(InputError, match=r"at t = (\d+\.\d\d) s it leaves its parent") as error:
        scan(phantom, seed=1, seconds=40)
    instant = float(str(error.value).split("at t = ")[1].split(" ")[0])
    edge = Anatomy(phantom, 1).centers([int(instant * 1e9)])[0, 1, 1] + 0.009
    assert edge == pytest.approx(0.0595, abs=0.001)
