"""What can be scanned: a phantom of regions, or a patient made of a series of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Inside = Callable[[Array, Array], NDArray[np.bool_]]


@dataclass(frozen=True)
class Recorded:
    """Hold the pixels and the instants that a body was recorded at.

    Parameters
    ----------
    matrix
        Rows and columns.
    fov_m
        Height and width of the image, metres.
    t_ns
        Instant of each frame, shape (frames,), int64, nanoseconds.
    """

    matrix: tuple[int, int]
    fov_m: tuple[float, float]
    t_ns: NDArray[np.int64]


class Body(Protocol):
    """Say what is scanned; how it is rendered is for `mrsim.scanner.scenes` to know."""

    @property
    def name(self) -> str:
        """Return its short name."""

    @property
    def text(self) -> str:
        """Return what makes it again: it is stored in every scan."""

    @property
    def target(self) -> str:
        """Return the name of the region that is tracked."""

    @property
    def region_names(self) -> tuple[str, ...]:
        """Return the names of what has a displacement of its own; the target is among them."""

    @property
    def target_center_m(self) -> tuple[float, float]:
        """Return where the target rests, (x, y), metres."""

    def resting_outline(self) -> Inside | None:
        """Return which points lie within the body, if its outline stands still; None if it moves."""

    @property
    def coil_shift_m(self) -> tuple[float, float]:
        """Return how far the receive coils are from where they are by default, (x, y), metres."""

    @property
    def beyond_fov(self) -> bool:
        """Return whether it may go on beyond the field of view along y."""

    @property
    def tissues(self) -> frozenset[str]:
        """Return the names of the tissues that it is made of; none if it is made of images."""

    @property
    def anatomy_sha256(self) -> str:
        """Return what is the same for the same anatomy, whatever its name and motion, hexadecimal."""

    @property
    def recorded(self) -> Recorded | None:
        """Return the pixels and instants that it was recorded at; None if it is not made of images."""
