"""Recorded times: what every push and every image of a run took, played again on the virtual clock.

A push takes the time that it took, and an image comes as long after the start of its last line's push as it
came then, be it from a thread after the push was over. Where the scan is played as it was recorded, lines are
handed out when they were then, too: every stamp is the same to the nanosecond. Played in another way, with
another policy say, the times of the candidate meet another queue.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.realtime.collector import MISSING, Images, Positions
from harness.realtime.run import Run
from harness.realtime.service import TableService


@dataclass(frozen=True)
class Recorded:
    """Hold the times of one run, nanoseconds.

    Parameters
    ----------
    service_ns
        How long each push took, shape (lines,), int64; -1 if there was none.
    delivered_ns, started_ns
        When each line was handed over and its push began, from the start of the scan, shape (lines,), int64;
        -1 if it was not.
    emitted_ns, band_emitted_ns
        How long after the start of its last line's push each image, and the first band of its frame, came,
        shape (images,), int64; -1 if none came.
    position_line, position_ns
        Newest line of each position, in the order in which they came, and how long after the start of that
        line's push it came, shape (positions,), int64.
    open_ns
        Time that `open` took.
    """

    service_ns: NDArray[np.int64]
    delivered_ns: NDArray[np.int64]
    started_ns: NDArray[np.int64]
    emitted_ns: NDArray[np.int64]
    band_emitted_ns: NDArray[np.int64]
    position_line: NDArray[np.int64]
    position_ns: NDArray[np.int64]
    open_ns: int

    @classmethod
    def of(cls, run: Run) -> Recorded:
        """Return the times of a run.

        Parameters
        ----------
        run
            The run.
        """
        images, positions, completing = run.images, run.images.positions, run.schedule.completing

        def from_start(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.where(stamps >= 0, stamps - run.t0_ns, MISSING)

        line = np.zeros(0, np.int64) if positions is None else positions.last_line
        stamps = np.zeros(0, np.int64) if positions is None else positions.completed_ns
        return cls(
            service_ns=run.service_ns,
            delivered_ns=from_start(run.delivered_ns),
            started_ns=from_start(run.started_ns),
            emitted_ns=_since(run.started_ns[completing], images.completed_ns),
            band_emitted_ns=_since(run.started_ns[completing], images.band_ns),
            position_line=line,
            position_ns=_since(run.started_ns[line], stamps),
            open_ns=run.open_ns,
        )


class RecordedService(TableService):
    """Play the times of a run again.

    Parameters
    ----------
    recorded
        The times.
    source
        File that they come from.
    exact
        Whether the scan is played as it was then, so that lines are handed out when they were then.
    """

    def __init__(self, recorded: Recorded, source: str, exact: bool) -> None:
        super().__init__(np.maximum(recorded.service_ns, 0))
        self._recorded, self._exact = recorded, exact
        self.times = f"played from {source}"

    @property
    def open_ns(self) -> int:
        """Return the time that `open` took, nanoseconds."""
        return self._recorded.open_ns

    def delivered_ns(self, line: int) -> int:
        """Return when a line is handed over at the earliest, from the start of the scan, nanoseconds."""
        return int(self._recorded.delivered_ns[line]) if self._exact else MISSING

    def started_ns(self, line: int) -> int:
        """Return when its push begins at the earliest, from the start of the scan, nanoseconds."""
        return int(self._recorded.started_ns[line]) if self._exact else MISSING

    def retimed(self, images: Images, started_ns: NDArray[np.int64], completing: NDArray[np.int64]) -> Images:
        """Return the images of a run with the times of the recorded one; what did not come then is left out.

        Parameters
        ----------
        images
            The images.
        started_ns
            When each push began in this run, shape (lines,), int64, nanoseconds; -1 if it did not.
        completing
            Line that completes each image, shape (images,), int64.
        """
        count, started = len(completing), started_ns[completing]
        completed = _again(images.completed_ns, started, self._recorded.emitted_ns[:count])
        shown = completed != MISSING
        if images.pixels is not None:
            images.pixels[~shown] = 0
        return dataclasses.replace(
            images,
            completed_ns=completed,
            last_line=np.where(shown, images.last_line, MISSING),
            band_ns=_again(images.band_ns, started, self._recorded.band_emitted_ns[:count]),
            hold=images.hold & shown,
            drawn=images.drawn & shown,
            positions=self._positions(images, completed, started_ns),
        )

    def _positions(
        self, images: Images, completed: NDArray[np.int64], started_ns: NDArray[np.int64]
    ) -> Positions | None:
        """Return the positions that came in both runs: the first of a line is the first of that line then."""
        positions, recorded = images.positions, self._recorded
        if positions is None:
            return None
        then = dict(zip(_numbered(recorded.position_line), recorded.position_ns.tolist(), strict=True))
        since = np.array([then.get(key, MISSING) for key in _numbered(positions.last_line)], np.int64)
        stamps = _again(positions.completed_ns, started_ns[positions.last_line], since)
        # A position that stands for a frame's image has the stamp of that.
        standing = np.flatnonzero(images.shown & ~images.drawn & (completed != MISSING))
        own = {key: at for at, key in enumerate(_keys(positions.completed_ns, positions.last_line))}
        for frame, key in zip(
            standing, _keys(images.completed_ns[standing], images.last_line[standing]), strict=True
        ):
            stamps[own[key]] = completed[frame]
        came = stamps != MISSING
        return Positions(
            stamps[came],
            positions.last_line[came],
            positions.centre_m[came],
            positions.hold[came],
            positions.mask,
        )


def _since(started_ns: NDArray[np.int64], stamp_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how long after the start of a push a stamp is; -1 where one of both is missing."""
    there = (stamp_ns >= 0) & (started_ns >= 0)
    # A thread may emit as soon as a line counts as handed out, which is just before its push begins.
    return np.where(there, np.maximum(stamp_ns - started_ns, 0), MISSING)


def _again(
    stamp_ns: NDArray[np.int64], started_ns: NDArray[np.int64], since_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    there = (stamp_ns >= 0) & (started_ns >= 0) & (since_ns >= 0)
    return np.where(there, started_ns + since_ns, MISSING)


def _numbered(lines: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return each line with how often it came before."""
    seen: Counter[int] = Counter()
    keys = []
    for line in lines.tolist():
        keys.append((line, seen[line]))
        seen[line] += 1
    return keys


def _keys(stamps: NDArray[np.int64], lines: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(zip(stamps.tolist(), lines.tolist(), strict=True))
