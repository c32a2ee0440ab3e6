"""The centred unitary transform, against its sum written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrsim.stream.fourier import to_image, to_kspace


def by_definition(values: np.ndarray, sign: int, axis: int) -> np.ndarray:
    n = values.shape[axis]
    k = np.arange(n) - n // 2
    kernel = np.exp(sign * 2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)
    return np.moveaxis(np.tensordot(kernel, values, (1, axis)), 0, axis)


@given(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13), st.integers(0, 999))
def test_transforms_are_the_sums_by_definition(images: int, ny: int, nx: int, seed: int) -> None:
    """Of even and odd lengths, along one axis and along two."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(images, ny, nx)) + 1j * rng.normal(size=(images, ny, nx))
    for function, sign in ((to_kspace, -1), (to_image, 1)):
        for axes in ((-1,), (-2,), (-2, -1)):
            wanted = values
            for axis in axes:
                wanted = by_definition(wanted, sign, axis)
            assert np.allclose(function(values, axes), wanted, atol=1e-12)
    assert np.allclose(to_kspace(values, unitary=False), np.sqrt(ny * nx) * to_kspace(values), atol=1e-10)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_the_precision_is_kept(dtype: type) -> None:
    values = np.ones((4, 5), dtype)
    assert to_kspace(values).dtype == to_image(values).dtype == dtype
