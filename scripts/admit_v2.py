"""Admit the patients of nsclc-v2: python scripts/admit_v2.py [PATIENT ...] [--cine FILE.npz ...]

A patient is as hard as real cines are: over 83 s in 498 frames, its rank for 1e-3 lies from 20 to 110, memory
scores at least 0.5 on the same day and on the second, and 20 components of what may be learnt from leave 2e-3
to 2e-2 of the rest. A cine (arrays `images` and `seconds`) is measured beside them, smoothed by one frame.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from harness.hardness.other_day import hardness_of_other_day
from harness.hardness.score import Hardness, hardness_of
from mrsim import load_phantom
from mrsim.scanner.oracle import Oracle
from mrsim.scanner.protocol import ScanProtocol

FIELDS_T = {1: 0.5, 2: 1.5, 3: 3.0, 4: 0.35, 5: 1.5, 6: 3.0}
FRAMES, SECONDS = 498, 83.0
RANK, SCORE, OUTSIDE = (20, 110), 0.5, (2e-3, 2e-2)


def images(number: int, day: int, frames: int = FRAMES, side: int = 128) -> np.ndarray:
    """Return noise-free magnitudes of one day, shape (frames, side, side)."""
    protocol = ScanProtocol(field_t=FIELDS_T[number], matrix=(side, side))
    oracle = Oracle(load_phantom(f"v2/patient{number}-day{day}"), protocol.header(), day)
    step = SECONDS / FRAMES * 1e9
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda n: np.abs(oracle.image(round(n * step))), range(frames)))
    return np.stack(found)


def faults(same: Hardness, score: float, outside: float) -> list[str]:
    """Return why a patient is not admitted; nothing if it is."""
    checks = [
        ("rank for 1e-3", same.rank[1], RANK[0], RANK[1]),
        ("memory score, same day", same.memory_score, SCORE, np.inf),
        ("memory score, day two", score, SCORE, np.inf),
        ("outside, same day", same.outside, *OUTSIDE),
        ("outside, day two", outside, *OUTSIDE),
    ]
    return [f"{name} = {value:.3g}: not within {low:g} to {high:g}" for name, value, low, high in checks
            if not low <= value <= high]  # fmt: skip


def row(name: str, day: Hardness, score: float, outside: float) -> str:
    """Return a line of the table."""
    return (
        f"| {name} | {' / '.join(map(str, day.rank))} | {day.memory_score:.2f} | {score:.2f} "
        f"| {day.outside:.1e} | {outside:.1e} |"
    )


def main() -> int:
    """Print the table, and end in 1 if a patient is not admitted."""
    parser = argparse.ArgumentParser(description="Measure how hard the patients of nsclc-v2 are.")
    parser.add_argument("patients", nargs="*", type=int, metavar="PATIENT", help="1 to 6; all if left out")
    parser.add_argument("--cine", nargs="*", default=[])
    args = parser.parse_args()
    if not set(args.patients) <= set(FIELDS_T):
        parser.error(f"patients {args.patients}: expected numbers from 1 to {len(FIELDS_T)}")
    step, refused = SECONDS / FRAMES, 0
    print(
        "| | rank for 1e-2 / 1e-3 / 1e-4 | memory score, same day | day two | outside, same day | day two |"
    )
    print("|---|---|---|---|---|---|")
    for number in args.patients or FIELDS_T:
        first, second = images(number, 1), images(number, 2)
        same = hardness_of(first, step)
        other = hardness_of_other_day(first, second, step)
        print(row(f"patient {number}", same, other.memory_score, other.outside), flush=True)
        for fault in faults(same, other.memory_score, other.outside):
            print(f"patient {number}: {fault}", file=sys.stderr)
            refused += 1
    for path in args.cine:
        from scipy.ndimage import gaussian_filter1d

        with np.load(path) as cine:
            frames = gaussian_filter1d(np.abs(cine["images"]).astype(np.float64), 1.0, axis=0)
            found = hardness_of(frames, float(np.median(np.diff(cine["seconds"]))))
        print(row(path, found, np.nan, np.nan), flush=True)
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main())
