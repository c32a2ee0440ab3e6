"""One readout as an MRD acquisition, and back: counters, flags and times.

The head is written in the package's own structured type, many lines at a time; one acquisition is the case
of one line. What the counters cannot hold rides in `user_int`: the echo time in nanoseconds (0, its low half,
and 1, its high half) and the frame (2), which `repetition` holds modulo 65,536. A reader may rely on them
only where the header says that mrsim wrote it (`Encoding.exact`).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.errors import FormatError
from mrsim.formats import require_ismrmrd
from mrsim.formats.mrd_header import Encoding
from mrsim.formats.oversampling import Oversampling, crop_oversampling, oversample
from mrsim.stream import Header, Readout
from mrsim.stream.header import MAX_COILS, MAX_MATRIX, ky_range

TICK_NS = 2_500_000  # of `acquisition_time_stamp`: the unit is the vendor's, and 2.5 ms the habit
REPETITIONS = 1 << 16  # where the counter wraps
_PURPOSE = "MRD acquisitions"
_HALF = 1 << 32


class Flag(enum.IntFlag):
    """Name the bits that are written or looked at; the standard counts them from 1."""

    FIRST_IN_SLICE = 1 << 6
    LAST_IN_SLICE = 1 << 7
    FIRST_IN_REPETITION = 1 << 12
    LAST_IN_REPETITION = 1 << 13
    NOISE = 1 << 18
    CALIBRATION = 1 << 19
    CALIBRATION_AND_IMAGING = 1 << 20
    REVERSE = 1 << 21
    NAVIGATION = 1 << 22
    PHASE_CORRECTION = 1 << 23
    LAST_IN_MEASUREMENT = 1 << 24
    HP_FEEDBACK = 1 << 25
    DUMMY = 1 << 26
    REAL_TIME = 1 << 27
    SURFACE_COIL = 1 << 28
    STABILIZATION_REFERENCE = 1 << 29
    STABILIZATION = 1 << 30


# Readouts that are no lines of an image, whatever else they are.
NOT_IMAGING = (
    Flag.NOISE
    | Flag.NAVIGATION
    | Flag.PHASE_CORRECTION
    | Flag.HP_FEEDBACK
    | Flag.DUMMY
    | Flag.SURFACE_COIL
    | Flag.STABILIZATION_REFERENCE
    | Flag.STABILIZATION
)


def imaging(flags: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which readouts are lines of an image.

    A readout for calibration is one where it is flagged for calibration and imaging, too. Those for real-time
    feedback are beside the image where there are others; where all are flagged so, they are the image.

    Parameters
    ----------
    flags
        Of each readout, shape (readouts,), uint64.
    """
    taken: NDArray[np.bool_] = (flags & np.uint64(NOT_IMAGING)) == 0
    taken &= (flags & np.uint64(Flag.CALIBRATION | Flag.CALIBRATION_AND_IMAGING)) != np.uint64(
        Flag.CALIBRATION
    )
    plain = taken & ((flags & np.uint64(Flag.REAL_TIME)) == 0)
    return plain if plain.any() else taken


@dataclass(frozen=True, slots=True)
class Marks:
    """Choose which flags are set.

    Parameters
    ----------
    slices
        First and last line of a frame, as in slice; servers in the field start a frame at the last.
    repetitions
        The same, as in repetition.
    lines
        Lines of the whole scan, the last of which ends the measurement; None where that is not known.
    real_time
        Mark every line as real-time feedback.
    """

    slices: bool = True
    repetitions: bool = True
    lines: int | None = None
    real_time: bool = False

    def of(self, index: NDArray[np.int64], lines_per_frame: int) -> NDArray[np.uint64]:
        """Return the flags of lines, shape as `index`, uint64."""
        within = index % lines_per_frame
        flags = np.zeros(index.shape, np.uint64)
        if self.slices:
            flags |= np.where(within == 0, np.uint64(Flag.FIRST_IN_SLICE), np.uint64(0))
            flags |= np.where(within == lines_per_frame - 1, np.uint64(Flag.LAST_IN_SLICE), np.uint64(0))
        if self.repetitions:
            flags |= np.where(within == 0, np.uint64(Flag.FIRST_IN_REPETITION), np.uint64(0))
            last = within == lines_per_frame - 1
            flags |= np.where(last, np.uint64(Flag.LAST_IN_REPETITION), np.uint64(0))
        if self.lines is not None:
            last = index == self.lines - 1
            flags |= np.where(last, np.uint64(Flag.LAST_IN_MEASUREMENT), np.uint64(0))
        if self.real_time:
            flags |= np.uint64(Flag.REAL_TIME)
        return flags


@dataclass(frozen=True, slots=True)
class Lines:
    """Hold what the heads of readouts say of their lines, in columns.

    Parameters
    ----------
    index
        Number of each line, as its writer counted, int64.
    frame
        Frame of each, int64.
    ky
        Row of each in the centred k-space, int64.
    t_ns
        Echo time of each, int64, nanoseconds.
    """

    index: NDArray[np.int64]
    frame: NDArray[np.int64]
    ky: NDArray[np.int64]
    t_ns: NDArray[np.int64]


def make_heads(
    header: Header,
    index: ArrayLike,
    frame: ArrayLike,
    ky: ArrayLike,
    t_ns: ArrayLike,
    oversampling: Oversampling = Oversampling.NONE,
    marks: Marks | None = None,
) -> NDArray[Any]:
    """Write the heads of lines.

    Parameters
    ----------
    header
        The protocol.
    index, frame, ky, t_ns
        As in `Readout`, shape (lines,) each.
    oversampling
        Convention of readout oversampling.
    marks
        Flags to set; all boundaries by default.

    Returns
    -------
    heads
        Shape (lines,), the structured type of `ismrmrd.hdf5`.

    Raises
    ------
    MissingExtraError
        If `ismrmrd` is not installed.
    """
    lines = np.atleast_1d(np.asarray(index, np.int64))
    samples = header.matrix[1] * oversampling.factor
    heads = np.zeros(lines.shape, require_ismrmrd(_PURPOSE).hdf5.acquisition_header_dtype)
    heads["version"] = 1
    heads["flags"] = (marks or Marks()).of(lines, header.lines_per_frame)
    heads["scan_counter"] = lines % _HALF
    heads["number_of_samples"] = samples
    heads["available_channels"] = heads["active_channels"] = header.coils
    heads["channel_mask"] = _channel_mask(header.coils)
    heads["center_sample"] = samples // 2
    # The dwell is not kept; a readout takes half of TR or so.
    heads["sample_time_us"] = header.tr_ns / 2e3 / samples
    heads["read_dir"], heads["phase_dir"], heads["slice_dir"] = np.eye(3, dtype=np.float32)
    frames, times = np.asarray(frame, np.int64), np.asarray(t_ns, np.int64)
    heads["acquisition_time_stamp"] = times // TICK_NS % _HALF
    heads["idx"]["kspace_encode_step_1"] = np.asarray(ky, np.int64) - ky_range(header.matrix[0])[0]
    heads["idx"]["repetition"] = frames % REPETITIONS
    heads["user_int"][:, 0] = (times % _HALF).astype(np.uint32).view(np.int32)
    heads["user_int"][:, 1] = times // _HALF
    heads["user_int"][:, 2] = frames
    return heads


def prescan_heads(header: Header, first: int) -> NDArray[Any]:
    """Write the heads of a prescan's rows.

    Parameters
    ----------
    header
        The protocol, with a prescan.
    first
        Counter of the first of them.
    """
    assert header.prescan is not None
    _, rows, columns = header.prescan.shape
    number = np.arange(rows)
    heads = make_heads(header, number, 0 * number, number - rows // 2, 0 * number, marks=Marks(False, False))
    heads["flags"] = np.uint64(Flag.CALIBRATION)
    heads["scan_counter"] = first + number
    heads["number_of_samples"], heads["center_sample"] = columns, columns // 2
    return heads


def _channel_mask(coils: int) -> NDArray[np.uint64]:
    bits = np.arange(1024) < coils
    return np.packbits(bits, bitorder="little").view("<u8")


def read_heads(heads: NDArray[Any], encoding: Encoding, tr_ns: int, te_ns: int) -> Lines:
    """Read the heads of a scan's lines, in the order that they were acquired in.

    Parameters
    ----------
    heads
        Shape (lines,), the structured type of `ismrmrd.hdf5`; imaging readouts only.
    encoding
        What the header says.
    tr_ns, te_ns
        Repetition and echo time, nanoseconds, for the times of a file that has none in nanoseconds: its time
        stamps are too coarse for a TR of a few milliseconds, and give the order alone.

    Raises
    ------
    FormatError
        If a line lies outside of the encoded space.
    """
    low, high = ky_range(encoding.matrix[0])
    ky = heads["idx"]["kspace_encode_step_1"].astype(np.int64)
    ky += low if encoding.exact else -encoding.center_step
    outside = np.flatnonzero((ky < low) | (ky > high))
    if outside.size:
        line = int(outside[0])
        step = int(heads["idx"]["kspace_encode_step_1"][line])
        raise FormatError(
            f"readout {line}: phase-encode step {step} is ky = {int(ky[line])}, outside of {low} to {high}"
        )
    index = np.arange(len(heads), dtype=np.int64)
    if not encoding.exact:
        return Lines(index, unwrap(heads["idx"]["repetition"]), ky, index * tr_ns + te_ns)
    low_half = np.ascontiguousarray(heads["user_int"][:, 0]).view(np.uint32).astype(np.int64)
    t_ns = heads["user_int"][:, 1].astype(np.int64) * _HALF + low_half
    return Lines(heads["scan_counter"].astype(np.int64), heads["user_int"][:, 2].astype(np.int64), ky, t_ns)


def unwrap(counters: ArrayLike) -> NDArray[np.int64]:
    """Undo the wrap of a 16-bit counter: each step is taken as the shortest way around.

    Parameters
    ----------
    counters
        Shape (lines,), in the order of acquisition; steps back are allowed, below half the range.

    Returns
    -------
    unwrapped
        Shape (lines,), int64; the first is as it stands.
    """
    wrapped = np.atleast_1d(np.asarray(counters)).astype(np.int64)
    steps = (np.diff(wrapped) + REPETITIONS // 2) % REPETITIONS - REPETITIONS // 2
    return np.concatenate([wrapped[:1], wrapped[:1] + np.cumsum(steps)])


class Counter:
    """Unwrap a 16-bit counter as its values arrive."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """Return the next value unwrapped; the first is as it stands."""
        self._last = (
            value
            if self._last is None
            else int(unwrap([self._last % REPETITIONS, value])[1]) + (self._last - self._last % REPETITIONS)
        )
        return self._last


def to_acquisition(
    readout: Readout,
    header: Header,
    oversampling: Oversampling = Oversampling.NONE,
    marks: Marks | None = None,
) -> Any:
    """Return a readout as an `ismrmrd.Acquisition`.

    Parameters
    ----------
    readout
        The line.
    header
        The protocol.
    oversampling
        Convention of readout oversampling.
    marks
        Flags to set; all boundaries by default.

    Raises
    ------
    MissingExtraError
        If `ismrmrd` is not installed.
    """
    package = require_ismrmrd(_PURPOSE)
    heads = make_heads(header, readout.index, readout.frame, readout.ky, readout.t_ns, oversampling, marks)
    samples = oversample(readout.samples, header.matrix[1] * oversampling.factor)
    return package.Acquisition(heads[0].tobytes(), np.ascontiguousarray(samples))


def noise_acquisition(samples: NDArray[np.complex64], sample_time_us: float, counter: int = 0) -> Any:
    """Return a noise scan as an `ismrmrd.Acquisition`.

    Parameters
    ----------
    samples
        Shape (coils, n), complex64.
    sample_time_us
        Its dwell, microseconds.
    counter
        Its `scan_counter`.
    """
    package = require_ismrmrd(_PURPOSE)
    return package.Acquisition(noise_head(samples.shape, sample_time_us, counter).tobytes(), samples)


def noise_head(shape: tuple[int, ...], sample_time_us: float, counter: int = 0) -> Any:
    """Return the head of a noise scan of shape (coils, n)."""
    coils, count = shape
    head = np.zeros(1, require_ismrmrd(_PURPOSE).hdf5.acquisition_header_dtype)[0]
    head["version"], head["flags"], head["scan_counter"] = 1, np.uint64(Flag.NOISE), counter
    head["number_of_samples"], head["center_sample"] = count, count // 2
    head["available_channels"] = head["active_channels"] = coils
    head["channel_mask"], head["sample_time_us"] = _channel_mask(coils), sample_time_us
    head["read_dir"], head["phase_dir"], head["slice_dir"] = np.eye(3, dtype=np.float32)
    return head


def from_acquisition(
    acquisition: Any, encoding: Encoding, header: Header, index: int, frames: Counter
) -> Readout:
    """Return an acquisition as a readout.

    Parameters
    ----------
    acquisition
        An `ismrmrd.Acquisition` that images.
    encoding
        What the header of its scan says.
    header
        The protocol that was made of that.
    index
        Number of the readout, in the order of arrival.
    frames
        The counter of repetitions, kept from one readout to the next.

    Raises
    ------
    FormatError
        If it is of another shape than the header says, not a line of a Cartesian image, or outside of the
        encoded space.
    """
    head = np.frombuffer(
        bytes(acquisition.getHead()), require_ismrmrd(_PURPOSE).hdf5.acquisition_header_dtype
    )
    samples_of(head, encoding, header.coils)
    line = read_heads(head, encoding, header.tr_ns, header.te_ns)
    frame = int(line.frame[0]) if encoding.exact else frames.unwrap(int(line.frame[0]))
    t_ns = int(line.t_ns[0]) if encoding.exact else header.echo_ns(index)
    samples = crop_oversampling(acquisition.data, header.matrix[1])
    return Readout(index, frame, int(line.ky[0]), t_ns, samples)


def samples_of(heads: NDArray[Any], encoding: Encoding, coils: int | None = None) -> int:
    """Check that readouts are whole Cartesian lines of one shape, and return their number of samples.

    Parameters
    ----------
    heads
        Heads of imaging readouts, shape (lines,).
    encoding
        What the header says.
    coils
        Channels that they must have; None for those of the first.

    Raises
    ------
    FormatError
        If one has another shape, is a partial echo, runs backwards, or lies in another slice or encoding.
    """
    nx = encoding.matrix[1]
    samples = int(heads["number_of_samples"][0])
    channels = int(heads["active_channels"][0]) if coils is None else coils
    if not 1 <= channels <= MAX_COILS:
        raise FormatError(f"readout 0: {channels} channels: expected 1 to {MAX_COILS}")
    if samples not in (nx, 2 * nx) or samples > 2 * MAX_MATRIX:
        raise FormatError(
            f"readout 0: {samples} samples: the header asks for {nx}, or for {2 * nx} with 2x oversampling"
        )
    center = heads["center_sample"]
    wrong: Sequence[tuple[NDArray[np.bool_], str]] = (
        (heads["number_of_samples"] != samples, f"another number of samples than {samples}"),
        (heads["active_channels"] != channels, f"another number of channels than {channels}"),
        # Zero is how some writers leave it out.
        ((center != samples // 2) & (center != 0), "a partial echo: k = 0 is not at its middle"),
        ((heads["discard_pre"] != 0) | (heads["discard_post"] != 0), "samples to be discarded"),
        (heads["trajectory_dimensions"] != 0, "a trajectory of its own: not Cartesian"),
        ((heads["flags"] & np.uint64(Flag.REVERSE)) != 0, "a reversed direction (an echo train)"),
        (heads["encoding_space_ref"] != 0, "another encoding space"),
        (heads["idx"]["kspace_encode_step_2"] != 0, "a partition: not 2-D"),
    )
    for bad, what in wrong:
        if bad.any():
            raise FormatError(f"readout {int(np.argmax(bad))}: it has {what}; such lines cannot be taken")
    return samples
