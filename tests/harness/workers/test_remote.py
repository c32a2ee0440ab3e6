"""Evaluation by workers elsewhere: the same figures bit for bit, no time, and nothing stale or mismatched."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.experiment.measures import COLUMNS
from harness.workers import remote
from harness.workers.executors import Engine, LocalProcesses
from harness.workers.remote import CallerContext, check_shared_file, send
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import HostError, MissingExtraError
from mrsim.scanner.acquisition import ScanProtocol, scan_to
from recon.cascade.checkpoint import Checkpoint, save
from recon.cascade.network import Cascade, named_config

pytestmark = pytest.mark.slow

LIMIT_S = 300
NOWHERE = "tcp://127.0.0.1:1"
CAREFUL = """
from recon.classical.zero_filled import ViewSharing

class Mine(ViewSharing):
    "View sharing, told apart by its factor."
    def open(self, header, emit):
        super().open(header, lambda i: emit(type(i)(i.pixels * FACTOR, i.frame, i.last_line)))
"""
TABLE = [
    "table", "--patients", "quasar@2", "--scan-seconds", "10", "--train-seconds", "4", "--lead-seconds", "1",
    "--matrix", "64", "64", "--seed", "3", "--candidates", "view-sharing", "mine=python:careful.py:Mine",
    "nearest-frame", "known=nearest-frame:{training}", "cascade=cascade:net.npz",
]  # fmt: skip
MODELLED = [*TABLE, "--service-ms", "0.5"]
PLAYED = ["compare", "view-sharing", "python:careful.py:Mine", "cascade:net.npz", "--on", "a.stream"]
COMPARE = [*PLAYED, "--lockstep"]
ON_DISPLAY = ("m95_mm", "dice_shown")
TIMED = ("shown_", "response_", "total_lag_ms")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the caller stands in: its candidate, its weights, and what was found there."""
    place = tmp_path_factory.mktemp("caller")
    (place / "careful.py").write_text(CAREFUL.replace("FACTOR", "1.5"))
    record = {
        "matrix": [64, 64],
        "data": [{"phantom": "quasar", "phantom_text": "", "seed": 3, "frames": 10, "used_s": [0.0, 4.0]}],
    }
    config = dataclasses.replace(named_config("dietz2019", 64), blocks=2, convolutions=3, filters=8)
    save(place / "net.npz", Checkpoint(Cascade(config).eval(), 1.0, record))
    phantom = load_phantom("quasar", {"motion.breathing.period_s": 1.0})
    scan_to(place / "a.stream", phantom, ScanProtocol(matrix=(64, 64)), seed=2, seconds=6.0)
    before, path = Path.cwd(), sys.path.copy()
    os.chdir(place)
    try:
        assert main([*MODELLED, "-o", "here"]) == 0
        assert main([*COMPARE, "--json", "here.json"]) == 0
    finally:
        os.chdir(before)
        sys.path[:] = path
    return place


@pytest.fixture
def folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return place


@pytest.fixture(scope="module")
def workers() -> Iterator[Engine]:
    """Return two processes that stand for shared workers; they live through all tests, as a cluster's do."""
    pool = LocalProcesses(2)
    yield Engine(pool, 2, shared=True)
    pool.stop()


@pytest.fixture
def cluster(workers: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Let `--cluster` lead to these workers."""

    @contextlib.contextmanager
    def engine(workers_: int | None = None, cluster: str | None = None) -> Iterator[Engine]:
        assert (workers_, cluster) == (None, NOWHERE)
        yield workers

    monkeypatch.setattr("harness.workers.executors.engine", engine)
    return workers


def contents(folder: Path) -> dict[str, bytes]:
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: data for name, data in files.items() if name not in ("table.json", "table.md")}


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "table.json").read_text())["rows"]
    return found


def test_a_table_by_workers_is_the_one_made_here(folder: Path, cluster: Engine) -> None:
    assert main([*MODELLED, "-o", "away", "--cluster", NOWHERE]) == 0
    here, away = contents(folder / "here"), contents(folder / "away")
    assert len([name for name in here if name.endswith(".npz")]) == 8
    assert away == here
    assert rows(folder / "away") == rows(folder / "here")


def test_without_a_model_no_time_is_told_and_the_page_says_why(
    folder: Path, cluster: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "here" / "streams", folder / "out" / "streams")
    assert main([*TABLE, "-o", "out", "--cluster", NOWHERE]) == 0
    assert "on shared workers the work of others is in it" in capsys.readouterr().out
    away = {row["candidate"]: row for row in rows(folder / "out")}
    values = json.loads((folder / "out" / "table.json").read_text())
    assert values["config"]["timed"] is False
    assert values["config"]["untimed"] in (folder / "out" / "table.md").read_text()
    # What hangs on time is neither held nor missed; the rest is told.
    told = {claim["claim"].partition(" ")[0]: claim["holds"] for claim in values["claims"]}
    assert told["total"] is None
    assert told["centroid"] is None
    assert told["Dice"] is not None
    # Here the same cells are made again, with their times: none without is taken for one with.
    assert main([*TABLE, "-o", "out"]) == 0
    for row in rows(folder / "out"):
        other = away[row["candidate"]]
        assert row["images"] == other["images"] > 0
        for column in COLUMNS:
            there = other["figures"][column.key]
            if column.key in (*ON_DISPLAY, "stray_percent"):
                continue
            if row["reference"] or not column.key.startswith(TIMED):
                assert there == row["figures"][column.key], (row["candidate"], column.key)
            else:
                assert there == {"value": None, "interval": None}
        assert row["reference"] or row["figures"]["response_p50_ms"]["value"] > 0
        # Without times an image is on display as soon as its last line is due: never later than with them.
        m95_mm, dice = ([values["figures"][key]["value"] for values in (other, row)] for key in ON_DISPLAY)
        assert m95_mm[0] == m95_mm[1] if m95_mm[1] is None else m95_mm[0] <= m95_mm[1] + 0.01
        assert dice[0] == dice[1] if dice[1] is None else dice[0] >= dice[1] - 1e-3


def test_a_comparison_by_workers_is_the_one_made_here(
    folder: Path, cluster: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMPARE, "--json", "away.json", "--cluster", NOWHERE]) == 0
    assert (folder / "here.json").read_bytes() == (folder / "away.json").read_bytes()
    capsys.readouterr()
    for more, told in (([], "add --lockstep: no time was taken"), (["--lockstep", "--isolate"], "--isolate")):
        assert main([*PLAYED, *more, "--cluster", NOWHERE]) == 2
        assert told in capsys.readouterr().err


def test_a_candidate_that_was_edited_is_read_anew(folder: Path, cluster: Engine) -> None:
    """A worker outlives the call: what it imported for one must not be what the next one gets."""
    (folder / "edited.py").write_text("from factor import FACTOR\n" + CAREFUL)
    argv = ["compare", "view-sharing", "python:edited:Mine", "--on", "a.stream", "--lockstep"]
    for factor, level in ((1, True), (12, False)):  # of other lengths: the clock of a file is coarse
        (folder / "factor.py").write_text(f"FACTOR = {factor}")
        assert main([*argv, "--frames", "24", "--json", "c.json", "--cluster", NOWHERE]) in (0, 4)
        one, other = json.loads((folder / "c.json").read_text())["candidates"]
        assert (one["figures"]["nmse"] == other["figures"]["nmse"]) is level


def test_a_dask_cluster_of_two_workers_finds_the_same(folder: Path) -> None:
    pytest.importorskip("distributed")
    program = f"""
import sys
from distributed import LocalCluster
from harness.cli.main import main
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        there = ["--cluster", cluster.scheduler_address]
        codes = (main([*{MODELLED!r}, "-o", "dask", *there]),
                 main([*{COMPARE!r}, "--json", "dask.json", *there]))
    sys.exit(max(codes))
"""
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert contents(folder / "dask") == contents(folder / "here")
    assert (folder / "here.json").read_bytes() == (folder / "dask.json").read_bytes()


def double(number: int) -> int:
    return 2 * number


def die_once(task: tuple[int, str]) -> int:
    marker = Path(task[1])
    if task[0] == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return task[0]


def fail(number: int) -> int:
    raise MissingExtraError("skimage", "eval", f"task {number}")


class Backwards(Executor):
    """Does what it was given last first, as a cluster may."""

    def __init__(self) -> None:
        self._held: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._held.append((Future(), fn, args))
        future = self._held[-1][0]
        if len(self._held) == 4:
            for held, function, given in reversed(self._held):
                held.set_result(function(*given))
            self._held.clear()
        return future


def test_results_come_in_the_order_of_the_tasks() -> None:
    assert list(send(Engine(Backwards(), 2, True), double, range(8))) == [2 * n for n in range(8)]


def test_a_worker_that_dies_costs_its_piece_alone(workers: Engine, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    assert list(send(workers, die_once, [(n, str(marker)) for n in range(4)])) == [0, 1, 2, 3]
    assert marker.exists()


def test_what_a_worker_misses_is_told_as_here(workers: Engine) -> None:
    with pytest.raises(MissingExtraError, match=r"skimage is needed for task [01]: pip install"):
        list(send(workers, fail, range(2)))
    again = pickle.loads(pickle.dumps(MissingExtraError("a", "b", "c")))
    assert str(again) == str(MissingExtraError("a", "b", "c"))


def test_a_worker_with_other_versions_or_another_disk_refuses(folder: Path) -> None:
    here = CallerContext.current()
    other = dataclasses.replace(here, versions={**here.versions, "numpy": "0.1"})
    with pytest.raises(HostError, match=r"it has numpy .* for 0\.1; install the same"), other.entered():
        raise AssertionError("it went on")
    nowhere = dataclasses.replace(here, folder=str(folder / "elsewhere"))
    with pytest.raises(HostError, match="a folder that all machines share"), nowhere.entered():
        raise AssertionError("it went on")
    assert Path.cwd() == folder


def test_workers_that_see_no_file_or_do_not_answer_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool:
        check_shared_file(Engine(pool, 1, True), folder / "net.npz")
        check_shared_file(Engine(pool, 1, False), folder / "nothing")  # our own processes see what we see
        with pytest.raises(HostError, match="the cluster's workers do not see it"):
            check_shared_file(Engine(pool, 1, True), folder / "nothing")
    monkeypatch.setattr(remote, "FILE_CHECK_S", 0.05)
    with pytest.raises(HostError, match="no worker of the cluster was free"):
        check_shared_file(Engine(Backwards(), 1, True), folder / "net.npz")


def test_a_table_is_not_shared_out_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TABLE, "-o", "nothing", "--cluster", NOWHERE, "--share", "1/2"]) == 2
    assert "give one of the two" in capsys.readouterr().err
    assert not (folder / "nothing").exists()
