"""Data consistency as properties, and the three defects known from elsewhere, each caught by name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from recon.cascade.data_consistency import enforce, enforce_alone, enforce_image, weight_of
from recon.fourier import to_image, to_kspace

LAMBDAS = st.one_of(st.just(math.inf), st.just(0.0), st.floats(1e-6, 1e6))


@st.composite
def cases(draw):
    """Draw a prediction, an acquisition with sampled zeros, a mask (none, all or any) and a lambda."""
    ny, nx = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    predicted, acquired = (
        torch.from_numpy((rng.normal(size=(ny, nx)) + 1j * rng.normal(size=(ny, nx))).astype(np.complex64))
        for _ in range(2)
    )
    kind = draw(st.sampled_from(["none", "all", "any"]))
    mask = {"none": np.zeros(ny, bool), "all": np.ones(ny, bool), "any": rng.random(ny) < 0.5}[kind]
    acquired[torch.from_numpy(rng.random((ny, nx)) < 0.2)] = 0  # a sampled zero is sampled
    return predicted, acquired, torch.from_numpy(mask)[:, None], draw(LAMBDAS)


def check_hard_keeps_acquired(layer, predicted, acquired, mask):
    rows = mask.expand_as(predicted)
    assert torch.equal(layer(predicted, acquired, mask, math.inf)[rows], acquired[rows])


def check_unsampled_untouched(layer, predicted, acquired, mask, lam):
    rows = ~mask.expand_as(predicted)
    assert torch.equal(layer(predicted, acquired, mask, lam)[rows], predicted[rows])


def check_on_segment(layer, predicted, acquired, mask, lam):
    """A sampled value divides the way from prediction to acquisition as lambda : 1."""
    rows = mask.expand_as(predicted)
    out = layer(predicted, acquired, mask, lam)[rows]
    share = 1.0 if math.isinf(lam) else lam / (1 + lam)
    expected = predicted[rows] * (1 - share) + acquired[rows] * share
    assert torch.allclose(out, expected, atol=2e-6, rtol=1e-5)


def ours(predicted, acquired, mask, lam):
    return enforce(predicted, acquired, mask, weight_of(lam))


@given(cases())
def test_hard_consistency_returns_the_acquired_value_exactly(case):
    check_hard_keeps_acquired(ours, *case[:3])


@given(cases())
def test_unsampled_positions_are_untouched(case):
    check_unsampled_untouched(ours, *case)


@given(cases())
def test_sampled_positions_lie_on_the_segment(case):
    check_on_segment(ours, *case)


@given(cases())
def test_hard_consistency_is_idempotent(case):
    predicted, acquired, mask, _ = case
    once = ours(predicted, acquired, mask, math.inf)
    assert torch.equal(ours(once, acquired, mask, math.inf), once)


@given(cases())
def test_a_sampled_zero_stays_sampled(case):
    predicted, acquired, mask, _ = case
    out = ours(predicted, torch.zeros_like(acquired), mask, math.inf)
    assert (out[mask.expand_as(out)] == 0).all()


@given(cases(), st.floats(-3, 3), st.floats(-3, 3))
def test_linear_in_its_inputs(case, a, b):
    predicted, acquired, mask, lam = case
    other = (acquired.flip(0), predicted.flip(1))
    together = ours(a * predicted + b * other[0], a * acquired + b * other[1], mask, lam)
    apart = a * ours(predicted, acquired, mask, lam) + b * ours(*other, mask, lam)
    assert torch.allclose(together, apart, atol=2e-5)


@given(cases())
def test_hybrid_form_equals_the_two_dimensional_form(case):
    image, kspace, mask, lam = case
    hybrid, _ = enforce_image(image, to_image(kspace, (-1,)), mask[:, 0], weight_of(lam))
    full = to_image(ours(to_kspace(image), kspace, mask, lam))
    assert torch.allclose(hybrid, full, atol=1e-5)


@given(cases())
def test_weights_of_rows_act_row_by_row(case):
    image, kspace, mask, _ = case
    weights = torch.linspace(0, 1, len(image))
    out, innovation = (to_kspace(i, (-2,)) for i in enforce_image(image, kspace, mask[:, 0], weights))
    kept = enforce_alone(image, kspace, mask[:, 0], weights)
    assert torch.equal(kept, enforce_image(image, kspace, mask[:, 0], weights)[0])
    before = to_kspace(image, (-2,))
    for row, weight in enumerate(weights):
        expected = before[row] + (weight * (kspace[row] - before[row]) if mask[row] else 0)
        assert torch.allclose(out[row], expected, atol=1e-5)
        left = kspace[row] - expected if mask[row] else torch.zeros_like(expected)
        assert torch.allclose(innovation[row], left, atol=1e-5)


@pytest.mark.parametrize("lam", [-1.0, math.nan, -math.inf])
def test_a_negative_lambda_is_refused(lam):
    with pytest.raises(InputError, match="lambda"):
        weight_of(lam)


# The three defects, planted: each must fail the check that is named after what it breaks.


def inverse_lambda(predicted, acquired, mask, lam):
    share = 1.0 if lam == 0 else 0.0 if math.isinf(lam) else (1 / lam) / (1 + 1 / lam)
    return enforce(predicted, acquired, mask, share)


def shrunk_unsampled(predicted, acquired, mask, lam):
    share = 0.0 if math.isinf(lam) else 1 / (1 + lam)
    return torch.where(mask, enforce(predicted, acquired, mask, weight_of(lam)), predicted * share)


def mask_from_values(predicted, acquired, mask, lam):
    return enforce(predicted, acquired, (acquired * mask) != 0, weight_of(lam))


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (inverse_lambda, lambda f: given(cases())(lambda c: check_hard_keeps_acquired(f, *c[:3]))),
        (shrunk_unsampled, lambda f: given(cases())(lambda c: check_unsampled_untouched(f, *c))),
        (mask_from_values, lambda f: given(cases())(lambda c: check_on_segment(f, *c))),
    ],
)
def test_each_known_defect_is_caught(mutant, check):
    run = settings(max_examples=300, database=None, derandomize=True)(check(mutant))
    with pytest.raises(AssertionError):
        run()
