"""View sharing made better without a network: coils by sensitivities, denoised, moved ahead to now.

At the noise of a real-time scan most of an image's error is noise, and most of the error of where a target is
shown is age. Either can be mended by methods of a kept library.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import CandidateError, MissingExtraError
from mrsim.stream import Header, Readout
from recon.classical.zero_filled import ViewSharing
from recon.coils.sensitivities import Autocalibration
from recon.fourier import to_image
from recon.line_memory import SPIKE, LineMemory
from recon.protocol import ROOT_SUM, UNIFORM, Builder, Emission, Emit, Image

PATCH_PX, REACH_PX = 5, 6
"""Side of the patches that are compared, and how far apart they may lie."""
STRENGTH = 0.8
"""Filter strength of non-local means in standard deviations of the noise: what its library advises."""
MEDIAN_SIZE = 0.6745
"""Median of the size of a normal variable, standard deviations."""
RADIUS_PX = 7
"""Half of the window in which the motion is taken for the same."""
WARPS = 2
"""Steps in which the motion is taken again from the moved image."""
MOST_FRAMES = 64
WORDS = {
    "sensitivities": "sensitivities",
    "denoised": "denoised[=STRENGTH]",
    "ahead": "ahead[=FRAMES]",
}
"""What can be asked of view sharing, and its form."""


class CombinedViewSharing:
    """Share views, and combine the coils by their sensitivities instead of the root of the sum of squares.

    Where no coil sees anything there is nothing, and noise has a mean of zero elsewhere. Of one coil it is
    view sharing.

    References
    ----------
    Roemer et al. 1990, 10.1002/mrm.1910160203.
    """

    combination = ROOT_SUM  # of sensitivities whose squares sum up to 1

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._memory, self._emit = LineMemory(header, mean=header.coils > 1), emit
        self._coils = Autocalibration(header)

    def push(self, readout: Readout) -> None:
        """Take one line; the frame's last one emits its image."""
        if not self._memory.push(readout):
            return
        maps = self._coils.maps(self._memory)
        coils = to_image(self._memory.shared, (-2,))
        pixels = coils[0] if maps is None else np.einsum("cyx,cyx->yx", maps.numpy().conj(), coils)
        self._emit(Image(np.asarray(pixels, np.complex64), readout.frame, readout.index))

    def close(self) -> None:
        """End the scan."""


class _Refined:
    """Pass lines to another reconstructor, and change the images that it emits.

    Parameters
    ----------
    build
        Makes the other one.
    purpose
        What it is for, as `MissingExtraError` says it.
    """

    def __init__(self, build: Builder, purpose: str) -> None:
        try:
            self._skimage: Any = importlib.import_module("skimage.restoration")
            self._registration: Any = importlib.import_module("skimage.registration")
        except ImportError:
            raise MissingExtraError("skimage", "eval", purpose) from None
        self._inner = build()

    @property
    def combination(self) -> str:
        """Return how the other one's images show several coils."""
        return str(getattr(self._inner, "combination", UNIFORM))

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._emit = emit
        self._begin(header)
        self._inner.open(header, self._take)

    def push(self, readout: Readout) -> None:
        """Take one line, and pass it on."""
        self._inner.push(readout)

    def close(self) -> None:
        """End the scan."""
        self._inner.close()

    def _take(self, image: Emission) -> None:
        if isinstance(image, Image) and np.isfinite(image.pixels).all():
            image = dataclasses.replace(image, pixels=self._changed(image))
        self._emit(image)

    def _begin(self, header: Header) -> None:
        """Forget the scan before."""

    def _changed(self, image: Image) -> NDArray[np.complex64]:
        raise NotImplementedError


class Denoised(_Refined):
    """Denoise the images of another reconstructor by non-local means.

    The noise of each image is the median of what a second difference along both axes leaves of it.

    Parameters
    ----------
    build
        Makes the other one.
    strength
        Filter strength, standard deviations of the noise.

    Raises
    ------
    CandidateError
        If the strength is not above 0, at most 100.
    MissingExtraError
        If scikit-image is not installed.

    References
    ----------
    Buades et al. 2005, 10.1109/CVPR.2005.38 (non-local means). Darbon et al. 2008, 10.1109/ISBI.2008.4541250
    (its fast form). Immerkaer 1996, 10.1006/cviu.1996.0060 (the estimate of the noise).
    """

    def __init__(self, build: Builder, strength: float = STRENGTH) -> None:
        if not 0 < strength <= 100:
            raise CandidateError(f"denoised: strength = {strength:g}: expected above 0, at most 100")
        super().__init__(build, "denoising images")
        self._strength = strength

    def _changed(self, image: Image) -> NDArray[np.complex64]:
        pixels = image.pixels
        parts = np.ascontiguousarray(np.stack([pixels.real, pixels.imag], -1), np.float32)
        if not pixels.imag.any():  # a magnitude
            parts = parts[..., :1]
        size = float(np.abs(parts).max())
        if size == 0 or min(pixels.shape) < PATCH_PX:
            return pixels
        parts = parts / size
        # One figure for both parts: receivers add as much noise to either.
        if (noise := _noise(parts)) == 0:
            return pixels
        kept = self._skimage.denoise_nl_means(
            parts, patch_size=PATCH_PX, patch_distance=REACH_PX, h=self._strength * noise, sigma=noise,
            fast_mode=True, channel_axis=-1,
        )  # fmt: skip
        kept = kept.reshape(parts.shape)
        whole = kept[..., 0] + 1j * kept[..., 1] if kept.shape[-1] == 2 else kept[..., 0]
        return np.asarray(size * whole, np.complex64)


class Ahead(_Refined):
    """Move the images of another reconstructor ahead by their own age, as they moved in the last so long.

    What moved by so much from the image some frames ago to the present one is taken to go on for as many
    frames. So its lag is made up for while breathing goes steadily on, and overshoots where it turns.

    Parameters
    ----------
    build
        Makes the other one.
    frames
        By how many frames; None for one less than a full image takes: of rows that are drawn at random, the
        mean age.

    Raises
    ------
    CandidateError
        If the frames are not 1 to 64.
    MissingExtraError
        If scikit-image is not installed.

    References
    ----------
    Le Besnerais and Champagnat 2005, 10.1109/ICIP.2005.1529706 (the motion, by iterated Lucas-Kanade).
    """

    def __init__(self, build: Builder, frames: int | None = None) -> None:
        if frames is not None and not 1 <= frames <= MOST_FRAMES:
            raise CandidateError(f"ahead: {frames} frames: expected 1 to {MOST_FRAMES}")
        super().__init__(build, "estimating the motion between images")
        self._frames = frames

    def _begin(self, header: Header) -> None:
        full = round(header.matrix[0] / header.lines_per_frame)
        self._length = self._frames or min(MOST_FRAMES, max(1, full - 1))
        self._before: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=2 * self._length + full)
        self._peaks: dict[int, float] = {}
        self._spiked: set[int] = set()

    def push(self, readout: Readout) -> None:
        """Take one line, note whether it is a spike of the scanner, and pass it on."""
        peak = float(np.abs(readout.samples).max())
        usual = self._peaks.get(readout.ky, peak)
        if peak > SPIKE * usual:
            self._spiked.add(readout.ky)  # what is shown has it until its row comes again
        elif np.isfinite(peak):
            self._spiked.discard(readout.ky)
            self._peaks[readout.ky] = max(peak, usual)
        super().push(readout)

    def _changed(self, image: Image) -> NDArray[np.complex64]:
        pixels, seen = image.pixels, np.abs(image.pixels).astype(np.float32)
        before = [(image.frame - frame, one) for frame, one in self._before if one.shape == seen.shape]
        if not self._spiked:
            self._before.append((image.frame, seen))
        if not before or min(seen.shape) <= 2 * RADIUS_PX:
            return pixels
        # As old as it is to be moved ahead; where a spike of the scanner was in it, the nearest to that.
        age, then = min(before, key=lambda one: (abs(one[0] - self._length), one[0]))
        size = max(float(seen.max()), float(then.max()))
        if size == 0 or age < 1:
            return pixels
        # What lies at x now lay at x + flow then, so what will lie at x lies at x + flow now.
        flow = self._registration.optical_flow_ilk(seen / size, then / size, radius=RADIUS_PX, num_warp=WARPS)
        rows, columns = np.indices(seen.shape)
        flow = flow * (self._length / age)
        return _sampled(pixels, rows + flow[0], columns + flow[1])


def _noise(parts: NDArray[np.float32]) -> float:
    """Return the standard deviation of white noise in an image, shape (ny, nx, parts)."""
    along = parts[:-2] - 2 * parts[1:-1] + parts[2:]
    both = along[:, :-2] - 2 * along[:, 1:-1] + along[:, 2:]
    return float(np.median(np.abs(both))) / (MEDIAN_SIZE * 6)  # its weights have a root of squares of 6


def _sampled(
    pixels: NDArray[np.complex64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.complex64]:
    """Return an image between its pixels, linearly; beyond its edges as at them."""
    height, width = pixels.shape
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = (
        np.minimum(np.floor(one).astype(np.intp), size - 2)
        for one, size in ((rows, height), (columns, width))
    )
    down, right = rows - top, columns - left
    upper = pixels[top, left] * (1 - right) + pixels[top, left + 1] * right
    lower = pixels[top + 1, left] * (1 - right) + pixels[top + 1, left + 1] * right
    return np.asarray(upper * (1 - down) + lower * down, np.complex64)


def view_sharing(how: str) -> Builder:
    """Return what builds view sharing with what is to be made better of it.

    Parameters
    ----------
    how
        Any of "sensitivities", "denoised" or "denoised=STRENGTH", and "ahead" or "ahead=FRAMES", apart by
        commas; empty for none.

    Raises
    ------
    CandidateError
        If a word is none of these, comes twice, or its value cannot be.
    MissingExtraError
        If scikit-image is asked for, and not installed.
    """
    words = [word.partition("=") for word in how.split(",")] if how else []
    asked = {name: value for name, _, value in words}
    if len(asked) < len(words) or not set(asked) <= set(WORDS) or asked.get("sensitivities"):
        raise CandidateError(f"candidate 'view-sharing:{how}': expected {', '.join(WORDS.values())}")
    build: Builder = CombinedViewSharing if "sensitivities" in asked else ViewSharing
    try:
        if "denoised" in asked:
            strength = float(asked["denoised"] or STRENGTH)
            build = functools.partial(Denoised, build, strength)
        if "ahead" in asked:
            frames = int(asked["ahead"]) if asked["ahead"] else None
            build = functools.partial(Ahead, build, frames)
    except ValueError:
        raise CandidateError(
            f"candidate 'view-sharing:{how}': expected {', '.join(WORDS.values())}"
        ) from None
    build()
    return build
