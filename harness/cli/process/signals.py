"""Signals that end a command: it stops as Ctrl-C stops it, and leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
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
SAME_S = 1.0
"""For how long what comes after a signal is the same one: a terminal or a service manager signals a whole
group, in which a parent passes it on, and whoever is impatient presses twice."""


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
        self._numbers: set[int] = set()
        self._until = 0.0

    def again(self, number: int) -> bool:
        """Take a signal, and return whether it came before.

        Parameters
        ----------
        number
            The signal.
        """
        came = number in self._numbers
        self._numbers.add(number)
        self.ending = Interrupted() if number == signal.SIGINT else Ended(number)
        self._until = time.monotonic() + SAME_S
        return came

    @property
    def still(self) -> bool:
        """Return whether what comes now is still the signal of before."""
        return self.ending is not None and time.monotonic() < self._until

    def forget(self) -> int:
        """Return the signal that came last, as if it had not come: its error was lost."""
        number = self.ending.number if isinstance(self.ending, Ended) else signal.SIGINT
        self._numbers.discard(number)
        self._until = 0.0
        return number


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the process without a word, but where `ended_by_signals` answers it.

    So it is while the last is said, which may wait for whoever reads it.
    """
    mine = threading.current_thread() is threading.main_thread()
    usual = mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if usual and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def ended_by_signals() -> Iterator[Came]:
    """Let the signals that end a process raise `Ended`; a second one ends it at once, after clearing up.

    What comes within a second of the first is the same one. Ctrl-C raises each time after that.

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

    def end(number: int, _: FrameType | None) -> None:
        if os.getpid() != process and number != signal.SIGINT:  # a child that was forked: it is its own
            _die(number)
        if came.still:
            return
        if came.again(number) and number != signal.SIGINT:
            discard_all()
            _die(number)
        assert came.ending is not None
        raise came.ending

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        """Let a signal come again whose error nobody could raise, as in a callback of a compiler's."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt) or came.ending is None:
            hook(unraisable)
            return
        number = came.forget()
        # A true signal, to the thread that answers it: else what waits there would wait on.
        again.append(threading.Timer(AGAIN_S, signal.pthread_kill, (threading.get_ident(), number)))
        again[-1].start()

    again: list[threading.Timer] = []
    hook = sys.unraisablehook
    mine = threading.current_thread() is threading.main_thread()
    numbers = [number for number in ENDING if mine and signal.getsignal(number) is signal.SIG_DFL]
    before = signal.getsignal(signal.SIGINT)
    usual = mine and before in (signal.default_int_handler, signal.SIG_DFL)
    for number in (*numbers, *([signal.SIGINT] if usual else [])):
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
        if usual and signal.getsignal(signal.SIGINT) is end:
            signal.signal(signal.SIGINT, before)


def _die(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
