"""Shows all images, and raises when it is closed."""

from __future__ import annotations

from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Shows all images, and raises when it is closed."""

    def close(self) -> None:
        raise OSError("the disk is full")
