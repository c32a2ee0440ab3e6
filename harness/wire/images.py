"""Images on the wire: those of an mrsim server carry their frame, those of other servers are matched to one.

The counters of an MRD image have 16 bits. The frame is recovered from the newest frame that was sent: the
image belongs to the latest frame that is not newer and has that counter.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.wire.limits import PURPOSE, WireError
from mrsim.formats import require_ismrmrd
from mrsim.formats.mrd_acquisition import REPETITIONS
from mrsim.formats.mrd_header import NOMINAL_SLICE_MM
from mrsim.stream import Header
from recon.protocol import Image

_OWN = "mrsim_"
FIRST = 64  # images whose counters are looked at


class Match(enum.Enum):
    """Name the ways in which servers number their images."""

    REPETITION = "repetition"
    """`repetition` is copied from the readouts."""
    REPETITION_FROM_1 = "repetition_1"
    """The same by a server that counts them from 1."""
    INDEX = "image_index"
    """`image_index` counts the frames, from 0."""
    INDEX_FROM_1 = "image_index_1"
    """`image_index` counts the frames, from 1."""
    ORDER = "order"
    """No counter is usable: the n-th image is of the n-th frame."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """State when an mrsim server received the lines of an image, on its monotonic clock.

    Parameters
    ----------
    lines
        For each line since the previous image: its number, when the server began to wait for it, and when it
        was received, nanoseconds.
    done_ns
        When the image was emitted, nanoseconds.
    """

    lines: tuple[tuple[int, int, int], ...]
    done_ns: int


class Pixels(enum.Enum):
    """Name what a server sends of an image."""

    AUTO = "auto"
    """Complex numbers to an mrsim client, magnitudes to any other."""
    COMPLEX = "complex"
    MAGNITUDE = "magnitude"


def image_to_wire(
    image: Image,
    header: Header,
    acquisition: Any,
    stamps: Stamps | None,
    pixels: Pixels = Pixels.AUTO,
    slice_m: float = NOMINAL_SLICE_MM * 1e-3,
) -> Any:
    """Return an image as an `ismrmrd.Image`.

    An mrsim client gets the fields of `Image` among its attributes. Any other gets what is usual in the field
    and nothing of ours.

    Parameters
    ----------
    image
        Image of the reconstructor.
    header
        The scan's protocol.
    acquisition
        The newest readout, for the position in space and in the scan.
    stamps
        When the lines of the image were received, for an mrsim client; None for any other.
    pixels
        What is sent of it.
    slice_m
        Thickness of the slice, metres.

    Raises
    ------
    WireError
        If it is no image of this scan.
    """
    shown = image.pixels if isinstance(image, Image) else None
    if not isinstance(shown, np.ndarray) or shown.dtype.kind not in "fiuc" or shown.ndim != 2:
        raise WireError(f"the candidate emitted {type(image).__name__}: expected an image [y, x] of numbers")
    rows, columns = shown.shape
    ny, nx = header.matrix
    if rows > ny or columns > nx:
        raise WireError(f"the candidate emitted {rows} x {columns} pixels, the scan has {ny} x {nx}")
    package = require_ismrmrd(PURPOSE)
    whole = pixels is Pixels.COMPLEX or (pixels is Pixels.AUTO and stamps is not None)
    # An mrsim client reads the frame from the attributes; another one uses `image_index`.
    head = package.image.ImageHeader.from_acquisition(
        acquisition,
        version=1,
        data_type=package.image.get_data_type_from_dtype(np.dtype(np.complex64 if whole else np.float32)),
        channels=1,
        matrix_size=(columns, rows, 1),
        field_of_view=(
            header.fov_m[1] * 1e3 * columns / nx,
            header.fov_m[0] * 1e3 * rows / ny,
            slice_m * 1e3,
        ),
        image_type=package.IMTYPE_COMPLEX if whole else package.IMTYPE_MAGNITUDE,
        image_index=int(image.frame) % REPETITIONS,
        image_series_index=1,
    )
    with np.errstate(all="ignore"):  # the client's bench finds what overflows complex64
        sent = shown if whole else np.abs(shown).astype(np.float32)
    meta = _usual(package, sent, acquisition)
    if stamps is not None:
        _add_own(meta, image, stamps)
    # The constructor takes a ready header only if the attributes are text.
    made = package.Image(head, meta.serialize())
    with np.errstate(all="ignore"):
        made.data[0, 0] = sent
    return made


def _usual(package: Any, pixels: NDArray[Any], acquisition: Any) -> Any:
    """Return the attributes that writers of DICOM look for."""
    meta = package.Meta()
    meta["DataRole"] = "Image"
    meta["ImageProcessingHistory"] = ["mrsim"]
    meta["Keep_image_geometry"] = "1"
    for name, direction in (("ImageRowDir", acquisition.read_dir), ("ImageColumnDir", acquisition.phase_dir)):
        meta[name] = [f"{component:.18f}" for component in direction]
    if pixels.dtype.kind != "c":
        most = float(pixels.max(initial=0))
        if np.isfinite(most):
            meta["WindowCenter"], meta["WindowWidth"] = f"{most / 2:.9g}", f"{most:.9g}"
    return meta


def _add_own(meta: Any, image: Image, stamps: Stamps) -> None:
    """Add the fields of an image and the stamps of its lines, for an mrsim client."""
    meta[_OWN + "frame"], meta[_OWN + "last_line"] = str(int(image.frame)), str(int(image.last_line))
    if image.shows_ns is not None:
        meta[_OWN + "shows_ns"] = str(int(image.shows_ns))
    if image.columns is not None:
        meta[_OWN + "columns"] = f"{int(image.columns[0])} {int(image.columns[1])}"
    if stamps.lines:  # the codec reads an empty attribute as the text None
        meta[_OWN + "lines"] = " ".join(str(v) for row in stamps.lines for v in row)
    meta[_OWN + "done_ns"] = str(stamps.done_ns)


@dataclass
class Matcher:
    """Convert the images of one session into `Image`.

    Parameters
    ----------
    header
        The scan's protocol.
    match
        How the server numbers its images.
    own
        Whether the server is an mrsim server, whose attributes can be trusted.
    frames
        Number of images that were matched to each of the newest frames.
    count
        Number of images so far.
    ahead
        Frame of an image that came before the frame had begun; None if none did.
    counters
        Values of each counter in the first images.
    """

    header: Header
    match: Match
    own: bool = False
    frames: dict[int, int] = field(default_factory=dict)
    count: int = 0
    ahead: int | None = None
    counters: dict[str, set[int]] = field(default_factory=lambda: {"repetition": set(), "image_index": set()})

    def take(self, wire: Any, newest_line: int) -> tuple[Image, Stamps | None]:
        """Convert an `ismrmrd.Image`, and return its stamps if it has any.

        Parameters
        ----------
        wire
            The `ismrmrd.Image`.
        newest_line
            Newest line that was sent.

        Raises
        ------
        WireError
            If it has several channels or slices, or its attributes are damaged.
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
            if frame > newest_line // per_frame:
                self.ahead = frame
            image = Image(pixels, frame, min((frame + 1) * per_frame - 1, newest_line))
        self.count += 1
        if self.count <= FIRST:
            for name, values in self.counters.items():
                values.add(int(getattr(wire, name)))
        self.frames[frame] = self.frames.get(frame, 0) + 1
        if len(self.frames) > 64:
            del self.frames[next(iter(self.frames))]
        plane = pixels[0, 0]
        nx = self.header.matrix[1]
        if image.columns is None and plane.shape[1] == 2 * nx:  # the server kept the oversampling
            plane = plane[:, nx - nx // 2 :][:, :nx]
        return Image(plane, image.frame, image.last_line, image.shows_ns, image.columns), stamps

    @property
    def hint(self) -> str | None:
        """Return how the server seems to count its images, if that is not how they are matched."""
        if self.own or self.match is Match.ORDER or not self.count:
            return None
        if self.ahead is not None:
            way = Match.REPETITION_FROM_1 if self.match is Match.REPETITION else Match.INDEX_FROM_1
            return (
                f"an image says that it is of frame {self.ahead} by {self.match.value}, which has not begun: "
                f"a server that counts from 1 takes match={way.value}"
            )
        if self.count < 2 or len(self.frames) > 1:
            return None
        counting = {name for name, values in self.counters.items() if len(values) > 1}
        ways = [Match.ORDER.value]
        if "repetition" in counting:
            ways = [Match.REPETITION.value]
        elif "image_index" in counting:
            least = min(self.counters["image_index"])
            ways = [(Match.INDEX_FROM_1 if least else Match.INDEX).value]
        return (
            f"all {self.count} images say that they are of frame {next(iter(self.frames))} by "
            f"{self.match.value}, which this server does not count: set match={ways[0]}"
        )

    def _frame(self, wire: Any, newest: int) -> int:
        if self.match is Match.ORDER:
            return self.count
        by_repetition = self.match in (Match.REPETITION, Match.REPETITION_FROM_1)
        counter = int(wire.repetition if by_repetition else wire.image_index)
        counter -= self.match in (Match.INDEX_FROM_1, Match.REPETITION_FROM_1)
        frame = newest - (newest - counter) % REPETITIONS
        # A negative frame means that the server is ahead of the scan; the gate rejects such a frame.
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
