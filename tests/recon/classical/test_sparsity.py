"""Total variation, wavelets and FISTA against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from recon.classical.encoding import EncodingOperator
from recon.classical.sparsity import FILTERS, TotalVariation, Wavelets, fista, total_variation


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def prox_objective(x: torch.Tensor, image: torch.Tensor, threshold: float) -> float:
    return float((x - image).abs().square().double().sum()) / 2 + threshold * total_variation(x)


def test_total_variation_is_the_sum_over_pixels_of_the_length_of_the_gradient():
    image = noise(1, 5, 7).numpy()
    expected = 0.0
    for y in range(5):
        for x in range(7):
            dy = image[y + 1, x] - image[y, x] if y < 4 else 0
            dx = image[y, x + 1] - image[y, x] if x < 6 else 0
            expected += np.sqrt(abs(dy) ** 2 + abs(dx) ** 2)
    assert total_variation(torch.from_numpy(image)) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=3)
@given(seed=st.integers(0, 999), threshold=st.floats(0.05, 1.0))
def test_the_proximal_map_of_total_variation_is_the_minimiser(seed, threshold):
    """A general minimiser of the smoothed objective finds nothing lower, and the same image."""
    ny, nx = 5, 4
    image = noise(seed, ny, nx)
    found = TotalVariation((ny, nx), 1000)(image, threshold)

    parts = torch.view_as_real(image).permute(2, 0, 1).double().numpy()

    def smooth(v):
        x, gradient = v.reshape(2, ny, nx), np.zeros((2, ny, nx))
        far = x - parts
        dy, dx = np.zeros((2, 2, ny, nx))
        dy[:, :-1], dx[:, :, :-1] = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
        length = np.sqrt((dy**2 + dx**2).sum(0) + 1e-9)
        gy, gx = dy / length, dx / length
        gradient -= gy + gx
        gradient[:, 1:] += gy[:, :-1]
        gradient[:, :, 1:] += gx[:, :, :-1]
        return (far**2).sum() / 2 + threshold * length.sum(), (far + threshold * gradient).ravel()

    best = minimize(smooth, parts.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    reference = best.x.reshape(2, ny, nx)
    assert prox_objective(found, image, threshold) <= best.fun * (1 + 1e-4)
    assert np.abs(found.numpy() - (reference[0] + 1j * reference[1])).max() < 2e-2


def test_the_proximal_map_leaves_flat_images_and_the_mean_alone():
    flat = torch.full((8, 9), 2.0 - 1.0j, dtype=torch.complex64)
    assert torch.allclose(TotalVariation((8, 9), 10)(flat, 0.5), flat, atol=1e-6)
    image = noise(3, 8, 9)
    smooth = TotalVariation((8, 9), 500)(image, 100.0)
    assert torch.allclose(smooth, image.mean().expand(8, 9), atol=1e-3)


def test_a_dual_that_is_kept_makes_few_steps_as_good_as_many():
    image = noise(4, 16, 12)
    exact = TotalVariation((16, 12), 1500)(image, 0.3)
    cold = (TotalVariation((16, 12), 3)(image, 0.3) - exact).abs().max()
    kept = TotalVariation((16, 12), 3)
    for _ in range(300):
        last = kept(image, 0.3)
    assert (last - exact).abs().max() < 0.05 * cold
    kept.reset()
    assert (kept(image, 0.3) - exact).abs().max() > 0.5 * cold


@pytest.mark.parametrize("name", sorted(FILTERS))
@pytest.mark.parametrize("shape", [(16, 12), (8, 24), (15, 32)])
def test_wavelets_are_orthonormal(name, shape):
    wavelets, image = Wavelets(shape, name), noise(5, *shape)
    coefficients = wavelets.analyse(image)
    assert torch.allclose(wavelets.synthesise(coefficients), image, atol=1e-5)
    energy = coefficients.square().sum().item()
    assert energy == pytest.approx(image.abs().square().sum().item(), rel=1e-5)


def test_wavelets_make_a_smooth_image_sparse():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    image = torch.exp(-4 * (y**2 + x**2)).to(torch.complex64)
    sizes = Wavelets((32, 32)).analyse(image).abs().flatten().sort(descending=True).values.square()
    assert sizes[:100].sum() > 0.999 * sizes.sum()


@pytest.mark.parametrize("kind", ["tv", "wavelet"])
def test_fista_comes_down_to_the_optimum_that_plain_steps_reach(kind):
    """The objective of plain proximal steps falls at every one of them; FISTA gets as low, far sooner."""
    shape, weight = (16, 12), 0.05
    y, x = np.mgrid[:16, :12]
    image = torch.from_numpy((np.hypot(y - 8, x - 6) < 4).astype(np.complex64))
    rows = (torch.arange(16) % 3 != 1).to(torch.float32)
    encoding = EncodingOperator(rows)
    data = encoding.adjoint(encoding.forward(image) + 0.05 * noise(7, 1, *shape))
    proximal = TotalVariation(shape, 10) if kind == "tv" else Wavelets(shape)
    penalty = total_variation if kind == "tv" else proximal.norm

    def objective(x):
        fit = torch.vdot(x.flatten(), (encoding.normal(x) / 2 - data).flatten()).real
        return float(fit) + weight * penalty(x)

    def gradient(x):
        return encoding.normal(x) - data

    plain, values = torch.zeros_like(data), []
    for _ in range(250):
        plain = proximal(plain - gradient(plain), weight)
        values.append(objective(plain))
    assert np.all(np.diff(values[5:]) < 1e-4)
    fast = [
        objective(fista(torch.zeros_like(data), gradient, proximal, 1.0, weight, n)) for n in (1, 5, 20, 80)
    ]
    assert fast[0] > fast[1] > fast[2] > fast[3] - 1e-4
    assert fast[3] <= values[-1] + 2e-3 * abs(values[-1])
    # Far better than as many plain steps while those are still on their way.
    assert objective(fista(torch.zeros_like(data), gradient, proximal, 1.0, weight, 20)) < values[19] + 1e-4
