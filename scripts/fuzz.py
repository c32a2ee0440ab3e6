"""Fuzz what reads input, in children whose time and memory are bounded, for as many inputs as are asked for.

    python scripts/fuzz.py --inputs 500000 --seed 1 --log fuzz.jsonl

A batch of the log is played again by `--only NAME --seed N --batch COUNT --inputs COUNT`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import Batch, watched


def plan(inputs: int, batch: int, seed: int, only: list[str]) -> list[tuple[str, int, int]]:
    """Return the batches: what is fuzzed, the seed and how many inputs, kinds in turns.

    Parameters
    ----------
    inputs
        How many in all, dealt out by the targets' shares.
    batch
        The most of a batch.
    seed
        Seed of the first batch; each further one of a kind has the next.
    only
        Kinds to fuzz; empty for all.
    """
    shares = {name: make().share for name, make in TARGETS.items() if not only or name in only}
    left = {name: -(-inputs * share // sum(shares.values())) for name, share in shares.items()}
    batches, number = [], seed
    while any(left.values()):
        for name, count in left.items():
            if count:
                batches.append((name, number, min(count, batch)))
                left[name] -= min(count, batch)
        number += 1
    return batches


def row(batch: Batch) -> str:
    """Return a batch as a line of the log."""
    return json.dumps(
        {
            "target": batch.name, "seed": batch.seed, "inputs": batch.inputs, "peak_mib": batch.peak >> 20,
            "longest_s": round(batch.longest_s, 2), "failures": batch.failures,
        }
    )  # fmt: skip


def main() -> int:
    """Fuzz, and return 1 where something broke a promise."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--inputs", type=int, default=10_000)
    command.add_argument("--seed", type=int, default=1, help="of the first batches")
    command.add_argument("--batch", type=int, default=10_000, help="inputs of a child, at most")
    command.add_argument("--only", action="append", default=[], choices=sorted(TARGETS))
    command.add_argument("--log", default="fuzz.jsonl", help="gets a line for each batch; goes on with it")
    asked = command.parse_args()
    log = Path(asked.log)
    played = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {(line["target"], line["seed"]) for line in played}
    broken = sum(bool(line["failures"]) for line in played)
    done = sum(line["inputs"] for line in played)
    start = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        for name, seed, count in plan(asked.inputs, asked.batch, asked.seed, asked.only):
            if (name, seed) in known:
                continue
            batch = watched(name, seed, count)
            file.write(row(batch) + "\n")
            file.flush()
            done += batch.inputs
            broken += bool(batch.failures)
            told = f"{time.monotonic() - start:.0f} s: {done} inputs, {broken} batches broken"
            print(f"{told}: {row(batch)[:300]}", flush=True)
    print(f"{done} inputs, {broken} batches broken")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
