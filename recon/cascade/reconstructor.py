"""The cascade in the stream: lines in, images out.

A cascade that starts from the subspace of the anatomy projects each line onto it as the line comes
(`recon.subspace.tracker`, which needs numba; without numba all lines are projected after a frame's last one).
A frame's last line then costs a small linear system. If the estimate explains the lines, it is the image.
Otherwise the blocks correct it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import CandidateError
from mrsim.stream import Header, Readout
from recon.cascade.checkpoint import Checkpoint, load
from recon.cascade.coil_inputs import coil_inputs
from recon.cascade.engines import accelerated, choose, forget_ranges, warm_up
from recon.cascade.inputs import CascadeInputs
from recon.cascade.state import CascadeState
from recon.cascade.threads import settle_threads
from recon.coils.sensitivities import Autocalibration
from recon.fourier import to_image
from recon.line_memory import LineMemory
from recon.protocol import ROOT_SUM, UNIFORM, Emit, Image
from recon.subspace.subspace import EXPLAINED_MISFIT, blend
from recon.target_instant import offset_ns

if TYPE_CHECKING:
    from recon.subspace.tracker import Estimate, Tracker


class OnlineCascade:
    """Run a trained cascade on lines as they come.

    Parameters
    ----------
    weights
        A checkpoint, a `.npz` file or the name of shipped weights.
    engine
        How the convolutions are computed, one of `recon.cascade.engines.ENGINES`.
    columns
        First column and the one past the last of a band that is shown before the whole image, for example
        around the target; None for none. The blocks see only the band, as in training. Data consistency in it
        is as exact as in the whole image.

    Attributes
    ----------
    notes
        The engine that runs and how it was chosen, once a scan is open.

    Raises
    ------
    CandidateError
        If the weights cannot be read, or there is no such engine here.
    """

    def __init__(
        self, weights: Checkpoint | str | Path, engine: str = "eager", columns: tuple[int, int] | None = None
    ) -> None:
        self._checkpoint = weights if isinstance(weights, Checkpoint) else load(weights)
        self._engine, self.notes, self._columns = engine, "", columns
        self._cascade = self._checkpoint.cascade
        if engine != "auto":
            self._cascade = accelerated(self._cascade, engine)

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan: run the network until it is warm, on as many threads as pay on this host.

        Raises
        ------
        CandidateError
            If the scan's matrix or coils are not those of the weights, or the band is not within it.
        """
        matrix, coils = tuple(self._checkpoint.record.get("matrix", ())), self._cascade.config.coils
        if matrix != header.matrix or header.coils != coils:
            raise CandidateError(
                f"cascade: the weights are for a matrix of {matrix} and {coils} coil{'s' * (coils > 1)}, the "
                f"stream has {header.matrix} and {header.coils}"
            )
        if self._columns is not None:
            (start, stop), grain = self._columns, self._cascade.config.grain
            if not 0 <= start < stop <= header.matrix[1] or start % grain or stop % grain:
                raise CandidateError(
                    f"cascade: columns {start} to {stop} of {header.matrix[1]}: expected a range of them, "
                    f"each a multiple of {grain}"
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
        if self._columns is not None:
            warm_up(self._cascade, self._inputs(0).band(slice(*self._columns)))
        self._block_threads = settle_threads(lambda: self._run_blocks(self._inputs(0)))
        for _ in self._reconstruct(0):
            pass
        forget_ranges(self._cascade)
        self._start()
        if self._tracker is not None:  # so small that waiting for a second thread takes longer than it saves
            torch.set_num_threads(1)

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image, and its band before it."""
        complete = self._memory.push(readout)
        if self._tracker is not None and self._memory.settled:
            self._tracker.follow(self._memory)
        if complete:
            shows_ns = self._header.echo_ns(readout.index) + self._shown_ns
            with torch.inference_mode():
                for columns, pixels in self._reconstruct(readout.index):
                    self._emit(Image(pixels, readout.frame, readout.index, shows_ns, columns))

    def close(self) -> None:
        """End the scan, and give torch back the threads that it had."""
        torch.set_num_threads(self._threads)

    def _start(self) -> None:
        config, subspace = self._cascade.config, self._cascade.subspace
        known = subspace if subspace is not None and config.coils > 1 else None
        mean = (config.coils > 1 and known is None) or "mean" in (config.start, *config.memories)
        # A spike that is carried on would be seen for long. To tell one takes the mean.
        mean = mean or config.recurrent
        self._memory = LineMemory(self._header, mean, spikes=not config.recurrent)
        self._coils = Autocalibration(self._header)
        self._state: CascadeState | None = None
        self._mistaken = 0
        self._maps = None if known is None else known.maps
        self.combination = ROOT_SUM if known is None else UNIFORM
        self._unshade: NDArray[np.float32] | None = None
        if known is not None:  # takes the coils' combination to a uniform coil's image
            shading = known.shading.numpy()
            self._unshade = np.divide(1, shading, out=np.zeros_like(shading), where=shading > 0)
        self._tracker: Tracker | None = None
        if subspace is not None and importlib.util.find_spec("numba") is not None:
            from recon.subspace.tracker import Tracker

            self._tracker = Tracker(subspace, self._checkpoint.scale, self._header.tr_ns / 1e9, self._columns)

    def _reconstruct(self, line: int) -> Iterator[tuple[tuple[int, int] | None, NDArray[np.complex64]]]:
        """Yield the band, if one is asked for, and the whole image."""
        for columns, pixels in self._combined(line):
            if self._unshade is None:
                yield columns, pixels
            else:
                yield columns, pixels * (self._unshade[:, slice(*columns)] if columns else self._unshade)

    def _combined(self, line: int) -> Iterator[tuple[tuple[int, int] | None, NDArray[np.complex64]]]:
        """Yield band and image, shaded as the coils' combination is."""
        tracker, estimate, columns = self._tracker, None, self._columns
        if tracker is not None:
            estimate = tracker.estimate(line)
            if self._explained(estimate.misfit):
                if columns is not None:
                    yield columns, tracker.band(estimate)
                yield None, tracker.image(estimate)
                return
        inputs = self._inputs(line, estimate)
        if tracker is None and inputs.misfit is not None and self._explained(float(inputs.misfit)):
            pixels = self._unscaled(to_image(inputs.named("subspace"), (-2,)))
            if columns is not None:
                yield columns, np.ascontiguousarray(pixels[:, slice(*columns)])
            yield None, pixels
            return
        own = torch.get_num_threads()
        torch.set_num_threads(self._block_threads)
        try:
            if columns is not None:
                yield columns, self._run_band(inputs, slice(*columns))
            yield None, self._run_blocks(inputs)
        finally:
            torch.set_num_threads(own)

    def _explained(self, misfit: float) -> bool:
        """Return whether the subspace explains the lines, so that the blocks have nothing to correct."""
        return misfit < EXPLAINED_MISFIT and self._cascade.config.learned

    def _run_blocks(self, inputs: CascadeInputs) -> NDArray[np.complex64]:
        """Return the image after all blocks, and carry on what the next frame needs."""
        with torch.inference_mode():
            if not self._cascade.config.recurrent:
                return self._unscaled(self._cascade(inputs))
            if self._memory.mistaken != self._mistaken:  # what was carried on has a spike in it
                self._mistaken, self._state = self._memory.mistaken, None
            state = self._cascade.step(inputs, self._state)
            # Not where rows have yet to come, nor what is not finite: then the next image begins anew.
            whole = bool((self._memory.newest >= 0).all())
            self._state = state if whole and state.is_finite() else None
            return self._unscaled(state.image)

    def _run_band(self, inputs: CascadeInputs, columns: slice) -> NDArray[np.complex64]:
        """Return a band of the image after all blocks, which see no more than the band."""
        band = inputs.band(columns)
        if not self._cascade.config.recurrent:
            return self._run_blocks(band)
        with torch.inference_mode():
            before = None if self._state is None else self._state.band(columns)
            return self._unscaled(self._cascade.step(band, before).image)

    def _unscaled(self, images: Tensor) -> NDArray[np.complex64]:
        """Return the only image of a batch on the scan's scale."""
        return np.asarray(images[0].numpy() * np.float32(self._checkpoint.scale), np.complex64)

    def _inputs(self, line: int, estimate: Estimate | None = None) -> CascadeInputs:
        memory, scale = self._memory, self._checkpoint.scale
        maps = self._coils.maps(memory) if self._maps is None else self._maps
        if maps is not None:
            inputs = coil_inputs(memory, maps, line, scale)
        else:
            inputs = CascadeInputs(
                mask=torch.from_numpy(memory.mask)[None],
                ages=torch.from_numpy(memory.ages(line))[None],
                shared=torch.from_numpy(memory.shared * np.float32(1 / scale)),
                mean=torch.from_numpy(memory.mean * np.float32(1 / scale)),
            )
        if self._cascade.subspace is None:
            return inputs
        if self._tracker is None:
            header = self._header
            return self._cascade.prepare(inputs, header.lines_seen * header.tr_ns / 1e9)
        estimate = estimate or self._tracker.estimate(line)
        misfit = torch.tensor([estimate.misfit])
        start = blend(self._tracker.hybrid(estimate), inputs.shared, misfit)
        return dataclasses.replace(inputs, subspace=start, misfit=misfit)
