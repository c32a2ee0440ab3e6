"""What a step of training costs: four bands of 32 columns, as `mrsim train` takes them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import mrsim
from harness.testing.benchmark_table import enter
from recon.cascade.network import named_config
from recon.training.plan import Progress, Stage, TrainingPlan
from recon.training.train import train_cascade

WARM = 2


@pytest.mark.benchmark(group="training")
@pytest.mark.parametrize("name", ["dietz2019", "population"])
def test_a_step(benchmark: BenchmarkFixture, name: str) -> None:
    scan = mrsim.simulate("quasar", frames=50, acceleration=4, seed=1)
    plan = TrainingPlan((Stage("coarse", 1, 1e-3),), batch=4, columns=32, validation=0.1)
    done_s: list[float] = []

    def told(progress: Progress) -> None:
        done_s.append(time.perf_counter())

    benchmark.pedantic(train_cascade, args=([scan], named_config(name), plan), kwargs={"progress": told})
    steps = np.diff(done_s)[WARM:] * 1e9
    what = f"a step of {name}, 4 bands of 32 columns"
    enter(benchmark, "training", what, size="128 x 128, 1", times_ns=steps)
