"""A cine's twin as a scene: its pixels are moved on every line, and transformed from where they are.

The same displacements move the target's pixels: its centroid is the mean of where they are, and a pixel of an
image is the target's if the point of the reference that is found at its middle lies in one of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.anatomy.series.patient import Patient
from mrsim.anatomy.series.twin.course import Course
from mrsim.anatomy.series.twin.labels import label_at
from mrsim.anatomy.series.twin.moving import Moving, State
from mrsim.errors import ProtocolError
from mrsim.kernels.grid import Grid
from mrsim.reception.coil_fit import FittedCoils
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.scene import Source
from mrsim.stream import Header

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

BLOCK = 16
"""Lines that one thread renders at a time."""
OUTLINE_POINTS = 180


class TwinLines:
    """Render lines of a twin.

    Parameters
    ----------
    moving
        Its pixels under a protocol.
    course
        Where it is at any instant.
    header
        The protocol.
    fitted
        Filters of several coils; None for one of uniform sensitivity.
    """

    def __init__(self, moving: Moving, course: Course, header: Header, fitted: FittedCoils | None) -> None:
        self._moving, self._course, self._header, self._fitted = moving, course, header, fitted

    def lines(self, ky: NDArray[np.int32], t_ns: NDArray[np.int64]) -> Complex:
        """Return lines, shape (lines, coils, nx), complex128; parameters as for `Source.lines`."""
        ky, t_ns = np.asarray(ky, np.int32), np.asarray(t_ns, np.int64)
        state = self._course.at(t_ns)
        coils = 1 if self._fitted is None else self._fitted.count
        out = np.empty((len(ky), coils, self._header.matrix[1]), np.complex128)
        blocks = [slice(first, first + BLOCK) for first in range(0, len(ky), BLOCK)]

        def work(block: slice) -> None:
            part = State(state.values[block], state.weighed[block], state.frames[block], state.shares[block])
            out[block] = self._block(ky[block], part)

        threads = min(len(blocks), numba.get_num_threads())
        if threads <= 1:
            for block in blocks:
                work(block)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, blocks))
        return out

    def _block(self, ky: NDArray[np.int32], state: State) -> Complex:
        moving, fitted, header = self._moving, self._fitted, self._header
        if fitted is None:
            return moving.lines(ky, state)
        out = np.zeros((len(ky), fitted.count, header.matrix[1]), np.complex128)
        fine = moving.lines(ky, state, fitted.halo)
        for n, row in enumerate(ky.tolist()):
            if moving.inside_y[row + header.matrix[0] // 2]:
                fitted.filter_line(fine[n], out[n])
        out[:, :, ~moving.inside_x] = 0
        return out


class TwinScene:
    """Compute what a scan of a cine's twin would see.

    Parameters
    ----------
    patient
        What is scanned, with its twin and what drives it.
    header
        The protocol.
    seed
        Seed of the scan; it draws the breaths.
    """

    def __init__(self, patient: Patient, header: Header, seed: int) -> None:
        twin, ride = patient.twin, patient.ride
        assert twin is not None
        assert ride is not None
        self._patient, self._header, self._twin = patient, header, twin
        self._course = Course(twin, ride, seed, patient.name)
        self._moving = Moving(twin.modes, twin.states, twin.pixel_m, Grid(header.matrix, header.fov_m))
        self.uniform: Source = TwinLines(self._moving, self._course, header, None)
        self._pixels = np.argwhere(twin.rest_label[0]) if len(twin.rest_label) else np.empty((0, 2), int)

    @property
    def target_signal(self) -> float:
        """Return the mean magnitude of the target in the reference, or of its brighter half."""
        image = np.abs(self._twin.reference)
        kept = self._twin.rest_label[0] if len(self._pixels) else image > np.median(image)
        return float(image[kept].mean()) if kept.any() else 0.0

    def check(self, stop_ns: int) -> None:
        """Raise a `ProtocolError` if the scan is too long for its drive, or fields fold."""
        self._course.check(stop_ns)

    def source(self, protocol: ScanProtocol, fitted: FittedCoils | None) -> Source:
        """Return what renders lines for some coils; a cine is made of pixels already."""
        if protocol.rendering != "exact":
            raise ProtocolError("rendering = 'raster': a cine is made of pixels already; leave it out")
        return self.uniform if fitted is None else TwinLines(self._moving, self._course, self._header, fitted)

    def instant(self, ky: NDArray[np.int32], t_ns: int) -> Complex:
        """Return lines of one instant for a uniform coil, shape (lines, nx), complex128."""
        rows = self._moving.rows(self._course.at(np.array([t_ns], np.int64)))
        return np.asarray(rows[np.asarray(ky, np.int64) + self._header.matrix[0] // 2], np.complex128)

    def displacement(self, t_ns: ArrayLike) -> Array:
        """Return how far the target is from where it is in the reference, shape (n, 1, 2), metres."""
        path = self.centroid(self._patient.target, np.atleast_1d(np.asarray(t_ns, np.int64)))
        return np.asarray((path - np.array(self._patient.target_center_m))[:, None, :], np.float64)

    def centroid(self, region: str, t_ns: ArrayLike) -> Array:
        """Return the mean place (x, y) of the target's moved pixels, (n, 2), or (2,) of one; metres."""
        values = self._course.at(np.atleast_1d(np.asarray(t_ns, np.int64))).values
        if len(self._pixels):
            here = self._twin.modes[:, :, self._pixels[:, 0], self._pixels[:, 1]].mean(-1, dtype=np.float64)
            moved = sum(values[:, m, None] * here[m] for m in range(len(here)))
            place = self._pixels.mean(axis=0) + moved
        else:
            place = np.tile(np.array(self._twin.sides) // 2, (len(values), 1)).astype(np.float64)
        path = self._patient.metres(np.asarray(place, np.float64))
        return path if np.ndim(t_ns) else np.asarray(path[0], np.float64)

    def mask(self, region: str, t_ns: int) -> NDArray[np.bool_]:
        """Return the pixels at whose middle the target is at an instant, shape (ny, nx), bool."""
        whole = (slice(0, self._header.matrix[0]), slice(0, self._header.matrix[1]))
        (mask,) = self.masks(region, np.array([t_ns], np.int64), whole)
        return np.asarray(mask, np.bool_)

    def masks(self, region: str, t_ns: NDArray[np.int64], window: tuple[slice, slice]) -> NDArray[np.bool_]:
        """Return the same in a window at many instants, shape (n, rows, columns), bool."""
        x, y = Grid(self._header.matrix, self._header.fov_m).pixels()
        twin, sides = self._twin, self._twin.sides
        rows = y[:, 0][window[0]] / twin.pixel_m[0] + sides[0] // 2
        columns = x[0][window[1]] / twin.pixel_m[1] + sides[1] // 2
        out = np.zeros((len(t_ns), len(rows), len(columns)), np.bool_)
        if not len(self._pixels):
            return out
        label = twin.rest_label[0]
        for n, values in enumerate(self._course.at(np.asarray(t_ns, np.int64)).values):
            field = twin.field(values)
            moved = self._pixels + field[:, self._pixels[:, 0], self._pixels[:, 1]].T
            near = [
                np.flatnonzero((at >= low - 1) & (at <= high + 1))
                for at, low, high in zip((rows, columns), moved.min(axis=0), moved.max(axis=0), strict=True)
            ]
            if not all(map(len, near)):
                continue
            found = np.zeros((len(near[0]), len(near[1])), np.bool_)
            label_at(label, field[0], field[1], rows[near[0]], columns[near[1]], found)
            out[n][np.ix_(*near)] = found
        return out

    def contour(self, region: str, t_ns: int, points: int = OUTLINE_POINTS) -> Array:
        """Return where the label's edge pixels are, in order of their angle, shape (n, 2), metres."""
        if not len(self._pixels):
            return np.empty((0, 2))
        label = self._twin.rest_label[0]
        inner = label.copy()
        for axis in (0, 1):
            inner &= np.roll(label, 1, axis) & np.roll(label, -1, axis)
        edge = np.argwhere(label & ~inner)
        field = self._twin.field(self._course.at(np.array([t_ns], np.int64)).values[0])
        place = edge + field[:, edge[:, 0], edge[:, 1]].T
        away = place - place.mean(axis=0)
        place = place[np.argsort(np.arctan2(away[:, 0], away[:, 1]), kind="stable")]
        place = place[:: max(1, -(-len(place) // points))]
        return self._patient.metres(place)
