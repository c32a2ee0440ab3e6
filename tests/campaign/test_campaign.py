"""A part of the fault campaign, and that it sees what is wrong; `scripts/campaign.py` plays all of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.cli.arguments import COMMANDS as KNOWN
from scripts.campaign import table
from tests.campaign.commands import COMMANDS, Command
from tests.campaign.faults import FAULTS, Bench
from tests.campaign.running import Ran, contents, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts and /proc"),
]
SHORT = Command("simulate", "simulate quasar -o {target} --frames 12 --matrix 32 32", "", "q.stream")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    pytest.importorskip("matplotlib")
    made = Bench(SHORT, tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("work"), 2)
    assert made.wrong == []
    return made


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("no space", {"2", "skipped"}),
        ("read-only", {"2", "skipped"}),
        ("SIGTERM", {"143", "143, 0"}),  # the last moment may come when all is done
        ("SIGKILL", {"-9, 0"}),
        ("odd names", {"0"}),
    ],
)
def test_a_scan_keeps_its_promises_under(fault: str, codes: set[str], bench: Bench) -> None:
    found = bench.play(fault)
    assert bench.wrong == []
    assert found in codes


def test_every_command_and_every_fault_has_its_cell() -> None:
    assert {name.partition(",")[0] for name in COMMANDS} == set(KNOWN)
    text = table({name: dict.fromkeys(FAULTS, "0") for name in COMMANDS})
    assert len(text.splitlines()) == len(COMMANDS) + 2
    assert "|  |" not in text


@pytest.mark.parametrize(
    ("ran", "told"),
    [
        (Ran(None, "", 1.0, 0), "hang"),
        (Ran(1, "", 1.0, 0), "code 1"),
        (Ran(0, "Traceback (most recent call last)\n", 1.0, 0), "traceback"),
        (Ran(0, "one\ntwo\n", 1.0, 0), "2 lines"),
        (Ran(0, "", 1.0, 3), "3 processes left"),
    ],
)
def test_what_a_run_breaks_is_seen(ran: Ran, told: str) -> None:
    assert any(found.startswith(told) for found in ran.wrong(0))
    assert Ran(0, "mrsim: a note\n", 1.0, 0).wrong(0) == []


def test_files_that_are_left_or_differ_are_seen(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "q.stream").mkdir()
    (tmp_path / "q.stream" / "header.json").write_text("{}")
    (tmp_path / "a.partial-1").write_text("half")
    kept = bench.wrong
    try:
        bench.wrong = []
        bench._nothing_left("planted", tmp_path, whole=True)
        bench._none_or_whole("planted", tmp_path)
        assert [found.partition(":")[2].split()[0] for found in bench.wrong] == [
            "['a.partial-1']",
            "other",
            "half",
        ]
    finally:
        bench.wrong = kept
    assert contents(tmp_path / "a.partial-1", (".partial-1",)) == {"": "there"}


def test_a_process_that_outlives_its_command_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.campaign.running.SURVIVORS_S", 0.5)
    ran = run(["--version"], tmp_path, streams="& first=$!; sleep 30 2>/dev/null & wait $first")
    assert ran.survivors == 1
