"""The transforms keep the conventions of docs/conventions.md: centred, unitary, forward exp(-2 pi i k.r)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
