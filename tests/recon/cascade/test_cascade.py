"""The cascade: what holds for any weights, and what holds for none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from recon.cascade.block import ConvolutionBlock
from recon.cascade.network import Cascade, CascadeConfig, CascadeInputs, named_config
from recon.fourier import to_image, to_kspace

MEMORY = "zero-filled+view-shared+mean"


def random_inputs(seed: int, batch: int, ny: int, nx: int) -> CascadeInputs:
    rng = np.random.default_rng(seed)
    shared, mean = (
        torch.from_numpy(
            (rng.normal(size=(batch, ny, nx)) + 1j * rng.normal(size=(batch, ny, nx))).astype(np.complex64)
        )
        for _ in range(2)
    )
    mask = torch.from_numpy(rng.random((batch, ny)) < 0.4)
    ages = torch.from_numpy((rng.random((batch, ny)) * 4).astype(np.float32))
    return CascadeInputs(mask, ages, shared, mean)


def config(**changes) -> CascadeConfig:
    base = CascadeConfig(2, 3, 4, "zero-filled", "", math.inf, False, False, 1, 12)
    return dataclasses.replace(base, **changes)


@settings(max_examples=30)
@given(
    st.integers(0, 2**31), st.integers(1, 3), st.integers(2, 4), st.integers(3, 15), st.integers(3, 15),
    st.sampled_from(["", MEMORY]), st.sampled_from(["zero-filled", "view-shared", "mean"]), st.booleans(),
    st.booleans(), st.integers(1, 3),
)  # fmt: skip
def test_hard_consistency_holds_for_any_weights(
    seed, blocks, depth, ny, nx, memory, start, half, innovation, fold
):
    """With lambda -> infinity the acquired lines stand in the output, whatever the network says."""
    torch.manual_seed(seed)
    ny, nx = ny * fold, nx * fold
    size = {"blocks": blocks, "convolutions": depth, "fold": fold, "rows": ny}
    cascade = Cascade(config(memory=memory, start=start, innovation=innovation, **size))
    inputs = random_inputs(seed, 2, ny, nx)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        out = cascade(inputs)
    assert out.dtype == torch.complex64  # consistency stays in float32 while convolutions run in bfloat16
    rows = inputs.mask.unsqueeze(-1).expand_as(out)
    assert torch.allclose(to_kspace(out, (-2,))[rows], inputs.shared[rows], atol=2e-5)


@pytest.mark.parametrize("start", ["zero-filled", "view-shared"])
def test_zero_weights_give_the_image_that_it_starts_from(start):
    cascade = Cascade(config(start=start, memory=MEMORY))
    for parameter in cascade.parameters():
        torch.nn.init.zeros_(parameter)
    inputs = random_inputs(3, 2, 12, 10)
    with torch.inference_mode():
        assert torch.allclose(cascade(inputs), to_image(inputs.named(start), (-2,)), atol=1e-5)


def test_innovation_is_what_the_present_lines_add():
    """A block that returns its innovation, alone, turns its image into the consistent one."""
    cascade = Cascade(config(blocks=1, convolutions=2, filters=8, innovation=True, start="mean"))
    first, last = cascade.blocks[0].convolutions
    for parameter in cascade.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():  # through ReLU, as the difference of a positive and a negative part
        for part in range(2):
            for sign in (0, 1):
                first.weight[2 * part + sign, 2 + part, 1, 1] = 1 - 2 * sign
                last.weight[part, 2 * part + sign, 1, 1] = 1 - 2 * sign
    cascade.weight = 0.0  # no data consistency: what comes out is what the block made
    inputs = random_inputs(5, 2, 12, 10)
    with torch.inference_mode():
        kspace = to_kspace(cascade(inputs), (-2,))
    sampled = inputs.mask.unsqueeze(-1)
    assert torch.allclose(kspace, torch.where(sampled, inputs.shared, inputs.mean), atol=1e-5)


def test_a_matrix_that_does_not_fold_is_refused():
    with pytest.raises(InputError, match="fold"):
        Cascade(config(fold=2, rows=13))(random_inputs(0, 1, 13, 12))
    with pytest.raises(InputError, match="fold"):
        Cascade(config(fold=2, rows=12))(random_inputs(0, 1, 12, 13))


def test_memory_reaches_the_image_only_where_nothing_was_sampled():
    """The mask of data consistency holds the present lines only."""
    torch.manual_seed(0)
    cascade = Cascade(config(start="view-shared", memory=MEMORY))
    inputs = random_inputs(4, 1, 12, 10)
    other = dataclasses.replace(inputs, mean=inputs.mean * -2)
    with torch.inference_mode():
        a, b = (to_kspace(cascade(i), (-2,))[0] for i in (inputs, other))
    assert torch.allclose(a[inputs.mask[0]], b[inputs.mask[0]], atol=1e-5)
    assert not torch.allclose(a[~inputs.mask[0]], b[~inputs.mask[0]], atol=1e-2)


def test_learned_weight_stays_a_weight_and_may_fall_with_age():
    cascade = Cascade(config(learned=True))
    weight = cascade.weights[0]
    torch.nn.init.constant_(weight.fade, 3.0)
    ages = torch.linspace(0, 1, 12)[None]
    out = weight(ages)[0]
    assert ((out > 0) & (out < 1)).all()
    assert (out.diff() < 0).all()


def test_seed_configuration_is_the_abstracts():
    cascade = Cascade(named_config("dietz2019"))
    assert len(cascade.blocks) == 5
    for block in cascade.blocks:
        assert [c.in_channels for c in block.convolutions] == [2] + [64] * 9
        assert [c.out_channels for c in block.convolutions] == [64] * 9 + [2]
        assert {c.kernel_size for c in block.convolutions} == {(3, 3)}


def test_rectification_stands_between_convolutions_and_not_after_the_last():
    """With unit kernels on one channel a negative value passes the last convolution, and no earlier one."""
    block = ConvolutionBlock(1, config(convolutions=3, filters=2))
    for convolution in block.convolutions:
        torch.nn.init.zeros_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
        convolution.weight.data[0, 0, 1, 1] = 1
        convolution.weight.data[1, 1, 1, 1] = 1
    images = torch.tensor([[[[2 - 3j]]]], dtype=torch.complex64)
    with torch.inference_mode():
        assert block(images).item() == 2
        block.convolutions[-1].weight.data[1, 1, 1, 1] = 1
        block.convolutions[-1].bias.data[1] = -1
        assert block(images).item() == 2 - 1j


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_fold_and_unfold_keep_every_pixel_in_its_place(fold, rows, columns, count, seed):
    """A block of unit kernels that returns its first image returns every pixel of it where it was."""
    rng = np.random.default_rng(seed)
    shape = (2, rows * fold, columns * fold, count)
    images = torch.from_numpy((rng.random(shape) + 1j * rng.random(shape)).astype(np.complex64))
    block = ConvolutionBlock(count, config(convolutions=2, filters=2 * fold**2, fold=fold))
    for convolution in block.convolutions:
        torch.nn.init.zeros_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
    for place in range(fold**2):
        for part in range(2):
            block.convolutions[0].weight.data[2 * place + part, 2 * count * place + part, 1, 1] = 1
            block.convolutions[1].weight.data[2 * place + part, 2 * place + part, 1, 1] = 1
    with torch.inference_mode():
        assert torch.allclose(block(images), images[..., 0])


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": 0}, {"convolutions": 1}, {"filters": 10**6}, {"start": "future"}, {"memory": "future"},
        {"lam": -1.0}, {"rows": 0},
    ],
)  # fmt: skip
def test_impossible_configurations_are_refused(changes):
    with pytest.raises(InputError, match=next(iter(changes)).replace("lam", "lambda")):
        config(**changes)
    with pytest.raises(
        InputError, match=r"'seed': expected dietz2019, compact, population, recurrent, .* or varnet"
    ):
        named_config("seed")
