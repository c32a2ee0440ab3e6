"""The subspace of one patient's anatomy: few numbers say where everything is, and few lines give them.

Breathing moves a body along few degrees of freedom, so the images of its training time span a subspace of
about twenty dimensions. In it, the newest lines (thousands of samples) determine the path of the anatomy
with little noise, each line at its own instant: the path is interpolated between a few knots in time, under
a Gaussian prior on all of them together from the training time, and a linear map learned there takes the
knots to the instant that is to be shown. There the positions of the training time say more than a Gaussian
can (`recon.subspace.known_positions`). What has never been seen is not in the subspace; the cascade that
starts from it sees what the lines say beyond it, and mends it.

Principal components of anatomy as a model of breathing: Zhang 2007, 10.1118/1.2824007; Stemkens 2016,
10.1088/0031-9155/61/14/5335. Cubic convolution between knots: Keys 1981, 10.1109/TASSP.1981.1163711.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recon.coils.combination import expand
from recon.coils.waves import WAVES, maps_of, unit_maps
from recon.fourier import to_kspace
from recon.subspace.known_positions import KnownStates

MAX_COMPONENTS = 64
MAX_KNOTS = 16

LEAST_AIR = 50
"""Samples of nothing but noise that are needed to tell its variance."""

NOISE_DIFFERS = 0.15
"""Share by which the air's variance must differ from the learned one, to be believed instead ..."""

SURE = 3.5
"""... and by how many of its own standard deviations, 1 / sqrt(samples) of it."""

EXPLAINED = 1.05
"""Misfit below which the subspace explains the lines to within their noise, some 5 standard deviations above
1: what is left is chance, and there is nothing for a network to mend."""

TOLERANCE = 1.0
"""Misfit, above 1, at which the estimate and the newest lines each make half of what is started from."""


class Subspace(nn.Module):
    """Estimate an image from the lines of one frame, within a subspace.

    Parameters
    ----------
    matrix
        Rows and columns of the images.
    components
        Dimensions of the subspace.
    knots
        Instants at which the path of the anatomy is estimated, the newest at the last line.
    states
        Positions of the training time that are kept; 0 for none.
    coils
        Coils of the scans. Of several, a row is that of every coil, one beside the other, and the images are
        those of the coils' combination.

    Attributes
    ----------
    mean, basis
        Mean image, shape (ny, nx, 2), and components of energy 1, shape (components, ny, nx, 2), float32:
        real and imaginary parts.
    waves
        Of several coils the weights of their sensitivities' waves, shape (coils, waves, waves, 2), float32.
    root
        Root L of the prior covariance L L^T of the positions at all knots, the newest first, shape
        (knots components, knots components), float32.
    predict
        Map from their estimate, 1 behind it, to the position that is shown, shape (components,
        knots components + 1), float32.
    spacing
        Time between two knots, shape (1,), float32, seconds.
    noise
        Variance of the real (or imaginary) part of a sample, shape (1,), float32.
    states, near, doubt
        As for `KnownStates`, float32.
    """

    def __init__(
        self, matrix: tuple[int, int], components: int, knots: int, states: int = 0, coils: int = 1
    ) -> None:
        super().__init__()
        (ny, nx), n = matrix, components
        self.register_buffer("mean", torch.zeros(ny, nx, 2))
        self.register_buffer("basis", torch.zeros(n, ny, nx, 2))
        self.register_buffer("root", torch.eye(knots * n))
        self.register_buffer("predict", torch.eye(n, knots * n + 1))
        self.register_buffer("noise", torch.ones(1))
        self.register_buffer("spacing", torch.ones(1))
        if states:
            self.register_buffer("states", torch.zeros(states, n))
            self.register_buffer("near", torch.eye(n))
            self.register_buffer("doubt", torch.zeros(n, n))
        if coils > 1:
            self.register_buffer("waves", torch.zeros(coils, WAVES, WAVES, 2))
        self.knots, self.kept, self.coils = knots, states, coils
        self.mean: Tensor
        self.basis: Tensor
        self.root: Tensor
        self.predict: Tensor
        self.noise: Tensor
        self.spacing: Tensor
        self.states: Tensor
        self.near: Tensor
        self.doubt: Tensor
        self.waves: Tensor
        self.forget()

    @property
    def components(self) -> int:
        """Return the dimensions of the subspace."""
        return len(self.basis)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        self.forget()
        return super()._load_from_state_dict(*args, **kwargs)

    def forget(self) -> None:
        """Forget what was made of the arrays, once they have changed."""
        self._known: KnownStates | None = None
        self._tables: tuple[Tensor, Tensor, Tensor] | None = None
        self._quiet: Tensor | None = None
        self._seen_by: tuple[Tensor, Tensor] | None = None

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.forget()
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def forward(self, ages_s: Tensor, shared: Tensor, lines: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Estimate the image that is shown at the end of a frame.

        Parameters
        ----------
        ages_s
            Time from each row's newest echo to the last one, shape (batch, ny), float32, seconds.
        shared
            Newest lines after the transform along x, shape (batch, ny, nx), complex64; of several coils those
            of their combination.
        lines
            Of several coils those of each, shape (batch, coils, ny, nx), complex64.

        Returns
        -------
        kspace
            The image's hybrid space (ky, x), shape (batch, ny, nx), complex64.
        misfit
            As `fit` returns it.
        """
        state, covariance, misfit = self.fit(ages_s, shared if lines is None else side_by_side(lines))
        ones = torch.ones(len(state), 1, dtype=state.dtype, device=state.device)
        shown = torch.cat([state, ones], 1) @ self.predict.double().T
        known = self.known()
        if known is not None:
            pairs = zip(shown.cpu().numpy(), covariance.cpu().numpy(), strict=True)
            shown = torch.from_numpy(np.stack([known.correct(*pair) for pair in pairs])).to(shown.device)
        values = shown.float() @ self.basis.reshape(self.components, -1) + self.mean.reshape(-1)
        image = torch.view_as_complex(values.reshape(len(shown), *self.mean.shape))
        return believed(to_kspace(image, (-2,)), shared, misfit), misfit

    def fit(self, ages_s: Tensor, shared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find where the anatomy is, within the subspace, and how well that explains the lines.

        Parameters
        ----------
        ages_s
            As for `forward`.
        shared
            Newest lines, of several coils `side_by_side`, shape (batch, ny, coils nx), complex64.

        Returns
        -------
        state
            Position at every knot, the newest first, shape (batch, knots components), float64.
        covariance
            Of the position that `predict` makes of it, shape (batch, components, components), float64.
        misfit
            Variance that the fit leaves over that of the noise, shape (batch,), float64: about 1 where the
            anatomy is in the subspace.
        """
        mean, basis, gram = self.hybrid()
        (count, ny), n = ages_s.shape, self.components
        innovation = torch.view_as_real(shared) - mean
        rows = torch.bmm(  # what each row says of each component
            innovation.reshape(count, ny, -1).transpose(0, 1), basis.reshape(n, ny, -1).permute(1, 2, 0)
        )
        used, terms = self.terms(ages_s)
        said = torch.einsum("pbr,rbk->bpk", terms, rows.double()).reshape(count, -1)
        pairs = terms[:, None] * terms[None]
        normal = torch.einsum("pqbr,rkj->bpkqj", pairs, gram).reshape(count, len(self.root), -1)
        energy = (innovation.square().sum((2, 3)).double() * used).sum(1)
        samples = used.sum(1) * 2 * shared.shape[-1]
        noise = self._noise_in(used, shared)
        state, covariance = self._solve(normal, said, noise)
        left = energy - 2 * (state * said).sum(1) + (state * (normal @ state[:, :, None])[:, :, 0]).sum(1)
        left = left / samples.clamp(min=1)
        # Anatomy that is not in the subspace leaves more than noise: then the lines are believed less.
        again, wider = self._solve(normal, said, torch.maximum(noise, left))
        strange = left > EXPLAINED * noise
        state = torch.where(strange[:, None], again, state)
        return state, torch.where(strange[:, None, None], wider, covariance), left / noise

    def _noise_in(self, used: Tensor, shared: Tensor) -> Tensor:
        """Return the variance of a sample's part, shape (batch,), as the air beside the body shows it.

        A scan may have more noise than the one that was trained on. Where there is no air, or no more
        difference than so few samples can tell, it counts as equal.
        """
        seen = self.air * used.float()[:, :, None]
        count = seen.sum((1, 2))
        found = (seen * (shared.real.square() + shared.imag.square())).sum((1, 2)) / (2 * count).clamp(min=1)
        least = (SURE / count.clamp(min=1).sqrt()).clamp(min=NOISE_DIFFERS)
        differs = (count >= LEAST_AIR) & ((found / self.noise - 1).abs() > least)
        return torch.where(differs, found.clamp(min=1e-12), self.noise).double()

    @property
    def air(self) -> Tensor:
        """Return where the anatomy gives no signal beside the noise, shape (ny, coils nx): 1.0 or 0.0."""
        if self._quiet is None:
            mean, basis, _ = self.hybrid()
            spread = self.root.square().sum(1)[: self.components]
            signal = mean.square().sum(-1) + torch.einsum("k,krxc->rx", spread, basis.square())
            silent = signal < 0.05 * self.noise
            self._quiet = (silent & (silent.float().mean(0) > 0.5)).float()
        return self._quiet

    def terms(self, ages_s: Tensor) -> tuple[Tensor, Tensor]:
        """Return which rows are used, and how much of each knot's position every row sees.

        Parameters
        ----------
        ages_s
            As for `forward`.

        Returns
        -------
        used
            1 or 0, shape (batch, ny), float64.
        terms
            Shape (knots, batch, ny), float64; their sum over the knots is 1 where a row is used.
        """
        last = self.knots - 1
        at = ages_s.double() / self.spacing.double()
        used = (at <= last + 1e-6).double()
        knot = torch.arange(-1, self.knots + 1, dtype=at.dtype, device=at.device)
        away = (at.clamp(max=last) - knot[:, None, None]).abs()
        near = 1.5 * away**3 - 2.5 * away**2 + 1
        far = -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
        weight = torch.where(away <= 1, near, torch.where(away < 2, far, 0.0))
        terms = weight[1:-1].clone()
        for n, factor in enumerate((3.0, -3.0, 1.0)):  # beyond either end the path goes on as a parabola
            terms[n] += factor * weight[0]
            terms[last - n] += factor * weight[-1]
        return used, terms * used

    def _solve(self, normal: Tensor, said: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        # In units of the prior: the system is the identity plus what the lines add to it.
        root = self.root.double()
        known = root.T @ normal @ root / noise[:, None, None]
        lower = torch.linalg.cholesky(known + torch.eye(len(root), dtype=known.dtype, device=known.device))
        solved = torch.cholesky_solve((said @ root / noise[:, None])[:, :, None], lower)[:, :, 0]
        half = torch.linalg.solve_triangular(lower, self.to_shown().T.expand(len(lower), -1, -1), upper=False)
        return solved @ root.T, half.mT @ half

    def to_shown(self) -> Tensor:
        """Return the map from a state in units of the prior to the position that is shown, float64."""
        return self.predict[:, :-1].double() @ self.root.double()

    def known(self) -> KnownStates | None:
        """Return the prior of the training time's positions, or None where none were kept."""
        if self.kept and self._known is None:
            shown, middle = self.to_shown(), self.predict[:, -1]
            arrays = (self.states, self.near, self.doubt, middle, shown @ shown.T)
            self._known = KnownStates(*(a.double().cpu().numpy() for a in arrays))
        return self._known

    def hybrid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and components as the lines show them, in the hybrid space, and each row's Gram matrix.

        Of shape (ny, coils nx, 2), (components, ny, coils nx, 2) and (ny, components, components).
        """
        if self._tables is None:
            mean, basis = self._rows(self.mean), self._rows(self.basis)
            flat = basis.reshape(self.components, self.mean.shape[0], -1).double().transpose(0, 1)
            self._tables = mean, basis, flat @ flat.transpose(1, 2)
        return self._tables

    def _rows(self, parts: Tensor) -> Tensor:
        images = torch.view_as_complex(parts)
        if self.coils == 1:
            return torch.view_as_real(to_kspace(images, (-2,))).contiguous()
        return torch.view_as_real(side_by_side(expand(images, self.maps)))

    @property
    def maps(self) -> Tensor:
        """Return what several coils are combined with, shape (coils, ny, nx), complex64; see `unit_maps`."""
        return self._sensitivities()[0]

    @property
    def shading(self) -> Tensor:
        """Return what their combination multiplies a uniform coil's image by, shape (ny, nx), float32."""
        return self._sensitivities()[1]

    def _sensitivities(self) -> tuple[Tensor, Tensor]:
        if self._seen_by is None:
            weights = torch.view_as_complex(self.waves).cpu().numpy()
            found = unit_maps(maps_of(weights, (self.mean.shape[0], self.mean.shape[1])))
            maps, shading = (torch.from_numpy(values).to(self.waves.device) for values in found)
            self._seen_by = maps, shading
        return self._seen_by


def side_by_side(lines: Tensor) -> Tensor:
    """Return rows of several coils, shape (..., coils, ny, nx), as single ones, shape (..., ny, coils nx)."""
    return lines.transpose(-3, -2).flatten(-2).contiguous()


def believed(estimate: Tensor, shared: Tensor, misfit: Tensor) -> Tensor:
    """Return the estimate, or where the lines say that the anatomy is elsewhere rather the newest lines.

    Parameters
    ----------
    estimate, shared
        Shape (batch, ny, nx), complex64.
    misfit
        Shape (batch,).
    """
    share = (1 / (1 + ((misfit - 1).clamp(min=0) / TOLERANCE) ** 2)).float()[:, None, None]
    return share * estimate + (1 - share) * shared
