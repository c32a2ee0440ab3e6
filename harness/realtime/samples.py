"""Raw samples on disk: every stamp of a session as `.npz`, and its times read back to be played again.

A file says what it was recorded of: the candidate, the scan and how that was played. Times of another
candidate or scan are refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.realtime.recorded import Recorded, RecordedService
from harness.realtime.run import Fate, Run
from mrsim.errors import InputError
from mrsim.files.arrays import read_arrays
from mrsim.files.reading import parse_json
from mrsim.files.writing import write_arrays
from mrsim.stream import Stream

SCHEMA = "mrsim-samples/2"
MAX_BYTES = 1 << 30
MAX_RUNS, MAX_ABOUT = 1000, 1 << 16
DAY_NS, YEAR_NS = 86_400 * 10**9, 366 * 86_400 * 10**9
HINT = "record it again with mrsim replay --samples"
STAMPS = ("due_ns", "arrived_ns", "finished_ns", "fate")
TIMES = tuple(field.name for field in dataclasses.fields(Recorded))
BLOCK = 4096


@dataclass(frozen=True, slots=True)
class How:
    """State how a scan was played; the same of the same candidate gives the same queue.

    Parameters
    ----------
    scenario, policy
        As for `harness.replay`.
    faults, seed
        What went wrong, and the seed of that; empty and 0 for nothing.
    stride
        Lines from image to image; None for the scan's own frames.
    """

    scenario: str = "constant-stream"
    policy: str = "keep-all"
    faults: str = ""
    seed: int = 0
    stride: int | None = None

    def __str__(self) -> str:
        parts = [f"scenario {self.scenario}", f"policy {self.policy}"]
        parts += [f"faults {self.faults} (seed {self.seed})"] if self.faults else []
        parts += [f"stride {self.stride}"] if self.stride is not None else []
        return ", ".join(parts)


def fingerprint(stream: Stream, lines: int) -> str:
    """Return a hash of the first lines of a scan: of its protocol, its rows and its samples.

    How many lines make a frame is left out: frames that slide over a scan are frames of the same scan.

    Parameters
    ----------
    stream
        The scan.
    lines
        Number of lines.
    """
    protocol = {k: v for k, v in stream.header.to_dict().items() if k not in ("lines_per_frame", "window")}
    found = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode())
    found.update(np.ascontiguousarray(stream.ky[:lines]).tobytes())
    for first in range(0, lines, BLOCK):
        found.update(np.ascontiguousarray(stream.samples[first : min(first + BLOCK, lines)]).tobytes())
    return found.hexdigest()


def write_samples(path: str | Path, runs: Sequence[Run], candidate: str, stream: Stream, how: How) -> None:
    """Write the stamps of some runs of one stream; the file is written whole or not at all.

    Stamps are counted from the start of each scan and have shape (runs, lines), int64, nanoseconds. Those of
    images (`completing`, the line, and `completed_ns`) have shape (runs, images). -1 stands for what never
    happened. `Recorded` names the others. `about` is JSON: what was played, and how.

    Parameters
    ----------
    path
        File to write.
    runs
        Runs of one stream.
    candidate
        Name of the candidate.
    stream
        The stream as it was played.
    how
        How it was played.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    about = {
        "schema": SCHEMA, "candidate": candidate, "stream_sha256": fingerprint(stream, len(stream)),
        "lines": len(stream), **dataclasses.asdict(how),
    }  # fmt: skip
    arrays: dict[str, NDArray[Any]] = {"about": np.array(json.dumps(about))}
    for name in STAMPS:
        arrays[name] = np.stack([_from_start(run, name) for run in runs])
    completed = [np.where(r.images.completed_ns >= 0, r.images.completed_ns - r.t0_ns, -1) for r in runs]
    arrays["completed_ns"] = np.stack(completed)
    arrays["completing"] = np.stack([run.schedule.completing for run in runs])
    arrays["tr_ns"] = np.array([run.tr_ns for run in runs])
    times = [Recorded.of(run) for run in runs]
    for name in TIMES:
        arrays[name] = _stacked([np.asarray(getattr(one, name), np.int64) for one in times])
    write_arrays(path, arrays)


def _from_start(run: Run, name: str) -> NDArray[np.int64]:
    column: NDArray[np.int64] = getattr(run, name)
    return column if name == "fate" else np.where(column >= 0, column - run.t0_ns, -1)


def _stacked(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return rows as one array; of positions there may be more in one run than in another."""
    longest = max(row.size for row in rows)
    return np.stack([np.pad(r, (0, longest - r.size), constant_values=-1) if r.ndim else r for r in rows])


def read_service(
    path: str | Path, candidate: str, stream: Stream, lines: int, how: How
) -> list[RecordedService]:
    """Read the times of an earlier session for the virtual clock, one service for each run.

    Parameters
    ----------
    path
        File that `write_samples` made.
    candidate, stream
        What is to be played.
    lines
        Number of first lines of the stream that will be played.
    how
        How they will be played.

    Returns
    -------
    services
        One for each recorded run.

    Raises
    ------
    InputError
        If it is not such a file, is of another candidate or scan, has no time for a line that will be
        played, or one that cannot be.
    """
    arrays = read_arrays(
        path, MAX_BYTES, "a file of samples", names=("about", "fate", *TIMES),
        missing=f"there is no such file; {HINT}",
    )  # fmt: skip
    if absent := [name for name in ("about", "fate", *TIMES) if name not in arrays]:
        raise InputError(f"{path}: it has no {absent[0]}, so it is of an older version or damaged; {HINT}")
    recorded = _check_about(path, arrays["about"], candidate, stream, lines, how)
    per_frame = stream.header.lines_per_frame if how.stride is None else how.stride
    _check_shapes(path, arrays, lines, per_frame)
    _check_times(path, arrays, per_frame)
    _check_fates(path, arrays["fate"][:, :lines], per_frame, recorded, how)
    return [
        RecordedService(_row(arrays, number), str(path), recorded == how)
        for number in range(len(arrays["fate"]))
    ]


def _row(arrays: dict[str, NDArray[Any]], number: int) -> Recorded:
    rows = {name: arrays[name][number] for name in TIMES}
    there = rows["position_line"] >= 0
    rows["position_line"], rows["position_ns"] = rows["position_line"][there], rows["position_ns"][there]
    return Recorded(**{**rows, "open_ns": int(rows["open_ns"])})


def _check_about(
    path: str | Path, array: NDArray[Any], candidate: str, stream: Stream, lines: int, how: How
) -> How:
    """Return how the file was recorded, if it is of this candidate and scan."""
    if array.dtype.kind != "U" or array.ndim or array.nbytes > MAX_ABOUT:
        raise InputError(f"{path}: about is {array.dtype} {array.shape}: expected a text of JSON; {HINT}")
    about = parse_json(str(array), f"{path}: about")
    kinds = {
        "schema": str, "candidate": str, "stream_sha256": str, "lines": int, "scenario": str, "policy": str,
        "faults": str, "seed": int, "stride": int | None,
    }  # fmt: skip
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise InputError(f"{path}: about is not of {SCHEMA}; {HINT}")
    for key, kind in kinds.items():
        if key not in about or not isinstance(about[key], kind) or isinstance(about[key], bool):
            raise InputError(f"{path}: about: {key}: expected {getattr(kind, '__name__', kind)}; {HINT}")
    if about["candidate"] != candidate:
        raise InputError(
            f"{path}: it has the times of candidate {about['candidate'][:80]!r}, not of {candidate!r}; {HINT}"
        )
    count = about["lines"]
    if not 0 < count <= len(stream):
        raise InputError(f"{path}: it is of a scan of {count} lines, this one has {len(stream)}; {HINT}")
    if count < lines:
        raise InputError(f"{path}: it has the times of {count} lines, {lines} are played; {HINT}")
    if about["stream_sha256"] != fingerprint(stream, count):
        raise InputError(f"{path}: it has the times of another scan, or of this one before a change; {HINT}")
    recorded = How(*(about[field.name] for field in dataclasses.fields(How)))
    if recorded.stride != how.stride:
        raise InputError(
            f"{path}: an image was due every {recorded.stride or 'frame'} (--stride), now every "
            f"{how.stride or 'frame'}: its times say nothing of that; {HINT}"
        )
    return recorded


def _check_shapes(path: str | Path, arrays: dict[str, NDArray[Any]], lines: int, per_frame: int) -> None:
    least = lines // per_frame
    fate = arrays["fate"]
    if fate.ndim != 2 or not 1 <= len(fate) <= MAX_RUNS or fate.dtype.kind not in "iu":
        raise InputError(f"{path}: fate is {fate.dtype} {fate.shape}: expected int8 (runs, lines); {HINT}")
    if fate.shape[1] < lines or arrays["emitted_ns"].shape[1:] < (least,):
        raise InputError(f"{path}: it has too few lines or images for the scan that it names; {HINT}")
    runs, lines = fate.shape
    images = arrays["emitted_ns"].shape[1:2]
    positions = arrays["position_ns"].shape[1:2]
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(
        ("service_ns", "delivered_ns", "started_ns"), (runs, lines)
    )
    shapes |= dict.fromkeys(("emitted_ns", "band_emitted_ns"), (runs, *images))
    shapes |= dict.fromkeys(("position_line", "position_ns"), (runs, *positions))
    shapes["open_ns"] = (runs,)
    for name, shape in shapes.items():
        found = arrays[name]
        if found.dtype != np.int64 or found.shape != shape or found.ndim != (1 if name == "open_ns" else 2):
            raise InputError(f"{path}: {name} is {found.dtype} {found.shape}: expected int64 {shape}; {HINT}")


def _check_times(path: str | Path, arrays: dict[str, NDArray[Any]], per_frame: int) -> None:
    """Raise an error that names the first time that no clock can play."""
    handed = arrays["fate"] == Fate.HANDED
    there = {"service_ns": handed, "delivered_ns": handed, "started_ns": handed}
    lines = handed.shape[1]
    for name in TIMES:
        table, most = arrays[name], DAY_NS
        what, unit = "image", " ns"
        if name in there:
            what = "k-space line"
        elif name.startswith("position"):
            what = "position"
        if name in ("delivered_ns", "started_ns"):
            most = YEAR_NS
        elif name == "position_line":
            most, unit = lines - 1, ""
        least = np.where(there[name], 0, -1) if name in there else -1
        bad = (table < least) | (table > most)
        if bad.any():
            run, *at = (int(i) for i in np.argwhere(bad)[0])
            value = int(table[bad][0])
            where = f", {what} {at[0]}" if at else ""
            where += f" (frame {at[0] // per_frame})" if name in there else ""
            wrong = "is negative" if value < 0 else f"is above {most}{unit}"
            raise InputError(f"{path}: {name}, run {run + 1}{where}: {value}{unit} {wrong}; {HINT}")
    total = np.where(handed, arrays["service_ns"], 0).sum(axis=1, dtype=np.float64)
    if (total > YEAR_NS).any():
        run = int(np.argmax(total > YEAR_NS)) + 1
        raise InputError(f"{path}: service_ns, run {run}: its pushes take more than a year; {HINT}")


def _check_fates(path: str | Path, fate: NDArray[np.int8], per_frame: int, recorded: How, how: How) -> None:
    """Raise an error if a line will be handed out of which no time is known."""
    for stopped, told in (
        (fate == Fate.UNREACHED, "the run ended before it came to"),
        ((fate != Fate.HANDED) & (recorded != how), "there is no time of"),
    ):
        if stopped.any():
            run, line = (int(i) for i in np.argwhere(stopped)[0])
            where = f"run {run + 1}: {told} k-space line {line} (frame {line // per_frame})"
            asked = "" if recorded == how else f": it was played with {recorded}, now it is {how}"
            raise InputError(f"{path}: {where}{asked}; {HINT}")
