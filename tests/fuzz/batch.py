"""A batch of inputs in this process, a child: each is told as it begins, and held to what is promised.

What is promised: a result, or an error of ours in one line. A warning is no result: a user would see it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from mrsim.errors import MrsimError

MOST_TOLD = 2000
ROUND = 2000
"""Inputs that hypothesis draws in one go, since it remembers them all; each further go has its own seed."""
STRIDE = 1_000_003
BEGUN, MAKING = b".", b"w"  # what is made for a kind of input may import and compile


def check_told(error: MrsimError) -> None:
    """Hold an error to one line of bounded length."""
    told = str(error)
    assert "\n" not in told, told
    assert 0 < len(told) < MOST_TOLD, told


def run_batch(target: Any, number: int, count: int, pipe: int) -> list[dict[str, Any]]:
    """Read so many inputs.

    Parameters
    ----------
    target
        What is fuzzed: a strategy, and what reads what it draws.
    number
        Seed of the batch.
    count
        How many.
    pipe
        Descriptor that gets a byte as each begins.

    Returns
    -------
    failures
        Input and traceback of each that broke what is promised; at most ten.
    """
    failures: list[dict[str, Any]] = []
    done = 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")

        def read(drawn: Any) -> None:
            nonlocal done
            done += 1
            told = ""
            os.write(pipe, BEGUN)
            try:
                target.read(Path(folder), drawn)
            except MrsimError as error:
                try:
                    check_told(error)
                except AssertionError as found:
                    told = repr(found)[:3000]
            except Exception:
                told = traceback.format_exc()[-3000:]
            if told:
                failures.append({"input": done, "drawn": repr(drawn)[:4000], "raised": told})

        for whole in getattr(target, "whole", ()):
            target.read(Path(folder), whole)

        for begun in range(0, count, ROUND):
            go = settings(
                max_examples=min(ROUND, count - begun),
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(given(target.strategy)(read))
            seed(number + begun // ROUND * STRIDE)(go)()
    return failures[:10]


def main(argv: list[str]) -> int:
    """Run the batch that the arguments name, and write what failed as JSON."""
    from tests.fuzz.targets import TARGETS

    return serve(argv, TARGETS)


def serve(argv: list[str], targets: Mapping[str, Callable[[], Any]]) -> int:
    """Do what `watched` asks of a child: kinds of input, a seed, how many of each, a pipe and a file."""
    names, number, count, pipe, file = argv
    failures = []
    for name in names.split(","):
        os.write(int(pipe), MAKING)
        for found in run_batch(targets[name](), int(number), int(count), int(pipe)):
            failures.append({"target": name, **found})
    Path(file).write_text(json.dumps(failures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
