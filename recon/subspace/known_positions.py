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

    Attributes
    ----------
    far
        L^-1: from a position less the middle to the units in which the small Gaussians are of covariance 1.
    at
        Known positions in these units, shape (components, states), float32.
    doubt, surely
        In these units the covariance that the estimates lack, and the inverse of the wide Gaussian's with it,
        shape (components, components).
    odds
        Of the logarithm of the wide Gaussian's evidence over that of a small one, what is the same always.
    """

    def __init__(
        self, positions: Doubles, near: Doubles, doubt: Doubles, middle: Doubles, wide: Doubles
    ) -> None:
        self._middle, self._near, self.far = middle, near, np.linalg.inv(near)
        self.doubt = self.far @ doubt @ self.far.T
        # Single precision: an evidence's logarithm is then right to a hundredth, where thousands differ.
        at = np.ascontiguousarray(self.far @ (positions - middle).T, np.float32)
        # Large products are torch's, which keeps to the threads that it is told to use; numpy's does not.
        self.at = torch.from_numpy(at)
        self._squares = np.square(np.array(SIZES))[:, None]
        wide = self.far @ wide @ self.far.T + self.doubt
        self.surely: Doubles = np.asarray(np.linalg.inv(wide), np.float64)
        share = STRANGE / (1 - STRANGE) * len(positions) * len(SIZES)
        self.odds = math.log(share) - 0.5 * _logdet(wide)

    def told(self, covariance: Doubles) -> Doubles:
        """Return what the lines alone tell: the estimates' precision without the wide prior's.

        Parameters
        ----------
        covariance
            Of an estimate under the wide prior, shape (components, components).
        """
        precision = np.linalg.inv(self.far @ covariance @ self.far.T + self.doubt)
        told: Doubles = self.far.T @ (precision - self.surely) @ self.far
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
        off = self.far @ (estimate - self._middle)
        precision = np.linalg.inv(self.far @ covariance @ self.far.T + self.doubt)
        said = precision @ off
        wide = 0.5 * (float(said @ off) - _logdet(precision)) + self.odds
        # Along the axes of what the lines tell, every component meets them by itself, whatever the size.
        told, axes = np.linalg.eigh(precision - self.surely)
        told, said = np.maximum(told, 0), axes.T @ said
        loose = 1 + self._squares * told
        at = torch.mm(torch.from_numpy(axes.T.astype(np.float32)), self.at)
        slopes = np.concatenate((said / loose, -0.5 * told / loose), 1).astype(np.float32)
        logs = torch.mm(torch.from_numpy(slopes), torch.cat((at, at * at))).numpy()
        same = 0.5 * (self._squares * said**2 / loose - np.log(loose)).sum(1)
        most = max(wide, float((logs.max(1) + same).max()))
        logs += (same - most).astype(np.float32)[:, None]
        shares = np.exp(logs, out=logs)
        strange, share = math.exp(wide - most), shares.sum(1).astype(np.float64)
        about = torch.mm(torch.from_numpy(shares), at.T).numpy()
        moved = ((about + self._squares * share[:, None] * said) / loose).sum(0)
        near = (axes @ moved + strange * off) / (strange + share.sum())
        found: Doubles = self._near @ near + self._middle
        return found


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
