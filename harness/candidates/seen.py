"""What a candidate carries of scans that it was made from, and whether a scan that judges it is among them.

This is the one place where that is asked: everything that judges goes through `check_seen`. Of weights the
record alone is read. Of anyone's own code, and of exported programs, nothing is known.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.candidates.objects import Given, name_of
from harness.candidates.registry import cascade_parts
from mrsim.anatomy.series.text import day_of
from mrsim.errors import InputError, Option, OptionError
from mrsim.stream import Header, Stream, load
from mrsim.stream.fingerprint import frame_hashes
from recon.convention import split_convention


@dataclass(frozen=True)
class Carried:
    """Hold a scan that a candidate was made from.

    Parameters
    ----------
    phantom_text, seed
        What was scanned, and the seed of its breathing; None where the scan did not say.
    used_s
        Start and stop of the time that was used, seconds.
    frames
        Hash of each frame that was used (`mrsim.stream.fingerprint`); empty where the record has none.
    samples_sha256, frame_count
        Hash of all samples of so many first frames; empty where the record has none.
    """

    phantom_text: str | None
    seed: int | None
    used_s: tuple[float, float]
    frames: frozenset[str] = frozenset()
    samples_sha256: str = ""
    frame_count: int = 0


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
        First line that it was made from, and the one past the last; None where it has seen none.
    """

    candidate: str
    scan: str
    carried: int
    lines: tuple[int, int] | None

    @property
    def told(self) -> str | None:
        """Return that in one line; None where the candidate carries nothing."""
        if self.lines is not None:
            return (
                f"{self.candidate} was made from k-space lines {self.lines[0]} to {self.lines[1] - 1} of the "
                f"breathing in {self.scan}, which judges it: its images may be remembered, not reconstructed"
            )
        if not self.carried:
            return None
        scans = "1 scan" if self.carried == 1 else f"{self.carried} scans"
        return f"{self.candidate} was made from {scans}, and from no line of {self.scan}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        lines = None if self.lines is None else list(self.lines)
        return {"candidate": self.candidate, "scan": self.scan, "carried": self.carried, "lines": lines}


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
    carried = carried_by(candidate, hashed=stream.provenance is None)
    lines = [found for one in carried if (found := seen_lines(one, stream)) is not None]
    spanned = (min(first for first, _ in lines), max(stop for _, stop in lines)) if lines else None
    where = str(stream.path) if stream.path is not None else "the scan"
    seen = Overlap(name_of(candidate) if name is None else name, where, len(carried), spanned)
    if seen.lines is not None and not allow:
        raise OptionError(
            "{}; judge it on a scan of another seed, or say {}", seen.told, Option("allow_seen", True)
        )
    return seen


def carried_by(candidate: Given, *, hashed: bool = True) -> tuple[Carried, ...]:
    """Return the scans that a candidate says it was made from.

    Those are stored images (`nearest-frame:STREAM`) and the record of weights (`cascade:WEIGHTS`, or a
    `Checkpoint`).

    Parameters
    ----------
    candidate
        As for `harness.replay`.
    hashed
        Whether stored images that say how they were made are hashed, too.
    """
    record = getattr(candidate, "record", None)
    if isinstance(record, dict):
        return tuple(_of_record(record))
    if not isinstance(candidate, str):
        return ()
    kind, _, argument = split_convention(candidate)[0].partition(":")
    try:
        if kind == "nearest-frame":
            return (_of_stream(load(argument), hashed),)
        if kind == "cascade":
            from recon.cascade.checkpoint import load_record

            return tuple(_of_record(load_record(cascade_parts(argument)[0])))
    except InputError:
        return ()  # it is told where the candidate is built
    return ()


def seen_lines(carried: Carried, stream: Stream) -> tuple[int, int] | None:
    """Return which lines of a scan are of what a candidate carries.

    Two scans are the same breathing where phantom and seed are the same, whatever the noise or the sampling;
    what was recorded is the same in every seed.
    Where one of them does not say, they are compared by the hashes of their frames.

    Parameters
    ----------
    carried
        A scan that the candidate was made from.
    stream
        The scan that judges it.

    Returns
    -------
    lines
        First line, and the one past the last; None for none.
    """
    made = stream.provenance
    if made is not None and carried.phantom_text is not None:
        if day_of(carried.phantom_text, carried.seed) != day_of(made.phantom_text, made.seed):
            return None
        first, stop = (round(t * 1e9 / stream.header.tr_ns) for t in carried.used_s)
        return (first, min(stop, len(stream))) if first < min(stop, len(stream)) else None
    per_frame = stream.header.lines_per_frame
    if carried.frames:
        same = [number for number, one in enumerate(frame_hashes(stream)) if one in carried.frames]
        return (same[0] * per_frame, (same[-1] + 1) * per_frame) if same else None
    if carried.samples_sha256 and 0 < carried.frame_count <= stream.frames:
        lines = carried.frame_count * per_frame
        found = hashlib.sha256(np.ascontiguousarray(stream.samples[:lines]).tobytes()).hexdigest()
        return (0, lines) if found == carried.samples_sha256 else None
    return None


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
    if isinstance(used, list) and len(used) == 2 and all(_is_number(t) for t in used):
        return float(used[0]), float(used[1])
    frames, header = scan.get("frames"), record.get("header")
    if isinstance(frames, int) and 0 < frames < 1 << 31 and isinstance(header, dict):
        try:
            return 0.0, frames * Header.from_dict(header).frame_ns / 1e9
        except InputError:
            return None
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _of_stream(stream: Stream, hashed: bool) -> Carried:
    made = stream.provenance
    return Carried(
        None if made is None else made.phantom_text,
        None if made is None else made.seed,
        (0.0, len(stream) * stream.header.tr_ns / 1e9),
        frozenset(frame_hashes(stream)) - {""} if hashed or made is None else frozenset(),
    )


def _of_record(record: dict[str, Any]) -> Iterator[Carried]:
    data = record.get("data")
    for scan in data if isinstance(data, list) else ():
        if not isinstance(scan, dict):
            continue
        text, seed, frames = scan.get("phantom_text"), scan.get("seed"), scan.get("frames")
        hashes, used = scan.get("frames_sha256"), used_s(scan, record)
        known = isinstance(text, str) and isinstance(seed, int) and used is not None
        yield Carried(
            text if known else None,
            seed if known else None,
            used or (0.0, 0.0),
            frozenset(one for one in hashes if isinstance(one, str) and one)
            if isinstance(hashes, list)
            else frozenset(),
            str(scan.get("samples_sha256") or ""),
            frames if isinstance(frames, int) else 0,
        )
