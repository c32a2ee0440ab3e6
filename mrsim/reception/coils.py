"""Receive coils: loops around the body, their field in closed form, and their sensitivity in the image plane.

A coil sees what its own field would do to the spins (reciprocity): its sensitivity is the part of its field
that turns with them, B1- = B1 - i B2, where 1, 2 and B0 are a right-handed frame.
`mrsim.reception.coil_fit` turns the sensitivities into small filters on k-space, `mrsim.reception.channels`
holds what couples the channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.errors import ProtocolError

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

MAX_LOOPS = 32
MU0 = 4e-7 * math.pi  # tesla metres per ampere
_TRANSVERSE = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}  # the axes that follow B0's, cyclically


@dataclass(frozen=True)
class Loop:
    """Hold a circular loop of thin wire.

    Parameters
    ----------
    center
        Its centre (x, y, z), metres.
    normal
        Its axis, of any length; a positive current turns about it right-handed.
    radius_m
        Radius, metres.

    Raises
    ------
    ProtocolError
        If the radius is not positive, or the axis has no length.
    """

    center: tuple[float, float, float]
    normal: tuple[float, float, float]
    radius_m: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (*self.center, *self.normal, self.radius_m)):
            raise ProtocolError(
                f"loop: {self.center}, {self.normal}, {self.radius_m}: expected finite values"
            )
        if self.radius_m <= 0 or not any(self.normal):
            raise ProtocolError(
                f"loop: radius {self.radius_m} m, axis {self.normal}: expected a positive radius and an axis"
            )

    @property
    def axis(self) -> Array:
        """Return the unit vector along its axis, shape (3,)."""
        normal = np.array(self.normal, np.float64)
        axis: Array = normal / np.linalg.norm(normal)
        return axis

    def wire(self, points: int) -> Array:
        """Return points on the wire in the order of the current, shape (points, 3), metres."""
        axis = self.axis
        first = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
        first /= np.linalg.norm(first)
        turn = np.arange(points)[:, None] * (2 * math.pi / points)
        ring: Array = np.cos(turn) * first + np.sin(turn) * np.cross(axis, first)
        return np.array(self.center) + self.radius_m * ring

    def field(self, points: ArrayLike) -> Array:
        """Compute the magnetic field of one ampere.

        With rho and z the cylindrical coordinates, a^2 = (R + rho)^2 + z^2, b^2 = (R - rho)^2 + z^2 and
        m = 4 R rho / a^2: Bz = mu0 / (2 pi a) (K(m) + (R^2 - rho^2 - z^2) / b^2 E(m)) and
        Brho = mu0 z / (2 pi rho a) (-K(m) + (R^2 + rho^2 + z^2) / b^2 E(m)). Near the axis the bracket of
        Brho cancels as m^2, so it is summed there as a series.

        Parameters
        ----------
        points
            Where, shape (..., 3), metres.

        Returns
        -------
        field
            Shape (..., 3), float64, tesla; infinite on the wire.

        References
        ----------
        Jackson, Classical Electrodynamics, 3rd edition, section 5.5.
        """
        radius, axis = self.radius_m, self.axis
        away = np.asarray(points, np.float64) - np.array(self.center)
        z = away @ axis
        outward = away - z[..., None] * axis
        rho = np.linalg.norm(outward, axis=-1)
        a2, b2 = (radius + rho) ** 2 + z**2, (radius - rho) ** 2 + z**2
        m = 4 * radius * rho / a2
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = _elliptic(m)
            factor = MU0 / (2 * math.pi * np.sqrt(a2))
            along = factor * (first + (radius**2 - rho**2 - z**2) / b2 * second)
            radial = factor * z * (16 * radius**2 / a2**2) * _radial_bracket(m, first, second)
        return np.asarray(along[..., None] * axis + radial[..., None] * outward, np.float64)


@dataclass(frozen=True)
class CoilArray:
    """Hold an array of loops, or the one uniform coil if there is no loop.

    Parameters
    ----------
    loops
        The loops; none means one coil of sensitivity 1 everywhere.
    b0
        Axis of the static field, "x", "y" or "z". The patient's axis, head-foot, is y.

    Raises
    ------
    ProtocolError
        If there are too many loops, or the axis is not one.
    """

    loops: tuple[Loop, ...]
    b0: str = "y"

    def __post_init__(self) -> None:
        if len(self.loops) > MAX_LOOPS:
            raise ProtocolError(f"coils: {len(self.loops)} loops: expected at most {MAX_LOOPS}")
        if self.b0 not in _TRANSVERSE:
            raise ProtocolError(f"coils: b0 = {self.b0!r}: expected 'x', 'y' or 'z'")

    @classmethod
    def ring(
        cls,
        count: int,
        *,
        radius_m: float = 0.30,
        loop_radius_m: float = 0.12,
        length_m: float = 0.40,
        b0: str = "y",
    ) -> CoilArray:
        """Lay loops on a cylinder about the head-foot axis y, each facing the axis.

        They form round(sqrt(count / 2)) rings, as even as can be, with every second ring turned by half a
        step: 8 loops are 2 rings of 4, 32 are 4 of 8.

        Parameters
        ----------
        count
            Number of coils, 1 to 32; 1 gives the uniform coil.
        radius_m
            Radius of the cylinder, metres.
        loop_radius_m
            Radius of a loop, metres.
        length_m
            Length along y that the rings share, metres.
        b0
            Axis of the static field.

        Raises
        ------
        ProtocolError
            If a value is out of range.
        """
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= MAX_LOOPS:
            raise ProtocolError(f"coils = {count!r}: expected 1 to {MAX_LOOPS}")
        if not (0 < loop_radius_m < radius_m < 10 and 0 <= length_m < 10):
            raise ProtocolError(
                f"coils: radius {radius_m} m, loops {loop_radius_m} m, length {length_m} m: expected loops "
                "smaller than the cylinder, and lengths below 10 m"
            )
        if count == 1:
            return cls((), b0)
        rings = max(1, round(math.sqrt(count / 2)))
        loops = []
        for ring, members in enumerate(np.array_split(np.arange(count), rings)):
            y = (ring + 0.5 - rings / 2) * length_m / rings
            for i in range(len(members)):
                turn = 2 * math.pi * (i + 0.5 + 0.5 * (ring % 2)) / len(members)
                x, z = math.cos(turn), math.sin(turn)
                loops.append(Loop((radius_m * x, y, radius_m * z), (-x, 0.0, -z), loop_radius_m))
        return cls(tuple(loops), b0)

    def shifted(self, x_m: float, y_m: float) -> CoilArray:
        """Return the array moved along x and y, metres."""
        if x_m == y_m == 0:
            return self
        moved = [(x + x_m, y + y_m, z) for x, y, z in (loop.center for loop in self.loops)]
        loops = [Loop(at, loop.normal, loop.radius_m) for at, loop in zip(moved, self.loops, strict=True)]
        return CoilArray(tuple(loops), self.b0)

    @property
    def count(self) -> int:
        """Return the number of coils."""
        return max(1, len(self.loops))

    def sensitivity(self, x: ArrayLike, y: ArrayLike, z: ArrayLike = 0.0) -> Complex:
        """Compute the complex sensitivity of every coil.

        They are scaled together, so that their root sum of squares is 1 at the isocentre.

        Parameters
        ----------
        x, y, z
            Where, metres; they broadcast.

        Returns
        -------
        sensitivity
            Shape (coils, ...), complex128; infinite on a wire.

        References
        ----------
        Hoult and Richards 1976, 10.1016/0022-2364(76)90233-X (reciprocity).
        """
        points = np.stack(np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x, y, z))), axis=-1)
        if not self.loops:
            return np.ones((1, *points.shape[:-1]), np.complex128)
        scale = np.linalg.norm(self._turning(np.zeros(3)))
        if not scale > 1e-12 * MU0:
            raise ProtocolError("coils: the array sees nothing at the isocentre: move or turn the loops")
        return self._turning(points) / scale

    def _turning(self, points: Array) -> Complex:
        first, second = _TRANSVERSE[self.b0]
        fields = np.stack([loop.field(points) for loop in self.loops])
        return np.asarray(fields[..., first] - 1j * fields[..., second], np.complex128)


def _elliptic(m: Array) -> tuple[Array, Array]:
    """Return the complete elliptic integrals K(m) and E(m) by the arithmetic-geometric mean."""
    a, g = np.ones_like(m), np.sqrt(1 - m)
    deficit, weight = m / 2, 0.5
    for _ in range(8):  # it converges quadratically; eight steps serve every m up to 1 - 1e-15
        a, g, gap = (a + g) / 2, np.sqrt(a * g), (a - g) / 2
        weight *= 2
        deficit = deficit + weight * gap**2
    first = math.pi / (2 * a)
    return first, first * (1 - deficit)


# 2F1(3/2, 5/2; 3; m): terms of its series up to m^19, enough below the split.
_SPLIT = 0.1
_TERMS = np.cumprod([1.0] + [(n + 1.5) * (n + 2.5) / ((n + 3) * (n + 1)) for n in range(19)])


def _radial_bracket(m: Array, first: Array, second: Array) -> Array:
    """Return ((2 - m) / (2 (1 - m)) E - K) / m^2, which tends to 3 pi / 32 on the axis."""
    safe = np.maximum(m, _SPLIT)
    closed = ((2 - m) / (2 * (1 - m)) * second - first) / safe**2
    series = 3 * math.pi / 32 * np.polynomial.polynomial.polyval(np.minimum(m, _SPLIT), _TERMS)
    return np.where(m < _SPLIT, series, closed)
