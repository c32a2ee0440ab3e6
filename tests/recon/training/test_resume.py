"""A training that is killed goes on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from mrsim.errors import InputError
from recon.cascade.network import CascadeConfig
from recon.data.augmentation import Augmentation
from recon.training import run as training_run
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from tests.recon.conftest import small_stream

SMALL = CascadeConfig(2, 2, 4, "mean", "view-shared", math.inf, True, True, 2, 24)
PLAN = TrainingPlan(
    (Stage("coarse", 3, 5e-3), Stage("fine", 2, 1e-3)), columns=16, seed=3, augmentation=Augmentation()
)
STEPS = 5 * 6


class Killed(Exception):
    """Stands for the end of the process; nothing of the run is used after it."""


def interrupted(scans, state, after, plan=PLAN, config=SMALL, **more):
    def progress(now):
        if now.done == after:
            raise Killed

    with pytest.raises(Killed):
        train_cascade(scans, config, plan, state=state, progress=progress, **more)


def weights(checkpoint):
    return checkpoint.cascade.state_dict()


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def scans():
    return [small_stream(frames=30, seed=5)]


@pytest.fixture(scope="module")
def straight(scans):
    return train_cascade(scans, SMALL, PLAN)


@pytest.mark.parametrize(
    ("after", "save_every_s"), [(1, 0.0), (4, 0.0), (18, 0.0), (19, 0.0), (8, 1e9), (29, 1e9)]
)
def test_resuming_equals_not_stopping(after, save_every_s, scans, straight, tmp_path, monkeypatch):
    """Killed within an epoch, at its end and between stages; the state is written often or once an epoch."""
    monkeypatch.setattr(training_run, "SAVE_EVERY_S", save_every_s)
    state = tmp_path / "w.training"
    interrupted(scans, state, after)
    steps = []
    resumed = train_cascade(scans, SMALL, PLAN, state=state, progress=steps.append)
    assert same(weights(resumed), weights(straight))
    untimed = [
        [{k: v for k, v in e.items() if k != "seconds"} for e in c.record["losses"]]
        for c in (resumed, straight)
    ]
    assert untimed[0] == untimed[1]
    assert steps[-1].total == STEPS
    assert len(steps) < STEPS or after == 1  # it did go on, and not start again
    assert [p.name for p in tmp_path.iterdir()] == ["w.training"]


def test_killed_twice(scans, straight, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "SAVE_EVERY_S", 0.0)
    interrupted(scans, tmp_path / "s", 7)
    interrupted(scans, tmp_path / "s", 21)
    assert same(weights(train_cascade(scans, SMALL, PLAN, state=tmp_path / "s")), weights(straight))


def test_a_finished_training_is_not_run_again(scans, straight, tmp_path):
    train_cascade(scans, SMALL, PLAN, state=tmp_path / "s")
    steps = []
    again = train_cascade(scans, SMALL, PLAN, state=tmp_path / "s", progress=steps.append)
    assert steps == []
    assert same(weights(again), weights(straight))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"batch": 5},
        {"augmentation": None},
        {"stages": (Stage("coarse", 3, 5e-3), Stage("fine", 3, 1e-3))},
    ],
)
def test_the_state_of_another_training_is_refused(change, scans, tmp_path):
    interrupted(scans, tmp_path / "s", 8)
    with pytest.raises(InputError, match=r"other data or settings.*--restart"):
        train_cascade(scans, SMALL, dataclasses.replace(PLAN, **change), state=tmp_path / "s")


def test_other_data_are_refused(scans, tmp_path):
    interrupted(scans, tmp_path / "s", 8)
    with pytest.raises(InputError, match="other data"):
        train_cascade([small_stream(frames=30, seed=6)], SMALL, PLAN, state=tmp_path / "s")


@pytest.mark.parametrize("kind", ["truncated", "text", "pickle", "missing"])
def test_a_damaged_state_is_refused(kind, scans, tmp_path):
    state = tmp_path / "s"
    interrupted(scans, state, 8)
    if kind == "truncated":
        state.write_bytes(state.read_bytes()[:900])
    elif kind == "text":
        state.write_text("state")
    elif kind == "pickle":
        with state.open("wb") as file:
            np.savez(file, record=np.array({"a": 1}, dtype=object))
    else:
        with np.load(state) as archive:
            kept = {k: archive[k] for k in archive.files if not k.endswith("bias")}
        with state.open("wb") as file:
            np.savez(file, **kept)
    with pytest.raises(InputError, match="damaged"):
        train_cascade(scans, SMALL, PLAN, state=state)


def test_patience_ends_a_stage_at_its_best_epoch(scans):
    """At an absurd rate validation soon rises; what is returned is the best epoch's network."""
    plan = TrainingPlan((Stage("coarse", 12, 0.3),), columns=16, seed=3, patience=2)
    found = train_cascade(scans, SMALL, plan)
    seen = [e["validation"] for e in found.record["losses"]]
    best = int(np.argmin(seen))
    assert len(seen) == best + 3 < 12
    short = dataclasses.replace(plan, stages=(Stage("coarse", 12, 0.3),), patience=2)
    assert same(weights(train_cascade(scans, SMALL, short)), weights(found))
    # The same steps up to that epoch, and nothing after it.
    kept = {}

    def progress(now):
        if now.done == (best + 1) * 6 + 1:
            raise Killed

    original = training_run.TrainingRun._end_epoch

    def spy(self, stage):
        original(self, stage)
        kept[self.position.epoch] = self._weights()

    training_run.TrainingRun._end_epoch = spy
    try:
        with pytest.raises(Killed):
            train_cascade(scans, SMALL, plan, progress=progress)
    finally:
        training_run.TrainingRun._end_epoch = original
    assert same(kept[best + 1], weights(found))


def test_a_training_can_start_from_weights(scans, straight):
    plan = TrainingPlan((Stage("fine", 1, 1e-6),), columns=16, seed=8)
    near = weights(train_cascade(scans, SMALL, plan, first=straight))
    far = weights(train_cascade(scans, SMALL, plan))
    assert all(torch.allclose(near[k], v, atol=1e-3) for k, v in weights(straight).items())
    assert not all(torch.allclose(far[k], v, atol=1e-3) for k, v in weights(straight).items())
    with pytest.raises(InputError, match="another configuration"):
        train_cascade(scans, dataclasses.replace(SMALL, filters=8), plan, first=straight)


@pytest.mark.parametrize("start", ["first", "blocks"])
def test_what_the_weights_to_start_from_had_seen_is_carried_on(scans, straight, start):
    plan, other = TrainingPlan((Stage("fine", 1, 1e-6),), columns=16, seed=8), [small_stream(seed=41)]
    once = train_cascade(other, SMALL, plan, **{start: straight})
    assert straight.record["before"] == []
    assert once.record["before"] == straight.record["data"] != once.record["data"]
    twice = train_cascade(scans[:1], SMALL, plan, **{start: once})
    assert twice.record["before"] == once.record["data"] + straight.record["data"]
    mute = dataclasses.replace(straight, record={})
    assert train_cascade(other, SMALL, plan, **{start: mute}).record["before"] == [{}]


def test_redrawn_scans_are_what_an_epoch_sees(scans):
    asked = []

    def redraw(epoch):
        asked.append(epoch)
        return [small_stream(frames=30, seed=20 + epoch)]

    plan = TrainingPlan((Stage("coarse", 2, 5e-3), Stage("fine", 1, 1e-3)), columns=16, seed=3)
    drawn = train_cascade(scans, SMALL, plan, redraw=redraw)
    assert asked == [0, 1, 2]
    assert drawn.record["redrawn"] is True
    assert not same(weights(drawn), weights(train_cascade(scans, SMALL, plan)))


def test_targets_are_what_is_learned(scans):
    """Towards an image of zeros, the validation error is measured against zeros."""
    zeros = [np.full_like(s.truth.image, 1e-3) for s in scans]
    plan = TrainingPlan((Stage("coarse", 1, 1e-6),), columns=16, seed=3)
    found = train_cascade(scans, SMALL, plan, targets=zeros).record["losses"][0]["validation"]
    assert found > 100 * train_cascade(scans, SMALL, plan).record["losses"][0]["validation"]
