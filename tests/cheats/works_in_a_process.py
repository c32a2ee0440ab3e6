"""Lets a process of its own compute for far too long for each image, and waits for it before the next."""

from __future__ import annotations

import subprocess
import sys

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit

CLOCK = "virtual"
"""What is charged is seen on the clock that charges."""
FRAMES = range(20, 40)
"""Few of the scan, and none of its beginning: what is judged is the time."""
PROGRAM = """
import sys, time
for line in sys.stdin.buffer:
    end = time.process_time() + 0.04
    while time.process_time() < end: pass
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
"""


class Cheat(ViewSharing):
    """Lets a process of its own compute for far too long for each image, and waits for it before the next."""

    def open(self, header: Header, emit: Emit) -> None:
        words = [sys.executable, "-S", "-c", PROGRAM]
        self._worker = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._asked = False
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        if readout.index % 8 == 0 and self._asked:  # what it was to do must be done by now
            self._worker.stdout.readline()
            self._asked = False
        super().push(readout)
        if (readout.index + 1) % 8 == 0 and readout.frame in FRAMES:
            self._worker.stdin.write(b"go\n")
            self._worker.stdin.flush()
            self._asked = True

    def close(self) -> None:
        self._worker.communicate()
        super().close()
