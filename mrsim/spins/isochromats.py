"""The Bloch engine: every spin with its own relaxation, off-resonance and path, one pass over them per TR.

Pulses are instantaneous and turn the spins about x by the flip angle; the alternation of their phase is
half a turn of the frame per TR. In between spins precess at their chemical shift and the field at the place
where they are. A line is read at the spins' true positions at its echo, with the phase that they have
there (precession during the readout is not modelled):

    S(kx, ky) = sum over s of w_s m_s exp(-2 pi i (kx x_s + ky y_s)).

The sum is exact, and affordable because a region is shifted and stretched along x and y alone: spins of a
region that share x at rest share it for ever. Such a column is first summed over y, one phase for every
spin; then a line costs one recurrence along kx for every column.

State is carried from line to line. A run starts at its first TR, and later lines cannot be had without the
earlier ones; how a run is cut into calls changes no bit, and neither does the number of threads, for blocks
of columns are fixed and are added in their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import ProtocolError
from mrsim.kernels.grid import Grid
from mrsim.spins.bloch_kernels import run_lines

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Indices = NDArray[np.int64]
TWO_PI = 2 * math.pi

MAX_SPINS = 1 << 24
MAX_DUMMIES = 100_000
FIELD_TERMS = 6  # 1, x, y, x^2, x y, y^2
_BLOCK_SPINS = 2048  # their state stays in a core's cache while some lines are read
_BATCH_LINES = 64
_BATCH_DUMMIES = 4096


@dataclass(frozen=True)
class Spins:
    """Hold spins at rest.

    Parameters
    ----------
    x, y
        Position, shape (spins,), float64, metres.
    region
        Number of the region whose motion each one follows, shape (spins,), integers.
    weight
        Signal of unit transverse magnetization, shape (spins,): proton density times area; negative for spins
        that take away what a moving region covers.
    t1_s, t2_s
        Relaxation times, shape (spins,), seconds.
    shift_hz
        Off-resonance that goes with the spin, shape (spins,), hertz: chemical shift, and T2' spread.
    centers
        Point (x, y) about which each region is stretched, shape (regions, 2), metres.

    Raises
    ------
    ProtocolError
        If shapes differ, a value is not finite, or a relaxation time is not positive.
    """

    x: Array
    y: Array
    region: Indices
    weight: Array
    t1_s: Array
    t2_s: Array
    shift_hz: Array
    centers: Array

    def __post_init__(self) -> None:
        if not 1 <= len(self.x) <= MAX_SPINS:
            raise ProtocolError(f"spins: {len(self.x)} of them: expected 1 to {MAX_SPINS}")
        for name in ("x", "y", "weight", "t1_s", "t2_s", "shift_hz"):
            values = getattr(self, name)
            if values.shape != self.x.shape or not np.isfinite(values).all():
                raise ProtocolError(f"spins: {name}: expected {len(self.x)} finite numbers")
        if min(self.t1_s.min(), self.t2_s.min()) <= 0:
            raise ProtocolError("spins: t1_s, t2_s: expected positive times")
        if self.centers.ndim != 2 or self.centers.shape[1] != 2:
            raise ProtocolError(f"spins: centers: {self.centers.shape}: expected (regions, 2)")
        if self.region.shape != self.x.shape or not (
            0 <= self.region.min() <= self.region.max() < len(self.centers)
        ):
            raise ProtocolError(f"spins: region: expected {len(self.x)} numbers below {len(self.centers)}")

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class BlochSequence:
    """Set the pulses of a balanced SSFP run.

    Parameters
    ----------
    tr_ns, te_ns
        Repetition and echo time, nanoseconds.
    flip_rad
        Flip angle, radians.
    half_flip
        Whether a pulse of half the flip angle and opposite phase comes TR / 2 before the first one.
    dummies
        TRs that run before the first line is read.

    Raises
    ------
    ProtocolError
        If a value is out of range.
    """

    tr_ns: int
    te_ns: int
    flip_rad: float
    half_flip: bool = True
    dummies: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.te_ns < self.tr_ns and 0 < self.flip_rad <= math.pi):
            raise ProtocolError(
                f"sequence: TE {self.te_ns} ns, TR {self.tr_ns} ns, flip {self.flip_rad} rad: expected "
                "0 <= TE < TR and a flip in (0, pi]"
            )
        if not 0 <= self.dummies <= MAX_DUMMIES:
            raise ProtocolError(f"sequence: dummies = {self.dummies!r}: expected 0 to {MAX_DUMMIES}")


class Isochromats:
    """Run a sequence on spins, and read its lines in turn.

    Parameters
    ----------
    spins
        The spins at rest, in thermal equilibrium.
    sequence
        The pulses.
    grid
        The k-space grid of the scan.
    """

    def __init__(self, spins: Spins, sequence: BlochSequence, grid: Grid) -> None:
        self.sequence, self.grid, self.regions = sequence, grid, len(spins.centers)
        # Regions of one column follow each other, so that those that stand at one x are transformed as one.
        self._order = np.lexsort((spins.y, spins.region, spins.x))
        x, y, region, weight, t1, t2, shift = (
            getattr(spins, name)[self._order]
            for name in ("x", "y", "region", "weight", "t1_s", "t2_s", "shift_hz")
        )
        first = np.flatnonzero(np.r_[True, (np.diff(x) != 0) | (np.diff(region) != 0)])
        self._columns = np.r_[first, len(x)].astype(np.int64)
        self._column_x, self._column_region = x[first], region[first].astype(np.int64)
        self._blocks = _blocks(self._columns)
        self._centers = np.ascontiguousarray(spins.centers, np.float64)
        self._t1, self._t2 = t1, t2
        tr, te = sequence.tr_ns * 1e-9, sequence.te_ns * 1e-9
        # The alternation of the pulses' phase is half a turn per TR: the sign of the decay.
        to_echo, to_pulse = np.exp(-te / t2), -np.exp(-tr / t2)
        self._spins = np.stack([y, weight, np.exp(-tr / t1), to_echo, to_pulse, shift])
        turn_te, turn_tr = (np.exp(1j * TWO_PI * shift * t) for t in (te, tr))
        self._turns = np.stack(
            [to_echo * turn_te.real, to_echo * turn_te.imag, to_pulse * turn_tr.real, to_pulse * turn_tr.imag]
        )
        self._pulses = np.array([math.cos(sequence.flip_rad), math.sin(sequence.flip_rad), te, tr])
        self.reset()

    def reset(self) -> None:
        """Go back to thermal equilibrium, before the first TR."""
        self._m = np.zeros((3, self._spins.shape[1]))
        self._m[2] = 1.0
        self._prepared = False

    @property
    def magnetization(self) -> Array:
        """Return (Mx, My, Mz) of every spin right before the next pulse, shape (3, spins), relative to M0.

        The pulse turns Mz towards -My, and the frame is the one in which all pulses are alike.
        """
        out = np.empty_like(self._m)
        out[:, self._order] = self._m
        return out

    def line(self, ky: int, displacement: Array) -> Complex:
        """Read one line, shape (nx,); `displacement` has the shape (regions, 2). See `lines`."""
        lines = self.lines(np.array([ky]), np.asarray(displacement)[None])
        return np.asarray(lines[0], np.complex128)

    def lines(
        self,
        ky: NDArray[np.integer],
        displacement: Array,
        stretch: Array | None = None,
        field_hz: Array | None = None,
    ) -> Complex:
        """Read the next lines, one per TR.

        Parameters
        ----------
        ky
            Row of each line, centred, shape (lines,).
        displacement
            Displacement (x, y) of every region at each line's echo, shape (lines, regions, 2), metres; the
            spins are taken to stand there for the TR.
        stretch
            How much every region is stretched about its centre along (x, y), shape (lines, regions, 2);
            density stays, so that its signal grows with its area. None for not at all.
        field_hz
            Off-resonance of the place, in each line's TR, as a polynomial in (1, x, y, x^2, xy, y^2) with x
            and y in metres, shape (lines, 6), hertz. None for none.

        Returns
        -------
        lines
            Shape (lines, nx), complex128; complex as `mrsim.physics.steady_state.bssfp` has it.

        Raises
        ------
        ProtocolError
            If a shape does not fit.
        """
        rows = np.ascontiguousarray(ky, np.int64)
        shape = (len(rows), self.regions, 2)
        shift = np.ascontiguousarray(displacement, np.float64)
        scale = np.ones(shape) if stretch is None else np.ascontiguousarray(stretch, np.float64)
        field = np.empty((0, 0)) if field_hz is None else np.ascontiguousarray(field_hz, np.float64)
        if shift.shape != shape or scale.shape != shape:
            raise ProtocolError(
                f"isochromats: displacement {shift.shape}, stretch {scale.shape}: expected {shape}"
            )
        if field_hz is not None and field.shape != (len(rows), FIELD_TERMS):
            raise ProtocolError(f"isochromats: field_hz {field.shape}: expected {(len(rows), FIELD_TERMS)}")
        out = np.zeros((len(rows), self.grid.matrix[1]), np.complex128)
        if len(rows) and not self._prepared:
            self._prepare(shift[:1], scale[:1], field[:1])
        for start in range(0, len(rows), _BATCH_LINES):
            part = slice(start, start + _BATCH_LINES)
            self._run(rows[part], shift[part], scale[part], field[part], True, out[part])
        return out

    def _prepare(self, shift: Array, scale: Array, field: Array) -> None:
        """Run what comes before the first line, with everything where it is on that line."""
        self._prepared = True
        sequence = self.sequence
        if sequence.half_flip:
            half_s = sequence.tr_ns * 0.5e-9
            after = 1j * math.sin(sequence.flip_rad / 2)
            frequency = self._spins[5] + self._field_at(shift[0], scale[0], field)
            transverse = after * np.exp(-half_s / self._t2 + 1j * TWO_PI * frequency * half_s)
            self._m[0], self._m[1] = transverse.real, transverse.imag
            self._m[2] = 1 + (math.cos(sequence.flip_rad / 2) - 1) * np.exp(-half_s / self._t1)
        nothing = np.empty((_BATCH_DUMMIES, 0), np.complex128)
        for start in range(0, sequence.dummies, _BATCH_DUMMIES):
            count = min(_BATCH_DUMMIES, sequence.dummies - start)
            still = [np.repeat(a, count, axis=0) for a in (shift, scale, field)]
            self._run(np.zeros(count, np.int64), still[0], still[1], still[2], False, nothing)

    def _field_at(self, shift: Array, scale: Array, field: Array) -> Array:
        if not len(field):
            return np.zeros(self._spins.shape[1])
        region = np.repeat(self._column_region, np.diff(self._columns))
        rest = np.stack([np.repeat(self._column_x, np.diff(self._columns)), self._spins[0]], axis=1)
        center = self._centers[region]
        x, y = (center + shift[region] + scale[region] * (rest - center)).T
        return np.asarray(
            np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1) @ field[0], np.float64
        )

    def _run(self, ky: Indices, shift: Array, scale: Array, field: Array, read: bool, out: Complex) -> None:
        dky, dkx = self.grid.step
        first = -(self.grid.matrix[1] // 2) * dkx
        run_lines(
            ky * dky,
            np.array([first, dkx]),
            shift,
            scale,
            field,
            self._centers,
            self._blocks,
            self._columns,
            self._column_x,
            self._column_region,
            self._spins,
            self._turns,
            self._pulses,
            read,
            self._m,
            out,
        )


def _blocks(columns: Indices) -> Indices:
    """Cut the columns into blocks of about so many spins; return the first column of each, and the end."""
    starts, begin = [0], 0
    for column in range(1, len(columns) - 1):
        if columns[column] - columns[begin] >= _BLOCK_SPINS:
            starts.append(column)
            begin = column
    return np.array([*starts, len(columns) - 1], np.int64)
