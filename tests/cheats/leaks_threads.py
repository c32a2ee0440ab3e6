"""Starts a thread every 32 lines, which only ends with the scan."""

from __future__ import annotations

import threading

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit


class Cheat(ViewSharing):
    """Starts a thread every 32 lines, which only ends with the scan."""

    def open(self, header: Header, emit: Emit) -> None:
        self._over, self._threads = threading.Event(), list[threading.Thread]()
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        if readout.index % 32 == 0:
            self._threads.append(threading.Thread(target=self._over.wait, daemon=True))
            self._threads[-1].start()
        super().push(readout)

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        super().close()
