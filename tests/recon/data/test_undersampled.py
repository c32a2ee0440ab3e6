"""Fully sampled frames, undersampled afterwards in training."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from mrsim.errors import InputError
from recon.cascade.network import CascadeConfig
from recon.data.examples import batch_of
from recon.data.undersampled import full_examples, undersampled
from recon.fourier import to_image
from recon.training import run as training_run
from recon.training.plan import Stage, TrainingPlan
from recon.training.run import squared_error
from recon.training.train import train_cascade
from tests.recon.conftest import small_stream

PLAIN = CascadeConfig(2, 3, 8, "zero-filled", "", math.inf, True, False, 1, 24)
PLAN = TrainingPlan(
    (Stage("coarse", 3, 5e-3), Stage("fine", 2, 1e-3)),
    columns=16,
    seed=3,
    undersample=4.0,
    target_instant="centre",
)


def full_stream(frames: int = 20, seed: int = 1):
    """Scan all 24 rows in every frame, their order drawn, the blob moving meanwhile."""
    found = small_stream(frames=frames, lines=24, seed=seed)
    assert all(len(set(found.ky[found.frame == f])) == 24 for f in range(frames))
    return found


def test_targets_are_the_images_of_all_lines_of_each_frame():
    stream = full_stream()
    full = full_examples(stream)
    for examples in (full, undersampled(full, 4.0, 7, "epoch", 2, 0)):
        assert len(examples) == stream.frames
        for frame in range(stream.frames):
            kspace = np.zeros((24, 20), np.complex64)
            kspace[stream.ky[stream.frame == frame] + 12] = stream.samples[stream.frame == frame, 0]
            assert np.allclose(examples.target[frame], to_image(kspace), atol=1e-5)
    assert not np.allclose(full.target, stream.truth.image, atol=1e-2)  # noise, and motion in the frame


def test_the_input_is_the_frames_own_lines_of_the_pattern_and_nothing_else():
    stream = full_stream()
    full = full_examples(stream)
    thin = undersampled(full, 4.0, 7, "epoch", 0, 0)
    assert (thin.mask.sum(1) == 6).all()
    assert thin.mask[:, 12].all()  # the centre is always there
    assert np.array_equal(thin.shared[thin.mask], full.shared[thin.mask])
    assert not thin.shared[~thin.mask].any()
    assert not thin.mean.any()
    for frame in range(stream.frames):  # a line's age is the time from its own echo to the frame's last
        mine = stream.frame == frame
        age = (stream.t_ns[mine][-1] - stream.t_ns[mine]) / stream.header.frame_ns
        assert np.allclose(thin.ages[frame, stream.ky[mine] + 12], age, atol=1e-6)


def test_patterns_differ_between_frames_epochs_scans_and_seeds_and_come_again():
    full = full_examples(full_stream())
    first = undersampled(full, 4.0, 7, "epoch", 0, 0).mask
    assert np.array_equal(first, undersampled(full, 4.0, 7, "epoch", 0, 0).mask)
    for seed, use in ((7, ("epoch", 1, 0)), (7, ("epoch", 0, 1)), (8, ("epoch", 0, 0)), (7, ("check", 0))):
        other = undersampled(full, 4.0, seed, *use).mask
        assert np.mean((first != other).any(1)) > 0.8
    assert np.mean((first[1:] != first[:-1]).any(1)) > 0.8


def test_a_training_sees_new_patterns_in_every_epoch_and_the_same_validation(monkeypatch):
    seen, checked = [], []
    batch, whole = training_run.batch_of, training_run.whole

    def spy(sets, rows, scale):
        seen.append(sets[0].mask)
        return batch(sets, rows, scale)

    def spy_whole(sets, scale):
        checked.append(sets[0].mask)
        return whole(sets, scale)

    monkeypatch.setattr(training_run, "batch_of", spy)
    monkeypatch.setattr(training_run, "whole", spy_whole)
    train_cascade([full_stream()], PLAIN, PLAN)
    epochs = seen[:: len(seen) // 5]
    assert all((a != b).any(1).mean() > 0.8 for i, a in enumerate(epochs) for b in epochs[:i])
    assert all(np.array_equal(mask, checked[0]) for mask in checked)
    assert (checked[0].sum(1) == 6).all()


class Killed(Exception):
    """Stands for the end of the process."""


def test_resuming_gives_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "SAVE_EVERY_S", 0.0)
    plan = dataclasses.replace(PLAN, precision="bfloat16")
    straight = train_cascade([full_stream()], PLAIN, plan).cascade.state_dict()

    def progress(now):
        if now.done == 11:
            raise Killed

    with pytest.raises(Killed):
        train_cascade([full_stream()], PLAIN, plan, state=tmp_path / "s", progress=progress)
    resumed = train_cascade([full_stream()], PLAIN, plan, state=tmp_path / "s").cascade.state_dict()
    assert all(torch.equal(straight[k], resumed[k]) for k in straight)
    with pytest.raises(InputError, match="other data or settings"):
        train_cascade(
            [full_stream()], PLAIN, dataclasses.replace(plan, undersample=3.0), state=tmp_path / "s"
        )


def test_it_shows_what_all_lines_would_for_patterns_of_a_scan_it_never_saw():
    plan = dataclasses.replace(PLAN, stages=(Stage("coarse", 15, 5e-3),))
    result = train_cascade([full_stream(frames=60, seed=5)], PLAIN, plan)
    assert (result.record["undersampled"], result.record["target_instant"]) == (4.0, "centre")
    thin = undersampled(full_examples(full_stream(seed=77)), 4.0, 9, "test")
    inputs, wanted = batch_of([thin], np.array([(0, f) for f in range(20)]), result.scale)
    with torch.inference_mode():
        ours = squared_error(result.cascade(inputs), wanted).mean()
        zero_filled = squared_error(to_image(inputs.named("zero-filled"), (-2,)), wanted).mean()
    assert ours < 0.5 * zero_filled


def test_what_cannot_be_undersampled_is_refused():
    with pytest.raises(InputError, match=r"frame 0 holds 8 of 24 rows.*--acceleration 1"):
        full_examples(small_stream())
    with pytest.raises(InputError, match="at least 10"):
        full_examples(full_stream(frames=4))
    with pytest.raises(InputError, match="2 coils"):
        full_examples(small_stream(lines=24, maps=np.ones((2, 24, 20), np.complex64)))
    with pytest.raises(InputError, match="--target-instant centre"):
        dataclasses.replace(PLAN, target_instant="last")
    for bad in (0.5, math.nan, math.inf):
        with pytest.raises(InputError, match="undersample"):
            dataclasses.replace(PLAN, undersample=bad)
    for start, memory in (("mean", ""), ("zero-filled", "view-shared")):
        config = dataclasses.replace(PLAIN, start=start, memory=memory)
        with pytest.raises(InputError, match="--network dietz2019"):
            train_cascade([full_stream()], config, PLAN)
    with pytest.raises(InputError, match="--redraw"):
        train_cascade([full_stream()], PLAIN, PLAN, redraw=lambda epoch: [full_stream()])
    with pytest.raises(InputError, match="acceleration = 100"):
        train_cascade([full_stream()], PLAIN, dataclasses.replace(PLAN, undersample=100.0))
