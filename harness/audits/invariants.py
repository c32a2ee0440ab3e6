"""Invariants: what must hold whatever goes wrong, and a checker for each.

Messages, results and the documentation call an invariant a promise; names in code say invariant. The checkers
read the record of the run, not the candidate. Some invariants hold under every fault: no line is unaccounted
for, no stamp goes back, no queue exceeds its bound. Each kind of fault adds its own. Recovery is measured
against the images of a lockstep run without faults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.measure.timing import queue_depth
from harness.realtime.faults import CANDIDATE_KINDS
from harness.realtime.feed import Feed
from harness.realtime.run import Fate, Run

# A running mean over many visits of a row keeps a small trace of a lost line for a long time.
RECOVERY_NMSE = 1e-2


@dataclass(frozen=True, slots=True)
class Breach:
    """State which invariant was broken, and where.

    Parameters
    ----------
    invariant
        Its name.
    line
        Line of the stream; -1 if the finding concerns no single line.
    message
        What was found.
    frame
        Frame of that line; -1 if there is none.
    """

    invariant: str
    line: int
    message: str
    frame: int = -1

    def __str__(self) -> str:
        return f"{self.invariant}{self.where}: {self.message}"

    @property
    def where(self) -> str:
        """Return the end of a sentence that says at which line; empty if the finding concerns none."""
        return f" at k-space line {self.line} (frame {self.frame})" if self.line >= 0 else ""

    def to_json(self) -> dict[str, str | int]:
        """Return the finding as JSON values, with the invariant's name under `promise`."""
        return {
            "promise": self.invariant, "line": self.line, "frame": self.frame, "message": self.message,
        }  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """Hold what the invariants are checked on.

    Parameters
    ----------
    feed
        The events that arrived.
    run
        The run with faults.
    clean
        A lockstep run of a fresh candidate without faults, with its pixels; None if none was made.
    """

    feed: Feed
    run: Run
    clean: Run | None

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Return which lines were handed out as they were sent, shape (lines,), bool."""
        whole: NDArray[np.bool_] = self.run.fate == Fate.HANDED
        whole[self.feed.source[np.asarray(self.feed.patch) >= 0]] = False
        return whole


def accounted(evidence: Evidence) -> Breach | None:
    """Check that every line is used, rejected, dropped or lost exactly once.

    If nothing stops the run, every line must also be reached.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    run, feed = evidence.run, evidence.feed
    came = np.zeros(len(run.fate), np.bool_)
    came[feed.source] = True
    wrong = (run.fate == Fate.HANDED) != (run.delivered_ns >= 0)
    wrong |= (run.fate == Fate.DROPPED) != (run.dropped_ns >= 0)
    wrong |= (run.fate == Fate.LOST) == came
    if run.failure is None and run.violation is None:
        wrong |= run.fate == Fate.UNREACHED
        rejected = sum(run.rejected.values())
        others = len(feed) - run.handed - rejected
        # Events that were neither handed out nor rejected belong to dropped lines, or are copies of them.
        if others < np.count_nonzero(run.fate == Fate.DROPPED):
            return Breach("accounted", -1, f"{len(feed)} events, {run.handed} handed, {rejected} rejected")
    return _first("accounted", wrong, lambda line: f"fate {Fate(run.fate[line]).name} against its stamps")


def ordered(evidence: Evidence) -> Breach | None:
    """Check that no stamp goes back, and that no line is handed out before it arrived.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    run = evidence.run
    handed = run.fate == Fate.HANDED
    wrong = handed & ((run.delivered_ns < run.arrived_ns) | (run.arrived_ns < run.due_ns))
    wrong |= handed & ((run.started_ns < run.delivered_ns) | (run.finished_ns < run.started_ns))
    found = _first("ordered", wrong, lambda line: "handed out early, or its stamps go back")
    if found is not None:
        return found
    lines = run.in_order
    overlap = run.started_ns[lines[1:]] < run.finished_ns[lines[:-1]]
    if overlap.any():
        return Breach("ordered", int(lines[1:][overlap][0]), "its push began before the last one ended")
    shown = run.images.shown
    last = run.schedule.completing[shown]
    early = (run.delivered_ns[last] >= 0) & (run.images.completed_ns[shown] < run.delivered_ns[last])
    if early.any():
        return Breach("ordered", int(last[early][0]), "an image was completed before its last line came")
    return None


def bounded(evidence: Evidence) -> Breach | None:
    """Check that the queue holds no more than its policy allows.

    The policy allows the waiting frames, one that is being handed out, and one that is arriving.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    run, waiting = evidence.run, evidence.run.policy.waiting
    if waiting is None:
        return None
    feed = evidence.feed
    per_frame = feed.stream.header.lines_per_frame
    copies = len(feed) - len(np.unique(feed.source))
    depth = queue_depth(run)
    line = int(np.argmax(depth))
    limit = (waiting + 2) * per_frame + copies
    # A frame that was reordered, or of which nothing arrived, is complete later than its neighbours: by two
    # frames, or by all that was touched together where that is more.
    late = [
        np.asarray(feed.touched[kind]) for kind in ("reorder", "duplicate", "drop") if kind in feed.touched
    ]
    if late:
        limit += max(2 * per_frame, _longest_run(np.unique(np.concatenate(late))))
    if depth[line] > limit:
        return Breach("bounded", line, f"{depth[line]} lines waited, {run.policy} allows {limit}")
    return None


def _longest_run(lines: NDArray[np.int64]) -> int:
    """Return how many ascending lines follow one another at most."""
    return max(map(len, np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1)), default=0)


def survives(evidence: Evidence) -> Breach | None:
    """Check that the candidate neither raises an exception nor breaks the protocol.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    run = evidence.run
    if run.failure is not None:
        return Breach("survives", run.failure.line, f"it {run.failure.what}")
    if run.violation is not None:
        return Breach("survives", run.violation.line, run.violation.message)
    return None


def finite(evidence: Evidence) -> Breach | None:
    """Check that every image is finite, whatever samples arrived.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    first = evidence.run.images.first_nonfinite
    if first is None:
        return None
    return Breach("finite", first[1], f"an image of frame {first[0]} with pixels that are not finite")


def contained(evidence: Evidence) -> Breach | None:
    """Check that every frame whose lines all arrived intact has its image.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    return _all_have_images(evidence, "contained", evidence.whole, "came whole and has no image")


def goes_on(evidence: Evidence) -> Breach | None:
    """Check that every frame of which all lines were handed out has its image, be they damaged or not.

    A coil that is lost leaves the others, and a spike all other samples.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    handed = evidence.run.fate == Fate.HANDED
    return _all_have_images(evidence, "goes on", handed, "has no image, and all of its lines")


def _all_have_images(
    evidence: Evidence, invariant: str, lines: NDArray[np.bool_], without: str
) -> Breach | None:
    """Check that the frames all of whose lines are among some have images, as they have without faults."""
    run = evidence.run
    if run.failure is not None or run.violation is not None:
        return None
    per_frame = evidence.feed.stream.header.lines_per_frame
    images = len(run.schedule.completing)
    expected = lines[: images * per_frame].reshape(images, per_frame).all(axis=1)
    if evidence.clean is not None:
        shown = int(evidence.clean.images.shown.sum())
        if shown < images / 2:  # what shows next to nothing breaks no promise by showing as little again
            said = f"without faults it shows {shown} of {images} images, half is the least"
            return Breach(invariant, int(run.schedule.completing[-1]) if images else 0, said)
        expected &= evidence.clean.images.shown
    missing = np.flatnonzero(expected & ~run.images.shown)
    if not len(missing):
        return None
    line = int(run.schedule.completing[missing[0]])
    return Breach(invariant, line, f"frame {missing[0]} {without} ({len(missing)} such)")


def turned_away(evidence: Evidence) -> Breach | None:
    """Check that no line with recognisable damage was handed out.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    feed, run = evidence.feed, evidence.run
    lines = np.union1d(*(feed.touched.get(k, np.empty(0, np.int64)) for k in ("truncate", "header")))
    copied = feed.source[np.flatnonzero(np.bincount(feed.source, minlength=1)[feed.source] > 1)]
    bad = np.setdiff1d(lines, copied)
    handed = bad[run.fate[bad] == Fate.HANDED]
    if len(handed):
        return Breach("turned away", int(handed[0]), "it was damaged, and handed out all the same")
    return None


def once(evidence: Evidence) -> Breach | None:
    """Check that a line that arrives twice is used once and causes no second image.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    run, clean = evidence.run, evidence.clean
    reference = 0 if clean is None else clean.images.extra
    if run.images.extra > reference:
        return Breach(
            "once", -1, f"{run.images.extra} images of a frame that had one, {reference} without faults"
        )
    return None


def unwrapped(evidence: Evidence) -> Breach | None:
    """Check that a counter that wraps costs no line.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    run = evidence.run
    if not evidence.feed.touched.keys() & {"header"} and run.rejected["header"]:
        line = int(np.flatnonzero(run.fate == Fate.REJECTED)[:1].sum())
        return Breach("unwrapped", line, f"{run.rejected['header']} lines were rejected by their number")
    return None


def recovers(evidence: Evidence) -> Breach | None:
    """Check that images are right again once every row has been acquired anew.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    run, clean = evidence.run, evidence.clean
    if clean is None or run.images.pixels is None or clean.images.pixels is None:
        return None
    judged = recovered(evidence) & run.images.shown & clean.images.shown
    for frame in np.flatnonzero(judged):  # one frame at a time: all together may take gigabytes
        image, reference = run.images.pixels[frame], clean.images.pixels[frame]
        if image.tobytes() == reference.tobytes():
            continue
        energy = float(np.sum(np.abs(reference).astype(np.float64) ** 2))
        error = float(np.sum(np.abs(image - reference).astype(np.float64) ** 2))
        if error > RECOVERY_NMSE * energy:
            line = int(run.schedule.completing[frame])
            change = f"error {error / energy:.2g}" if energy else "an image where there was none"
            return Breach("recovers", line, f"frame {frame} differs though every row is new again: {change}")
    return None


def recovered(evidence: Evidence) -> NDArray[np.bool_]:
    """Return which frames end with the newest visit of every row intact, shape (images,), bool.

    Parameters
    ----------
    evidence
        The run and what arrived.
    """
    stream, whole = evidence.feed.stream, evidence.whole
    header, completing = stream.header, evidence.run.schedule.completing
    row = np.asarray(stream.ky) + header.matrix[0] // 2
    # A line that arrives after its frame's last line is not in the image.
    order = evidence.run.order
    out = np.zeros(len(completing), np.bool_)
    newest = [True] * header.matrix[0]
    start, rows, intact, rank = 0, row.tolist(), whole.tolist(), order.tolist()
    for frame, last in enumerate(completing.tolist()):
        for line in range(start, last + 1):  # the last visit of a row counts
            newest[rows[line]] = intact[line] and rank[line] <= rank[last]
        out[frame] = all(newest)
        # A line that was too late for this image is in time for the next one.
        for line in range(start, last + 1):
            newest[rows[line]] = intact[line]
        start = last + 1
    return out


Checker = Callable[[Evidence], Breach | None]

ALWAYS: tuple[Checker, ...] = (accounted, ordered, bounded)
INVARIANTS: dict[str, tuple[Checker, ...]] = {
    "drop": (survives, contained, recovers),
    "duplicate": (survives, contained, once, recovers),
    "reorder": (survives, contained, recovers),
    "late": (survives, contained, recovers),
    "truncate": (survives, turned_away, contained, recovers),
    "nan": (survives, finite, contained, recovers),
    "saturate": (survives, finite, contained, recovers),
    "coil-lost": (survives, finite, goes_on, recovers),
    "spike": (survives, finite, goes_on, recovers),
    "header": (survives, turned_away, contained, recovers),
    "wrap": (survives, unwrapped, contained, recovers),
    "disconnect": (survives, contained, recovers),
}
"""Invariants of each kind of fault, in addition to `ALWAYS`."""


def check_invariants(evidence: Evidence, kinds: list[str]) -> list[Breach]:
    """Check the invariants that always hold and those of some kinds of fault, each once.

    For a fault of the candidate itself (`raise`, `hang`, ...) only those that always hold are checked: the
    run ends and every line is accounted for.

    Parameters
    ----------
    evidence
        The run and what arrived.
    kinds
        Kinds of fault that were applied.

    Returns
    -------
    broken
        One entry for each invariant that does not hold.
    """
    checkers = list(ALWAYS)
    if not set(kinds) & set(CANDIDATE_KINDS):
        for kind in kinds:
            checkers += [c for c in INVARIANTS[kind] if c not in checkers]
    found = [broken for checker in checkers if (broken := checker(evidence)) is not None]
    per_frame = evidence.feed.stream.header.lines_per_frame
    return [replace(broken, frame=max(broken.line // per_frame, -1)) for broken in found]


def _first(invariant: str, wrong: NDArray[np.bool_], describe: Callable[[int], str]) -> Breach | None:
    lines = np.flatnonzero(wrong)
    if not len(lines):
        return None
    return Breach(invariant, int(lines[0]), f"{describe(int(lines[0]))} ({len(lines)} such lines)")
