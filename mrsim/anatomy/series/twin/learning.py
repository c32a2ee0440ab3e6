"""Learn a cine's twin: a reference, smooth fields from it to every frame, their modes, and the states.

How smooth the fields are is chosen by frames that are left out: the mean of both neighbours' fields is to
meet them. Fields that fold space are not taken. Where no fields meet left-out frames better than the
reference does that stands still, nothing is gained, and there is no twin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.playback import Playback, body_of
from mrsim.anatomy.series.twin.breaths import upright
from mrsim.anatomy.series.twin.moving import State
from mrsim.anatomy.series.twin.registration import Registration, gaussian, sample_into, through
from mrsim.anatomy.series.twin.twin import Twin, stretch

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

MODES = 4
STRENGTHS = (0.1, 0.4, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0)
LEAST_STRETCH = 0.25
"""The least determinant of I + grad u that fields may have in a recorded frame."""
ABOUT = 1.2
"""How much more of left-out frames than the best fields leave smoother ones may leave, to be taken."""
_BLOCKS, _BLOCK = 12, 5  # runs of frames that the strength is chosen by
_SOME = 400  # frames at most that the reference is looked for in
_REFINED = 2  # times that a state is mended by what its image leaves
_SEEN_PX = 1.0
_MEASURED = 100  # frames at most that errors are means of


@dataclass(frozen=True)
class TwinRealism:
    """Hold how well a cine's twin meets it; NMSE in the body.

    Parameters
    ----------
    strength
        Weight of roughness that was chosen.
    static_left_out, moved_left_out
        Mean NMSE of left-out frames: by the reference that stands still, and by the reference moved by the
        mean of both neighbours' fields.
    static, previous, moved, twin
        Mean NMSE of all frames: by the reference that stands still, by the frame before, by the reference
        moved by the modes, and by the twin.
    faded_left_out, twin_left_out
        Mean NMSE of left-out frames by the cross-fade of both neighbours, and by the twin between them.
    modes_left
        Share of the fields' energy that the modes leave out.
    least_stretch
        Least determinant of I + grad u in a recorded frame.
    """

    strength: float
    static_left_out: float
    moved_left_out: float
    static: float = float("nan")
    previous: float = float("nan")
    moved: float = float("nan")
    twin: float = float("nan")
    faded_left_out: float = float("nan")
    twin_left_out: float = float("nan")
    modes_left: float = float("nan")
    least_stretch: float = float("nan")

    @property
    def gained(self) -> bool:
        """Return whether motion meets left-out frames no worse than standing still."""
        return self.moved_left_out <= self.static_left_out

    @property
    def refused(self) -> str:
        """Return why there is no twin."""
        if not math.isfinite(self.strength):
            return "every field that was tried folds"
        if not self.gained:
            return (
                f"nothing is gained by motion: the best fields leave {self.moved_left_out:.2g} of left-out "
                f"frames, and the reference that stands still {self.static_left_out:.2g}"
            )
        return f"the fields press tissue to {self.least_stretch:.2f} of its size in a recorded frame"


def twin_of(
    played: Playback, modes: int = MODES, progress: Progress | None = None
) -> tuple[Twin | None, TwinRealism]:
    """Learn the twin of a cine.

    Parameters
    ----------
    played
        Its smoothed frames.
    modes
        How many modes move it at most.
    progress
        Called with the frames that are done and their number.

    Returns
    -------
    twin, realism
        None where nothing is gained by motion.
    """
    images, body = played.images, body_of(played.images)
    realism, reference = _chosen(images, body)
    if reference is None:
        return None, realism
    registration = Registration(reference, realism.strength, np.ones(body.shape))
    coefficients = []
    for part in registration.followed(images):
        coefficients.append(part)
        if progress is not None:
            progress(len(coefficients), 2 * len(images))
    shapes, values, left = _modes(registration, np.stack(coefficients), modes)
    least = min(float(stretch(np.einsum("m,mdyx->dyx", v, shapes)).min()) for v in values)
    if least < LEAST_STRETCH:
        return None, replace(realism, least_stretch=least)
    states = np.empty((len(images), 1 + np.iscomplexobj(images), *body.shape), np.float32)
    kind = np.complex64 if np.iscomplexobj(images) else np.float32
    # One state at a time: the twin that makes its image holds that one alone.
    bare = Twin(
        np.zeros(body.shape, kind), shapes, values, states, np.zeros((0, *body.shape), np.bool_),
        played.t_ns, played.pixel_m,
    )  # fmt: skip
    for n, image in enumerate(images):
        states[n] = _state(bare, n, image)
        if progress is not None:
            progress(len(images) + n + 1, 2 * len(images))
    label = _rest_label(played, bare)
    mean = states.mean(axis=0, dtype=np.float64)
    twin = replace(
        bare,
        reference=(mean[0] + 1j * mean[1] if len(mean) > 1 else mean[0]).astype(kind),
        states=states,
        rest_label=label,
    )
    return twin, _measured(played, twin, body, replace(realism, modes_left=left, least_stretch=least))


def _chosen(images: NDArray[Any], body: NDArray[np.bool_]) -> tuple[TwinRealism, Array | None]:
    """Return the strength that meets left-out frames best, and a reference made with its fields."""
    reference = _most_frequent(images)
    across = gaussian(body.shape[0], _SEEN_PX), gaussian(body.shape[1], _SEEN_PX)
    still_seen = through(reference, across)
    starts = (
        np.unique(np.linspace(0, len(images) - _BLOCK, _BLOCKS).astype(int))
        if len(images) > _BLOCK
        else np.array([0])
    )
    runs = [np.abs(images[n : n + _BLOCK]).astype(np.float64) for n in starts]
    inner = [(run, n) for run in range(len(runs)) for n in range(1, len(runs[run]) - 1)]

    def error(run: int, n: int, field: Array) -> float:
        # Through a Gaussian, or else the blur of values between pixels would pass for a gain.
        there = np.empty(body.shape)
        sample_into(through(runs[run][n], across), field[0], field[1], there)
        return _nmse(there, still_seen, body)

    still = float(np.mean([error(run, n, np.zeros((2, *body.shape))) for run, n in inner]))
    tried: list[tuple[float, float, list[Array]]] = []
    for strength in STRENGTHS:
        registration = Registration(reference, strength, np.ones(body.shape))
        fields = [registration.dense(registration.coefficients(run)) for run in runs]
        if min(float(stretch(field).min()) for field in fields) < LEAST_STRETCH:
            continue
        met = float(
            np.mean([error(run, n, (fields[run][n - 1] + fields[run][n + 1]) / 2) for run, n in inner])
        )
        tried.append((met, strength, fields))
    if not tried:
        return TwinRealism(float("inf"), still, float("inf")), None
    # The smoothest of those that are about as good as the best.
    best = [one for one in tried if one[0] <= ABOUT * min(met for met, *_ in tried)][-1]
    realism = TwinRealism(best[1], still, best[0])
    if not realism.gained:
        return realism, None
    total, there = np.zeros(body.shape), np.empty(body.shape)
    for run, moved in zip(runs, best[2], strict=True):
        for frame, field in zip(run, moved, strict=True):
            sample_into(frame, field[0], field[1], there)
            total += there
    return realism, total / sum(map(len, runs))


def _most_frequent(images: NDArray[Any]) -> Array:
    """Return the mean of the frames about the one that most others are like."""
    some = np.unique(np.linspace(0, len(images) - 1, min(len(images), _SOME)).astype(int))
    coarse = np.stack([np.abs(images[n][::2, ::2]).ravel() for n in some]).astype(np.float64)
    inner = coarse @ coarse.T
    size = np.diag(inner)
    apart = np.clip(size[:, None] + size - 2 * inner, 0, None)
    near = max(2, len(some) // 8)
    middle = int(np.sort(apart, axis=1)[:, :near].mean(axis=1).argmin())
    alike = some[np.argsort(apart[middle], kind="stable")[: max(2, len(some) // 40)]]
    return np.asarray(np.mean([np.abs(images[n]) for n in alike], axis=0), np.float64)


def _modes(
    registration: Registration, coefficients: Array, modes: int
) -> tuple[NDArray[np.float32], Array, float]:
    """Return the modes of fields, their values in each frame, and the share of energy that they leave out."""
    down, right = registration.roots()
    flat = (down @ coefficients @ right.T).reshape(len(coefficients), -1)
    left, size, parts = np.linalg.svd(flat, full_matrices=False)
    kept = min(modes, len(size))
    shapes = parts[:kept].reshape(kept, *coefficients.shape[1:])
    dense = registration.dense(np.linalg.solve(down, shapes) @ np.linalg.inv(right).T)
    most = np.sqrt((dense**2).sum(axis=1)).max(axis=(1, 2))
    most = np.where(most > 0, most, 1.0)
    values = left[:, :kept] * size[:kept] * most
    sign = np.array([upright(value) for value in values.T])
    energy = float((size**2).sum())
    share = float((size[kept:] ** 2).sum()) / energy if energy > 0 else 0.0
    return (dense * (sign / most)[:, None, None, None]).astype(np.float32), values * sign, share


def _state(twin: Twin, frame: int, image: NDArray[Any]) -> NDArray[np.float32]:
    """Return what a frame looks like from the reference, so that moving it gives the frame again."""
    field = twin.field(twin.values[frame])
    parts = [image.real, image.imag] if twin.states.shape[1] > 1 else [image]
    out = np.zeros(twin.states.shape[1:])
    rest = [np.ascontiguousarray(part, np.float64) for part in parts]
    there = np.empty(twin.sides)
    value = twin.values[frame : frame + 1]
    for turn in range(1 + _REFINED):
        for n, part in enumerate(rest):
            sample_into(part, field[0], field[1], there)
            out[n] += there
        if turn < _REFINED:
            one = replace(twin, states=out[None].astype(np.float32))
            seen = one.image(State(value, value, np.zeros((1, 1), np.int64), np.ones((1, 1))))
            made = [seen.real, seen.imag] if len(parts) > 1 else [seen]
            rest = [part - got for part, got in zip(parts, made, strict=True)]
    return out.astype(np.float32)


def _rest_label(played: Playback, twin: Twin) -> NDArray[np.bool_]:
    """Return the reference's pixels that most labels cover, each moved back by its frame's field."""
    if not len(played.labels):
        return np.zeros((0, *twin.sides), np.bool_)
    total, there = np.zeros(twin.sides), np.empty(twin.sides)
    for n, label in enumerate(played.labels):
        field = twin.field(twin.values[n])
        sample_into(label.astype(np.float64), field[0], field[1], there)
        total += there
    return np.asarray(total / len(played.labels) > 0.5, np.bool_)[None]


def _measured(played: Playback, twin: Twin, body: NDArray[np.bool_], realism: TwinRealism) -> TwinRealism:
    images, frames = played.images, len(played.images)
    some = np.unique(np.linspace(1, frames - 2, min(frames - 2, _MEASURED)).astype(int))
    alone = replace(twin, states=_parts(twin.reference)[None])
    errors: dict[str, list[float]] = {key: [] for key in ("static", "previous", "moved", "twin")}
    faded, between = [], []
    for n in some.tolist():
        state = twin.frame_state(n)
        moved = alone.image(replace(state, frames=np.zeros((1, 1), np.int64)))
        errors["static"].append(_nmse(twin.reference, images[n], body))
        errors["previous"].append(_nmse(images[n - 1], images[n], body))
        errors["moved"].append(_nmse(moved, images[n], body))
        errors["twin"].append(_nmse(twin.image(state), images[n], body))
        part = (played.t_ns[n] - played.t_ns[n - 1]) / (played.t_ns[n + 1] - played.t_ns[n - 1])
        shares = np.array([[1 - part, part]])
        value = shares @ twin.values[[n - 1, n + 1]]
        half = State(value, value, np.array([[n - 1, n + 1]], np.int64), shares)
        faded.append(_nmse((1 - part) * images[n - 1] + part * images[n + 1], images[n], body))
        between.append(_nmse(twin.image(half), images[n], body))
    means = {key: float(np.mean(found)) for key, found in errors.items()}
    return replace(
        realism, faded_left_out=float(np.mean(faded)), twin_left_out=float(np.mean(between)), **means
    )


def _parts(image: NDArray[Any]) -> NDArray[np.float32]:
    parts = [image.real, image.imag] if np.iscomplexobj(image) else [image]
    return np.stack(parts).astype(np.float32)


def _nmse(found: NDArray[Any], true: NDArray[Any], body: NDArray[np.bool_]) -> float:
    energy = float((np.abs(true[body]).astype(np.float64) ** 2).sum())
    return float((np.abs(found[body] - true[body]).astype(np.float64) ** 2).sum()) / (energy or 1.0)
