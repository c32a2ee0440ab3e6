"""A push is charged what it takes on a core of its own, however busy the host is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.candidates.isolation import Isolated
from harness.candidates.registry import builder
from harness.judge.outcome import Outcome
from harness.judge.verdict import judge
from harness.measure.timing import measure
from harness.realtime import own_processes, processor_time
from harness.realtime.clock import VirtualClock
from harness.realtime.processor_time import LineCounter, RunningTime, note_elsewhere
from harness.realtime.replay import replay
from harness.realtime.run import Run
from harness.realtime.service import MeasuredService
from mrsim.stream import Header, Readout
from recon.protocol import Emit, Reconstructor
from tests.harness.synthetic import Blank, make_header, make_stream

MS = 1_000_000
WORK_NS = 4 * MS
FRAMES = 60
counts = pytest.mark.skipif(
    not os.path.exists("/proc/thread-self/schedstat"), reason="the system does not count who waits for a core"
)


class Fake:
    """Stand for what the system counts, all in nanoseconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.real = self.processor = self.line = 0
        monkeypatch.setattr(processor_time.time, "perf_counter_ns", lambda: self.real)
        monkeypatch.setattr(processor_time.time, "process_time_ns", lambda: self.processor)
        monkeypatch.setattr(LineCounter, "read_ns", lambda _: self.line)

    def passes(self, real: int, processor: int = 0, line: int = 0) -> None:
        self.real, self.processor, self.line = self.real + real, self.processor + processor, self.line + line


@pytest.mark.parametrize(
    ("real", "processor", "line", "charged"),
    [
        (10, 10, 0, 10),  # it computed
        (10, 4, 6, 4),  # a neighbour had the core
        (10, 0, 0, 10),  # it slept, or waited for a GPU
        (10, 2, 3, 7),  # some of each
        (10, 14, 0, 10),  # it had two threads
        (10, 9, 6, 9),  # the thread stood in line while another one of its own computed
        (10, 30, 6, 10),  # never more than the real time
        (10, 1, 12, 1),  # a counter that counts too much
    ],
)
def test_the_rule(
    real: int, processor: int, line: int, charged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(monkeypatch)
    fake.passes(1000, 700, 300)
    running = RunningTime()
    mark = running.mark()
    fake.passes(real, processor, line)
    assert running.since(mark) == charged


def test_what_another_process_waited_for_is_not_charged_either(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(monkeypatch)
    note_elsewhere(50, 60)
    mark = (running := RunningTime()).mark()
    fake.passes(10)
    note_elsewhere(4, 0)
    note_elsewhere(-3, -70)  # of a process that has ended
    assert running.since(mark) == 6
    fake.passes(10, line=10)  # this thread stood in line, behind the very process that it waits for
    note_elsewhere(0, 10)
    assert running.since(mark) == 10


def test_where_the_system_does_not_count_all_of_the_real_time_is_charged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(processor_time.os, "open", refuse)
    running = RunningTime()
    mark, began = running.mark(), time.perf_counter_ns()
    time.sleep(0.003)
    taken = time.perf_counter_ns() - began
    assert running.since(mark) >= taken >= 3 * MS


def test_the_thread_that_pushes_is_the_one_that_is_counted() -> None:
    """A service that was made in one thread times pushes of another one, and lets go of its file."""
    running, found = RunningTime(), []

    def push() -> None:
        mark = running.mark()
        time.sleep(0.002)
        found.append(running.since(mark))

    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        thread = threading.Thread(target=push)
        thread.start()
        thread.join()
    assert min(found) >= 2 * MS
    assert (len(os.listdir("/proc/self/fd")) if before else 0) <= before + 1


def compute(readout: Readout | int) -> None:
    """Work for some milliseconds of processor time in the last line of each frame."""
    if (readout if isinstance(readout, int) else readout.index) % 4 == 3:
        end = time.thread_time_ns() + WORK_NS
        while time.thread_time_ns() < end:
            pass


@pytest.fixture
def neighbours() -> Iterator[Callable[[], None]]:
    """Let other processes want every core, four times over."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    burn = "import time\nend = time.time() + 120\nwhile time.time() < end: pass"
    words = (
        f"[{sys.executable!r}, '-S', '-c', {burn!r}], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"
    )
    # Of a parent that ends at once: what this process has started itself is the candidate's.
    program = f"import subprocess\nfor _ in range({4 * cores}): print(subprocess.Popen({words}).pid)"
    started: list[int] = []

    def start() -> None:
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
        started.extend(map(int, told.stdout.split()))
        time.sleep(1.0)

    yield start
    for process in started:
        os.kill(process, signal.SIGKILL)


def run_of(candidate: Reconstructor) -> tuple[Run, int]:
    """Return a run on the virtual clock, whose deadline is three times the work, and its real time."""
    stream = make_stream(4 * FRAMES, header=make_header(lines_per_frame=4, tr_ns=3 * MS))
    began = time.perf_counter_ns()
    run = replay(stream, candidate, VirtualClock(), MeasuredService(), keep_images=False)
    return run, time.perf_counter_ns() - began


@counts
@pytest.mark.slow
def test_a_busy_host_neither_slows_nor_voids_a_run_on_the_virtual_clock(
    neighbours: Callable[[], None],
) -> None:
    neighbours()
    run, real_ns = run_of(Blank(compute))
    work_ns, charged_ns = FRAMES * WORK_NS, int(run.service_ns.sum())
    if real_ns < 1.7 * work_ns:
        pytest.skip("this host has cores to spare: nothing kept the run from computing")
    assert work_ns <= charged_ns < 1.3 * work_ns
    assert measure(run).misses == 0
    assert judge(run, measure(run), 0.9).outcome is not Outcome.INVALID


WORKER = """
import time
import numpy as np
from recon.protocol import Image

class Works:
    def open(self, header, emit): self.header, self.emit = header, emit
    def push(self, readout):
        if readout.index % 4 == 3:
            end = time.thread_time_ns() + 4_000_000
            while time.thread_time_ns() < end: pass
            self.emit(Image(np.zeros(self.header.matrix, np.complex64), readout.frame, readout.index))
    def close(self): pass
"""


@counts
@pytest.mark.slow
def test_a_busy_host_is_not_charged_to_a_process_of_its_own_either(
    neighbours: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "works.py").write_text(WORKER)
    monkeypatch.chdir(tmp_path)
    quiet, _ = run_of(Isolated("python:works.py:Works"))
    neighbours()
    busy, real_ns = run_of(Isolated("python:works.py:Works"))
    if real_ns < 1.7 * FRAMES * WORK_NS:
        pytest.skip("this host has cores to spare: nothing kept the run from computing")
    assert busy.failure is None
    # The child's image is stamped as it comes, before the push is over.
    for run in (quiet, busy):
        assert (measure(run).service_ns >= WORK_NS).all()
    assert measure(busy).service_ns.mean() < 2 * measure(quiet).service_ns.mean()


def test_what_others_do_between_two_pushes_is_of_the_push_before(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(monkeypatch)
    own = [0]
    monkeypatch.setattr(processor_time.time, "clock_gettime_ns", lambda _: own[0])
    monkeypatch.setattr(processor_time, "descendants_ns", lambda: own[0] // 10)
    monkeypatch.setattr(processor_time, "_accounts", processor_time._Accounts())
    running = RunningTime()
    running.since(running.mark())
    running.pause()
    fake.passes(10, processor=8)
    own[0] += 3  # of which this thread itself did 3
    assert running.between() == 5
    fake.passes(0, processor=90)
    assert running.between() == 10  # never more than the real time
    fake.passes(10)
    note_elsewhere(0, 5)
    assert running.between() == 20
    own[0] += 100  # of which a process of ours did 10
    fake.passes(0, processor=100)
    running.mark()
    assert running.between() == 20 + 10
    fake.passes(50, processor=50)
    assert running.between() == 20 + 10
    running.mark()
    assert running.between() == 0


def test_a_push_that_begins_while_another_thread_asks_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of another thread's is stamped between two pushes, and the next one begins meanwhile."""
    fake = Fake(monkeypatch)
    monkeypatch.setattr(processor_time.time, "clock_gettime_ns", lambda _: 0)
    monkeypatch.setattr(processor_time, "_accounts", processor_time._Accounts())
    running = RunningTime()
    begins: list[bool] = []

    def meanwhile() -> int:
        if begins:
            begins.clear()
            running.mark()
        return 0

    monkeypatch.setattr(processor_time, "descendants_ns", meanwhile)
    running.since(running.mark())
    running.pause()
    fake.passes(10, processor=8)
    begins.append(True)
    assert running.between() == 8
    assert not begins
    assert running.between() == 8  # as the mark has it


BURNS = "import os\nprint(flush=True)\nwhile True: pass"
STARTS = f"import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', {BURNS!r}])"


@pytest.mark.skipif(not own_processes.are_seen(), reason="the system does not tell of processes that live")
@pytest.mark.parametrize("program", [BURNS, STARTS])
def test_what_a_living_process_of_its_own_does_between_two_pushes_is_charged(program: str) -> None:
    """The time is what the process itself was given, no more and no less, also of one that it started."""
    running = RunningTime()
    with subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            below = own_processes._children_of(child.pid) or [child.pid]
            clock = (~below[0] << 3) | 2
            running.since(running.mark())
            outer = time.clock_gettime_ns(clock)
            running.pause()
            inner = time.clock_gettime_ns(clock)
            while time.clock_gettime_ns(clock) < inner + 20 * MS:
                time.sleep(0.002)
            inner = time.clock_gettime_ns(clock) - inner
            running.mark()
            outer = time.clock_gettime_ns(clock) - outer
            assert inner <= running.between() <= outer + MS  # and what the other one of the two did
            before = own_processes.descendants_ns()
        finally:
            os.killpg(child.pid, signal.SIGKILL)
    if program == BURNS:  # the other one has left its own process to nobody
        assert own_processes.descendants_ns() >= before


class Finalised:
    """Work when the bench lets go of a line, or on a thread of its own after the push."""

    def __init__(self, how: str) -> None:
        self._how = how

    def open(self, header: Header, emit: Emit) -> None:
        self._last, self._go = header.lines_per_frame - 1, threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def push(self, readout: Readout) -> None:
        if readout.index % 4 == self._last:
            if self._how == "a finalizer":
                weakref.finalize(readout.samples, compute, readout.index)
            else:
                self._go.set()
        if self._how == "a thread":
            clock = time.pthread_getcpuclockid(self._thread.ident or 0)
            self.worked_ns = time.clock_gettime_ns(clock)

    def close(self) -> None:
        self._over = True
        self._go.set()
        self._thread.join()

    def _work(self) -> None:
        while self._go.wait() and not self._over:
            self._go.clear()
            end = time.thread_time_ns() + WORK_NS
            while time.thread_time_ns() < end:
                sum(range(1000))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a finalizer", "a thread"])
def test_work_after_the_push_is_charged(how: str) -> None:
    candidate = Finalised(how)
    # Lines are always due, so that no idle time takes what is done between two of them.
    lines = 4 * FRAMES if how == "a finalizer" else 4000
    stream = make_stream(lines, header=make_header(lines_per_frame=4, tr_ns=1000))
    run = replay(stream, candidate, VirtualClock(), MeasuredService(), keep_images=False)
    total_ns = int(run.finished_ns[-1] - run.started_ns[0])
    assert total_ns >= (FRAMES * WORK_NS if how == "a finalizer" else 0.8 * candidate.worked_ns)
    if how == "a thread":
        assert candidate.worked_ns > 4 * MS


HELPED = """
import threading

class Helped(Works):
    def push(self, readout):
        worker = threading.Thread(target=super().push, args=(readout,))
        worker.start()
        worker.join()
"""


def test_the_time_in_which_others_worked_for_it_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that helps may have stood in line, also one that has ended; at most as ten times its work."""
    fake, own = Fake(monkeypatch), [0]
    monkeypatch.setattr(processor_time.time, "clock_gettime_ns", lambda _: own[0])
    monkeypatch.setattr(processor_time, "descendants_ns", lambda: 0)
    monkeypatch.setattr(processor_time, "_accounts", processor_time._Accounts())
    running = RunningTime()

    def push(real: int, helped: int, mine: int = 0, line: int = 0) -> int:
        mark = running.mark()
        own[0] += mine
        fake.passes(real, helped + mine, line)
        charged = running.since(mark)
        running.pause()
        return charged

    assert push(20, helped=0, mine=3) == 20  # it slept, or waited for a GPU: nobody helped it
    assert running.doubtful_ns == 0
    assert push(20, helped=5) == 20
    assert running.doubtful_ns == 15
    assert push(100, helped=2) == 100
    assert running.doubtful_ns == 15 + 20
    assert push(20, helped=4, mine=4, line=12) == 8  # this thread's own time in line is not charged at all
    assert running.doubtful_ns == 15 + 20


@counts
@pytest.mark.slow
@pytest.mark.parametrize("isolated", [False, True])
def test_a_busy_host_fails_no_candidate_whose_threads_end(
    isolated: bool, neighbours: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image is made on a thread of its own, which has ended when it is asked how long it waited."""
    (tmp_path / "helped.py").write_text(WORKER + HELPED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    neighbours()
    name = "python:helped.py:Helped"
    run, real_ns = run_of(Isolated(name) if isolated else builder(name)())
    if real_ns < 1.7 * FRAMES * WORK_NS:
        pytest.skip("this host has cores to spare: nothing kept the run from computing")
    assert run.failure is None
    assert run.host is not None
    assert judge(run, measure(run), 0.9).outcome is not Outcome.FAIL
    if measure(run).misses:
        assert (run.host.helpers_ns or 0) > 0.5 * (int(run.service_ns.sum()) - 1.3 * FRAMES * WORK_NS)
