"""What `mrsim simulate` offers beyond the plain scan: spins, combined channels, a sequence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from mrsim.stream import load

SMALL = ["--matrix", "32", "32", "--frames", "1", "--acceleration", "1", "--sampler", "full", "--snr", "inf"]


def simulated(tmp_path: Path, *more: str) -> np.ndarray:
    folder = tmp_path / "a.stream"
    assert main(["simulate", "quasar", "-o", str(folder), "--overwrite", *SMALL, *more]) == 0
    return np.array(load(folder).samples)


@pytest.mark.slow
def test_the_engines_agree_in_steady_state_and_differ_in_the_transient(tmp_path: Path) -> None:
    exact = simulated(tmp_path)
    steady = simulated(tmp_path, "--engine", "isochromats", "--spins", "128", "--catalysation", "4000")
    assert load(tmp_path / "a.stream").provenance.engine == "isochromats"
    early = simulated(tmp_path, "--engine", "isochromats", "--spins", "128", "--catalysation", "none")

    def error(other: np.ndarray) -> float:
        return float(np.sum(np.abs(other - exact) ** 2) / np.sum(np.abs(exact) ** 2))

    assert error(steady) < 0.02
    assert error(early) > 5 * error(steady)


def test_a_field_offset_of_half_a_band_is_a_null_and_of_a_whole_one_nothing(tmp_path: Path) -> None:
    spins = ["--engine", "isochromats", "--spins", "64", "--catalysation", "3000"]
    on = simulated(tmp_path, *spins)
    band_hz = 1 / 2.2e-3
    null, again = (
        simulated(tmp_path, *spins, "--field-hz", str(share * band_hz), "0", "0", "0", "0", "0")
        for share in (0.5, 1)
    )
    assert np.abs(null).max() < 0.5 * np.abs(on).max()  # materials of short T1 leave a rest
    assert np.abs(np.abs(again) - np.abs(on)).max() < 1e-3 * np.abs(on).max()


def test_the_combined_channel_is_the_uniform_coils(tmp_path: Path) -> None:
    # Side lobes of edges are seen by the coils as if they were elsewhere: less so at a finer matrix.
    error = []
    for side in ("32", "64"):
        at = ["--matrix", side, side]
        plain = simulated(tmp_path, *at)
        one = simulated(tmp_path, *at, "--coils", "8", "--combine", "sense")
        error.append(np.linalg.norm(one - plain) / np.linalg.norm(plain))
    stream = load(tmp_path / "a.stream")
    assert stream.header.coils == 1
    assert stream.provenance.engine.endswith("sense")
    assert error[0] < 0.1
    assert error[1] < 0.8 * error[0]


def test_prewhitened_channels_have_independent_noise(tmp_path: Path) -> None:
    noise = {}
    for how in ("none", "prewhiten"):
        at = ["--coils", "4", "--combine", how]
        clean = simulated(tmp_path, *at)
        noise[how] = simulated(tmp_path, *at, "--snr", "20", "--frames", "20")[: len(clean)]
        noise[how] = (noise[how] - clean).swapaxes(0, 1).reshape(4, -1)
        std = load(tmp_path / "a.stream").provenance.noise_std
    covariance = noise["prewhiten"] @ noise["prewhiten"].conj().T / noise["prewhiten"].shape[1]
    assert np.abs(covariance / std**2 - np.eye(4)).max() < 0.15
    raw = noise["none"] @ noise["none"].conj().T / noise["none"].shape[1]
    assert np.abs(raw / std**2 - np.eye(4)).max() > 0.3


def test_a_sequence_is_written_beside_the_stream(tmp_path: Path) -> None:
    pytest.importorskip("pypulseq")
    simulated(tmp_path, "--pulseq", str(tmp_path / "a.seq"))
    text = (tmp_path / "a.seq").read_text("utf-8")
    assert "[BLOCKS]" in text
    assert "TR 0.0022" in text


def test_a_header_without_noise_is_strict_json_and_older_ones_are_read(tmp_path: Path) -> None:
    simulated(tmp_path)
    file = tmp_path / "a.stream" / "header.json"

    def refuse(name: str) -> float:
        raise AssertionError(name)

    meta = json.loads(file.read_text("utf-8"), parse_constant=refuse)
    assert meta["provenance"]["target_snr"] is None
    assert load(tmp_path / "a.stream").provenance.target_snr == math.inf
    meta["provenance"]["target_snr"] = math.inf  # as it was written before
    file.write_text(json.dumps(meta), "utf-8")
    assert load(tmp_path / "a.stream").provenance.target_snr == math.inf


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--engine", "magic"], "--engine magic"),
        (["--spins", "64"], "--engine isochromats alone"),
        (["--catalysation", "none"], "--engine isochromats or --pulseq"),
        (["--engine", "isochromats", "--catalysation", "twice"], "--catalysation 'twice'"),
        (["--engine", "isochromats", "--timing", "retrospective"], "prospective"),
        (["--engine", "isochromats", "--coils", "2"], "one coil"),
        (["--combine", "sense"], "set --coils"),
        (["--combine", "sum", "--coils", "2"], "--combine sum"),
        (["--combine", "sense", "--coils", "2", "--sampler", "uniform", "--acceleration", "4"], "needs all"),
        (["--pulseq", "a.txt"], "ends in .seq"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_and_leaves_nothing(
    more: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "quasar", "-o", str(tmp_path / "a.stream"), *SMALL, *more]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_field_of_view_in_the_wrong_unit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["-o", str(tmp_path / "a.stream")]
    assert main(["simulate", "quasar", *to, *SMALL, "--fov-mm", "0.4", "0.4"]) == 2
    told = capsys.readouterr().err
    assert "--fov-mm (0.4, 0.4): expected 0.01 to 2 metres a side (millimetres in files and on" in told
    assert not (tmp_path / "a.stream").exists()
