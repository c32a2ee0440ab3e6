"""Every reconstructor that is wrong in a known way fails on the target, and the truth passes."""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np
import pytest

import mrsim
from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome
from harness.judge.result import RunResult
from harness.realtime.clock import VirtualClock
from harness.realtime.service import ConstantService
from mrsim.stream import Stream
from recon.protocol import Builder
from tests.harness.judge.mutants import Mutant, mutants, truth_itself

pytestmark = pytest.mark.slow

PATIENTS = ("patient1", "patient4", "patient5", "patient6")
PHANTOMS = ("quasar", *(PATIENTS if os.environ.get("MRSIM_MUTANTS") == "all" else ()))
"""By hand, with MRSIM_MUTANTS=all, of patients, too: that takes half an hour more."""
SILENT = {"black": "blank", "constant": "blank", "noise": "another anatomy", "frozen": "frozen"}
SECONDS = {"patient5": 90.0, "patient6": 90.0}  # these breathe slowly


@lru_cache(maxsize=1)
def scan(phantom: str) -> tuple[Stream, dict[str, Mutant]]:
    stream = mrsim.simulate(phantom, seconds=SECONDS.get(phantom, 60.0), acceleration=5, seed=1)
    other = mrsim.simulate("patient2", seconds=15, acceleration=5, seed=3)
    assert other.truth is not None
    return stream, mutants(stream, other.truth.image)


def judged(stream: Stream, build: Builder) -> RunResult:
    return evaluate(
        stream, "one", build, clock=VirtualClock(), service=ConstantService(1000), claim=0.9, beams=()
    )


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_every_mutant_fails_and_the_truth_passes(phantom: str) -> None:
    stream, wrong = scan(phantom)
    answers = {}
    for mutant in (truth_itself(stream), *wrong.values()):
        found = judged(stream, mutant.build)
        target = found.verdict.answer("target")
        assert target is not None
        assert found.margin is not None
        answers[mutant.name] = target.outcome
        if mutant.name in SILENT:
            assert found.margin.silent.kinds[SILENT[mutant.name]] > 0.5, mutant.name
            assert found.margin.silent.unflagged >= 1
        if np.isfinite(mutant.trace_m).all():
            traced = judged(stream, mutant.build_tracker).margin
            assert traced is not None
            assert traced.m95_mm is not None
            assert found.margin.m95_mm == pytest.approx(traced.m95_mm, abs=0.05), mutant.name
    expected = {"truth": Outcome.PASS} | dict.fromkeys(wrong, Outcome.FAIL)
    assert answers == expected
