"""The collector: it stamps, checks and copies the images that a candidate emits.

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
from recon.protocol import Image

MAX_IMAGE_BYTES = 8 << 30
MISSING = -1


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
class Images:
    """Hold what was emitted, one row for each expected image.

    Parameters
    ----------
    completed_ns
        Stamp of the first whole image of each frame, shape (images,), int64, nanoseconds; -1 where none came.
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
    nonfinite
        Number of images that were discarded because a pixel was not finite.
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
        self._band: tuple[tuple[int, int], NDArray[np.complex64]] | None = None
        # Filled, not only reserved: the first access to a page would take time during the run.
        self._pixels = np.full((kept, ny, nx), 0, np.complex64)
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(("extra", "early", "bands", "nonfinite", "late"), 0)
        self._first_nonfinite: tuple[int, int] | None = None
        self._sealed = False
        self.newest = -1
        self.violation: Violation | None = None

    def emit(self, image: Image) -> None:
        """Stamp an image, check it and copy its pixels; any thread may call this.

        Parameters
        ----------
        image
            Image of the candidate.
        """
        stamp_ns = self._stamp_ns()
        with self._lock:
            if self._sealed:
                self._counts["late"] += 1
            elif self.violation is None:
                self.violation = self._check(image)
                if self.violation is None:
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
                **self._counts,
            )

    def _check(self, image: Any) -> Violation | None:
        if not isinstance(image, Image):
            return self._broken(f"emitted {type(image).__name__}, expected recon.protocol.Image")
        if not _is_int(image.frame) or not _is_int(image.last_line):
            return self._broken(f"frame {image.frame!r}, last_line {image.last_line!r}: expected integers")
        per_frame = self._header.lines_per_frame
        if image.frame < 0 or image.last_line < 0:
            return self._broken(f"frame {image.frame}, last_line {image.last_line}: they start at 0")
        if image.last_line > self.newest:
            message = f"says that line {image.last_line} went into it, the newest handed out is {self.newest}"
            return Violation("causality", self.newest, f"image of frame {image.frame} {message}")
        if image.frame * per_frame > self.newest:
            message = f"line {self.newest} is the newest handed out, frame {image.frame} has not begun"
            return Violation("causality", self.newest, f"image of frame {image.frame}: {message}")
        return self._check_pixels(image)

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
            )
        return None

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
            if not np.isfinite(copy).all():
                copy[...] = 0
                self._counts["nonfinite"] += 1
                self._first_nonfinite = self._first_nonfinite or (frame, self.newest)
                return
            self._completed_ns[frame] = stamp_ns
            self._last_line[frame] = image.last_line

    def _take_band(self, frame: int, image: Image, stamp_ns: int) -> None:
        """Keep the first band of a frame; all bands of a run must have the columns of the first one."""
        assert image.columns is not None
        columns = (int(image.columns[0]), int(image.columns[1]))
        if self._band is None:
            count = len(self._completing) if self._keep else 1
            shape = (count, self._header.matrix[0], columns[1] - columns[0])
            self._band = columns, np.zeros(shape, np.complex64)
        if self._band[0] == columns and np.isfinite(image.pixels).all():
            self._band[1][frame if self._keep else 0] = image.pixels
            self._band_ns[frame] = stamp_ns


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(_is_int(v) for v in value)


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
