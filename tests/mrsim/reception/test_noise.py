"""Noise: the right size, white, and the same bits whichever lines are drawn together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mrsim.reception.noise import LineNoise, noise_std


def test_a_line_has_the_same_bits_alone_and_among_others() -> None:
    noise = LineNoise(5, 1.0, 2, 33)
    whole = noise.lines(0, 50)
    assert noise.lines(17, 1).tobytes() == whole[17:18].tobytes()
    assert LineNoise(5, 1.0, 2, 33).lines(40, 10).tobytes() == whole[40:].tobytes()


def test_its_deviation_is_that_of_both_parts_together() -> None:
    noise = LineNoise(1, 3.0, 1, 128).lines(0, 2000)
    assert noise.shape == (2000, 1, 128)
    assert math.sqrt(np.mean(np.abs(noise) ** 2)) == pytest.approx(3.0, rel=0.01)
    assert noise.real.std() == pytest.approx(3 / math.sqrt(2), rel=0.01)
    assert noise.imag.std() == pytest.approx(3 / math.sqrt(2), rel=0.01)


def test_lines_coils_samples_and_parts_are_independent() -> None:
    noise = LineNoise(2, 1.0, 2, 64).lines(0, 4000)
    limit = 5 / math.sqrt(4000 * 64)
    pairs = [
        (noise[:-1], noise[1:]),
        (noise[:, 0], noise[:, 1]),
        (noise[..., :-1], noise[..., 1:]),
        (noise.real, noise.imag),
        (noise, LineNoise(3, 1.0, 2, 64).lines(0, 4000)),
    ]
    for a, b in pairs:
        assert abs(np.mean(a * np.conj(b))) < limit


def test_far_lines_exist() -> None:
    far = LineNoise(1, 1.0, 1, 8).lines(2**40, 1)
    assert np.isfinite(far).all()
    assert np.abs(far).max() > 0


def test_no_noise_is_exactly_none() -> None:
    assert noise_std(0.1, math.inf) == 0
    assert not LineNoise(1, 0.0, 1, 16).lines(0, 3).any()


def test_snr_is_signal_over_one_part() -> None:
    assert noise_std(0.4, 20.0) / math.sqrt(2) == pytest.approx(0.02)
