"""The cascade in the stream: lines in, images out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import InputError
from mrsim.stream import Header, Readout
from recon.cascade import Inputs
from recon.checkpoint import Checkpoint, load
from recon.fourier import to_image
from recon.instants import offset_ns
from recon.memory import LineMemory
from recon.protocol import Emit, Image
from recon.threads import settle_threads

EXPLAINED = 1.05
"""Misfit below which the subspace explains the lines to within their noise, some 5 standard deviations above
1: there is nothing for the blocks to mend, and the image is out five times as fast."""


class OnlineCascade:
    """Run a trained cascade on lines as they come.

    Parameters
    ----------
    weights
        A checkpoint, a `.npz` file or the name of shipped weights.

    Raises
    ------
    InputError
        If the weights cannot be read.
    """

    def __init__(self, weights: Checkpoint | str | Path) -> None:
        self._checkpoint = weights if isinstance(weights, Checkpoint) else load(weights)
        self._cascade = self._checkpoint.cascade

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan: run the network until it is warm, on as many threads as pay on this host.

        Raises
        ------
        InputError
            If the scan's matrix or coils are not those of the weights.
        """
        matrix = tuple(self._checkpoint.record.get("matrix", ()))
        if matrix != header.matrix or header.coils != 1:
            raise InputError(
                f"cascade: the weights are for a matrix of {matrix} and 1 coil, the stream has "
                f"{header.matrix} and {header.coils}"
            )
        config = self._cascade.config
        self._header, self._emit = header, emit
        self._memory = LineMemory(header, mean="mean" in (config.start, *config.memories))
        self._shown_ns = offset_ns(str(self._checkpoint.record.get("target_instant", "last")), header)
        self._threads = torch.get_num_threads()
        self._opened = False  # what is timed is the whole cascade
        settle_threads(lambda: self._reconstruct(0))
        self._opened = True

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if self._memory.push(readout):
            pixels = self._reconstruct(readout.index)
            shows_ns = self._header.echo_ns(readout.index) + self._shown_ns
            self._emit(Image(pixels, readout.frame, readout.index, shows_ns))

    def close(self) -> None:
        """End the scan, and give torch back the threads that it had."""
        torch.set_num_threads(self._threads)

    def _reconstruct(self, line: int) -> NDArray[np.complex64]:
        scale = np.float32(1.0 / self._checkpoint.scale)
        memory = self._memory
        inputs = Inputs(
            mask=torch.from_numpy(memory.mask)[None],
            ages=torch.from_numpy(memory.ages(line))[None],
            shared=torch.from_numpy(memory.shared * scale),
            mean=torch.from_numpy(memory.mean * scale),
        )
        with torch.inference_mode():
            prepared = self._cascade.prepare(inputs, self._header.frame_ns / 1e9)
            image = self._image(prepared)[0].numpy()
        return np.asarray(image * np.float32(self._checkpoint.scale), np.complex64)

    def _image(self, inputs: Inputs) -> Tensor:
        """Return the image, shape (1, ny, nx): of all blocks, or of none where they have nothing to mend."""
        explained = inputs.misfit is not None and float(inputs.misfit) < EXPLAINED
        if explained and self._cascade.config.learned and self._opened:
            return to_image(inputs.named("subspace"), (-2,))
        shown: Tensor = self._cascade(inputs)
        return shown
