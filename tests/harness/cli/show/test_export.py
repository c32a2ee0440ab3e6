"""`mrsim export` and `replay --images`: what was scanned or shown, of streams with and without truth."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from harness.cli.main import main
from mrsim.formats.images.files import read_stored
from mrsim.stream import load, save
from recon.fourier import to_image
from tests.harness.synthetic import make_header, make_stream, moving_stream


@pytest.fixture
def streams(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scan = make_stream(96, header=make_header(16, 4_000_000, (16, 16)))
    save(scan, "a.stream")
    save(dataclasses.replace(scan, truth=None), "bare.stream")
    return tmp_path


def test_of_a_scan_with_truth_it_is_the_truth(streams, capsys):
    assert main(["export", "a.stream", "t.npz"]) == 0
    assert "t.npz: 6 true images, 16 x 16, pixels of 25 x 25 mm, 64 ms an image" in capsys.readouterr().out
    found, scan = read_stored(streams / "t.npz"), load("a.stream")
    assert np.array_equal(found.images, scan.truth.image)
    assert main(["export", "a.stream", "m.npz", "--masks", "--frames", "2"]) == 0
    assert np.array_equal(read_stored(streams / "m.npz").images, scan.truth.mask[:2])


def test_of_a_scan_without_truth_it_is_what_a_reconstructor_shows(streams, capsys):
    assert main(["export", "bare.stream", "v.npz"]) == 0
    assert "6 images of view-sharing" in capsys.readouterr().out
    assert main(["export", "bare.stream", "z.npz", "--with", "zero-filled"]) == 0
    scan, found = load("bare.stream"), read_stored(streams / "z.npz")
    kspace = np.zeros((16, 16), np.complex64)
    kspace[scan.ky[:16] + 8] = scan.samples[:16, 0]
    assert np.allclose(found.images[0], to_image(kspace), atol=1e-5)
    assert main(["export", "bare.stream", "m.npz", "--masks"]) == 2
    assert "it has no truth to write" in capsys.readouterr().err


def test_a_replay_writes_what_it_showed_and_that_goes_into_any_other_file(streams, capsys):
    sitk = pytest.importorskip("SimpleITK")
    words = ["replay", "bare.stream", "zero-filled", "--clock", "virtual", "--no-quality"]
    main([*words, "--images", "r.npz"])
    assert main(["export", "bare.stream", "z.npz", "--with", "zero-filled"]) == 0
    kept = read_stored(streams / "r.npz")
    assert np.array_equal(kept.images, read_stored(streams / "z.npz").images)
    assert main(["export", "r.npz", "r.nii.gz", "--frames", "3"]) == 0
    found = sitk.GetArrayFromImage(sitk.ReadImage("r.nii.gz"))
    assert np.array_equal(found[:, 0], np.abs(kept.images[:3]))
    capsys.readouterr()


def test_where_images_are_measured_they_are_still_those_of_the_run(tmp_path, monkeypatch):
    """With quality measured, too, what is written is what the candidate emitted."""
    monkeypatch.chdir(tmp_path)
    save(moving_stream(20), "a.stream")
    main(["replay", "a.stream", "zero-filled", "--clock", "virtual", "--images", "r.npz"])
    assert main(["export", "a.stream", "z.npz", "--with", "zero-filled"]) == 0
    written = read_stored(tmp_path / "r.npz").images
    assert np.array_equal(written, read_stored(tmp_path / "z.npz").images)
    assert not np.allclose(written, load("a.stream").truth.image, atol=0.1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("export a.stream a.tif", "expected a name that ends in"),
        ("export a.stream a.png", "a series of single files is a folder: a.png/"),
        ("export none.stream a.nii", "no such file"),
        ("export result.json a.nii", "a result holds figures and no images"),
        ("export t.npz a.nii --masks", "--masks: t.npz holds images already"),
        ("export t.npz a.nii --with zero-filled", "--with: t.npz holds images already"),
        ("export t.npz a.nii --frames 9", "--frames 9: t.npz holds 1 to 6"),
        ("export text.npz a.nii", "damaged, or not images of mrsim"),
        ("export a.stream a.stream/a.nii", "lies inside a stream"),
        ("replay a.stream zero-filled --images a.stl", "expected a name that ends in"),
        ("replay a.stream zero-filled --images there.png/", "exists; choose another name"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_the_work(words, told, streams, capsys):
    assert main(["export", "a.stream", "t.npz"]) == 0
    (streams / "result.json").write_text(json.dumps({"schema": "mrsim-replay/2"}))
    (streams / "text.npz").write_text("GIF89a")
    (streams / "there.png").mkdir()
    before = sorted(p.name for p in streams.iterdir())
    capsys.readouterr()
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in streams.iterdir()) == before
