"""Scan every phantom with 1, 4 and 8 coils, one thread and two, kernels kept and compiled anew: same bytes?

    python scripts/same_bytes.py

Every cell is a fresh process. Kernels are compiled anew once for each number of threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
COILS = (1, 4, 8)
SEED = 5
FRAMES = 4


def digests(phantoms: list[str], coils: list[int]) -> dict[str, str]:
    """Scan in this process and return a hash of everything that is stored, by phantom and coils.

    Parameters
    ----------
    phantoms, coils
        What is scanned, each with each.
    """
    from mrsim.simulation import simulate
    from mrsim.stream import save

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for phantom in phantoms:
            for count in coils:
                scan = simulate(phantom, frames=FRAMES, coils=count, acceleration=5, seed=SEED)
                path = save(scan, Path(folder) / f"{len(found)}.stream")
                whole = hashlib.sha256()
                for file in sorted(path.iterdir()):
                    whole.update(file.name.encode() + file.read_bytes())
                found[f"{phantom}, {count}"] = whole.hexdigest()
    return found


def in_a_process(
    phantoms: list[str], coils: list[int], threads: int, cache: Path | None = None
) -> dict[str, str]:
    """Return the same from a fresh process.

    Parameters
    ----------
    phantoms, coils
        What is scanned.
    threads
        Threads that it may use.
    cache
        Folder of caches, empty for kernels that are compiled anew; None for the user's.
    """
    env = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": str(ROOT)}
    env |= {} if cache is None else {"XDG_CACHE_HOME": str(cache)}
    words = [sys.executable, __file__, "--here", json.dumps([phantoms, coils])]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return dict(json.loads(done.stdout))


def main() -> int:
    """Compare all cells, print what differs, and return 1 where anything does."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--here", help=argparse.SUPPRESS)
    command.add_argument("--warm", action="store_true", help="leave out what is compiled anew")
    asked = command.parse_args()
    if asked.here:
        print(json.dumps(digests(*json.loads(asked.here))))
        return 0
    sys.path.insert(0, str(ROOT))
    from mrsim.anatomy.phantom_file import phantom_names

    phantoms, coils = list(phantom_names()), list(COILS)
    cells: dict[str, dict[str, str]] = {}
    for threads in (1, 2):
        cells[f"{threads} threads"] = {}
        for phantom in phantoms:
            cells[f"{threads} threads"] |= in_a_process([phantom], coils, threads)
            print(f"{threads} threads: {phantom}", flush=True)
    for threads in () if asked.warm else (1, 2):
        with tempfile.TemporaryDirectory() as cache:
            cells[f"{threads} threads, compiled anew"] = in_a_process(phantoms, coils, threads, Path(cache))
            print(f"{threads} threads, compiled anew", flush=True)
    first = next(iter(cells.values()))
    wrong = [
        f"{scan}: {how} differs"
        for how, found in cells.items()
        for scan in first
        if found[scan] != first[scan]
    ]
    print(*wrong, f"{len(first)} scans in {len(cells)} ways, {len(wrong)} differ", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
