"""What is read of a cine, and what is refused, in one line that names the array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.anatomy.series.series import series_from_arrays
from mrsim.errors import InputError, PhantomError
from tests.mrsim.anatomy.series.cines import SHAPE, cine


def test_times_are_whole_nanoseconds_from_the_first_frame() -> None:
    series = series_from_arrays(**cine(seconds=5.0 + 0.15 * np.arange(24)))
    assert series.t_ns.dtype == np.int64
    assert series.t_ns.tolist() == [150_000_000 * n for n in range(24)]
    assert series.pixel_m == pytest.approx((3e-3, 2.5e-3))
    assert "24 frames" in repr(series)
    assert repr(series).endswith("of the first frame")


def test_a_file_says_the_same_as_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **cine())
    read, given = read_cine(tmp_path / "mine.npz"), series_from_arrays(**cine())
    for name in ("images", "t_ns", "labels"):
        assert (getattr(read, name) == getattr(given, name)).all()
    assert read.source.endswith("mine.npz")


def test_complex_images_stay_complex() -> None:
    images = cine()["images"] * np.exp(0.3j)
    assert series_from_arrays(**cine(images=images)).images.dtype == np.complex64


def test_one_number_is_both_sides_of_a_pixel() -> None:
    assert series_from_arrays(**cine(pixel_mm=1.5)).pixel_m == (1.5e-3, 1.5e-3)


EDGE = np.zeros(SHAPE, np.bool_)
EDGE[0, 5] = True
BACKWARDS = 0.15 * np.arange(24.0)
BACKWARDS[7] = 0.1
HOLE = cine()["images"].copy()
HOLE[5, 3, 3] = np.nan


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"images": np.zeros((24, *SHAPE))}, "all pixels are zero"),
        ({"images": HOLE}, "frame 5 has pixels that are not finite"),
        ({"images": cine()["images"][0]}, "images: expected numbers, (frames, rows, columns)"),
        ({"images": cine()["images"][:1], "seconds": np.zeros(1)}, "images: 1 frames"),
        ({"images": np.moveaxis(cine()["images"], 0, -1)}, "expected 40 finite numbers, one a frame"),
        ({"images": cine()["images"] * 1e300}, "above 1e15"),
        ({"images": np.full((24, *SHAPE), "a")}, "images: expected numbers"),
        ({"seconds": BACKWARDS}, "frame 7 comes -0.8 s after the one before"),
        ({"seconds": np.zeros(24)}, "frame 1 comes 0 s"),
        ({"seconds": np.full(24, np.nan)}, "seconds: expected 24 finite numbers"),
        ({"pixel_mm": np.array([0.0, 1.0])}, "pixel_mm: expected one or two lengths"),
        ({"pixel_mm": np.array([1.0, 2.0, 3.0])}, "pixel_mm"),
        ({"first_label": np.zeros(SHAPE, bool)}, "first_label: no pixel in frame 0"),
        ({"first_label": np.ones((3, 3), bool)}, "first_label: expected the shape (40, 36)"),
        ({"first_label": EDGE}, "in frame 0 it touches the edge"),
        ({"labels": np.zeros((24, *SHAPE), bool)}, "both first_label and labels"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(PhantomError) as raised:
        series_from_arrays(**cine(**changes), source="mine.npz")
    assert str(raised.value).startswith("mine.npz: ")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "few.npz", images=cine()["images"])
    with pytest.raises(PhantomError, match=r"few.npz: it does not say when its frames were taken"):
        read_cine(tmp_path / "few.npz")
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("text.npz", "nothing.npz"):
        with pytest.raises(InputError, match=name):
            read_cine(tmp_path / name)
