"""What must hold whatever goes wrong, and a checker for each: the run is the witness, not the candidate.

Some promises hold under every fault (no line is forgotten, no stamp goes back, no queue outgrows its bound);
each kind of fault adds its own. The images of an undisturbed lockstep run are what recovery is measured by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.timing import queue_depth
from harness.realtime.faults import CANDIDATE_KINDS
from harness.realtime.feed import Feed
from harness.realtime.run import Fate, Run

# A running mean over many visits of a row remembers a lost line for long, but hardly.
RECOVERY_NMSE = 1e-2


@dataclass(frozen=True, slots=True)
class Broken:
    """Say which promise was broken and where.

    Parameters
    ----------
    promise
        Its name.
    line
        Line of the stream; -1 where it is none in particular.
    message
        What was found.
    """

    promise: str
    line: int
    message: str


@dataclass(frozen=True)
class Evidence:
    """Hold what the promises are checked on.

    Parameters
    ----------
    feed
        What arrived.
    run
        The run with the faults.
    clean
        A lockstep run of a fresh candidate without them, with its pixels; None where none was made.
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


def accounted(evidence: Evidence) -> Broken | None:
    """Every line is used, rejected, dropped or lost, once; all are reached if nothing stops the run."""
    run, feed = evidence.run, evidence.feed
    came = np.zeros(len(run.fate), np.bool_)
    came[feed.source] = True
    wrong = (run.fate == Fate.HANDED) != (run.delivered_ns >= 0)
    wrong |= (run.fate == Fate.DROPPED) != (run.dropped_ns >= 0)
    wrong |= (run.fate == Fate.LOST) == came
    if run.failure is None and run.violation is None:
        wrong |= run.fate == Fate.UNREACHED
        turned_away = sum(run.rejected.values())
        spared = len(feed) - run.handed - turned_away
        # Events that were neither handed out nor turned away were dropped: as many lines, or copies of them.
        if spared < np.count_nonzero(run.fate == Fate.DROPPED):
            return Broken("accounted", -1, f"{len(feed)} events, {run.handed} handed, {turned_away} rejected")
    return _first("accounted", wrong, lambda line: f"fate {Fate(run.fate[line]).name} against its stamps")


def ordered(evidence: Evidence) -> Broken | None:
    """No stamp goes back, and no line is handed out before it arrived."""
    run = evidence.run
    given = run.fate == Fate.HANDED
    # The push that raised has no end of its own beyond its start.
    wrong = given & ((run.delivered_ns < run.arrived_ns) | (run.arrived_ns < run.due_ns))
    wrong |= given & ((run.started_ns < run.delivered_ns) | (run.finished_ns < run.started_ns))
    found = _first("ordered", wrong, lambda line: "handed out early, or its stamps go back")
    if found is not None:
        return found
    lines = run.in_order
    overlap = run.started_ns[lines[1:]] < run.finished_ns[lines[:-1]]
    if overlap.any():
        return Broken("ordered", int(lines[1:][overlap][0]), "its push began before the last one ended")
    shown = run.images.shown
    last = run.schedule.completing[shown]
    early = (run.delivered_ns[last] >= 0) & (run.images.completed_ns[shown] < run.delivered_ns[last])
    if early.any():
        return Broken("ordered", int(last[early][0]), "an image was completed before its last line came")
    return None


def bounded(evidence: Evidence) -> Broken | None:
    """The queue holds no more than its policy allows: frames that wait, one in hand, one arriving."""
    run, waiting = evidence.run, evidence.run.policy.waiting
    if waiting is None:
        return None
    feed = evidence.feed
    per_frame = feed.stream.header.lines_per_frame
    copies = len(feed) - len(np.unique(feed.source))
    depth = queue_depth(run)
    line = int(np.argmax(depth))
    limit = (waiting + 2) * per_frame + copies
    # Frames that a reordering holds open, or of which nothing came, are whole later than those around them.
    if feed.touched.keys() & {"reorder", "duplicate", "drop"}:
        limit += 2 * per_frame
    if depth[line] > limit:
        return Broken("bounded", line, f"{depth[line]} lines waited, {run.policy} allows {limit}")
    return None


def survives(evidence: Evidence) -> Broken | None:
    """The candidate neither raises nor breaks the protocol."""
    run = evidence.run
    if run.failure is not None:
        return Broken("survives", run.failure.line, f"it raised {run.failure.error} in {run.failure.stage}")
    if run.violation is not None:
        return Broken("survives", run.violation.line, run.violation.message)
    return None


def finite(evidence: Evidence) -> Broken | None:
    """What is not a number reaches no image."""
    first = evidence.run.images.first_nonfinite
    if first is None:
        return None
    return Broken("finite", first[1], f"an image of frame {first[0]} with pixels that are not finite")


def contained(evidence: Evidence) -> Broken | None:
    """A frame whose lines all came whole has its image."""
    run = evidence.run
    if run.failure is not None or run.violation is not None:
        return None
    per_frame = evidence.feed.stream.header.lines_per_frame
    images = len(run.schedule.completing)
    intact = evidence.whole[: images * per_frame].reshape(images, per_frame).all(axis=1)
    if evidence.clean is not None:
        intact &= evidence.clean.images.shown
    missing = np.flatnonzero(intact & ~run.images.shown)
    if not len(missing):
        return None
    line = int(run.schedule.completing[missing[0]])
    return Broken("contained", line, f"frame {missing[0]} came whole and has no image ({len(missing)} such)")


def turned_away(evidence: Evidence) -> Broken | None:
    """A line that is damaged in a way that can be told is never handed out."""
    feed, run = evidence.feed, evidence.run
    lines = np.union1d(*(feed.touched.get(k, np.empty(0, np.int64)) for k in ("truncate", "header")))
    copied = feed.source[np.flatnonzero(np.bincount(feed.source, minlength=1)[feed.source] > 1)]
    bad = np.setdiff1d(lines, copied)
    handed = bad[run.fate[bad] == Fate.HANDED]
    if len(handed):
        return Broken("turned away", int(handed[0]), "it was damaged, and handed out all the same")
    return None


def once(evidence: Evidence) -> Broken | None:
    """A line that comes twice is used once, and shows no image twice."""
    run, clean = evidence.run, evidence.clean
    usual = 0 if clean is None else clean.images.extra
    if run.images.extra > usual:
        return Broken(
            "once", -1, f"{run.images.extra} images of a frame that had one, {usual} without faults"
        )
    return None


def unwrapped(evidence: Evidence) -> Broken | None:
    """A counter that wraps costs no line."""
    run = evidence.run
    if not evidence.feed.touched.keys() & {"header"} and run.rejected["header"]:
        line = int(np.flatnonzero(run.fate == Fate.REJECTED)[:1].sum())
        return Broken("unwrapped", line, f"{run.rejected['header']} lines were rejected by their number")
    return None


def recovers(evidence: Evidence) -> Broken | None:
    """Once every row has been taken anew, an image is what it would have been."""
    run, clean = evidence.run, evidence.clean
    if clean is None or run.images.pixels is None or clean.images.pixels is None:
        return None
    judged = _recovered(evidence) & run.images.shown & clean.images.shown
    for frame in np.flatnonzero(judged):  # one at a time: all of them may be gigabytes
        image, usual = run.images.pixels[frame], clean.images.pixels[frame]
        if image.tobytes() == usual.tobytes():
            continue
        energy = float(np.sum(np.abs(usual).astype(np.float64) ** 2))
        error = float(np.sum(np.abs(image - usual).astype(np.float64) ** 2))
        if error > RECOVERY_NMSE * energy:
            line = int(run.schedule.completing[frame])
            told = f"error {error / energy:.2g}" if energy else "an image where there was none"
            return Broken("recovers", line, f"frame {frame} differs though every row is new again: {told}")
    return None


def _recovered(evidence: Evidence) -> NDArray[np.bool_]:
    """Return the frames at whose end the newest visit of every row came whole, shape (images,), bool."""
    stream, whole = evidence.feed.stream, evidence.whole
    header, completing = stream.header, evidence.run.schedule.completing
    row = np.asarray(stream.ky) + header.matrix[0] // 2
    # A line that is overtaken by its frame's last line is not in the image.
    place = evidence.run.order
    out = np.zeros(len(completing), np.bool_)
    newest = [True] * header.matrix[0]
    start, rows, good, at = 0, row.tolist(), whole.tolist(), place.tolist()
    for frame, last in enumerate(completing.tolist()):
        for line in range(start, last + 1):  # the last of equal rows wins
            newest[rows[line]] = good[line] and at[line] <= at[last]
        out[frame] = all(newest)
        # What came too late for this image is there for the next one.
        for line in range(start, last + 1):
            newest[rows[line]] = good[line]
        start = last + 1
    return out


Checker = Callable[[Evidence], Broken | None]

ALWAYS: tuple[Checker, ...] = (accounted, ordered, bounded)
PROMISES: dict[str, tuple[Checker, ...]] = {
    "drop": (survives, contained, recovers),
    "duplicate": (survives, contained, once, recovers),
    "reorder": (survives, contained, recovers),
    "late": (survives, contained, recovers),
    "truncate": (survives, turned_away, contained, recovers),
    "nan": (survives, finite, contained, recovers),
    "saturate": (survives, finite, contained, recovers),
    "header": (survives, turned_away, contained, recovers),
    "wrap": (survives, unwrapped, contained, recovers),
    "disconnect": (survives, contained, recovers),
}
"""What each kind of fault promises beside `ALWAYS`."""


def check_promises(evidence: Evidence, kinds: list[str]) -> list[Broken]:
    """Check what must hold always and what the kinds of fault promise; each promise once.

    A fault of the candidate itself (`raise`, `hang`, ...) promises that the run ends and is accounted for.
    """
    checkers = list(ALWAYS)
    if not set(kinds) & set(CANDIDATE_KINDS):
        for kind in kinds:
            checkers += [c for c in PROMISES[kind] if c not in checkers]
    return [broken for checker in checkers if (broken := checker(evidence)) is not None]


def _first(promise: str, wrong: NDArray[np.bool_], told: Callable[[int], str]) -> Broken | None:
    lines = np.flatnonzero(wrong)
    if not len(lines):
        return None
    return Broken(promise, int(lines[0]), f"{told(int(lines[0]))} ({len(lines)} such lines)")
