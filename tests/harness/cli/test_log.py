"""`--verbose` and `--log FILE`: what a command does, told in one way for all of them."""

from __future__ import annotations

import contextlib
import logging
import re
from pathlib import Path

import pytest

import harness.cli.log
import harness.console
from harness.cli.arguments import COMMANDS, read
from harness.cli.log import noting
from harness.cli.main import main
from harness.console import progress
from mrsim.stream import save
from tests.harness.cli.test_commands import NEEDED
from tests.harness.synthetic import make_stream

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [\w.]+: .*")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(make_stream(24), tmp_path / "a.stream")
    return tmp_path


REPLAY = ["replay", "a.stream", "view-sharing", "--clock", "virtual", "--no-quality", "--json", "r.json"]


def test_a_log_says_what_was_asked_read_played_written_and_how_it_ended() -> None:
    code = main([*REPLAY, "--log", "a.log"])
    lines = Path("a.log").read_text("utf-8").splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    told = [line.split(": ", 1)[1] for line in lines]
    assert told[0].endswith(f": {' '.join(REPLAY)} --log a.log")
    assert "clock='virtual'" in told[1]
    order = [
        next(i for i, text in enumerate(told) if text.startswith(what))
        for what in ("reading a.stream/header.json", "replaying ", "wrote r.json", f"exit code {code} ")
    ]
    assert order == sorted(order)
    assert order[-1] == len(told) - 1


def test_verbose_says_the_same_on_standard_error_and_output_stays(capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "a.stream"])
    plain = capsys.readouterr()
    main(["info", "a.stream", "--verbose", "--log", "a.log"])
    told = capsys.readouterr()
    assert (plain.err, told.out) == ("", plain.out)
    said = [re.fullmatch(r"\[ *\d+\.\d\d s\] (.*)", line) for line in told.err.splitlines()]
    written = [line.split(": ", 1)[1] for line in Path("a.log").read_text("utf-8").splitlines()]
    assert [found[1] for found in said if found] == written
    # And nobody listens any more.
    main(["info", "a.stream"])
    assert capsys.readouterr().err == ""
    assert not logging.getLogger("mrsim").handlers


def test_an_error_is_in_the_log_and_the_code_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "none.stream", "--log", "a.log"]) == main(["info", "none.stream"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    last = Path("a.log").read_text("utf-8").splitlines()[-1]
    assert "Error: none.stream" in last


FORGED = "2026-01-01T00:00:00.000Z harness: exit code 0"


@pytest.mark.parametrize("end", ["\v", "\f", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_name_that_some_readers_break_forges_no_line(end: str) -> None:
    main(["info", f"x{end}{FORGED}", "--log", "a.log"])
    text = Path("a.log").read_bytes().decode()
    assert FORGED in text
    assert not [line for line in text.splitlines() if line.startswith("2026-01-01T")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_told_line_break_forges_no_line(end: str) -> None:
    def tell() -> int:
        logging.getLogger("harness.candidates").warning("a candidate said: x%s%s", end, FORGED)
        return 0

    noting(False, "a.log", ["info"], {}, tell)
    lines = Path("a.log").read_bytes().decode().splitlines()
    assert [line for line in lines if FORGED in line]
    assert not [line for line in lines if line.startswith("2026-01-01T")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--log", "r.json"], "r.json: expected a name that ends in .log"),
        (["--log", "no/a.log"], "no such folder"),
        (["--log", ""], "--log: expected the name of a file, and it is empty"),
    ],
)
def test_a_log_that_cannot_be_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "a.stream", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_full_disk_is_told_once_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        def write(self, _: str) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(harness.cli.log, "journal", lambda _: contextlib.nullcontext(Full()))
    assert main(["info", "a.stream", "--log", "a.log"]) == 0
    assert capsys.readouterr().err == "mrsim: warning: a.log: No space left on device\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_both(command: str) -> None:
    words = [command, *NEEDED.get(command, [])]
    assert read([*words, "--verbose", "--log", "x.log"]).noted == (True, "x.log")
    assert read(words).noted == (False, None)


def test_where_there_is_no_terminal_a_line_comes_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(harness.console.time, "monotonic", lambda: now)
    with progress("scanning") as report:
        for done in range(26):
            report(done, 25)
            now += 1.0
        now += 60.0
        report(25, 25, "writing")
    with progress("compiling") as report:
        now += 60.0
        report(12, 12)
    assert capsys.readouterr().err.splitlines() == [
        "scanning: 10 of 25 after 10 s", "scanning: 20 of 25 after 20 s",
    ]  # fmt: skip


def test_progress_is_in_the_log_once_for_each_thing_that_is_done(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "harness"), progress("audit") as report:
        for done, now in ((0, "stream"), (1, "stream"), (2, "fine: error 3"), (3, "fine: error 2")):
            report(done, 4, now)
        report(4, 4, "fine: error 1")
    told = [record.getMessage() for record in caplog.records]
    assert told == ["stream: 0 of 4", "fine: error 3: 2 of 4", "fine: error 1: 4 of 4"]
