"""A cascade between fixed buffers gives the reference's images, and never touches one that was handed out.

On the CPU nothing is recorded, but the buffers and the copies are those of a GPU.
"""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import HostError
from recon.cascade.checkpoint import Checkpoint
from recon.cascade.cuda_graph import MAX_SHAPES, GraphedCascade
from recon.cascade.engines import HalvedBlock, accelerated
from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import Cascade, CascadeConfig
from recon.cascade.reconstructor import OnlineCascade
from tests.recon.conftest import run, small_stream

HAS_GPU = torch.cuda.is_available()
gpu = pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")])
devices = pytest.mark.parametrize("device", ["cpu", gpu])
HALF = 2e-3
"""Bound of half precision, as energy of the error for any weights."""


def network(seed: int, **others) -> Cascade:
    values = {
        "start": "view-shared",
        "memory": "mean",
        "lam": float("inf"),
        "learned": True,
        "innovation": True,
    }
    values |= {"fold": 1, "rows": 16} | others
    torch.manual_seed(seed)
    cascade = Cascade(CascadeConfig(2, 3, 8, **values)).eval()
    for block in cascade.blocks:
        for layer in block.convolutions:
            torch.nn.init.kaiming_normal_(layer.weight)
    return cascade


def inputs(seed: int, columns: int = 12, coils: int = 1) -> CascadeInputs:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(1, 16, generator=generator) < 0.4
    shared, mean = torch.randn(2, 1, 16, columns, dtype=torch.complex64, generator=generator)
    made = CascadeInputs(mask, torch.rand(1, 16, generator=generator), shared, mean)
    if coils == 1:
        return made
    maps = torch.randn(1, coils, 16, columns, dtype=torch.complex64, generator=generator)
    maps /= maps.abs().square().sum(1, keepdim=True).sqrt()
    lines = torch.randn(1, coils, 16, columns, dtype=torch.complex64, generator=generator)
    return dataclasses.replace(made, lines=lines, maps=maps)


def image(cascade: Cascade, given_inputs: CascadeInputs) -> torch.Tensor:
    with torch.inference_mode():
        return cascade(given_inputs)


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().square().sum() / one.abs().square().sum())


@devices
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**31),
    form=st.fixed_dictionaries(
        {
            "start": st.sampled_from(["zero-filled", "view-shared", "mean"]),
            "memory": st.sampled_from(["", "view-shared"]),
            "innovation": st.booleans(),
            "learned": st.booleans(),
            "fold": st.sampled_from([1, 2]),
            "coils": st.sampled_from([1, 3]),
        }
    ),
)
def test_it_gives_the_image_of_the_reference(device: str, seed: int, form: dict) -> None:
    reference = network(seed, **form)
    graphed = GraphedCascade(reference, device)
    for number in range(3):
        given_inputs = inputs(seed + number, coils=form["coils"])
        before = given_inputs.map(torch.clone)
        assert apart(image(reference, given_inputs), image(graphed, given_inputs)) < 1e-5
        for field in dataclasses.fields(before):
            now, then = getattr(given_inputs, field.name), getattr(before, field.name)
            assert now is None or torch.equal(now, then), field.name


@devices
def test_no_image_that_was_handed_out_changes_later(device: str) -> None:
    """Every one is read again after all the others have been made, of two widths in turn."""
    reference = network(1)
    graphed = GraphedCascade(reference, device)
    given_inputs = [inputs(number, 12 if number % 3 else 8) for number in range(12)]
    came = [image(graphed, one) for one in given_inputs]
    for one, pixels in zip(given_inputs, came, strict=True):
        assert apart(image(reference, one), pixels) < 1e-5
    assert len({pixels.data_ptr() for pixels in came}) == len(came)


@devices
def test_what_it_was_given_may_be_written_to_afterwards(device: str) -> None:
    reference, shown = network(2), inputs(5)
    graphed = GraphedCascade(reference, device)
    expected, first = image(reference, shown), image(graphed, shown)
    shown.map(torch.Tensor.zero_)
    assert apart(expected, first) < 1e-5


@devices
def test_buffers_are_kept_of_few_shapes_alone(device: str) -> None:
    reference = network(3)
    graphed = GraphedCascade(reference, device)
    for columns in [*range(8, 8 + 2 * MAX_SHAPES), 8]:
        one = inputs(columns, columns)
        assert apart(image(reference, one), image(graphed, one)) < 1e-5
        assert len(graphed._graphs) <= MAX_SHAPES


def test_half_precision_is_finer_than_bfloat16() -> None:
    reference, errors = network(4), []
    for dtype in (torch.bfloat16, torch.float16):
        halved = copy.deepcopy(reference)
        halved.blocks = torch.nn.ModuleList(HalvedBlock(block, dtype) for block in reference.blocks)
        errors.append(apart(image(reference, inputs(1)), image(halved, inputs(1))))
    assert errors[1] < errors[0] / 10
    assert errors[1] < HALF


@devices
def test_it_serves_a_stream_and_its_band(device: str) -> None:
    stream = small_stream(frames=12)
    checkpoint = Checkpoint(network(7, rows=24), 1.0, {"matrix": [24, 20]})
    expected = run(OnlineCascade(checkpoint, columns=(4, 12)), stream)
    graphed = GraphedCascade(checkpoint.cascade, device)
    came = run(OnlineCascade(dataclasses.replace(checkpoint, cascade=graphed), columns=(4, 12)), stream)
    assert [(one.frame, one.columns) for one in came] == [(one.frame, one.columns) for one in expected]
    for one, other in zip(came, expected, strict=True):
        assert apart(torch.from_numpy(other.pixels), torch.from_numpy(one.pixels)) < 1e-5
    assert len(graphed._graphs) == 2


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU")
def test_without_a_gpu_it_is_refused_by_name() -> None:
    with pytest.raises(HostError, match=r"'cuda'.*no GPU.*'auto'"):
        accelerated(network(6), "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_the_engine_is_the_reference_within_its_bound(seed: int) -> None:
    reference = network(seed)
    fast = accelerated(reference, "cuda")
    for number in range(3):
        assert apart(image(reference, inputs(number)), image(fast, inputs(number))) < HALF
