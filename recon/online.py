"""The cascade in the stream: lines in, images out.

Where the cascade starts from the subspace of the anatomy, what its lines say is worked out as they come
(`recon.tracking`). A frame's last line then costs a small linear system, and where the estimate explains the
lines, that is the image. Else the blocks mend it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import InputError
from mrsim.stream import Header, Readout
from recon.cascade import Inputs
from recon.checkpoint import Checkpoint, load
from recon.engines import accelerated, choose, forget_ranges, warm_up
from recon.instants import offset_ns
from recon.memory import LineMemory
from recon.protocol import Emit, Image
from recon.subspace import EXPLAINED, believed
from recon.threads import settle_threads
from recon.tracking import Estimate, Tracker


class OnlineCascade:
    """Run a trained cascade on lines as they come.

    Parameters
    ----------
    weights
        A checkpoint, a `.npz` file or the name of shipped weights.
    engine
        How the convolutions are computed, one of `recon.engines.ENGINES`.

    Attributes
    ----------
    notes
        Which engine runs, and why, once a scan is open.

    Raises
    ------
    InputError
        If the weights cannot be read, or there is no such engine here.
    """

    def __init__(self, weights: Checkpoint | str | Path, engine: str = "eager") -> None:
        self._checkpoint = weights if isinstance(weights, Checkpoint) else load(weights)
        self._engine, self.notes = engine, ""
        self._cascade = self._checkpoint.cascade
        if engine != "auto":
            self._cascade = accelerated(self._cascade, engine)

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
        self._header, self._emit = header, emit
        self._shown_ns = offset_ns(str(self._checkpoint.record.get("target_instant", "last")), header)
        self._threads = torch.get_num_threads()
        self._start()
        if self._engine == "auto":
            inputs = self._inputs(0)
            self._cascade, self.notes = choose(self._checkpoint.cascade, inputs)
        elif self._engine != "eager":
            self.notes = f"engine {self._engine}"
        warm_up(self._cascade, self._inputs(0))
        settle_threads(lambda: self._mend(0))  # the longest way there is
        self._reconstruct(0)
        forget_ranges(self._cascade)
        self._start()

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        complete = self._memory.push(readout)
        if self._tracker is not None:
            self._tracker.follow(self._memory)
        if complete:
            with torch.inference_mode():
                pixels = self._reconstruct(readout.index)
            shows_ns = self._header.echo_ns(readout.index) + self._shown_ns
            self._emit(Image(pixels, readout.frame, readout.index, shows_ns))

    def close(self) -> None:
        """End the scan, and give torch back the threads that it had."""
        torch.set_num_threads(self._threads)

    def _start(self) -> None:
        config, subspace = self._cascade.config, self._cascade.subspace
        self._memory = LineMemory(self._header, mean="mean" in (config.start, *config.memories))
        self._tracker: Tracker | None = None
        if subspace is not None:
            self._tracker = Tracker(subspace, self._checkpoint.scale, self._header.tr_ns / 1e9)

    def _reconstruct(self, line: int) -> NDArray[np.complex64]:
        if self._tracker is None:
            return self._mend(line)
        estimate = self._tracker.estimate(line)
        if estimate.misfit < EXPLAINED and self._cascade.config.learned:
            return self._tracker.image(estimate)
        return self._mend(line, estimate)

    def _mend(self, line: int, estimate: Estimate | None = None) -> NDArray[np.complex64]:
        """Return the image of all blocks."""
        with torch.inference_mode():
            image: Tensor = self._cascade(self._inputs(line, estimate))
        return np.asarray(image[0].numpy() * np.float32(self._checkpoint.scale), np.complex64)

    def _inputs(self, line: int, estimate: Estimate | None = None) -> Inputs:
        memory, scale = self._memory, self._checkpoint.scale
        shared = torch.from_numpy(memory.shared * np.float32(1 / scale))
        inputs = Inputs(
            mask=torch.from_numpy(memory.mask)[None],
            ages=torch.from_numpy(memory.ages(line))[None],
            shared=shared,
            mean=torch.from_numpy(memory.mean * np.float32(1 / scale)),
        )
        if self._tracker is not None:
            estimate = estimate or self._tracker.estimate(line)
            misfit = torch.tensor([estimate.misfit])
            start = believed(self._tracker.hybrid(estimate), shared, misfit)
            inputs = dataclasses.replace(inputs, subspace=start, misfit=misfit)
        return inputs
