"""The arrays of the tracker: what of a subspace is worked out before any line comes, and room for the rest.

As named tuples of arrays, which compiled kernels take as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from recon.subspace.known_positions import SIZES
from recon.subspace.subspace import EXPLAINED, LEAST_AIR, NOISE_DIFFERS, SURE, Subspace

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

CHUNK = 256
"""Known positions that are compared at a time, so that their sums stay in the nearest cache."""


class Rows(NamedTuple):
    """Hold what is known of each row.

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
    seen
        Line that it was last taken from, shape (ny,).
    said, energy, power
        Products of that line, without the mean, with the components, its energy, and its energy in air with
        the mean, shape (ny, components), (ny,) and (ny,).
    """

    mean: Floats
    basis: Floats
    air: Floats
    air_samples: Doubles
    gram: Doubles
    seen: Indices
    said: Doubles
    energy: Doubles
    power: Doubles


class Model(NamedTuple):
    """Hold what is the same for all lines.

    Parameters
    ----------
    noise
        Variance of the real (or imaginary) part of a sample, as it was learned.
    least_air, differs, sure, explained
        Constants of `recon.subspace.subspace`.
    used, terms
        By age in lines: whether a row is used, shape (ages,), and its shares in the knots, shape (ages,
        knots).
    prior
        Inverse of the prior covariance of the state, shape (knots components, knots components).
    ask
        Transposed map from the state to the position that is shown, in units of the small Gaussians and less
        `middle`, shape (knots components, components).
    near, middle
        From those units to the position: product and summand, shape (components, components), (components,).
    at, doubt, surely, sizes, odds
        As `KnownStates` has them; without any position the estimate stays as it is.
    """

    noise: float
    least_air: float
    differs: float
    sure: float
    explained: float
    used: Doubles
    terms: Doubles
    prior: Doubles
    ask: Doubles
    near: Doubles
    middle: Doubles
    at: Floats
    doubt: Doubles
    surely: Doubles
    sizes: Doubles
    odds: float


class Room(NamedTuple):
    """Hold room to work in, so that nothing is allocated after a frame's last line."""

    ages: Indices
    blocks: Doubles
    normal: Doubles
    system: Doubles
    told: Doubles
    state: Doubles
    off: Doubles
    spread: Doubles
    precision: Doubles
    matrix: Doubles
    beside: Doubles
    steps: Doubles
    said: Doubles
    sums: Doubles
    curve: Floats
    slope: Floats
    partial: Floats
    logs: Floats


def rows_of(subspace: Subspace) -> Rows:
    """Return what is known of each row before any line has come."""
    mean, basis, gram = subspace.hybrid()
    n, ny = subspace.components, len(mean)
    first, second = np.triu_indices(n)
    return Rows(
        mean=mean.reshape(ny, -1).numpy(),
        basis=basis.reshape(n, ny, -1).transpose(0, 1).contiguous().numpy(),
        air=subspace.air.repeat_interleave(2, dim=1).contiguous().numpy(),
        air_samples=subspace.air.sum(1).double().numpy(),
        gram=np.ascontiguousarray(gram.numpy()[:, first, second]),
        seen=np.full(ny, -2, np.int64),  # so that the first lines that it is shown are new
        said=np.zeros((ny, n)),
        energy=np.zeros(ny),
        power=np.zeros(ny),
    )


def model_of(subspace: Subspace, tr_s: float) -> Model:
    """Return what is the same for all lines."""
    # A row's share in the knots depends on how many lines ago it came; beyond the last, it is 0.
    oldest = int((subspace.knots - 1) * float(subspace.spacing) / tr_s) + 2
    used, terms = subspace.terms(torch.arange(oldest + 1)[None] * tr_s)
    assert not used[0, oldest]
    predict = subspace.predict.double().numpy()
    middle, root = np.ascontiguousarray(predict[:, -1]), np.linalg.inv(subspace.root.double().numpy())
    known, n = subspace.known(), subspace.components
    far = np.eye(n) if known is None else known.far
    return Model(
        noise=float(subspace.noise),
        least_air=float(LEAST_AIR),
        differs=NOISE_DIFFERS,
        sure=SURE,
        explained=EXPLAINED,
        used=used[0].numpy(),
        terms=np.ascontiguousarray(terms[:, 0].numpy().T),
        prior=root.T @ root,
        ask=np.ascontiguousarray((far @ predict[:, :-1]).T),
        near=np.linalg.inv(far),
        middle=middle,
        at=np.zeros((n, 0), np.float32) if known is None else known.at.numpy(),
        doubt=np.zeros((n, n)) if known is None else known.doubt,
        surely=np.zeros((n, n)) if known is None else known.surely,
        sizes=np.array(SIZES),
        odds=0.0 if known is None else known.odds,
    )


def room_for(model: Model, rows: Rows) -> Room:
    """Return room to work in for a model and its rows."""
    (size, n), count, knots = model.ask.shape, len(rows.seen), model.terms.shape[1]
    sizes = len(model.sizes)
    return Room(
        ages=np.zeros(count, np.int64),
        blocks=np.zeros((knots * (knots + 1) // 2, rows.gram.shape[1])),
        normal=np.zeros((size, size)),
        system=np.zeros((size, size + 1 + n)),
        told=np.zeros(size),
        state=np.zeros(size),
        off=np.zeros(n),
        spread=np.zeros((n, n)),
        precision=np.zeros((n, n)),
        matrix=np.zeros((n, n)),
        beside=np.zeros((n, 2 * n)),
        steps=np.zeros((sizes, n, n)),
        said=np.zeros(n),
        sums=np.zeros(n),
        curve=np.zeros((n, n), np.float32),
        slope=np.zeros(n, np.float32),
        partial=np.zeros(CHUNK, np.float32),
        logs=np.zeros((sizes, model.at.shape[1]), np.float32),
    )
