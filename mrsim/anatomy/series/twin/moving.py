"""What moved pixels give in k-space: single lines, and all rows of one instant.

A pixel p of the reference is at r_p + u_p, with u_p the sum of the modes times their values. It has the
weight of the states' mixture there. k-space at k is the sum of weight * exp(-2 pi i k.(r_p + u_p)). It ends
where the band of the cine's own pixels does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.grid import Grid
from mrsim.kernels.nonuniform import Spreading, image_spreading, line_spreading, spread_image, spread_lines

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class State:
    """Hold where a twin is at some instants.

    Parameters
    ----------
    values
        Values of the modes, which move the pixels, shape (n, modes), float64, pixels.
    weighed
        Values whose compression the weights make up for, shape (n, modes).
    frames, shares
        Recorded states that are mixed and the share of each, shape (n, k), int64 and float64.
    """

    values: Array
    weighed: Array
    frames: NDArray[np.int64]
    shares: Array


class Moving:
    """Transform moved pixels to the lines of a scan.

    Parameters
    ----------
    modes
        Fields (row, column), shape (modes, 2, rows, columns), float32, pixels.
    states
        Weights of the pixels, real and perhaps imaginary, shape (states, 1 or 2, rows, columns), float32.
    pixel_m
        Height and width of a pixel, metres.
    grid
        The scan's k-space.
    """

    def __init__(
        self,
        modes: NDArray[np.float32],
        states: NDArray[np.float32],
        pixel_m: tuple[float, float],
        grid: Grid,
    ) -> None:
        self._modes, self._states, self._pixel_m, self._grid = modes, states, pixel_m, grid
        self._gains: dict[tuple[int, int, int, int], Array] = {}
        kx, ky = grid.k()
        self._size = pixel_m[0] * pixel_m[1] * grid.scale
        self.inside_y = np.abs(ky[:, 0]) <= 0.5 / pixel_m[0] * (1 + 1e-9)
        self.inside_x = np.abs(kx[0]) <= 0.5 / pixel_m[1] * (1 + 1e-9)

    def lines(self, ky: NDArray[np.int32], state: State, halo: int = 0) -> Complex:
        """Return the transform on and about lines, each in a state of its own.

        Parameters
        ----------
        ky
            Row of each line, centred, shape (lines,), int32.
        state
            Where the twin is on each line.
        halo
            With coils: half steps about each line, and samples about its ends, that their filters reach to.

        Returns
        -------
        lines
            Without a halo the line itself, shape (lines, 1, nx), complex128. With one, rows and columns half
            a step apart, shape (lines, 2 halo + 1, 4 (nx // 2) + 2 halo + nx % 2), not yet cut to the band.
        """
        ny, nx = self._grid.matrix
        step = 2 if halo else 1
        columns = 4 * (nx // 2) + 2 * halo + nx % 2 if halo else nx
        first = -2 * (nx // 2) - halo if halo else -(nx // 2)
        numbers = first + np.arange(columns, dtype=np.int64)
        spreading = line_spreading()
        samples = spreading.samples(columns + 2 * halo)
        spread = np.empty((len(ky), 2 * halo + 1, samples), np.complex128)
        pixel = self._pixel_m[0] / self._grid.fov_m[0]
        spread_lines(
            np.asarray(ky, np.float64) * pixel,
            pixel / 2,
            state.values,
            state.weighed,
            state.frames,
            state.shares,
            self._modes,
            self._states,
            samples * self._pixel_m[1] / (step * self._grid.fov_m[1]),
            spreading.table,
            spread,
        )
        gain = self._gain(spreading, numbers, samples) * self._size
        if not halo:
            gain = np.where(self.inside_x, gain, 0.0)
        out = np.empty((len(ky), 2 * halo + 1, columns), np.complex128)
        for n in range(len(ky)):  # one at a time: bits do not depend on company
            if not halo and not self.inside_y[ky[n] + ny // 2]:
                out[n] = 0
                continue
            for tap in range(2 * halo + 1):
                out[n, tap] = np.fft.fft(spread[n, tap])[numbers % samples] * gain
        return out

    def rows(self, state: State) -> Complex:
        """Return all rows at the first instant of a state, shape (ny, nx), complex128."""
        spreading, (ny, nx) = image_spreading(), self._grid.matrix
        samples = spreading.samples(ny), spreading.samples(nx)
        spread = np.empty(samples, np.complex128)
        scale = [n * p / f for n, p, f in zip(samples, self._pixel_m, self._grid.fov_m, strict=True)]
        spread_image(
            state.values[0],
            state.weighed[0],
            state.frames[0],
            state.shares[0],
            self._modes,
            self._states,
            (scale[0], scale[1]),
            spreading.table,
            spread,
        )
        numbers = [np.arange(n, dtype=np.int64) - n // 2 for n in (ny, nx)]
        along = np.fft.fft(spread, axis=1)[:, numbers[1] % samples[1]]
        whole = np.fft.fft(along, axis=0)[numbers[0] % samples[0]]
        gains = [
            np.where(inside, self._gain(spreading, n, s), 0.0)
            for n, s, inside in zip(numbers, samples, (self.inside_y, self.inside_x), strict=True)
        ]
        return np.asarray(whole * gains[0][:, None] * (gains[1] * self._size), np.complex128)

    def _gain(self, spreading: Spreading, numbers: NDArray[np.int64], samples: int) -> Array:
        key = spreading.width, int(numbers[0]), len(numbers), samples
        if key not in self._gains:
            self._gains[key] = spreading.divided(numbers.astype(np.float64), samples)
        return self._gains[key]
