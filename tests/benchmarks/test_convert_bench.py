"""How long 650 fully sampled dynamics of eight coils (83,200 readouts) take to MRD and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.testing.benchmark_table import enter
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_import import mrd_to_stream
from mrsim.stream import Header, load
from mrsim.stream.storage import StreamWriter
from tests.harness.synthetic import private_bytes

DYNAMICS, MEMORY_BYTES = 650, 128 << 20
HEADER = Header((128, 128), (0.4, 0.4), 2_200_000, 1_100_000, 0.35, 3.0, 8, 128, 1.0, "full", "ascending")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "a.stream"
    block = np.random.default_rng(0).standard_normal((128, 8, 256)).astype(np.float32).view(np.complex64)
    row = np.arange(128)
    with StreamWriter(path, HEADER, DYNAMICS * 128, None, None) as writer:
        for frame in range(DYNAMICS):
            t_ns = (row + frame * 128) * HEADER.tr_ns + HEADER.te_ns
            writer.append((row - 64).astype(np.int32), np.full(128, frame, np.int32), t_ns, block)
    return path


@pytest.mark.slow
@pytest.mark.benchmark(group="datasets")
def test_650_dynamics_of_eight_coils_there_and_back(benchmark, folder, tmp_path):
    before, peak = private_bytes(), [0]

    def watch(done: int, total: int) -> None:
        peak[0] = max(peak[0], private_bytes() - before)

    def convert() -> None:
        write_mrd(load(folder), tmp_path / "a.h5", progress=watch)
        mrd_to_stream(tmp_path / "a.h5", tmp_path / "b.stream", progress=watch)

    benchmark.pedantic(convert, rounds=1, iterations=1)
    enter(benchmark, "datasets", "650 dynamics to MRD and back", size="128 x 128, 8")
    assert peak[0] < MEMORY_BYTES
    back, whole = load(tmp_path / "b.stream"), load(folder)
    for frame in (0, DYNAMICS // 2, DYNAMICS - 1):
        lines = slice(frame * 128, (frame + 1) * 128)
        assert back.samples[lines].tobytes() == whole.samples[lines].tobytes()
