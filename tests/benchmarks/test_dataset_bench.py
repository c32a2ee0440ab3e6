"""Datasets: items a second, what a second core brings, the memory of a worker, and the disk's share."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from harness.dataset.make import build, plan
from harness.dataset.spec import read_spec
from harness.realtime.environment import usable_cores
from harness.testing.benchmark_table import enter
from harness.workers.executors import engine, run_all
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan_to
from mrsim.scanner.protocol import ScanProtocol

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(group="datasets")]

SPEC = """
name = "bench"
title = "a set to be timed"
phantoms = ["patient5"]
scans = 8
[scan]
seconds = 4
"""
SHORT_FRAMES, LONG_FRAMES = 60, 480
WRITTEN_BYTES = 256 << 20


def memory(task: tuple[str, int]) -> tuple[float, float]:
    """Scan so many frames and return the seconds, and the largest memory of its own that it took, MiB."""
    folder, frames = task
    peak = 0.0

    def look(done: int, total: int) -> None:
        nonlocal peak
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                peak = max(peak, int(line.split()[1]) / 1024)

    started = time.process_time()
    scan_to(folder, load_phantom("patient5"), ScanProtocol(coils=8), seed=1, frames=frames, progress=look)
    return time.process_time() - started, peak


def warm(_: int) -> int:
    """Load what a worker needs, so that it is not timed."""
    with tempfile.TemporaryDirectory() as place:
        scan_to(f"{place}/a", load_phantom("patient5"), seed=1, seconds=0.2)
        time.sleep(1.0)  # so that every worker gets one
    return os.getpid()


def made_in(workers: int, folder: Path) -> float:
    planned = plan(read_spec(SPEC, None, "bench"))
    with engine(workers) as opened:
        assert {o.error for o in run_all(opened, warm, range(workers))} == {None}
        started = time.perf_counter()
        build(planned, folder, opened)
        return time.perf_counter() - started


def test_items_a_second(benchmark: Any, tmp_path: Path) -> None:
    seconds = benchmark.pedantic(made_in, args=(1, tmp_path / "one"), rounds=1)
    benchmark.extra_info["items_per_s"] = 8 / seconds
    enter(benchmark, "datasets", "a scan of 4 s in a dataset, on one core", size="128 x 128, 1", per=8)
    size = sum(f.stat().st_size for f in (tmp_path / "one").rglob("*.npy"))
    data = os.urandom(WRITTEN_BYTES)
    started = time.perf_counter()
    with (tmp_path / "plain").open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    disk = WRITTEN_BYTES / (time.perf_counter() - started)
    benchmark.extra_info["written_MB_per_s"] = size / seconds / 1e6
    benchmark.extra_info["disk_MB_per_s"] = disk / 1e6
    benchmark.extra_info["disk_share"] = size / seconds / disk


@pytest.mark.skipif(usable_cores() < 2, reason="one core")
def test_scaling_from_one_core_to_two(benchmark: Any, tmp_path: Path) -> None:
    one = made_in(1, tmp_path / "one")
    two = benchmark.pedantic(made_in, args=(2, tmp_path / "two"), rounds=1)
    benchmark.extra_info["speed_up"] = one / two
    what = f"the same on two cores, {one / two:.2f} times as fast"
    enter(benchmark, "datasets", what, size="128 x 128, 1", per=8)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc")
def test_memory_of_a_worker_does_not_grow_with_the_scan(benchmark: Any, tmp_path: Path) -> None:
    with engine(1) as opened:
        tasks = [(str(tmp_path / str(n)), n) for n in (SHORT_FRAMES, LONG_FRAMES)]
        short, long = benchmark.pedantic(
            lambda: [next(run_all(opened, memory, [task])).result for task in tasks], rounds=1
        )
    benchmark.extra_info["short_MiB"], benchmark.extra_info["long_MiB"] = short[1], long[1]
    benchmark.extra_info["cpu_s_per_frame"] = (long[0] - short[0]) / (LONG_FRAMES - SHORT_FRAMES)
    what = f"540 frames of a patient, {long[1]:.0f} MiB at most"
    enter(benchmark, "datasets", what, size="128 x 128, 8")
    benchmark.extra_info["parent_MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # Eight times the frames: what stays in memory is the piece that is being written.
    assert long[1] < 1.25 * short[1]
