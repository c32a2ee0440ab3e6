"""The arrays of the tracker: what a subspace gives before any line comes, and the kernels' workspace.

They are named tuples of arrays, which compiled kernels take as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from recon.subspace.known_positions import KERNEL_SCALES
from recon.subspace.subspace import (
    EXPLAINED_MISFIT,
    MIN_AIR_SAMPLES,
    NOISE_DEVIATIONS,
    NOISE_TOLERANCE,
    Subspace,
)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

CHUNK = 256
"""Known positions whose quadratic forms are computed together, so that their sums stay in the first cache."""


class Rows(NamedTuple):
    """Hold the sums of each row over its newest line.

    Parameters
    ----------
    mean, basis, air
        Mean, components and where there is air, real and imaginary parts in turn, shape (ny, 2 width), (ny,
        components, 2 width) and (ny, 2 width); the width is that of all coils, coils nx.
    air_samples
        Samples in air, shape (ny,).
    gram
        Gram matrix of the components, its upper triangle in turn, shape (ny,
        components (components + 1) / 2).
    newest
        Index of the line that the sums were computed from, shape (ny,).
    projections, energy, air_power
        Products of that line's innovation with the components, the innovation's energy, and the line's energy
        in air, shape (ny, components), (ny,) and (ny,).
    """

    mean: Floats
    basis: Floats
    air: Floats
    air_samples: Doubles
    gram: Doubles
    newest: Indices
    projections: Doubles
    energy: Doubles
    air_power: Doubles


class Model(NamedTuple):
    """Hold what is the same for all lines.

    Parameters
    ----------
    noise_variance
        Variance of the real (or imaginary) part of a sample, as it was learned.
    min_air_samples, noise_tolerance, noise_deviations, explained_misfit
        Constants of `recon.subspace.subspace`.
    used, knot_weights
        By age in lines: whether a row is used, shape (ages,), and the weight of each knot in its position,
        shape (ages, knots).
    state_precision
        Prior precision of the state, shape (knots components, knots components).
    prediction
        Transposed map from the state to the position that is shown, in whitened units and without
        `prior_mean`, shape (knots components, components).
    kernel_root, prior_mean
        From whitened units to the position: product and summand, shape (components, components),
        (components,).
    positions, prediction_covariance, prior_precision, kernel_scales, log_prior_odds
        As `KnownPositions` has them, in whitened units; without any position the estimate stays as it is.
    """

    noise_variance: float
    min_air_samples: float
    noise_tolerance: float
    noise_deviations: float
    explained_misfit: float
    used: Doubles
    knot_weights: Doubles
    state_precision: Doubles
    prediction: Doubles
    kernel_root: Doubles
    prior_mean: Doubles
    positions: Floats
    prediction_covariance: Doubles
    prior_precision: Doubles
    kernel_scales: Doubles
    log_prior_odds: float


class Workspace(NamedTuple):
    """Hold the arrays that the kernels work in, so that a frame's last line allocates nothing."""

    ages: Indices
    blocks: Doubles
    normal: Doubles
    system: Doubles
    right_side: Doubles
    state: Doubles
    deviation: Doubles
    covariance: Doubles
    precision: Doubles
    matrix: Doubles
    augmented: Doubles
    inverses: Doubles
    information: Doubles
    sums: Doubles
    quadratic: Floats
    linear: Floats
    partial: Floats
    logs: Floats


def rows_of(subspace: Subspace) -> Rows:
    """Return the rows of a subspace before any line has come."""
    mean, basis, gram = subspace.hybrid()
    n, ny = subspace.components, len(mean)
    first, second = np.triu_indices(n)
    return Rows(
        mean=mean.reshape(ny, -1).numpy(),
        basis=basis.reshape(n, ny, -1).transpose(0, 1).contiguous().numpy(),
        air=subspace.air.repeat_interleave(2, dim=1).contiguous().numpy(),
        air_samples=subspace.air.sum(1).double().numpy(),
        gram=np.ascontiguousarray(gram.numpy()[:, first, second]),
        newest=np.full(ny, -2, np.int64),  # unlike any line's index, so that the first lines count as new
        projections=np.zeros((ny, n)),
        energy=np.zeros(ny),
        air_power=np.zeros(ny),
    )


def model_of(subspace: Subspace, tr_s: float) -> Model:
    """Return what is the same for all lines."""
    # The knots' weights in a row depend on the row's age in lines; beyond the last age they are 0.
    oldest = int((subspace.knots - 1) * float(subspace.knot_spacing_s) / tr_s) + 2
    used, weights = subspace.knot_weights(torch.arange(oldest + 1)[None] * tr_s)
    assert not used[0, oldest]
    prediction = subspace.prediction.double().numpy()
    prior_mean = np.ascontiguousarray(prediction[:, -1])
    inverse_root = np.linalg.inv(subspace.prior_root.double().numpy())
    known, n = subspace.known_positions(), subspace.components
    whitening = np.eye(n) if known is None else known.whitening
    return Model(
        noise_variance=float(subspace.noise_variance),
        min_air_samples=float(MIN_AIR_SAMPLES),
        noise_tolerance=NOISE_TOLERANCE,
        noise_deviations=NOISE_DEVIATIONS,
        explained_misfit=EXPLAINED_MISFIT,
        used=used[0].numpy(),
        knot_weights=np.ascontiguousarray(weights[:, 0].numpy().T),
        state_precision=inverse_root.T @ inverse_root,
        prediction=np.ascontiguousarray((whitening @ prediction[:, :-1]).T),
        kernel_root=np.linalg.inv(whitening),
        prior_mean=prior_mean,
        positions=np.zeros((n, 0), np.float32) if known is None else known.whitened_positions.numpy(),
        prediction_covariance=np.zeros((n, n)) if known is None else known.prediction_covariance,
        prior_precision=np.zeros((n, n)) if known is None else known.prior_precision,
        kernel_scales=np.array(KERNEL_SCALES),
        log_prior_odds=0.0 if known is None else known.log_prior_odds,
    )


def workspace_for(model: Model, rows: Rows) -> Workspace:
    """Return a workspace for a model and its rows."""
    (size, n), count, knots = model.prediction.shape, len(rows.newest), model.knot_weights.shape[1]
    scales = len(model.kernel_scales)
    return Workspace(
        ages=np.zeros(count, np.int64),
        blocks=np.zeros((knots * (knots + 1) // 2, rows.gram.shape[1])),
        normal=np.zeros((size, size)),
        system=np.zeros((size, size + 1 + n)),
        right_side=np.zeros(size),
        state=np.zeros(size),
        deviation=np.zeros(n),
        covariance=np.zeros((n, n)),
        precision=np.zeros((n, n)),
        matrix=np.zeros((n, n)),
        augmented=np.zeros((n, 2 * n)),
        inverses=np.zeros((scales, n, n)),
        information=np.zeros(n),
        sums=np.zeros(n),
        quadratic=np.zeros((n, n), np.float32),
        linear=np.zeros(n, np.float32),
        partial=np.zeros(CHUNK, np.float32),
        logs=np.zeros((scales, model.positions.shape[1]), np.float32),
    )
