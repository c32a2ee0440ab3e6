"""Moving pictures, encoded by kept libraries: GIF by Pillow, MP4 (H.264) by PyAV.

Both are played at the pace at which they were taken: a second of the picture is a second of the scan.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError, MissingExtraError
from mrsim.files.targets import check_target
from mrsim.files.writing import new_file
from mrsim.plotting import pillow

ENDINGS = (".gif", ".mp4")
TICK_NS = 10_000_000
"""A frame of a GIF lasts a whole number of these; players show none for less than two."""
LEAST_NS, MOST_NS = 1_000_000, 60_000_000_000
MAX_FRAMES, MAX_SIDE = 1 << 14, 4096
_LEVELS = 32  # of each colour, when the nearest of a palette is looked up

Rgb = NDArray[np.uint8]
"""A picture, shape (rows, columns, 3), uint8."""


def check_moving(path: str | Path) -> None:
    """Refuse a moving picture that cannot be written, before the work.

    Parameters
    ----------
    path
        File to write: .gif or .mp4.

    Raises
    ------
    FileError
        If its ending is another, or it may not be written.
    MissingExtraError
        If what encodes it is not installed.
    """
    check_target(path, *ENDINGS)
    _library(Path(path))


def write_moving(path: str | Path, pictures: Iterable[Rgb], frame_ns: int, palette: Rgb | None = None) -> int:
    """Write a moving picture, whole or not at all.

    Parameters
    ----------
    path
        File to write: .gif or .mp4.
    pictures
        Pictures of one size, at least one.
    frame_ns
        How long each is shown, nanoseconds. Frames of a GIF last whole hundredths of a second, at least two;
        where this is none, they differ by one, so that none is shown earlier or later by more than a half.
    palette
        Colours of a GIF, shape (n, 3), uint8, at most 256; None for greys.

    Returns
    -------
    count
        Number of pictures.

    Raises
    ------
    FileError
        If the file cannot be written.
    FormatError
        If there is no picture, they differ in size, or the time is out of range.
    MissingExtraError
        If what encodes it is not installed.
    """
    target = Path(path)
    check_moving(target)
    if not LEAST_NS <= frame_ns <= MOST_NS:
        raise FormatError(f"{target}: {frame_ns / 1e6:g} ms a frame: expected 1 ms to 60 s")
    if target.suffix.lower() == ".gif":
        return _write_gif(
            target, _checked(target, pictures), frame_ns, greys() if palette is None else palette
        )
    return _write_mp4(target, _checked(target, pictures), frame_ns)


def greys(levels: int = 256) -> Rgb:
    """Return a palette of so many greys, shape (levels, 3)."""
    return np.repeat(np.linspace(0, 255, levels).round().astype(np.uint8)[:, None], 3, axis=1)


def _library(target: Path) -> Any:
    if target.suffix.lower() == ".gif":
        return pillow("Image", "writing a GIF")
    try:
        return importlib.import_module("av")
    except ImportError:
        raise MissingExtraError("av", "video", "writing an MP4") from None


def _checked(target: Path, pictures: Iterable[Rgb]) -> Iterator[Rgb]:
    shape, count = None, 0
    for picture in pictures:
        shape = picture.shape if shape is None else shape
        if picture.dtype != np.uint8 or picture.shape != shape or picture.ndim != 3 or shape[2] != 3:
            raise FormatError(
                f"{target}: frame {count} is {picture.dtype} {picture.shape}: expected uint8 "
                "(rows, columns, 3)"
            )
        if max(shape) > MAX_SIDE:
            raise FormatError(f"{target}: {shape[0]} x {shape[1]} pixels: expected at most {MAX_SIDE} a side")
        count += 1
        if count > MAX_FRAMES:
            raise FormatError(f"{target}: more than {MAX_FRAMES} frames; write a shorter part")
        yield picture
    if not count:
        raise FormatError(f"{target}: there is no picture to show")


def _write_gif(target: Path, pictures: Iterator[Rgb], frame_ns: int, palette: Rgb) -> int:
    Image = _library(target)
    if frame_ns < 2 * TICK_NS:
        raise FormatError(f"{target}: {frame_ns / 1e6:g} ms a frame: a GIF shows none below 20; take .mp4")
    lookup = _lookup(palette)
    flat = palette.astype(np.uint8).tobytes()

    def indexed(picture: Rgb) -> Any:
        red, green, blue = (picture[..., c].astype(np.int64) * _LEVELS // 256 for c in range(3))
        image = Image.fromarray(lookup[(red * _LEVELS + green) * _LEVELS + blue])
        image.putpalette(flat)
        return image

    shown: list[Any] = [indexed(picture) for picture in pictures]
    ends = (np.arange(len(shown) + 1) * frame_ns + TICK_NS // 2) // TICK_NS
    times = (np.diff(ends) * 10).tolist()
    # Pillow joins frames that are alike into one that is shown for longer.
    with new_file(target) as file:
        shown[0].save(
            file, format="GIF", save_all=True, append_images=shown[1:], duration=times, loop=0, disposal=1,
            optimize=False,
        )  # fmt: skip
    return len(shown)


def _lookup(palette: Rgb) -> NDArray[np.uint8]:
    """Return the row of the palette that is nearest to each colour of an even cube."""
    steps = (np.arange(_LEVELS) + 0.5) * 256 / _LEVELS
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    best, nearest = np.full(len(cube), np.inf), np.zeros(len(cube), np.uint8)
    for row, colour in enumerate(palette.astype(np.float64)):
        away = ((cube - colour) ** 2).sum(axis=1)
        nearest[away < best] = row
        best = np.minimum(best, away)
    return nearest


def _write_mp4(target: Path, pictures: Iterator[Rgb], frame_ns: int) -> int:
    av = _library(target)
    first = next(pictures)
    height, width = (side + side % 2 for side in first.shape[:2])  # the codec halves its colours
    rate, count = Fraction(1_000_000_000, frame_ns), 0
    try:
        with new_file(target) as file, av.open(file, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = 1 / rate
            stream.thread_count = 1  # the same bytes each time
            stream.options = {"crf": "18", "preset": "medium"}
            for picture in _chain(first, pictures):
                even = np.zeros((height, width, 3), np.uint8)
                even[: picture.shape[0], : picture.shape[1]] = picture
                frame = av.VideoFrame.from_ndarray(even, format="rgb24")
                frame.pts, frame.time_base = count, 1 / rate
                container.mux(stream.encode(frame))
                count += 1
            container.mux(stream.encode())
    except av.error.FFmpegError as error:
        raise FormatError(f"{target}: the encoder refused it: {' '.join(str(error).split())[:160]}") from None
    return count


def _chain(first: Rgb, others: Iterator[Rgb]) -> Iterator[Rgb]:
    yield first
    yield from others
