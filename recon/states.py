"""Where the anatomy has been: the training time's positions as a prior on where it is.

A Gaussian prior allows every mixture of components that is not too large. A breathing body takes few of
them: its positions lie close to a thin, bent sheet. Here the prior is a mixture of small Gaussians about each
position of the training time, of two sizes, since no breath is quite as far from the next as the others are,
and, by a small share, of the wide Gaussian that takes it anywhere in the subspace. The lines decide between
them by how well each foretells them, so that what was never shown is not drawn to what was.

A mixture of Gaussians about samples is a kernel density: Parzen 1962, 10.1214/aoms/1177704472. The posterior
mean under a mixture of Gaussians is that of each, weighted by its evidence: Alspach and Sorenson 1972,
10.1109/TAC.1972.1100034.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

MAX_STATES = 8192

SIZES = (1.0, 3.0)
"""Standard deviations of the small Gaussians, over that of the steps from breath to breath."""

STRANGE = 1e-3
"""Share of the wide Gaussian before anything is known of a frame."""


class KnownStates:
    """Correct an estimate under the wide Gaussian prior to what it is under the mixture.

    Parameters
    ----------
    positions
        Of the training time, shape (states, components).
    near
        Root L of the covariance L L^T of the small Gaussians, shape (components, components).
    doubt
        Covariance that the estimates lack, of the prediction to the instant that is shown, shape
        (components, components).
    middle, wide
        Mean and covariance of the wide Gaussian, without `doubt`, shape (components,) and
        (components, components).
    """

    def __init__(
        self, positions: Doubles, near: Doubles, doubt: Doubles, middle: Doubles, wide: Doubles
    ) -> None:
        # In units of the small Gaussians, about the middle: there each of them is of covariance 1.
        self._middle, self._near, self._far = middle, near, np.linalg.inv(near)
        self._doubt = self._far @ doubt @ self._far.T
        at = self._far @ (positions - middle).T
        # Single precision: an evidence's logarithm is then right to a hundredth, where thousands differ.
        self._at = [np.ascontiguousarray(at / size, np.float32) for size in SIZES]
        self._half = [0.5 * np.square(at).sum(0) for at in self._at]
        # Large products are torch's, which keeps to the threads that it is told to use; numpy's does not.
        self._lent = [torch.from_numpy(at) for at in self._at]
        wide = self._far @ wide @ self._far.T + self._doubt
        self._surely, self._eye = np.linalg.inv(wide), np.eye(len(middle))
        # Of the logarithm of the wide Gaussian's evidence over that of a small one, what is the same always.
        share = STRANGE / (1 - STRANGE) * len(positions) * len(SIZES)
        self._odds = math.log(share) - 0.5 * _logdet(wide)

    def told(self, covariance: Doubles) -> Doubles:
        """Return what the lines alone tell: the estimates' precision without the wide prior's.

        Parameters
        ----------
        covariance
            Of an estimate under the wide prior, shape (components, components).
        """
        precision = np.linalg.inv(self._far @ covariance @ self._far.T + self._doubt)
        told: Doubles = self._far.T @ (precision - self._surely) @ self._far
        return told

    def correct(self, estimate: Doubles, covariance: Doubles) -> Doubles:
        """Return the posterior mean under the mixture.

        Parameters
        ----------
        estimate, covariance
            Posterior mean and covariance under the wide Gaussian, shape (components,) and (components,
            components).

        Returns
        -------
        position
            Shape (components,).
        """
        off = self._far @ (estimate - self._middle)
        spread = self._far @ covariance @ self._far.T + self._doubt
        precision = np.linalg.inv(spread)
        said = precision @ off
        told = precision - self._surely
        wide = 0.5 * (float(said @ off) - _logdet(precision)) + self._odds
        met = [self._met(n, told, said) for n in range(len(SIZES))]
        most = max(wide, *(float(logs.max()) + same for logs, same, _, _ in met))
        strange = math.exp(wide - most)
        total, near = strange, strange * off
        for (logs, same, step, moved), at, size in zip(met, self._at, SIZES, strict=True):
            shares = np.exp(logs + np.float32(same - most))
            share = float(shares.sum())
            about = np.einsum("kn,n->k", at, shares).astype(np.float64)
            total, near = total + share, near + size * (share * moved + step @ about)
        found: Doubles = self._near @ (near / total) + self._middle
        return found

    def _met(
        self, n: int, told: Doubles, said: Doubles
    ) -> tuple[NDArray[np.float32], float, Doubles, Doubles]:
        """Let the small Gaussians of one size meet the lines.

        Returns
        -------
        logs, same
            Logarithm of the evidence of each, in two parts, of which one is the same for all.
        step, moved
            Covariance of each, and how far the lines move the one in the middle, in units of the size.
        """
        size, at = SIZES[n], self._at[n]
        known = self._eye + size**2 * told
        step = np.asarray(np.linalg.inv(known), np.float64)
        moved: Doubles = step @ (size * said)
        slope = torch.mm(torch.from_numpy((0.5 * step).astype(np.float32)), self._lent[n]).numpy()
        slope += moved.astype(np.float32)[:, None]
        slope *= at
        logs = slope.sum(0)
        logs -= self._half[n]
        return logs, 0.5 * (size * float(said @ moved) - _logdet(known)), step, moved


def _logdet(matrix: Doubles) -> float:
    return float(np.linalg.slogdet(matrix)[1])


def learn_near(
    positions: Doubles, scans: NDArray[np.int64], times_s: Doubles, told: Doubles, apart_s: float
) -> Doubles:
    """Learn how far from a known position the anatomy may be: as far as from one breath to the next.

    Parameters
    ----------
    positions
        Of the training time, shape (states, components).
    scans, times_s
        Scan that each is of, and its time in it, shape (states,), seconds.
    told
        What the lines of a frame tell on average, as `KnownStates.told` returns it, shape (components,
        components): in its measure the nearest other position is found.
    apart_s
        Time that two positions of a scan are apart at least, to be of different breaths, seconds.

    Returns
    -------
    near
        As for `KnownStates`.
    """
    values, vectors = np.linalg.eigh(told)
    seen = positions @ (vectors * np.sqrt(np.maximum(values, 0)))
    size = np.square(seen).sum(1)
    away = size[:, None] + size - 2 * seen @ seen.T
    away[(scans[:, None] == scans) & (np.abs(times_s[:, None] - times_s) < apart_s)] = np.inf
    steps = positions - positions[away.argmin(1)]
    covariance = steps.T @ steps / len(steps)
    floor = max(1e-5 * float(np.trace(covariance)) / len(covariance), 1e-12)
    near: Doubles = np.linalg.cholesky(covariance + floor * np.eye(len(covariance)))
    return near
