"""Sequences as Pulseq files: the scan's bSSFP and its order of rows, for a scanner or another simulator.

A TR has four blocks: the slice-selective pulse, the prephasers, the readout and the rewinders. All three
axes are balanced, the pulse's phase alternates and the receiver's with it. TE is from the middle of the pulse
to the sample at k = 0, the one at nx // 2. A file keeps six digits of an amplitude, so ramps are chosen such
that six digits hold what is meant.

A gradient and an off-resonance turn the spins in one sense in a scanner. In a stream they turn in opposite
ones: exp(-2 pi i k.r) and exp(+2 pi i f t). So the gradients of a file run through -k, and what is received
is the complex conjugate of the stream's lines, fat included.

Layton et al. 2017, 10.1002/mrm.26235.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.argument_types import checked
from mrsim.errors import FormatError, MissingExtraError
from mrsim.files.targets import check_target
from mrsim.files.writing import whole_file
from mrsim.physics.slices import Slice
from mrsim.physics.tissue import GYROMAGNETIC_HZ_PER_T
from mrsim.stream import Header
from mrsim.stream.header import ky_range

MAX_LINES = 1 << 16
TICK_NS = 10_000  # raster of gradients and blocks
MAX_GRADIENT = 0.040 * GYROMAGNETIC_HZ_PER_T  # 40 mT/m, in Hz/m
MAX_SLEW = 150.0 * GYROMAGNETIC_HZ_PER_T  # 150 T/m/s, in Hz/m/s
_TICK = TICK_NS * 1e-9
_PULSE, _RAMP = 40, 10  # ticks: the pulse lasts 0.4 ms, its gradient and the readout's rise in 0.1 ms
_MAX_PULSE = 400  # ticks: a slice so thin that its gradient would be too strong takes a longer pulse
_RF_DEAD_S, _RF_RING_S, _ADC_DEAD_S = 100e-6, 30e-6, 10e-6
_TOLERANCE = 5e-7  # of the largest |k|: what six digits may cost a readout


@dataclass(frozen=True)
class _Lobe:
    """Hold a trapezoid: amplitude in Hz/m, times in ticks."""

    amplitude: float
    rise: int
    flat: int

    @property
    def area(self) -> float:
        return self.amplitude * (self.rise + self.flat) * _TICK


@dataclass(frozen=True)
class _Plan:
    """Hold the timing of a TR: blocks in ticks, the readout's dwell in nanoseconds."""

    before: int
    readout: _Lobe
    after: int
    dwell_ns: int
    adc_delay_ns: int
    select: _Lobe
    prephase_x: _Lobe
    rewind_x: _Lobe


@checked
def write_seq(
    header: Header,
    ky: NDArray[np.integer[Any]],
    path: str | Path,
    *,
    slice_m: float = 0.02,
    time_bandwidth: float = Slice.time_bandwidth,
    slice_z_m: float = 0.0,
    half_flip: bool = True,
    dummies: int = 0,
) -> Path:
    """Write a scan's sequence as a .seq file.

    Its k-space is the negative of the scan's, so that what is received is the complex conjugate of its lines.
    It is so to 1e-6 of the largest `|k|` where six digits allow it, else to 5e-6; fields of view whose steps
    are round numbers are exact. The pulse is a sinc under a Hann window, as a `Slice` of that profile has it.

    Parameters
    ----------
    header
        The protocol.
    ky
        Rows in the order in which they are read, centred, shape (lines,): `Stream.ky`, or part of it.
    path
        File to write; it ends in .seq. It appears when it is whole.
    slice_m, time_bandwidth, slice_z_m
        Thickness of the slice, metres; time-bandwidth product of its pulse; height of its middle, metres.
    half_flip
        Whether a pulse of half the flip angle and opposite phase comes TR / 2 before the first one.
    dummies
        TRs at ky = 0 that run before the first line, without a readout.

    Returns
    -------
    path
        The file.

    Raises
    ------
    FormatError
        If the timing is not on the raster or cannot be held within 40 mT/m and 150 T/m/s, or a row is
        outside of the matrix.
    MissingExtraError
        If pypulseq is not installed.
    """
    rows, target = np.asarray(ky, np.int64), Path(path)
    excited = Slice(slice_m, "sinc", slice_z_m, time_bandwidth)
    _check(header, rows, target, dummies)
    plan = _plan(header, excited)
    pypulseq = _pypulseq()
    sequence = _Writer(pypulseq, header, plan, excited).build(rows, half_flip, dummies)
    with whole_file(target, keep_suffix=True) as partial:
        sequence.write(str(partial))
    return target


def check_seq(
    header: Header,
    path: str | Path,
    *,
    slice_m: float = 0.02,
    time_bandwidth: float = Slice.time_bandwidth,
    slice_z_m: float = 0.0,
    dummies: int = 0,
) -> None:
    """Refuse a sequence that cannot be written, before the scan and not after it.

    Parameters
    ----------
    header
        The protocol.
    path
        File to write.
    slice_m, time_bandwidth, slice_z_m, dummies
        As for `write_seq`.

    Raises
    ------
    FormatError
        As for `write_seq`, but for rows.
    MissingExtraError
        If pypulseq is not installed.
    """
    excited = Slice(slice_m, "sinc", slice_z_m, time_bandwidth)
    _check(header, np.zeros(1, np.int64), Path(path), dummies)
    _plan(header, excited)
    _pypulseq()


def _pypulseq() -> Any:
    try:
        return importlib.import_module("pypulseq")
    except ImportError:
        raise MissingExtraError("pypulseq", "pulseq", "writing .seq files") from None


def _check(header: Header, rows: NDArray[np.int64], target: Path, dummies: int) -> None:
    low, high = ky_range(header.matrix[0])
    check_target(target, ".seq")
    if not (rows.ndim == 1 and 1 <= len(rows) <= MAX_LINES and 0 <= dummies <= MAX_LINES):
        raise FormatError(f"{target}: {rows.shape} lines after {dummies} dummies: expected 1 to {MAX_LINES}")
    if rows.min() < low or rows.max() > high:
        line = int(np.flatnonzero((rows < low) | (rows > high))[0])
        raise FormatError(f"{target}: k-space line {line}: ky = {int(rows[line])} is outside {low} to {high}")
    if header.matrix[1] % 4:
        raise FormatError(f"{target}: {header.matrix[1]} samples a line: receivers want a multiple of 4")
    for key, time_ns in (("tr_ns", header.tr_ns), ("te_ns", header.te_ns)):
        if time_ns % TICK_NS:
            raise FormatError(f"{target}: {key} = {time_ns}: expected a multiple of {TICK_NS} ns")


def _selection(excited: Slice) -> _Lobe:
    """Return the gradient of the pulse that takes the least time, ramps included."""
    lobes = []
    for pulse in range(_PULSE, _MAX_PULSE + 1, 2):
        amplitude = _six(excited.time_bandwidth / (pulse * _TICK * excited.thickness_m))
        rise = max(_RAMP, math.ceil(amplitude / MAX_SLEW / _TICK))
        if amplitude <= MAX_GRADIENT:
            lobes.append(_Lobe(amplitude, rise, pulse))
    if not lobes:
        raise FormatError(
            f"slice of {excited.thickness_m} m at a time-bandwidth product of {excited.time_bandwidth:g}: no "
            f"pulse of up to {_MAX_PULSE * _TICK * 1e3:g} ms is within 40 mT/m; take a thicker slice"
        )
    return min(lobes, key=lambda lobe: 2 * lobe.rise + lobe.flat)


def _plan(header: Header, excited: Slice) -> _Plan:
    """Find the longest readout, which has the least noise, that the gradients can drive and six digits hold.

    If six digits hold none of them, it is the one that they hold best: 1e-6 to 5e-6 of the largest |k|.
    """
    best: tuple[float, _Plan] | None = None
    ny, nx = header.matrix
    dky, dkx = 1 / header.fov_m[0], 1 / header.fov_m[1]
    most = max(nx // 2 * dkx, ny // 2 * dky)
    tr, te = header.tr_ns // TICK_NS, header.te_ns // TICK_NS
    select = _selection(excited)
    half = select.flat // 2 + select.rise
    for dwell_ns in range(100_000, 0, -2_000):  # so that the readout starts on a microsecond
        ahead_ns = nx // 2 * dwell_ns + dwell_ns // 2  # from the readout's start to its echo
        echo = _RAMP + math.ceil(ahead_ns / TICK_NS)
        flat = math.ceil((echo * TICK_NS - ahead_ns + nx * dwell_ns) / TICK_NS) - _RAMP
        before, after = te - half - echo, tr - te - half - (flat + 2 * _RAMP - echo)
        gradient = -dkx / (dwell_ns * 1e-9)
        readout = _Lobe(_six(gradient), _RAMP, flat)
        prephase = _lobe(-readout.amplitude * (echo - _RAMP / 2) * _TICK, before)
        if prephase is None or not _drivable(readout.amplitude, _RAMP):
            continue
        rewind = _lobe(-readout.area - prephase.area, after)
        edge = ny // 2 * dky
        others = [_lobe(area, ticks) for area in (edge, -select.area / 2) for ticks in (before, after)]
        error = abs(readout.amplitude / gradient - 1) * (nx // 2) * dkx
        error += abs(prephase.area + readout.amplitude * (echo - _RAMP / 2) * _TICK)
        if rewind is None or None in others:
            continue
        delay_ns = echo * TICK_NS - ahead_ns
        plan = _Plan(before, readout, after, dwell_ns, delay_ns, select, prephase, rewind)
        if error < _TOLERANCE * most:
            return plan
        if best is None or error < best[0]:
            best = (error, plan)
    if best is not None:
        return best[1]
    raise FormatError(
        f"TR {header.tr_ns} ns, TE {header.te_ns} ns, matrix {header.matrix}, FOV {header.fov_m} m, slice "
        f"{excited.thickness_m} m: no timing holds within 40 mT/m and 150 T/m/s; take a longer TR, a larger "
        "pixel or a thicker slice"
    )


def _six(value: float) -> float:
    """Return what the file keeps of an amplitude."""
    return float(f"{value:.6g}")


def _drivable(amplitude: float, rise: int) -> bool:
    return abs(amplitude) <= MAX_GRADIENT and abs(amplitude) <= MAX_SLEW * rise * _TICK


def _lobe(area: float, ticks: int) -> _Lobe | None:
    """Return the trapezoid of so many ticks whose six digits come closest to an area, in 1/m; or None."""
    best: tuple[float, _Lobe] | None = None
    for rise in range(1, (ticks + 1) // 2):
        amplitude = _six(area / ((ticks - rise) * _TICK))
        lobe = _Lobe(amplitude, rise, ticks - 2 * rise)
        error = abs(lobe.area - area)
        if _drivable(amplitude, rise) and (best is None or error < best[0]):
            best = (error, lobe)
    return None if best is None else best[1]


class _Writer:
    """Put the blocks of a plan into a pypulseq sequence."""

    def __init__(self, pypulseq: Any, header: Header, plan: _Plan, excited: Slice) -> None:
        self._pp, self._header, self._plan, self._excited = pypulseq, header, plan, excited
        self._system = pypulseq.Opts(
            max_grad=MAX_GRADIENT,
            max_slew=MAX_SLEW,
            grad_unit="Hz/m",
            slew_unit="Hz/m/s",
            rf_dead_time=_RF_DEAD_S,
            rf_ringdown_time=_RF_RING_S,
            adc_dead_time=_ADC_DEAD_S,
            gamma=GYROMAGNETIC_HZ_PER_T,
            B0=header.field_t,
        )
        self._sequence = pypulseq.Sequence(system=self._system)
        self._select = self._trapezoid("z", plan.select)
        self._read = self._trapezoid("x", plan.readout)
        half = -plan.select.area / 2
        self._around = {}  # gradients before and after the readout, and their length
        for key, ticks, lobe in (
            ("before", plan.before, plan.prephase_x),
            ("after", plan.after, plan.rewind_x),
        ):
            self._around[key] = (
                ticks,
                self._trapezoid("x", lobe),
                self._trapezoid("z", self._lobe(half, ticks)),
            )
        self._phase_encodes: dict[tuple[float, int], Any] = {}

    def build(self, rows: NDArray[np.int64], half_flip: bool, dummies: int) -> Any:
        """Return the sequence."""
        header = self._header
        if half_flip:
            self._sequence.add_block(self._pulse(header.flip_rad / 2, math.pi), self._select)
            gap = header.tr_ns // TICK_NS // 2 - self._plan.select.flat - 2 * self._plan.select.rise
            if (
                header.tr_ns % (2 * TICK_NS)
                or gap < 1
                or (lobe := _lobe(-self._plan.select.area, gap)) is None
            ):
                raise FormatError(
                    f"tr_ns = {header.tr_ns}: half of it is no time for a pulse; set half_flip=False"
                )
            self._sequence.add_block(self._trapezoid("z", lobe))
        for n in range(dummies):
            self._repetition(0, n, read=False)
        for n, row in enumerate(rows.tolist()):
            self._repetition(row, dummies + n, read=True)
        define = self._sequence.set_definition
        define("Name", "bssfp")
        define("FOV", [header.fov_m[1], header.fov_m[0], self._excited.thickness_m])
        define("TR", header.tr_ns * 1e-9)
        define("TE", header.te_ns * 1e-9)
        return self._sequence

    def _repetition(self, row: int, number: int, read: bool) -> None:
        pp, header, plan = self._pp, self._header, self._plan
        phase = math.pi * (number % 2)
        area = -row / header.fov_m[0]
        self._sequence.add_block(self._pulse(header.flip_rad, phase), self._select)
        self._gradients("before", area)
        if read:
            adc = pp.make_adc(
                header.matrix[1],
                dwell=plan.dwell_ns * 1e-9,
                delay=plan.adc_delay_ns * 1e-9,
                phase_offset=phase,
                system=self._system,
            )
            label = pp.make_label("LIN", "SET", row - ky_range(header.matrix[0])[0])
            self._sequence.add_block(self._read, adc, label)
        else:
            self._sequence.add_block(self._read)
        self._gradients("after", -area)

    def _gradients(self, key: str, area: float) -> None:
        ticks, x, z = self._around[key]
        events = [x, z]
        if area:
            if (area, ticks) not in self._phase_encodes:
                self._phase_encodes[area, ticks] = self._trapezoid("y", self._lobe(area, ticks))
            events.append(self._phase_encodes[area, ticks])
        self._sequence.add_block(*events)

    def _pulse(self, flip_rad: float, phase: float) -> Any:
        duration = self._plan.select.flat * _TICK
        offset_hz = self._plan.select.amplitude * self._excited.z_m
        return self._pp.make_sinc_pulse(
            flip_rad,
            duration=duration,
            time_bw_product=self._excited.time_bandwidth,
            apodization=0.5,
            delay=self._plan.select.rise * _TICK,
            freq_offset=offset_hz,
            phase_offset=(phase - math.pi * offset_hz * duration) % (2 * math.pi),  # 0 in its middle
            system=self._system,
            use="excitation",
        )

    def _lobe(self, area: float, ticks: int) -> _Lobe:
        lobe = _lobe(area, ticks)
        if lobe is None:
            raise FormatError(f"gradients: {area:.1f}/m in {ticks * 10} us: above 40 mT/m or 150 T/m/s")
        return lobe

    def _trapezoid(self, channel: str, lobe: _Lobe) -> Any:
        return self._pp.make_trapezoid(
            channel,
            amplitude=lobe.amplitude,
            rise_time=lobe.rise * _TICK,
            flat_time=lobe.flat * _TICK,
            fall_time=lobe.rise * _TICK,
            system=self._system,
        )
