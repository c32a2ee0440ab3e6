"""Coil sensitivities in a small Fourier basis on twice the field of view: filters on k-space.

With S_c(r) = sum over p, q of c[c, q, p] exp(2 pi i (p x / (2 FOVx) + q y / (2 FOVy))), the k-space of what
coil c sees is exactly the sum of c[c, q, p] F(k - (p / (2 FOVx), q / (2 FOVy))): the object's transform is
evaluated once, on the grid of twice the field of view, and every coil is a filter of a few taps on it.
Twice the field of view leaves the basis free outside of it, so that sensitivities, which are not periodic,
are fitted fast (a Fourier extension).

Guerquin-Kern et al. 2012, 10.1109/TMI.2011.2174158.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.errors import ProtocolError
from mrsim.kernels.compilation import kernel
from mrsim.kernels.fma import fma
from mrsim.kernels.grid import Grid
from mrsim.reception.coils import CoilArray
from mrsim.reception.least_squares import least_squares

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

MAX_TAPS = 15
_FIT_POINTS = 48  # a side; several for each wave of the basis
_CHECK_POINTS = 71  # a side; no point of the fit but the centre is checked
_RIM_POINTS = 421  # a side, of which the rim is checked alone: there the error is largest
_CUT = 1e-6  # singular values below this share of the largest are left out


@dataclass(frozen=True)
class FittedCoils:
    """Hold the filters of an array.

    Parameters
    ----------
    coefficients
        c[coil, q, p], with q along y and p along x from -(taps // 2) up, shape (coils, taps, taps),
        complex128.
    fov_m
        Field of view along y and x, metres.
    error_rms
        Root mean square of the fit's error over that of the sensitivity, where it was fitted; the worst
        coil's.
    error_max
        Bound on the largest error over the largest sensitivity, the worst coil's. The error grows towards the
        wires, so that it is taken on a rim one 420th of the field of view wider than what was fitted.
    """

    coefficients: Complex
    fov_m: tuple[float, float]
    error_rms: float
    error_max: float

    @property
    def count(self) -> int:
        """Return the number of coils."""
        return len(self.coefficients)

    @property
    def halo(self) -> int:
        """Return how many samples of the finer grid a filter reaches to each side."""
        return int(self.coefficients.shape[-1]) // 2

    def sensitivity(self, x: ArrayLike, y: ArrayLike) -> Complex:
        """Compute the fitted sensitivities at (x, y), metres, which broadcast; shape (coils, ...)."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        basis = _basis(x.ravel(), y.ravel(), self.fov_m, 2 * self.halo + 1)
        flat = basis @ self.coefficients.reshape(self.count, -1).T
        return np.ascontiguousarray(flat.T).reshape(self.count, *x.shape)

    def fine_grid(self, matrix: tuple[int, int]) -> Grid:
        """Return the grid on which the object's transform is needed: twice as fine, wider by the halo.

        Its rows and columns start where the filters of the first row and column do. Its `scale` belongs to
        itself: multiply by `gain` to have samples in the scale of the scan.
        """
        rows, columns = (4 * (n // 2) + 2 * self.halo + n % 2 for n in matrix)
        return Grid((rows, columns), (2 * self.fov_m[0], 2 * self.fov_m[1]))

    def gain(self, matrix: tuple[int, int]) -> float:
        """Return the scale of the scan over that of the finer grid."""
        return Grid(matrix, self.fov_m).scale / self.fine_grid(matrix).scale

    def fine_rows(self, ky: int) -> NDArray[np.int32]:
        """Return the rows of the finer grid, centred and ascending, that the line `ky` needs."""
        return (2 * ky + np.arange(-self.halo, self.halo + 1)).astype(np.int32)

    def filter_line(self, fine: Complex, out: Complex) -> None:
        """Write what the coils see of one line.

        Parameters
        ----------
        fine
            The object's transform on the rows `fine_rows(ky)` of the grid `fine_grid(matrix)`, shape
            (taps, at least 2 nx - 1 + 2 halo), complex128.
        out
            Result, shape (coils, nx), complex128, k = 0 at nx // 2.

        Raises
        ------
        ProtocolError
            If a shape does not fit.
        """
        taps, nx = 2 * self.halo + 1, out.shape[1]
        if fine.shape[0] != taps or fine.shape[1] < 2 * nx - 1 + 2 * self.halo or len(out) != self.count:
            raise ProtocolError(
                f"coils: filter {fine.shape} into {out.shape}: expected ({taps}, at least "
                f"{2 * nx - 1 + 2 * self.halo}) into ({self.count}, nx)"
            )
        filter_into(self.coefficients, fine, out)


def fit_coils(
    array: CoilArray,
    fov_m: tuple[float, float],
    *,
    taps: int = 7,
    z_m: float = 0.0,
    inside: Callable[[Array, Array], NDArray[np.bool_]] | None = None,
    beyond: float = 1.0,
) -> FittedCoils:
    """Fit an array's sensitivities by least squares, with small singular values left out.

    Parameters
    ----------
    array
        The coils.
    fov_m
        Field of view along y and x, metres.
    taps
        Terms of the basis along each axis, odd; the uniform coil takes one whatever is asked for.
    z_m
        Height of the image plane, metres.
    inside
        Which points (x, y), metres, count; all of the field of view if None. A body that leaves the corners
        out is fitted about ten times better.
    beyond
        How many fields of view along y count, 1 to 1.5: of a body that goes on beyond it.

    Returns
    -------
    fitted
        The filters, with the error of the fit on points that the fit has not seen.

    Raises
    ------
    ProtocolError
        If a value is out of range, or a wire passes so close that no fit can hold.
    """
    if not (isinstance(taps, int | np.integer) and taps % 2 == 1 and 1 <= taps <= MAX_TAPS):
        raise ProtocolError(f"coils: taps = {taps!r}: expected an odd number from 1 to {MAX_TAPS}")
    if not all(math.isfinite(f) and f > 0 for f in fov_m):
        raise ProtocolError(f"coils: fov_m = {fov_m!r}: expected two positive lengths in metres")
    if not array.loops:
        return FittedCoils(np.ones((1, 1, 1), np.complex128), fov_m, 0.0, 0.0)
    _check_clear(array, fov_m, z_m)
    if not 1 <= beyond <= 1.5:
        raise ProtocolError(f"coils: beyond = {beyond!r}: expected 1 to 1.5")
    whole = (fov_m[0] * beyond, fov_m[1])
    x, y = _points(_FIT_POINTS, whole, inside)
    if len(x) < 2 * taps * taps:
        raise ProtocolError(
            f"coils: {len(x)} points of the field of view count: too few for {taps} x {taps} taps"
        )
    columns = np.ascontiguousarray(_basis(x, y, fov_m, taps).T)
    solved = least_squares(columns, np.ascontiguousarray(array.sensitivity(x, y, z_m), np.complex128), _CUT)
    fitted = FittedCoils(solved.reshape(array.count, taps, taps), fov_m, 0.0, 0.0)
    x, y = _points(_CHECK_POINTS, whole, inside)
    true = array.sensitivity(x, y, z_m)
    error = np.abs(fitted.sensitivity(x, y) - true)
    rms = np.linalg.norm(error, axis=1) / np.linalg.norm(true, axis=1)
    x, y = _rim(_RIM_POINTS, whole, inside)
    at_rim = np.abs(fitted.sensitivity(x, y) - array.sensitivity(x, y, z_m))
    most = np.maximum(error.max(axis=1), at_rim.max(axis=1)) / np.abs(true).max(axis=1)
    return FittedCoils(fitted.coefficients, fov_m, float(rms.max()), float(most.max()))


def _points(
    side: int, fov_m: tuple[float, float], inside: Callable[[Array, Array], NDArray[np.bool_]] | None
) -> tuple[Array, Array]:
    at = np.linspace(-0.5, 0.5, side)
    x, y = (v.ravel() for v in np.meshgrid(at * fov_m[1], at * fov_m[0]))
    counts = np.ones(len(x), np.bool_) if inside is None else inside(x, y)
    return x[counts], y[counts]


def _rim(
    side: int, fov_m: tuple[float, float], inside: Callable[[Array, Array], NDArray[np.bool_]] | None
) -> tuple[Array, Array]:
    """Return the points of a grid next to what counts, and those that count next to what does not."""
    at = np.linspace(-0.5, 0.5, side)
    x, y = np.meshgrid(at * fov_m[1], at * fov_m[0])
    counts = np.zeros((side + 2, side + 2), np.bool_)
    counts[1:-1, 1:-1] = True if inside is None else inside(x.ravel(), y.ravel()).reshape(side, side)
    around = [counts[1 + i : side + 1 + i, 1 + j : side + 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    rim = np.any(around, axis=0) & ~np.all(around, axis=0)
    return x[rim], y[rim]


def _basis(x: Array, y: Array, fov_m: tuple[float, float], taps: int) -> Complex:
    order = np.arange(taps) - taps // 2
    along_y = np.exp(1j * math.pi / fov_m[0] * np.multiply.outer(y, order))
    along_x = np.exp(1j * math.pi / fov_m[1] * np.multiply.outer(x, order))
    return np.asarray((along_y[:, :, None] * along_x[:, None, :]).reshape(len(x), -1), np.complex128)


def _check_clear(array: CoilArray, fov_m: tuple[float, float], z_m: float) -> None:
    half = np.array([fov_m[1] / 2, fov_m[0] / 2])
    for number, loop in enumerate(array.loops):
        wire = loop.wire(90)
        beyond = np.maximum(np.abs(wire[:, :2]) - half, 0)
        nearest = float(np.sqrt((beyond**2).sum(axis=1) + (wire[:, 2] - z_m) ** 2).min())
        if nearest < 0.2 * loop.radius_m:
            raise ProtocolError(
                f"coils: loop {number}: its wire comes within {nearest * 1e3:.0f} mm of the field of view; "
                f"{loop.radius_m * 200:.0f} mm is needed: a wider array, or a smaller field of view"
            )


@kernel()
def filter_into(coefficients: Complex, fine: Complex, out: Complex) -> None:
    """Write out[c, j], the sum over q and p of c[c, q, p] F(2 j - p, 2 ky - q); see `FittedCoils`."""
    coils, taps, _ = coefficients.shape
    nx = out.shape[1]
    half = nx + taps // 2
    # Even and odd columns apart, real and imaginary apart, so that every tap runs over neighbours.
    re, im = np.zeros((taps, 2, half)), np.zeros((taps, 2, half))
    for row in range(taps):
        for parity in range(2):
            for i in range(min(half, (fine.shape[1] - parity + 1) // 2)):
                re[row, parity, i] = fine[row, 2 * i + parity].real
                im[row, parity, i] = fine[row, 2 * i + parity].imag
    total_re, total_im = np.empty(nx), np.empty(nx)
    for coil in range(coils):
        total_re[:] = 0.0
        total_im[:] = 0.0
        for row in range(taps):
            for tap in range(taps):
                c = coefficients[coil, taps - 1 - row, taps - 1 - tap]
                c_re, c_im = c.real, c.imag
                f_re = re[row, tap % 2, tap // 2 : tap // 2 + nx]
                f_im = im[row, tap % 2, tap // 2 : tap // 2 + nx]
                for j in range(nx):
                    total_re[j] = fma(c_re, f_re[j], fma(-c_im, f_im[j], total_re[j]))
                    total_im[j] = fma(c_re, f_im[j], fma(c_im, f_re[j], total_im[j]))
        for j in range(nx):
            out[coil, j] = complex(total_re[j], total_im[j])


@kernel(nogil=True)
def filter_lines(coefficients: Complex, fine: Complex, out: Complex) -> None:
    """Filter lines: `fine` (lines, taps, fine columns) into `out` (lines, coils, nx)."""
    for line in range(len(out)):
        filter_into(coefficients, fine[line], out[line])
