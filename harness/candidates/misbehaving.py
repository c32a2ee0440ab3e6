"""Candidates that misbehave on purpose: raise, hang, stall, or emit an image of the wrong shape.

They show what the bench does about it. Those that hang need a process of their own
(`harness.candidates.isolation`).
"""

from __future__ import annotations

import time

import numpy as np

from harness.realtime.faults import CANDIDATE_KINDS, Fault
from mrsim.seeds import child
from mrsim.stream import Header, Readout
from recon.protocol import UNIFORM, Emission, Emit, Image, Reconstructor

# Lines whose troubles are drawn at once.
BLOCK = 4096


class Troubled:
    """Wrap a reconstructor so that it misbehaves at some lines.

    Parameters
    ----------
    inner
        The reconstructor.
    faults
        All faults of the run; those of the stream are not for here.
    seed
        Seed of where they strike.
    """

    def __init__(self, inner: Reconstructor, faults: tuple[Fault, ...], seed: int) -> None:
        self._inner = inner
        self._faults = [(n, fault) for n, fault in enumerate(faults) if fault.kind in CANDIDATE_KINDS]
        self._seed = seed
        self._drawn: dict[int, tuple[int, set[int]]] = {}
        self._misshape = False

    @property
    def combination(self) -> str:
        """Return how the reconstructor combines coils, as it says once it is open."""
        return getattr(self._inner, "combination", UNIFORM)

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""

        def passed(image: Emission) -> None:
            if self._misshape:
                self._misshape = False
                image = Image(np.zeros((1, 1), np.complex64), image.frame, image.last_line)
            emit(image)

        self._inner.open(header, passed)

    def push(self, readout: Readout) -> None:
        """Misbehave, if it is the line for it, then take the line."""
        for number, fault in self._faults:
            if self._strikes(number, fault, readout.index):
                self._do(fault, readout.index)
        self._inner.push(readout)

    def close(self) -> None:
        """End the scan."""
        self._inner.close()

    def _do(self, fault: Fault, line: int) -> None:
        if fault.kind == "raise":
            raise RuntimeError(f"trouble was asked for at k-space line {line}")
        if fault.kind == "stall":
            time.sleep(fault.options["ms"] * 1e-3)
        elif fault.kind == "shape":
            self._misshape = True
        else:
            while True:
                time.sleep(1.0)

    def _strikes(self, number: int, fault: Fault, line: int) -> bool:
        if fault.where == "at":
            return int(fault.value) <= line < int(fault.value) + fault.burst
        block = line // BLOCK
        known, lines = self._drawn.get(number, (-1, set()))
        if known != block:
            rng = np.random.default_rng(child(self._seed, "trouble", number, block))
            struck = np.flatnonzero(fault.struck(BLOCK, rng)) + block * BLOCK
            if fault.where == "every":
                struck = np.arange(block * BLOCK, (block + 1) * BLOCK)
                every = int(fault.value)
                struck = struck[(struck - every + 1) % every < fault.burst]
                struck = struck[struck >= every - 1]
            lines = set(struck.tolist())
            self._drawn[number] = (block, lines)
        return line in lines
