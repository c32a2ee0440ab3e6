"""The target's displacement: a template of the first breaths, moved until it fits the image.

`skimage.feature.match_template` gives the pixel. From there on, brightness, offset, modes and the
displacement that is left are fitted together by least squares (Gauss-Newton), again and again, to some
thousandths of a pixel. Of what is near the target only the pixels next to it count, so that it may touch
its surroundings.

In real anatomy more changes than the modes tell. There the fit may swing between two places, and lands
between them; or it does not settle, and the peak of the correlation stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.measure.finding.layers import PHASES, Fit, Layers, half_size
from harness.measure.finding.plan import Plan, Segment, eval_library, to_metres
from harness.measure.finding.shape import PlannedShape
from mrsim.seeds import child

DECOYS = 32
"""Images of noise from which the least likeness is set."""
LEAST = 0.5
"""No less likeness shows a target, even if planning images show none either."""
FLAT = 1e-9  # spread of image and template, of at most 1, below which nothing is alike
STEPS = 12
SETTLED_PX = 0.6 / PHASES
"""A displacement from the nearest template up to which its slopes serve."""
STRAY_PX = 3.0
"""How far from the best pixel the fit may end."""


APART_PX = 0.75
"""How far apart two places may be that the fit goes to and fro between."""


Array = NDArray[np.float64]
_Step = tuple[NDArray[np.int64], Array]


class _At(NamedTuple):
    """Hold a fit at a place: pixel and shift, what was compared, and how much of each there is."""

    pixel: NDArray[np.int64]
    phase: tuple[int, int]
    fit: Fit
    patch: Array
    parts: Array


class _Landed(NamedTuple):
    """Hold where a fit ended: place and pixel in the searched part, and what was fitted there."""

    place: Array
    pixel: NDArray[np.int64]
    phase: tuple[int, int]
    patch: Array
    gain: float
    offset: float
    likeness: float


class Registration:
    """Find the target by its template.

    Parameters
    ----------
    plan
        What is known of the target.

    Raises
    ------
    MissingExtraError
        If scikit-image is not installed.
    """

    name = "registration"

    def __init__(self, plan: Plan) -> None:
        features = eval_library("skimage.feature", "finding the target in an image")
        self._match: Callable[..., Array] = features.match_template
        self._header, self._window = plan.header, plan.window
        half = half_size(plan)
        low, high = plan.reach_px
        # The template must lie in the image.
        self._low = np.maximum(low, half)
        self._places = np.minimum(high, np.array(plan.header.matrix) - 1 - half) - self._low + 1
        self._fits = bool((self._places > 0).all())
        if not self._fits:
            return
        self._part = tuple(
            slice(int(a - n), int(a + p + n)) for a, n, p in zip(self._low, half, self._places, strict=True)
        )
        self._layers = Layers(plan)
        self._shape = PlannedShape(plan, self._layers)
        self._least = self._least_likeness(plan)

    def _least_likeness(self, plan: Plan) -> float:
        """Return the likeness halfway between images of noise and planning images."""
        rng = np.random.default_rng(child(0, "decoys"))
        planned = plan.magnitude[:, *self._part]
        noise = np.linalg.norm(rng.standard_normal((DECOYS, *planned.shape[1:], 2)), axis=-1)
        false, true = (
            [landed.likeness for view in views if (landed := self._land(view)) is not None]
            for views in (noise, planned)
        )
        return max((max(false, default=0.0) + min(true, default=0.0)) / 2, LEAST)

    def find(self, magnitude: NDArray[np.floating]) -> Segment | None:
        """Find the target in one image.

        Parameters
        ----------
        magnitude
            Shape (ny, nx).

        Returns
        -------
        segment
            None if no place is like the template, or no template fits into the image.
        """
        if not self._fits:
            return None
        landed = self._land(np.asarray(magnitude[self._part], np.float64))
        if landed is None or landed.likeness < self._least:
            return None
        found = self._shape.segment(landed.phase, (landed.patch - landed.offset) / landed.gain)
        return Segment(
            to_metres(landed.place + self._low, self._header), self._in_window(found, landed.pixel)
        )

    def _land(self, view: Array) -> _Landed | None:
        """Return the best place in the searched part of an image, however little it is like the template."""
        most = float(view.max())
        if not (np.isfinite(most) and most > float(view.min()) >= 0):  # false for NaN, too
            return None
        view = view / most
        match = self._match(view, self._layers.template)
        best = np.array(np.unravel_index(int(np.argmax(match)), match.shape))
        return self._descend(view, best) or self._nearby(view, match, best)

    def _descend(self, view: Array, start: NDArray[np.int64]) -> _Landed | None:
        """Fit template and image to one another, from the best pixel on."""
        place, before = start.astype(np.float64), []
        for _ in range(STEPS):
            step = np.rint(place * PHASES).astype(np.int64)
            at = self._at(view, step)
            if at is None:
                return None
            shift = at.parts[1:3] / at.parts[0]
            place = step / PHASES + np.clip(shift, -1, 1)
            if np.abs(place - start).max() > STRAY_PX:
                return None
            if np.abs(shift).max() <= SETTLED_PX:
                return self._landed(at, place, shift)
            before.append((step, shift))
            if len(before) > 2 and (step == before[-3][0]).all():
                return self._between(view, *before[-2:])
        return None

    def _at(self, view: Array, step: NDArray[np.int64]) -> _At | None:
        """Fit brightness, shift, offset and modes at a place, in `PHASES` of a pixel."""
        layers, pixel = self._layers, np.rint(step / PHASES).astype(np.int64)
        if (pixel < 0).any() or (pixel >= self._places).any():
            return None
        phase = int(step[0] - pixel[0] * PHASES), int(step[1] - pixel[1] * PHASES)
        fit = layers.fit(phase)
        patch = view[tuple(slice(p, p + 2 * n + 1) for p, n in zip(pixel, layers.half, strict=True))]
        parts = fit.inverse @ patch[layers.kept]
        return _At(pixel, phase, fit, patch, parts) if parts[0] > 0 else None

    def _between(self, view: Array, one: _Step, other: _Step) -> _Landed | None:
        """Land between two places that point at one another: more changes there than the modes tell."""
        (a, to_b), (b, to_a) = one, other
        apart = (b - a) / PHASES
        lengths = np.linalg.norm(to_b), np.linalg.norm(to_a)
        if np.linalg.norm(apart) > APART_PX or to_b @ to_a >= 0:
            return None
        place = a / PHASES + apart * (lengths[0] / (lengths[0] + lengths[1]))
        step = np.rint(place * PHASES).astype(np.int64)
        at = self._at(view, step)
        return None if at is None else self._landed(at, place, place - step / PHASES)

    def _nearby(self, view: Array, match: Array, best: NDArray[np.int64]) -> _Landed | None:
        """Land at the peak of the correlation, to some tenths of a pixel, where the fit does not settle."""
        place = best.astype(np.float64)
        for axis, n in enumerate(best):
            line = match[:, best[1]] if axis == 0 else match[best[0]]
            if 0 < n < len(line) - 1 and (bend := 2 * line[n] - line[n - 1] - line[n + 1]) > 0:
                place[axis] += (line[n + 1] - line[n - 1]) / (2 * bend)
        step = np.rint(place * PHASES).astype(np.int64)
        at = self._at(view, step)
        return None if at is None else self._landed(at, place, place - step / PHASES)

    def _landed(self, at: _At, place: Array, shift: Array) -> _Landed:
        layers, parts = self._layers, at.parts
        likeness = _likeness(at.fit, shift, at.patch[layers.kept], layers.weight)
        return _Landed(place, at.pixel, at.phase, at.patch, float(parts[0]), float(parts[3]), likeness)

    def _in_window(self, found: NDArray[np.bool_], pixel: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return a template's pixels as pixels of the window."""
        whole = np.zeros(self._header.matrix, np.bool_)
        corner = pixel + self._low - self._layers.half
        whole[tuple(slice(a, a + n) for a, n in zip(corner, found.shape, strict=True))] = found
        return whole[self._window]


def _likeness(fit: Fit, shift: Array, values: Array, weight: Array) -> float:
    """Return the weighted correlation of an image with the template, moved and without modes."""
    template = fit.basis[:, 0] + fit.basis[:, 1:3] @ shift
    share = weight / weight.sum()
    one, other = (v - share @ v for v in (template, values))
    size = float(np.sqrt((share @ one**2) * (share @ other**2)))
    return float(share @ (one * other)) / size if size > FLAT else 0.0
