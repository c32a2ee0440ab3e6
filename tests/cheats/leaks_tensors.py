"""Keeps a tensor of 2 KiB a line."""

from __future__ import annotations

from typing import ClassVar

import torch

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


class Cheat(ViewSharing):
    """Keeps a tensor of 2 KiB a line."""

    kept: ClassVar[list[torch.Tensor]] = []

    def push(self, readout: Readout) -> None:
        self.kept.append(torch.ones(512))
        super().push(readout)
