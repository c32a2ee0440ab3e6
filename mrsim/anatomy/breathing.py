"""Which breathing a scan shows, by what it says that it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from mrsim.anatomy.phantom import Phantom
from mrsim.anatomy.series.text import day_of, is_patient_text
from mrsim.errors import InputError
from mrsim.motion.courses import Breathing, Motion
from mrsim.motion.drives import Derived
from mrsim.motion.tables import STATIC, AnyMotion
from mrsim.motion.trace import Trace
from mrsim.seeds import check_seed

_KEPT_TEXTS = 256


def breathing_of(text: str, seed: int | None) -> frozenset[str] | None:
    """Return the courses of breathing that a scan shows; two scans that share one show the same breathing.

    Of a phantom these are the motions that its target follows, as they are parsed: title, tissues and borders
    change nothing. The seed counts where a motion draws from it. Where the target follows none, those of
    all regions count; where nothing moves, the anatomy. A motion of which a number differs is another one.

    Parameters
    ----------
    text, seed
        As a scan says what it was made from; None for a seed that it does not say.

    Returns
    -------
    courses
        None where it cannot be told: the text is none, or the motion draws from a seed that is not said.
    """
    try:
        drawn_from = None if seed is None else check_seed(seed)
    except InputError:
        drawn_from = None
    if is_patient_text(text):
        return day_of(text, drawn_from)
    found = _courses(text)
    if found is None or (drawn_from is None and any(seeded for _, seeded in found)):
        return None
    return frozenset(f"{course} {drawn_from}" if seeded else course for course, seeded in found)


@lru_cache(_KEPT_TEXTS)
def _courses(text: str) -> tuple[tuple[str, bool], ...] | None:
    """Return each course of breathing, and whether it draws from the seed."""
    try:
        phantom = Phantom.from_text(text)
    except InputError:
        return None
    target = phantom.regions[phantom.index(phantom.target)]
    found: dict[str, Motion] = {}
    for regions in ((target,), phantom.regions):
        found = found or dict(_drawn({f.motion for r in regions for f in r.follows}, phantom.motions))
    if not found:
        return ((f"anatomy {phantom.anatomy_sha256}", False),)
    breathing = {name: motion for name, motion in found.items() if isinstance(motion, Breathing | Trace)}
    return tuple(_course(name, motion) for name, motion in sorted((breathing or found).items()))


def _drawn(names: Iterable[str], motions: Mapping[str, AnyMotion]) -> Iterator[tuple[str, Motion]]:
    """Yield the motions that some are made from in the end."""
    for name in names:
        motion = motions[name]
        if isinstance(motion, Derived):
            yield from _drawn(motion.sources, motions)
        elif name != STATIC:
            yield name, motion


def _course(name: str, motion: Motion) -> tuple[str, bool]:
    told = f"{name} {motion!r}" if motion.seeded else repr(motion)  # a name decides what is drawn
    return hashlib.sha256(told.encode()).hexdigest(), motion.seeded
