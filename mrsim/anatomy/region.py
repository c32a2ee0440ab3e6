"""A region of a phantom: its shape, its tissue, and the motions that it follows."""

from __future__ import annotations

from dataclasses import dataclass

from mrsim.anatomy.shapes import Shape

STATIC = "static"

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Depth:
    """Hold how a solid extends through the slice: as an ellipsoid does.

    At height z its section is its shape, scaled about the centre by sqrt(1 - ((z - center_z) / half)^2).

    Parameters
    ----------
    center_z, half
        Height of the widest section, and half the solid's height, metres.
    """

    center_z: float
    half: float


@dataclass(frozen=True)
class Lean:
    """Hold how the outline of a polygon changes through the slice, as a dome does.

    At height z above the slice's middle each corner lies slope z + bend z^2 further along y.

    Parameters
    ----------
    slope
        Of each corner, metres per metre.
    bend_per_m
        Of each corner, metres per square metre.
    """

    slope: tuple[float, ...]
    bend_per_m: tuple[float, ...]


@dataclass(frozen=True)
class Follow:
    """Hold how a region follows one motion.

    Parameters
    ----------
    motion
        Name of the motion.
    direction
        How far it moves along (x, y, z) for each metre of the motion's value.
    stretch_per_m
        How much it is stretched about its centre along (x, y, z), relative, for each metre of the value.
    shear_per_m
        How far it moves along x for each metre along y from its centre, and along y for each along x, for
        each metre of the value: a turn is (-1, 1).
    corners
        Of a polygon that rides on fields: how far each corner moves along (x, y) for each metre of the value,
        in addition to the rest.
    """

    motion: str
    direction: Vector
    stretch_per_m: Vector
    shear_per_m: tuple[float, float] = (0.0, 0.0)
    corners: tuple[tuple[float, float], ...] | None = None

    @property
    def linear(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return stretch and shear in the plane as a matrix, for each metre of the motion's value."""
        (x, y, _), (xy, yx) = self.stretch_per_m, self.shear_per_m
        return (x, xy), (yx, y)


@dataclass(frozen=True)
class Region:
    """Hold one region of a phantom.

    Parameters
    ----------
    name
        Its name.
    tissue
        Name in the tissue table.
    shape
        Where it is at motion 0; of a solid, its widest section.
    parent
        Name of the region that it lies in; None for one that lies in air.
    follows
        The motions that it follows; their displacements and their stretches add up.
    depth
        How it extends through the slice; None for one that is the same at every height.
    vertex_share
        Of a polygon whose corners do not all follow: the share of the displacement that each takes.
    lean
        Of a polygon whose outline changes through the slice: how.
    """

    name: str
    tissue: str
    shape: Shape
    parent: str | None
    follows: tuple[Follow, ...]
    depth: Depth | None = None
    vertex_share: tuple[float, ...] | None = None
    lean: Lean | None = None

    @property
    def motion(self) -> str:
        """Return the name of the first motion that it follows."""
        return self.follows[0].motion if self.follows else STATIC

    @property
    def direction(self) -> tuple[float, float]:
        """Return how far it moves along (x, y) for each metre of that motion's value."""
        return self.follows[0].direction[:2] if self.follows else (0.0, 0.0)

    @property
    def stretch_per_m(self) -> tuple[float, float]:
        """Return how much it is stretched along (x, y) for each metre of that motion's value."""
        return self.follows[0].stretch_per_m[:2] if self.follows else (0.0, 0.0)

    @property
    def moves(self) -> bool:
        """Return whether it ever leaves its place in the plane."""
        return any(
            f.motion != STATIC and (f.direction[:2] != (0.0, 0.0) or f.corners is not None)
            for f in self.follows
        )

    @property
    def uneven(self) -> bool:
        """Return whether it is a polygon whose corners move unlike each other."""
        shares = self.vertex_share is not None and len(set(self.vertex_share)) > 1 and self.moves
        return shares or any(f.corners is not None for f in self.follows)

    @property
    def deforms(self) -> bool:
        """Return whether what is seen of it ever changes its form."""
        active = [f for f in self.follows if f.motion != STATIC]
        through = self.depth is not None and any(f.direction[2] or f.stretch_per_m[2] for f in active)
        leans = self.lean is not None
        return self.uneven or leans or through or any(f.linear != ((0.0, 0.0), (0.0, 0.0)) for f in active)
