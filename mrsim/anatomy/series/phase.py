"""A smooth phase for a cine of magnitudes, which lack the one that every scanner's image has.

A real image has a k-space whose halves are conjugate, and a reconstructor that fills in one from the other
would be flattered. The phase is synthetic, the same for every cine, and stands still while tissue moves.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.series import Series
from mrsim.errors import Option, PhantomError

MAX_PHASE_DEG = 360.0


def smooth_phase(sides: tuple[int, int], phase_deg: float) -> NDArray[np.float64]:
    """Return the phase of every pixel, shape (ny, nx), radians: within `phase_deg` either way.

    It is phase_deg / 2 (sin(0.9 pi v + 0.4) + cos(0.7 pi (u - v / 2))), with v along the rows and u along the
    columns, each from -1 to 1 across the image.

    Parameters
    ----------
    sides
        Rows and columns.
    phase_deg
        Its bound, degrees.
    """
    v, u = ((2 * np.arange(n) - (n - 1)) / n for n in sides)
    waves = np.sin(0.9 * math.pi * v + 0.4)[:, None] + np.cos(0.7 * math.pi * (u - v[:, None] / 2))
    return np.asarray(math.radians(phase_deg) / 2 * waves, np.float64)


def with_phase(series: Series, phase_deg: float) -> Series:
    """Return a cine of magnitudes with a smooth phase; 0 degrees leave it as it is.

    Parameters
    ----------
    series
        The cine.
    phase_deg
        Bound of the phase, degrees, 0 to 360.

    Raises
    ------
    PhantomError
        If the bound is out of range, or the cine has a phase of its own.
    """
    if not 0 <= phase_deg <= MAX_PHASE_DEG:
        raise PhantomError("{}: expected 0 to {:g}", Option("phase_deg", phase_deg), MAX_PHASE_DEG)
    if phase_deg == 0:
        return series
    if np.iscomplexobj(series.images):
        raise PhantomError(
            "{}: its images are complex and keep their own phase; leave {} out",
            series.source, Option("phase_deg"),
        )  # fmt: skip
    _, rows, columns = series.images.shape
    turned = np.exp(1j * smooth_phase((rows, columns), phase_deg)).astype(np.complex64)
    note = f"a synthetic phase within {phase_deg:g} degrees either way was added"
    return dataclasses.replace(series, images=series.images * turned, notes=(*series.notes, note))
