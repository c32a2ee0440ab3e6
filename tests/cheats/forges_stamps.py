"""Takes far too long, and writes earlier stamps into the record of the bench."""

from __future__ import annotations

import sys
import time

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing

CLOCK = "virtual"
"""Stamps are of the clock, so that it is played on one."""
LATE_S = 0.025


class Cheat(ViewSharing):
    """Takes far too long, and writes earlier stamps into the record of the bench."""

    def push(self, readout: Readout) -> None:
        super().push(readout)
        if (readout.index + 1) % 8:
            return
        time.sleep(LATE_S)
        frame = sys._getframe(1)
        while frame is not None and "timer" not in frame.f_locals:
            frame = frame.f_back  # type: ignore[assignment]
        if frame is not None and frame.f_locals["timer"]._model is not None:
            line, started_ns, _ = frame.f_locals["timer"]._pushing
            frame.f_locals["timer"]._pushing = (line, started_ns, frame.f_locals["timer"]._model.mark())
            collector = frame.f_locals["collector"]
            collector._completed_ns[readout.frame] = started_ns
