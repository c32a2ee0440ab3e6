"""What stands around a command: folders that are gone, hosts without room, odd variables, any seed."""

from __future__ import annotations

import errno
import gc
import importlib
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.cli.main import main
from harness.cli.process.environment import check_environment
from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.anatomy.series.stored import store_patient
from mrsim.errors import FileError, InputError
from mrsim.files.arrays import map_array, read_arrays
from mrsim.files.partials import partial_path, whole_name
from mrsim.files.writing import amount, unwritable
from mrsim.plotting import plotting
from mrsim.stream import load, save
from recon.cascade.checkpoint import find
from tests.harness.synthetic import moving_stream
from tests.mrsim.anatomy.series.cines import cine

LARGEST = 2**128 - 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
)
@pytest.mark.parametrize("value", ["abc", "0", "-1", "1.5", "9" * 30, "2,x"])
def test_a_number_of_threads_that_is_none_is_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["phantoms"]) == 2
    assert f"error: {name}={value}: expected a whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_NUM_THREADS", "2, 1"), ("NUMBA_NUM_THREADS", " 1 "), ("MKL_NUM_THREADS", "")]
)
def test_a_number_of_threads_that_is_one_goes_through(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    check_environment()


@pytest.mark.parametrize("name", ["OPT", "THREADING_LAYER", "DEBUG", "ENABLE_AVX", "DISABLE_JIT"])
def test_what_numba_would_answer_with_a_traceback_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "0", "2", "omp"):
        monkeypatch.setenv(f"NUMBA_{name}", value)
        if value in {"THREADING_LAYER": ("", "omp"), "DISABLE_JIT": ("", "0")}.get(name, ("", "0", "2")):
            check_environment()
        else:
            with pytest.raises(InputError, match=f"NUMBA_{name}={value}: "):
                check_environment()


def test_kernels_that_are_not_to_be_compiled_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")
    assert main(["phantoms"]) == 0
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert main(["phantoms"]) == 2
    assert "error: NUMBA_DISABLE_JIT=1: our kernels are computed by machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "quasar", "-o", "q.stream", "--frames", "2"],
        ["doctor", "--json", "d.json"],
    ],
    ids=lambda words: words[0],
)
def test_where_the_folder_is_gone_that_is_told(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")
    try:
        code = main(words)
    finally:
        os.chdir(tmp_path)
    told = "the folder that it is called from is gone; change to another one"
    assert (code, capsys.readouterr().err) == (2, f"mrsim: error: {told}\n")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN])
@pytest.mark.parametrize("reader", [map_array, lambda path: read_arrays(path, 1 << 20, "weights")])
def test_what_the_host_cannot_do_is_no_damage(
    number: int, reader: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a.npy" if reader is map_array else "a.npz"
    np.savez("a.npz", a=np.zeros(3))
    np.save("a.npy", np.zeros(3))

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("mrsim.files.arrays.np.memmap", fail)
        patch.setattr("mrsim.files.arrays.zipfile.ZipFile", fail)
        with pytest.raises(FileError, match=f"{name}: cannot be read: {os.strerror(number)}"):
            reader(name)
    Path(name).write_bytes(Path(name).read_bytes()[:-9])
    with pytest.raises(FileError, match=r"truncated|damaged"):
        reader(name)


@pytest.mark.parametrize(
    ("kind", "told"), [("pipe", "it is a pipe"), ("folder", "it is a folder"), ("link", "it is a link")]
)
def test_weights_that_are_no_file_are_named_by_their_kind(kind: str, told: str, folder: Path) -> None:
    path = folder / "w.npz"
    {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda p: p.symlink_to("nowhere")}[kind](path)
    with pytest.raises(InputError, match=told):
        find("w.npz")


def test_a_patient_is_stored_with_its_picture_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    np.savez("cine.npz", **cine(40))
    seen: list[list[str]] = []

    def full(room: Path, _: object) -> None:
        seen.append(sorted(path.name for path in room.iterdir()))
        raise unwritable(room / "picture.png", OSError(errno.ENOSPC, "No space left on device"))

    with pytest.raises(InputError, match=r"mine/picture.png: cannot be written: No space left") as told:
        store_patient(read_cine("cine.npz"), folder / "mine", 1.0, twin=False, overwrite=False, beside=full)
    assert ".partial-" not in str(told.value)
    assert "patient.json" in seen[0]
    assert sorted(path.name for path in folder.iterdir()) == ["cine.npz"]
    assert main(["patient", "cine.npz", "-o", "mine"]) == 0
    assert (folder / "mine" / "picture.png").is_file()


def test_matplotlib_says_nothing_of_its_folders(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("matplotlib")
    before = log.level

    def imported(name: str) -> SimpleNamespace:
        log.warning("%s created a temporary cache directory", name)
        return SimpleNamespace(Figure=1, FigureCanvasAgg=2)

    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", imported)
        assert plotting() == (1, 2)
    assert caplog.records == []
    assert log.level == before


@pytest.mark.parametrize("seed", [0, 2**63 - 1, 2**63, 2**64, LARGEST])
def test_any_seed_makes_a_scan_that_is_read_again(seed: int, folder: Path) -> None:
    words = ["simulate", "quasar", "-o", "q.stream", "--frames", "2", "--matrix", "16", "16"]
    assert main([*words, "--seed", str(seed)]) == 0
    scan = load("q.stream")
    assert scan.provenance is not None
    assert scan.provenance.seed == seed


@pytest.mark.parametrize("command", ["replay", "compare", "guard", "hardness", "report"])
def test_any_seed_judges(command: str, folder: Path) -> None:
    save(moving_stream(40), folder / "a.stream")
    words = {
        "replay": "replay a.stream view-sharing --clock virtual --frames 20 --faults drop:p=0.1",
        "compare": "compare view-sharing zero-filled --on a.stream --lockstep --frames 20",
        "guard": "guard view-sharing zero-filled a.stream --images 20",
        "hardness": "hardness a.stream",
        "report": "report a.stream view-sharing --clock virtual --frames 20 --no-audit -o r.html",
    }[command]
    if command == "report":
        pytest.importorskip("matplotlib")
    assert main([*words.split(), "--seed", str(LARGEST)]) in (0, 1, 3, 4)


def test_any_seed_trains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", "quasar", "-o", "t.stream", "--frames", "40", "--matrix", "32", "32"]
    assert main(words) == 0
    train = "train t.stream --network population --set filters=4 --set blocks=1 --set convolutions=2"
    for name, seed in (("a", LARGEST), ("b", LARGEST), ("c", LARGEST - 1)):
        more = f"--epochs 1 1 --columns 32 -o {name}.npz --seed {seed}"
        assert main([*train.split(), *more.split()]) == 0
    found = {}
    for name in "abc":
        with np.load(f"{name}.npz") as arrays:
            found[name] = b"".join(arrays[one].tobytes() for one in sorted(arrays.files) if one != "record")
    assert found["a"] == found["b"] != found["c"]


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (0, "0 bytes"),
        (10239, "10239 bytes"),
        (10240, "10 KiB"),
        (10 << 20, "10 MiB"),
        (7 << 30, "7168 MiB"),
        (10 << 30, "10 GiB"),
    ],
)
def test_a_number_of_bytes_is_told_in_its_unit(size: int, told: str) -> None:
    assert amount(size) == told


def test_what_is_half_written_is_named_as_it_will_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.stream"
    assert whole_name(partial_path(path) / "ky.npy") == str(path / "ky.npy")
    assert whole_name(path) == str(path)


def test_a_small_disk_says_what_a_dataset_takes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "s.toml").write_text(
        'name = "small"\ntitle = "a set"\nseed = 3\nphantoms = ["quasar"]\n'
        "[scan]\nseconds = 0.2\nmatrix = [16, 16]\n"
    )
    usage = shutil.disk_usage(folder)._replace(free=1 << 16)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert main(["dataset", "s.toml", "-o", "set", "--workers", "1"]) == 2
    assert "KiB are to be written with 64 MiB to spare, and 64 KiB are free" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "a.stream", "{}", "--clock", "virtual"],
        ["simulate", "quasar", "-o", "{}", "--frames", "2"],
        ["simulate", "quasar", "-o", "q.stream", "--frames", "2", "--set", "{}=1"],
        ["simulate", "quasar", "-o", "q.stream", "--frames", "{}"],
        ["simulate", "quasar", "--{}"],
        ["{}"],
    ],
)
def test_what_is_said_is_bounded_whatever_was_given(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(moving_stream(20), folder / "a.stream")
    try:
        code = main([word.format("x" * 100_000) for word in words])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1)
    assert len(error) < 2100


def test_garbage_is_collected_as_before_in_a_process_that_calls_a_command() -> None:
    frozen, thresholds = gc.get_freeze_count(), gc.get_threshold()
    assert main(["phantoms"]) == 0
    assert gc.isenabled()
    assert (gc.get_freeze_count(), gc.get_threshold()) == (frozen, thresholds)


def test_garbage_is_collected_while_a_command_of_its_own_process_runs() -> None:
    """Only its libraries are kept from being looked through: what it makes itself is let go of."""
    code = (
        "import gc, sys, harness.cli.main as m, harness.cli.scan.phantoms as p\n"
        "real = p.run\n"
        "def run(**options):\n"
        "    print(gc.isenabled(), gc.get_freeze_count() > 1000)\n"
        "    return real(**options)\n"
        "p.run = run\n"
        "sys.exit(m._program(['phantoms']))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ran.stdout.splitlines()[0] == "True True", ran.stderr
    assert ran.returncode == 0


def test_a_file_that_a_candidate_leaves_open_is_written_to_its_end(folder: Path) -> None:
    """An object in a circle is let go of by the collection at the end, which its file waits for."""
    (folder / "mine.py").write_text(
        "class Notes:\n"
        "    def open(self, header, emit):\n"
        "        self.me, self.file = self, open('notes.txt', 'w')\n"
        "    def push(self, line):\n"
        "        self.file.write(f'{line.index}\\n')\n"
        "    def close(self):\n"
        "        self.file.write('closed\\n')\n"
        "def build():\n"
        "    return Notes()\n"
    )
    save(moving_stream(), "a.stream")
    words = ["replay", "a.stream", "python:mine.py:build", "--clock", "virtual", "--no-quality"]
    command = [sys.executable, "-W", "ignore", "-m", "harness.cli", *words]
    ran = subprocess.run(command, capture_output=True, timeout=300, text=True)
    written = (folder / "notes.txt").read_text().splitlines()
    assert written[-1] == "closed", ran.stdout + ran.stderr
