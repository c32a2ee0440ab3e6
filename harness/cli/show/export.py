"""`mrsim export`: the images of a scan, or of a replay, as a file of the field or a moving picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.arguments import add_allow_seen, add_seed
from mrsim.errors import InputError

if TYPE_CHECKING:
    from mrsim.formats.images.series import ImageSeries

WITHOUT_TRUTH = "view-sharing"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "source", metavar="STREAM|IMAGES", help="folder of a stream, or the .npz of mrsim replay --images"
    )
    command.add_argument("file", metavar="FILE", help=f"ends in {', '.join(_endings())}")
    what = command.add_mutually_exclusive_group()
    what.add_argument(
        "--with", dest="candidate", metavar="CANDIDATE",
        help=f"of a stream: images of a reconstructor (the truth; {WITHOUT_TRUTH} where there is none)",
    )  # fmt: skip
    what.add_argument("--masks", action="store_true", help="of a stream: the target's true masks")
    command.add_argument("--frames", type=int, help="only so many first images")
    add_allow_seen(command)
    add_seed(command)


def run(
    *,
    source: str,
    file: str,
    candidate: str | None,
    masks: bool,
    frames: int | None,
    allow_seen: bool,
    seed: int,
) -> int:
    """Write images as the file's ending says.

    Raises
    ------
    InputError
        If the source has no images, the ending is unknown, or the file cannot be written.
    MissingExtraError
        If what writes the file is not installed.
    """
    from mrsim.formats.images.files import check_images, write_images

    check_images(file)
    path = Path(source)
    if path.is_dir():
        series = _of_stream(path, candidate, masks, frames, allow_seen, seed)
    else:
        series = _stored(path, candidate, masks, frames)
    write_images(file, series)
    count, (ny, nx) = len(series.images), series.images.shape[1:]
    height, width = (side * 1e3 for side in series.pixel_m)
    print(
        f"{file}: {count} {series.about}, {ny} x {nx}, pixels of {height:.4g} x {width:.4g} mm, "
        f"{series.frame_ns / 1e6:.4g} ms an image"
    )
    return 0


def _of_stream(
    path: Path, candidate: str | None, masks: bool, frames: int | None, allow_seen: bool, seed: int
) -> ImageSeries:
    from mrsim.formats.images.series import ImageSeries
    from mrsim.stream import load

    stream = load(path)
    if frames is not None:
        stream = stream.first_frames(frames)
    if candidate is None and (masks or stream.truth is not None):
        return ImageSeries.of_truth(stream, masks=masks)
    from harness.session.images import images_of
    from harness.session.replay import replay

    with_ = WITHOUT_TRUTH if candidate is None else candidate
    result = replay(
        stream, with_, scenario="lockstep", quality=False, keep_images=True, allow_seen=allow_seen, seed=seed
    )
    return images_of(result.first)


def _stored(path: Path, candidate: str | None, masks: bool, frames: int | None) -> ImageSeries:
    import dataclasses

    from mrsim.formats.images.files import read_stored

    if candidate is not None or masks:
        raise InputError(f"{'--masks' if masks else '--with'}: {path} holds images already; name a stream")
    if path.suffix.lower() == ".json":
        raise InputError(
            f"{path}: a result holds figures and no images; write them with mrsim replay --images FILE.npz"
        )
    series = read_stored(path)
    if frames is None:
        return series
    if not 1 <= frames <= len(series.images):
        raise InputError(f"--frames {frames}: {path} holds 1 to {len(series.images)}")
    return dataclasses.replace(series, images=series.images[:frames], shown=series.shown[:frames])


def _endings() -> tuple[str, ...]:
    from mrsim.formats.images.endings import ENDINGS

    return ENDINGS
