"""Copies of the bench, which a candidate in its process makes (`os.fork`): they end, and play nothing on.

A copy holds all that the bench does. It would come back from the candidate's code, judge, print a second
verdict and write over the first. So it is ended where a stranger's code returns to ours.
"""

from __future__ import annotations

import contextlib
import os

COPY = 1
"""Exit code of a copy that was ended."""


class OneProcess(contextlib.ContextDecorator):
    """Let come out of a block, or of a function, who went into it: a copy that was made meanwhile ends there.

    Processes that a candidate starts in other ways, or copies that stay in its own code, are left alone.
    """

    def __init__(self) -> None:
        self._process = os.getpid()

    def __enter__(self) -> OneProcess:
        self._process = os.getpid()
        return self

    def __exit__(self, *_: object) -> None:
        self.check()

    def _recreate_cm(self) -> OneProcess:
        return OneProcess()  # a function may be called within itself

    def check(self) -> None:
        """End this process if it is a copy of the one that made this, or that entered the block."""
        if os.getpid() != self._process:
            os._exit(COPY)
