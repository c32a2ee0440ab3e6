"""The collector: it stamps, checks and copies the images and positions that a candidate emits.

A candidate can reach the collector through `emit`. Therefore the collector holds no samples of the stream and
none of its truth.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError
from mrsim.stream import Header
from mrsim.stream.values import MAX_POSITION_M, MAX_SAMPLE
from recon.protocol import Emission, Image, Position

MAX_IMAGE_BYTES = 8 << 30
MISSING = -1
POSITIONS_A_LINE = 4
"""Most positions that are kept of a run, for each of its lines; one more breaks the contract."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Say how an image broke the protocol.

    Parameters
    ----------
    kind
        "contract" for an image of a wrong type, shape or frame; "causality" for an image that claims to hold
        lines that had not been handed out.
    line
        Newest line that had been handed out.
    message
        What is wrong and what was expected.
    """

    kind: str
    line: int
    message: str


@dataclass(frozen=True)
class Positions:
    """Hold the positions of a tracker in the order in which they came.

    Parameters
    ----------
    completed_ns
        Stamp of each, shape (n,), int64, nanoseconds.
    last_line
        Newest line that went into each, shape (n,), int64.
    centre_m
        Centre (x, y) of the target, shape (n, 2), float64, metres.
    hold
        Which say that they must not be followed, shape (n,), bool.
    mask
        Pixels of the target that came with the position of each whole frame, shape (images, ny, nx), bool;
        None if none came with a mask.
    """

    completed_ns: NDArray[np.int64]
    last_line: NDArray[np.int64]
    centre_m: NDArray[np.float64]
    hold: NDArray[np.bool_]
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Images:
    """Hold what was emitted, one row for each expected image.

    Parameters
    ----------
    completed_ns
        Stamp of the first whole image (or position) of each frame, shape (images,), int64, nanoseconds; -1
        where none came.
    last_line
        Newest line that each image claims to hold, shape (images,), int64; -1 where none came.
    pixels
        Shape (images, ny, nx), complex64; None if they were not kept.
    extra
        Number of whole images of frames that had one already.
    early
        Number of images that came before their frame's last line; they are not counted as images.
    bands
        Number of images of a range of columns only.
    band_ns
        Stamp of the first band of each frame, shape (images,), int64, nanoseconds; -1 where none came.
    band
        Columns of the first band, start and stop, and the pixels of each frame's band, shape (images, ny,
        stop - start), complex64; None if there was none, or the pixels were not kept.
    hold
        Which images say that they must not be followed, shape (images,), bool.
    drawn
        Which frames have an image, not a position only, shape (images,), bool.
    positions
        What a tracker emitted in place of images; None if it emitted none.
    nonfinite
        Number of images and positions that were discarded because a number in them was not finite, above 1e15
        (of an image) or farther than 1 km (of a position).
    first_nonfinite
        Frame and newest line of the first of these; None if there was none.
    late
        Number of images that came after the scan was closed.
    """

    completed_ns: NDArray[np.int64]
    last_line: NDArray[np.int64]
    pixels: NDArray[np.complex64] | None
    extra: int
    early: int
    bands: int
    nonfinite: int
    first_nonfinite: tuple[int, int] | None
    late: int
    band_ns: NDArray[np.int64]
    band: tuple[tuple[int, int], NDArray[np.complex64]] | None
    hold: NDArray[np.bool_]
    drawn: NDArray[np.bool_]
    positions: Positions | None

    def content(self, frame: int) -> bytes:
        """Return what was shown of a frame, to compare bit by bit; empty if nothing came or was kept.

        Parameters
        ----------
        frame
            Number of the frame.
        """
        if not self.shown[frame]:
            return b""
        if self.drawn[frame]:
            return b"" if self.pixels is None else self.pixels[frame].tobytes()
        assert self.positions is not None
        own = self.positions.completed_ns == self.completed_ns[frame]
        own &= self.positions.last_line == self.last_line[frame]
        mask = self.positions.mask
        shape = b"" if mask is None else bytes(mask[frame].tobytes())
        return bytes(self.positions.centre_m[own].tobytes()) + shape

    def centre_m(self, frame: int) -> NDArray[np.float64]:
        """Return the position that stands for a frame's image, (x, y) in metres, shape (2,).

        Parameters
        ----------
        frame
            Number of a frame that has a position and no image.
        """
        assert self.positions is not None
        own = self.positions.completed_ns == self.completed_ns[frame]
        own &= self.positions.last_line == self.last_line[frame]
        centre: NDArray[np.float64] = self.positions.centre_m[int(np.argmax(own))]
        return centre

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Return which of the expected images came, shape (images,), bool."""
        shown: NDArray[np.bool_] = self.completed_ns != MISSING
        return shown


class Collector:
    """Collect the images of one run.

    Parameters
    ----------
    header
        The scan's protocol.
    completing
        Line that completes each expected image, shape (images,), int64.
    stamp_ns
        Returns the time of an image that is emitted now, nanoseconds.
    keep
        Whether to keep the pixels. Without them memory does not grow with the number of images.

    Raises
    ------
    InputError
        If the images would not fit into `MAX_IMAGE_BYTES`.
    """

    def __init__(
        self, header: Header, completing: NDArray[np.int64], stamp_ns: Callable[[], int], keep: bool = True
    ) -> None:
        count, (ny, nx) = len(completing), header.matrix
        kept = count if keep else 1
        if kept * ny * nx * 8 > MAX_IMAGE_BYTES:
            raise InputError(
                f"{count} images of {ny} x {nx} pass {MAX_IMAGE_BYTES >> 30} GiB: replay fewer frames"
            )
        self._header, self._completing, self._stamp_ns, self._keep = header, completing, stamp_ns, keep
        self._completed_ns = np.full(count, MISSING, np.int64)
        self._last_line = np.full(count, MISSING, np.int64)
        self._band_ns = np.full(count, MISSING, np.int64)
        self._hold, self._drawn = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        self._positions: _PositionLog | None = None
        self._band: tuple[tuple[int, int], NDArray[np.complex64]] | None = None
        # Filled, not only reserved: the first access to a page would take time during the run.
        self._pixels = np.full((kept, ny, nx), 0, np.complex64)
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(("extra", "early", "bands", "nonfinite", "late"), 0)
        self._first_nonfinite: tuple[int, int] | None = None
        self._sealed = False
        self.newest = -1
        self.violation: Violation | None = None

    def emit(self, image: Emission) -> None:
        """Stamp an image or a position, check it and copy what it holds; any thread may call this.

        Parameters
        ----------
        image
            Image or position of the candidate.
        """
        stamp_ns = self._stamp_ns()
        with self._lock:
            if self._sealed:
                self._counts["late"] += 1
            elif self.violation is None:
                self.violation = self._check(image)
                if self.violation is not None:
                    return
                if isinstance(image, Position):
                    self._take_position(image, stamp_ns)
                else:
                    self._take(image, stamp_ns)

    def finish(self) -> Images:
        """End the collection and return the images; later images are counted and discarded."""
        with self._lock:
            self._sealed = True
            pixels = self._pixels if self._keep else None
            return Images(
                self._completed_ns,
                self._last_line,
                pixels,
                first_nonfinite=self._first_nonfinite,
                band_ns=self._band_ns,
                band=self._band,
                hold=self._hold,
                drawn=self._drawn,
                positions=None if self._positions is None else self._positions.all(),
                **self._counts,
            )

    def _check(self, image: Any) -> Violation | None:
        if not isinstance(image, Image | Position):
            return self._broken(f"emitted {type(image).__name__}, expected recon.Image or recon.Position")
        if not _is_int(image.frame) or not _is_int(image.last_line):
            return self._broken(f"frame {image.frame!r}, last_line {image.last_line!r}: expected integers")
        if not isinstance(image.hold, bool | np.bool_):
            return self._broken(f"hold is a {type(image.hold).__name__}, expected True or False")
        per_frame = self._header.lines_per_frame
        if image.frame < 0 or image.last_line < 0:
            return self._broken(f"frame {image.frame}, last_line {image.last_line}: they start at 0")
        if image.last_line > self.newest:
            message = f"says that k-space line {image.last_line} went into it, the newest is {self.newest}"
            return Violation("causality", self.newest, f"image of frame {image.frame} {message}")
        if image.frame * per_frame > self.newest:
            message = f"k-space line {self.newest} is the newest, frame {image.frame} has not begun"
            return Violation("causality", self.newest, f"image of frame {image.frame}: {message}")
        return self._check_position(image) if isinstance(image, Position) else self._check_pixels(image)

    def _check_position(self, position: Position) -> Violation | None:
        where = f"position of frame {position.frame}"
        for name in ("x_mm", "y_mm"):
            value = getattr(position, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
                return self._broken(f"{where}: {name} is a {type(value).__name__}, expected a number in mm")
            # A whole number may be greater than any float.
            if isinstance(value, int) and abs(value) > MAX_POSITION_M * 1e3:
                return self._broken(f"{where}: {name} is beyond {MAX_POSITION_M * 1e3:g} mm")
        if self._positions is not None and self._positions.full:
            return self._broken(f"{where}: one more than {POSITIONS_A_LINE} positions for each line")
        mask, shape = position.mask, self._header.matrix
        if mask is None:
            return None
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != shape:
            found = f"{getattr(mask, 'dtype', type(mask).__name__)} {getattr(mask, 'shape', '')}".strip()
            return self._broken(f"{where}: its mask is {found}, expected bool {shape} (y, x)")
        return None

    def _check_pixels(self, image: Image) -> Violation | None:
        pixels, (ny, nx) = image.pixels, self._header.matrix
        if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "fiuc":
            kind = getattr(pixels, "dtype", type(pixels).__name__)
            return self._broken(f"image of frame {image.frame}: pixels are {kind}, expected complex64")
        width = nx
        if image.columns is not None:
            start, stop = image.columns if _is_pair(image.columns) else (0, 0)
            if not 0 <= start < stop <= nx:
                return self._broken(f"image of frame {image.frame}: columns {image.columns}, there are {nx}")
            width = stop - start
        if pixels.shape != (ny, width):
            return self._broken(
                f"image of frame {image.frame}: shape {pixels.shape}, expected {(ny, width)} (y, x)"
                f"{self._why(pixels.shape)}"
            )
        return None

    def _why(self, shape: tuple[int, ...]) -> str:
        """Return what gives an image such a shape; empty where that is not known."""
        (ny, nx), lines = self._header.matrix, self._header.lines_per_frame
        if shape == (lines, nx) and lines != ny:
            return (
                "; it has as many rows as a frame has lines: lines may be stacked as they arrive, which "
                "takes a scan of every row in order (acceleration=1, order='ascending')"
            )
        return "; y and x are exchanged" if shape == (nx, ny) else ""

    def _broken(self, message: str) -> Violation:
        return Violation("contract", self.newest, message)

    def _take(self, image: Image, stamp_ns: int) -> None:
        frame = int(image.frame)
        early = frame >= len(self._completing) or self.newest < self._completing[frame]
        if image.columns is not None:
            self._counts["bands"] += 1
            if not early and self._band_ns[frame] == MISSING:
                self._take_band(frame, image, stamp_ns)
        elif early:
            self._counts["early"] += 1
        elif self._completed_ns[frame] != MISSING:
            self._counts["extra"] += 1
        else:
            copy = self._pixels[frame if self._keep else 0]
            if image.pixels.dtype == np.complex64:
                copy[...] = image.pixels
            else:
                with np.errstate(all="ignore"):  # what overflows complex64 is found by the next check
                    copy[...] = image.pixels
            if not _is_sound(copy):
                copy[...] = 0
                self._counts["nonfinite"] += 1
                self._first_nonfinite = self._first_nonfinite or (frame, self.newest)
                return
            self._completed_ns[frame] = stamp_ns
            self._last_line[frame] = image.last_line
            self._hold[frame], self._drawn[frame] = bool(image.hold), True

    def _take_position(self, position: Position, stamp_ns: int) -> None:
        """Keep a position; the first one that holds its frame's last line stands for the frame's image."""
        frame, x_m, y_m = int(position.frame), float(position.x_mm) * 1e-3, float(position.y_mm) * 1e-3
        if not (abs(x_m) <= MAX_POSITION_M and abs(y_m) <= MAX_POSITION_M):  # nor NaN
            self._counts["nonfinite"] += 1
            self._first_nonfinite = self._first_nonfinite or (frame, self.newest)
            return
        if self._positions is None:
            self._positions = _PositionLog(self._header, self._completing)
        whole = frame < len(self._completing) and self.newest >= self._completing[frame]
        first = whole and self._completed_ns[frame] == MISSING
        self._positions.add(position, stamp_ns, x_m, y_m, frame if first else None)
        if whole and not first:
            self._counts["extra"] += 1
        if first:
            self._completed_ns[frame] = stamp_ns
            self._last_line[frame] = position.last_line
            self._hold[frame] = bool(position.hold)

    def _take_band(self, frame: int, image: Image, stamp_ns: int) -> None:
        """Keep the first band of a frame; all bands of a run must have the columns of the first one."""
        assert image.columns is not None
        columns = (int(image.columns[0]), int(image.columns[1]))
        if self._band is None:
            count = len(self._completing) if self._keep else 1
            shape = (count, self._header.matrix[0], columns[1] - columns[0])
            self._band = columns, np.zeros(shape, np.complex64)
        if self._band[0] == columns and _is_sound(image.pixels):
            self._band[1][frame if self._keep else 0] = image.pixels
            self._band_ns[frame] = stamp_ns


class _PositionLog:
    """Keep positions in memory that is reserved at the first: a few for each line."""

    def __init__(self, header: Header, completing: NDArray[np.int64]) -> None:
        most = POSITIONS_A_LINE * (int(completing[-1]) + 1 if len(completing) else 1)
        self._count, self._shape = 0, (len(completing), *header.matrix)
        self._stamps, self._lines = np.full(most, MISSING, np.int64), np.full(most, MISSING, np.int64)
        self._centres, self._hold = np.zeros((most, 2)), np.zeros(most, np.bool_)
        self._mask: NDArray[np.bool_] | None = None

    @property
    def full(self) -> bool:
        """Return whether there is no room for another one."""
        return self._count == len(self._stamps)

    def add(self, position: Position, stamp_ns: int, x_m: float, y_m: float, frame: int | None) -> None:
        """Take a position, with its mask if it stands for a frame; there must be room for it."""
        at = self._count
        self._stamps[at], self._lines[at] = stamp_ns, position.last_line
        self._centres[at], self._hold[at] = (x_m, y_m), bool(position.hold)
        self._count += 1
        if frame is not None and position.mask is not None:
            if self._mask is None:
                self._mask = np.zeros(self._shape, np.bool_)
            self._mask[frame] = position.mask

    def all(self) -> Positions:
        count = self._count
        return Positions(
            self._stamps[:count], self._lines[:count], self._centres[:count], self._hold[:count], self._mask
        )


def _is_sound(pixels: NDArray[Any]) -> bool:
    # A pixel may be finite and its magnitude not: what is compared are sums of squares.
    return bool((np.abs(pixels.real) <= MAX_SAMPLE).all() and (np.abs(pixels.imag) <= MAX_SAMPLE).all())


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_is_int(v) for v in value)


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
