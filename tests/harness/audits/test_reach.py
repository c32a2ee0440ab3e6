"""Consumption: a line is used where it counts for what it holds, and a trace of it is no use."""

from __future__ import annotations

import dataclasses

import pytest

from harness.audits.bench import Bench, default_stream
from harness.audits.reach import audit_consumption
from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing

SCAN = default_stream(seed=3, frames=24, matrix=(32, 32))


@pytest.mark.parametrize(
    ("weight", "found"), [(1e-6, True), (1e-5, True), (1e-3, False), (0.1, False), (1.0, False)]
)
def test_a_line_that_counts_for_next_to_nothing_is_not_used(weight: float, found: bool) -> None:
    class Weighs(ViewSharing):
        def push(self, readout: Readout) -> None:
            if readout.index % 8 == 5:
                readout = dataclasses.replace(readout, samples=readout.samples * weight)
            super().push(readout)

    fault = audit_consumption(Bench(SCAN, Weighs, 1)).fault
    assert (fault is not None and "of its change in it, 1e-09 is the least" in fault) == found
