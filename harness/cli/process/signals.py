"""Signals that end a command: it stops as Ctrl-C stops it, and leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mrsim.files.partials import discard_all

ENDING = tuple(
    number
    for name in ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGALRM", "SIGVTALRM")
    if (number := getattr(signal, name, None)) is not None
)


AGAIN_S = 0.05
"""After how long a signal comes again whose error was lost: until then whoever lost it has gone on."""


class Ended(KeyboardInterrupt):
    """End a command because a signal says so.

    Parameters
    ----------
    number
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupted(KeyboardInterrupt):
    """End a command because of Ctrl-C.

    Python ends itself by SIGINT, whatever exit code it is told, once a `KeyboardInterrupt` of that very type
    has passed through an `exec` of a library's.
    """


class Came:
    """Hold the signal that ends a command, once it has come: what it interrupts may raise something else."""

    def __init__(self) -> None:
        self.ending: KeyboardInterrupt | None = None


@contextmanager
def ended_by_signals() -> Iterator[Came]:
    """Let the signals that end a process raise `Ended`; a second one ends it at once, after clearing up.

    A signal that the process ignores, as `nohup` has it, or that someone handles, is left as it is. So are
    all in a thread other than the first, which gets none.

    Yields
    ------
    came
        Says which came: a library that is being imported may turn it into an error of its own.

    Raises
    ------
    Ended
        Where a signal comes.
    """
    process, came = os.getpid(), Came()

    def interrupt(number: int, _: FrameType | None) -> None:
        came.ending = Interrupted()
        raise came.ending

    def end(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a child that was forked: the signal is its own
            _die(number)
        signal.signal(number, at_once)
        came.ending = Ended(number)
        raise came.ending

    def at_once(number: int, _: FrameType | None) -> None:
        discard_all()
        _die(number)

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        """Let a signal come again whose error nobody could raise, as in a callback of a compiler's."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt) or came.ending is None:
            hook(unraisable)
            return
        number = came.ending.number if isinstance(came.ending, Ended) else signal.SIGINT
        if number in numbers:
            signal.signal(number, end)
        # A true signal, to the thread that answers it: else what waits there would wait on.
        again.append(threading.Timer(AGAIN_S, signal.pthread_kill, (threading.get_ident(), number)))
        again[-1].start()

    again: list[threading.Timer] = []
    hook = sys.unraisablehook
    mine = threading.current_thread() is threading.main_thread()
    numbers = [number for number in ENDING if mine and signal.getsignal(number) is signal.SIG_DFL]
    usual = mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:
        signal.signal(signal.SIGINT, interrupt)
    for number in numbers:
        signal.signal(number, end)
    if mine:
        sys.unraisablehook = lost
    try:
        yield came
    finally:
        if sys.unraisablehook is lost:
            sys.unraisablehook = hook
        for timer in again:
            timer.cancel()
        discard_all()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        if usual and signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _die(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
