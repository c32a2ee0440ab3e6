"""Least squares for the coils: the smallest best fit, to the last bit the same with any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from mrsim.reception.least_squares import least_squares

CUT = 1e-6


def problem(equations: int, unknowns: int, decades: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a matrix whose singular values span so many decades, and three right-hand sides."""
    rng = np.random.default_rng(seed)
    a, b, c = (
        rng.standard_normal((n, m, 2)) @ (1, 1j)
        for n, m in ((equations, unknowns), (unknowns, unknowns), (equations, 3))
    )
    values = 10.0 ** -np.linspace(0, decades, unknowns)
    return (np.linalg.qr(a)[0] * values) @ np.linalg.qr(b)[0], c


@pytest.mark.parametrize(("equations", "unknowns"), [(40, 1), (40, 7), (60, 10), (49, 49)])
@pytest.mark.parametrize("decades", [0.0, 3.0, 8.7])
def test_it_is_the_solution_without_small_singular_values(
    equations: int, unknowns: int, decades: float
) -> None:
    matrix, seen = problem(equations, unknowns, decades, seed=equations + unknowns)
    u, values, vh = np.linalg.svd(matrix, full_matrices=False)
    kept = values > CUT * values[0]
    wanted = (vh[kept].conj().T / values[kept]) @ (u[:, kept].conj().T @ seen)
    found = least_squares(np.ascontiguousarray(matrix.T), np.ascontiguousarray(seen.T), CUT).T
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-15 / CUT * np.abs(wanted).max())


def test_columns_of_zeros_and_twins_are_no_obstacle() -> None:
    matrix, seen = problem(30, 4, 1.0, seed=1)
    matrix = np.concatenate([matrix, np.zeros((30, 1)), matrix[:, :1]], axis=1)
    found = least_squares(np.ascontiguousarray(matrix.T), np.ascontiguousarray(seen.T), CUT).T
    np.testing.assert_allclose(found, np.linalg.lstsq(matrix, seen, rcond=CUT)[0], atol=1e-12)
    assert np.abs(found[4]).max() == 0


@pytest.mark.slow
def test_a_scan_of_coils_has_the_same_bytes_with_any_number_of_threads() -> None:
    code = (
        "import hashlib, mrsim; s = mrsim.simulate('patient5', frames=1, coils=4, acceleration=5, seed=5); "
        "print(hashlib.sha256(s.samples.tobytes()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1
