"""The excited slice: its profile, and what a tissue gives at each height in it.

The flip angle follows the profile, alpha p(z), and bSSFP is evaluated at each height's own flip angle: half
the flip angle is not half the signal. The image shows the integral over the slice divided by its nominal
thickness, so that a uniform object in an ideal slice gives its plain signal.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.errors import PhantomError
from mrsim.physics.steady_state import FlipResponse

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

PROFILES = ("ideal", "gaussian", "sinc")
_REACH = 1.5  # of the thickness: where the profiles that fade are cut, to each side of the middle
_PULSE_NODES = 48
_FLAT_NODES = 96


@dataclass(frozen=True)
class Slice:
    """Hold a slice.

    Parameters
    ----------
    thickness_m
        Nominal thickness, metres: the full width at half maximum of the Gaussian, and the bandwidth of the
        sinc pulse over its gradient.
    profile
        "ideal": 1 within the thickness. "gaussian": exp(-4 ln 2 (z / thickness)^2). "sinc": that of a sinc
        pulse under a Hann window, in the small-tip approximation. The last two are cut at 1.5 thicknesses
        from the middle.
    z_m
        Height of its middle, metres.
    time_bandwidth
        Time-bandwidth product of the sinc pulse.

    Raises
    ------
    PhantomError
        If a value is out of range.

    References
    ----------
    Pauly, Nishimura and Macovski 1989, 10.1016/0022-2364(89)90265-5 (small-tip approximation).
    """

    thickness_m: float
    profile: str = "sinc"
    z_m: float = 0.0
    time_bandwidth: float = 4.0

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise PhantomError(f"profile = {self.profile!r}: expected one of {', '.join(PROFILES)}")
        for key, low, high in (("thickness_m", 1e-4, 1.0), ("z_m", -1.0, 1.0), ("time_bandwidth", 1.0, 16.0)):
            if not low <= getattr(self, key) <= high:  # false for NaN, too
                raise PhantomError(f"{key} = {getattr(self, key)!r}: expected {low} to {high}")

    @property
    def limits(self) -> tuple[float, float]:
        """Return where it begins and ends along z, metres."""
        half = self.thickness_m * (0.5 if self.profile == "ideal" else _REACH)
        return self.z_m - half, self.z_m + half

    def flip_share(self, z: ArrayLike) -> Array:
        """Return p(z), the flip angle over the nominal one, of the shape of z (metres); 0 outside."""
        z = np.asarray(z, np.float64)
        u = (z - self.z_m) / self.thickness_m
        if self.profile == "ideal":
            share = np.ones(u.shape)
        elif self.profile == "gaussian":
            share = np.exp(-4 * math.log(2) * u * u)
        else:
            share = np.zeros(u.shape)
            for weight, turn in self._pulse:
                share += weight * np.cos(turn * u)
        low, high = self.limits
        return np.asarray(np.where((z >= low) & (z <= high), share, 0.0), np.float64)

    @cached_property
    def _pulse(self) -> list[tuple[float, float]]:
        # The pulse is even, so its transform is a cosine transform over one half.
        nodes, weights = np.polynomial.legendre.leggauss(_PULSE_NODES)
        t = (nodes + 1) / 4  # 0 to 1/2 of the pulse
        weights = weights * np.sinc(self.time_bandwidth * t) * (0.5 + 0.5 * np.cos(2 * math.pi * t))
        turn = 2 * math.pi * self.time_bandwidth * t
        return list(zip((weights / weights.sum()).tolist(), turn.tolist(), strict=True))

    def flat_weight(self, response: FlipResponse, flip_rad: float) -> complex:
        """Return what a tissue that fills the slice gives: its response, averaged over the slice."""
        low, high = self.limits
        nodes, weights = np.polynomial.legendre.leggauss(_FLAT_NODES)
        z = (low + high) / 2 + (high - low) / 2 * nodes
        signal = response.at(flip_rad * self.flip_share(z))
        return complex((signal * weights).sum() * (high - low) / 2 / self.thickness_m)

    def seen_share(self, center_z: float, half_height: float) -> float:
        """Return the scale of the outline of a solid as it is seen.

        The solid's section shrinks as sqrt(1 - ((z - center) / half height)^2). It is seen where it fills at
        least a half of the slice, weighted by |p(z)|: there a threshold at half the contrast draws its edge.

        Parameters
        ----------
        center_z, half_height
            Height of the solid's centre, and half its height, metres.

        Returns
        -------
        scale
            Scale of its widest section, 0 to 1; 0 if it fills a half nowhere.
        """
        z, filled = self._filled

        def share(half: float) -> float:
            low, high = np.interp([center_z - half, center_z + half], z, filled)
            return float(high - low)

        if share(half_height) < 0.5:
            return 0.0
        low, high = 0.0, half_height
        for _ in range(60):  # to the last bit
            middle = (low + high) / 2
            low, high = (low, middle) if share(middle) >= 0.5 else (middle, high)
        return math.sqrt(max(0.0, 1 - (high / half_height) ** 2))

    @cached_property
    def _filled(self) -> tuple[Array, Array]:
        """Return heights, and the share of |p| below each."""
        z = np.linspace(*self.limits, 4097)
        share = np.abs(self.flip_share(z))
        total = np.concatenate([[0.0], np.cumsum(share[1:] + share[:-1])])
        return z, np.asarray(total / total[-1], np.float64)


@functools.cache
def gauss_legendre(count: int) -> tuple[Array, Array]:
    """Return the nodes and weights of Gauss and Legendre, shape (count,) each; they are not to be changed."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


@dataclass(frozen=True)
class Sections:
    """Cut solids by a slice at Gauss-Legendre nodes of where the two overlap.

    In the overlap everything is smooth, so that the sum converges exponentially with the number of nodes.

    Parameters
    ----------
    slice_
        The slice.
    responses
        Response of the solid's tissue, and of what it replaces (its parent's tissue; None for air).
    flip_rad
        Nominal flip angle, radians.
    count
        Number of nodes.
    """

    slice_: Slice
    responses: tuple[FlipResponse, FlipResponse | None]
    flip_rad: float
    count: int

    def cut(self, center_z: Array, half_height: Array) -> tuple[Array, Complex]:
        """Cut the solid.

        Parameters
        ----------
        center_z, half_height
            Height of its centre and half its height on every line, shape (lines,), metres.

        Returns
        -------
        scale, weight
            Size of each section relative to the widest one, and its signal relative to the parent's times
            its share of the nominal thickness, shape (lines, count); weight 0 where the two are apart.
        """
        nodes, weights = gauss_legendre(self.count)
        first, last = self.slice_.limits
        low = np.maximum(center_z - half_height, first)
        high = np.minimum(center_z + half_height, last)
        half = np.maximum(high - low, 0.0)[:, None] / 2
        z = np.clip(((low + high) / 2)[:, None] + half * nodes, first, last)
        u = (z - center_z[:, None]) / half_height[:, None]
        flip = self.flip_rad * self.slice_.flip_share(z)
        own, other = self.responses
        signal = own.at(flip) - (other.at(flip) if other is not None else 0.0)
        weight = signal * (weights * half / self.slice_.thickness_m)
        return np.sqrt(np.maximum(1 - u * u, 0.0)), np.asarray(weight, np.complex128)


def solid_form_factor(semi_axes: tuple[float, float, float], k: Any) -> Array:
    """Compute the transform of a whole ellipsoid about its centre, the limit of an endless ideal slice.

    F = abc (sin u - u cos u) / (2 pi^2 K^3) with u = 2 pi K and K = |(a kx, b ky, c kz)|; near 0, where the
    difference cancels, its series 4/3 pi abc (1 - u^2 / 10 + ...).

    Parameters
    ----------
    semi_axes
        Semi-axes along x, y and z, metres.
    k
        Spatial frequencies (kx, ky, kz), cycles per metre; they broadcast.

    Returns
    -------
    form
        float64, cubic metres. Its value at k = 0 is the volume.

    References
    ----------
    Koay et al. 2007, 10.1002/mrm.21292.
    """
    a, b, c = semi_axes
    u = 2 * math.pi * np.sqrt((a * np.asarray(k[0])) ** 2 + (b * np.asarray(k[1])) ** 2 + (c * k[2]) ** 2)
    safe = np.maximum(u, 0.5)
    closed = 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    series, term = np.zeros(u.shape), np.ones(u.shape)
    for n in range(10):  # sum of (-1)^n 3 u^2n (2n + 2) / (2n + 3)!
        series += term * (6 * (n + 1) / math.factorial(2 * n + 3))
        term = -term * np.minimum(u, 0.5) ** 2
    volume = 4 / 3 * math.pi * a * b * c
    return np.asarray(volume * np.where(u < 0.5, series, closed), np.float64)
