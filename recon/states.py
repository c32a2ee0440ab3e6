"""Where the anatomy has been: the training time's positions as a prior on where it is.

A Gaussian prior allows every mixture of components that is not too large. A breathing body takes few of
them: its positions lie close to a thin, bent sheet. Here the prior is a mixture of a small Gaussian about
each position of the training time and, by a small share, of the wide Gaussian that takes it anywhere in the
subspace. The lines decide between them by how well each foretells them, so that what was never shown is not
drawn to what was.

A mixture of Gaussians about samples is a kernel density: Parzen 1962, 10.1214/aoms/1177704472. The posterior
mean under a mixture of Gaussians is that of each, weighted by its evidence: Alspach and Sorenson 1972,
10.1109/TAC.1972.1100034.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_STATES = 8192

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

    def __init__(self, positions: Tensor, near: Tensor, doubt: Tensor, middle: Tensor, wide: Tensor) -> None:
        # In units of the small Gaussians, about the middle: there each of them is of covariance 1.
        self._middle, self._near = middle.double(), near.double()
        eye = torch.eye(len(middle), dtype=torch.float64, device=middle.device)
        self._far = torch.linalg.solve_triangular(self._near, eye, upper=False)
        self._doubt = self._far @ doubt.double() @ self._far.T
        # Single precision: an evidence's logarithm is then right to a hundredth, where thousands differ.
        self._at = (self._far @ (positions.double() - self._middle).T).float().contiguous()
        self._size = 0.5 * self._at.square().sum(0)
        wide = self._far @ wide.double() @ self._far.T + self._doubt
        self._eye, self._surely = eye, torch.linalg.inv(wide)
        # Of the logarithm of the wide Gaussian's evidence over one small one's, what is the same always.
        self._odds = math.log(STRANGE / (1 - STRANGE) * len(positions)) - 0.5 * float(torch.logdet(wide))

    def told(self, covariance: Tensor) -> Tensor:
        """Return what the lines alone tell: the estimates' precision without the wide prior's.

        Parameters
        ----------
        covariance
            Of the estimates under the wide prior, shape (batch, components, components), float64.
        """
        precision = torch.linalg.inv(self._far @ covariance @ self._far.T + self._doubt)
        told: Tensor = self._far.T @ (precision - self._surely) @ self._far
        return told

    def correct(self, estimate: Tensor, covariance: Tensor) -> Tensor:
        """Return the posterior mean under the mixture.

        Parameters
        ----------
        estimate, covariance
            Posterior mean and covariance under the wide Gaussian, shape (batch, components) and (batch,
            components, components), float64.

        Returns
        -------
        position
            Shape (batch, components), float64.
        """
        off = (estimate - self._middle) @ self._far.T
        root = torch.linalg.cholesky(self._far @ covariance @ self._far.T + self._doubt)
        precision = torch.cholesky_inverse(root)
        said = (precision @ off[:, :, None])[:, :, 0]
        told = torch.linalg.cholesky(precision + (self._eye - self._surely))
        step = torch.cholesky_inverse(told)  # covariance of a small Gaussian, once the lines are known
        moved = (step @ said[:, :, None])[:, :, 0]
        # The logarithm of the evidence of every position, and that of the wide one, less what they share.
        ones = torch.matmul(0.5 * step.float(), self._at).mul_(self._at).sum(-2)
        ones = ones.addmm_(moved.float(), self._at).sub_(self._size)
        dets = (root.diagonal(dim1=1, dim2=2) * told.diagonal(dim1=1, dim2=2)).log().sum(-1)
        wide = 0.5 * (said * (off - moved)).sum(-1) + dets + self._odds
        share = torch.softmax(torch.cat([ones, wide[:, None].float()], 1), 1)
        strange = share[:, -1:].double()
        about = (share[:, :-1] @ self._at.T).double()
        near = (1 - strange) * moved + (step @ about[:, :, None])[:, :, 0]
        found: Tensor = (near + strange * off) @ self._near.T + self._middle
        return found


def learn_near(positions: Tensor, groups: Tensor, times_s: Tensor, told: Tensor, apart_s: float) -> Tensor:
    """Learn how far from a known position the anatomy may be: as far as from one breath to the next.

    Parameters
    ----------
    positions
        Of the training time, shape (states, components), float64.
    groups, times_s
        Scan that each is of, and its time in it, shape (states,), seconds.
    told
        What the lines of a frame tell on average, as `KnownStates.told` returns it, shape (components,
        components): in its measure the nearest other position is found.
    apart_s
        Time that two positions of a scan are apart at least, to be of different breaths, seconds.

    Returns
    -------
    near
        As for `KnownStates`, float64.
    """
    values, vectors = torch.linalg.eigh(told)
    seen = positions @ (vectors * values.clamp(min=0).sqrt())
    size = seen.square().sum(1)
    away = size[:, None] + size[None] - 2 * seen @ seen.T
    close = (groups[:, None] == groups[None]) & ((times_s[:, None] - times_s[None]).abs() < apart_s)
    steps = positions - positions[away.masked_fill(close, math.inf).argmin(1)]
    covariance = steps.T @ steps / len(steps)
    floor = 1e-5 * covariance.trace() / len(covariance)
    eye = torch.eye(len(covariance), dtype=torch.float64)
    near: Tensor = torch.linalg.cholesky(covariance + max(float(floor), 1e-12) * eye)
    return near
