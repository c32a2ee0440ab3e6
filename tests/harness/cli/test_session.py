"""The command's worth: repetitions pooled, samples kept and played again, faults with their command."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.candidates.registry import Null
from harness.cli.main import main
from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.samples import How, read_service, write_samples
from harness.realtime.service import ConstantService, TableService
from mrsim.errors import InputError
from mrsim.stream import Stream, save
from tests.harness.synthetic import Blank, make_header, make_stream, moving_stream

MS = 1_000_000
STREAM = make_stream(5000, header=make_header(lines_per_frame=1, tr_ns=MS))


def result_of(late: list[int], lines: int = 5000) -> RunResult:
    service = np.zeros(lines, np.int64)
    service[late] = 2 * MS
    stream = STREAM.first_frames(lines)
    return evaluate(
        stream, "it", Blank, clock=VirtualClock(), service=TableService(service), quality=False, warmup=0
    )


def test_a_claim_on_a_tail_takes_three_runs_unless_time_is_modelled() -> None:
    one = result_of([])
    assert one.verdict.outcome is Outcome.PASS
    for count, exact, outcome in (
        (1, False, Outcome.INSUFFICIENT),
        (2, False, Outcome.INSUFFICIENT),
        (3, False, Outcome.PASS),
        (1, True, Outcome.PASS),
    ):
        verdict = Repetitions((one,) * count, exact).verdict
        assert verdict.outcome is outcome
        assert ("--repeat 3" in verdict.reason) == (outcome is Outcome.INSUFFICIENT)


def test_misses_of_all_runs_are_pooled() -> None:
    """A few misses of 5,000 do not carry 99 %; with two clean runs, as many of 15,000 do."""
    bad, good = result_of([100, 200, 300]), result_of([])
    assert bad.verdict.outcome is Outcome.INSUFFICIENT
    assert Repetitions((bad, good, good), False).verdict.outcome is Outcome.PASS
    told = Repetitions((bad, good, good), False).to_json()["repetitions"]
    assert (told["images"], told["misses"]) == (15000, bad.timing.misses)
    assert [run["misses"] for run in told["runs"]] == [bad.timing.misses, 0, 0]


def test_one_run_that_is_void_or_fails_decides() -> None:
    good, failed = result_of([]), result_of(list(range(100, 4900, 10)))
    verdict = Repetitions((good, failed, good), False).verdict
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason.startswith("time: run 2 of 3: ")


@pytest.fixture(scope="module")
def scan() -> Stream:
    return moving_stream(60)


@pytest.fixture
def folder(tmp_path: Path, scan: Stream, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(scan, tmp_path / "a.stream")
    monkeypatch.chdir(tmp_path)
    return tmp_path


QUICK = ["a.stream", "zero-filled", "--clock", "virtual", "--no-quality"]


def test_samples_hold_every_stamp_and_play_again(folder: Path) -> None:
    assert main(["replay", *QUICK, "--samples", "s.npz", "--repeat", "2", "--claim", "0.9"]) in (0, 4)
    with np.load("s.npz") as samples:
        assert samples["started_ns"].shape == (2, 960)
        assert (samples["delivered_ns"] >= samples["due_ns"]).all()
        first = samples["service_ns"][0]
        assert (samples["finished_ns"][0] - samples["started_ns"][0] == first).all()
        emitted = samples["emitted_ns"][0]
        assert (emitted > 0).all()
        assert (emitted <= first[15::16]).all()  # an image comes before its push is over
        assert samples["completed_ns"].shape == samples["completing"].shape == (2, 60)
    argv = ["replay", *QUICK, "--service", "s.npz", "--json", "r.json", "--claim", "0.9"]
    assert main(argv) in (0, 4)
    one = json.loads((folder / "r.json").read_text())
    assert main(argv) in (0, 4)
    assert json.loads((folder / "r.json").read_text())["latency_ms"] == one["latency_ms"]  # to the nanosecond
    assert one["times"] == "played from s.npz"
    assert one["repetitions"]["exact"] is True
    assert one["latency_ms"]["service"]["max"] == emitted[8:].max() / 1e6
    assert sorted(p.name for p in folder.iterdir()) == ["a.stream", "r.json", "s.npz"]


def test_service_times_that_cannot_be_played_are_refused(tmp_path: Path) -> None:
    file, how = tmp_path / "s.npz", How()
    run = replay(STREAM, Null(), VirtualClock(), ConstantService(5), keep_images=False)
    write_samples(file, [run], "null", STREAM, how)
    (table,) = read_service(file, "null", STREAM, 1000, how)
    assert table.cost_ns(999) == 5
    whole = file.read_bytes()
    at = whole.index(b"service_ns.npy") + 200
    for damaged in (whole[:100], whole[:-200], b"", b"PK", whole[:at] + b"\7" * 100 + whole[at + 100 :]):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"s\.npz: "):
            read_service(file, "null", STREAM, 1000, how)
    for bad in (np.zeros(3), np.zeros((1, 9)), np.full((1, 1000), -1), np.array([["a"]]), np.array([None])):
        np.savez(file, service_ns=bad)
        with pytest.raises(InputError, match=r"s\.npz: (it has no about, so it is of an older|damaged)"):
            read_service(file, "null", STREAM, 9, how)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        header = (
            b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'fortran_order': False, 'shape': (1, 99999999999), }"
        )
        archive.writestr("service_ns.npy", header.ljust(127) + b"\n")
    with pytest.raises(InputError, match="its header says int64"):
        read_service(file, "null", STREAM, 9, how)


def test_times_are_those_of_one_candidate_and_one_scan(
    folder: Path, scan: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["replay", *QUICK, "--samples", "s.npz"])
    other = dataclasses.replace(scan, samples=scan.samples + np.complex64(1))
    save(other, folder / "b.stream")
    save(scan.first_frames(40), folder / "part.stream")
    capsys.readouterr()
    for words, told in (
        (["a.stream", "view-sharing"], "the times of candidate 'zero-filled', not of 'view-sharing'"),
        (["part.stream", "zero-filled"], "of a scan of 960 lines, this one has 640"),
        (["b.stream", "zero-filled"], "the times of another scan"),
        (["a.stream", "zero-filled", "--stride", "4"], "an image was due every frame"),
    ):
        assert main(["replay", *words, "--clock", "virtual", "--no-quality", "--service", "s.npz"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("mrsim: error: s.npz: ")
        assert told in said
    search = ["replay", *QUICK[:4], "--scenario", "find-peak", "--service", "s.npz"]
    assert main([*search, "--claim", "0.9"]) in (0, 1)
    assert main([*search, "--over", "stride"]) == 2
    assert "times at one stride say nothing of another" in capsys.readouterr().err


def test_a_number_that_is_no_time_is_not_what_the_candidate_raised(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["replay", *QUICK, "--samples", "s.npz"])
    with np.load("s.npz") as samples:
        arrays = dict(samples)
    arrays["service_ns"][0, 20] = 1 << 62
    np.savez("s.npz", **arrays)
    capsys.readouterr()
    assert main(["replay", *QUICK, "--service", "s.npz"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "mrsim: error: s.npz: service_ns, run 1, k-space line 20 (frame 1): 4611686018427387904 ns is above"
    )


def test_what_was_recorded_with_faults_is_played_with_them(folder: Path) -> None:
    argv = ["replay", *QUICK, "--faults", "drop:p=0.01;late:p=0.02,ms=9", "--seed", "3", "--json", "r.json"]
    main([*argv, "--samples", "s.npz"])
    first = json.loads((folder / "r.json").read_text())
    main([*argv, "--service", "s.npz"])
    again = json.loads((folder / "r.json").read_text())
    for key in ("latency_ms", "deadline", "queue", "lines", "touched", "warmup"):
        assert again[key] == first[key], key
    assert (first["times"], again["times"]) == ("measured", "played from s.npz")
    assert main(["replay", *QUICK, "--service", "s.npz"]) == 2


def test_faults_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["replay", *QUICK, "--faults", "drop:every=50;nan:every=90;duplicate:every=70", "--seed", "4"]
    assert main([*argv, "--json", "r.json"]) == 0
    assert "every promise was kept under 3 faults; lines lost 19" in capsys.readouterr().out
    told = json.loads((folder / "r.json").read_text())
    assert told["touched"] == {"drop": 19, "nan": 10, "duplicate": 13}
    assert told["broken"] == []
    assert told["lines"]["lost"] == 19


def test_a_broken_promise_prints_the_command_that_breaks_it_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mine.py").write_text(
        "import numpy as np\n"
        "from recon.protocol import Image\n"
        "class Sum:  # a bad line lives on in everything that comes after it\n"
        "    def open(self, header, emit):\n"
        "        self.header, self.emit, self.total = header, emit, 0\n"
        "    def push(self, line):\n"
        "        self.total = self.total + line.samples[0].sum()\n"
        "        if (line.index + 1) % self.header.lines_per_frame == 0:\n"
        "            pixels = np.full(self.header.matrix, self.total, np.complex64)\n"
        "            self.emit(Image(pixels, line.frame, line.index))\n"
        "    def close(self):\n"
        "        pass\n"
        "build = Sum\n"
    )
    argv = ["replay", "a.stream", "python:mine.py:build", "--clock", "virtual", "--no-quality"]
    assert main([*argv, "--faults", "nan:at=100", "--seed", "4"]) == 1
    out = capsys.readouterr().out
    assert "broken promise 1: finite at k-space line 111 (frame 6): an image of frame 6" in out
    command = out.rpartition("again: mrsim ")[2].split()
    assert command[:3] == ["replay", "a.stream", "python:mine.py:build"]
    assert main(command) == 1
    assert "broken promise 1: finite at k-space line 111" in capsys.readouterr().out


def test_scenarios_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", *QUICK, "--scenario", "burst", "--claim", "0.9"]) == 4  # 52 images
    assert "lines a second" in capsys.readouterr().out
    assert main(["replay", "a.stream", "zero-filled", "--scenario", "lockstep", "--claim", "0.9"]) == 1
    printed = capsys.readouterr().out
    assert "NMSE" in printed
    assert "deadline 64" not in printed  # in lockstep nothing has one
    assert main(["replay", *QUICK, "--samples", "s.npz", "--claim", "0.9"]) == 4
    argv = [
        "replay",
        *QUICK,
        "--scenario",
        "find-peak",
        "--service",
        "s.npz",
        "--json",
        "p.json",
        "--claim",
        "0.9",
    ]
    assert main(argv) == 0
    assert "the shortest TR that holds is" in capsys.readouterr().out
    told = json.loads((folder / "p.json").read_text())
    assert 0 < told["tr_ms"] < 4
    assert main(["replay", *QUICK, "--policy", "latest", "--claim", "0.9"]) == 4
    assert main([*argv[:-2], "--samples", "t.npz"]) == 2


def test_gating_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [
        "replay",
        "a.stream",
        "null",
        "--clock",
        "virtual",
        "--profile",
        "gating",
        "--downstream-ms",
        "150",
    ]
    assert main(argv) == 1  # a blank image follows nothing
    out = capsys.readouterr().out
    assert "gating's own" in out
    assert "duty as a share of the ideal one 0, at least 0.8" in out
    assert "gating: no lag can be claimed" in out


def test_a_candidate_that_refuses_the_audits_own_scan_is_told_to_be_given_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["audit", "cascade:patient1-5x-8coils"]) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert "8 coils, the stream has (128, 128) and 1" in said
    assert "name a STREAM that it takes" in said


def test_a_candidate_that_refuses_a_given_scan_is_told_nothing_of_the_audits_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "cascade:patient1-5x-8coils", "a.stream"]) == 2
    assert "name a STREAM" not in capsys.readouterr().err


def test_audit_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "zero-filled", "a.stream", "--json", "r.json"]) in (0, 3)
    out = capsys.readouterr().out
    assert "consumption" in out
    told = json.loads((folder / "r.json").read_text())
    assert told["schema"] == "mrsim-audit/1"
    assert len(told["audits"]) == 10
