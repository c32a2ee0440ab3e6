"""The truth as a candidate's combination of coils shows it, and the same from a fully sampled instant.

The truth of a scan is the image of one uniform coil. A candidate that combines coil images by the root of
their sum of squares shows it shaded by that of the sensitivities. It says so (`recon.protocol.COMBINATIONS`),
and NMSE and SSIM are then taken against the truth that is shaded alike. For one coil there is no difference.

Every NMSE stands beside that of a fully sampled image: all rows of all coils in one instant, with the scan's
noise, combined in the same way. What is below it was denoised.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import CandidateError, InputError
from mrsim.seeds import child
from mrsim.stream import Header, Provenance, Stream
from recon.protocol import COMBINATIONS, UNIFORM

if TYPE_CHECKING:
    from mrsim.scanner.channels import Channels

FULL_FRAMES = 48
"""Frames, spread evenly, whose fully sampled images are taken the mean of."""


def combination_of(reconstructor: Any, name: str) -> str:
    """Return how a candidate says that it combines coils; "uniform" if it says nothing.

    Parameters
    ----------
    reconstructor
        The candidate, after it was opened.
    name
        How errors name it.

    Raises
    ------
    CandidateError
        If it says something else.
    """
    said = getattr(reconstructor, "combination", UNIFORM)
    if not isinstance(said, str):  # it means something else by that name, or answers to every name
        return UNIFORM
    if said not in COMBINATIONS:
        shown = repr(said)[:40]
        raise CandidateError(f"{name}: combination = {shown}: expected {' or '.join(COMBINATIONS)}")
    return said


@dataclass(frozen=True)
class Shown:
    """Hold how the images of a scan are shown.

    Parameters
    ----------
    stream
        A scan with truth.
    combination
        One of `recon.protocol.COMBINATIONS`.
    channels
        The scan's coils; None of one coil, or where they are not known.
    """

    stream: Stream
    combination: str
    channels: Channels | None
    shading: NDArray[np.float32] | None = field(init=False)

    def __post_init__(self) -> None:
        shaded = self.channels is not None and self.combination != UNIFORM
        shading = self.channels.shading.astype(np.float32) if shaded and self.channels else None
        object.__setattr__(self, "shading", shading)

    def true(self, frame: int) -> NDArray[np.complex64]:
        """Return the truth of a frame as it is shown, shape (ny, nx), complex64."""
        assert self.stream.truth is not None
        image = np.asarray(self.stream.truth.image[frame])
        return image if self.shading is None else np.asarray(image * self.shading, np.complex64)

    def full(self, frame: int, seed: int = 0) -> NDArray[np.complex64]:
        """Return what instantaneous full sampling at a frame's last line would show, with the scan's noise.

        Parameters
        ----------
        frame
            Number of the frame.
        seed
            Seed of the noise, which differs in every frame.
        """
        assert self.stream.truth is not None
        image = np.asarray(self.stream.truth.image[frame])
        made = self.stream.provenance
        sigma = 0.0 if made is None else made.noise_std / math.sqrt(2)
        rng = np.random.default_rng(child(seed, "fully-sampled", frame))
        if self.channels is None or self.combination == UNIFORM:
            noise = rng.standard_normal((*image.shape, 2), np.float32).view(np.complex64)[..., 0]
            if self._least_noise is not None:
                noise = noise * self._least_noise
            return np.asarray(image + np.float32(sigma) * noise, np.complex64)
        coils = len(self.channels.psi)
        white = rng.standard_normal((coils, *image.shape, 2), np.float32).view(np.complex64)[..., 0]
        noise = np.tensordot(self._lower, white, 1)
        seen = self._sensitivity * image + np.float32(sigma) * noise
        return np.asarray(np.sqrt((seen.real**2 + seen.imag**2).sum(axis=0)), np.complex64)

    @functools.cached_property
    def _least_noise(self) -> NDArray[np.float32] | None:
        return None if self.channels is None else self.channels.least_noise.astype(np.float32)

    @functools.cached_property
    def _lower(self) -> NDArray[np.complex64]:
        assert self.channels is not None
        return np.asarray(np.linalg.cholesky(self.channels.psi), np.complex64)

    @functools.cached_property
    def _sensitivity(self) -> NDArray[np.complex64]:
        assert self.channels is not None
        return np.asarray(self.channels.sensitivity, np.complex64)


def shown_as(stream: Stream, combination: str = UNIFORM) -> Shown:
    """Return how a combination shows the truth of a scan.

    A scan whose coils are not known is judged against the image of one uniform coil.

    Parameters
    ----------
    stream
        A scan with truth.
    combination
        One of `recon.protocol.COMBINATIONS`.

    Raises
    ------
    InputError
        If the stream has no truth.
    """
    if stream.truth is None:
        raise InputError(f"{stream.path or 'stream'}: a yardstick for images needs the truth")
    if stream.header.coils == 1:
        return Shown(stream, combination, None)
    return Shown(stream, combination, _channels_of(stream.header, stream.provenance))


@functools.lru_cache(maxsize=8)
def _channels_of(header: Header, made: Provenance | None) -> Channels | None:
    if made is None:
        return None
    try:
        from mrsim.scanner.channels import channels_of
    except ImportError:  # a stored scan is judged without numba, too
        return None
    try:
        return channels_of(header, made)
    except InputError:  # what was scanned cannot be had
        return None


def nmse_of_full(shown: Shown, frames: NDArray[np.int64]) -> float | None:
    """Return the mean NMSE of fully sampled images of some frames; None without noise that is known.

    Parameters
    ----------
    shown
        How images are shown.
    frames
        The judged frames, shape (n,), int64.
    """
    found = nmses_of_full(shown, frames)
    kept = found[np.isfinite(found)]
    return float(np.mean(kept)) if len(kept) else None


def nmses_of_full(shown: Shown, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the NMSE of fully sampled images of `FULL_FRAMES` frames, spread evenly.

    Parameters
    ----------
    shown
        How images are shown.
    frames
        The judged frames, shape (n,), int64.

    Returns
    -------
    nmse
        Shape (n,), float64; NaN of the other frames, and of all without noise that is known.
    """
    made, nmse = shown.stream.provenance, np.full(len(frames), math.nan)
    if made is None or not made.noise_std or not len(frames):
        return nmse
    for at in np.unique(np.linspace(0, len(frames) - 1, FULL_FRAMES).round().astype(int)):
        frame = int(frames[at])
        true = np.abs(shown.true(frame)).astype(np.float64)
        energy = float(np.square(true).sum())
        if energy:
            nmse[at] = float(np.square(np.abs(shown.full(frame)) - true).sum()) / energy
    return nmse
