"""Whose fault it was: an error names what is wrong, not what it happened to meet."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from harness.cli.main import main
from mrsim.formats.mrd_file import write_mrd
from mrsim.stream import load, save
from tests.harness.synthetic import make_stream


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(make_stream(60), "a.stream")
    for name, first in (("dicom", "i.dcm"), ("plain", "IM0001")):
        Path(name).mkdir()
        Path(name, first).write_bytes(b"\0" * 128 + b"DICM")
    Path("empty").mkdir()
    os.mkfifo("pipe")
    write_mrd(load("a.stream"), "own.h5")
    return tmp_path


SIMULATE = ["simulate", "quasar", "--frames", "1"]
NUMBERS = {
    "a seed": ([*SIMULATE, "-o", "b", "--seed", "abc"], "--seed: abc: expected a whole number from 0 to 2"),
    "a seed below": (
        [*SIMULATE, "-o", "b", "--seed", "-1"],
        "--seed: -1: expected a whole number from 0 to 2",
    ),
    "a seed of many bits": ([*SIMULATE, "-o", "b", "--seed", "9" * 5000], r"--seed: 9{80}: expected a whole"),
    "half a frame": (["simulate", "quasar", "-o", "b", "--frames", "2.5"], "--frames: 2.5: expected a whole"),
    "a share in words": (
        ["replay", "a.stream", "null", "--claim", "most"],
        "--claim: most: expected a number",
    ),
    "a port in words": (["serve", "null", "--port", "http"], "--port: http: expected a whole number"),
    "a TR in words": (["convert", "a.h5", "b", "--tr-ms", "two"], "--tr-ms: two: expected a number"),
    "runs in words": (
        ["replay", "a.stream", "null", "--repeat", "x"],
        "--repeat: x: expected a whole number",
    ),
}
OPTIONS = {
    "coils": (["--coils", "33"], "--coils 33: expected 1 to 32"),
    "an acceleration": (["--acceleration", "0.5"], r"--acceleration 0\.5: variable-density sampling"),
    "an order": (["--order", "zigzag"], "--order 'zigzag': expected one of random"),
    "an echo time": (["--te-ms", "3"], "--te-ms 3: expected at least 0"),
    "an SNR": (["--snr", "-3"], "--snr -3: expected a positive number"),
}
KINDS = {
    "DICOM as a scan": (["replay", "dicom", "null"], "dicom: not a stream: it holds DICOM"),
    "DICOM without endings": (["audit", "null", "plain"], "plain: not a stream: it holds DICOM"),
    "DICOM to convert": (["convert", "dicom", "b.h5"], "dicom: not a stream: it holds DICOM"),
    "DICOM into a folder": (["convert", "dicom", "b"], "dicom: not a stream: it holds DICOM"),
    "an empty folder": (["convert", "empty", "b"], r"empty: not a stream: it has no header\.json"),
    "a stream as NIfTI": (["convert", "a.stream", "x.nii.gz"], r"x\.nii\.gz: files of that kind are not wr"),
    "a stream as DICOM": (["convert", "a.stream", "x.dcm"], r"x\.dcm: files of that kind are not written"),
    "a stream as MATLAB": (["convert", "a.stream", "x.MAT"], r"x\.MAT: files of that kind are not written"),
    "nothing as a scan": (["replay", "nix.stream", "null"], r"nix\.stream: not a stream: nothing is there"),
    "no name as a scan": (["replay", "", "null"], "'': an empty name; name a stream's folder"),
    "a pipe as a scan": (["replay", "pipe", "null"], "pipe: not a stream: it is a pipe"),
    "a file as a scan": (["replay", "own.h5", "null"], r"own\.h5: not a stream: it is a file"),
    "a stream into a named pipe": (
        ["convert", "a.stream", "pipe"],
        "pipe is a pipe: write to standard output",
    ),
    "a file into a pipe": (
        ["convert", "own.h5", "-"],
        r"own\.h5 is a file, and a pipe takes another: .* first",
    ),
    "a file as a file": (
        ["convert", "own.h5", "b.h5"],
        r"own\.h5 is a file, and b\.h5 would be another: .* first",
    ),
    "a TR of lines that have times": (
        ["convert", "own.h5", "b", "--tr-ms", "5"],
        r"times of their own, .* \(4 and 2 ms\): leave out --tr-ms",
    ),
    "a TE of lines that have times": (
        ["convert", "own.h5", "b", "--te-ms", "1"],
        "leave out --tr-ms and --te-ms",
    ),
    "a pipe that would become the root": (["convert", "-", "/"], "/: exists and is not a stream"),
    "a pipe that would become a stream": (
        ["convert", "-", "a.stream"],
        r"a\.stream: a stream is there already",
    ),
    "a stream as a stream": (["convert", "a.stream", "b.stream"], "a.stream is a stream, and so would b.st"),
    "a training at its middle": (
        ["train", "a.stream", "-o", "w.npz", "--target-instant", "centre"],
        r"a\.stream: what was scanned cannot be had, .*; take --target-instant last",
    ),
    "a training drawn anew": (
        ["train", "a.stream", "-o", "w.npz", "--redraw", "2"],
        r"a\.stream: what was scanned cannot be had, .*; leave out --redraw",
    ),
}
MISSING = {
    "a sequence": ([*SIMULATE, "-o", "b", "--pulseq", "b.seq"], "pypulseq", "pulseq"),
    "a server": (["serve", "null", "--port", "0", "--limit-s", "0.2"], "ismrmrd", "mrd"),
    "a demonstration without pictures": (["demo", "-o", "d"], "matplotlib.figure", "report"),
    "a demonstration without measures": (["demo", "-o", "d"], "skimage", "eval"),
    "a table without pictures": (["table", "-o", "d"], "matplotlib.figure", "report"),
    "a drawing": (["phantoms", "quasar", "--png", "p.png"], "matplotlib.figure", "report"),
}
SEQUENCES = {
    "a raster": (["--tr-ms", "3.000003"], "expected a multiple of"),
    "samples": (["--matrix", "16", "18"], "receivers want a multiple of 4"),
    "a start": (["--catalysation", "some"], "--catalysation some: expected alpha/2, none or a number"),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_what_is_no_number_is_told_what_it_should_be(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(*NUMBERS[case], capsys)


@pytest.mark.parametrize("case", OPTIONS)
def test_a_value_that_cannot_be_names_the_option(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, told = OPTIONS[case]
    refused([*SIMULATE, "-o", "b", *words], rf"error: {told}", capsys)
    assert not Path("b").exists()


def test_a_time_beyond_a_day_is_told_of_as_it_was_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(
        ["simulate", "quasar", "-o", "b", "--seconds", "1e9"],
        r"--seconds 1000000000\.0: expected",
        capsys,
    )


def test_frames_that_a_scan_has_not_name_the_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        ["replay", "a.stream", "null", "--frames", "1000"], "error: --frames 1000: this stream has", capsys
    )


@pytest.mark.parametrize("case", KINDS)
def test_what_is_of_another_kind_is_named(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(*KINDS[case], capsys)


@pytest.mark.parametrize("case", MISSING)
def test_a_missing_library_is_found_before_the_work(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, library, extra = MISSING[case]
    monkeypatch.setitem(sys.modules, library, None)
    before = sorted(folder.rglob("*"))
    refused(words, rf"pip install 'mrsim\[{extra}\]'", capsys)
    assert sorted(folder.rglob("*")) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("case", SEQUENCES)
def test_a_sequence_that_cannot_be_written_is_refused_before_the_scan(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, told = SEQUENCES[case]
    refused([*SIMULATE, "-o", "b", "--pulseq", "b.seq", *words], told, capsys)
    assert not Path("b").exists()


def refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert re.search(told, error), error
    assert (error.count("\n"), out) == (1, "")
