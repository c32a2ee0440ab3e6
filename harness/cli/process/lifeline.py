"""End with the parent: a child that its parent holds by a pipe, which closes however the parent goes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time


def take_pipes(grace_s: float) -> int:
    """Take up, in a child, the two pipes that its first arguments name, and end with the parent.

    Parameters
    ----------
    grace_s
        As for `end_with_parent`.

    Returns
    -------
    answers
        Descriptor to write answers to; no process that is started from now on gets it.
    """
    answers, lifeline = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(answers, False)
    end_with_parent(lifeline, grace_s)
    return answers


def end_with_parent(lifeline: int, grace_s: float) -> None:
    """End this process once the other end of a pipe is closed, and its group where it leads one.

    Parameters
    ----------
    lifeline
        Descriptor of the pipe's end; no process that is started from now on gets it.
    grace_s
        How long it may take to end by SIGTERM, as a user's signal would end it; 0 for not at all.
    """
    os.set_inheritable(lifeline, False)
    threading.Thread(target=_wait, args=(lifeline, grace_s), daemon=True).start()


def _wait(lifeline: int, grace_s: float) -> None:
    os.read(lifeline, 1)
    if grace_s:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
