"""Climbs the stack to the gate, and takes the line that is to come."""

from __future__ import annotations

import sys

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Climbs the stack to the gate, and takes the line that is to come."""

    def push(self, readout: Readout) -> None:
        frame = sys._getframe(1)
        while frame is not None and "feed" not in frame.f_locals:
            frame = frame.f_back  # type: ignore[assignment]
        samples, following = readout.samples, readout.index + 1
        if frame is not None and following < len(frame.f_locals["feed"].stream):
            samples = samples + frame.f_locals["feed"].stream.samples[following]
        super().push(Readout(readout.index, readout.frame, readout.ky, readout.t_ns, samples))
