"""Moving pictures: what is read back are the pictures, and what cannot be one is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mrsim.errors import FormatError, InputError, MissingExtraError
from mrsim.formats.images import moving
from mrsim.formats.images.moving import greys, write_moving


def pictures(count=6, shape=(33, 47)):
    """Return grey pictures, each with a bright square at another place."""
    for number in range(count):
        one = np.full((*shape, 3), 40, np.uint8)
        one[4 : 4 + 8, 4 * number : 4 * number + 8] = 215
        yield one


def test_a_gif_holds_the_levels_to_within_a_step_of_the_lookup(tmp_path):
    assert write_moving(tmp_path / "a.gif", pictures(), 70_000_000, greys()) == 6
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 6
        for number, drawn in enumerate(pictures()):
            gif.seek(number)
            assert gif.info["duration"] == 70
            assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - drawn).max() <= 256 / moving._LEVELS


def test_a_gif_keeps_pace_where_frames_last_no_whole_hundredths(tmp_path):
    write_moving(tmp_path / "a.gif", pictures(10), 70_400_000)
    times = []
    with Image.open(tmp_path / "a.gif") as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            times.append(gif.info["duration"])
    assert np.abs(np.cumsum(times) - 70.4 * np.arange(1, 11)).max() <= 5.0


def test_an_mp4_holds_them_as_well_as_it_compresses(tmp_path):
    av = pytest.importorskip("av")
    assert write_moving(tmp_path / "a.mp4", pictures(), 70_400_000) == 6
    with av.open(str(tmp_path / "a.mp4")) as film:
        shown = list(film.decode(video=0))
    assert len(shown) == 6
    assert float(shown[1].time) == pytest.approx(0.0704, abs=1e-6)
    for frame, drawn in zip(shown, pictures(), strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24")[:33, :47].astype(int) - drawn).mean() < 4


def test_the_same_pictures_give_the_same_bytes(tmp_path):
    pytest.importorskip("av")
    for ending in ("gif", "mp4"):
        for name in "ab":
            write_moving(tmp_path / f"{name}.{ending}", pictures(), 50_000_000)
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize(
    ("name", "frame_ns", "told"),
    [
        ("a.gif", 19_900_000, "shows none below 20"),
        ("a.mp4", 0, "1 ms to 60 s"),
        ("a.webm", 50_000_000, r"ends in \.gif or \.mp4"),
    ],
)
def test_a_time_or_an_ending_that_cannot_be_is_refused(name, frame_ns, told, tmp_path):
    with pytest.raises(InputError, match=told):
        write_moving(tmp_path / name, pictures(), frame_ns)
    assert not list(tmp_path.iterdir())


def test_pictures_that_are_none_are_refused(tmp_path):
    odd = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)]
    for wrong, told in ((odd, "frame 1 is uint8"), ([], "no picture"), ([np.zeros((8, 8))], "frame 0 is")):
        with pytest.raises(FormatError, match=told):
            write_moving(tmp_path / "a.gif", wrong, 50_000_000)
    assert not list(tmp_path.iterdir())


def test_a_library_that_is_missing_is_named_before_the_work(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(moving.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"mrsim\[video\]"):
        write_moving(tmp_path / "a.mp4", pictures(), 50_000_000)
    with pytest.raises(MissingExtraError, match=r"mrsim\[report\]"):
        write_moving(tmp_path / "a.gif", pictures(), 50_000_000)
