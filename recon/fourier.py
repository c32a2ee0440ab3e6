"""Centred unitary Fourier transforms in single precision, for numpy arrays and torch tensors alike.

They are those of `mrsim.stream.fourier`: k = 0 at index n // 2 of every transformed axis, forward
exp(-2 pi i k.r), energy kept. Here they are faster, because a reconstructor transforms while a line waits.

On an axis of even length two products with (-1)^j replace the two shifts by half its length:
exp(-+2 pi i (j - n/2)(m - n/2) / n) = exp(-+2 pi i j m / n) (-1)^(j + m) (-1)^(n/2). A product reads memory
in order, a shift does not. Odd lengths are shifted.

The transform along y alone, which every image needs, is compiled where its length is a power of two
(`recon.fourier_kernels`, which needs numba). Other lengths, and hosts without numba, use the library's.

Importing torch takes most of the time that a command starts in, so it is done where a tensor comes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from mrsim.stream import fourier

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", "torch.Tensor", NDArray[np.complex64])
Axes = tuple[int, ...]


def to_kspace(image: Array, axes: Axes = (-2, -1)) -> Array:
    """Transform from image to k-space along some axes.

    Parameters
    ----------
    image
        Complex values of any shape.
    axes
        Axes to transform, counted from the end.

    Returns
    -------
    kspace
        Same shape, dtype and kind.
    """
    return _transform(image, axes, inverse=False)


def to_image(kspace: Array, axes: Axes = (-2, -1)) -> Array:
    """Transform from k-space to image along some axes; the inverse and the adjoint of `to_kspace`.

    Parameters
    ----------
    kspace
        Complex values of any shape.
    axes
        Axes to transform, counted from the end.

    Returns
    -------
    image
        Same shape, dtype and kind.
    """
    return _transform(kspace, axes, inverse=True)


def _transform(values: Array, axes: Axes, inverse: bool) -> Array:
    if axes == (-2,) and _compiles(values):
        return _transform_columns(values, inverse)
    lengths = tuple(values.shape[axis] for axis in axes)
    if not isinstance(values, np.ndarray):
        return _transform_tensor(values, lengths, axes, inverse)
    if any(length % 2 for length in lengths):
        return fourier.to_image(values, axes) if inverse else fourier.to_kspace(values, axes)
    plus, turned_plus = _signs(lengths, axes)
    if len(axes) == 1:  # the one-dimensional call has half the overhead, which counts for a single line
        one = np.fft.ifft if inverse else np.fft.fft
        out = one(values * plus, None, axes[0], "ortho")
    else:
        several = np.fft.ifftn if inverse else np.fft.fftn
        out = several(values * plus, None, axes, "ortho")
    out *= turned_plus
    return cast(Array, out)


def _transform_tensor(
    values: torch.Tensor, lengths: tuple[int, ...], axes: Axes, inverse: bool
) -> torch.Tensor:
    import torch

    function: Callable[..., torch.Tensor] = torch.fft.ifftn if inverse else torch.fft.fftn
    # On a GPU a shift costs no more than a product, and a recorded graph must not read from a cache that may
    # drop its values.
    if values.device.type != "cpu" or any(length % 2 for length in lengths):
        moved = function(torch.fft.ifftshift(values, axes), dim=axes, norm="ortho")
        return cast("torch.Tensor", torch.fft.fftshift(moved, axes))
    signs, turned = _torch_signs(lengths, axes)
    return function(values * signs, dim=axes, norm="ortho") * turned


def _compiles(values: Array) -> bool:
    """Return whether the compiled transform along y takes these values: lengths, kind, no gradient."""
    if values.ndim < 2:
        return False
    ny, nx = values.shape[-2:]
    if ny < 8 or ny & (ny - 1) or nx < 16 or _kernel() is None:
        return False
    if not isinstance(values, np.ndarray):
        import torch

        return (
            values.device.type == "cpu"
            and values.dtype == torch.complex64
            and values.is_contiguous()
            and not values.is_conj()
            and not (values.requires_grad and torch.is_grad_enabled())
        )
    return values.dtype == np.complex64 and values.flags.c_contiguous and values.flags.writeable


def _transform_columns(values: Array, inverse: bool) -> Array:
    if not isinstance(values, np.ndarray):
        import torch

        return torch.from_numpy(_transform_columns(values.detach().numpy(), inverse))
    kernel, out = _kernel(), np.empty_like(values)
    ny, nx = values.shape[-2:]
    flat = (values.size // (ny * nx), ny, nx)
    assert kernel is not None
    kernel(values.reshape(flat), out.reshape(flat), *_twiddles(ny), inverse)
    return out


@lru_cache(maxsize=1)
def _kernel() -> Callable[..., None] | None:
    if importlib.util.find_spec("numba") is None:
        return None
    from recon.fourier_kernels import transform_columns

    return cast(Callable[..., None], transform_columns)


@lru_cache(maxsize=64)
def _twiddles(length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the twiddle factors: cosine and sine of 2 pi j / length."""
    angles = 2 * np.pi * np.arange(length) / length
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


@lru_cache(maxsize=64)
def _signs(lengths: tuple[int, ...], axes: Axes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (-1)^j over the axes, shaped to broadcast, and the same times (-1)^(n/2) for each axis."""
    depth = -min(axes)
    signs = np.ones((1,) * depth, np.float32)
    turn = 1.0
    for length, axis in zip(lengths, axes, strict=True):
        shape = [1] * depth
        shape[axis] = length
        signs = signs * (1.0 - 2.0 * (np.arange(length) % 2)).astype(np.float32).reshape(shape)
        turn *= (-1.0) ** (length // 2)
    return signs, signs * np.float32(turn)


@lru_cache(maxsize=64)
def _torch_signs(lengths: tuple[int, ...], axes: Axes) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    # Complex, because a product with a real tensor converts it first and takes two to three times as long.
    signs, turned = (part.astype(np.complex64) for part in _signs(lengths, axes))
    with torch.inference_mode(False):  # the cached tensors are used in training, too
        return torch.from_numpy(signs), torch.from_numpy(turned)
