"""The number of threads for a network on this host, by measurement.

A convolution on several threads ends when its slowest thread ends. On a quiet host two threads are faster
than one. On a busy host every layer may wait for a core, and an image takes ten times as long. So the slow
runs are compared, not the typical ones.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch

ROUNDS = 6
GAIN = 0.85
"""All threads are used if their slow run takes less than this share of one thread's."""


def settle_threads(run: Callable[[], object], rounds: int = ROUNDS) -> int:
    """Set torch to one thread or to all that it has, whichever runs more steadily.

    Parameters
    ----------
    run
        Runs the network once.
    rounds
        Timed runs of each.

    Returns
    -------
    threads
        The number that is set now.
    """
    most = torch.get_num_threads()
    slow: dict[int, int] = {}
    for threads in sorted({most, 1}):
        torch.set_num_threads(threads)
        run()  # the first run allocates what later ones reuse
        taken = sorted(_timed(run) for _ in range(rounds))
        slow[threads] = taken[-2] if rounds > 2 else taken[-1]  # one hiccup is not a busy host
    best = most if slow[most] < GAIN * slow[1] else 1
    torch.set_num_threads(best)
    return best


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _timed(run: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - start
