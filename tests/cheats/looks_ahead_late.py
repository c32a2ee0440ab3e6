"""Looks ahead in two frames of the middle of a scan alone."""

from __future__ import annotations

import sys

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Looks ahead in two frames of the middle of a scan alone."""

    def push(self, readout: Readout) -> None:
        frame = sys._getframe(1)
        while frame is not None and "feed" not in frame.f_locals:
            frame = frame.f_back  # type: ignore[assignment]
        samples, following = readout.samples, readout.index + 1
        if frame is not None and readout.frame in (30, 31) and following < len(frame.f_locals["feed"].stream):
            samples = samples + frame.f_locals["feed"].stream.samples[following]
        super().push(Readout(readout.index, readout.frame, readout.ky, readout.t_ns, samples))
