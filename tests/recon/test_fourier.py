"""The transforms keep the conventions of docs/conventions.md: centred, unitary, forward exp(-2 pi i k.r)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import recon.fourier
from recon.fourier import to_image, to_kspace


def random_complex(seed: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 999))
def test_transform_is_unitary_and_inverted_by_its_adjoint(ny, nx, seed):
    image, kspace = random_complex(seed, ny, nx), random_complex(seed + 1, ny, nx)
    assert np.allclose(to_image(to_kspace(image)), image, atol=1e-5)
    inner = np.vdot(to_kspace(image), kspace)
    assert np.isclose(inner, np.vdot(image, to_image(kspace)), atol=1e-3)


def test_a_transform_first_used_in_inference_still_serves_training():
    with torch.inference_mode():
        to_image(torch.ones(3, 22, dtype=torch.complex64), (-1,))
    values = torch.ones(3, 22, dtype=torch.complex64, requires_grad=True)
    torch.view_as_real(to_image(values, (-1,))).square().sum().backward()
    assert torch.allclose(values.grad, 2 * values)  # unitary: the energy's gradient is twice the values


@pytest.mark.parametrize("n", [8, 9])
def test_forward_sign_and_centre(n):
    """A point one pixel right of the centre has the phase exp(-2 pi i k / n) at k."""
    image = np.zeros((1, n), np.complex64)
    image[0, n // 2 + 1] = 1
    k = np.arange(n) - n // 2
    assert np.allclose(to_kspace(image, (-1,))[0], np.exp(-2j * np.pi * k / n) / np.sqrt(n), atol=1e-6)


@given(st.integers(1, 16), st.integers(1, 16), st.integers(0, 99))
def test_numpy_and_torch_agree_and_keep_single_precision(ny, nx, seed):
    image = random_complex(seed, ny, nx)
    for function in (to_image, to_kspace):
        in_numpy, in_torch = function(image), function(torch.from_numpy(image))
        assert in_numpy.dtype == np.complex64
        assert in_torch.dtype == torch.complex64
        assert np.allclose(in_numpy, in_torch.numpy(), atol=1e-5)


def by_definition(values: np.ndarray, sign: int) -> np.ndarray:
    n = values.shape[-2]
    k = np.arange(n) - n // 2
    return np.exp(sign * 2j * np.pi * np.outer(k, k) / n) / np.sqrt(n) @ values.astype(np.complex128)


def furthest(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference, in terms of the typical size."""
    return float(np.abs(a - b).max() / np.sqrt(np.mean(np.abs(b) ** 2)))


@given(st.integers(1, 3), st.integers(1, 9), st.integers(16, 70), st.integers(0, 999))
def test_the_transform_along_y_is_the_sum_by_definition(images, doublings, nx, seed):
    """Of every power of two, compiled from 8 on, and of every width, whose last columns overlap others."""
    values = random_complex(seed, images, 1 << doublings, nx)
    before = values.copy()
    assert furthest(to_image(values, (-2,)), by_definition(values, 1)) < 3e-6
    assert furthest(to_kspace(values, (-2,)), by_definition(values, -1)) < 3e-6
    assert np.array_equal(values, before)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "without numba"])
@pytest.mark.parametrize("shape", [(32, 48), (2, 3, 64, 17), (24, 40), (9, 16), (4, 16), (16, 15)])
def test_every_kind_of_array_gives_the_same_transform_along_y(shape, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(recon.fourier, "_kernel", lambda: None)
    values = random_complex(3, *shape)
    fixed = values.copy()
    fixed.flags.writeable = False
    tensor = torch.from_numpy(values)
    kinds = {
        "array": values,
        "read-only": fixed,
        "strided": np.repeat(values, 2, axis=-1)[..., ::2],
        "turned": np.ascontiguousarray(values.swapaxes(-1, -2)).swapaxes(-1, -2),
        "tensor": tensor,
        "strided tensor": tensor.repeat_interleave(2, -1)[..., ::2],
        "conjugate twice": tensor.conj().clone().conj(),
        "with a gradient": tensor.clone().requires_grad_(),
    }
    for function, sign in ((to_image, 1), (to_kspace, -1)):
        expected = by_definition(values, sign)
        for name, given_values in kinds.items():
            out = function(given_values, (-2,))
            assert type(out) is type(given_values), name
            got = out.detach().numpy() if isinstance(out, torch.Tensor) else out
            assert got.dtype == np.complex64, name
            assert np.allclose(got, expected, atol=1e-5), name


def test_the_transform_along_y_keeps_gradients_where_they_are_wanted():
    values = torch.from_numpy(random_complex(5, 16, 16)).requires_grad_()
    torch.view_as_real(to_image(values, (-2,))).square().sum().backward()
    assert torch.allclose(values.grad, 2 * values, atol=1e-5)
    with torch.no_grad():
        assert not to_image(values, (-2,)).requires_grad
