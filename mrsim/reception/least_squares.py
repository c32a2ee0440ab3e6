"""Least squares with small singular values left out, whose bits do not depend on the number of threads.

LAPACK sums in an order that depends on its threads, so that the same scan would differ in its last digits
from host to host. Here are Householder's triangle and Jacobi's rotations from one side, in numpy's own loops.

Golub and Van Loan 2013, Matrix Computations, 5.2 and 8.6.3; Brent and Luk 1985, 10.1137/0906007 (rounds).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]

MAX_SWEEPS = 60
_SETTLED = 1e-14  # cosine of the angle between two columns that counts as none; sums of 49 are not surer


def least_squares(columns: Complex, seen: Complex, cut: float) -> Complex:
    """Solve several problems of one matrix.

    Parameters
    ----------
    columns
        The matrix, column after column, shape (unknowns, equations), complex128, of no fewer equations than
        unknowns.
    seen
        Right-hand sides, shape (problems, equations), complex128.
    cut
        Singular values below this share of the largest are left out.

    Returns
    -------
    solved
        Shape (problems, unknowns), complex128: of all that fit equally well, the smallest.
    """
    unknowns = len(columns)
    rows = np.concatenate([columns, seen]).astype(np.complex128)
    for step in range(unknowns):
        _reflect(rows[step:, step:])
    right = rows[unknowns:, :unknowns]
    # With a column of zeros where their number is odd: in every round each has a partner.
    turned = np.zeros((unknowns + unknowns % 2, 2 * unknowns), np.complex128)
    turned[:unknowns, :unknowns], turned[:unknowns, unknowns:] = rows[:unknowns, :unknowns], np.eye(unknowns)
    _orthogonalise(turned, unknowns)
    turned, basis = turned[:, :unknowns], turned[:, unknowns:]
    power = _power(turned)
    kept = power > cut * cut * power.max()
    shares = np.sum(turned[kept].conj() * right[:, None], axis=-1) / power[kept]
    solved: Complex = np.sum(shares[:, None] * np.ascontiguousarray(basis[kept].T), axis=-1)
    return solved


def _reflect(rows: Complex) -> None:
    """Reflect all rows so that of the first one only its first entry is left."""
    norm = math.sqrt(float(_power(rows[0])))
    if norm == 0:
        return
    mirror, size = rows[0].copy(), abs(complex(rows[0, 0]))
    mirror[0] += norm * (complex(rows[0, 0]) / size if size else 1)
    share = np.sum(mirror.conj() * rows, axis=-1) / (norm * (norm + size))
    rows -= share[:, None] * mirror
    rows[0, 1:] = 0


def _orthogonalise(columns: Complex, first: int) -> None:
    """Rotate pairs of rows, disjoint ones together, until their first entries are at right angles."""
    count = len(columns)
    order = np.arange(count)
    for _ in range(MAX_SWEEPS):
        settled = True
        for _ in range(count - 1):
            settled &= _rotate(columns, order[: count // 2], order[: count // 2 - 1 : -1], first)
            order[1:] = np.roll(order[1:], 1)
        if settled:
            return


def _rotate(columns: Complex, p: NDArray[np.int64], q: NDArray[np.int64], first: int) -> bool:
    a, b = columns[p], columns[q]
    power_a, power_b = _power(a[:, :first]), _power(b[:, :first])
    both = np.sum(a[:, :first].conj() * b[:, :first], axis=-1)
    size = np.abs(both)
    turned = size > _SETTLED * np.sqrt(power_a * power_b)
    if not turned.any():
        return True
    safe = np.where(turned, size, 1.0)
    phase = np.where(turned, both.conj() / safe, 1)[:, None]
    zeta = (power_b - power_a) / (2 * safe)
    tangent = np.copysign(1, zeta) / (np.abs(zeta) + np.sqrt(1 + zeta * zeta))
    cosine = np.where(turned, 1 / np.sqrt(1 + tangent * tangent), 1)[:, None]
    sine = np.where(turned[:, None], cosine * tangent[:, None], 0)
    b = phase * b
    columns[p], columns[q] = cosine * a - sine * b, sine * a + cosine * b
    return False


def _power(rows: Complex) -> NDArray[np.float64]:
    power: NDArray[np.float64] = np.sum(rows.real**2 + rows.imag**2, axis=-1)
    return power
