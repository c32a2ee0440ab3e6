"""Executors: independent tasks run in processes of this machine, or on a Dask cluster.

Callers accept any `concurrent.futures.Executor`. Every local worker is a process of its own with one thread.
If one dies, only its task is lost, and another worker replaces it.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from harness.realtime.environment import usable_cores
from harness.workers.process import Worker, WorkerDied
from mrsim.errors import HostError, InputError, MissingExtraError

T = TypeVar("T")
R = TypeVar("R")

MAX_WORKERS = 1024
MAX_ATTEMPTS = 3
"""Number of workers that a task may lose before it fails."""
CONNECT_S = 20.0
WORKERS_S = 120.0


@dataclass(frozen=True)
class Engine:
    """Hold an executor and its size.

    Parameters
    ----------
    executor
        Executor that runs the tasks.
    workers
        Number of tasks that it runs at a time.
    shared
        Whether others may use the same machines, so that times taken there are no measurements.
    """

    executor: Executor
    workers: int
    shared: bool


@dataclass(frozen=True)
class TaskResult(Generic[T, R]):
    """Hold the result of a task, or the error that ended it.

    Parameters
    ----------
    task
        The task.
    result
        What the function returned; None after an error.
    error
        The error; None if there was none.
    """

    task: T
    result: R | None
    error: BaseException | None


@contextlib.contextmanager
def engine(workers: int | None = None, cluster: str | None = None) -> Iterator[Engine]:
    """Open the workers, and close them at the end.

    Parameters
    ----------
    workers
        Number of local processes; None for one for each core.
    cluster
        Address of a Dask scheduler, such as tcp://127.0.0.1:8786; None for local processes.

    Yields
    ------
    engine
        The workers.

    Raises
    ------
    InputError
        If both are given, or a number is out of range.
    HostError
        If no cluster answers there, or its workers have several threads.
    MissingExtraError
        If `distributed` is not installed and a cluster is asked for.
    """
    if cluster is not None:
        if workers is not None:
            raise InputError("--workers and --cluster: a cluster has its own workers; give one of the two")
        with _dask(cluster) as opened:
            yield opened
        return
    count = usable_cores() if workers is None else workers
    if not 1 <= count <= MAX_WORKERS:
        raise InputError(f"workers = {count}: expected 1 to {MAX_WORKERS}")
    local = LocalProcesses(count)
    try:
        yield Engine(local, count, shared=False)
    except BaseException:
        local.stop()
        raise
    local.shutdown()


def run_all(
    engine: Engine,
    function: Callable[[T], R],
    tasks: Iterable[T],
    done: Callable[[], bool] = lambda: False,
) -> Iterator[TaskResult[T, R]]:
    """Run tasks and yield their results in the order in which they end.

    Only a few tasks are queued at a time, however many there are.

    Parameters
    ----------
    engine
        Workers to use.
    function
        Function of a task; it and the task must be picklable.
    tasks
        The tasks.
    done
        Called before each task is begun; no task is begun after it returns True.

    Yields
    ------
    result
        Result of a task. A task whose worker died is repeated, with at most `MAX_ATTEMPTS` attempts.
    """
    waiting = iter(tasks)
    running: dict[Future[R], tuple[T, int]] = {}
    again: deque[tuple[T, int]] = deque()
    while True:
        while len(running) < 2 * engine.workers and not done():
            task, attempt = again.popleft() if again else (next(waiting, None), 1)
            if task is None:
                break
            running[engine.executor.submit(function, task)] = task, attempt
        if not running:
            return
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            task, attempt = running.pop(future)
            error = future.exception()
            if error is None:
                yield TaskResult(task, future.result(), None)
            elif not worker_died(error):
                yield TaskResult(task, None, error)
            elif attempt < MAX_ATTEMPTS:
                again.append((task, attempt + 1))
            else:
                yield TaskResult(task, None, HostError(f"its worker died {attempt} times: {error}"))


def worker_died(error: BaseException) -> bool:
    """Return whether a task ended because its worker died, for lack of memory or because its node failed.

    Parameters
    ----------
    error
        Error of the task.
    """
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


class LocalProcesses(Executor):
    """Run tasks in processes of this machine, each with one thread.

    A process that dies costs its own task alone, and is replaced when the next one is due.

    Parameters
    ----------
    workers
        Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self._changed = threading.Condition()
        self._queue: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._closed = False
        self._running: dict[int, Worker] = {}
        # Daemons: an interpreter that ends waits for no task, and each process ends with it.
        self._threads = [
            threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in range(workers)
        ]

    @property
    def pids(self) -> list[int]:
        """Return the ids of the running processes."""
        with self._changed:
            return [worker.pid for worker in self._running.values()]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call; see `concurrent.futures.Executor.submit`.

        Parameters
        ----------
        fn
            Function to call.
        args
            Its positional arguments.
        kwargs
            Not supported.

        Raises
        ------
        TypeError
            If keyword arguments are given.
        RuntimeError
            If the workers were shut down.
        """
        if kwargs:
            raise TypeError("LocalProcesses.submit takes positional arguments alone")
        future: Future[Any] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("these workers have been shut down")
            self._queue.append((future, fn, args))
            for thread in self._threads:
                if thread.ident is None:
                    thread.start()
            self._changed.notify()
        return future

    def _serve(self, slot: int) -> None:
        """Do one task after the other in a process of this slot."""
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if self._closed:
                    break
                future, fn, args = self._queue.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._worker(slot).call(fn, *args))
            except WorkerDied as died:
                with self._changed:
                    self._running.pop(slot, None)
                future.set_exception(died)
            except BaseException as error:
                future.set_exception(error)
        if slot in self._running:
            self._running[slot].end()
            with self._changed:
                del self._running[slot]

    def _worker(self, slot: int) -> Worker:
        with self._changed:
            if self._closed:
                raise CancelledWork("the workers were shut down")
            if slot not in self._running:
                self._running[slot] = Worker()
            return self._running[slot]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the workers; see `concurrent.futures.Executor.shutdown`.

        Parameters
        ----------
        wait
            Whether to wait for running tasks.
        cancel_futures
            Not used: queued tasks are always cancelled.
        """
        with self._changed:
            self._closed = True
            queue, self._queue = self._queue, deque()
            self._changed.notify_all()
        for future, _, _ in queue:
            future.cancel()
        for thread in self._threads if wait else ():
            if thread.ident is not None:
                thread.join()

    def stop(self) -> None:
        """Terminate all processes at once."""
        with self._changed:
            self._closed = True
            for worker in self._running.values():
                worker.terminate()
        self.shutdown(wait=True)


class CancelledWork(BrokenExecutor):
    """Report that a worker was shut down before it ran its task."""


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Engine]:
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise MissingExtraError("distributed", "cluster", "--cluster") from None
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        text = " ".join(str(error).split())[:200]
        raise HostError(f"--cluster {address}: no Dask scheduler answers there: {text}") from None
    try:
        try:
            client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError:
            raise HostError(f"--cluster {address}: no worker within {WORKERS_S:g} s; start some") from None
        threads = client.nthreads()
        for worker, count in threads.items():
            if count != 1:
                raise HostError(
                    f"--cluster {address}: worker {worker} has {count} threads; start workers with "
                    "--nthreads 1"
                )
        executor = client.get_executor(pure=False)
        try:
            yield Engine(executor, len(threads), shared=True)
        except BaseException:
            executor.shutdown(wait=False)  # cancels tasks that were sent and not begun
            raise
        executor.shutdown()
    finally:
        client.close()
