"""The subspace of one patient's anatomy, and the Bayesian estimate of the anatomy's position in it.

Breathing moves a body along few degrees of freedom, so the images of its training time span a subspace of
about twenty dimensions. A position is a weight for each dimension. The newest lines are thousands of samples,
each at its own instant, and determine the path of the position with little noise:

- the state is the position at a few knots in time, and the path between the knots is interpolated;
- the prior of the state is a Gaussian, learned from the training time;
- the posterior mean of the state is the solution of a small linear system;
- a linear prediction, learned from the training time, takes the state to the instant that is shown;
- there a mixture prior over the known positions replaces the Gaussian (`recon.subspace.known_positions`).

The subspace cannot show what the training time never showed. The cascade that starts from the estimate sees
the innovation of the lines, and corrects the image.

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
from recon.subspace.known_positions import KnownPositions

MAX_COMPONENTS = 64
MAX_KNOTS = 16

MIN_AIR_SAMPLES = 50
"""Samples in air that an estimate of the noise needs."""

NOISE_TOLERANCE = 0.15
"""The variance in air replaces the learned noise variance where they differ by more than this share ..."""

NOISE_DEVIATIONS = 3.5
"""... and by more than so many standard deviations of the former, each 1 / sqrt(samples) of it."""

EXPLAINED_MISFIT = 1.05
"""Misfit below which the subspace explains the lines to within their noise, some 5 standard deviations above
1. What is left is then chance, and no network can improve on the estimate."""

HALF_TRUST_MISFIT = 1.0
"""Misfit, above 1, at which the cascade starts from the mean of the estimate and the newest lines."""


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
    positions
        Known positions of the training time; 0 for none.
    coils
        Coils of the scans. With several, a row holds the lines of all coils side by side, and the images are
        those of the coils' combination.

    Attributes
    ----------
    mean, basis
        Mean image, shape (ny, nx, 2), and components of energy 1, shape (components, ny, nx, 2), float32:
        real and imaginary parts.
    waves
        With several coils the weights of their sensitivities' waves, shape (coils, waves, waves, 2), float32.
    prior_root
        Root L of the prior covariance L L^T of the state, which is the position at all knots, the newest
        first, shape (knots components, knots components), float32.
    prediction
        Linear map from the state, followed by a 1, to the position that is shown, shape (components,
        knots components + 1), float32.
    knot_spacing_s
        Time between two knots, shape (1,), float32, seconds.
    noise_variance
        Variance of the real (or imaginary) part of a sample, shape (1,), float32.
    positions, kernel_root, prediction_covariance
        As for `KnownPositions`, float32.
    """

    def __init__(
        self, matrix: tuple[int, int], components: int, knots: int, positions: int = 0, coils: int = 1
    ) -> None:
        super().__init__()
        (ny, nx), n = matrix, components
        self.register_buffer("mean", torch.zeros(ny, nx, 2))
        self.register_buffer("basis", torch.zeros(n, ny, nx, 2))
        self.register_buffer("prior_root", torch.eye(knots * n))
        self.register_buffer("prediction", torch.eye(n, knots * n + 1))
        self.register_buffer("noise_variance", torch.ones(1))
        self.register_buffer("knot_spacing_s", torch.ones(1))
        if positions:
            self.register_buffer("positions", torch.zeros(positions, n))
            self.register_buffer("kernel_root", torch.eye(n))
            self.register_buffer("prediction_covariance", torch.zeros(n, n))
        if coils > 1:
            self.register_buffer("waves", torch.zeros(coils, WAVES, WAVES, 2))
        self.knots, self.position_count, self.coils = knots, positions, coils
        self.mean: Tensor
        self.basis: Tensor
        self.prior_root: Tensor
        self.prediction: Tensor
        self.noise_variance: Tensor
        self.knot_spacing_s: Tensor
        self.positions: Tensor
        self.kernel_root: Tensor
        self.prediction_covariance: Tensor
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
        """Drop every cached result; call it after a change of the arrays."""
        self._known: KnownPositions | None = None
        self._tables: tuple[Tensor, Tensor, Tensor] | None = None
        self._air: Tensor | None = None
        self._unit_maps: tuple[Tensor, Tensor] | None = None

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
            Newest lines after the transform along x, shape (batch, ny, nx), complex64; with several coils
            those of their combination.
        lines
            With several coils the lines of each, shape (batch, coils, ny, nx), complex64.

        Returns
        -------
        kspace
            The image's hybrid space (ky, x), shape (batch, ny, nx), complex64.
        misfit
            As `fit` returns it.
        """
        state, covariance, misfit = self.fit(ages_s, shared if lines is None else side_by_side(lines))
        ones = torch.ones(len(state), 1, dtype=state.dtype, device=state.device)
        shown = torch.cat([state, ones], 1) @ self.prediction.double().T
        known = self.known_positions()
        if known is not None:
            pairs = zip(shown.cpu().numpy(), covariance.cpu().numpy(), strict=True)
            means = np.stack([known.posterior_mean(*pair) for pair in pairs])
            shown = torch.from_numpy(means).to(shown.device)
        values = shown.float() @ self.basis.reshape(self.components, -1) + self.mean.reshape(-1)
        image = torch.view_as_complex(values.reshape(len(shown), *self.mean.shape))
        return blend(to_kspace(image, (-2,)), shared, misfit), misfit

    def fit(self, ages_s: Tensor, shared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate the state of the anatomy, and how well it explains the lines.

        Parameters
        ----------
        ages_s
            As for `forward`.
        shared
            Newest lines, with several coils `side_by_side`, shape (batch, ny, coils nx), complex64.

        Returns
        -------
        state
            Posterior mean of the position at every knot, the newest first, shape (batch, knots components),
            float64.
        covariance
            Posterior covariance of the predicted position, shape (batch, components, components), float64.
        misfit
            Residual variance over noise variance, shape (batch,), float64: about 1 where the anatomy is in
            the subspace.
        """
        mean, basis, gram = self.hybrid()
        (count, ny), n = ages_s.shape, self.components
        innovation = torch.view_as_real(shared) - mean
        projections = torch.bmm(  # of each row's innovation onto each component
            innovation.reshape(count, ny, -1).transpose(0, 1), basis.reshape(n, ny, -1).permute(1, 2, 0)
        )
        used, weights = self.knot_weights(ages_s)
        right_side = torch.einsum("pbr,rbk->bpk", weights, projections.double()).reshape(count, -1)
        pairs = weights[:, None] * weights[None]
        normal = torch.einsum("pqbr,rkj->bpkqj", pairs, gram).reshape(count, len(self.prior_root), -1)
        energy = (innovation.square().sum((2, 3)).double() * used).sum(1)
        samples = used.sum(1) * 2 * shared.shape[-1]
        noise = self._noise_in(used, shared)
        state, covariance = self._solve(normal, right_side, noise)
        residual = energy - 2 * (state * right_side).sum(1)
        residual = residual + (state * (normal @ state[:, :, None])[:, :, 0]).sum(1)
        residual = residual / samples.clamp(min=1)
        # Anatomy outside the subspace leaves a residual above the noise. Its variance then counts as noise,
        # so that the lines weigh less against the prior.
        cautious, wider = self._solve(normal, right_side, torch.maximum(noise, residual))
        outside = residual > EXPLAINED_MISFIT * noise
        state = torch.where(outside[:, None], cautious, state)
        return state, torch.where(outside[:, None, None], wider, covariance), residual / noise

    def _noise_in(self, used: Tensor, shared: Tensor) -> Tensor:
        """Return the noise variance of a sample's part, shape (batch,), as the air beside the body shows it.

        A scan may have more noise than the training scan. The learned variance stays where there is no air,
        and where the difference is within what so few samples can show.
        """
        weights = self.air * used.float()[:, :, None]
        count = weights.sum((1, 2))
        power = (weights * (shared.real.square() + shared.imag.square())).sum((1, 2))
        found = power / (2 * count).clamp(min=1)
        least = (NOISE_DEVIATIONS / count.clamp(min=1).sqrt()).clamp(min=NOISE_TOLERANCE)
        differs = (count >= MIN_AIR_SAMPLES) & ((found / self.noise_variance - 1).abs() > least)
        return torch.where(differs, found.clamp(min=1e-12), self.noise_variance).double()

    @property
    def air(self) -> Tensor:
        """Return where the anatomy gives no signal above the noise, shape (ny, coils nx): 1.0 or 0.0."""
        if self._air is None:
            mean, basis, _ = self.hybrid()
            variances = self.prior_root.square().sum(1)[: self.components]
            signal = mean.square().sum(-1) + torch.einsum("k,krxc->rx", variances, basis.square())
            silent = signal < 0.05 * self.noise_variance
            self._air = (silent & (silent.float().mean(0) > 0.5)).float()
        return self._air

    def knot_weights(self, ages_s: Tensor) -> tuple[Tensor, Tensor]:
        """Return which rows are used, and the weight of each knot in every row's position.

        Parameters
        ----------
        ages_s
            As for `forward`.

        Returns
        -------
        used
            1 or 0, shape (batch, ny), float64.
        weights
            Shape (knots, batch, ny), float64; their sum over the knots is 1 where a row is used.
        """
        last = self.knots - 1
        at = ages_s.double() / self.knot_spacing_s.double()
        used = (at <= last + 1e-6).double()
        knot = torch.arange(-1, self.knots + 1, dtype=at.dtype, device=at.device)
        distance = (at.clamp(max=last) - knot[:, None, None]).abs()
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        cubic = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
        weights = cubic[1:-1].clone()
        for n, factor in enumerate((3.0, -3.0, 1.0)):  # beyond either end the path goes on as a parabola
            weights[n] += factor * cubic[0]
            weights[last - n] += factor * cubic[-1]
        return used, weights * used

    def _solve(self, normal: Tensor, right_side: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior mean of the state, and the posterior covariance of the predicted position."""
        # In units of the prior the posterior precision is the identity plus the data precision.
        root = self.prior_root.double()
        data_precision = root.T @ normal @ root / noise[:, None, None]
        identity = torch.eye(len(root), dtype=data_precision.dtype, device=data_precision.device)
        lower = torch.linalg.cholesky(data_precision + identity)
        information = (right_side @ root / noise[:, None])[:, :, None]
        mean = torch.cholesky_solve(information, lower)[:, :, 0]
        prediction = self.whitened_prediction().T.expand(len(lower), -1, -1)
        half = torch.linalg.solve_triangular(lower, prediction, upper=False)
        return mean @ root.T, half.mT @ half

    def whitened_prediction(self) -> Tensor:
        """Return the map from a state in units of the prior to the position that is shown, float64."""
        return self.prediction[:, :-1].double() @ self.prior_root.double()

    def known_positions(self) -> KnownPositions | None:
        """Return the mixture prior over the known positions, or None where none were kept."""
        if self.position_count and self._known is None:
            prediction, prior_mean = self.whitened_prediction(), self.prediction[:, -1]
            covariance = prediction @ prediction.T
            arrays = (self.positions, self.kernel_root, self.prediction_covariance, prior_mean, covariance)
            self._known = KnownPositions(*(a.double().cpu().numpy() for a in arrays))
        return self._known

    def hybrid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and components in the hybrid space (ky, x) of the lines, and each row's Gram matrix.

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
        """Return the maps that combine several coils, shape (coils, ny, nx), complex64; see `unit_maps`."""
        return self._sensitivities()[0]

    @property
    def shading(self) -> Tensor:
        """Return what the combination multiplies a uniform coil's image by, shape (ny, nx), float32."""
        return self._sensitivities()[1]

    def _sensitivities(self) -> tuple[Tensor, Tensor]:
        if self._unit_maps is None:
            weights = torch.view_as_complex(self.waves).cpu().numpy()
            found = unit_maps(maps_of(weights, (self.mean.shape[0], self.mean.shape[1])))
            maps, shading = (torch.from_numpy(values).to(self.waves.device) for values in found)
            self._unit_maps = maps, shading
        return self._unit_maps


def side_by_side(lines: Tensor) -> Tensor:
    """Return rows of several coils, shape (..., coils, ny, nx), as single ones, shape (..., ny, coils nx)."""
    return lines.transpose(-3, -2).flatten(-2).contiguous()


def blend(estimate: Tensor, shared: Tensor, misfit: Tensor) -> Tensor:
    """Return the mean of estimate and newest lines; the larger the misfit, the more the lines weigh.

    Parameters
    ----------
    estimate, shared
        Shape (batch, ny, nx), complex64.
    misfit
        Shape (batch,).
    """
    excess = (misfit - 1).clamp(min=0) / HALF_TRUST_MISFIT
    share = (1 / (1 + excess**2)).float()[:, None, None]
    return share * estimate + (1 - share) * shared
