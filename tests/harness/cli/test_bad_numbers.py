"""Scans whose numbers must not be believed, and names that no terminal can show: one line, code 2."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli.main import main
from mrsim.stream import save
from tests.harness.synthetic import make_stream

HUGE = 3e38 * (1 + 1j)
NAN, INF = np.nan, np.inf


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(make_stream(60), tmp_path_factory.mktemp("numbers") / "a.stream")


@pytest.fixture
def folder(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(stored, "a.stream")
    return tmp_path


def at(place: tuple[int, ...], value: complex) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[place] = value
        return array

    return change


def swapped(array: np.ndarray) -> np.ndarray:
    array[[6, 7]] = array[[7, 6]]
    return array


LINE_7 = r"k-space line 7 \(frame 1\): "
ARRAYS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], str]] = {
    "a centroid that is no number": ("centroid", at((7, 0), NAN), f"centroid: {LINE_7}nan m"),
    "an infinite centroid": ("centroid", at((7, 1), INF), f"centroid: {LINE_7}inf m"),
    "a centroid on the moon": ("centroid", at((7, 1), -4e8), f"centroid: {LINE_7}-4e"),
    "a huge centroid": ("centroid", lambda a: a * 1e200, r"centroid: k-space line 0 \(frame 0\)"),
    "an infinite displacement": ("displacement", at((7, 0, 1), INF), f"displacement: {LINE_7}inf m"),
    "a displacement that is no number": ("displacement", at((7, 1, 1), NAN), f"displacement: {LINE_7}nan"),
    "a huge displacement": ("displacement", at((7, 0, 0), 1e308), f"displacement: {LINE_7}"),
    "times that go back": ("t_ns", swapped, rf"t_ns: {LINE_7}its echo is at \d+ ns: expected after"),
    "times that stand still": ("t_ns", lambda a: a * 0, r"t_ns: k-space line 1 \(frame 0\)"),
    "times that run backwards": ("t_ns", lambda a: a[::-1].copy(), r"t_ns: k-space line 1 \(frame 0\)"),
    "a time before the scan": ("t_ns", at((0,), -5), r"t_ns: k-space line 0 \(frame 0\): its echo is at -5"),
    "a time of centuries": ("t_ns", at((39,), 2**62), r"t_ns: k-space line 39 \(frame 9\)"),
    "a step that no number holds": ("t_ns", at((7,), -(2**63)), f"t_ns: {LINE_7}"),
    "a negative frame": ("frame", lambda a: a - 7, r"frame: k-space line 0 \(frame 0\): it says frame -7"),
    "frames that run backwards": ("frame", lambda a: a[::-1].copy(), "frame: k-space line 0 .* frame 14"),
    "frames from the middle": ("frame", lambda a: a + 5, "frame: k-space line 0 .* frame 5: expected 0"),
    "a frame of another line": ("frame", at((7,), 2), f"frame: {LINE_7}it says frame 2: expected 1"),
    "a sample that is no number": ("samples", at((7, 0, 0), NAN), f"{LINE_7}a sample is not finite"),
    "a sample of infinite magnitude": ("samples", at((7, 0, 0), HUGE), rf"{LINE_7}a sample is above 1e\+15"),
    "a pixel of the truth that is none": ("image", at((1, 2, 2), NAN), "image: frame 1: .* not finite"),
    "a pixel of infinite magnitude": ("image", at((1, 2, 2), HUGE), r"image: frame 1: .* above 1e\+15"),
    "a huge truth": ("image", lambda a: (a * 1e30).astype(np.complex64), "image: frame 0: .* above"),
}
HEADERS: dict[str, tuple[str, str, Any, str]] = {
    "a field of view of nothing": ("header", "fov_m", [1e-320, 1e-320], r"fov_m = .*: expected 0\.0001 to"),
    "a field of view of a galaxy": ("header", "fov_m", [0.4, 1e300], "fov_m = .*: expected"),
    "an order that moves the cursor": ("header", "order", "up\x1b[A", r"order = 'up\\x1b\[A'"),
    "a sampler of half a character": ("header", "sampler", "\ud800", r"sampler = '\\ud800'"),
    "a region of two lines": ("truth", "regions", ["a\nb", "target"], r"region 0 = 'a\\nb'"),
    "a target of half a character": ("truth", "regions", ["a", "target", "\udfff"], r"region 2 = '\\udfff'"),
    "a phantom that moves the cursor": ("provenance", "phantom", "\x1b[2J", r"phantom = '\\x1b\[2J'"),
    "endless noise": ("provenance", "noise_std", 1e300, r"noise_std = 1e\+300: expected 0 to"),
    "negative noise": ("provenance", "noise_std", -1.0, r"noise_std = -1\.0: expected 0 to"),
    "an SNR below nothing": ("provenance", "target_snr", -5.0, r"target_snr = -5\.0: expected a positive"),
    "a seed of too many bits": ("provenance", "seed", -(2**130), "seed = -136.*: expected a number of 128"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_an_array_that_must_not_be_believed_is_refused_by_file_and_line(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, change, told = ARRAYS[case]
    file = Path(f"a.stream/{name}.npy")
    array = np.load(file)
    with np.errstate(all="ignore"):
        np.save(file, change(array))
    refused(rf"a\.stream: {told}", capsys)


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_must_not_be_believed_is_refused(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    section, key, value, told = HEADERS[case]
    file = Path("a.stream/header.json")
    meta = json.loads(file.read_text())
    meta[section][key] = value
    file.write_text(json.dumps(meta))
    refused(told, capsys)


def refused(told: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["replay", "a.stream", "null", "--clock", "virtual"], ["audit", "null", "a.stream"]):
        assert main(command) == 2
        out, error = capsys.readouterr()
        assert re.search(told, error), error
        assert (error.count("\n"), error.isascii()) == (1, True), (out, error)


NAMES = {
    "cp1252": "x\N{CJK UNIFIED IDEOGRAPH-4E2D}",
    "ascii": "\u00e9",
    "utf-8": "\udcff",
    "latin-1": "\x1b[31m\x07",
}


@pytest.mark.parametrize("encoding", NAMES)
def test_a_name_that_the_terminal_cannot_show_is_spelt_out(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(held, encoding=encoding, errors="strict"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict"))
    monkeypatch.chdir(tmp_path)
    assert main(["replay", f"{NAMES[encoding]}.stream", "null"]) == 2
    sys.stderr.flush()
    told = held.getvalue()
    assert told.startswith(b"mrsim: error: " + NAMES[encoding].encode("unicode_escape") + b".stream"), told
    assert b"\x1b" not in told


@pytest.mark.slow
def test_a_page_spells_a_name_out_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "own\x1b[2J\udcff"
    code = "from recon.classical.zero_filled import ZeroFilled\n\ndef make():\n    return ZeroFilled()\n"
    Path(f"{name}.py").write_text(code)
    main(["report", "a.stream", f"python:{name}.py:make", "--clock", "virtual", "-o", "p.html"])
    capsys.readouterr()
    page = Path("p.html").read_bytes().decode("utf-8")
    assert "\x1b" not in page
    assert r"own\x1b[2J\udcff" in page
