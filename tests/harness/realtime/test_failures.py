"""Whatever a candidate raises, wherever, is its own failure, and the run ends whole."""

from __future__ import annotations

import asyncio
import signal

import numpy as np
import pytest

from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import TableService
from mrsim.errors import InputError
from mrsim.stream import Header, Readout
from recon.protocol import Emit
from tests.harness.synthetic import Blank, make_stream


@pytest.mark.parametrize("error", [ValueError("no\nluck"), SystemExit(3), MemoryError()])
def test_a_candidate_that_raises_is_contained(error: BaseException) -> None:
    def work(readout: Readout) -> None:
        if readout.index == 9:
            raise error

    candidate = Blank(work)
    run = replay(make_stream(40), candidate, VirtualClock())
    assert run.failure is not None
    assert (run.failure.stage, run.failure.line, run.failure.frame) == ("push", 9, 2)
    assert run.failure.error.startswith(type(error).__name__)
    assert "\n" not in run.failure.error
    assert candidate.closed == 1
    assert run.images.shown.sum() == 2


def test_a_refusal_and_an_interrupt_pass_through_and_the_candidate_is_closed() -> None:
    """In `open` an error of ours refuses the scan; in `push` and `close` it is too late for that."""

    class Refuses(Blank):
        def open(self, header: Header, emit: Emit) -> None:
            super().open(header, emit)
            raise InputError("weights are for 128 x 128")

    def interrupt(readout: Readout) -> None:
        signal.raise_signal(signal.SIGINT)

    for candidate, kind in ((Refuses(), InputError), (Blank(interrupt), KeyboardInterrupt)):
        with pytest.raises(kind):
            replay(make_stream(), candidate, VirtualClock())
        assert candidate.closed == 1


class Odd(BaseException):
    pass


@pytest.mark.parametrize("stage", ["open", "push", "close"])
@pytest.mark.parametrize(
    "error",
    [GeneratorExit(), asyncio.CancelledError(), Odd("odd"), SystemExit(0), StopIteration(), RecursionError()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_candidate_raises_wherever_is_its_failure(stage: str, error: BaseException) -> None:
    class Raises(Blank):
        def open(self, header: Header, emit: Emit) -> None:
            super().open(header, emit)
            self.at("open")

        def push(self, readout: Readout) -> None:
            super().push(readout)
            self.at("push")

        def close(self) -> None:
            super().close()
            self.at("close")

        def at(self, call: str) -> None:
            if call == stage:
                raise error

    run = replay(make_stream(8), Raises(), VirtualClock())
    assert run.failure is not None
    assert run.failure.stage == stage
    assert run.failure.error.startswith(type(error).__name__)
    assert run.traceback is not None
    assert [place.function for place in run.traceback.places][-1].endswith("Raises.at")


@pytest.mark.parametrize("stage", ["push", "close"])
def test_an_error_of_ours_in_mid_scan_is_the_candidates_failure(stage: str) -> None:
    class Raises(Blank):
        def push(self, readout: Readout) -> None:
            super().push(readout)
            if stage == "push":
                raise InputError("no room")

        def close(self) -> None:
            if stage == "close":
                raise InputError("no room")

    run = replay(make_stream(8), Raises(), VirtualClock())
    assert run.failure is not None
    assert (run.failure.stage, run.failure.error) == (stage, "InputError: no room")


def test_what_the_bench_itself_raises_is_no_failure_of_the_candidate() -> None:
    """A table that ends before the scan is not a candidate that raised."""
    with pytest.raises(InputError, match="k-space line 3"):
        replay(make_stream(8), Blank(), VirtualClock(), TableService(np.array([1, 1, 1])))


def test_an_alarm_of_the_candidates_that_goes_off_between_two_pushes_is_its_failure() -> None:
    class Alarm(VirtualClock):
        def sleep_until_ns(self, t_ns: int) -> None:
            if t_ns == 3 * 4_000_000:
                ring()
            super().sleep_until_ns(t_ns)

    def ring() -> None:
        raise TimeoutError("an alarm that was not called off")

    run = replay(make_stream(8), Blank(), Alarm())
    assert run.failure is not None
    assert str(run.failure).startswith(
        "raised TimeoutError: an alarm that was not called off (test_failures.py:"
    )


def test_errors_of_open_and_close_are_told_apart() -> None:
    class BadOpen(Blank):
        def open(self, header: Header, emit: Emit) -> None:
            raise RuntimeError("no weights")

    class BadClose(Blank):
        def close(self) -> None:
            raise RuntimeError("stuck")

    opened, closed = (replay(make_stream(), kind(), VirtualClock()) for kind in (BadOpen, BadClose))
    assert opened.failure is not None
    assert (opened.failure.stage, opened.failure.line, opened.handed) == ("open", -1, 0)
    assert closed.failure is not None
    assert closed.failure.stage == "close"
    assert closed.images.shown.all()
