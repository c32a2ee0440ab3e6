"""What a file says of a cine, what its user adds, and what is still missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import Option, PhantomError

if TYPE_CHECKING:
    from mrsim.anatomy.series.reading.dicom_heads import Head

TIME_AXES = ("fastest", "slowest")


@dataclass(frozen=True)
class Given:
    """Hold what a user says of a cine.

    Parameters
    ----------
    label
        File of the target's label; None for what lies beside the images.
    frame_ms
        Time from frame to frame, milliseconds; None for what the file says.
    pixel_mm
        Height and width of a pixel, millimetres; None for what the file says.
    time_axis
        Which axis of a stored volume is time, one of `TIME_AXES`; None for what the layout says.
    part
        Which of the series or slices of DICOM files, from 1; None if there is one.
    structure
        Name of the structure that is the target, where a file of labels has several.
    """

    label: Path | None = None
    frame_ms: float | None = None
    pixel_mm: tuple[float, float] | None = None
    time_axis: str | None = None
    part: int | None = None
    structure: str | None = None

    def __post_init__(self) -> None:
        if self.frame_ms is not None and not 0 < self.frame_ms <= 60_000:
            raise PhantomError("{}: expected above 0, at most 60000", Option("frame_ms", self.frame_ms))
        if self.pixel_mm is not None and not all(0 < side <= 50 for side in self.pixel_mm):
            raise PhantomError("{}: expected lengths above 0, up to 50", Option("pixel_mm", self.pixel_mm))
        if self.time_axis is not None and self.time_axis not in TIME_AXES:
            known = " or ".join(TIME_AXES)
            raise PhantomError("{}: expected {}", Option("time_axis", self.time_axis), known)
        if self.part is not None and self.part < 1:
            raise PhantomError("{}: expected 1 or more", Option("part", self.part))


@dataclass(frozen=True)
class Turn:
    """Say how stored rows and columns become those of a patient: transposed first, then reversed.

    Parameters
    ----------
    swapped
        Whether rows become columns.
    rows, columns
        Whether their order is reversed then.
    told
        Where rows and columns run afterwards, in words.
    """

    swapped: bool = False
    rows: bool = False
    columns: bool = False
    told: str = "rows and columns as they are stored"

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return images, shape (..., ny, nx), turned."""
        out = images.swapaxes(-1, -2) if self.swapped else images
        out = out[..., ::-1, :] if self.rows else out
        return out[..., ::-1] if self.columns else out

    @property
    def changes(self) -> bool:
        """Return whether anything is turned at all."""
        return self.swapped or self.rows or self.columns


@dataclass(frozen=True)
class Found:
    """Hold what a file says of a cine.

    Parameters
    ----------
    images
        Shape (frames, ny, nx).
    seconds
        Instant of each frame; None where the file does not say.
    pixel_mm
        Height and width of a pixel; None where the file does not say.
    labels
        Shape (k, ny, nx); k is 0 without one, 1 for the first frame alone, or the number of frames.
    turn
        How the stored images were turned.
    notes
        What else is to be told.
    time_axis
        Which axis of a stored volume is time, where labels have to be read alike; else None.
    heads
        What DICOM says of each frame.
    """

    images: NDArray[Any]
    seconds: NDArray[Any] | None
    pixel_mm: tuple[float, float] | None
    labels: NDArray[Any] | None = None
    turn: Turn = Turn()
    notes: tuple[str, ...] = ()
    time_axis: str | None = None
    heads: tuple[Head, ...] = ()

    def completed(self, given: Given, where: str) -> Found:
        """Return it with what the user adds.

        Raises
        ------
        PhantomError
            If time or pixels are still unknown: nothing is guessed.
        """
        seconds: NDArray[Any] | None = self.seconds
        pixel_mm, notes = self.pixel_mm, list(self.notes)
        if given.frame_ms is not None:
            if seconds is not None:
                notes.append(f"the time from frame to frame is the one given, {given.frame_ms:g} ms")
            seconds = np.arange(len(self.images)) * (given.frame_ms * 1e-3)
        if given.pixel_mm is not None:
            if pixel_mm is not None:
                notes.append("the size of a pixel is the one given")
            pixel_mm = given.pixel_mm
        if seconds is None:
            raise PhantomError(
                "{}: it does not say when its frames were taken; give {}", where, Option("frame_ms")
            )
        if pixel_mm is None:
            raise PhantomError(
                "{}: it does not say how large its pixels are; give {}", where, Option("pixel_mm")
            )
        if self.turn.changes:
            notes.append(f"images were turned: {self.turn.told}")
        return replace(self, seconds=seconds, pixel_mm=pixel_mm, notes=tuple(notes))
