"""An MRD file, ours or from elsewhere, as a stream.

A file of ours comes back bit for bit. A file from elsewhere loses its readout oversampling. What it does not
state must be given, or is assumed and noted. The clock of such a stream is that of its TR: the time stamps of
the format are too coarse.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError, InputError
from mrsim.formats.bounded import Progress
from mrsim.formats.companion import Companion, copy_truth, read_companion
from mrsim.formats.hdf5 import blocks, opened
from mrsim.formats.mrd_acquisition import Flag, Lines, read_heads, samples_of
from mrsim.formats.mrd_file import ReadoutSource, open_mrd, read_noise
from mrsim.formats.mrd_header import Encoding
from mrsim.formats.mrd_lines import (
    acquired_order,
    counters_that_change,
    imaging_readouts,
    number_frames,
)
from mrsim.formats.mrd_messages import open_messages
from mrsim.formats.mrd_prescan import read_prescan
from mrsim.formats.noise_scan import MAX_NOISE_BYTES, NoiseScans
from mrsim.formats.oversampling import crop_oversampling
from mrsim.stream import Header
from mrsim.stream.storage import StreamWriter, check_new_stream
from mrsim.summary import listed

ASSUMED_FLIP_RAD = math.radians(20.0)


@dataclass(frozen=True, slots=True)
class Given:
    """State what a file from elsewhere leaves out, and choose from what it has.

    Parameters
    ----------
    tr_ns, te_ns
        Repetition and echo time, nanoseconds.
    flip_rad
        Flip angle, radians.
    field_t
        Static field, tesla.
    lines_per_frame
        Cut the lines, in the order of their acquisition, into frames of so many, whatever their counters say.
    slice
        Number of the slice to take.
    prewhiten
        Make the noise of the channels white, by the noise scans.
    """

    tr_ns: int | None = None
    te_ns: int | None = None
    flip_rad: float | None = None
    field_t: float | None = None
    lines_per_frame: int | None = None
    slice: int | None = None
    prewhiten: bool = False


@dataclass(frozen=True)
class Imported:
    """Report what became of a file.

    Parameters
    ----------
    path
        The stream's folder.
    lines
        Number of its lines.
    notes
        What was left out, taken off or assumed, a line each.
    """

    path: Path
    lines: int
    notes: tuple[str, ...]


@dataclass
class _Plan:
    """Gather what is to be written: the readouts in the order of their acquisition, and their columns."""

    header: Header
    readouts: NDArray[np.int64]
    lines: Lines
    noise: NoiseScans | None
    notes: list[str] = field(default_factory=list)


def mrd_to_stream(
    source: str | Path,
    target: str | Path,
    given: Given | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Imported:
    """Write the lines of an MRD file as a stream, in bounded memory.

    Parameters
    ----------
    source
        The file.
    target
        Folder of the stream.
    given
        What the file leaves out.
    progress
        Told the lines done and the total.
    overwrite
        Whether an earlier stream that stands there is replaced.

    Returns
    -------
    imported
        The folder, and notes on what was found or assumed.

    Raises
    ------
    FormatError
        If the file is damaged, not a Cartesian 2-D scan, or leaves out what nobody gave.
    MissingExtraError
        If `ismrmrd` and `h5py` are not installed.
    """
    check_new_stream(target, overwrite=overwrite)
    path, given = Path(source), given or Given()
    with opened(path) as file:
        found = open_mrd(file, path)
        # Version 0.1 kept it at the root of the file.
        companion = read_companion(found.group, path) or read_companion(file, path)
        plan = _plan(found, given)
        companion = _fitting(companion, plan, found, given)
        return _write(found, plan, companion, Path(target), given, progress, overwrite)


def messages_to_stream(
    source: str | Path,
    target: str | Path,
    given: Given | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Imported:
    """Write the lines of a stream of MRD messages as a stream; as `mrd_to_stream` of a file.

    Parameters
    ----------
    source, target, given, progress, overwrite
        As for `mrd_to_stream`.

    Raises
    ------
    FormatError
        As for `mrd_to_stream`.
    MissingExtraError
        If `ismrmrd` is not installed.
    """
    check_new_stream(target, overwrite=overwrite)
    given = given or Given()
    found = open_messages(Path(source))
    plan = _plan(found, given)
    plan.notes[:0] = found.notes
    if over := len(plan.readouts) % plan.header.lines_per_frame:
        plan.notes.append(
            f"the last frame is not whole: it has {over} of {plan.header.lines_per_frame} lines"
        )
    return _write(found, plan, None, Path(target), given, progress, overwrite)


def _plan(found: ReadoutSource, given: Given) -> _Plan:
    heads, encoding, notes = found.heads, found.encoding, list[str]()
    imaging = imaging_readouts(found, given.slice, notes)
    order = acquired_order(heads[imaging])
    readouts = imaging[order]
    chosen = heads[readouts]
    try:
        samples = samples_of(chosen, encoding)
        header, lines = _lines(found, chosen, given, notes)
    except InputError as error:
        reason = str(error).removeprefix(f"{found.path}: ")
        raise FormatError(f"{found.path}: {reason}") from None
    if samples != header.matrix[1]:
        stated = "as" if encoding.encoded_nx == samples else "though not"
        notes.append(f"readouts have 2x oversampling, {stated} stated in the header: it was taken off")
    header = dataclasses.replace(header, prescan=read_prescan(found, header, notes))
    return _Plan(header, readouts, lines, _noise(found, header, notes), notes)


def _lines(found: ReadoutSource, heads: NDArray[Any], given: Given, notes: list[str]) -> tuple[Header, Lines]:
    encoding, coils = found.encoding, int(heads["active_channels"][0])
    per_frame = given.lines_per_frame
    if encoding.exact:
        header = complete_header(encoding, found.path, coils, given, per_frame, notes)
        if (header.tr_ns, header.te_ns) != (encoding.tr_ns, encoding.te_ns):
            raise FormatError(
                "its lines have times of their own, by the TR and TE that it states "
                f"({(encoding.tr_ns or 0) / 1e6:g} and {(encoding.te_ns or 0) / 1e6:g} ms): leave out "
                "--tr-ms and --te-ms"
            )
        lines = read_heads(heads, encoding, header.tr_ns, header.te_ns)
        if per_frame is not None:
            lines = dataclasses.replace(lines, frame=np.arange(len(heads)) // per_frame)
        return header, lines
    if per_frame is None:
        frame, per_frame = number_frames(heads, encoding, found.path)
        if counted := counters_that_change(heads):
            notes.append(
                f"a new {' or '.join(counted)} begins a new frame, as a new repetition does: what follows is "
                "taken for one moving anatomy in one contrast"
            )
    else:
        frame = np.arange(len(heads), dtype=np.int64) // per_frame
    header = complete_header(encoding, found.path, coils, given, per_frame, notes)
    lines = read_heads(heads, encoding, header.tr_ns, header.te_ns)
    return header, dataclasses.replace(lines, frame=frame)


def complete_header(
    encoding: Encoding, path: Path, coils: int, given: Given, lines_per_frame: int | None, notes: list[str]
) -> Header:
    """Return the protocol of a file: what it says, what is given, and what must be assumed.

    Parameters
    ----------
    encoding
        What its header says.
    path
        The file, for errors.
    coils
        Number of channels of its readouts.
    given
        What it leaves out.
    lines_per_frame
        Lines of a frame; None for what the header says.
    notes
        Gets a line for each value that was assumed.

    Raises
    ------
    FormatError
        If something is said nowhere that cannot be assumed.
    """
    tr_ns, te_ns, flip_rad, field_t = (
        _chosen(encoding, given, key, notes) for key in ("tr_ns", "te_ns", "flip_rad", "field_t")
    )
    if tr_ns is None:
        raise FormatError(f"{path}: its header states no TR: say it with --tr-ms")
    if field_t is None:
        raise FormatError(f"{path}: its header states no field: say it with --field-t")
    if te_ns is None:
        te_ns = tr_ns // 2
        notes.append(f"TE is not stated: {te_ns / 1e6:g} ms was assumed, half of TR (--te-ms)")
    if flip_rad is None:
        flip_rad = ASSUMED_FLIP_RAD
        notes.append(
            f"the flip angle is not stated: {math.degrees(flip_rad):g} degrees was assumed (--flip-deg)"
        )
    acceleration: float | None = None
    if lines_per_frame is not None:
        acceleration = max(1.0, encoding.matrix[0] / lines_per_frame)
    return encoding.header(
        coils=coils,
        tr_ns=tr_ns,
        te_ns=te_ns,
        flip_rad=flip_rad,
        field_t=field_t,
        lines_per_frame=lines_per_frame,
        acceleration=acceleration,
    )


_UNITS: dict[str, tuple[str, str, Callable[[float], float]]] = {
    "tr_ns": ("TR", "--tr-ms", lambda ns: ns / 1e6),
    "te_ns": ("TE", "--te-ms", lambda ns: ns / 1e6),
    "flip_rad": ("flip angle", "--flip-deg", math.degrees),
    "field_t": ("field", "--field-t", float),
}


def _chosen(encoding: Encoding, given: Given, key: str, notes: list[str]) -> Any:
    """Return a value of the protocol; one that is given counts before one that is stated, with a note."""
    stated, value = getattr(encoding, key), getattr(given, key)
    if value is None and stated is not None and key in encoding.several:
        name, option, shown = _UNITS[key]
        every = listed([f"{one:g}" for one in encoding.several[key]])
        notes.append(f"the header states several of {name} ({every}): {shown(stated):g} was taken ({option})")
    if value is None or stated is None or math.isclose(value, stated, rel_tol=1e-6):
        return stated if value is None else value
    name, option, shown = _UNITS[key]
    notes.append(
        f"the header states a {name} of {shown(stated):g}: {shown(value):g} was taken, as {option} says"
    )
    return value


def _noise(found: ReadoutSource, header: Header, notes: list[str]) -> NoiseScans | None:
    heads = found.heads
    scans = np.flatnonzero((heads["flags"] & np.uint64(Flag.NOISE)) != 0)
    if scans.size == 0:
        return None
    count = int(heads["number_of_samples"][scans[0]])
    alike = (heads["number_of_samples"][scans] == count) & (heads["active_channels"][scans] == header.coils)
    if not alike.all():
        notes.append(f"{int(np.sum(~alike))} noise scans of another shape were left out")
    scans = scans[alike]
    if scans.size == 0 or count == 0:
        return None
    size = scans.size * header.coils * count * 8
    if size > MAX_NOISE_BYTES:
        raise FormatError(
            f"{found.path}: {size >> 20} MiB of noise scans: at most {MAX_NOISE_BYTES >> 20} are read"
        )
    return read_noise(found, scans)


def _fitting(
    companion: Companion | None, plan: _Plan, found: ReadoutSource, given: Given
) -> Companion | None:
    """Drop what stands beside the readouts where it is not of these lines."""
    if companion is not None and not found.encoding.exact:
        plan.notes.append(
            "the header's TR, TE or lines of a frame are not those that the file was written with: lines "
            "follow each other at its TR now, and truth and provenance were left out"
        )
        return None
    if companion is not None and companion.lines != len(plan.readouts):
        plan.notes.append(
            f"truth and provenance are of {companion.lines} lines, not of these: they were left out"
        )
        return None
    if companion is not None and given.lines_per_frame not in (None, found.encoding.lines_per_frame):
        plan.notes.append("the truth is of frames of another length: it was left out")
        return dataclasses.replace(companion, truth=None)
    return companion


def _write(
    found: ReadoutSource,
    plan: _Plan,
    companion: Companion | None,
    target: Path,
    given: Given,
    progress: Progress | None,
    overwrite: bool,
) -> Imported:
    header, count = plan.header, len(plan.readouts)
    matrix = None
    noise = plan.noise
    if given.prewhiten:
        if noise is None:
            raise FormatError(f"{found.path}: it has no noise scans to prewhiten by")
        matrix = noise.whitening().astype(np.complex64)
        if header.prescan is not None:
            white = np.tensordot(matrix, header.prescan, 1).astype(np.complex64)
            header = dataclasses.replace(header, prescan=white)
        header = dataclasses.replace(header, adc_step=0.0)
        noise = NoiseScans(matrix @ noise.samples, noise.dwell_us)
        plan.notes.append("the noise of the channels was made white, at its mean variance")
    elif noise is not None:
        plan.notes.append(f"{len(noise.samples)} noise scans were kept with the lines")
    provenance = None if companion is None else companion.provenance
    truth = None if companion is None else companion.truth
    _check_narrow(plan.lines, found.path)
    _check_frames(plan.lines.frame, header.lines_per_frame, found.path)
    with StreamWriter(target, header, count, provenance, truth, overwrite=overwrite) as writer:
        item = header.coils * int(found.heads["number_of_samples"][plan.readouts[0]]) * 8
        for start, stop in blocks(count, item):
            samples = crop_oversampling(found.samples(plan.readouts[start:stop]), header.matrix[1])
            if matrix is not None:
                samples = matrix @ samples
            columns = (plan.lines.ky, plan.lines.frame, plan.lines.t_ns)
            ky, frame, t_ns = (column[start:stop] for column in columns)
            writer.append(ky.astype(np.int32), frame.astype(np.int32), t_ns, samples)
            if progress is not None:
                progress(stop, count)
        if companion is not None and companion.truth is not None:
            copy_truth(companion, header, count, writer, progress)
        if noise is not None:
            noise.attach(writer)
    return Imported(target, count, tuple(plan.notes))


def _check_frames(frame: NDArray[np.int64], lines_per_frame: int, path: Path) -> None:
    """Refuse frames of unequal length, by the line at which one is told."""
    wrong = np.flatnonzero(frame != np.arange(len(frame)) // lines_per_frame)
    if len(wrong):
        line = int(wrong[0])
        raise FormatError(
            f"{path}: line {line} says that it is of frame {int(frame[line])}, and {lines_per_frame} lines a "
            f"frame make that {line // lines_per_frame}: lines are missing or double; --lines-per-frame N "
            "cuts frames anew"
        )


def _check_narrow(lines: Lines, path: Path) -> None:
    low, high = int(lines.frame.min()), int(lines.frame.max())
    if low < -(1 << 31) or high >= 1 << 31:
        raise FormatError(f"{path}: frames {low} to {high}: more than a stream can number")
