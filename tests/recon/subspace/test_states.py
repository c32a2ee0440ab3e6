"""The known positions as a prior: against the integral, far from all of them, and what they are worth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from recon.cascade.network import named_config
from recon.data.examples import examples_of
from recon.fourier import to_image
from recon.line_memory import LineMemory
from recon.subspace.known_positions import SIZES, STRANGE, KnownStates, learn_near
from recon.subspace.tracker import Tracker
from recon.training.subspace import learn_subspace
from tests.recon.conftest import small_stream

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
    """Bayes' rule on a fine grid of the plane, for any positions, spreads and doubts."""
    rng = np.random.default_rng(seed)
    positions, middle = rng.normal(size=(5, 2)), 0.3 * rng.normal(size=2)
    near = np.array([[0.3, 0.0], [0.2, 0.4]])
    doubt, wide, noise = (
        0.05 * np.eye(2),
        np.array([[2.0, 0.5], [0.5, 1.5]]),
        np.array([[0.4, 0.1], [0.1, 0.6]]),
    )
    seen = reach * rng.normal(size=2)
    # The wide Gaussian and the noise are of the path; the doubt is what its end adds to both.
    mean, covariance = estimated(seen, noise, middle, wide)
    found = KnownStates(positions, near, doubt, middle, wide).correct(mean, covariance)
    axis = np.linspace(-16, 16, 641)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    prior = STRANGE * gauss(grid, middle, wide + doubt)
    for position in positions:
        for size in SIZES:
            prior += (1 - STRANGE) / (5 * len(SIZES)) * gauss(grid, position, size**2 * near @ near.T)
    likelihood = gauss(grid, mean, covariance + doubt) / gauss(grid, middle, wide + doubt)
    weight = prior * likelihood
    assert found == pytest.approx((weight @ grid) / weight.sum(), abs=2e-3)


def test_what_lies_far_from_all_known_positions_is_left_where_the_lines_put_it():
    positions, eye = np.random.default_rng(1).normal(size=(50, 3)), np.eye(3)
    known = KnownStates(positions, 0.01 * eye, 0 * eye, np.zeros(3), 100 * eye)
    far, sure = np.array([9.0, -7.0, 8.0]), 1e-2 * eye
    assert known.correct(far, sure) == pytest.approx(far, abs=1e-6)
    close = positions[7] + 0.05
    corrected = known.correct(close, sure) - positions[7]
    assert np.linalg.norm(corrected) < 0.2 * np.linalg.norm(close - positions[7])


def test_the_nearest_position_is_looked_for_in_other_breaths_and_scans():
    """Positions a frame apart would make the anatomy seem to come back to within a frame's step."""
    t = np.arange(200) * 0.05
    path = np.stack([np.sin(np.pi * t), np.cos(np.pi * t), 0.2 * np.floor(t / 2.0)], 1)
    one, two = np.zeros(200, np.int64), np.arange(200) % 2

    def upwards(scans: np.ndarray, apart_s: float) -> float:
        near = learn_near(path, scans, t, np.eye(3), apart_s)
        return float((near @ near.T)[2, 2])

    assert upwards(one, 1.0) == pytest.approx(0.04, rel=0.1)  # a lap up or down
    assert upwards(one, 0.01) < 1e-2  # the next frame, but for the ends of a lap
    assert upwards(two, 1e9) < 1e-2  # that of another scan


@pytest.fixture(scope="module")
def learnt():
    examples = [examples_of(small_stream(frames=240, seed=5, noise=0.1))]
    return [learn_subspace(examples, 8, 6, FRAME_S, 1.0, states) for states in (0, 200)]


def test_known_positions_leave_less_noise_in_a_scan_never_seen(learnt):
    unseen = examples_of(small_stream(frames=80, seed=77, noise=0.1))
    errors = []
    for subspace in learnt:
        kspace, misfit = subspace(torch.from_numpy(unseen.ages) * FRAME_S, torch.from_numpy(unseen.shared))
        off = (to_image(kspace, (-2,)).numpy() - unseen.target)[
            misfit.numpy() < 1
        ]  # else mixed with the lines
        errors.append(float(np.square(np.abs(off)).mean()))
    assert len(learnt[1].states) == 200
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


def test_states_without_a_subspace_or_beyond_all_bounds_are_refused():
    with pytest.raises(InputError, match="states = 10: expected 0 to 8192 with a subspace, 0 without"):
        dataclasses.replace(named_config("population", 24, 20), states=10)
    with pytest.raises(InputError, match="states = 100000"):
        dataclasses.replace(named_config("compact", 24, 20), states=100_000)
