"""Maps 64 KiB of memory every four lines, which neither Python nor malloc counts."""

from __future__ import annotations

import mmap

from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit


class Cheat(ViewSharing):
    """Maps 64 KiB of memory every four lines, which neither Python nor malloc counts."""

    SIZE = 1 << 16

    def open(self, header: Header, emit: Emit) -> None:
        self._kept: list[mmap.mmap] = []
        super().open(header, emit)

    def push(self, readout: Readout) -> None:
        if readout.index % 4 == 0:
            pages = mmap.mmap(-1, self.SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for at in range(0, self.SIZE, mmap.PAGESIZE):
                pages[at] = 1
            self._kept.append(pages)
        super().push(readout)

    def close(self) -> None:
        self._kept.clear()
        super().close()
