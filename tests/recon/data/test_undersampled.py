"""Fully sampled frames, undersampled afterwards in training."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from mrsim.errors import InputError
from recon.cascade.network import CascadeConfig, named_config
from recon.coils.combination import combine
from recon.data.examples import batch_of, examples_of
from recon.data.undersampled import full_examples, full_rows, thin_scan, undersampled
from recon.fourier import to_image
from recon.training import run as training_run
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from recon.training.wanted import squared_error
from tests.recon.classical.opponents import coil_maps
from tests.recon.conftest import small_stream

PLAIN = CascadeConfig(2, 3, 8, "zero-filled", "", math.inf, True, False, 1, 24)
MEMORY = CascadeConfig(
    1, 2, 6, "previous", "view-shared+mean", math.inf, True, True, 2, 24, features=4, context=6
)
PLAN = TrainingPlan(
    (Stage("coarse", 3, 5e-3), Stage("fine", 2, 1e-3)),
    columns=16,
    seed=3,
    undersample=4.0,
    target_instant="centre",
)


def full_stream(frames: int = 20, seed: int = 1, coils: int = 1):
    """Scan all 24 rows in every frame, their order drawn, the blob moving meanwhile."""
    maps = coil_maps(coils, 24, 20) if coils > 1 else None
    found = small_stream(frames=frames, lines=24, seed=seed, maps=maps)
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
    batch, in_order = training_run.TrainingRun._batch, training_run.in_order

    def spy(self, learn, *which):
        seen.append(learn[0].mask)
        return batch(self, learn, *which)

    def spy_in_order(sets):
        checked.append(sets[0].mask)
        return in_order(sets)

    monkeypatch.setattr(training_run.TrainingRun, "_batch", spy)
    monkeypatch.setattr(training_run, "in_order", spy_in_order)
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


@pytest.mark.parametrize("coils", [1, 4])
def test_a_thin_scan_is_the_kept_lines_of_each_frame_and_all_of_the_first(coils):
    stream = full_stream(coils=coils)
    thin = thin_scan(stream, 4.0, 7, "epoch", 0, 0)
    assert thin.truth is None
    assert thin.header.lines_per_frame == 6
    assert thin.frames == 4 + stream.frames - 1
    assert len(set(thin.ky[:24].tolist())) == 24
    for frame in range(1, stream.frames):
        kept, own = np.flatnonzero(thin.frame == frame + 3), np.flatnonzero(stream.frame == frame)
        assert len(set(thin.ky[kept].tolist())) == 6
        assert 0 in thin.ky[kept]
        line = {int(stream.ky[n]): n for n in own}
        at = [line[int(thin.ky[n])] for n in kept]
        assert at == sorted(at)  # in the order in which they came
        assert np.array_equal(thin.samples[kept], stream.samples[at])
    assert thin.header.frame_ns == stream.header.frame_ns
    patterns = {tuple(sorted(thin.ky[thin.frame == frame].tolist())) for frame in range(4, thin.frames)}
    assert len(patterns) > 0.8 * (stream.frames - 1)
    other = thin_scan(stream, 4.0, 7, "epoch", 1, 0)
    assert not np.array_equal(other.ky, thin.ky)


@pytest.mark.parametrize("lines", [5, 7, 9, 10])
def test_a_frame_that_lines_do_not_divide_is_begun_whole(lines):
    stream = full_stream()
    thin = thin_scan(stream, 24 / lines, 7, "epoch", 0, 0)
    short = -(-24 // lines)
    assert thin.header.lines_per_frame == lines
    assert len(set(thin.ky[: short * lines].tolist())) == 24
    assert len(examples_of(thin, full=full_rows(stream)[1])) == stream.frames


@pytest.mark.parametrize("coils", [1, 4])
def test_a_memory_is_held_to_the_images_of_all_lines_as_its_coils_are_combined(coils):
    stream = full_stream(coils=coils)
    examples = examples_of(thin_scan(stream, 4.0, 7, "epoch", 0, 0), full=full_rows(stream)[1])
    assert len(examples) == stream.frames
    for frame in range(stream.frames):
        own = stream.frame == frame
        kspace = np.zeros((coils, 24, 20), np.complex64)
        kspace[:, stream.ky[own] + 12] = stream.samples[own].swapaxes(0, 1)
        expected = to_image(kspace)[0]
        if examples.coils is not None:
            maps = torch.from_numpy(examples.coils.maps_of(frame))
            expected = combine(to_image(torch.from_numpy(kspace), (-1,)), maps).numpy()
        assert np.allclose(examples.target[frame], expected, atol=1e-5)
        sampled = stream.ky[own][np.isin(stream.ky[own] + 12, np.flatnonzero(examples.mask[frame]))]
        assert len(sampled) == 6


@pytest.mark.parametrize("coils", [1, 4])
def test_a_network_with_a_memory_learns_from_whole_frames(coils):
    plan = dataclasses.replace(PLAN, stages=(Stage("coarse", 20, 5e-3), Stage("fine", 5, 1e-3)), batch=2)
    config = dataclasses.replace(MEMORY, coils=coils)
    blind = dataclasses.replace(full_stream(80, 5, coils), truth=None)
    made = train_cascade([blind], config, plan)
    test = full_stream(40, 77, coils)
    thin = examples_of(thin_scan(test, 4.0, 9, "test"), full=full_rows(test)[1])
    state, ours, shared = None, 0.0, 0.0
    for frame in range(len(thin)):
        inputs, wanted = batch_of([thin], np.array([(0, frame)]), made.scale)
        with torch.inference_mode():
            state = made.cascade.step(inputs, state)
        if frame > 4:
            ours += float(squared_error(state.image, wanted).sum())
            shared += float(squared_error(to_image(inputs.shared, (-2,)), wanted).sum())
    assert ours < 0.6 * shared


def test_what_cannot_be_undersampled_is_refused():
    with pytest.raises(InputError, match=r"frame 0 holds 8 of 24 rows.*--acceleration 1"):
        full_examples(small_stream())
    with pytest.raises(InputError, match="at least 10"):
        full_examples(full_stream(frames=4))
    with pytest.raises(InputError, match="--target-instant centre"):
        dataclasses.replace(PLAN, target_instant="last")
    for bad in (0.5, math.nan, math.inf):
        with pytest.raises(InputError, match="undersample"):
            dataclasses.replace(PLAN, undersample=bad)
    with pytest.raises(InputError, match="a subspace is learnt from true images"):
        train_cascade([full_stream()], named_config("compact", 24, 20), PLAN)
    with pytest.raises(InputError, match=r"frame 0 holds 8 of 24 rows"):
        train_cascade([small_stream()], MEMORY, PLAN)
    with pytest.raises(InputError, match="--redraw"):
        train_cascade([full_stream()], PLAIN, PLAN, redraw=lambda epoch: [full_stream()])
    with pytest.raises(InputError, match="acceleration = 100"):
        train_cascade([full_stream()], PLAIN, dataclasses.replace(PLAN, undersample=100.0))
