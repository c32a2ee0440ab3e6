"""The protocol of a reconstructor, what it emits, and the adapter for a plain function.

`Reconstructor` is a protocol, not a base class: anything with `open`, `push` and `close` is one.
`FrameAdapter` makes a reconstructor of a function of `(kspace, mask)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mrsim.stream import Header, Readout


@dataclass(frozen=True, slots=True)
class Image:
    """Carry one reconstructed image out of a reconstructor.

    Parameters
    ----------
    pixels
        Image in host memory, shape (ny, nx), complex64; or (ny, stop - start) where `columns` is given.
    frame
        Frame that it shows.
    last_line
        Index of the newest line that went into it.
    shows_ns
        Instant that it claims to show, from the start of the scan, nanoseconds; None if it claims none.
    columns
        First column and the one past the last, where only a band is carried.
    hold
        Whether the reconstructor says that this image must not be followed: a beam holds while it is shown.
    """

    pixels: NDArray[np.complex64]
    frame: int
    last_line: int
    shows_ns: int | None = None
    columns: tuple[int, int] | None = None
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Carry where the target is, for a tracker that goes from lines to motion without an image.

    Positions may come as often as lines do. One that holds a frame's last line stands for the frame's image.

    Parameters
    ----------
    x_mm, y_mm
        Centre of the target from the middle of the image, along a line (x) and across lines (y), millimetres.
    frame
        Frame of the newest line that went into it.
    last_line
        Index of that line.
    mask
        Pixels of the target, shape (ny, nx), bool; None if only the centre is known.
    hold
        Whether the tracker says that this position must not be followed.
    """

    x_mm: float
    y_mm: float
    frame: int
    last_line: int
    mask: NDArray[np.bool_] | None = None
    hold: bool = False


UNIFORM, ROOT_SUM = "uniform", "root-sum-of-squares"
COMBINATIONS = (UNIFORM, ROOT_SUM)
"""What images of several coils show: a uniform coil's image, or the root of the sum of squares of theirs."""

Emission = Image | Position
Emit = Callable[[Emission], None]


@runtime_checkable
class Reconstructor(Protocol):
    """Turn readouts into images, as they come.

    The bench calls `open` once, `push` for every line when it is due, and `close` once. The reconstructor
    may call `emit` any number of times, from any thread; `emit` takes the time stamp. A reconstructor
    must not keep state across `open` calls that changes its images. Whatever it raises ends the run as its
    failure, but for an InputError from `open`.

    It may have an attribute `combination`, one of `COMBINATIONS`: how its images show several coils. NMSE and
    SSIM are then taken against the truth as that combination shows it. Without one it is "uniform".
    Sensitivities can be had of `Header.prescan` before the first line (`recon.coils.sensitivities`).
    """

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan.

        Raises
        ------
        InputError
            If the scan's protocol is not one that it can reconstruct.
        """

    def push(self, readout: Readout) -> None:
        """Take one line; the samples are a private copy."""

    def close(self) -> None:
        """End the scan and let go of what was held."""


ReconstructFrame = Callable[[NDArray[np.complex64], NDArray[np.bool_]], NDArray[np.complex64]]


Builder = Callable[[], Reconstructor]
"""Returns a fresh reconstructor with every call."""


class FrameAdapter:
    """Make a reconstructor of a function that sees one frame at a time.

    Each line belongs to its own frame number, so a lost line affects its own frame alone. A line with a
    sample that is not finite is left out. If the header has a window, the function gets the window's lines,
    and the newest of a row that came twice.

    Parameters
    ----------
    function
        Takes `kspace`, shape (coils, ny, nx), complex64, zero where nothing was sampled, and `mask`,
        shape (ny,), bool, true where a row was sampled; returns the image, shape (ny, nx). Its attribute
        `combination`, if it has one, becomes that of the reconstructor.
    """

    def __init__(self, function: ReconstructFrame) -> None:
        self._function = function
        self.combination = getattr(function, "combination", UNIFORM)

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._header, self._emit = header, emit
        self._start(-1)

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one calls the function and emits its image."""
        header = self._header
        if readout.frame != self._frame and not header.window:
            self._start(readout.frame)
        if np.isfinite(readout.samples).all():
            row = readout.ky + header.matrix[0] // 2
            self._kspace[:, row] = readout.samples
            self._newest[row] = readout.index
        if (readout.index + 1) % header.lines_per_frame == 0:
            kspace, mask = self._kspace, self._newest >= 0
            if header.window:
                mask &= self._newest > readout.index - header.window
                kspace = kspace * mask[:, None]
            found = self._function(kspace, mask)
            if found is None:
                raise TypeError("the function returned None: expected an image of shape (ny, nx)")
            self._emit(Image(np.asarray(found, dtype=np.complex64), readout.frame, readout.index))

    def close(self) -> None:
        """End the scan."""

    def _start(self, frame: int) -> None:
        # New arrays for every frame, because the function may keep or change its arguments.
        self._kspace = np.zeros((self._header.coils, *self._header.matrix), np.complex64)
        self._newest = np.full(self._header.matrix[0], -1, np.int64)
        self._frame = frame
