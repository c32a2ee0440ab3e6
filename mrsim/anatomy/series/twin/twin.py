"""A cine's twin: a few modes that move a reference, and what each recorded frame looks like from there."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.twin.moving import Moving, State
from mrsim.kernels.grid import Grid
from mrsim.motion.trace import monotone_slopes, trace_into
from mrsim.stream.fourier import to_image

Array = NDArray[np.float64]

ARRAYS = ("reference", "modes", "values", "states", "rest_label")


@dataclass(frozen=True)
class Twin:
    """Hold what a cine can be moved by.

    Parameters
    ----------
    reference
        Mean of the frames, each moved back by its field, shape (ny, nx), float32 or complex64.
    modes
        Fields (row, column), shape (modes, 2, ny, nx), float32; the largest vector of each is one pixel.
    values
        Values of the modes in each frame, shape (frames, modes), float64, pixels.
    states
        Each frame seen from the reference: its value where each of the reference's pixels has moved to, real
        and perhaps imaginary part, shape (frames, 1 or 2, ny, nx), float32.
    rest_label
        Pixels of the target in the reference, shape (0 or 1, ny, nx), bool.
    t_ns
        Instant of each frame, shape (frames,), int64, nanoseconds.
    pixel_m
        Height and width of a pixel, metres.
    """

    reference: NDArray[Any]
    modes: NDArray[np.float32]
    values: Array
    states: NDArray[np.float32]
    rest_label: NDArray[np.bool_]
    t_ns: NDArray[np.int64]
    pixel_m: tuple[float, float]

    def __post_init__(self) -> None:
        # Kernels are compiled for arrays that cannot be written, as mapped ones are.
        for name in ("modes", "states"):
            array = np.ascontiguousarray(getattr(self, name), np.float32).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def sides(self) -> tuple[int, int]:
        """Return rows and columns of the cine."""
        return int(self.modes.shape[2]), int(self.modes.shape[3])

    @property
    def digest(self) -> str:
        """Return the SHA-256 of its arrays, hexadecimal."""
        hasher = hashlib.sha256()
        for name in ARRAYS:
            array = np.ascontiguousarray(getattr(self, name))
            hasher.update(f"{name} {array.dtype.str} {array.shape}".encode())
            hasher.update(array.data)
        return hasher.hexdigest()

    def at(self, place_ns: NDArray[np.int64]) -> Array:
        """Return values of the modes at places of the recording, shape (n, modes), pixels.

        Between frames the cubic is monotone, so that it never leaves what two neighbours span. Beyond the
        ends the recording runs backwards and forwards again.
        """
        out = np.empty((len(place_ns), self.values.shape[1]))
        one = np.empty(len(place_ns))
        for m, (value, slope) in enumerate(self._cubics):
            trace_into(place_ns, self.t_ns, value, slope, one)
            out[:, m] = one
        return out

    @functools.cached_property
    def _cubics(self) -> list[tuple[Array, Array]]:
        seconds = np.asarray(self.t_ns * 1e-9, np.float64)
        values = [np.ascontiguousarray(value) for value in self.values.T]
        return [(value, monotone_slopes(seconds, value)) for value in values]

    def mixed(self, place_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
        """Return the two states about places of the recording and their shares, shape (n, 2)."""
        end = int(self.t_ns[-1])
        inside = np.abs(place_ns) % (2 * end)
        inside = np.minimum(inside, 2 * end - inside)
        frame = np.clip(np.searchsorted(self.t_ns, inside, side="right") - 1, 0, len(self.t_ns) - 2)
        part = (inside - self.t_ns[frame]) / (self.t_ns[frame + 1] - self.t_ns[frame])
        return np.stack([frame, frame + 1], axis=1), np.stack([1 - part, part], axis=1)

    def frame_state(self, frame: int) -> State:
        """Return the state of one recorded frame."""
        value = self.values[frame : frame + 1]
        return State(value, value, np.array([[frame]], np.int64), np.ones((1, 1)))

    def image(self, state: State) -> NDArray[Any]:
        """Return the image of a state on the cine's own pixels, shape (ny, nx)."""
        rows, columns = self.sides
        grid = Grid(self.sides, (rows * self.pixel_m[0], columns * self.pixel_m[1]))
        seen = to_image(Moving(self.modes, self.states, self.pixel_m, grid).rows(state))
        return np.asarray(seen if self.states.shape[1] > 1 else seen.real)

    def field(self, values: Array) -> Array:
        """Return the field of values of the modes, shape (2, ny, nx), pixels."""
        return np.asarray(np.einsum("m,mdyx->dyx", values, self.modes), np.float64)


def stretch(field: Array) -> Array:
    """Return the determinant of I + grad u of fields, shape (..., ny, nx), of (..., 2, ny, nx)."""
    down, across = (np.asarray(slope, np.float64) for slope in np.gradient(field, axis=(-2, -1)))
    own = (1 + down[..., 0, :, :]) * (1 + across[..., 1, :, :])
    return np.asarray(own - across[..., 0, :, :] * down[..., 1, :, :], np.float64)
