"""A scanned cine is the transform of its image at each line's own instant."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrsim.anatomy.series.patient import Patient, patient_of
from mrsim.anatomy.series.series import series_from_arrays
from mrsim.reception.coil_fit import fit_coils
from mrsim.reception.coils import CoilArray
from mrsim.scanner.oracle import Oracle
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.series_scene import SeriesScene
from mrsim.stream import Header
from mrsim.stream.fourier import to_kspace
from tests.mrsim.anatomy.series.cines import SHAPE, breathing, cine, smooth_image

PIXEL_M = (3e-3, 2.5e-3)
OWN_FOV = (SHAPE[0] * PIXEL_M[0], SHAPE[1] * PIXEL_M[1])


def patient(**changes: Any) -> Patient:
    return patient_of(series_from_arrays(**cine(**changes)), 0)


def header(matrix: tuple[int, int] = SHAPE, fov_m: tuple[float, float] = OWN_FOV) -> Header:
    return ScanProtocol(matrix=matrix, fov_m=fov_m, acceleration=4).header()


def rows(ny: int) -> NDArray[np.int32]:
    return (np.arange(ny) - ny // 2).astype(np.int32)


def test_a_static_series_gives_the_transform_of_its_image() -> None:
    image = smooth_image().astype(np.float32)
    oracle = Oracle(patient(images=np.repeat(image[None], 24, axis=0)), header(), 1)
    t_ns = np.arange(SHAPE[0], dtype=np.int64) * 2_200_000
    lines = oracle.lines(rows(SHAPE[0]), t_ns)
    expected = to_kspace(image.astype(np.complex128))
    assert np.abs(lines - expected).max() < 1e-6 * np.abs(expected).max()
    assert np.abs(oracle.image(0) - image).max() < 1e-6 * image.max()


def test_a_rigid_shift_is_a_phase_ramp() -> None:
    made, frame = patient(), 7
    oracle, t = Oracle(made, header(), 1), int(made.playback.t_ns[7])
    still, shifted = (oracle.lines(rows(SHAPE[0]), np.full(SHAPE[0], at, np.int64)) for at in (0, t))
    dy, dx = breathing(24)[frame]
    ky, kx = rows(SHAPE[0])[:, None] / SHAPE[0], rows(SHAPE[1]) / SHAPE[1]
    ramp = np.exp(-2j * np.pi * (ky * dy + kx * dx))
    assert np.abs(shifted - still * ramp).max() < 1e-6 * np.abs(still).max()


@pytest.mark.parametrize(
    ("matrix", "fov_m"), [((24, 20), OWN_FOV), ((48, 30), (0.2, 0.15)), ((30, 30), (0.06, 0.045))]
)  # fmt: skip
def test_lines_are_the_sum_over_the_pixels(matrix: tuple[int, int], fov_m: tuple[float, float]) -> None:
    """At any matrix and field of view; a smaller one wraps around, as on a scanner."""
    made = patient()
    oracle = Oracle(made, header(matrix, fov_m), 1)
    ky, t_ns = np.array([-5, 0, 3, 9], np.int32), np.array([0, 400_000_001, 1_234_567_890, 2_000_000_000])
    lines = oracle.lines(ky, t_ns)
    y = (np.arange(SHAPE[0]) - SHAPE[0] // 2)[:, None] * PIXEL_M[0]
    x = (np.arange(SHAPE[1]) - SHAPE[1] // 2) * PIXEL_M[1]
    kx = rows(matrix[1]) / fov_m[1]
    area = PIXEL_M[0] * PIXEL_M[1] / (fov_m[0] * fov_m[1] / (matrix[0] * matrix[1]))
    band = np.abs(kx) <= 0.5 / PIXEL_M[1] * (1 + 1e-9)
    for n, (row, t) in enumerate(zip(ky.tolist(), t_ns.tolist(), strict=True)):
        image = made.playback.image(t).astype(np.float64)
        turn = np.exp(-2j * np.pi * (row / fov_m[0] * y[None] + kx[:, None, None] * x))
        direct = (image * turn).sum(axis=(1, 2)) * area / np.sqrt(matrix[0] * matrix[1]) * band
        assert np.abs(lines[n] - direct).max() < 1e-6 * np.abs(direct).max()


def test_a_line_alone_and_in_company_has_the_same_bits() -> None:
    made, protocol = patient(), ScanProtocol(matrix=(32, 32), fov_m=(0.12, 0.09), coils=4, acceleration=4)
    fitted = fit_coils(CoilArray.ring(4), protocol.fov_m)
    ky = np.random.default_rng(1).integers(-16, 16, 40).astype(np.int32)
    t_ns = np.arange(40, dtype=np.int64) * 50_000_000
    for coils in (None, fitted):
        together = SeriesScene(made, protocol.header()).source(protocol, coils).lines(ky, t_ns)
        for n in (0, 17, 39):
            scene = SeriesScene(made, protocol.header())
            alone = scene.source(protocol, coils).lines(ky[n : n + 1], t_ns[n : n + 1])
            assert (alone[0] == together[n]).all()


def test_memory_does_not_grow_with_the_length_of_a_cine() -> None:
    most = []
    for frames in (40, 160):
        made = patient_of(series_from_arrays(**cine(frames)), 0)
        oracle, stop_ns = Oracle(made, header((64, 64), (0.2, 0.15)), 1), made.playback.stop_ns
        tracemalloc.start()
        for t in np.linspace(0, stop_ns, frames).astype(np.int64):
            oracle.lines(rows(64), np.full(64, t))
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < 1.1 * most[0]


def test_several_coils_see_the_image_through_their_sensitivities() -> None:
    made, protocol = patient(), ScanProtocol(matrix=SHAPE, fov_m=OWN_FOV, coils=3, acceleration=4)
    fitted = fit_coils(CoilArray.ring(3), protocol.fov_m)
    t = int(made.playback.t_ns[5])
    lines = (
        SeriesScene(made, protocol.header())
        .source(protocol, fitted)
        .lines(rows(SHAPE[0]), np.full(SHAPE[0], t, np.int64))
    )
    y = (np.arange(SHAPE[0]) - SHAPE[0] // 2)[:, None] * PIXEL_M[0]
    x = (np.arange(SHAPE[1]) - SHAPE[1] // 2)[None] * PIXEL_M[1]
    expected = to_kspace(fitted.sensitivity(x, y) * made.playback.image(t))
    assert np.abs(lines.transpose(1, 0, 2) - expected).max() < 1e-6 * np.abs(expected).max()


def test_the_mask_goes_with_the_target_and_its_centre() -> None:
    made = patient()
    oracle = Oracle(made, header(), 1)
    for t in (0, 300_000_000, 777_000_000, 1_900_000_001):
        mask, (x, y) = oracle.mask("target", t), oracle.centroid("target", t)
        row, column = np.argwhere(mask).mean(axis=0) - np.array(SHAPE) // 2
        # A mask is whole pixels: its centre is within half of one.
        assert abs(row * PIXEL_M[0] - y) <= PIXEL_M[0] / 2 + 1e-9
        assert abs(column * PIXEL_M[1] - x) <= PIXEL_M[1] / 2 + 1e-9
    t_ns = np.array([0, 300_000_000, 777_000_000])
    window = (slice(10, 34), slice(8, 30))
    many = oracle.masks("target", t_ns, window)
    assert all(
        (one == oracle.mask("target", int(t))[window]).all() for one, t in zip(many, t_ns, strict=True)
    )
    moved = oracle.displacement(t_ns)[:, 0]
    assert moved == pytest.approx(oracle.centroid("target", t_ns) - oracle.centroid("target", 0))
    around = oracle.contour("target", 777_000_000) - oracle.centroid("target", 777_000_000)
    assert np.abs(around).max() < 5 * 3e-3 + 1e-6


def test_without_a_label_there_is_no_target() -> None:
    oracle = Oracle(patient(first_label=None), header(), 1)
    assert not oracle.mask("target", 0).any()
    assert len(oracle.contour("target", 0)) == 0
    assert oracle.scene.target_signal > 0
