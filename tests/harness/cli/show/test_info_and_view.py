"""`mrsim info` tells what each kind of file holds; `mrsim view` draws it."""

from __future__ import annotations

import numpy as np
import pytest

from harness.cli.main import main
from harness.cli.show import view
from mrsim.anatomy.series.stored import prepare_patient
from mrsim.formats.images.files import write_images
from mrsim.formats.images.series import ImageSeries
from mrsim.stream import save
from recon.cascade.checkpoint import shipped
from tests.harness.synthetic import make_header, make_stream


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    save(make_stream(96, header=make_header(16, 4_000_000, (16, 16))), "a.stream")
    return tmp_path


def told(capsys, *words):
    code = main(["info", *words])
    out = capsys.readouterr()
    return code, out.out + out.err


def test_every_kind_is_told(folder, capsys):
    code, text = told(capsys, "a.stream")
    assert code == 0
    assert "Stream: 6 frames of 16 lines" in text
    main(["replay", "a.stream", "zero-filled", "--clock", "virtual", "--no-quality",
          "--json", "r.json", "--images", "i.npz"])  # fmt: skip
    capsys.readouterr()
    code, text = told(capsys, "r.json")
    assert code == 0
    assert "zero-filled" in text
    assert "INSUFFICIENT" in text
    assert "6 frames of test" in text
    code, text = told(capsys, "i.npz")
    assert code == 0
    assert "Images: 6 images of zero-filled" in text
    assert "pixels of 25 x 25 mm" in text
    assert "64 ms an image" in text
    code, text = told(capsys, shipped()[0])
    assert code == 0
    assert "Checkpoint" in text or "Weights" in text or "weights" in text


def test_a_patient_is_told(folder, capsys):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :20]
    shifts = 2 * np.sin(np.arange(30) / 3)
    label = np.hypot(y - 12, x - 10) < 4
    images = np.stack([np.roll(label * 200.0, round(s), axis=0) + 20 + rng.random((24, 20)) for s in shifts])
    np.savez("c.npz", images=images, seconds=np.arange(30) * 0.2, pixel_mm=[2.0, 2.0], first_label=label)
    prepare_patient("c.npz", "mine", twin=False)
    code, text = told(capsys, "mine")
    assert code == 0
    assert "Patient: mine" in text
    assert "pixels of 2 x 2 mm" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "no such file or folder"),
        ("notes", "neither a stream nor a patient"),
        ("text.json", "not valid JSON"),
        ("list.json", "no result of mrsim"),
        ("other.npz", "other.npz"),
        ("page.html", "expected a stream's folder"),
    ],
)
def test_what_it_does_not_know_is_refused_in_one_line(name, said, folder, capsys):
    (folder / "notes").mkdir()
    (folder / "text.json").write_text("{")
    (folder / "list.json").write_text("[1]")
    (folder / "page.html").write_text("<p>")
    np.savez("other.npz", a=np.zeros(3))
    code, text = told(capsys, name)
    assert code == 2
    assert said in text
    assert text.count("\n") == 1


def test_view_draws_a_scan_and_images(folder, capsys):
    assert main(["view", "a.stream"]) == 0
    assert (folder / "view.png").read_bytes().startswith(b"\x89PNG")
    assert main(["export", "a.stream", "i.npz"]) == 0
    for words in (["a.stream", "--what", "kspace"], ["a.stream", "--what", "trace"], ["i.npz"]):
        assert main(["view", *words, "-o", "x.png"]) == 0
        (folder / "x.png").unlink()
    capsys.readouterr()
    for words, said in (
        (["i.npz", "--what", "trace"], "holds images alone"), (["a.stream", "-o", "x.jpg"], "ends in .png"),
        (["none"], "no such file"),
    ):  # fmt: skip
        assert main(["view", *words]) == 2
        assert said in capsys.readouterr().err


def stored(folder):
    """Store six images of which two never came, each with one bright row of its own."""
    images = np.zeros((6, 16, 16), np.complex64)
    shown = np.array([True, True, False, True, False, True])
    for number in np.flatnonzero(shown):
        images[number, number] = 1 + number
    series = ImageSeries(images, (0.025, 0.025), 64_000_000, 0, "of a test", shown)
    write_images(str(folder / "i.npz"), series)
    return images, shown


def test_images_that_never_came_are_counted(folder, capsys):
    stored(folder)
    assert "came     4 of 6" in told(capsys, "i.npz")[1]


def test_view_draws_the_images_that_came_each_once(folder):
    images, shown = stored(folder)
    figure = view._images(folder / "i.npz", "frames", None)
    drawn = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    assert len(drawn) == shown.sum()
    for one, image in zip(drawn, images[shown], strict=True):
        assert np.array_equal(np.argwhere(one > 0), np.argwhere(image))
