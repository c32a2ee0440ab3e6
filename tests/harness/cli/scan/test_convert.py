"""`mrsim convert`, as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from mrsim.stream import save
from tests.harness.synthetic import make_header, make_stream
from tests.mrsim.formats.scans import assert_identical, sampled

FULL = make_header(lines_per_frame=8, coils=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(make_stream(48, header=FULL), tmp_path / "a.stream")


@pytest.mark.parametrize("name", ["b.h5", "b.mrd"])
def test_there_and_back_gives_the_same_bytes(folder, tmp_path, name, capsys):
    assert main(["convert", str(folder), str(tmp_path / name)]) == 0
    assert main(["convert", str(tmp_path / name), str(tmp_path / "b.stream")]) == 0
    assert "48 lines of 2 coils (mrd), with the truth beside" in capsys.readouterr().out
    for file in folder.iterdir():
        assert (tmp_path / "b.stream" / file.name).read_bytes() == file.read_bytes()


def test_a_scan_without_truth_is_converted_and_replayed(tmp_path, capsys):
    stream = sampled(FULL, 6)
    save(stream, tmp_path / "a")
    layout = ["--layout", "fastmri"]
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "a.h5"), *layout]) == 0
    assert main(["convert", str(tmp_path / "a.h5"), str(tmp_path / "b")]) == 0
    assert "--no-quality" in capsys.readouterr().out
    from mrsim.stream import load

    assert_identical(load(tmp_path / "b"), stream)
    replay = ["replay", str(tmp_path / "b"), "zero-filled", "--clock", "virtual", "--no-quality"]
    assert main(replay) != 2  # whatever the host lets the verdict be, the stream is accepted
    assert "images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{a}", "{a}2"], "and so would"),
        (["{a}", "{a}.h5", "--tr-ms", "3"], "--tr-ms goes with a file"),
        (["{a}", "{a}.h5", "--layout", "fastmri", "--oversampling", "reported"], "--layout mrd"),
        (["{text}", "{a}2", "--tr-ms", "nan"], "--tr-ms nan"),
        (["{text}", "{a}2"], "not an HDF5 file"),
        (["{text}", "{text}"], "would be another"),
        (["{a}/nothing", "{a}2"], "no such"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(folder, tmp_path, words, told, capsys):
    text = tmp_path / "text.h5"
    text.write_text("no")
    words = [word.format(a=folder, text=text) for word in words]
    assert main(["convert", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.stream", "text.h5"]
