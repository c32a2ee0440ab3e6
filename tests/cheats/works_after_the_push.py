"""Shows an image at once, and goes on for far too long on a thread, for which the next line waits."""

from __future__ import annotations

import threading
import time

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit

CLOCK = "virtual"
"""What is charged is seen on the clock that charges."""
LATE_S = 0.04
FRAMES = range(20, 40)
"""Few of the scan, and none of its beginning: what is judged is the time."""


class Cheat(ViewSharing):
    """Shows an image at once, and goes on for far too long on a thread, for which the next line waits."""

    def open(self, header: Header, emit: Emit) -> None:
        self._worker: threading.Thread | None = None
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        self._wait()
        super().push(readout)
        if (readout.index + 1) % 8 == 0 and readout.frame in FRAMES:
            self._worker = threading.Thread(target=work)
            self._worker.start()

    def close(self) -> None:
        self._wait()
        super().close()

    def _wait(self) -> None:
        if self._worker is not None:
            self._worker.join()
            self._worker = None


def work() -> None:
    """Compute for a while."""
    end = time.thread_time() + LATE_S
    while time.thread_time() < end:
        sum(range(1000))
