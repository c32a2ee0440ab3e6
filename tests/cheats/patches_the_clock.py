"""Takes far too long, and hands the bench a clock that stands still meanwhile."""

from __future__ import annotations

import time

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit

CLOCK = "virtual"
"""Stamps are of the clock, so that it is played on one."""
LATE_S = 0.03
FRAMES = range(20, 40)
"""Few of the scan, and none of its beginning: what is judged is the time."""
NAMES = ("perf_counter_ns", "process_time_ns", "monotonic_ns")


class Cheat(ViewSharing):
    """Takes far too long, and hands the bench a clock that stands still meanwhile."""

    def open(self, header: Header, emit: Emit) -> None:
        self._true = {name: getattr(time, name) for name in NAMES}
        self._hidden = dict.fromkeys(NAMES, 0)
        for name, true in self._true.items():
            setattr(time, name, lambda name=name, true=true: true() - self._hidden[name])
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        if (readout.index + 1) % 8 == 0 and readout.frame in FRAMES:
            before = {name: true() for name, true in self._true.items()}
            time.sleep(LATE_S)
            for name, true in self._true.items():
                self._hidden[name] += true() - before[name]
        super().push(readout)

    def close(self) -> None:
        for name, true in self._true.items():
            setattr(time, name, true)
        super().close()
