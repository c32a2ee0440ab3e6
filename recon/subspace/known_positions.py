"""A mixture prior: the anatomy is near a position that it took in the training time.

A Gaussian prior allows every mixture of components that is not too large. A breathing body takes few of
them: its positions lie close to a thin, bent sheet. The mixture has three parts about these positions:

- a narrow Gaussian kernel about each position of the training time;
- a kernel three times as wide about each, because no breath is quite like the one before;
- with a small share, the wide Gaussian prior of the whole subspace.

The likelihood of the lines decides between them. So anatomy that was never shown is not drawn to what was.

A mixture of Gaussians about samples is a kernel density: Parzen 1962, 10.1214/aoms/1177704472. The posterior
mean under a mixture of Gaussians is the mean of the components' posterior means, weighted by their evidence:
Alspach and Sorenson 1972, 10.1109/TAC.1972.1100034.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

MAX_POSITIONS = 8192

KERNEL_SCALES = (1.0, 3.0)
"""Standard deviations of the kernels, relative to that of the steps from breath to breath."""

WIDE_SHARE = 1e-3
"""Prior probability of the wide Gaussian."""


class KnownPositions:
    """Correct an estimate under the wide Gaussian prior to the estimate under the mixture prior.

    Parameters
    ----------
    positions
        Of the training time, shape (positions, components).
    kernel_root
        Root L of the kernels' covariance L L^T, shape (components, components).
    prediction_covariance
        Covariance that the prediction to the shown instant adds to an estimate, shape (components,
        components).
    prior_mean, prior_covariance
        Of the wide Gaussian, without the prediction covariance, shape (components,) and (components,
        components).

    Attributes
    ----------
    whitening
        L^-1, which takes a deviation from the prior mean to whitened units: there a kernel has covariance 1.
    whitened_positions
        Known positions in whitened units, shape (components, positions), float32.
    prediction_covariance
        In whitened units, shape (components, components).
    prior_precision
        Inverse of the wide Gaussian's covariance with the prediction covariance, in whitened units, shape
        (components, components).
    log_prior_odds
        Constant part of the logarithm of the wide Gaussian's posterior odds over one kernel.
    """

    def __init__(
        self,
        positions: Doubles,
        kernel_root: Doubles,
        prediction_covariance: Doubles,
        prior_mean: Doubles,
        prior_covariance: Doubles,
    ) -> None:
        self._prior_mean, self._kernel_root = prior_mean, kernel_root
        self.whitening = np.linalg.inv(kernel_root)
        self.prediction_covariance = self.whitening @ prediction_covariance @ self.whitening.T
        # Single precision gives log-likelihoods to a hundredth, where they differ by thousands.
        whitened = np.ascontiguousarray(self.whitening @ (positions - prior_mean).T, np.float32)
        # Torch computes the large products, because it keeps to its number of threads; numpy does not.
        self.whitened_positions = torch.from_numpy(whitened)
        self._variances = np.square(np.array(KERNEL_SCALES))[:, None]
        covariance = self.whitening @ prior_covariance @ self.whitening.T + self.prediction_covariance
        self.prior_precision: Doubles = np.asarray(np.linalg.inv(covariance), np.float64)
        odds = WIDE_SHARE / (1 - WIDE_SHARE) * len(positions) * len(KERNEL_SCALES)
        self.log_prior_odds = math.log(odds) - 0.5 * _logdet(covariance)

    def data_precision(self, covariance: Doubles) -> Doubles:
        """Return the posterior precision minus the prior precision, shape (components, components).

        Parameters
        ----------
        covariance
            Posterior covariance under the wide prior, shape (components, components).
        """
        precision = self._posterior_precision(covariance)
        found: Doubles = self.whitening.T @ (precision - self.prior_precision) @ self.whitening
        return found

    def posterior_mean(self, estimate: Doubles, covariance: Doubles) -> Doubles:
        """Return the posterior mean under the mixture prior.

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
        deviation = self.whitening @ (estimate - self._prior_mean)
        precision = self._posterior_precision(covariance)
        information = precision @ deviation
        log_wide = 0.5 * (float(information @ deviation) - _logdet(precision)) + self.log_prior_odds
        # Along the eigenvectors of the data precision every component is independent, whatever the kernel.
        data_precision, axes = np.linalg.eigh(precision - self.prior_precision)
        data_precision, information = np.maximum(data_precision, 0), axes.T @ information
        ratio = 1 + self._variances * data_precision  # prior over posterior variance within a kernel
        positions = torch.mm(torch.from_numpy(axes.T.astype(np.float32)), self.whitened_positions)
        coefficients = np.concatenate((information / ratio, -0.5 * data_precision / ratio), 1)
        features = torch.cat((positions, positions * positions))
        logs = torch.mm(torch.from_numpy(coefficients.astype(np.float32)), features).numpy()
        constant = 0.5 * (self._variances * information**2 / ratio - np.log(ratio)).sum(1)
        largest = max(log_wide, float((logs.max(1) + constant).max()))
        logs += (constant - largest).astype(np.float32)[:, None]
        weights = np.exp(logs, out=logs)
        wide_weight, kernel_weights = math.exp(log_wide - largest), weights.sum(1).astype(np.float64)
        sums = torch.mm(torch.from_numpy(weights), positions.T).numpy()
        kernel_sum = ((sums + self._variances * kernel_weights[:, None] * information) / ratio).sum(0)
        mean = (axes @ kernel_sum + wide_weight * deviation) / (wide_weight + kernel_weights.sum())
        found: Doubles = self._kernel_root @ mean + self._prior_mean
        return found

    def _posterior_precision(self, covariance: Doubles) -> Doubles:
        """Return the precision of the predicted position under the wide prior, in whitened units."""
        whitened = self.whitening @ covariance @ self.whitening.T + self.prediction_covariance
        return np.asarray(np.linalg.inv(whitened), np.float64)


def _logdet(matrix: Doubles) -> float:
    return float(np.linalg.slogdet(matrix)[1])


def learn_kernel_root(
    positions: Doubles,
    scans: NDArray[np.int64],
    times_s: Doubles,
    data_precision: Doubles,
    breath_s: float,
) -> Doubles:
    """Learn the kernels' covariance from the distance between one breath and the nearest other one.

    Parameters
    ----------
    positions
        Of the training time, shape (positions, components).
    scans, times_s
        Scan of each position, and its time in that scan, shape (positions,), seconds.
    data_precision
        Mean of `KnownPositions.data_precision` over some frames, shape (components, components): the metric
        in which the nearest other position is found.
    breath_s
        Two positions of one scan belong to different breaths if they are at least so far apart, seconds.

    Returns
    -------
    kernel_root
        As for `KnownPositions`.
    """
    values, vectors = torch.linalg.eigh(torch.from_numpy(data_precision))
    scaled = torch.mm(torch.from_numpy(positions), vectors * values.clamp(min=0).sqrt())
    squares = scaled.square().sum(1)
    distances = (squares[:, None] + squares - 2 * torch.mm(scaled, scaled.T)).numpy()
    same_breath = np.abs(times_s[:, None] - times_s) < breath_s
    distances[(scans[:, None] == scans) & same_breath] = np.inf
    steps = torch.from_numpy(positions - positions[distances.argmin(1)])
    covariance = torch.mm(steps.T, steps) / len(steps)
    floor = max(1e-5 * float(covariance.trace()) / len(covariance), 1e-12)
    root = torch.linalg.cholesky(covariance + floor * torch.eye(len(covariance), dtype=covariance.dtype))
    return np.asarray(root.numpy(), np.float64)
