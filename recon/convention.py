"""Conventions of images: how a reconstructor's are turned, rolled and inverted, and what sets them right.

Nothing here is ever guessed: a convention is stated with the candidate, such as `mrd://HOST/x?orient=rot180`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import CandidateError
from mrsim.stream import Header, Readout
from recon.protocol import COMBINATIONS, Builder, Emission, Emit, Image, Reconstructor

# What is done to an image: whether y and x are exchanged first, and which axes are reversed then.
ORIENTATIONS: dict[str, tuple[bool, tuple[int, ...]]] = {
    "as-is": (False, ()),
    "flipud": (False, (-2,)),
    "fliplr": (False, (-1,)),
    "rot180": (False, (-2, -1)),
    "transpose": (True, ()),
    "rot90": (True, (-2,)),
    "rot270": (True, (-1,)),
    "antitranspose": (True, (-2, -1)),
}
"""The eight orientations; rot90 is a quarter turn against the clock, with rows from top to bottom."""
KEYS = ("orient", "roll", "negative", "scale", "combine")
MAX_ROLL = 1 << 16


@dataclass(frozen=True, slots=True)
class Convention:
    """State what is to be done to the images of a reconstructor, in this order.

    Parameters
    ----------
    negative
        Whether images are inverted: each pixel is taken from the greatest magnitude of its image.
    orient
        How images are turned then, one of `ORIENTATIONS`.
    roll
        By how many pixels they are rolled then, along y and x.
    fit
        Whether the judge multiplies all images of a run by one number, which it fits to the truth.
    combine
        How they show several coils, one of `recon.protocol.COMBINATIONS`; empty for what it says itself.

    Raises
    ------
    CandidateError
        If a value is none of these.
    """

    negative: bool = False
    orient: str = "as-is"
    roll: tuple[int, int] = (0, 0)
    fit: bool = False
    combine: str = ""

    def __post_init__(self) -> None:
        if self.orient not in ORIENTATIONS:
            raise CandidateError(f"orient={self.orient!r}: expected one of {', '.join(ORIENTATIONS)}")
        if self.combine and self.combine not in COMBINATIONS:
            raise CandidateError(f"combine={self.combine!r}: expected one of {', '.join(COMBINATIONS)}")
        if len(self.roll) != 2 or not all(abs(by) <= MAX_ROLL for by in self.roll):
            raise CandidateError(
                f"roll={self.roll!r}: expected two whole numbers of pixels, along y and x, at most {MAX_ROLL}"
            )

    @classmethod
    def of(cls, values: dict[str, str], where: str) -> Convention:
        """Return the convention that options state.

        Parameters
        ----------
        values
            Text of each option, of `KEYS`.
        where
            How errors name the candidate.

        Raises
        ------
        CandidateError
            If an option is none, or its value.
        """
        switch = {"": True, "on": True, "off": False}
        roll, negative, scale = (
            values.get(key, default)
            for key, default in (("roll", "0,0"), ("negative", "off"), ("scale", "as-is"))
        )
        if negative not in switch:
            raise CandidateError(f"{where}: negative={negative!r}: expected on or off")
        if scale not in ("fit", "as-is"):
            raise CandidateError(f"{where}: scale={scale!r}: expected fit or as-is")
        try:
            dy, dx = (int(by) for by in roll.split(","))
        except ValueError:
            raise CandidateError(
                f"{where}: roll={roll!r}: expected whole numbers of pixels along y and x, such as roll=0,1"
            ) from None
        try:
            return cls(
                switch[negative],
                values.get("orient", "as-is"),
                (dy, dx),
                scale == "fit",
                values.get("combine", ""),
            )
        except CandidateError as error:
            raise CandidateError(f"{where}: {error}") from None

    @property
    def options(self) -> str:
        """Return it as options of a candidate, such as "orient=rot180&negative=on"; empty for none."""
        found: dict[str, str] = {}
        if self.orient != "as-is":
            found["orient"] = self.orient
        if self.roll != (0, 0):
            found["roll"] = "{},{}".format(*self.roll)
        if self.negative:
            found["negative"] = "on"
        if self.fit:
            found["scale"] = "fit"
        if self.combine:
            found["combine"] = self.combine
        return urlencode(found, safe=",")

    def after(self, first: Convention) -> Convention:
        """Return what is done by this one after another one.

        Parameters
        ----------
        first
            What is done before.
        """
        (swap_1, flips_1), (swap_2, flips_2) = (ORIENTATIONS[one.orient] for one in (first, self))
        moved = {-3 - axis if swap_2 else axis for axis in flips_1}
        turned = swap_1 != swap_2, tuple(axis for axis in (-2, -1) if (axis in moved) != (axis in flips_2))
        orient = next(name for name, kind in ORIENTATIONS.items() if kind == turned)
        dy, dx = first.roll[::-1] if swap_2 else first.roll
        dy, dx = (-by if axis in flips_2 else by for axis, by in ((-2, dy), (-1, dx)))
        rolled = dy + self.roll[0], dx + self.roll[1]
        combine = self.combine or first.combine
        return Convention(first.negative != self.negative, orient, rolled, first.fit or self.fit, combine)

    def apply(self, images: NDArray[Any]) -> NDArray[Any]:
        """Set images right; their scale is left to the judge.

        Parameters
        ----------
        images
            Shape (..., ny, nx); inverted ones come back as magnitudes.
        """
        found = images
        if self.negative:
            magnitude = np.abs(found)
            found = (magnitude.max(axis=(-2, -1), keepdims=True, initial=0) - magnitude).astype(images.dtype)
        exchanged, reversed_ = ORIENTATIONS[self.orient]
        if exchanged:
            found = found.swapaxes(-2, -1)
        if reversed_:
            found = np.flip(found, reversed_)
        return found if self.roll == (0, 0) else np.roll(found, self.roll, (-2, -1))

    def built(self, build: Builder) -> Builder:
        """Return what builds a reconstructor whose images are set right.

        Parameters
        ----------
        build
            What builds the reconstructor.
        """
        return build if self == Convention() else lambda: Conforming(build(), self)


AS_IT_IS = Convention()
"""Nothing is done to an image."""


class Conforming:
    """Set the images of a reconstructor right as they come.

    Parameters
    ----------
    inner
        The reconstructor.
    convention
        What is done to its images.
    """

    def __init__(self, inner: Reconstructor, convention: Convention) -> None:
        self._inner = inner
        self.convention = convention
        if convention.combine:
            self.combination = convention.combine

    def __getattr__(self, name: str) -> Any:
        # What else the bench asks of a reconstructor, such as its notes, is the inner one's.
        return getattr(self._inner, name)

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan."""
        self._emit = emit
        self._inner.open(header, self._conform)

    def push(self, readout: Readout) -> None:
        """Take one line."""
        self._inner.push(readout)

    def close(self) -> None:
        """End the scan."""
        self._inner.close()

    def _conform(self, shown: Emission) -> None:
        pixels = shown.pixels if isinstance(shown, Image) else None
        # What is no image is left to the bench, which says so.
        if isinstance(shown, Image) and isinstance(pixels, np.ndarray) and pixels.ndim == 2:
            if shown.columns is not None:
                raise CandidateError(
                    f"{self.convention.options}: a band of columns came, and whole images alone can be turned"
                )
            shown = dataclasses.replace(shown, pixels=self.convention.apply(pixels))
        self._emit(shown)


def split_convention(candidate: str) -> tuple[str, Convention]:
    """Part a candidate's string from the convention that it ends in, such as `view-sharing?orient=rot180`.

    Parameters
    ----------
    candidate
        The string; other options after its question mark stay with it.

    Returns
    -------
    candidate, convention
        The string without it, and the convention.

    Raises
    ------
    CandidateError
        If an option has a value that it cannot have, or comes twice.
    """
    head, mark, tail = candidate.rpartition("?")
    pairs = parse_qsl(tail, keep_blank_values=True) if mark else []
    own = [(key, value) for key, value in pairs if key in KEYS]
    if not own:
        return candidate, Convention()
    values = dict(own)
    if len(values) < len(own):
        raise CandidateError(f"candidate {candidate!r}: an option comes twice")
    others = "&".join(part for part in tail.split("&") if part.partition("=")[0] not in KEYS)
    return f"{head}?{others}" if others else head, Convention.of(values, f"candidate {candidate!r}")
