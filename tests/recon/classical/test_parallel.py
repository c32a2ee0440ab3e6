"""The encoding operator, CG-SENSE and TGRAPPA: adjoint, exact where they can be, on a stated scale."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from recon.classical.cg_sense import CgSense, conjugate_gradients
from recon.classical.encoding import EncodingOperator
from recon.classical.grappa import NEIGHBOURS, Tgrappa, calibrate, neighbours
from recon.classical.zero_filled import ZeroFilled
from recon.coils.sensitivities import sensitivities
from recon.fourier import to_kspace
from tests.recon.classical.opponents import body, coil_maps, nmse, still_scan
from tests.recon.conftest import run

NY, NX = 32, 24


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20)
@given(ny=st.integers(2, 17), nx=st.integers(1, 9), coils=st.integers(1, 4), seed=st.integers(0, 999))
def test_the_encoding_and_its_adjoint_are_adjoint(ny, nx, coils, seed):
    """<E x, y> = <x, E* y>, for every size, any weights, and with or without sensitivities."""
    weights = torch.rand(ny, generator=torch.Generator().manual_seed(seed)) * (torch.arange(ny) % 3 > 0)
    maps = None if coils == 1 else noise(seed + 1, coils, ny, nx)
    encoding, x, y = EncodingOperator(weights, maps), noise(seed + 2, ny, nx), noise(seed + 3, coils, ny, nx)
    left = torch.vdot(y.flatten(), encoding.forward(x).flatten())
    right = torch.vdot(encoding.adjoint(y).flatten(), x.flatten())
    assert abs(left - right) < 1e-4 * (1 + abs(left))
    both = encoding.adjoint(encoding.forward(x))
    assert torch.allclose(encoding.normal(x), both, atol=1e-4)
    energy = torch.vdot(x.flatten(), both.flatten()).real
    assert energy <= encoding.lipschitz * x.abs().square().sum() * (1 + 1e-5)


def test_conjugate_gradients_solve_what_a_direct_solver_solves():
    a = noise(1, 12, 12)
    matrix = a.conj().T @ a + 0.1 * torch.eye(12)
    b = noise(2, 12)
    expected = np.linalg.solve(matrix.numpy().astype(np.complex128), b.numpy())
    found = conjugate_gradients(lambda x: matrix @ x, b, 100)
    assert np.allclose(found.numpy(), expected, atol=1e-2 * np.abs(expected).max())
    assert not conjugate_gradients(lambda x: matrix @ x, torch.zeros_like(b), 5).any()


def test_sensitivities_are_those_of_the_coils_and_zero_where_nothing_is():
    image, maps = body(NY, NX), coil_maps(6, NY, NX)
    found = sensitivities(to_kspace((maps * image).astype(np.complex64), (-2,)))
    inside = np.abs(image) > 0.45
    assert np.abs(found - maps)[:, inside].max() < 0.06
    assert not found[:, 0, 0].any()
    total = (np.abs(found) ** 2).sum(0)
    assert np.allclose(total[total > 0], 1, atol=1e-5)


@pytest.mark.parametrize("build", [CgSense, Tgrappa])
def test_coils_make_up_for_missing_rows(build):
    """Of every second row of a still body the body itself is shown, on its own scale."""
    image, maps = body(NY, NX), coil_maps(8, NY, NX)
    scan = still_scan(image, NY // 2, frames=8, maps=maps)
    error = nmse(run(build(), scan)[-1].pixels, image)
    assert error < 2e-3
    assert error < 0.02 * nmse(run(ZeroFilled(), scan)[-1].pixels, image)


def test_coils_that_shade_shade_the_image_of_cg_sense_as_they_shade_the_sum_of_squares():
    """A factor that all coils share is not found: the scale is that of their sum of squares."""
    image = body(NY, NX)
    shading = 1 + 0.5 * np.linspace(-1, 1, NY)[:, None]
    full = still_scan(image, NY, frames=4, maps=coil_maps(8, NY, NX) * shading)
    assert nmse(run(ZeroFilled(), full)[-1].pixels, image * shading) < 1e-6
    half = still_scan(image, NY // 2, frames=8, maps=coil_maps(8, NY, NX) * shading)
    shown = run(CgSense(), half)[-1].pixels
    assert nmse(shown, image * shading) < 3e-3
    assert nmse(shown, image) > 10 * nmse(shown, image * shading)


def test_cg_sense_has_less_noise_than_the_sum_of_squares_where_nothing_is():
    image, maps = body(NY, NX), coil_maps(8, NY, NX)
    scan = still_scan(image, NY, frames=12, maps=maps, noise=0.05)
    corner = np.s_[:4, :4]
    squares = np.abs(run(ZeroFilled(), scan)[-1].pixels[corner]).mean()
    assert np.abs(run(CgSense(), scan)[-1].pixels[corner]).mean() < 0.5 * squares


def test_weights_recover_a_missing_row_of_smooth_sensitivities():
    """Rows that the fit never saw are predicted, and by a pattern that is not theirs they are not."""
    kspace = to_kspace((coil_maps(8, NY, NX) * body(NY, NX)).astype(np.complex64))
    pattern, row = (-3, -1, 1, 3), 20
    hidden = kspace.copy()
    hidden[:, row] = 0
    weights = calibrate(kspace, pattern)
    around = np.concatenate([np.roll(hidden, s, -1) for s in (-1, 0, 1)]).transpose(1, 2, 0)

    def predicted(offsets):
        return (np.concatenate([around[row + o] for o in offsets], -1) @ weights).T

    power = np.sum(np.abs(kspace[:, row]) ** 2)
    assert np.sum(np.abs(predicted(pattern) - kspace[:, row]) ** 2) < 0.02 * power
    assert np.sum(np.abs(predicted((-4, -2, 2, 4)) - kspace[:, row]) ** 2) > 0.2 * power


@given(rows=st.sets(st.integers(0, 31), min_size=NEIGHBOURS, max_size=31))
def test_neighbours_are_acquired_rows_and_every_missing_row_has_its_own(rows):
    mask = np.zeros(32, np.bool_)
    mask[list(rows)] = True
    groups = neighbours(mask)
    assert sorted(r for found in groups.values() for r in found) == sorted(set(range(32)) - rows)
    for pattern, found in groups.items():
        assert len(set(pattern)) == NEIGHBOURS
        assert all(mask[r + o] for r in found for o in pattern)


@pytest.mark.parametrize(
    ("build", "change", "message"),
    [
        (CgSense, {"coils": 1}, "1 coil: it takes 2 or more"),
        (Tgrappa, {"coils": 1}, "1 coil: it takes 2 or more"),
        (Tgrappa, {"coils": 4, "sampler": "variable-density"}, "'variable-density': it takes 'uniform'"),
        (Tgrappa, {"coils": 4, "lines_per_frame": 3}, "3 lines a frame: it takes 4 or more"),
    ],
)
def test_a_scan_that_they_cannot_take_is_refused(build, change, message):
    header = dataclasses.replace(still_scan(body(NY, NX), 16, frames=1).header, **change)
    with pytest.raises(InputError, match=message):
        build().open(header, lambda image: None)


@pytest.mark.parametrize(("iterations", "damping"), [(0, 0.1), (2000, 0.1), (5, -1.0), (5, float("nan"))])
def test_values_out_of_range_are_refused(iterations, damping):
    with pytest.raises(InputError, match="cg-sense"):
        CgSense(iterations, damping)
