"""`mrsim train` as a user runs it: killed, resumed, sampled anew, aimed at another instant."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import harness.console
import mrsim
from harness.cli.main import main
from harness.dataset.training_targets import Redraw, targets
from mrsim.errors import InputError
from mrsim.scanner.oracle import truth_of
from mrsim.stream import load
from recon.cascade.checkpoint import load as load_weights
from recon.cascade.checkpoint import save

pytestmark = pytest.mark.slow

SMALL = [
    "--network",
    "population",
    "--set",
    "filters=4",
    "--set",
    "blocks=1",
    "--set",
    "convolutions=2",
]


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("train") / "scan.stream"
    command = ["simulate", "quasar", "-o", str(path), "--frames", "60", "--matrix", "32", "32", "--seed", "3"]
    assert main(command) == 0
    return path


def arrays(path):
    with np.load(path) as archive:
        return {k: archive[k] for k in archive.files if k != "record"}


def train(scan, output, *more):
    epochs = () if "--epochs" in more else ("--epochs", "2", "1")
    return main(["train", str(scan), "-o", str(output), *SMALL, *epochs, "--columns", "32", *more])


def test_lines_alone_teach_where_no_truth_is_stored(scan, tmp_path, capsys):
    """Without truth a scan is refused with what helps, and trained on by that, half a frame ahead."""
    blind = tmp_path / "blind.stream"
    stream = load(scan)
    mrsim.save(dataclasses.replace(stream, truth=None, provenance=None), blind)
    assert train(blind, tmp_path / "a.npz") == 2
    assert "--learn-from lines needs none" in capsys.readouterr().err
    assert train(blind, tmp_path / "b.npz", "--learn-from", "lines") == 0
    record = load_weights(tmp_path / "b.npz").record
    half_ms = (stream.header.lines_per_frame + 1) * stream.header.tr_ns / 2e6
    assert record["target_instant"] == f"last+{half_ms:g}"
    assert train(blind, tmp_path / "c.npz", "--learn-from", "lines", "--target-instant", "centre") == 2
    assert "the lines that come next say what is shown" in capsys.readouterr().err


def test_rates_suit_the_network_unless_they_are_given(scan, tmp_path):
    """Steps that suit a network of random weights silence one that begins beside a good image."""
    told = []
    subspace = ["--network", "compact", "--set", "components=4"]
    for n, more in enumerate(([], subspace, [*subspace, "--rates", "1e-2", "1e-3"])):
        output = tmp_path / f"{n}.npz"
        assert train(scan, output, "--epochs", "1", "0", *more) == 0
        told.append([stage["rate"] for stage in load_weights(output).record["stages"]])
    assert told == [[2e-3, 4e-4], [5e-4, 1e-4], [1e-2, 1e-3]]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_weights(scan, tmp_path):
    """SIGKILL leaves no chance to tidy up; what is on disk must do."""
    output = tmp_path / "killed.npz"
    command = [sys.executable, "-m", "harness.cli", "train", str(scan), *SMALL]
    command += ["--epochs", "40", "20", "--columns", "32", "-o"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # sums depend on how many threads make them
    subprocess.run([*command, str(tmp_path / "whole.npz")], check=True, env=one_thread, timeout=300)
    state = tmp_path / "killed.training"
    kills = 0
    for _ in range(2):
        process = subprocess.Popen(
            [*command, str(output)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=one_thread
        )
        before = state.stat().st_mtime_ns if state.exists() else 0
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if state.exists() and state.stat().st_mtime_ns > before:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.wait(60)
    assert kills
    assert not output.exists()
    ended = subprocess.run(
        [*command, str(output)], check=True, env=one_thread, timeout=300, capture_output=True, text=True
    )
    assert "resumed" in ended.stdout
    assert not state.exists()
    found, wanted = arrays(output), arrays(tmp_path / "whole.npz")
    assert all(np.array_equal(found[k], wanted[k]) for k in wanted)


def test_the_log_holds_an_epoch_a_row_and_stages_are_kept(scan, tmp_path):
    assert train(scan, tmp_path / "w.npz", "--losses", str(tmp_path / "loss.csv"), "--keep-stages") == 0
    with (tmp_path / "loss.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["stage"], r["epoch"]) for r in rows] == [("coarse", "0"), ("coarse", "1"), ("fine", "0")]
    assert all(float(r["validation"]) > 0 for r in rows)
    coarse, fine = arrays(tmp_path / "w-coarse.npz"), arrays(tmp_path / "w.npz")
    assert any(not np.array_equal(coarse[k], fine[k]) for k in fine)


def test_only_the_time_that_is_given_is_trained_on(scan, tmp_path):
    frame_s = 8 * 2.2e-3
    assert train(scan, tmp_path / "w.npz", "--until-s", "0.7") == 0
    record = load_weights(tmp_path / "w.npz").record
    assert record["data"][0]["used_s"] == [0.0, pytest.approx(int(0.7 / frame_s) * frame_s)]
    assert record["data"][0]["seed"] == 3


def test_targets_of_other_instants_are_what_was_true_then(scan):
    stream = load(scan).first_frames(4)
    header, oracle = stream.header, truth_of(stream)
    centre, ahead = targets(stream, "centre"), targets(stream, "last+20")
    assert targets(stream, "last") is None
    last = header.echo_ns(4 * header.lines_per_frame - 1)
    assert np.array_equal(ahead[3], oracle.image(last + 20_000_000))
    assert np.array_equal(centre[3], oracle.image(last - (header.lines_per_frame - 1) * header.tr_ns // 2))


def test_weights_say_which_instant_they_show(scan, tmp_path):
    assert train(scan, tmp_path / "w.npz", "--target-instant", "last+20", "--epochs", "1", "0") == 0
    assert load_weights(tmp_path / "w.npz").record["target_instant"] == "last+20"


def test_a_redrawn_scan_has_other_lines_of_the_same_anatomy(scan):
    """Without its noise, every new line is what the oracle sees at that row and instant."""
    stream = load(scan)
    again = Redraw([stream], 2, seed=1)
    first, second = again(1)[0], again(2)[0]
    assert again(0)[0] is stream
    assert again(3)[0] is stream
    assert again(4)[0] is first
    assert not np.array_equal(first.ky, stream.ky)
    assert not np.array_equal(first.ky, second.ky)
    assert np.array_equal(first.t_ns, stream.t_ns)
    for frame in range(stream.frames):
        rows = first.ky[first.frame == frame]
        assert len(set(rows)) == stream.header.lines_per_frame
    noise = first.samples[:, 0] - truth_of(stream).lines(first.ky, first.t_ns)
    std = stream.provenance.noise_std
    assert np.std(noise) == pytest.approx(std, rel=0.03)
    assert np.array_equal(Redraw([stream], 2, seed=1)(1)[0].samples, first.samples)


def test_what_cannot_be_trained_is_refused(scan, tmp_path, capsys):
    out = str(tmp_path / "w.npz")
    cases = [
        (["--stages", "fine,coarse"], "stages = 'fine,coarse'"),
        (["--until-s", "99"], "until 99.0 s"),
        (["--target-instant", "soon"], "target instant"),
        (["--redraw", "65"], "redraw"),
        (["--set", "depth=3"], "depth"),
        (["--device", "cuda:x"], "device"),
        (["--precision", "float8"], "precision"),
        (["--losses", str(tmp_path / "no" / "l.csv")], "no such folder"),
    ]
    for more, told in cases:
        assert main(["train", str(scan), "-o", out, *SMALL, *more]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_retrospective_scans_are_not_redrawn(tmp_path):
    path = tmp_path / "r.stream"
    command = ["simulate", "quasar", "-o", str(path), "--frames", "12", "--matrix", "32", "32"]
    assert main([*command, "--timing", "retrospective"]) == 0
    with pytest.raises(InputError, match="prospective"):
        Redraw([load(path)], 1, seed=0)


def test_fully_sampled_scans_are_undersampled_and_halved_weights_are_what_is_read(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(harness.console, "EVERY_S", 0.0)
    scan = tmp_path / "full.stream"
    command = ["simulate", "quasar", "-o", str(scan), "--frames", "12", "--matrix", "32", "32"]
    assert main([*command, "--acceleration", "1", "--sampler", "full"]) == 0
    capsys.readouterr()
    options = [
        "train",
        str(scan),
        "--network",
        "dietz2019",
        *SMALL[2:],
        "--epochs",
        "2",
        "1",
        "--columns",
        "8",
    ]
    options += ["--columns", "8", "--undersample", "4", "--precision", "bfloat16"]
    for name, more in (("whole", []), ("half", ["--half"])):
        out = ["-o", str(tmp_path / f"{name}.npz"), "--target-instant", "centre"]
        assert main([*options, *out, *more]) == 0
    # Without a terminal: what it is at, and how long it may take, here with every step.
    said = r"(coarse|fine): error \S+(?:, validation [\d.e-]+)?, .+ left: (\d+) of (\d+) after \d+ s"
    told = [re.fullmatch(said, line) for line in capsys.readouterr().err.splitlines()]
    steps = [int(found[2]) for found in told if found]
    assert len(steps) == len(told) > 4
    assert sum(later <= step for step, later in itertools.pairwise(steps)) == 1  # two trainings
    whole, half = arrays(tmp_path / "whole.npz"), arrays(tmp_path / "half.npz")
    assert all(np.array_equal(half[k], whole[k].astype(np.float16)) for k in whole)
    assert all(half[k].dtype == np.float16 for k in half)
    read = load_weights(tmp_path / "half.npz")
    assert read.record["arrays"] == "float16"
    assert read.record["undersampled"] == 4.0
    state = read.cascade.state_dict()
    assert all(np.array_equal(state[k].numpy(), half[k].astype(np.float32)) for k in half)
    assert main([*options, "-o", str(tmp_path / "w.npz")]) == 2
    assert "--target-instant centre" in capsys.readouterr().err


def test_weights_too_large_for_half_precision_are_refused(scan, tmp_path):
    assert train(scan, tmp_path / "w.npz", "--epochs", "1", "0") == 0
    checkpoint = load_weights(tmp_path / "w.npz")
    with torch.no_grad():
        checkpoint.cascade.blocks[0].convolutions[0].bias[0] = 1e5
    with pytest.raises(InputError, match=r"blocks.0.convolutions.0.bias.*half precision"):
        save(tmp_path / "h.npz", checkpoint, half=True)
    assert not (tmp_path / "h.npz").exists()
