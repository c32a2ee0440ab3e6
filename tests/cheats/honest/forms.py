"""Honest candidates in the forms that the docs name, as files that a process of its own can load."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch

from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing


def zero_filled(kspace: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the transform of what is there."""
    centred = np.fft.ifftshift(kspace, axes=(-2, -1))
    return np.fft.fftshift(np.fft.ifft2(centred, norm="ortho"), axes=(-2, -1))[0]


def function() -> Any:
    """Return a function of k-space and mask."""
    return zero_filled


class Network(torch.nn.Module):
    """Transform k-space, as a module without weights does."""

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the image as two channels."""
        centred = torch.fft.ifftshift(torch.complex(kspace[:, 0], kspace[:, 1]), dim=(-2, -1))
        image = torch.fft.fftshift(torch.fft.ifft2(centred, norm="ortho"), dim=(-2, -1))
        return torch.stack([image.real, image.imag], dim=1)


class Threaded(ViewSharing):
    """Make each image on a thread of its own, and wait for it before the next line is taken."""

    def push(self, readout: Readout) -> None:
        """Take a line on another thread."""
        worker = threading.Thread(target=super().push, args=(readout,))
        worker.start()
        worker.join()
