"""The demonstration: what it shows of each method, its reference floor and its picture."""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np
import pytest

from harness.cli.main import main
from harness.cli.show import demo
from harness.cli.show import scans as scans_of_commands
from harness.judge.evaluate import evaluate
from harness.judge.outcome import QUESTIONS
from harness.measure.floor import consistency_floor
from harness.measure.image_quality import FrameJudge, judge_frames
from harness.picture.methods import draw_frames
from harness.realtime.clock import VirtualClock
from harness.realtime.service import TableService
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import InputError
from mrsim.scanner.acquisition import ScanProtocol, scan
from mrsim.scanner.example import example_scan
from mrsim.stream import load
from recon.cascade.checkpoint import load as load_weights
from recon.fourier import to_image, to_kspace


@pytest.fixture(scope="module")
def stream():
    return scan(load_phantom("quasar"), ScanProtocol(), seed=3, seconds=5)


def test_floor_keeps_the_lines_and_the_truth_elsewhere(stream):
    frames = np.arange(10, stream.frames)
    pixels, quality = consistency_floor(stream, frames)
    for frame in (10, 31):
        kspace, true = to_kspace(pixels[frame]), to_kspace(stream.truth.image[frame])
        mine = stream.frame == frame
        rows = stream.ky[mine] + 64
        assert np.allclose(kspace[rows], stream.samples[mine, 0], atol=1e-4)
        others = np.setdiff1d(np.arange(128), rows)
        assert np.allclose(kspace[others], true[others], atol=1e-4)
    # It lags: the lines of a frame are older than its end, by less than half a frame on the whole.
    assert 0 < quality.lag.claimed_ns < stream.header.frame_ns / 2


def test_floor_needs_truth(stream):
    with pytest.raises(InputError, match="truth"):
        consistency_floor(dataclasses.replace(stream, truth=None), np.arange(3))


def methods(stream):
    frames = np.arange(8, stream.frames)
    truth = stream.truth.image
    judge = FrameJudge(stream.truth, stream.header)
    quality = judge_frames(
        stream,
        frames,
        (frames + 1) * stream.header.frame_ns,
        [judge.score(int(f), truth[f]) for f in frames],
    )
    return {"a method": (truth, quality), "another": (truth, quality)}


def test_picture_is_written_whole_or_not_at_all(stream, tmp_path, monkeypatch):
    draw_frames(tmp_path / "frames.png", stream, methods(stream))
    assert (tmp_path / "frames.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["frames.png"]

    from matplotlib.figure import Figure

    def half(self, path, **_):
        path.write_bytes(b"\x89PNG half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(InputError, match=r"other\.png: cannot be written: disk full"):
        draw_frames(tmp_path / "other.png", stream, methods(stream))
    assert [p.name for p in tmp_path.iterdir()] == ["frames.png"]


def test_transforms_of_the_scanner_and_the_reconstructors_agree(stream):
    """Full sampling of the simulator, by the reconstructors' transform, is the simulator's true image."""
    full = scan(
        load_phantom("quasar", {"motion.breathing.amplitude_mm": 0.0}),
        ScanProtocol(acceleration=1, sampler="full", target_snr=float("inf")),
        seed=1,
        frames=1,
    )
    kspace = np.zeros((128, 128), np.complex64)
    kspace[full.ky + 64] = full.samples[:, 0]
    assert np.allclose(to_image(kspace), full.truth.image[0], atol=1e-5)


def rows_of(out):
    """Return the printed table's rows by method."""
    lines = out.splitlines()
    rule = next(i for i, line in enumerate(lines) if line.startswith("---"))
    return {line.split("  ")[0]: line for line in lines[rule + 1 : rule + 7]}


def image_lines_take(ns):
    """Let the last line of each frame of the demonstration take so long, and the others nothing."""
    table = np.zeros(24_000, np.int64)
    table[31::32] = ns
    return TableService(table)


@pytest.mark.slow
def test_demo_decides_where_the_target_is(tmp_path, capsys, monkeypatch):
    # The host's own time is told elsewhere: a slow one shows each image later, which costs margin.
    monkeypatch.setattr(demo, "RealClock", VirtualClock)
    monkeypatch.setattr(demo, "evaluate", functools.partial(evaluate, service=image_lines_take(30_000_000)))
    assert main(["demo", "-o", str(tmp_path), "--seconds", str(demo.ANSWERED_S)]) == 0
    out = capsys.readouterr().out
    told = json.loads((tmp_path / "report.json").read_text())
    found = {one["method"]: one for one in told["candidates"]}
    assert list(found) == ["zero-filled", "view sharing", "cascade"]
    target = {name: one["answers"]["target"]["verdict"] for name, one in found.items()}
    assert target == {"zero-filled": "FAIL", "view sharing": "FAIL", "cascade": "PASS"}
    for name, one in found.items():
        margin = one["margin"]
        assert f"{name}: {margin['sentence']}" in out
        assert target[name] in rows_of(out)[name]
        # Whoever is not within the margin is not said to pass without a word on the target.
        assert ("FAIL" in rows_of(out)[name]) == (target[name] == "FAIL")
    assert found["view sharing"]["margin"]["m95_interval_mm"][0] > 3
    assert found["cascade"]["margin"]["m95_interval_mm"][1] < 3
    shared = found["view sharing"]["margin"]
    low, high = shared["m95_interval_mm"]
    assert f"{shared['m95_mm']:.1f} ({low:.1f} to {high:.1f})" in rows_of(out)["view sharing"]
    assert "infinite" in rows_of(out)["zero-filled"]
    assert "view sharing: target: FAIL: M95 on display" in out
    assert "all: image: not asked: profile keep-up states no bar" in out
    # It could be judged: there are breaths and images enough.
    for one in found.values():
        assert one["margin"]["m95_interval_mm"] is not None
        assert one["answers"]["time"]["verdict"] != "INSUFFICIENT"
    assert (tmp_path / "frames.png").read_bytes().startswith(b"\x89PNG")
    moving = (tmp_path / "behind.gif").read_bytes()
    assert moving.startswith(b"GIF89a")
    assert len(moving) < 3_000_000


def test_a_demo_that_is_too_short_says_what_it_could_not_judge(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path), "--seconds", "3.5"]) == 0
    out = capsys.readouterr().out
    told = json.loads((tmp_path / "report.json").read_text())
    assert (told["schema"], told["breathing"]) == ("mrsim-demo/2", demo.BREATHING)
    assert {one["method"]: one["clock"] for one in told["candidates"]} == {
        "zero-filled": "virtual", "view sharing": "virtual", "cascade": "real",
    }  # fmt: skip
    assert "replaying 3.5 s in real time, a line every 2.2 ms, into cascade:quasar-4x" in out
    for one in told["candidates"]:
        assert list(one["answers"]) == list(QUESTIONS)
        for question, answer in one["answers"].items():
            if answer["verdict"] != "PASS":
                outcome = answer["verdict"] or "not asked"
                said = [
                    line
                    for line in out.splitlines()
                    if f": {question}: {outcome}: {answer['reason']}" in line
                ]
                assert any(line.startswith("all: ") or one["method"] in line.split(": ")[0] for line in said)
    cascade = told["candidates"][-1]["answers"]["target"]
    assert cascade["verdict"] in ("INSUFFICIENT", "INVALID")
    assert "breath" in cascade["reason"]
    floor = rows_of(out)["floor of hard consistency"]
    assert floor.split()[-3:] == ["reference"] * 3
    ruler = told["references"]["floor of hard consistency"]["ruler"]
    assert rows_of(out)["the judge on the truth"].split()[-7] == f"{ruler['dice']:.3f}"


@pytest.fixture
def no_replay(monkeypatch):
    """Let a demonstration end once it has its scan."""

    def ends(stream, *_):
        raise InputError("no replay")

    monkeypatch.setattr(demo, "_replay", ends)


def test_ended_demo_goes_on_with_its_own_scan_and_with_no_other(tmp_path, capsys, no_replay):
    """A scan of the same seed stays on disk as it is; one of another seed or length is refused."""
    path, words = tmp_path / "quasar.stream", ["demo", "-o", str(tmp_path), "--seconds", "3.5", "--seed", "3"]
    assert main(words) == 2
    written = {file.name: file.stat().st_mtime_ns for file in path.iterdir()}
    assert main(words) == 2
    assert capsys.readouterr().err.count("no replay") == 2
    for other in ("--seed=4", "--seconds=4"):
        assert main([*words, other]) == 2
        assert "quasar.stream" in capsys.readouterr().err
    assert {file.name: file.stat().st_mtime_ns for file in path.iterdir()} == written
    (path / "samples.npy").write_bytes(b"cut off")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "samples.npy" in said
    assert "--overwrite makes the scan anew" in said
    assert main([*words, "--seed=4", "--overwrite"]) == 2
    assert "no replay" in capsys.readouterr().err
    assert load(path).provenance.seed == 4


def test_demo_takes_the_scan_that_is_shipped(tmp_path, monkeypatch, no_replay):
    """Unless another is asked for, nothing is simulated: no kernel of the scanner's has to be compiled."""

    def scans(*_, **__):
        raise AssertionError("it simulates")

    monkeypatch.setattr(scans_of_commands, "scan_to", scans)
    assert main(["demo", "-o", str(tmp_path)]) == 2
    stored, shipped = load(tmp_path / "quasar.stream"), example_scan()
    assert np.array_equal(stored.samples, shipped.samples)
    assert np.array_equal(stored.truth.image, shipped.truth.image)


@pytest.mark.parametrize("seconds", ["0", "3", "nan", "601", "-5"])
def test_demo_refuses_a_length_without_a_breath_or_without_end(tmp_path, capsys, seconds):
    assert main(["demo", "-o", str(tmp_path / "d"), f"--seconds={seconds}"]) == 2
    assert "--seconds" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_demo_refuses_the_seed_of_the_training(tmp_path, capsys):
    trained = load_weights(demo.WEIGHTS).record["data"][0]["seed"]
    assert main(["demo", "-o", str(tmp_path / "d"), f"--seed={trained}"]) == 2
    assert "trained on this seed" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
