"""Soak the MRD server and its client: good, bad and silent sessions, for an hour or as long as is asked.

python scripts/soak.py --seconds 3600 --seed 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.harness.wire.soak import soak


def main() -> int:
    """Soak, print what was counted, and return 1 where it was not level."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--seconds", type=float, default=3600.0)
    command.add_argument("--seed", type=int, default=1)
    asked = command.parse_args()
    done = soak(asked.seconds, asked.seed)
    rounds = len(next(iter(done.counts.values()), []))
    print(
        f"{done.clients} clients, {done.sessions} good sessions, {rounds} rounds; kept {done.slowest_s:.1f} s"
    )
    for name, values in done.counts.items():
        half = values[rounds // 2]
        print(f"{name}: first {values[0]}, half-way {half}, last {values[-1]}, most {max(values)}")
    print(*done.wrong(), sep="\n")
    return int(bool(done.wrong()))


if __name__ == "__main__":
    sys.exit(main())
