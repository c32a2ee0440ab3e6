"""Learning a subspace from a training time: components, prior, noise, prediction and known positions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import InputError
from recon.data.examples import Examples
from recon.subspace.known_positions import learn_near
from recon.subspace.subspace import MAX_COMPONENTS, MAX_KNOTS, Subspace, side_by_side

KNOTS_S = 0.055
"""About the time between two knots: a few frames' lines, in which even a heart hardly turns."""

FAINT = 2e-4
"""Share of a component's largest value below which it is set to zero: most of the body does not move."""

UNEXPLAINED = 1e-6
"""Share of the images' energy that may be left out of the subspace."""

ROUNDS = 2
"""Times that the noise is estimated from what the fit leaves."""

BREATH_S = 1.5
"""Time after which the anatomy comes by again rather than still being there; a quarter of a shorter scan."""


def learn_subspace(
    sets: list[Examples],
    components: int,
    knots: int,
    frame_s: float,
    scale: float,
    states: int = 0,
    waves: NDArray[np.complex64] | None = None,
) -> Subspace:
    """Learn the subspace of some scans' training time.

    Parameters
    ----------
    sets
        Frames of each scan, in their order.
    components
        Dimensions at most; fewer where they leave no more than `UNEXPLAINED`.
    knots
        Instants at which the path is estimated, at least 3.
    frame_s
        Time of a frame, seconds.
    scale
        Value by which samples and images are divided.
    states
        Positions of the training time that are kept at most, evenly chosen; 0 for none.
    waves
        Of several coils the weights of their sensitivities' waves, with which the examples were made.

    Returns
    -------
    subspace
        For values so scaled.

    Raises
    ------
    InputError
        If there are fewer frames than a subspace of so many dimensions needs.
    """
    frames = sum(len(s) for s in sets)
    if not 3 <= knots <= MAX_KNOTS:
        raise InputError(f"subspace: knots = {knots}: expected 3 to {MAX_KNOTS}")
    if not 1 <= components <= MAX_COMPONENTS or frames < 4 * components:
        raise InputError(
            f"subspace: {components} components of {frames} training frames: expected 1 to "
            f"{min(MAX_COMPONENTS, frames // 4)}; scan for longer, or take fewer"
        )
    matrix = (int(sets[0].target.shape[1]), int(sets[0].target.shape[2]))
    images = np.concatenate([s.target.reshape(len(s), -1) for s in sets]) / np.complex64(scale)
    energy = float(np.square(np.abs(images)).sum(dtype=np.float64))
    mean = images.mean(0)
    images -= mean
    # The components are real combinations of frames: tissue that moves keeps its phase.
    values, vectors = np.linalg.eigh((images @ images.conj().T).real.astype(np.float64))
    left = values.sum() - np.cumsum(values[::-1])
    enough = (
        1 + int(np.argmax(left <= UNEXPLAINED * energy)) if (left <= UNEXPLAINED * energy).any() else frames
    )
    components = min(components, enough)
    order = np.argsort(values)[::-1][:components]
    mixed = (vectors[:, order] / np.sqrt(np.maximum(values[order], 1e-12 * values[order[0]]))).T
    basis = mixed.astype(np.float32) @ images
    at = (images @ basis.conj().T).real.astype(np.float64)
    ends = np.cumsum([len(s) for s in sets])[:-1]
    step = max(1, round(KNOTS_S / frame_s))
    paths = np.concatenate([_windows(p, knots, step) for p in np.split(at, ends)])
    covariance = paths.T @ paths / len(paths)
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-12 * np.diag(covariance).max()))
    # A part in a thousand keeps directions open that the training time hardly took.
    related = covariance / np.outer(spread, spread) + 1e-3 * np.eye(len(spread))
    kept = np.linspace(0, frames - 1, min(states, frames)).round().astype(np.int64)
    found = Subspace(matrix, components, knots, len(kept), 1 if waves is None else len(waves))
    if waves is not None:
        found.waves.copy_(torch.view_as_real(torch.from_numpy(waves)))
    found.spacing.fill_(step * frame_s)
    # Rounded as they are stored, so that a checkpoint gives the same images as what it was made of.
    found.mean.copy_(_parts(mean, matrix)[0].half())
    parts = _parts(basis, matrix)
    largest = parts.abs().amax(dim=(1, 2, 3), keepdim=True)
    found.basis.copy_(parts.where(parts.abs() > FAINT * largest, 0.0).half())
    found.root.copy_(torch.from_numpy(spread[:, None] * np.linalg.cholesky(related)).float())
    found.noise.fill_(1e-4)
    for _ in range(ROUNDS):
        found.noise.fill_(_fitted(found, sets, frame_s, scale)[1])
    fitted, _ = _fitted(found, sets, frame_s, scale)
    known = np.hstack([fitted, np.ones((len(fitted), 1))])
    # Scaled, so that one small ridge suits position, speed and offset alike.
    unit = known.std(0) + (np.arange(known.shape[1]) == knots * components)
    scaled = known / unit
    ridge = 1e-4 * len(scaled) * np.eye(len(unit))
    mapped = np.linalg.solve(scaled.T @ scaled + ridge, scaled.T @ at).T / unit
    found.predict.copy_(torch.from_numpy(mapped).float())
    found.forget()
    if len(kept):
        _keep(found, kept, at, at - known @ mapped.T, sets, frame_s, scale)
    return found


def _keep(
    found: Subspace,
    kept: NDArray[np.int64],
    at: NDArray[np.float64],
    errors: NDArray[np.float64],
    sets: list[Examples],
    frame_s: float,
    scale: float,
) -> None:
    """Keep some of the training time's positions, and learn how they are to be taken."""
    found.states.copy_(torch.from_numpy(at[kept]).float())
    parts = [
        s.part(slice(start, start + 1)) for s in sets for start in range(0, len(s), max(1, len(s) // 64))
    ]
    covariance = torch.cat(
        [found.fit(torch.from_numpy(p.ages) * frame_s, _lines(p) / scale)[1] for p in parts]
    )
    # What errors there are beyond those that the fit knows of come from the prediction.
    beyond = torch.from_numpy(errors.T @ errors / len(errors)) - covariance.mean(0)
    values, vectors = torch.linalg.eigh(beyond)
    found.doubt.copy_((vectors * values.clamp(min=0)) @ vectors.T)
    found.forget()
    known = found.known()
    assert known is not None
    scans = np.repeat(np.arange(len(sets)), [len(s) for s in sets])[kept]
    times_s = np.concatenate([np.arange(len(s)) * frame_s for s in sets])[kept]
    told = np.mean([known.told(one) for one in covariance.numpy()], axis=0)
    apart_s = min(BREATH_S, 0.25 * float(times_s.max()))
    found.near.copy_(torch.from_numpy(learn_near(at[kept], scans, times_s, told, apart_s)))
    found.forget()


def _windows(at: NDArray[np.float64], knots: int, step: int) -> NDArray[np.float64]:
    """Return the positions at the knots of every frame that has so much past, the newest first."""
    first = (knots - 1) * step
    return np.hstack([at[first - k * step : len(at) - k * step] for k in range(knots)])


def _fitted(
    found: Subspace, sets: list[Examples], frame_s: float, scale: float
) -> tuple[NDArray[np.float64], float]:
    """Return the state of every frame, and the variance that is left in a sample's part."""
    found.forget()
    states: list[NDArray[np.float64]] = []
    left, samples = 0.0, 0
    n = found.components
    for s in sets:
        for start in range(0, len(s), 32):
            part = s.part(slice(start, start + 32))
            ages_s = torch.from_numpy(part.ages) * frame_s
            lines = _lines(part) / scale
            state, _, _ = found.fit(ages_s, lines)
            states.append(state.numpy())
            mean, basis, _ = found.hybrid()
            used, terms = found.terms(ages_s)
            knots = state.reshape(len(state), found.knots, n)
            path = torch.einsum("pbr,bpk->brk", terms, knots).float()
            off = torch.view_as_real(lines) - mean - torch.einsum("brk,krxc->brxc", path, basis)
            seen = off[used > 0]
            left += float(seen.square().sum())
            samples += seen.numel()
    return np.concatenate(states), left / max(samples, 1)


def _lines(part: Examples) -> Tensor:
    """Return the newest lines of some frames as `Subspace.fit` takes them."""
    if part.coils is None:
        return torch.from_numpy(part.shared)
    return side_by_side(torch.from_numpy(np.stack([part.coils.shared(f) for f in range(len(part))])))


def _parts(values: NDArray[np.complex64], matrix: tuple[int, int]) -> Tensor:
    return torch.view_as_real(torch.from_numpy(values.astype(np.complex64)).reshape(-1, *matrix).contiguous())
