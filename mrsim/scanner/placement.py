"""Where everything that moves is, one row of each array for each instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class PlacedSolid:
    """Hold a solid that is cut anew at each instant.

    Parameters
    ----------
    axes
        Matrix that maps the unit disc onto its widest section, shape (instants, 2, 2), metres.
    scale
        Size of each section relative to the widest, shape (instants, sections).
    weight
        Signal of each section relative to the parent, shape (instants, sections), complex128.
    """

    axes: Array
    scale: Array
    weight: Complex


@dataclass(frozen=True, slots=True)
class PlacedEdges:
    """Hold the edges of a polygon that move.

    Parameters
    ----------
    starts, ends
        Corners (x, y) that each edge runs between, shape (instants, edges, 2), metres.
    weight
        Signal of each edge's section relative to the parent, shape (instants, edges), complex128.
    of_rows
        A factor of the weight by the row of the grid, shape (rows, edges); None for none.
    swept
        What is added at k = 0, square metres times signal, shape (instants,); None for nothing.
    """

    starts: Array
    ends: Array
    weight: Complex
    of_rows: Complex | None = None
    swept: Complex | None = None

    def at(self, instants: NDArray[np.int64]) -> PlacedEdges:
        """Return the rows of these instants, by number, in this order."""
        swept = None if self.swept is None else self.swept[instants]
        return PlacedEdges(
            self.starts[instants], self.ends[instants], self.weight[instants], self.of_rows, swept
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Hold every region where it is at some instants; lengths in metres.

    Parameters
    ----------
    centers
        Centroid (x, y) of every region, shape (instants, regions, 2).
    flat_axes
        Matrices that map the unit disc onto the flat ellipses that deform, shape (instants, ellipses, 2, 2).
    solids
        The solids that are cut anew.
    edges
        The edges of each polygon that move.
    motions
        Values of the motions that blobs follow, shape (instants, motions).
    """

    centers: Array
    flat_axes: Array
    solids: tuple[PlacedSolid, ...]
    edges: tuple[PlacedEdges, ...]
    motions: Array

    def at(self, instants: NDArray[np.int64]) -> Placement:
        """Return the rows of these instants, by number, in this order."""
        return Placement(
            self.centers[instants],
            self.flat_axes[instants],
            tuple(PlacedSolid(s.axes[instants], s.scale[instants], s.weight[instants]) for s in self.solids),
            tuple(e.at(instants) for e in self.edges),
            self.motions[instants],
        )
