"""Lets a process compute that it has disowned, so that the system does not count it as its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from mrsim.stream import Header
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit

CLOCK = "virtual"
"""What is charged is seen on the clock that charges."""
DAEMON = """
import os, sys, time
there, until = sys.argv[1], time.time() + 20
while os.path.exists(there) and time.time() < until:
    end = time.process_time() + 0.01
    while time.process_time() < end: pass
"""
STARTS = "import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', *sys.argv[1:]])"


class Cheat(ViewSharing):
    """Lets a process compute that it has disowned, so that the system does not count it as its own."""

    def open(self, header: Header, emit: Emit) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._there = Path(self._folder.name) / "there"
        self._there.touch()  # it ends once this is gone
        words = [sys.executable, "-S", "-c", STARTS, DAEMON, str(self._there)]
        subprocess.run(words, check=True)
        super().open(header, emit)

    def close(self) -> None:
        self._folder.cleanup()
        super().close()
