"""Dose: the relative D98 of a target that is not where the beam aims, as TrackRAD2025 defines it.

The dose is the target, grown by a margin and smoothed by a Gaussian, which stands for how dose falls off in
tissue. It is shifted by the error of each instant and averaged. D98 is the dose that 98 % of the target get
at least; it is told as a share of the D98 without error (https://trackrad2025.grand-challenge.org/metrics).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError
from mrsim.stream import Header

MARGIN_M = 3e-3
FALLOFF_M, LUNG_FALLOFF_M = 4e-3, 6e-3
"""Standard deviation of the Gaussian: in tissue and in the lung, metres."""
FINE_M = 0.5e-3  # pixels are divided to this size at most
MOST_FINE = 1024  # pixels along an axis of the target
LENGTHS_M = 1e-5, 0.1
"""Least and greatest size of a pixel, margin and fall-off, metres."""
REACH = 6.0  # standard deviations beyond which there is no dose: 1e-9 of it
LEFT_OUT = 0.02  # of the target, by D98


def relative_d98(
    mask: NDArray[np.bool_],
    pixel_m: tuple[float, float],
    error_m: NDArray[np.float64],
    weight: NDArray[np.float64] | None = None,
    *,
    margin_m: float = MARGIN_M,
    falloff_m: float = FALLOFF_M,
    hard_edge: bool = False,
) -> float | None:
    """Return the D98 of a target, as a share of its D98 without error.

    An instant in which the target is lost gives it no dose, as if the beam aimed infinitely far away.

    Parameters
    ----------
    mask
        The target, shape (ny, nx), bool.
    pixel_m
        Size of a pixel along y and x, metres.
    error_m
        Where the beam aimed less where the target was, (x, y) at each instant, shape (n, 2), metres; not
        finite where the target was lost.
    weight
        Weight of each instant, shape (n,), such as the share of a TR for which the beam was on; None for
        equal ones.
    margin_m
        By how much the target is grown, metres.
    falloff_m
        Standard deviation of the Gaussian, metres.
    hard_edge
        Whether to cut the smoothed dose at one half, into 0 and 1, as published code of the challenge does.

    Returns
    -------
    share
        None if no instant has any weight, which is no beam; or if a hard edge leaves no dose in the target.

    Raises
    ------
    InputError
        If the mask is empty, a length is out of range, or the shapes do not agree.
    """
    error = np.asarray(error_m, np.float64)
    weights = np.ones(len(error)) if weight is None else np.asarray(weight, np.float64)
    if error.ndim != 2 or error.shape[1] != 2 or weights.shape != (len(error),) or not (weights >= 0).all():
        raise InputError(
            f"relative D98: errors {error.shape}, weights {weights.shape}: expected (n, 2), (n,)"
        )
    if mask.ndim != 2 or not mask.any():
        raise InputError("relative D98: the mask of the target is empty")
    lengths = (*pixel_m, margin_m, falloff_m)
    if not all(LENGTHS_M[0] <= length <= LENGTHS_M[1] for length in lengths):
        expected = f"{LENGTHS_M[0]:g} to {LENGTHS_M[1]:g}"
        raise InputError(f"relative D98: pixel, margin, fall-off {lengths} m: expected {expected}")
    if not weights.any():
        return None
    target, fine_m = _finely(mask, pixel_m)
    beyond_m = margin_m + REACH * falloff_m
    # Farther off than `reach`, the beam misses the whole target. The field is so large that what leaves it on
    # one side, and comes back on the other, does not touch the target either.
    reach = [size * step + beyond_m for size, step in zip(target.shape, fine_m, strict=True)]
    shape = tuple(2 * (int(far / step) + 2) for far, step in zip(reach, fine_m, strict=True))
    field = np.zeros(shape)
    field[: target.shape[0], : target.shape[1]] = target
    dose = _dose(field, fine_m, margin_m, falloff_m)
    if hard_edge:
        dose = (dose >= 0.5).astype(np.float64)
    shifts = _shifts(error[:, ::-1], weights, reach, fine_m, shape)
    shifted = np.fft.irfft2(np.fft.rfft2(dose) * np.fft.rfft2(shifts), shape)
    inside = field > 0
    planned, given = (float(np.quantile(one[inside], LEFT_OUT)) for one in (dose, shifted))
    return max(given, 0.0) / planned if planned > 0 else None


def pixel_of(header: Header) -> tuple[float, float]:
    """Return the size of a scan's pixels along y and x, metres.

    Raises
    ------
    InputError
        If no dose is told for pixels of that size.
    """
    pixel_m = (header.fov_m[0] / header.matrix[0], header.fov_m[1] / header.matrix[1])
    if not all(LENGTHS_M[0] <= size <= LENGTHS_M[1] for size in pixel_m):
        pixel, sides = (
            " x ".join(f"{one:g}" for one in pixel_m),
            " to ".join(f"{one:g}" for one in LENGTHS_M),
        )
        raise InputError(
            f"the scan's header: fov_m and matrix make pixels of {pixel} m: a dose is told for sides of "
            f"{sides} m; judge its time alone with --no-quality"
        )
    return pixel_m


def _finely(
    mask: NDArray[np.bool_], pixel_m: tuple[float, float]
) -> tuple[NDArray[np.bool_], tuple[float, float]]:
    """Return the target within its bounding box in smaller pixels, and their size along y and x, metres."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    parts = [
        int(np.clip(np.ceil(size / FINE_M - 1e-9), 1, max(1, MOST_FINE // n)))
        for size, n in zip(pixel_m, box.shape, strict=True)
    ]
    fine = np.repeat(np.repeat(box, parts[0], axis=0), parts[1], axis=1)
    return fine, (pixel_m[0] / parts[0], pixel_m[1] / parts[1])


def _dose(
    field: NDArray[np.float64], fine_m: tuple[float, float], margin_m: float, falloff_m: float
) -> NDArray[np.float64]:
    """Return the dose of a target in a field that is periodic: grown, then smoothed."""
    ky, kx = np.fft.fftfreq(field.shape[0], fine_m[0]), np.fft.rfftfreq(field.shape[1], fine_m[1])
    y, x = (np.fft.fftfreq(n, 1 / n) * step for n, step in zip(field.shape, fine_m, strict=True))
    disc = (np.hypot(y[:, None], x) <= margin_m * (1 + 1e-9)).astype(np.float64)
    pixels = np.fft.irfft2(np.fft.rfft2(field) * np.fft.rfft2(disc), field.shape)
    grown = (pixels > 0.5).astype(np.float64)  # pixels of the target within the margin of each
    gauss = np.exp(-2 * (np.pi * falloff_m) ** 2 * (ky[:, None] ** 2 + kx**2))
    dose: NDArray[np.float64] = np.fft.irfft2(np.fft.rfft2(grown) * gauss, field.shape)
    return dose


def _shifts(
    error: NDArray[np.float64],
    weights: NDArray[np.float64],
    reach: list[float],
    fine_m: tuple[float, float],
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Return the share of the weight at each shift (y, x) of the field; what misses the target is left out.

    An error between pixels is shared among the four around it, which smooths by at most half a pixel.
    """
    hit = (np.abs(error) < reach).all(axis=1) & (weights > 0)  # false for NaN
    at = error[hit] / fine_m
    low = np.floor(at)
    part = at - low
    shares = np.zeros(shape)
    for up in (0, 1):
        for right in (0, 1):
            iy, ix = (low + np.array([up, right])).astype(np.int64).T
            share = np.abs(1 - up - part[:, 0]) * np.abs(1 - right - part[:, 1])
            np.add.at(shares, (iy % shape[0], ix % shape[1]), share * weights[hit])
    shares /= weights.sum()
    return shares
