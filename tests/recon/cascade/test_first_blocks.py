"""Blocks go from one patient to the next; the subspace, which is a patient's own, does not."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from mrsim.errors import InputError
from recon.cascade.checkpoint import Checkpoint
from recon.cascade.network import CascadeConfig
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from tests.recon.conftest import small_stream

SMALL = CascadeConfig(2, 2, 4, "subspace", "view-shared", math.inf, True, True, 2, 24, 20, 4, 3)
STILL = TrainingPlan((Stage("fine", 1, 1e-7),), columns=16, seed=8)
"""So slow that what is started from is what comes out."""


@pytest.fixture(scope="module")
def others() -> Checkpoint:
    return train_cascade(
        [small_stream(frames=60, seed=5)], SMALL, TrainingPlan((Stage("coarse", 2, 5e-3),), columns=16)
    )


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-4)


def test_blocks_are_taken_over_and_the_subspace_is_the_patients_own(others: Checkpoint) -> None:
    scans = [small_stream(frames=40, seed=6)]
    mine = train_cascade(scans, SMALL, STILL, blocks=others).cascade
    scratch = train_cascade(scans, SMALL, STILL).cascade
    known = others.cascade.state_dict()
    for name, value in mine.state_dict().items():
        if name.startswith("subspace."):
            assert torch.equal(value, scratch.state_dict()[name])
        else:
            assert near(value, known[name]), name
    assert not near(mine.state_dict()["subspace.mean"], known["subspace.mean"])
    assert not all(near(scratch.state_dict()[n], v) for n, v in known.items() if n.startswith("blocks."))


def test_what_is_started_from_names_the_training(others: Checkpoint) -> None:
    scans = [small_stream(frames=40, seed=6)]
    mine, scratch = train_cascade(scans, SMALL, STILL, blocks=others), train_cascade(scans, SMALL, STILL)
    assert len(mine.record["blocks"]) == 64
    assert "blocks" not in scratch.record


def test_blocks_of_another_make_are_refused(others: Checkpoint) -> None:
    scans = [small_stream(frames=40, seed=6)]
    with pytest.raises(InputError, match="the blocks to start from are of another configuration"):
        train_cascade(scans, dataclasses.replace(SMALL, filters=8), STILL, blocks=others)
    with pytest.raises(InputError, match="or all weights are given, too"):
        train_cascade(scans, others.cascade.config, STILL, first=others, blocks=others)
