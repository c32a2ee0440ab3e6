"""The bits of a line do not depend on what was compiled when, or came from a cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PARTS = ("shapes", "patient", "spins")
ROOT = Path(__file__).parents[3]


def digests(*parts: str) -> str:
    """Return a hash of the k-space of each part, computed in the order given."""
    import hashlib

    import numpy as np

    from mrsim.anatomy.phantom import load_phantom
    from mrsim.kernels.grid import Grid
    from mrsim.scanner.acquisition import Scanner
    from mrsim.scanner.protocol import ScanProtocol
    from mrsim.scanner.region_lines import RegionLines
    from mrsim.spins.isochromats import BlochSequence, Isochromats
    from tests.mrsim.scanner.test_kspace import KINDS, Bench, rows
    from tests.mrsim.spins.test_isochromats import FLIP, TE, TR, cloud, course

    def shapes() -> bytes:
        rng = np.random.default_rng(0)
        got = b""
        for _ in range(100):
            grid = Grid(
                (int(rng.integers(2, 20)), int(rng.integers(1, 20))), tuple(rng.uniform(0.25, 0.5, 2))
            )
            bench = Bench(grid, list(rng.choice(KINDS, 4)))
            got += bench.lines(rows(grid)[:1]).tobytes() + bench.lines(rows(grid)).tobytes()
        return got

    def patient() -> bytes:
        scanner = Scanner(load_phantom("patient5"), ScanProtocol(matrix=(32, 32), coils=2), 1, 8)
        ky, t_ns = np.arange(-16, 16, dtype=np.int32), np.arange(32) * 100_000_000
        anatomy = scanner.oracle.scene.anatomy
        scenes = (RegionLines(anatomy, scanner.header, fitted) for fitted in (None, scanner.receiver.fitted))
        return b"".join(scene.lines(ky, t_ns).tobytes() for scene in scenes)

    def spins() -> bytes:
        engine = Isochromats(cloud(), BlochSequence(TR, TE, FLIP, True, 5), Grid((32, 32), (0.4, 0.4)))
        return bytes(engine.lines(*course(30)).tobytes())

    work = {"shapes": shapes, "patient": patient, "spins": spins}
    found = {part: hashlib.sha256(work[part]()).hexdigest() for part in parts}
    return " ".join(found[part] for part in PARTS if part in found)


def in_a_process(cache: Path, *parts: str) -> list[str]:
    command = [sys.executable, "-m", "tests.mrsim.kernels.test_compilation", *parts]
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, env=env, check=True, capture_output=True, text=True
    ).stdout.split()


def test_bits_are_the_same_compiled_and_from_a_cache_in_another_order(tmp_path: Path) -> None:
    compiled = in_a_process(tmp_path, *PARTS)
    cached = in_a_process(tmp_path, *PARTS[::-1])
    assert len(compiled) == len(PARTS)
    assert compiled == cached


if __name__ == "__main__":
    print(digests(*sys.argv[1:]))
