"""The known positions as a prior: against the integral, far from all of them, and what they are worth."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from recon.cascade import checkpoint
from recon.cascade.network import named_config
from recon.data.examples import examples_of
from recon.fourier import to_image
from recon.line_memory import LineMemory
from recon.subspace.known_positions import KERNEL_SCALES, WIDE_SHARE, KnownPositions, learn_kernel_root
from recon.subspace.tracker import Tracker
from recon.training.subspace import learn_subspace
from tests.recon.conftest import small_stream, small_weights

FRAME_S = 8 * 2.2e-3


def gauss(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    off = x - mean
    return np.exp(-0.5 * np.einsum("ij,jk,ik->i", off, np.linalg.inv(covariance), off)) / np.sqrt(
        np.linalg.det(2 * np.pi * covariance)
    )


def estimated(x: np.ndarray, noise: np.ndarray, middle: np.ndarray, wide: np.ndarray):
    """Return the posterior mean and covariance of what is seen at x with a noise, under the wide Gaussian."""
    covariance = np.linalg.inv(np.linalg.inv(noise) + np.linalg.inv(wide))
    mean = covariance @ (np.linalg.solve(noise, x) + np.linalg.solve(wide, middle))
    return mean, covariance


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.3, 3.0))
def test_the_position_is_the_integral_over_the_mixture(seed: int, reach: float):
    """Bayes' rule on a fine grid of the plane, for any positions and covariances."""
    rng = np.random.default_rng(seed)
    positions, middle = rng.normal(size=(5, 2)), 0.3 * rng.normal(size=2)
    root = np.array([[0.3, 0.0], [0.2, 0.4]])
    prediction, wide, noise = (
        0.05 * np.eye(2),
        np.array([[2.0, 0.5], [0.5, 1.5]]),
        np.array([[0.4, 0.1], [0.1, 0.6]]),
    )
    seen = reach * rng.normal(size=2)
    # The wide Gaussian and the noise are of the path; the prediction is what its end adds to both.
    mean, covariance = estimated(seen, noise, middle, wide)
    found = KnownPositions(positions, root, prediction, middle, wide).posterior_mean(mean, covariance)
    axis = np.linspace(-16, 16, 641)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    prior = WIDE_SHARE * gauss(grid, middle, wide + prediction)
    for position in positions:
        for scale in KERNEL_SCALES:
            prior += (
                (1 - WIDE_SHARE) / (5 * len(KERNEL_SCALES)) * gauss(grid, position, scale**2 * root @ root.T)
            )
    likelihood = gauss(grid, mean, covariance + prediction) / gauss(grid, middle, wide + prediction)
    weight = prior * likelihood
    assert found == pytest.approx((weight @ grid) / weight.sum(), abs=2e-3)


def test_what_lies_far_from_all_known_positions_is_left_where_the_lines_put_it():
    positions, eye = np.random.default_rng(1).normal(size=(50, 3)), np.eye(3)
    known = KnownPositions(positions, 0.01 * eye, 0 * eye, np.zeros(3), 100 * eye)
    far, sure = np.array([9.0, -7.0, 8.0]), 1e-2 * eye
    assert known.posterior_mean(far, sure) == pytest.approx(far, abs=1e-6)
    close = positions[7] + 0.05
    corrected = known.posterior_mean(close, sure) - positions[7]
    assert np.linalg.norm(corrected) < 0.2 * np.linalg.norm(close - positions[7])


def test_the_nearest_position_is_looked_for_in_other_breaths_and_scans():
    """Positions a frame apart would make the anatomy seem to come back to within a frame's step."""
    t = np.arange(200) * 0.05
    path = np.stack([np.sin(np.pi * t), np.cos(np.pi * t), 0.2 * np.floor(t / 2.0)], 1)
    one, two = np.zeros(200, np.int64), np.arange(200) % 2

    def upwards(scans: np.ndarray, breath_s: float) -> float:
        root = learn_kernel_root(path, scans, t, np.eye(3), breath_s)
        return float((root @ root.T)[2, 2])

    assert upwards(one, 1.0) == pytest.approx(0.04, rel=0.1)  # a lap up or down
    assert upwards(one, 0.01) < 1e-2  # the next frame, but for the ends of a lap
    assert upwards(two, 1e9) < 1e-2  # that of another scan


@pytest.fixture(scope="module")
def learnt():
    examples = [examples_of(small_stream(frames=240, seed=5, noise=0.1))]
    return [learn_subspace(examples, 8, 6, FRAME_S, 1.0, count) for count in (0, 200)]


def test_known_positions_leave_less_noise_in_a_scan_never_seen(learnt):
    unseen = examples_of(small_stream(frames=80, seed=77, noise=0.1))
    errors = []
    for subspace in learnt:
        kspace, misfit = subspace(torch.from_numpy(unseen.ages) * FRAME_S, torch.from_numpy(unseen.shared))
        off = (to_image(kspace, (-2,)).numpy() - unseen.target)[
            misfit.numpy() < 1
        ]  # else mixed with the lines
        errors.append(float(np.square(np.abs(off)).mean()))
    assert len(learnt[1].positions) == 200
    assert errors[1] < 0.6 * errors[0]


def test_line_by_line_they_correct_as_for_all_lines_at_once(learnt):
    stream = small_stream(frames=30, seed=9, noise=0.1)
    subspace, header = learnt[1], stream.header
    memory, tracker, seen = LineMemory(header, mean=False), Tracker(subspace, 1.0, header.tr_ns / 1e9), 0
    for readout in stream:
        complete = memory.push(readout)
        tracker.follow(memory)
        if complete and (memory.newest >= 0).all():
            ages_s = torch.from_numpy(memory.ages(readout.index))[None] * FRAME_S
            wanted, misfit = subspace(ages_s, torch.from_numpy(memory.shared))
            found = tracker.estimate(readout.index)
            assert found.misfit == pytest.approx(float(misfit), rel=1e-3)
            if found.misfit < 1.0:  # else the newest lines are mixed in
                seen += 1
                assert torch.allclose(tracker.hybrid(found), wanted, atol=2e-3 * float(wanted.abs().max()))
    assert seen > 5


def test_known_positions_without_a_subspace_or_beyond_all_bounds_are_refused():
    with pytest.raises(InputError, match="positions = 10: expected 0 to 8192 with a subspace, 0 without"):
        dataclasses.replace(named_config("population", 24, 20), positions=10)
    with pytest.raises(InputError, match="positions = 100000"):
        dataclasses.replace(named_config("compact", 24, 20), positions=100_000)


def test_a_file_keeps_the_names_of_its_format_whatever_the_module_calls_them(tmp_path):
    weights, file = small_weights(), tmp_path / "w.npz"
    checkpoint.save(file, weights)
    with np.load(file) as archive:
        stored = {name for name in archive.files if name.startswith("subspace.")}
        config = json.loads(str(archive["record"]))["config"]
        doubt = archive["subspace.doubt"]
    names = ("mean", "basis", "root", "predict", "noise", "spacing", "states", "near", "doubt")
    assert stored == {f"subspace.{name}" for name in names}
    assert config["states"] == 100
    assert "positions" not in config
    assert np.array_equal(doubt, weights.cascade.subspace.prediction_covariance.numpy())
    again = checkpoint.load(file).cascade
    assert again.config == weights.cascade.config
    for name, value in weights.cascade.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
