"""Learning a subspace from a training time: components, prior, noise, prediction and known positions.

Torch computes every product and decomposition, on one thread: systems of a hundred unknowns are so small that
two threads wait for each other, and their sums would depend on the threads. numpy keeps to no number of them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import TrainingError
from recon.cascade.threads import one_thread
from recon.data.examples import Examples
from recon.subspace.known_positions import learn_kernel_root
from recon.subspace.subspace import MAX_COMPONENTS, MAX_KNOTS, Subspace, side_by_side

KNOT_SPACING_S = 0.055
"""Time between two knots, to the nearest frame: so short that even a heart moves little in it."""

NEGLIGIBLE = 2e-4
"""Share of a component's largest value below which a pixel is set to zero: most of the body is still."""

UNEXPLAINED = 1e-6
"""Share of the images' energy that the subspace may leave out."""

NOISE_ROUNDS = 2
"""Rounds in which the noise variance is estimated from the residual of the fit."""

BREATH_S = 1.5
"""Time after which two positions belong to different breaths; at most a quarter of the longest scan."""


def learn_subspace(
    sets: list[Examples],
    components: int,
    knots: int,
    frame_s: float,
    scale: float,
    positions: int = 0,
    waves: NDArray[np.complex64] | None = None,
) -> Subspace:
    """Learn the subspace of some scans' training time.

    Parameters
    ----------
    sets
        Frames of each scan, in their order.
    components
        Dimensions at most; fewer where fewer leave no more than `UNEXPLAINED`.
    knots
        Instants at which the path is estimated, at least 3.
    frame_s
        Time of a frame, seconds.
    scale
        Value by which samples and images are divided.
    positions
        Positions of the training time that are kept at most, evenly chosen; 0 for none.
    waves
        With several coils the weights of their sensitivities' waves, with which the examples were made.

    Returns
    -------
    subspace
        For values so scaled.

    Raises
    ------
    TrainingError
        If there are fewer frames than a subspace of so many dimensions needs.
    """
    with one_thread():
        return _learn(sets, components, knots, frame_s, scale, positions, waves)


def _learn(
    sets: list[Examples],
    components: int,
    knots: int,
    frame_s: float,
    scale: float,
    positions: int,
    waves: NDArray[np.complex64] | None,
) -> Subspace:
    frames = sum(len(s) for s in sets)
    if not 3 <= knots <= MAX_KNOTS:
        raise TrainingError(f"subspace: knots = {knots}: expected 3 to {MAX_KNOTS}")
    if not 1 <= components <= MAX_COMPONENTS or frames < 4 * components:
        raise TrainingError(
            f"subspace: {components} components of {frames} training frames: expected 1 to "
            f"{min(MAX_COMPONENTS, frames // 4)}; scan for longer, or take fewer"
        )
    matrix = (int(sets[0].target.shape[1]), int(sets[0].target.shape[2]))
    images = np.concatenate([s.target.reshape(len(s), -1) for s in sets]) / np.complex64(scale)
    energy = float(np.square(np.abs(images)).sum(dtype=np.float64))
    mean = images.mean(0)
    images -= mean
    # The components are real combinations of frames: tissue that moves keeps its phase.
    parts = torch.view_as_real(torch.from_numpy(images)).reshape(frames, -1)
    values, vectors = (found.numpy() for found in torch.linalg.eigh(torch.mm(parts, parts.T).double()))
    left = values.sum() - np.cumsum(values[::-1])
    enough = (
        1 + int(np.argmax(left <= UNEXPLAINED * energy)) if (left <= UNEXPLAINED * energy).any() else frames
    )
    components = min(components, enough)
    order = np.argsort(values)[::-1][:components]
    mixed = (vectors[:, order] / np.sqrt(np.maximum(values[order], 1e-12 * values[order[0]]))).T
    basis = torch.mm(torch.from_numpy(mixed.astype(np.float32)), parts)
    path = torch.mm(parts, basis.T).double().numpy()
    ends = np.cumsum([len(s) for s in sets])[:-1]
    step = max(1, round(KNOT_SPACING_S / frame_s))
    states = np.concatenate([_windows(p, knots, step) for p in np.split(path, ends)])
    covariance = _gram(states) / len(states)
    deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-12 * np.diag(covariance).max()))
    # A part in a thousand leaves some variance to directions that the training time hardly took.
    correlation = covariance / np.outer(deviation, deviation) + 1e-3 * np.eye(len(deviation))
    kept = np.linspace(0, frames - 1, min(positions, frames)).round().astype(np.int64)
    found = Subspace(matrix, components, knots, len(kept), 1 if waves is None else len(waves))
    if waves is not None:
        found.waves.copy_(torch.view_as_real(torch.from_numpy(waves)))
    found.knot_spacing_s.fill_(step * frame_s)
    # Rounded as they are stored, so that a checkpoint gives the same images as the training does.
    found.mean.copy_(torch.view_as_real(torch.from_numpy(mean)).reshape(*matrix, 2).half())
    basis = basis.reshape(-1, *matrix, 2)
    largest = basis.abs().amax(dim=(1, 2, 3), keepdim=True)
    found.basis.copy_(basis.where(basis.abs() > NEGLIGIBLE * largest, 0.0).half())
    root = torch.from_numpy(deviation[:, None]) * torch.linalg.cholesky(torch.from_numpy(correlation))
    found.prior_root.copy_(root.float())
    found.noise_variance.fill_(1e-4)
    for _ in range(NOISE_ROUNDS):
        found.noise_variance.fill_(_fitted(found, sets, frame_s, scale)[1])
    fitted, _ = _fitted(found, sets, frame_s, scale)
    # Linear regression of the position on the estimated state and a 1, each scaled to a deviation of 1, so
    # that one small ridge suits position, speed and offset alike.
    regressors = np.hstack([fitted, np.ones((len(fitted), 1))])
    unit = regressors.std(0) + (np.arange(regressors.shape[1]) == knots * components)
    scaled = regressors / unit
    ridge = 1e-4 * len(scaled) * np.eye(len(unit))
    normal, right_side = torch.from_numpy(_gram(scaled) + ridge), torch.from_numpy(scaled).T
    prediction = torch.linalg.solve(normal, torch.mm(right_side, torch.from_numpy(path))).T.numpy() / unit
    found.prediction.copy_(torch.from_numpy(prediction).float())
    found.forget()
    if len(kept):
        shown = torch.mm(torch.from_numpy(regressors), torch.from_numpy(prediction).T).numpy()
        _keep_positions(found, kept, path, path - shown, sets, frame_s, scale)
    return found


def _keep_positions(
    found: Subspace,
    kept: NDArray[np.int64],
    path: NDArray[np.float64],
    errors: NDArray[np.float64],
    sets: list[Examples],
    frame_s: float,
    scale: float,
) -> None:
    """Keep some positions of the training time, and learn prediction covariance and kernels for them."""
    found.positions.copy_(torch.from_numpy(path[kept]).float())
    parts = [
        s.part(slice(start, start + 1)) for s in sets for start in range(0, len(s), max(1, len(s) // 64))
    ]
    covariance = torch.cat(
        [found.fit(torch.from_numpy(p.ages) * frame_s, _lines(p) / scale)[1] for p in parts]
    )
    # The errors' covariance beyond the posterior covariance comes from the prediction.
    excess = torch.from_numpy(_gram(errors) / len(errors)) - covariance.mean(0)
    values, vectors = torch.linalg.eigh(excess)
    found.prediction_covariance.copy_((vectors * values.clamp(min=0)) @ vectors.T)
    found.forget()
    known = found.known_positions()
    assert known is not None
    scans = np.repeat(np.arange(len(sets)), [len(s) for s in sets])[kept]
    times_s = np.concatenate([np.arange(len(s)) * frame_s for s in sets])[kept]
    data_precision = np.mean([known.data_precision(one) for one in covariance.numpy()], axis=0)
    breath_s = min(BREATH_S, 0.25 * float(times_s.max()))
    root = learn_kernel_root(path[kept], scans, times_s, data_precision, breath_s)
    found.kernel_root.copy_(torch.from_numpy(root))
    found.forget()


def _gram(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inner products of all columns."""
    given = torch.from_numpy(columns)
    return np.asarray(torch.mm(given.T, given).numpy(), np.float64)


def _windows(path: NDArray[np.float64], knots: int, step: int) -> NDArray[np.float64]:
    """Return the states of all frames that have so long a past: positions at the knots, the newest first."""
    first = (knots - 1) * step
    return np.hstack([path[first - k * step : len(path) - k * step] for k in range(knots)])


def _fitted(
    found: Subspace, sets: list[Examples], frame_s: float, scale: float
) -> tuple[NDArray[np.float64], float]:
    """Return the estimated state of every frame, and the residual variance of a sample's part."""
    found.forget()
    states: list[NDArray[np.float64]] = []
    energy, samples = 0.0, 0
    n = found.components
    for s in sets:
        for start in range(0, len(s), 32):
            part = s.part(slice(start, start + 32))
            ages_s = torch.from_numpy(part.ages) * frame_s
            lines = _lines(part) / scale
            state, _, _ = found.fit(ages_s, lines)
            states.append(state.numpy())
            mean, basis, _ = found.hybrid()
            used, weights = found.knot_weights(ages_s)
            knots = state.reshape(len(state), found.knots, n)
            path = torch.einsum("pbr,bpk->brk", weights, knots).float()
            residual = torch.view_as_real(lines) - mean - torch.einsum("brk,krxc->brxc", path, basis)
            residual = residual[used > 0]
            energy += float(residual.square().sum())
            samples += residual.numel()
    return np.concatenate(states), energy / max(samples, 1)


def _lines(part: Examples) -> Tensor:
    """Return the newest lines of some frames as `Subspace.fit` takes them."""
    if part.coils is None:
        return torch.from_numpy(part.shared)
    return side_by_side(torch.from_numpy(np.stack([part.coils.shared(f) for f in range(len(part))])))
