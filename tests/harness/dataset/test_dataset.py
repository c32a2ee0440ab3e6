"""Datasets: the same bytes wherever they are made, nothing good lost, and nothing wrong unnoticed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness.dataset.items as dataset_items
from harness.cli.main import main
from harness.dataset.folder import read_manifest
from harness.dataset.make import BuildSummary, build, plan, verify
from harness.dataset.name import dataset_of
from harness.dataset.spec import load_spec
from harness.workers.executors import Engine, LocalProcesses, engine
from mrsim.errors import InputError
from mrsim.stream import load

pytestmark = pytest.mark.slow

SPEC = """
name = "small"
title = "a small set"
seed = 3
phantoms = ["quasar"]
subjects = 2
[scan]
seconds = 0.3
matrix = [16, 16]
acceleration = { each = [2, 4] }
coils = { choice = [1, 2] }
[subject]
target_scale = { range = [0.8, 1.2] }
[breathing.calm]
amplitude_mm = { range = [5, 12] }
[breathing.deep]
amplitude_mm = { range = [70, 100] }
phase = 0.5
[split]
train = 0.5
test = 0.5
"""
ITEMS = 8
LIMIT_S = 300.0
Usage = namedtuple("Usage", "total used free")


class Backwards(Executor):
    """Begin what is handed in last first, in this process."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, fn: Any, /, *args: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, fn, args))
        if len(self.waiting) == ITEMS:
            for inner, function, given in reversed(self.waiting):
                inner.set_result(function(*given))
        return future


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text(SPEC)
    return file


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset made in this process, in order."""
    place = tmp_path_factory.mktemp("reference")
    (place / "small.toml").write_text(SPEC)
    make(place / "small.toml", place / "set")
    return place / "set"


@pytest.fixture
def copied(reference: Path, tmp_path: Path) -> Path:
    shutil.copytree(reference, tmp_path / "set")
    return tmp_path / "set"


def make(file: Path, folder: Path, workers: Engine | None = None, report: Any = None) -> BuildSummary:
    planned = plan(load_spec(file))
    if workers is not None:
        return build(planned, folder, workers, report)
    with ThreadPoolExecutor(1) as pool:
        return build(planned, folder, Engine(pool, 1, shared=False), report)


def manifest(folder: Path) -> dict[str, Any]:
    return read_manifest(folder)


def stamps(folder: Path) -> dict[str, int]:
    return {str(f.relative_to(folder)): f.stat().st_mtime_ns for f in folder.rglob("*.npy")}


def test_the_order_in_which_items_are_made_has_no_part_in_them(
    spec_file: Path, reference: Path, tmp_path: Path
) -> None:
    made = make(spec_file, tmp_path / "set", Engine(Backwards(), ITEMS, shared=False))
    assert made.made == ITEMS
    assert made.manifest == manifest(reference)


def test_two_processes_make_the_same_and_a_killed_worker_changes_nothing(
    spec_file: Path, reference: Path, tmp_path: Path
) -> None:
    with engine(2) as workers:
        pool = workers.executor
        assert isinstance(pool, LocalProcesses)

        def kill(done: int, total: int, now: str = "") -> None:
            if done in (1, 4) and pool.pids:
                os.kill(pool.pids[0], signal.SIGKILL)

        made = make(spec_file, tmp_path / "set", workers, kill)
    assert made.manifest == manifest(reference)
    assert not list((tmp_path / "set").rglob("*.partial-*")) or made.made == ITEMS


def test_a_dask_cluster_of_two_workers_makes_the_same(
    spec_file: Path, reference: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    program = f"""
import sys
from distributed import LocalCluster
from harness.cli.main import main
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        code = main(["dataset", {str(spec_file)!r}, "-o", {str(tmp_path / "set")!r},
                     "--cluster", cluster.scheduler_address])
    sys.exit(code)
"""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path / "set") == manifest(reference)


@pytest.mark.parametrize("after", [1, 5])
def test_a_killed_process_is_picked_up_where_it_stopped(
    spec_file: Path, reference: Path, tmp_path: Path, after: int
) -> None:
    folder = tmp_path / "set"
    command = [sys.executable, "-m", "harness.cli", "dataset", str(spec_file), "-o", str(folder)]
    process = subprocess.Popen([*command, "--workers", "1"], stdout=subprocess.DEVNULL)
    journal, limit = folder / "journal.jsonl", time.monotonic() + LIMIT_S
    while not journal.is_file() or journal.read_bytes().count(b"\n") < after + 1:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    orphans = [int(pid) for pid in children.read_text().split()] if children.is_file() else []
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT_S)
    while any(Path(f"/proc/{pid}").exists() for pid in orphans):  # they end when their parent does
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert not (folder / "manifest.json").exists()
    there = journal.read_bytes().count(b"\n") - 1
    before = stamps(folder)
    with journal.open("ab") as file:
        file.write(b'{"record": {"name": "quasar-0_2')  # as a kill amid a write would leave it
    again = make(spec_file, folder)
    assert again.kept == there >= after
    assert again.made == ITEMS - there
    kept = [json.loads(line)["record"]["path"] for line in journal.read_bytes().splitlines()[1 : there + 1]]
    after_all = stamps(folder)
    assert all(after_all[name] == before[name] for name in before if any(name.startswith(p) for p in kept))
    assert again.manifest == manifest(reference)
    assert not list(folder.rglob("*.partial-*"))


def test_the_manifest_says_how_each_item_was_made(reference: Path) -> None:
    read = manifest(reference)
    assert len(read["items"]) == ITEMS
    assert set(read["versions"]) == {"mrsim", "numpy", "numba", "python"}
    for item in read["items"]:
        stream = load(reference / item["path"])
        asked = item["parameters"]["scan"]
        assert stream.provenance is not None
        assert stream.provenance.seed == item["seed"]
        assert stream.header.coils == asked["coils"]
        assert stream.header.acceleration == asked["acceleration"]
        moved = item["parameters"]["breathing"]["amplitude_mm"]
        assert f"amplitude_mm = {moved!r}" in stream.provenance.phantom_text
        assert item["path"].startswith(f"{item['part']}/{item['subject']}_")
    assert len({item["seed"] for item in read["items"]}) == ITEMS
    parts = {item["subject"]: item["part"] for item in read["items"]}
    assert sorted(parts.values()) == ["test", "train"]


def test_a_drawing_that_does_not_fit_is_drawn_again(reference: Path) -> None:
    deep = [i for i in manifest(reference)["items"] if i["parameters"]["way_to_breathe"] == "deep"]
    assert any(item["attempt"] > 0 for item in deep)  # above about 80 mm the target leaves the insert


def test_the_datasheet_names_hash_parts_and_a_picture(reference: Path) -> None:
    text = (reference / "README.md").read_text()
    read = manifest(reference)
    assert read["hash"] in text
    assert "| train | 1 | 4 |" in text
    assert "contact-sheet.png" in text
    assert (reference / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


def test_a_corrupt_item_is_reported_made_again_and_nothing_else_is_touched(
    spec_file: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = manifest(copied)["items"][3]
    flip(copied / item["path"] / "samples.npy")
    assert main(["dataset", str(spec_file), "-o", str(copied), "--verify", "0"]) == 1
    assert f"{item['name']}: corrupt: its content has another SHA-256" in capsys.readouterr().out
    before = stamps(copied)
    (copied / manifest(copied)["items"][5]["path"] / "mask.npy").write_bytes(b"\x93NUMPY")
    again = make(spec_file, copied)
    assert set(again.repaired) == {item["name"], manifest(copied)["items"][5]["name"]}
    assert again.kept == ITEMS - 2
    changed = {name for name, stamp in stamps(copied).items() if before[name] != stamp}
    assert {name.rpartition("/")[0] for name in changed} == {
        manifest(copied)["items"][n]["path"] for n in (3, 5)
    }
    assert verify(copied, 0).wrong == {}


def test_verification_makes_items_again(copied: Path) -> None:
    assert verify(copied, 2).wrong == {}
    text = copied / "subjects" / "quasar-0.toml"
    text.write_text(text.read_text().replace('tissue = "gel"', 'tissue = "liver"', 1))
    found = verify(copied, ITEMS)
    assert found.items == found.remade == ITEMS
    assert set(found.wrong) == {i["name"] for i in manifest(copied)["items"] if i["subject"] == "quasar-0"}
    assert all("made again" in why for why in found.wrong.values())


def test_another_specification_is_refused_and_nothing_is_touched(spec_file: Path, copied: Path) -> None:
    before = stamps(copied)
    for old, new in (("seed = 3", "seed = 4"), ("seconds = 0.3", "seconds = 0.2")):
        spec_file.write_text(SPEC.replace(old, new))
        with pytest.raises(InputError, match="begun from another specification"):
            make(spec_file, copied)
    assert stamps(copied) == before
    assert (copied / "spec.toml").read_text() == SPEC


def test_other_versions_are_refused(spec_file: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.dataset.make.versions", lambda: {"mrsim": "9"})
    with pytest.raises(InputError, match="go on with those versions"):
        make(spec_file, copied)
    planned = plan(load_spec(spec_file))
    order = dataset_items.task_of(planned.spec, copied, planned.items[0], None)
    with monkeypatch.context() as patch:
        patch.setattr(dataset_items, "versions", lambda: {"mrsim": "8"})
        with pytest.raises(InputError, match="install the same versions everywhere"):
            dataset_items.make_item(order)


def test_a_disk_without_room_is_refused_before_any_work(
    spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(1, 1, 1 << 20))
    with pytest.raises(InputError, match="are free; make room"):
        make(spec_file, tmp_path / "set")
    assert not list((tmp_path / "set").rglob("*.npy"))


def test_a_disk_that_fills_up_loses_nothing_good(
    spec_file: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path).free

    def filling(_: Any) -> Usage:
        return Usage(free, 0, 0 if len(list((tmp_path / "set").rglob("*.stream"))) >= 3 else free)

    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", filling)
        with pytest.raises(InputError, match=r"5 of 8 items are missing.* 0 bytes are free.* 3 are kept"):
            make(spec_file, tmp_path / "set")
    again = make(spec_file, tmp_path / "set")
    assert (again.kept, again.made) == (3, 5)
    assert again.manifest == manifest(reference)


def test_two_runs_do_not_write_one_folder(spec_file: Path, tmp_path: Path) -> None:
    def intrude(done: int, total: int, now: str = "") -> None:
        if done == 1:
            with pytest.raises(InputError, match="another run is writing it"):
                make(spec_file, tmp_path / "set")

    assert make(spec_file, tmp_path / "set", None, intrude).made == ITEMS


def test_what_stands_there_already_is_not_written_over(spec_file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists and is not a dataset"):
        make(spec_file, tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="no such folder"):
        make(spec_file, tmp_path / "nowhere" / "set")
    with pytest.raises(InputError, match="it is a file"):
        make(spec_file, spec_file)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m["items"][0].update(seed=5), "its items do not give its hash"),
        (lambda m: m.update(format="other"), "this mrsim reads"),
        (lambda m: m.pop("items"), "damaged"),
    ],
)
def test_a_changed_manifest_is_refused(copied: Path, change: Any, told: str) -> None:
    read = json.loads((copied / "manifest.json").read_text())
    change(read)
    (copied / "manifest.json").write_text(json.dumps(read))
    with pytest.raises(InputError, match=told):
        read_manifest(copied)


def test_a_manifest_that_leads_outside_is_refused(copied: Path) -> None:
    from harness.dataset.folder import manifest_hash

    for path in ("../../etc.stream", "/etc/a.stream", "train/../../a.stream"):
        read = json.loads((copied / "manifest.json").read_text())
        read["items"][0]["path"] = path
        read["hash"] = manifest_hash(read)
        (copied / "manifest.json").write_text(json.dumps(read))
        with pytest.raises(InputError, match="outside the dataset"):
            read_manifest(copied)


def test_a_result_names_the_dataset_and_its_hash(reference: Path, tmp_path: Path) -> None:
    read = manifest(reference)
    item = read["items"][2]
    assert dataset_of(reference / item["path"]) == {
        "name": "small",
        "hash": read["hash"],
        "item": item["name"],
    }
    shutil.copytree(reference / item["path"], reference / "test" / "copy.stream")
    assert dataset_of(reference / "test" / "copy.stream") is None
    shutil.rmtree(reference / "test" / "copy.stream")
    assert dataset_of(tmp_path / "a.stream") is None
    assert dataset_of(None) is None


def test_items_of_a_pair_breathe_alike(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        SPEC.replace("seed = 3", "seed = 3\npaired = true").replace("coils = { choice = [1, 2] }", "")
    )
    made = make(tmp_path / "s.toml", tmp_path / "set")
    names = [i["name"] for i in made.manifest["items"] if "calm" in i["name"] and i["subject"] == "quasar-0"]
    first, second = (load(tmp_path / "set" / i["path"]) for i in made.manifest["items"] if i["name"] in names)
    assert first.header.acceleration != second.header.acceleration
    assert first.truth is not None
    assert second.truth is not None
    lines = min(len(first), len(second))
    np.testing.assert_array_equal(first.truth.centroid[:lines], second.truth.centroid[:lines])
