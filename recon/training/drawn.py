"""The examples of a training, epoch by epoch: what the network sees, and what its images are held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrsim.stream import Stream
from recon.cascade.network import CascadeConfig
from recon.data.examples import Examples, examples_of
from recon.data.undersampled import full_examples, full_rows, sees_alone, thin_scan, undersampled
from recon.training.plan import LINES, TrainingPlan

Redraw = Callable[[int], Sequence[Stream]]


@dataclass(frozen=True)
class DrawnExamples:
    """Hold the frames of every scan for training and for validation.

    Parameters
    ----------
    learn, check
        Of each scan the first part, for training, and the last, for validation.
    epoch
        Returns what is trained on in an epoch, counted from 0 through all stages: `learn`, or the same frames
        sampled anew.
    """

    learn: list[Examples]
    check: list[Examples]
    epoch: Callable[[int], list[Examples]]


def drawn_examples(
    streams: Sequence[Stream],
    config: CascadeConfig,
    plan: TrainingPlan,
    targets: Sequence[NDArray[np.complex64] | None] | None = None,
    waves: NDArray[np.complex64] | None = None,
    redraw: Redraw | None = None,
) -> DrawnExamples:
    """Return the examples that a plan asks for.

    Parameters
    ----------
    streams, targets, redraw
        See `recon.training.train.train_cascade`.
    config
        The cascade.
    plan
        Says what is learnt from, and how much is kept for validation.
    waves
        Of known sensitivities; None to estimate them from the lines so far.

    Raises
    ------
    TrainingError
        If a scan lacks what is learnt from, or has too few frames.
    """
    if plan.undersample > 1:
        make = _frames_alone if sees_alone(config) else _thin_scans
        return make(streams, plan)
    given = targets or [None] * len(streams)

    def made(scans: Sequence[Stream]) -> list[Examples]:
        foretell = plan.learn_from == LINES
        return [examples_of(s, t, waves, foretell) for s, t in zip(scans, given, strict=True)]

    sets = made(streams)
    cuts = _cuts(sets, plan)
    learn, check = _first(sets, cuts), _last(sets, cuts)
    return DrawnExamples(
        learn, check, lambda epoch: learn if redraw is None else _first(made(redraw(epoch)), cuts)
    )


def _frames_alone(streams: Sequence[Stream], plan: TrainingPlan) -> DrawnExamples:
    """Return whole frames, each undersampled by itself, for a network that remembers nothing."""
    sets = [full_examples(s) for s in streams]
    cuts = _cuts(sets, plan)
    learn = _first(sets, cuts)

    def thinned(full: list[Examples], *use: str | int) -> list[Examples]:
        return [undersampled(s, plan.undersample, plan.seed, *use, i) for i, s in enumerate(full)]

    check = thinned(_last(sets, cuts), "validation")
    return DrawnExamples(learn, check, lambda epoch: thinned(learn, "epoch", epoch))


def _thin_scans(streams: Sequence[Stream], plan: TrainingPlan) -> DrawnExamples:
    """Return whole frames as a network sees them that remembers the undersampled ones before."""
    full = [full_rows(s)[1] for s in streams]

    def thinned(*use: str | int) -> list[Examples]:
        thin = [thin_scan(s, plan.undersample, plan.seed, *use, i) for i, s in enumerate(streams)]
        return [examples_of(s, full=rows) for s, rows in zip(thin, full, strict=True)]

    sets = thinned("validation")
    cuts = _cuts(sets, plan)
    return DrawnExamples(
        _first(sets, cuts), _last(sets, cuts), lambda epoch: _first(thinned("epoch", epoch), cuts)
    )


def _cuts(sets: Sequence[Examples], plan: TrainingPlan) -> list[int]:
    return [max(1, round(len(s) * (1.0 - plan.validation))) for s in sets]


def _first(sets: Sequence[Examples], cuts: Sequence[int]) -> list[Examples]:
    return [s.part(slice(0, c)) for s, c in zip(sets, cuts, strict=True)]


def _last(sets: Sequence[Examples], cuts: Sequence[int]) -> list[Examples]:
    return [s.part(slice(c, None)) for s, c in zip(sets, cuts, strict=True)]
