"""Work in processes: what is lost when one dies, and what is not."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.workers.executors import MAX_ATTEMPTS, Engine, LocalProcesses, engine, run_all
from mrsim.errors import HostError, InputError

LIMIT_S = 120.0


def square(task: tuple[Path, int, bool]) -> int:
    """Square a number and note it; one that is asked to dies at its first attempt."""
    folder, number, deadly = task
    with (folder / f"{number}.log").open("a") as log:
        log.write("begun\n")
    if deadly and (folder / f"{number}.log").read_text().count("begun") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die(task: int) -> int:
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def fail(task: int) -> int:
    if task == 2:
        raise InputError(f"task {task} is not well")
    return task


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def threads(_: int) -> tuple[str, int]:
    import numba

    return os.environ["OMP_NUM_THREADS"], numba.get_num_threads()


def test_a_worker_that_dies_costs_its_own_piece_alone(tmp_path: Path) -> None:
    tasks = [(tmp_path, n, n == 3) for n in range(8)]
    with engine(2) as workers:
        found = {o.task[1]: o.result for o in run_all(workers, square, tasks)}
    assert found == {n: n * n for n in range(8)}
    begun = {n: (tmp_path / f"{n}.log").read_text().count("begun") for n in range(8)}
    # A pool shared by all would have begun what ran beside number 3 a second time, too.
    assert begun == {n: 2 if n == 3 else 1 for n in range(8)}


def test_a_piece_that_kills_every_worker_is_given_up_and_the_others_are_done() -> None:
    with engine(1) as workers:
        outcomes = {o.task: o for o in run_all(workers, die, range(4))}
    assert {n: o.result for n, o in outcomes.items()} == {0: 0, 1: None, 2: 2, 3: 3}
    assert f"died {MAX_ATTEMPTS} times" in str(outcomes[1].error)


def test_an_error_is_told_once_and_not_tried_again() -> None:
    with ThreadPoolExecutor(2) as pool:
        outcomes = {o.task: o for o in run_all(Engine(pool, 2, False), fail, range(5))}
    assert isinstance(outcomes[2].error, InputError)
    assert {n: o.result for n, o in outcomes.items()} == {0: 0, 1: 1, 2: None, 3: 3, 4: 4}


def test_few_pieces_wait_at_a_time() -> None:
    taken = 0

    def tasks():
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    with ThreadPoolExecutor(1) as pool:
        outcomes = run_all(Engine(pool, 1, False), fail, tasks())
        next(outcomes)
        assert taken <= 3
        assert len(list(outcomes)) == 99


def test_nothing_is_begun_once_it_is_enough() -> None:
    begun: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        outcomes = run_all(Engine(pool, 1, False), begun.append, iter(range(1, 100)), lambda: len(begun) >= 3)
        assert len(list(outcomes)) <= 5


def test_a_local_worker_is_born_with_one_thread() -> None:
    before = dict(os.environ)
    with engine(1) as workers:
        assert next(run_all(workers, threads, [0])).result == ("1", 1)
    assert dict(os.environ) == before


def test_an_error_ends_the_workers_at_once() -> None:
    started = time.monotonic()
    pids: list[int] = []

    def interrupted() -> None:
        with engine(2) as workers:
            assert isinstance(workers.executor, LocalProcesses)
            list(run_all(workers, nap, [0.0, 0.0]))
            pids.extend(workers.executor.pids)
            workers.executor.submit(nap, 4 * LIMIT_S)
            workers.executor.submit(nap, 4 * LIMIT_S)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - started < LIMIT_S
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_what_cannot_be_opened_is_told() -> None:
    with pytest.raises(InputError, match="expected 1 to"), engine(0):
        pass
    with pytest.raises(InputError, match="give one of the two"), engine(2, "tcp://127.0.0.1:1"):
        pass


def test_no_cluster_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("harness.workers.executors.CONNECT_S", 0.5)
    with (
        pytest.raises(HostError, match="no Dask scheduler answers there"),
        engine(None, "tcp://127.0.0.1:9"),
    ):
        pass
