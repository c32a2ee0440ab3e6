"""What a line of a cine's twin costs at 256 x 256 with four modes, in one coil and in eight."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import mrsim
from mrsim.anatomy.series.patient import Patient, digest_of
from mrsim.anatomy.series.playback import Playback
from mrsim.anatomy.series.twin.ride import Ride
from mrsim.anatomy.series.twin.twin import Twin
from mrsim.scanner.acquisition import Scanner
from mrsim.scanner.protocol import ScanProtocol
from tests.mrsim.anatomy.series.cines import smooth_image

FRAMES, STEP_NS = 120, 170_000_000
PART = 4  # frames of a scan that are timed at once


def made(side: int, modes: int = 4) -> Patient:
    """Return a patient of so many pixels a side, with a twin of smooth modes."""
    image = smooth_image(3, (side, side)).astype(np.float32)
    y, x = (np.arange(side) / side * np.pi for _ in range(2))
    shapes = np.zeros((modes, 2, side, side), np.float32)
    for m in range(modes):
        shapes[m, m % 2] = np.sin((1 + m // 2) * y)[:, None] * np.sin(x)
    t = np.arange(FRAMES)
    values = np.stack([(4 - m) * np.sin(np.pi * t / (24 + m)) ** 2 for m in range(modes)], axis=1)
    t_ns, pixel = STEP_NS * t.astype(np.int64), (0.34 / side, 0.34 / side)
    states = np.repeat(image[None, None], FRAMES, axis=0)
    label = np.zeros((1, side, side), np.bool_)
    label[0, side // 3 : side // 2, side // 3 : side // 2] = True
    twin = Twin(image, shapes, values, states, label, t_ns, pixel)
    path = np.tile(np.argwhere(label[0]).mean(axis=0), (FRAMES, 1))
    played = Playback(states[:, 0], t_ns, pixel, label, path)
    return Patient("bench", played, digest_of(played), None, {}, twin)


@pytest.fixture(scope="module")
def patient() -> Patient:
    return made(256)


@pytest.mark.parametrize("form", ["twin", "playback"])
@pytest.mark.parametrize("coils", [1, 8])
def test_a_line_of_256_columns(benchmark: BenchmarkFixture, patient: Patient, coils: int, form: str) -> None:
    protocol = ScanProtocol(matrix=(256, 256), fov_m=(0.34, 0.34), coils=coils)
    body = patient.ridden(Ride("breaths")) if form == "twin" else patient
    frames = iter(range(0, 100, PART))
    scanner = Scanner(body, protocol, 1, 100)
    benchmark.pedantic(
        lambda: scanner.chunk(next(frames), PART, False), rounds=3, iterations=1, warmup_rounds=1
    )
    lines = PART * protocol.header().lines_per_frame
    benchmark.extra_info["line_ms"] = benchmark.stats.stats.median / lines * 1e3


def test_some_seconds_of_128_by_128(benchmark: BenchmarkFixture) -> None:
    body = dataclasses.replace(made(128).ridden(Ride("breaths")), name="bench")
    benchmark.pedantic(
        mrsim.simulate, args=(body,), kwargs={"seconds": 6, "seed": 1, "fov_m": (0.34, 0.34)}, rounds=1
    )
    benchmark.extra_info["scan_s"] = benchmark.stats.stats.max / 6  # of a second of the scan
