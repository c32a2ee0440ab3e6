"""Flat memory: how long it is weighed goes by the processor, so that a busy host hides no leak."""

from __future__ import annotations

import itertools

import pytest

from harness.audits import memory
from harness.audits.bench import Bench, default_stream
from recon.classical.zero_filled import ViewSharing


@pytest.mark.parametrize(
    ("wall_s", "used_s", "frames"),
    [(3.0, 0.5, 100), (5.0, 0.5, memory.LEAST_FRAMES), (1.0, 1.5, memory.LEAST_FRAMES)],
    ids=["a busy host", "who sleeps", "who computes"],
)
def test_weighing_ends_by_processor_time(
    wall_s: float, used_s: float, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are shares of the limit, of which the wall clock has four times as much."""
    played: list[int] = []
    bench = Bench(default_stream(seed=3, frames=24, matrix=(32, 32)), ViewSharing, 1, played=played.append)
    played.clear()
    began = itertools.chain([0.0], itertools.repeat(wall_s * memory.LIMIT_S))
    used = itertools.chain([0.0], itertools.repeat(used_s * memory.LIMIT_S))
    monkeypatch.setattr(memory, "FRAMES", 100)
    monkeypatch.setattr(memory.time, "monotonic", lambda: next(began))
    monkeypatch.setattr(memory.time, "process_time", lambda: next(used))
    memory.audit_memory(bench)
    assert sum(played) == frames
