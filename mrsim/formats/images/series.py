"""A series of images with what a file of it must say: pixels, places, times, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError, StreamError
from mrsim.stream import Header, Stream

MAX_BYTES = 4 << 30


@dataclass(frozen=True)
class ImageSeries:
    """Hold images of one slice over time.

    Parameters
    ----------
    images
        Shape (frames, ny, nx), complex64, or bool for masks.
    pixel_m
        Height and width of a pixel, metres.
    frame_ns
        Time from image to image, nanoseconds.
    first_ns
        Echo of the last line of the first image, from the start of the scan, nanoseconds.
    about
        What they show, in a few words.
    shown
        Which of them came, shape (frames,), bool; the others are zero.

    Raises
    ------
    FormatError
        If shapes or numbers do not fit.
    """

    images: NDArray[np.complex64] | NDArray[np.bool_]
    pixel_m: tuple[float, float]
    frame_ns: int
    first_ns: int
    about: str
    shown: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or not self.images.size or self.images.dtype.kind not in "cb":
            raise FormatError(f"images: {self.images.dtype} {self.images.shape}: expected (frames, ny, nx)")
        if self.shown.shape != (len(self.images),) or not self.shown.any():
            raise FormatError(f"{self.about}: no image came, so there is nothing to write")
        if self.images.nbytes > MAX_BYTES:
            raise FormatError(
                f"{self.about}: {self.images.nbytes >> 30} GiB of images; write fewer (--frames)"
            )
        if not (self.frame_ns > 0 and all(side > 0 for side in self.pixel_m)):
            raise FormatError(f"{self.about}: pixels of {self.pixel_m} m, {self.frame_ns} ns a frame")

    @classmethod
    def of(
        cls, images: NDArray[Any], header: Header, about: str, shown: NDArray[np.bool_] | None = None
    ) -> ImageSeries:
        """Return images of whole frames of a scan.

        Parameters
        ----------
        images
            Shape (frames, ny, nx), complex64 or bool, the first of frame 0.
        header
            The scan's protocol.
        about
            What they show.
        shown
            Which of them came; None for all.
        """
        pixel = (header.fov_m[0] / header.matrix[0], header.fov_m[1] / header.matrix[1])
        first = header.echo_ns(max(header.lines_per_frame, header.window) - 1)
        came = np.ones(len(images), np.bool_) if shown is None else shown
        return cls(np.asarray(images), pixel, header.frame_ns, first, about, came)

    @classmethod
    def of_truth(cls, stream: Stream, *, masks: bool = False) -> ImageSeries:
        """Return the true images of a scan, or the target's true masks.

        Raises
        ------
        StreamError
            If the scan has no truth.
        """
        if stream.truth is None:
            raise StreamError(f"{stream.path or 'stream'}: it has no truth to write")
        what = f"masks of {stream.truth.target}" if masks else "true images"
        return cls.of(stream.truth.mask if masks else stream.truth.image, stream.header, what)

    @property
    def values(self) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Return what is written of them: magnitudes, float32, or masks, uint8."""
        if self.images.dtype.kind == "b":
            return self.images.astype(np.uint8)
        return np.abs(self.images).astype(np.float32)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Return the time of each, shape (frames,), seconds from the start of the scan."""
        ns = self.first_ns + np.arange(len(self.images), dtype=np.int64) * self.frame_ns
        return np.asarray(ns * 1e-9, np.float64)

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Return the centre of the first pixel in a patient's axes (left, back, head), millimetres.

        Rows run from head to feet; columns are those of a coronal slice, from right to left.
        """
        ny, nx = self.images.shape[1:]
        height, width = (side * 1e3 for side in self.pixel_m)
        return -(nx // 2) * width, 0.0, (ny // 2) * height

    @property
    def white(self) -> float:
        """Return the magnitude that is shown as white: of 1000 pixels all but two are below it."""
        return float(np.quantile(self.values[:: max(1, len(self.images) // 64)], 0.998)) or 1.0
