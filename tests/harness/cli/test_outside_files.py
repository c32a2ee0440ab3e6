"""Whatever file a command is given: one line, code 2, at once, and nothing is harmed."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from mrsim.stream import save
from tests.harness.synthetic import make_stream

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(make_stream(40), tmp_path_factory.mktemp("outside") / "a.stream")


@pytest.fixture
def folder(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work beside a stream, links, pipes and what is of use to nobody; none of it may change."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(stored, "a.stream")
    for name in ("pipe", "pipe.json", "pipe.toml", "pipe.npz", "pipe.h5", "pipe.pt2", "pipe.csv"):
        os.mkfifo(name)
    for name in ("zero.toml", "zero.npz", "zero.h5", "zero.csv"):
        Path(name).symlink_to("/dev/zero")
    shutil.copytree(stored, "piped.stream")
    Path("piped.stream/samples.npy").unlink()
    os.mkfifo("piped.stream/samples.npy")
    shutil.copytree(stored, "zero.stream")
    Path("zero.stream/t_ns.npy").unlink()
    Path("zero.stream/t_ns.npy").symlink_to("/dev/zero")
    Path("dots.toml").write_text("a" + ".a" * 30_000 + " = 1\n")
    Path("deep.toml").write_text("x = " + "[" * 20_000)
    for kind in ("pipe", "zero"):
        traced = f"[motion.m]\nkind = 'trace'\nfile = '{kind}.csv'\ndirection = [1, 0]\n"
        Path(f"traced-{kind}.toml").write_text("title = 'x'\ntarget = 't'\n" + traced)
    Path("real.json").write_text("precious")
    Path("link.json").symlink_to("real.json")
    Path("link.csv").symlink_to("real.json")
    Path("link.stream").symlink_to("a.stream")
    Path("notes").mkdir()
    Path("notes/header.json").write_text("{}")
    Path("set/train").mkdir(parents=True)
    Path("set/journal.jsonl").write_text('{"head": {"format": "mrsim-dataset"}}\n')
    before = state(tmp_path)
    yield tmp_path
    assert state(tmp_path) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert stat.S_ISCHR(os.stat("/dev/zero").st_mode)


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        found[str(path)] = (stat.S_IFMT(mode), path.read_bytes() if stat.S_ISREG(mode) else b"")
    return found


SIMULATE = ["simulate", "quasar", "--frames", "1"]
REPLAY = ["replay", "a.stream", "null", "--clock", "virtual"]
READ = {
    "an array that is a pipe": (["replay", "piped.stream", "null"], "samples.npy: it is a pipe"),
    "an array that is a device": (["replay", "zero.stream", "null"], "t_ns.npy: it is a device"),
    "a stream that is a pipe": (["replay", "pipe", "null"], "pipe: not a stream"),
    "a profile that is a pipe": ([*REPLAY, "--profile", "pipe.toml"], "it is a pipe"),
    "a profile that is a device": ([*REPLAY, "--profile", "zero.toml"], "it is a device"),
    "a profile of dots": ([*REPLAY, "--profile", "dots.toml"], "a key of more than 32 parts"),
    "a deep profile": ([*REPLAY, "--profile", "deep.toml"], "nested more than 64 deep"),
    "service times that are a pipe": ([*REPLAY, "--service", "pipe.npz"], "it is a pipe"),
    "service times that are a device": ([*REPLAY, "--service", "zero.npz"], "it is a device"),
    "a phantom that is a pipe": (["simulate", "pipe.toml", "--frames", "1", "-o", "b"], "it is a pipe"),
    "a phantom that is a device": (["simulate", "zero.toml", "--frames", "1", "-o", "b"], "it is a device"),
    "a phantom of dots": (["simulate", "dots.toml", "--frames", "1", "-o", "b"], "a key of more than 32"),
    "a trace that is a pipe": (["simulate", "traced-pipe.toml", "--frames", "1", "-o", "b"], "it is a pipe"),
    "a trace that is a device": (["simulate", "traced-zero.toml", "--frames", "1", "-o", "b"], "it is a dev"),
    "a set of dots": (["dataset", "dots.toml", "--plan"], "a key of more than 32 parts"),
    "a set that is a pipe": (["dataset", "pipe.toml", "--plan"], "it is a pipe"),
    "weights that are a pipe": (["replay", "a.stream", "cascade:pipe.npz"], "pipe.npz"),
    "weights that are a device": (["replay", "a.stream", "cascade:zero.npz"], "zero.npz"),
    "a program that is a pipe": (["replay", "a.stream", "export:pipe.pt2"], "pipe.pt2"),
    "a file to convert that is a pipe": (["convert", "pipe.h5", "b"], "it is a pipe"),
    "a file to convert that is a device": (["convert", "zero.h5", "b"], "it is a device"),
    "a setting of brackets": ([*SIMULATE, "-o", "b", "--set", "target=" + "[" * 5000], "target"),
}
WRITE = {
    "onto a device": ([*REPLAY, "--json", "/dev/null"], "/dev/null: it is a device"),
    "onto standard output": (["doctor", "--json", "/dev/stdout"], "/dev/stdout: it is a"),
    "through a link": (["doctor", "--json", "link.json"], "link.json: it is a link"),
    "onto a pipe": (["audit", "null", "a.stream", "--json", "pipe.json"], "pipe.json: it is a pipe"),
    "a header": ([*REPLAY, "--json", "a.stream/header.json"], "inside a stream"),
    "a header by a link": ([*REPLAY, "--json", "link.stream/header.json"], "inside a stream"),
    "samples": ([*REPLAY, "--samples", "a.stream/samples.npz"], "inside a stream"),
    "a page": ([*REPLAY, "--report", "a.stream/r.html"], "inside a stream"),
    "a picture in a stream": (["phantoms", "quasar", "--png", "a.stream/p.png"], "inside a stream"),
    "a picture of another name": (["phantoms", "quasar", "--png", "p.gif"], r"p\.gif: expected .* \.png"),
    "raw samples of another name": ([*REPLAY, "--samples", "s.json"], r"s\.json: expected .* \.npz"),
    "a guard's result": (["guard", "null", "null", "a.stream", "--json", "link.json"], "it is a link"),
    "a comparison": (["compare", "null", "--on", "a.stream", "--json", "a.stream/c.json"], "inside a stream"),
    "weights in a stream": (["train", "a.stream", "-o", "a.stream/w.npz"], "inside a stream"),
    "a log through a link": (["train", "a.stream", "-o", "w.npz", "--losses", "link.csv"], "it is a link"),
    "a stream that is there": ([*SIMULATE, "-o", "a.stream"], "a stream is there already; .*--overwrite"),
    "a folder of something else": (
        [*SIMULATE, "-o", "notes", "--overwrite"],
        "notes: exists and is not a str",
    ),
    "a stream in a stream": ([*SIMULATE, "-o", "a.stream/b.stream"], "inside a stream"),
    "a stream through a link": ([*SIMULATE, "-o", "link.stream", "--overwrite"], "link.stream: it is a link"),
    "a stream onto a device": ([*SIMULATE, "-o", "/dev/null"], "/dev/null: it is a device"),
    "a stream onto a file": ([*SIMULATE, "-o", "real.json", "--overwrite"], "exists and is not a stream"),
    "a sequence onto a device": ([*SIMULATE, "-o", "b", "--pulseq", "/dev/null"], "it is a device"),
    "a converted file in a stream": (["convert", "a.stream", "a.stream/b.h5"], "inside a stream"),
    "a converted file through a link": (["convert", "a.stream", "broken.h5"], "broken.h5: it is a link"),
    "a result in a dataset": (["doctor", "--json", "set/manifest.json"], "inside the dataset"),
    "a picture in a dataset": (["phantoms", "quasar", "--png", "set/train/p.png"], "inside the dataset"),
    "weights in a dataset": (["train", "a.stream", "-o", "set/w.npz"], "inside the dataset"),
    "a stream in a dataset": ([*SIMULATE, "-o", "set/train/b.stream"], "inside the dataset"),
    "a converted file in a dataset": (["convert", "a.stream", "set/b.h5"], "inside the dataset"),
    "a dataset in a dataset": (["dataset", "nsclc-v1", "-o", "set/train/more"], "inside the dataset"),
    "a demonstration in a dataset": (["demo", "-o", "set/train"], "inside the dataset"),
    "a table in a stream": (["table", "-o", "a.stream"], "inside a stream"),
    "a table in a dataset": (["table", "-o", "set/train"], "inside the dataset"),
    "a page of another name": ([*REPLAY, "--report", "r.gif"], r"r\.gif: expected .* \.html"),
    "a report of another name": (
        ["report", "a.stream", "null", "-o", "r.png"],
        r"r\.png: expected .* \.html",
    ),
    "a result of another name": ([*REPLAY, "--json", "r.html"], r"r\.html: expected .* \.json"),
    "an audit of another name": (
        ["audit", "null", "a.stream", "--json", "r.npz"],
        r"r\.npz: expected .* \.json",
    ),
    "a log of another name": (
        ["train", "a.stream", "-o", "w.npz", "--losses", "l.png"],
        r"l\.png: expected .* \.csv",
    ),
    "a dataset through a link": (["dataset", "nsclc-v1", "-o", "link.stream"], "it is a link"),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_read_is_refused_at_once(folder: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused(*READ[case], capsys)


@pytest.mark.parametrize("case", WRITE)
def test_what_is_written_is_refused_before_the_work(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "a converted file through a link":
        Path("broken.h5").symlink_to("nowhere")
        refused(*WRITE[case], capsys)
        assert Path("broken.h5").is_symlink()
        Path("broken.h5").unlink()
    else:
        refused(*WRITE[case], capsys)


def refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    assert main(words) == 2
    assert time.monotonic() - start < 30  # most of it imports, on a busy host
    out, error = capsys.readouterr()
    assert error.count("\n") == 1, (out, error)
    assert error.startswith("mrsim: error: ")
    assert re.search(told, error), error


def test_only_a_stream_is_replaced_and_only_when_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["simulate", "quasar", "--frames", "2", "--matrix", "32", "32", "-o", "a.stream", "--seed"]
    assert main([*words, "1"]) == 0
    first = np.load("a.stream/samples.npy")
    assert main([*words, "2"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load("a.stream/samples.npy"), first)
    assert main([*words, "2", "--overwrite"]) == 0
    assert (np.load("a.stream/samples.npy") != first).any()
    assert [path.name for path in tmp_path.iterdir()] == ["a.stream"]


@pytest.mark.parametrize("reads", ["times", "weights", "weights with a convention", "a link to them"])
def test_what_a_call_reads_is_not_written_over(
    folder: Path, reads: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own.npz").write_bytes(b"precious")
    os.link("own.npz", "same.npz")
    words = {
        "times": ["null", "--service", "own.npz"],
        "weights": ["cascade:own.npz"],
        "weights with a convention": ["cascade:own.npz?scale=fit"],
        "a link to them": ["null", "--service", "same.npz"],
    }[reads]
    refused(
        ["replay", "a.stream", *words, "--samples", "own.npz"],
        r"--samples own\.npz: the same call reads it",
        capsys,
    )
    assert Path("own.npz").read_bytes() == b"precious"
    Path("own.npz").unlink()
    Path("same.npz").unlink()
