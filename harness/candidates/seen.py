"""What a candidate carries of scans that it was made from, and whether a scan that judges it is among them.

This is the one place where that is asked: everything that judges goes through `check_seen`. Of weights the
record alone is read. Of anyone's own code, and of exported programs, nothing is known.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.candidates.objects import Given, name_of
from harness.candidates.registry import cascade_parts
from mrsim.errors import InputError, Option, OptionError
from mrsim.stream import Header, Stream, load
from mrsim.stream.fingerprint import line_hashes, span_s
from recon.convention import split_convention

MOST_S = 1e9

Lines = tuple[int, int]
"""First line that was seen, and the one past the last; equal where none was."""

NONE: Lines = (0, 0)


@dataclass(frozen=True)
class Carried:
    """Hold a scan that a candidate was made from.

    Parameters
    ----------
    phantom_text, seed
        What was scanned, and the seed of its breathing; None where the scan did not say.
    used_s
        Start and stop of the time that was used, seconds from the start of the scan; None where the record
        does not say.
    kept_hashes
        Hashes of its lines (`mrsim.stream.fingerprint`); empty where the record has none.
    samples_sha256, frame_count
        Hash of all samples of so many first frames, which is all that records of before have.
    stream
        The scan itself, where it is at hand.
    """

    phantom_text: str | None = None
    seed: int | None = None
    used_s: tuple[float, float] | None = None
    kept_hashes: frozenset[int] = frozenset()
    samples_sha256: str = ""
    frame_count: int = 0
    stream: Stream | None = None

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """Return the hashes of its lines, uint64."""
        if self.stream is not None:
            found = np.unique(line_hashes(self.stream))
            return found[found > 0]
        return np.array(sorted(self.kept_hashes), np.uint64)

    def is_breathing(self, phantom_text: str, seed: int) -> bool | None:
        """Return whether another scan shows the same breathing; None where it cannot be told.

        Parameters
        ----------
        phantom_text, seed
            As that scan says what it was made from.
        """
        if self.phantom_text is None:
            return None
        if (self.phantom_text, self.seed) == (phantom_text, seed):
            return True
        # Here alone are texts parsed as phantoms: most candidates carry nothing.
        try:
            from mrsim.anatomy.breathing import breathing_of
        except ImportError:  # a stored scan is judged where numba is not installed, too
            return None
        own, other = breathing_of(self.phantom_text, self.seed), breathing_of(phantom_text, seed)
        return None if own is None or other is None else not own.isdisjoint(other)


@dataclass(frozen=True)
class Overlap:
    """Say what was found of one candidate and one scan.

    Parameters
    ----------
    candidate, scan
        Their names.
    carried
        How many scans the candidate says that it was made from.
    lines
        First line that it was made from, and the one past the last; None where it is known of none.
    untold
        Of how many scans it cannot be told whether they share lines with this one.
    by_samples
        How many scans were compared by the samples of their lines, since a breathing was not said.
    """

    candidate: str
    scan: str
    carried: int
    lines: tuple[int, int] | None
    untold: int = 0
    by_samples: int = 0

    @property
    def answer(self) -> str | None:
        """Return "these" lines, "none" or "cannot be told"; None where the candidate carries nothing."""
        if self.lines is not None:
            return "these"
        return "cannot be told" if self.untold else "none" if self.carried else None

    @property
    def told(self) -> str | None:
        """Return that in one line; None where the candidate carries nothing."""
        if self.lines is not None:
            return (
                f"{self.candidate} was made from k-space lines {self.lines[0]} to {self.lines[1] - 1} of the "
                f"breathing in {self.scan}, which judges it: its images may be remembered, not reconstructed"
            )
        if self.untold:
            return (
                f"it cannot be told whether {self.candidate} was made from lines of {self.scan}: too little "
                f"is said of it, or of {_scans(self.untold)} that the candidate was made from"
            )
        if not self.carried:
            return None
        told = f"{self.candidate} was made from {_scans(self.carried)}, and from no line of {self.scan}"
        return f"{told}, as far as samples tell" if self.by_samples else told

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "candidate": self.candidate,
            "scan": self.scan,
            "carried": self.carried,
            "answer": self.answer,
            "lines": None if self.lines is None else list(self.lines),
            "untold": self.untold,
            "by_samples": self.by_samples,
            "told": self.told,
        }


def check_seen(candidate: Given, stream: Stream, *, allow: bool = False, name: str | None = None) -> Overlap:
    """Compare what a candidate carries with a scan that is to judge it.

    Parameters
    ----------
    candidate
        As for `harness.replay`.
    stream
        The scan, as far as it is judged.
    allow
        Whether a candidate may be judged on what it was made from.
    name
        The candidate's name; None for its own.

    Raises
    ------
    OptionError
        If it may not, and was made from a line of it.
    """
    carried = carried_by(candidate)
    lines, untold, by_samples = [], 0, 0
    for one in carried:
        found = seen_by_breathing(one, stream)
        if found is None:
            found = seen_by_samples(one, stream)
            by_samples += found is not None
            untold += found is None
        if found is not None and found[0] < found[1]:
            lines.append(found)
    spanned = (min(first for first, _ in lines), max(stop for _, stop in lines)) if lines else None
    where = str(stream.path) if stream.path is not None else "the scan"
    called = name_of(candidate) if name is None else name
    seen = Overlap(called, where, len(carried), spanned, untold, by_samples)
    if seen.lines is not None and not allow:
        raise OptionError(
            "{}; judge it on another day (another seed; of a cine, its twin on another drive), or say {}",
            seen.told,
            Option("allow_seen", True),
        )
    return seen


def carried_by(candidate: Given) -> tuple[Carried, ...]:
    """Return the scans that a candidate says it was made from.

    Those are stored images (`nearest-frame:STREAM`) and the record of weights (`cascade:WEIGHTS`, or a
    `Checkpoint`).

    Parameters
    ----------
    candidate
        As for `harness.replay`.
    """
    record = getattr(candidate, "record", None)
    if isinstance(record, dict):
        return tuple(carried_of(scan, record) for scan in recorded_scans(record))
    if not isinstance(candidate, str):
        return ()
    kind, _, argument = split_convention(candidate)[0].partition(":")
    try:
        if kind == "nearest-frame":
            return (_of_stream(load(argument)),)
        if kind == "cascade":
            from recon.cascade.checkpoint import load_record

            record = load_record(cascade_parts(argument)[0])
            return tuple(carried_of(scan, record) for scan in recorded_scans(record))
    except InputError:
        return ()  # it is told where the candidate is built
    return ()


def seen_by_breathing(carried: Carried, stream: Stream) -> Lines | None:
    """Return which lines of a scan lie in the time of the same breathing that a candidate carries.

    Two scans are the same breathing where `mrsim.anatomy.breathing` finds a course in both, whatever the
    noise or the sampling.

    Parameters
    ----------
    carried
        A scan that the candidate was made from.
    stream
        The scan that judges it.

    Returns
    -------
    lines
        None where it cannot be told.
    """
    made = stream.provenance
    same = None if made is None else carried.is_breathing(made.phantom_text, made.seed)
    if same is None or (same and carried.used_s is None):
        return None
    if not same or carried.used_s is None:
        return NONE
    start_ns, stop_ns = (round(t * 1e9) for t in carried.used_s)
    at_ns = stream.t_ns - stream.header.te_ns
    return _span(np.asarray((start_ns <= at_ns) & (at_ns < stop_ns)))


def seen_by_samples(carried: Carried, stream: Stream) -> Lines | None:
    """Return which lines of a scan are among those that a candidate carries, by hashes of their samples.

    `mrsim.stream.fingerprint` says what that finds, and what hides a line.

    Parameters
    ----------
    carried
        A scan that the candidate was made from.
    stream
        The scan that judges it.

    Returns
    -------
    lines
        None where it cannot be told: one of the two has no hashes.
    """
    if not len(carried.hashes):
        return _seen_by_all_samples(carried, stream)
    hashes = line_hashes(stream)
    return _span(np.asarray(np.isin(hashes, carried.hashes).any(axis=1))) if hashes.any() else None


def recorded_scans(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a record of weights says of each scan: of its own, and of those that it started from.

    An entry that says nothing stands for what is not said.
    """
    found: list[dict[str, Any]] = []
    for key in ("data", "before"):
        scans = record.get(key, [] if key == "before" else None)
        entries = scans if isinstance(scans, list) and (scans or key == "before") else [{}]
        found += [scan if isinstance(scan, dict) else {} for scan in entries]
    return found


def carried_of(scan: dict[str, Any], record: dict[str, Any]) -> Carried:
    """Return what an entry of a record says of a scan; parameters as for `used_s`."""
    text, seed, frames = scan.get("phantom_text"), scan.get("seed"), scan.get("frames")
    hashes = scan.get("line_hashes")
    return Carried(
        text if isinstance(text, str) else None,
        seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        used_s(scan, record),
        frozenset(_hash_of(one) for one in hashes) - {0} if isinstance(hashes, list) else frozenset(),
        str(scan.get("samples_sha256") or ""),
        frames if isinstance(frames, int) else 0,
    )


def used_s(scan: dict[str, Any], record: dict[str, Any]) -> tuple[float, float] | None:
    """Return start and stop of the time of a scan that weights were trained on, seconds.

    Parameters
    ----------
    scan
        An entry of the record's `data`.
    record
        The record; its header tells how long a frame is, where an entry says frames alone.

    Returns
    -------
    time
        None where the record does not say.
    """
    used = scan.get("trained_s", scan.get("used_s"))
    if isinstance(used, list) and len(used) == 2 and all(_is_time(t) for t in used) and used[0] <= used[1]:
        return float(used[0]), float(used[1])
    frames, header = scan.get("frames"), record.get("header")
    if isinstance(frames, int) and 0 < frames < 1 << 31 and isinstance(header, dict) and used is None:
        try:
            return 0.0, frames * Header.from_dict(header).frame_ns / 1e9
        except InputError:
            return None
    return None


def _is_time(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and -MOST_S <= value <= MOST_S and math.isfinite(value)


def _hash_of(told: Any) -> int:
    try:
        return int(told, 16) if isinstance(told, str) and len(told) == 16 else 0
    except ValueError:
        return 0


def _seen_by_all_samples(carried: Carried, stream: Stream) -> Lines | None:
    """Return the lines of the first frames if all their samples are the same; else nothing can be told."""
    if not carried.samples_sha256 or not 0 < carried.frame_count <= stream.frames:
        return None
    lines = carried.frame_count * stream.header.lines_per_frame
    found = hashlib.sha256(np.ascontiguousarray(stream.samples[:lines]).tobytes()).hexdigest()
    return (0, lines) if found == carried.samples_sha256 else None


def _span(seen: NDArray[np.bool_]) -> Lines:
    lines = np.flatnonzero(seen)
    return (int(lines[0]), int(lines[-1]) + 1) if len(lines) else NONE


def _scans(count: int) -> str:
    return "1 scan" if count == 1 else f"{count} scans"


def _of_stream(stream: Stream) -> Carried:
    made = stream.provenance
    if made is None:
        return Carried(used_s=span_s(stream), stream=stream)
    return Carried(made.phantom_text, made.seed, span_s(stream), stream=stream)
