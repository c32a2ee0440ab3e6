"""How far an audit is: frames that were played, of those that all audits are expected to play.

Frames cost about the same in all audits. So the share of them is that of the time, whatever the candidate.
"""

from __future__ import annotations

import time

from harness.audits.reach import CUTS, FAR_LINES
from harness.console import Report

FIRST, WEIGHED = "the scan itself", "flat memory"
EVERY_S = 0.1
"""Time between two reports: what keeps account of them must not grow while memory is weighed."""


class Course:
    """Report how far an audit is.

    Parameters
    ----------
    report
        Told how many frames were played, of how many, and in which audit; None for nobody.
    frames, per_frame, short
        Frames of the scan, lines of a frame, and frames of the scan's beginning that most audits play.
    weighed, weighed_s
        Frames over which memory is weighed at most, and for how long at most, seconds.
    """

    def __init__(
        self, report: Report | None, frames: int, per_frame: int, short: int, weighed: int, weighed_s: float
    ) -> None:
        self._report, self._weighed, self._weighed_s = report, weighed, weighed_s
        self._began = self._told = time.monotonic()
        far, near = min(per_frame, FAR_LINES), max(0, per_frame - FAR_LINES)
        # Of what is drawn, the mean.
        self._expected = {
            FIRST: 2 * short,
            "conformance": frames,
            "determinism": 2 * short,
            "causality": 2 * frames + short // 2 + (CUTS - 1) * frames // 2,
            "consumption": far * frames // 2 + near * short // 2,
            "dependence": 5 * short,
            "accuracy under load": 3 * min(frames, short + 4),
            "no caching": 5 * short,
            "no write into the input": short,
            WEIGHED: weighed,
            "recovery after a bad line": 3 * min(frames, 4 * short),
        }
        self._name, self._played, self._done = FIRST, 0, 0

    def begin(self, audit: str) -> None:
        """Take the end of one audit and the start of another.

        Parameters
        ----------
        audit
            The name of the one that starts.
        """
        done = self._expected[self._name]
        if WEIGHED not in (audit, self._name) and self._done < sum(self._expected.values()) / 2:
            # As many frames are weighed as there is time for, and how long one takes is seen by now.
            each_s = (time.monotonic() - self._began) / (self._done + done)
            self._expected[WEIGHED] = max(1, min(self._weighed, int(self._weighed_s / max(each_s, 1e-6))))
        self._done += done
        self._name, self._played = audit, 0
        self._tell()

    def note(self, frames: int) -> None:
        """Take frames that were played.

        Parameters
        ----------
        frames
            Their number.
        """
        self._played += frames
        if time.monotonic() - self._told >= EVERY_S:
            self._tell()

    def end(self) -> None:
        """Take the end of the last audit."""
        self._done, self._played = sum(self._expected.values()), 0
        self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._report is not None:
            done = self._done + min(self._played, self._expected[self._name])
            total = sum(self._expected.values())
            self._report(min(done, total), total, f"audit: {self._name}")
