"""A cine as a scene: the transform of its image at each line's own instant, one row of it.

The object is what the pixels are samples of: band-limited by the cine's own grid and nothing beyond it. The
transform of the cross-fade of two frames is the cross-fade of their transforms, so a frame's row is
transformed once for all lines about it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.anatomy.series.patient import Patient
from mrsim.errors import ProtocolError
from mrsim.kernels.grid import Grid
from mrsim.reception.coil_fit import FittedCoils
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.scene import Source
from mrsim.stream import Header

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

OUTLINE_POINTS = 180
FRAMES_KEPT = 4
"""Frames whose transforms are kept: lines come in the order of time, and memory does not grow with it."""


class _Transform:
    """Transform images on the cine's pixels to the rows and columns of a scan."""

    def __init__(self, patient: Patient, header: Header) -> None:
        rows, columns = patient.playback.images.shape[1:]
        height, width = patient.playback.pixel_m
        self.x, self.y = Grid((rows, columns), (rows * height, columns * width)).pixels()
        scan = Grid(header.matrix, header.fov_m)
        kx, ky = scan.k()
        # Beyond its own band the cine says nothing.
        down = np.where(np.abs(ky) <= 0.5 / height * (1 + 1e-9), np.exp(-2j * np.pi * ky * self.y.T), 0)
        along = np.where(np.abs(kx) <= 0.5 / width * (1 + 1e-9), np.exp(-2j * np.pi * kx * self.x.T), 0)
        self.down, self.along = down * (height * width * scan.scale), along

    def row(self, number: int, image: NDArray[Any]) -> Complex:
        """Return one row, shape (..., nx), of images, shape (..., rows, columns)."""
        # einsum, not BLAS: its sums do not depend on threads or on company.
        hybrid = np.einsum("y,...yx->...x", self.down[number], image)
        return np.asarray(np.einsum("...x,xk->...k", hybrid, self.along), np.complex128)


class _UniformLines:
    """Render lines for one coil of uniform sensitivity."""

    def __init__(self, patient: Patient, transform: _Transform, header: Header) -> None:
        self._played, self._transform, self._header = patient.playback, transform, header
        self._kept: OrderedDict[int, tuple[NDArray[np.complex64], NDArray[np.bool_]]] = OrderedDict()

    def lines(self, ky: NDArray[np.int32], t_ns: NDArray[np.int64]) -> Complex:
        """Return lines, shape (lines, 1, nx), complex128; parameters as for `Source.lines`."""
        frame, part = self._played.between(np.asarray(t_ns, np.int64))
        number = np.asarray(ky, np.int64) + self._header.matrix[0] // 2
        before, after = np.empty((2, len(number), self._header.matrix[1]), np.complex64)
        for f in np.unique(np.concatenate([frame, frame + 1])).tolist():
            for out, wanted in ((before, frame == f), (after, frame + 1 == f)):
                out[wanted] = self._of(f, number[wanted])
        mixed = (1 - part)[:, None] * before + part[:, None] * after
        return np.asarray(mixed[:, None, :], np.complex128)

    def _of(self, frame: int, numbers: NDArray[np.int64]) -> NDArray[np.complex64]:
        """Return rows of one frame, shape (n, nx)."""
        if frame not in self._kept:
            shape = self._header.matrix
            self._kept[frame] = np.zeros(shape, np.complex64), np.zeros(shape[0], np.bool_)
            if len(self._kept) > FRAMES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(frame)
        rows, done = self._kept[frame]
        for n in np.unique(numbers[~done[numbers]]).tolist():
            rows[n] = self._transform.row(n, self._played.images[frame])
            done[n] = True
        return rows[numbers]


class _CoilLines:
    """Render lines for several coils."""

    def __init__(self, patient: Patient, transform: _Transform, header: Header, fitted: FittedCoils) -> None:
        self._played, self._transform, self._header = patient.playback, transform, header
        self._seen = fitted.sensitivity(transform.x, transform.y)

    def lines(self, ky: NDArray[np.int32], t_ns: NDArray[np.int64]) -> Complex:
        """Return lines, shape (lines, coils, nx), complex128; parameters as for `Source.lines`."""
        ny, nx = self._header.matrix
        out = np.empty((len(ky), len(self._seen), nx), np.complex128)
        for n, (row, t) in enumerate(zip(ky.tolist(), t_ns.tolist(), strict=True)):
            out[n] = self._transform.row(row + ny // 2, self._seen * self._played.image(t))
        return out


class SeriesScene:
    """Compute what a scan of a cine would see, for as long as was recorded.

    Parameters
    ----------
    patient
        What is scanned.
    header
        The protocol.
    """

    def __init__(self, patient: Patient, header: Header) -> None:
        self._patient, self._header = patient, header
        self._transform = _Transform(patient, header)
        self.uniform: Source = _UniformLines(patient, self._transform, header)

    @property
    def target_signal(self) -> float:
        """Return the mean magnitude of the target in the first frame, or of its brighter half."""
        played = self._patient.playback
        first = np.abs(played.images[0])
        kept = played.labels[0] if len(played.labels) else first > np.median(first)
        return float(first[kept].mean()) if kept.any() else 0.0

    def check(self, stop_ns: int) -> None:
        """Raise a `ProtocolError` if the scan is longer than what was recorded."""
        most = self._patient.playback.stop_ns
        if stop_ns > most:
            raise ProtocolError(
                f"{self._patient.name}: the scan takes {stop_ns * 1e-9:.2f} s, and {most * 1e-9:.2f} s were "
                "recorded; make it shorter, or scan its twin (form = twin)"
            )

    def source(self, protocol: ScanProtocol, fitted: FittedCoils | None) -> Source:
        """Return what renders lines for some coils; a cine is made of pixels already."""
        if protocol.rendering != "exact":
            raise ProtocolError("rendering = 'raster': a cine is made of pixels already; leave it out")
        if fitted is None:
            return self.uniform
        return _CoilLines(self._patient, self._transform, self._header, fitted)

    def instant(self, ky: NDArray[np.int32], t_ns: int) -> Complex:
        """Return lines of one instant for a uniform coil, shape (lines, nx), complex128."""
        return self.uniform.lines(ky, np.full(len(ky), t_ns, np.int64))[:, 0]

    def displacement(self, t_ns: ArrayLike) -> Array:
        """Return how far the target is from where it was in the first frame, shape (n, 1, 2), metres."""
        path = self.centroid(self._patient.target, np.atleast_1d(np.asarray(t_ns, np.int64)))
        moved = path - np.array(self._patient.target_center_m)
        return np.asarray(moved[:, None, :], np.float64)

    def centroid(self, region: str, t_ns: ArrayLike) -> Array:
        """Return the centroid (x, y) of the target, shape (n, 2), or (2,) for one instant; metres."""
        times = np.atleast_1d(np.asarray(t_ns, np.int64))
        path: Array = self._patient.metres(self._patient.playback.place_px(times))
        return path if np.ndim(t_ns) else np.asarray(path[0], np.float64)

    def mask(self, region: str, t_ns: int) -> NDArray[np.bool_]:
        """Return the pixels whose centre lies in the moved label at an instant, shape (ny, nx), bool."""
        whole = (slice(0, self._header.matrix[0]), slice(0, self._header.matrix[1]))
        (mask,) = self.masks(region, np.array([t_ns], np.int64), whole)
        return np.asarray(mask, np.bool_)

    def masks(self, region: str, t_ns: NDArray[np.int64], window: tuple[slice, slice]) -> NDArray[np.bool_]:
        """Return the same in a window at many instants, shape (n, rows, columns), bool."""
        x, y = Grid(self._header.matrix, self._header.fov_m).pixels()
        xs, ys = x[0][window[1]], y[:, 0][window[0]]
        out = np.zeros((len(t_ns), len(ys), len(xs)), np.bool_)
        played = self._patient.playback
        if not len(played.labels):
            return out
        sides, (height, width) = played.images.shape[1:], played.pixel_m
        place = played.place_px(np.asarray(t_ns, np.int64))
        frame, part = played.between(np.asarray(t_ns, np.int64))
        nearest = np.where(part < 0.5, frame, frame + 1)
        for n, at in enumerate(place):
            f = int(nearest[n])
            label = played.labels[f if len(played.labels) > 1 else 0]
            start = played.path_px[f if len(played.labels) > 1 else 0]
            rows = ys / height + sides[0] // 2 - (at[0] - start[0])
            columns = xs / width + sides[1] // 2 - (at[1] - start[1])
            i, j = np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64)
            inside = ((i >= 0) & (i < sides[0]))[:, None] & ((j >= 0) & (j < sides[1]))
            out[n] = inside & label[np.clip(i, 0, sides[0] - 1)][:, np.clip(j, 0, sides[1] - 1)]
        return out

    def contour(self, region: str, t_ns: int, points: int = OUTLINE_POINTS) -> Array:
        """Return points on the outline of the moved label, in order of their angle, shape (n, 2), metres."""
        played = self._patient.playback
        if not len(played.labels):
            return np.empty((0, 2))
        (frame,), (part,) = played.between(np.array([t_ns], np.int64))
        number = int(frame + (part >= 0.5)) if len(played.labels) > 1 else 0
        label = played.labels[number]
        inner = (
            label
            & np.roll(label, 1, 0)
            & np.roll(label, -1, 0)
            & np.roll(label, 1, 1)
            & np.roll(label, -1, 1)
        )
        edge = np.argwhere(label & ~inner) - played.path_px[number]
        edge = edge[np.argsort(np.arctan2(edge[:, 0], edge[:, 1]))]
        edge = edge[:: max(1, math.ceil(len(edge) / points))]
        return self._patient.metres(edge + played.place_px(np.array([t_ns], np.int64)))
