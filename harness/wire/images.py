"""Images on the wire: ours with what they say of themselves, and a stranger's matched to its frame.

The counters of an MRD image have 16 bits. A frame is found again from the newest one that was sent: the image
is of the latest frame that is not newer and has that counter.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.wire.limits import PURPOSE, WireError
from mrsim.formats import require_ismrmrd
from mrsim.formats.mrd_acquisition import REPETITIONS
from mrsim.stream import Header
from recon.protocol import Image

_OWN = "mrsim_"
_IMAGE_TYPE_COMPLEX = 5
_NOMINAL_SLICE_MM = 5.0


class Match(enum.Enum):
    """Name the ways in which servers count their images."""

    REPETITION = "repetition"
    """The counter `repetition` is that of the readouts."""
    INDEX = "image_index"
    """`image_index` counts the frames, from 0."""
    INDEX_FROM_1 = "image_index_1"
    """`image_index` counts the frames, from 1."""
    ORDER = "order"
    """Nothing can be relied on: the n-th image is of the n-th frame."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """Say when a server of ours had what an image is made of, on its monotonic clock.

    Parameters
    ----------
    lines
        Line, when the server began to wait for it, when it was received: one row for each line since the
        image before.
    done_ns
        When the image was emitted, nanoseconds.
    """

    lines: tuple[tuple[int, int, int], ...]
    done_ns: int


def image_to_wire(image: Image, header: Header, acquisition: Any, stamps: Stamps) -> Any:
    """Return an image as an `ismrmrd.Image`, with what it says of itself among the attributes.

    Parameters
    ----------
    image
        What a reconstructor emitted.
    header
        The scan's protocol.
    acquisition
        The readout that it came with, for its position in space and in the scan.
    stamps
        When its parts were there.

    Raises
    ------
    WireError
        If it is no image of this scan.
    """
    pixels = image.pixels if isinstance(image, Image) else None
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "fiuc" or pixels.ndim != 2:
        raise WireError(f"the candidate emitted {type(image).__name__}: expected an image [y, x] of numbers")
    rows, columns = pixels.shape
    ny, nx = header.matrix
    if rows > ny or columns > nx:
        raise WireError(f"the candidate emitted {rows} x {columns} pixels, the scan has {ny} x {nx}")
    package = require_ismrmrd(PURPOSE)
    frame = int(image.frame)
    # A stranger counts as it likes; one of ours looks for the frame in the attributes.
    head = package.image.ImageHeader.from_acquisition(
        acquisition,
        version=1,
        data_type=package.image.get_data_type_from_dtype(np.dtype(np.complex64)),
        channels=1,
        matrix_size=(columns, rows, 1),
        field_of_view=(
            header.fov_m[1] * 1e3 * columns / nx,
            header.fov_m[0] * 1e3 * rows / ny,
            _NOMINAL_SLICE_MM,
        ),
        image_type=_IMAGE_TYPE_COMPLEX,
        image_index=frame % REPETITIONS,
        image_series_index=1,
    )
    meta = package.Meta()
    meta[_OWN + "frame"], meta[_OWN + "last_line"] = str(frame), str(int(image.last_line))
    if image.shows_ns is not None:
        meta[_OWN + "shows_ns"] = str(int(image.shows_ns))
    if image.columns is not None:
        meta[_OWN + "columns"] = f"{int(image.columns[0])} {int(image.columns[1])}"
    if stamps.lines:  # the codec reads an attribute that is empty as the word None
        meta[_OWN + "lines"] = " ".join(str(v) for row in stamps.lines for v in row)
    meta[_OWN + "done_ns"] = str(stamps.done_ns)
    # Attributes go through the constructor as text: only so can the head be one that was made before.
    made = package.Image(head, meta.serialize())
    with np.errstate(all="ignore"):  # what overflows complex64 is for the bench to find
        made.data[0, 0] = pixels
    return made


@dataclass
class Matcher:
    """Turn the images of one session back into ours.

    Parameters
    ----------
    header
        The scan's protocol.
    match
        How the server counts.
    own
        Whether the server is ours, so that its attributes are what we wrote.
    """

    header: Header
    match: Match
    own: bool = False
    frames: dict[int, int] = field(default_factory=dict)
    """Images that were matched to each of the newest few frames."""
    count: int = 0
    """Images so far."""

    def take(self, wire: Any, newest_line: int) -> tuple[Image, Stamps | None]:
        """Return an `ismrmrd.Image` as ours, and its stamps if it has any.

        Parameters
        ----------
        wire
            The image.
        newest_line
            Newest line that was sent.

        Raises
        ------
        WireError
            If it has several channels or slices, or its attributes are not what we wrote.
        """
        pixels = wire.data
        if pixels.shape[:2] != (1, 1):
            raise WireError(
                f"IMAGE: {pixels.shape[0]} channels of {pixels.shape[1]} slices: expected one combined slice"
            )
        own = self._own(wire.meta) if self.own and _OWN + "frame" in wire.meta else None
        if own is not None:
            image, stamps = own
            frame = image.frame
        else:
            per_frame, stamps = self.header.lines_per_frame, None
            frame = self._frame(wire, newest_line // per_frame)
            image = Image(pixels, frame, min((frame + 1) * per_frame - 1, newest_line))
        self.count += 1
        self.frames[frame] = self.frames.get(frame, 0) + 1
        if len(self.frames) > 64:
            del self.frames[next(iter(self.frames))]
        plane = pixels[0, 0]
        nx = self.header.matrix[1]
        if image.columns is None and plane.shape[1] == 2 * nx:  # the server left the oversampling on
            plane = plane[:, nx - nx // 2 :][:, :nx]
        return Image(plane, image.frame, image.last_line, image.shows_ns, image.columns), stamps

    def _frame(self, wire: Any, newest: int) -> int:
        if self.match is Match.ORDER:
            return self.count
        counter = int(wire.repetition if self.match is Match.REPETITION else wire.image_index)
        counter -= self.match is Match.INDEX_FROM_1
        frame = newest - (newest - counter) % REPETITIONS
        # Before the first frame there is none: the server is ahead of us, and the gate will say so.
        return frame if frame >= 0 else frame + REPETITIONS

    def _own(self, meta: Any) -> tuple[Image, Stamps]:
        def whole(name: str) -> int:
            return _whole(meta.get(_OWN + name), name)

        columns: tuple[int, int] | None = None
        if _OWN + "columns" in meta:
            first, _, stop = str(meta[_OWN + "columns"]).partition(" ")
            columns = (_whole(first, "columns"), _whole(stop, "columns"))
        shows_ns = whole("shows_ns") if _OWN + "shows_ns" in meta else None
        flat = [_whole(v, "lines") for v in str(meta.get(_OWN + "lines") or "").split()]
        if len(flat) % 3:
            raise WireError("IMAGE: attribute mrsim_lines: expected three numbers a line")
        lines = tuple((flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3))
        blank = Image(np.empty((0, 0), np.complex64), whole("frame"), whole("last_line"), shows_ns, columns)
        return blank, Stamps(lines, whole("done_ns"))


def _whole(text: Any, name: str) -> int:
    try:
        if len(text) > 20:
            raise ValueError(text)
        return int(text)
    except (TypeError, ValueError):
        raise WireError(f"IMAGE: attribute mrsim_{name}: expected a whole number") from None
