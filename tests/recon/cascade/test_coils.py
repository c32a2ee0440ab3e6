"""Several coils in the cascade: what holds for any image and any weights, and what one coil has in common."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from recon.cascade.data_consistency import enforce_coils, enforce_image, innovation_of
from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import Cascade, CascadeConfig, named_config
from recon.classical.cg_sense import conjugate_gradients
from recon.coils.combination import combine, expand
from recon.fourier import to_image, to_kspace

MEMORY = "zero-filled+view-shared+mean"
SIZES = st.tuples(st.integers(1, 4), st.integers(2, 14), st.integers(1, 9))


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def random_maps(seed: int, coils: int, ny: int, nx: int, empty: float = 0.2) -> torch.Tensor:
    """Return sensitivities with a sum of squares of 1, or of 0 in a share of the pixels."""
    maps = noise(seed, coils, ny, nx)
    seen = torch.rand(ny, nx, generator=torch.Generator().manual_seed(seed + 1)) >= empty
    return maps / maps.abs().square().sum(0).sqrt() * seen


def random_inputs(
    seed: int, coils: int, ny: int, nx: int, batch: int = 2, share: float = 0.4
) -> CascadeInputs:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(batch, ny, generator=generator) < share
    ages = 4 * torch.rand(batch, ny, generator=generator)
    maps = torch.stack([random_maps(seed + b, coils, ny, nx) for b in range(batch)])
    acquired = noise(seed + 7, batch, coils, ny, nx) * mask[:, None, :, None]
    shared, mean = (to_kspace(combine(noise(seed + n, batch, coils, ny, nx), maps), (-2,)) for n in (8, 9))
    return CascadeInputs(mask, ages, shared, mean, lines=acquired, maps=maps)


def config(**changes) -> CascadeConfig:
    base = CascadeConfig(2, 3, 4, "zero-filled", "", math.inf, False, False, 1, 12, coils=3)
    return dataclasses.replace(base, **changes)


def energy(values: torch.Tensor) -> float:
    return float(values.abs().square().sum().double())


@given(SIZES, st.integers(0, 999))
def test_combining_is_the_adjoint_of_expanding_and_undoes_it_where_a_coil_sees(size, seed):
    maps, x, y = random_maps(seed, *size), noise(seed + 2, *size[1:]), noise(seed + 3, *size)
    left = torch.vdot(y.flatten(), expand(x, maps).flatten())
    right = torch.vdot(combine(y, maps).flatten(), x.flatten())
    assert abs(left - right) < 1e-4 * (1 + abs(left))
    seen = maps.abs().sum(0) > 0
    assert torch.allclose(combine(expand(x, maps), maps), x * seen, atol=1e-5)


@given(SIZES, st.integers(0, 999), st.floats(0, 1), st.booleans())
def test_the_misfit_never_grows_whatever_the_image(size, seed, weight, each_row):
    """|W^1/2 (y - A x')| <= |W^1/2 (y - A x)|, for one weight of all rows and for a weight of each."""
    coils, ny, nx = size
    inputs = random_inputs(seed, coils, ny, nx, batch=1)
    weights = torch.rand(1, ny, generator=torch.Generator().manual_seed(seed)) if each_row else weight
    image = noise(seed + 4, 1, ny, nx) * (inputs.maps.abs().sum(1) > 0)
    out = enforce_coils(image, inputs.lines, inputs.mask, inputs.maps, weights)
    root = torch.as_tensor(weights).sqrt()
    root = root[..., None, :, None] if each_row else root
    before, after = (
        energy(root * inputs.mask[:, None, :, None] * (inputs.lines - expand(i, inputs.maps)))
        for i in (image, out)
    )
    assert after <= before * (1 + 1e-5) + 1e-6


@given(SIZES, st.integers(0, 999), st.floats(0, 1))
def test_of_lines_that_an_image_explains_no_image_comes_further_from_it(size, seed, weight):
    coils, ny, nx = size
    inputs = random_inputs(seed, coils, ny, nx, batch=1)
    seen = inputs.maps.abs().sum(1) > 0
    true, image = (noise(seed + n, 1, ny, nx) * seen for n in (4, 5))
    acquired = expand(true, inputs.maps) * inputs.mask[:, None, :, None]
    out = enforce_coils(image, acquired, inputs.mask, inputs.maps, weight)
    assert energy(out - true) <= energy(image - true) * (1 + 1e-5) + 1e-8
    every = torch.ones_like(inputs.mask)
    whole = enforce_coils(image, expand(true, inputs.maps), every, inputs.maps)
    assert torch.allclose(whole, true, atol=1e-5)
    assert energy(innovation_of(true, acquired, inputs.mask, inputs.maps)) < 1e-9 * (1 + energy(true))


def test_it_is_the_image_that_best_explains_coils_that_keep_their_lines():
    """Each coil's lines stand exactly in what is combined, and no other image is nearer to all coils."""
    inputs, image = random_inputs(3, 4, 12, 9, batch=1), noise(1, 1, 12, 9)
    sampled = inputs.mask[:, None, :, None]
    kept = torch.where(sampled, inputs.lines, expand(image, inputs.maps))
    out = enforce_coils(image, inputs.lines, inputs.mask, inputs.maps)
    best = energy(kept - expand(out, inputs.maps))
    for seed in range(20):
        other = out + 0.1 * noise(seed, 1, 12, 9)
        assert energy(kept - expand(other, inputs.maps)) >= best


def test_again_and_again_it_comes_to_the_sense_solution():
    inputs = random_inputs(5, 6, 12, 9, batch=1, share=0.6)
    sampled, maps = inputs.mask[:, None, :, None], inputs.maps
    seen = maps.abs().sum(1) > 0
    data = combine(inputs.lines, maps)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return combine(expand(x, maps) * sampled, maps) + ~seen * x

    solved = conjugate_gradients(normal, data, 500)
    image = torch.zeros_like(data)
    for _ in range(500):
        image = enforce_coils(image, inputs.lines, inputs.mask, maps)
    assert torch.allclose(image, solved, atol=2e-3)
    assert energy(data - solved) > 0.01 * energy(solved)  # one step alone does not


@given(st.integers(2, 14), st.integers(1, 9), st.integers(0, 999), st.booleans())
def test_of_one_coil_that_sees_everything_it_is_the_layer_of_one_coil(ny, nx, seed, each_row):
    image, acquired = noise(seed, 1, ny, nx), noise(seed + 1, 1, ny, nx)
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(1, ny, generator=generator) < 0.5
    weight = torch.rand(1, ny, generator=generator) if each_row else 0.7
    maps = torch.ones(1, 1, ny, nx, dtype=torch.complex64)
    one, innovation = enforce_image(image, acquired, mask, weight)
    several = enforce_coils(image, acquired[:, None], mask, maps, weight)
    assert torch.allclose(one, several, atol=1e-5)
    assert torch.allclose(innovation, innovation_of(several, acquired[:, None], mask, maps), atol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 999), st.integers(1, 3), st.booleans(), st.booleans())
def test_of_all_rows_the_cascade_returns_their_combination_for_any_weights(seed, blocks, half, innovation):
    """With lambda -> infinity and every row sampled, what the network says is lost, in half precision too."""
    torch.manual_seed(seed)
    cascade = Cascade(config(blocks=blocks, innovation=innovation, memory=MEMORY))
    inputs = random_inputs(seed, 3, 12, 10, share=2.0)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        out = cascade(inputs)
    assert out.dtype == torch.complex64
    assert torch.allclose(out, combine(inputs.lines, inputs.maps), atol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 999), st.booleans())
def test_no_network_leaves_more_misfit_than_it_made(seed, learned):
    """After the last block, data consistency has brought what the network says nearer to the lines."""
    torch.manual_seed(seed)
    cascade = Cascade(config(learned=learned, innovation=True, memory=MEMORY))
    for parameter in cascade.blocks.parameters():
        parameter.data *= 3
    outputs = []

    def record(_, images, added):
        outputs.append(images[0][..., 0] + added)

    cascade.blocks[-1].register_forward_hook(record)
    inputs = random_inputs(seed, 3, 12, 10)
    with torch.inference_mode():
        out = cascade(inputs)
        root = cascade.weights[-1](inputs.ages).sqrt()[:, None, :, None] if learned else 1.0
    seen = inputs.maps.abs().sum(1) > 0
    before, after = (
        energy(root * inputs.mask[:, None, :, None] * (inputs.lines - expand(i * seen, inputs.maps)))
        for i in (outputs[-1], out)
    )
    assert after < before


@pytest.mark.parametrize("start", ["zero-filled", "view-shared", "mean"])
def test_zero_weights_give_the_start_and_with_data_consistency_steps_towards_sense(start):
    """At lambda = 0 the start itself; at infinity as many gradient steps of SENSE as there are blocks."""
    inputs = random_inputs(3, 3, 12, 10)
    first = to_image(inputs.named(start), (-2,))
    for lam in (0.0, math.inf):
        cascade = Cascade(config(start=start, memory=MEMORY, lam=lam, blocks=3, innovation=True))
        for parameter in cascade.parameters():
            torch.nn.init.zeros_(parameter)
        expected = first
        for _ in range(3 if lam else 0):
            left = inputs.lines - expand(expected, inputs.maps)
            expected = expected + combine(left * inputs.mask[:, None, :, None], inputs.maps)
        with torch.inference_mode():
            assert torch.allclose(cascade(inputs), expected, atol=1e-5)
    zero_filled = combine(inputs.lines, inputs.maps)
    assert start != "zero-filled" or torch.allclose(first, zero_filled, atol=1e-5)


def test_a_band_of_columns_is_as_exact_as_the_whole():
    inputs, image = random_inputs(6, 3, 12, 10), noise(2, 2, 12, 10)
    band = inputs.band(slice(3, 7))
    for whole, part in zip(
        inputs.consistent(image, 0.6, True), band.consistent(image[..., 3:7], 0.6, True), strict=True
    ):
        assert torch.allclose(whole[..., 3:7], part, atol=1e-6)


def test_another_number_of_coils_is_refused_with_both_named():
    with pytest.raises(InputError, match="coils = 3, the lines have 4"):
        Cascade(config())(random_inputs(0, 4, 12, 10))
    with pytest.raises(InputError, match="coils = 1, the lines have 3"):
        Cascade(config(coils=1))(random_inputs(0, 3, 12, 10))


def test_every_named_network_takes_several_coils():
    with pytest.raises(InputError, match="coils = 0"):
        config(coils=0)
    assert all(named_config(name, 32, 32, 4).coils == 4 for name in ("population", "dietz2019", "compact"))


def test_what_would_not_fit_into_memory_is_refused_before_it_is_built():
    """A file may ask for it with few bytes: its components are multiplied by its coils."""
    named_config("compact", 256, 256, 32)
    with pytest.raises(InputError, match=r"20 components of 512 x 512 in 32 coils are 167772160 values"):
        named_config("compact", 512, 512, 32)


def test_a_configuration_of_one_coil_is_written_as_it_always_was():
    """Weights of one coil are the same file for a reader that knows of no coils."""
    one, several = config(coils=1), config(coils=5)
    assert "coils" not in one.to_dict()
    assert CascadeConfig.from_dict(one.to_dict()) == one
    assert CascadeConfig.from_dict(several.to_dict()) == several


def test_coils_reach_the_image_through_their_sensitivities():
    """Turning a coil's phase in lines and sensitivities alike changes nothing; in one of them, something."""
    torch.manual_seed(1)
    cascade, inputs = Cascade(config(memory=MEMORY)), random_inputs(2, 3, 12, 10)
    turn = torch.from_numpy(np.exp(1j * np.array([0.3, 2.0, -1.1])).astype(np.complex64))[:, None, None]
    both = dataclasses.replace(inputs, lines=inputs.lines * turn, maps=inputs.maps * turn)
    lines = dataclasses.replace(inputs, lines=inputs.lines * turn)
    with torch.inference_mode():
        out = cascade(inputs)
        assert torch.allclose(cascade(both), out, atol=1e-5)
        assert not torch.allclose(cascade(lines), out, atol=1e-2)
