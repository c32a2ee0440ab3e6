"""A scanned twin is the sum over its moved pixels, and its truth is what was scanned."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from mrsim.anatomy.series.patient import Patient
from mrsim.anatomy.series.twin.course import Course
from mrsim.anatomy.series.twin.ride import Ride
from mrsim.anatomy.series.twin.twin import stretch
from mrsim.errors import ProtocolError
from mrsim.kernels.grid import Grid
from mrsim.reception.coil_fit import fit_coils
from mrsim.reception.coils import CoilArray
from mrsim.scanner.acquisition import Scanner, scan_to
from mrsim.scanner.oracle import Oracle
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.twin_scene import TwinScene
from mrsim.stream import Header
from mrsim.stream.fourier import to_kspace
from tests.mrsim.anatomy.series.cines import SHAPE, smooth_image
from tests.mrsim.anatomy.series.twin.twins import OWN_FOV, PIXEL_M, known_patient, known_twin

EXACT = 2e-8  # of the largest sample; 1e-6 is asked
RIDES = (
    Ride(),
    Ride(scale=1.2, slow=0.7, shift_s=1.0),
    Ride("breaths"),
    Ride("breathing", weight="intensity"),
)


def header(matrix: tuple[int, int] = SHAPE, fov_m: tuple[float, float] = OWN_FOV) -> Header:
    return ScanProtocol(matrix=matrix, fov_m=fov_m, acceleration=4).header()


def rows(ny: int) -> NDArray[np.int32]:
    return (np.arange(ny) - ny // 2).astype(np.int32)


def direct(
    patient: Patient,
    header: Header,
    seed: int,
    row: int,
    t: int,
    seen: Callable[..., NDArray[np.complex128]] | None = None,
) -> NDArray[np.complex128]:
    """Sum over the moved pixels of one instant; `seen` are their weights beyond the twin's own."""
    twin = patient.twin
    assert twin is not None
    assert patient.ride is not None
    state = Course(twin, patient.ride, seed, "known").at(np.array([t], np.int64))
    field = twin.field(state.values[0])
    weight = np.einsum("k,kpyx->pyx", state.shares[0], twin.states[state.frames[0]].astype(np.float64))
    weight = weight[0] + (1j * weight[1] if len(weight) > 1 else 0)
    weight = weight * stretch(twin.field(state.weighed[0]))
    y = (np.arange(SHAPE[0])[:, None] - SHAPE[0] // 2 + field[0]) * PIXEL_M[0]
    x = (np.arange(SHAPE[1]) - SHAPE[1] // 2 + field[1]) * PIXEL_M[1]
    kx = Grid(header.matrix, header.fov_m).k()[0]
    size = PIXEL_M[0] * PIXEL_M[1] * Grid(header.matrix, header.fov_m).scale
    turn = np.exp(-2j * np.pi * (row / header.fov_m[0] * y + kx[0][:, None, None] * x))
    total = (weight * (1 if seen is None else seen(x, y)) * turn).sum(axis=(-2, -1)) * size
    inside = (np.abs(kx[0]) <= 0.5 / PIXEL_M[1] * (1 + 1e-9)) & (
        abs(row / header.fov_m[0]) <= 0.5 / PIXEL_M[0] * (1 + 1e-9)
    )
    return np.asarray(np.where(inside, total, 0))


@pytest.mark.parametrize("ride", RIDES, ids=lambda ride: f"{ride.drive}-{ride.scale}")
@pytest.mark.parametrize(
    ("matrix", "fov_m"), [(SHAPE, OWN_FOV), ((48, 31), (0.2, 0.15)), ((30, 30), (0.06, 0.045))]
)  # fmt: skip
def test_lines_are_the_sum_over_the_moved_pixels(
    ride: Ride, matrix: tuple[int, int], fov_m: tuple[float, float]
) -> None:
    """At any matrix and field of view; a smaller one wraps around, as on a scanner."""
    patient = known_patient(ride, imaginary=True)
    oracle, shown = Oracle(patient, header(matrix, fov_m), 1), header(matrix, fov_m)
    ky = np.array([-15, -5, 0, 3, 9], np.int32)
    t_ns = np.array([0, 400_000_001, 3_234_567_890, 9_000_000_000, 31_000_000_007])
    lines, largest = oracle.lines(ky, t_ns), float(np.abs(direct(patient, shown, 1, 0, 0)).max())
    for n, (row, t) in enumerate(zip(ky.tolist(), t_ns.tolist(), strict=True)):
        assert np.abs(lines[n] - direct(patient, shown, 1, row, t)).max() < EXACT * largest
    every = oracle.scene.instant(rows(matrix[0]), int(t_ns[2]))
    for row in (-14, 0, 7):
        whole = direct(patient, shown, 1, row, int(t_ns[2]))
        assert np.abs(every[row + matrix[0] // 2] - whole).max() < EXACT * largest


def test_several_coils_see_the_moved_pixels_through_their_sensitivities() -> None:
    protocol = ScanProtocol(matrix=(32, 30), fov_m=(0.13, 0.1), coils=3, acceleration=4)
    fitted, patient = fit_coils(CoilArray.ring(3), protocol.fov_m), known_patient(Ride("breaths"))
    scene = TwinScene(patient, protocol.header(), 1)
    ky, t_ns = (
        np.array([-16, -3, 0, 11], np.int32),
        np.array([0, 3_000_000_000, 5_000_000_000, 7_100_000_000]),
    )
    lines = scene.source(protocol, fitted).lines(ky, t_ns)
    for coil in range(3):
        for n in range(4):
            expected = direct(
                patient, protocol.header(), 1, int(ky[n]), int(t_ns[n]),
                lambda x, y, coil=coil: fitted.sensitivity(x, y)[coil],
            )  # fmt: skip
            assert np.abs(lines[n, coil] - expected).max() < EXACT * np.abs(lines).max()


def test_a_twin_that_stands_still_gives_the_transform_of_its_image() -> None:
    patient = known_patient(Ride(scale=0.0), changing=False)
    assert patient.twin is not None
    patient = replace(patient, twin=replace(patient.twin, values=np.zeros_like(patient.twin.values)))
    oracle = Oracle(patient, header(), 1)
    lines = oracle.lines(rows(SHAPE[0]), np.arange(SHAPE[0], dtype=np.int64) * 2_200_000)
    expected = to_kspace(smooth_image().astype(np.complex128))
    assert np.abs(lines - expected).max() < 1e-7 * np.abs(expected).max()
    assert np.abs(oracle.image(0) - smooth_image()).max() < 1e-6 * smooth_image().max()


def test_a_rigid_shift_is_a_phase_ramp() -> None:
    twin = known_twin(changing=False)
    modes = np.zeros_like(twin.modes)
    modes[0, 0], modes[1, 1] = 1.0, 1.0
    patient = replace(known_patient(), twin=replace(twin, modes=modes))
    oracle, t = Oracle(patient, header(), 1), int(twin.t_ns[30])
    lines = oracle.lines(rows(SHAPE[0]), np.full(SHAPE[0], t, np.int64))
    dy, dx = twin.values[30]
    ky, kx = rows(SHAPE[0])[:, None] / SHAPE[0], rows(SHAPE[1]) / SHAPE[1]
    still = to_kspace(smooth_image().astype(np.complex128))
    assert abs(dy) > 1
    assert (
        np.abs(lines - still * np.exp(-2j * np.pi * (ky * dy + kx * dx))).max() < 1e-7 * np.abs(still).max()
    )


def test_a_line_alone_in_company_and_on_two_threads_has_the_same_bits() -> None:
    patient, protocol = (
        known_patient(Ride("breathing")),
        ScanProtocol(matrix=(32, 32), fov_m=(0.12, 0.09), coils=4, acceleration=4),
    )
    fitted = fit_coils(CoilArray.ring(4), protocol.fov_m)
    ky = np.random.default_rng(1).integers(-16, 16, 40).astype(np.int32)
    t_ns = np.arange(40, dtype=np.int64) * 300_000_000
    before = numba.get_num_threads()
    for coils in (None, fitted):
        source = TwinScene(patient, protocol.header(), 2).source(protocol, coils)
        try:
            numba.set_num_threads(1)
            one = source.lines(ky, t_ns)
            numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
            together = source.lines(ky, t_ns)
        finally:
            numba.set_num_threads(before)
        assert (one == together).all()
        assert (source.lines(ky[::-1], t_ns[::-1])[::-1] == together).all()
        for n in (0, 17, 39):
            again = TwinScene(patient, protocol.header(), 2).source(protocol, coils)
            assert (again.lines(ky[n : n + 1], t_ns[n : n + 1])[0] == together[n]).all()
    frames = [Scanner(patient, protocol, 2, 6).chunk(n, 1, False).samples for n in range(2)]
    assert (np.concatenate(frames) == Scanner(patient, protocol, 2, 6).chunk(0, 2, False).samples).all()


def test_the_target_is_where_its_pixels_have_moved_to() -> None:
    patient = known_patient(Ride("breaths"))
    twin = patient.twin
    assert twin is not None
    oracle = Oracle(patient, header(), 1)
    t_ns = np.array([0, 1_300_000_000, 4_777_000_000, 11_900_000_001])
    course = Course(twin, Ride("breaths"), 1, "known").at(t_ns)
    pixels = np.argwhere(twin.rest_label[0])
    for n, t in enumerate(t_ns.tolist()):
        field = twin.field(course.values[n])
        place = pixels + field[:, pixels[:, 0], pixels[:, 1]].T
        expected = (place.mean(axis=0) - np.array(SHAPE) // 2) * PIXEL_M
        assert np.abs(oracle.centroid("target", t)[::-1] - expected).max() < 1e-9 * OWN_FOV[0]
        mask = oracle.mask("target", t)
        # A mask is whole pixels: its middle is within half of one.
        middle = (np.argwhere(mask).mean(axis=0) - np.array(SHAPE) // 2) * PIXEL_M
        assert np.abs(middle - expected).max() < 0.5 * PIXEL_M[0]
        inside = np.zeros(SHAPE, np.bool_)
        for i in range(SHAPE[0]):
            for j in range(SHAPE[1]):
                near = np.hypot(*(place - (i, j)).T).argmin()
                inside[i, j] = np.abs(place[near] - (i, j)).max() < 0.8
        assert (mask & ~inside).sum() == 0
        assert abs(int(mask.sum()) - stretch(field)[twin.rest_label[0]].sum()) < 12
    window = (slice(8, 34), slice(8, 30))
    many = oracle.masks("target", t_ns, window)
    assert all(
        (one == oracle.mask("target", int(t))[window]).all() for one, t in zip(many, t_ns, strict=True)
    )
    around = oracle.contour("target", int(t_ns[1])) - oracle.centroid("target", int(t_ns[1]))
    assert np.abs(around).max() < 6.5 * 3e-3
    moved = oracle.displacement(t_ns)[:, 0]
    assert moved == pytest.approx(oracle.centroid("target", t_ns) - patient.target_center_m)


def test_a_pixel_is_the_targets_where_the_point_that_moved_there_is_labelled() -> None:
    patient = known_patient(Ride(scale=2.0))
    twin = patient.twin
    assert twin is not None
    t = 22 * 150_000_000 + 1_350_000_000
    field = twin.field(Course(twin, patient.ride or Ride(), 1, "x").at(np.array([t])).values[0])
    assert np.abs(field).max() > 4
    # Points of the reference, eight a pixel each way, and where they have moved to.
    y, x = np.mgrid[9:29:0.125, 8:27:0.125]
    moved = np.stack([y, x])
    for axis in (0, 1):
        i, j = y.astype(int), x.astype(int)
        p, q, u = y - i, x - j, field[axis]
        moved[axis] += (1 - p) * ((1 - q) * u[i, j] + q * u[i, j + 1]) + p * (
            (1 - q) * u[i + 1, j] + q * u[i + 1, j + 1]
        )
    mask = Oracle(patient, header(), 1).mask("target", t)
    wrong = 0
    for i in range(14, 30):
        for j in range(10, 26):
            near = np.hypot(moved[0] - i, moved[1] - j).argmin()
            place = np.array([y.ravel()[near], x.ravel()[near]])
            if np.abs(np.abs(place - np.rint(place)) - 0.5).min() > 0.13:  # not at the rim of a pixel
                wrong += bool(mask[i, j]) != bool(twin.rest_label[0][tuple(np.rint(place).astype(int))])
    assert wrong == 0
    assert mask.any()


def test_compression_makes_brighter_or_keeps_brightness_as_chosen() -> None:
    """Of tissue the amount is kept, so that the image's sum does not change with how deep it is breathed."""
    sums = {}
    for weight in ("tissue", "intensity"):
        for scale in (1.0, 2.0):
            patient = known_patient(Ride(scale=scale, weight=weight), changing=False)
            sums[weight, scale] = Oracle(patient, header(), 1).image(1_500_000_000).real.sum()
    assert sums["tissue", 2.0] == pytest.approx(sums["tissue", 1.0], rel=1e-6)
    assert sums["intensity", 1.0] == pytest.approx(sums["tissue", 1.0], rel=1e-6)
    assert abs(sums["intensity", 2.0] / sums["intensity", 1.0] - 1) > 1e-3


def test_what_would_fold_or_last_too_long_is_one_line() -> None:
    for ride, stop_ns, told in (
        (Ride("breaths"), 3601 * 10**9, r"takes 3601 s; a twin that is driven goes on for 3600 s"),
        (Ride(scale=3.0), 10 * 10**9, r"scale = 3: at \d.\d s tissue would be pressed to 0.\d\d of its size"),
    ):
        twin = known_twin()
        steep = replace(twin, modes=(2.5 * twin.modes))
        scene = TwinScene(replace(known_patient(ride), twin=steep), header(), 1)
        with pytest.raises(ProtocolError, match=told) as raised:
            scene.check(stop_ns)
        assert "\n" not in str(raised.value)
    TwinScene(known_patient(Ride("breaths")), header(), 1).check(60 * 10**9)


def test_memory_does_not_grow_with_the_length_of_a_scan(tmp_path: Path) -> None:
    protocol = ScanProtocol(matrix=(32, 32), fov_m=(0.12, 0.09), acceleration=1, sampler="full")
    scan_to(tmp_path / "first.stream", known_patient(), protocol, seed=1, frames=1)  # it compiles
    most = []
    for frames in (80, 240):
        tracemalloc.start()
        scan_to(tmp_path / f"{frames}.stream", known_patient(), protocol, seed=1, frames=frames)
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < 1.1 * most[0]
