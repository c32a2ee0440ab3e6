"""What a comparison compares, on what, and how."""

from __future__ import annotations

from dataclasses import dataclass

from harness.candidates.isolation import MAX_LIMIT_S
from harness.comparison.order import MEASURES, TIMED
from mrsim.errors import InputError, Option, OptionError

MIN_CANDIDATES, MAX_CANDIDATES, MAX_STREAMS, MAX_ROUNDS = 2, 16, 256, 100
SEGMENT_RANGE_S = (0.5, 600.0)


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """Say what is compared, on what, and how.

    Parameters
    ----------
    candidates, streams
        Names, and folders; a stream in memory is called by its own folder, or "stream".
    frames
        Only so many first frames of each stream; None for all.
    lockstep
        Whether to leave time out.
    repeat, segment_s
        Rounds, and the length of a segment, seconds.
    seed
        Seed of who plays when.
    isolate, limit_s
        Whether candidates run in processes of their own, and a limit, seconds: for one line there, else for
        one replay.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    candidates: tuple[str, ...]
    streams: tuple[str, ...]
    frames: int | None = None
    lockstep: bool = False
    repeat: int = 3
    segment_s: float = 5.0
    seed: int = 0
    isolate: bool = False
    limit_s: float | None = None

    def __post_init__(self) -> None:
        low, high = SEGMENT_RANGE_S
        if not MIN_CANDIDATES <= len(self.candidates) <= MAX_CANDIDATES:
            expected = f"{MIN_CANDIDATES} to {MAX_CANDIDATES}"
            raise InputError(f"{len(self.candidates)} candidates: expected {expected}")
        if not 1 <= len(self.streams) <= MAX_STREAMS:
            raise InputError(f"{len(self.streams)} streams: expected 1 to {MAX_STREAMS}")
        if not 1 <= self.repeat <= MAX_ROUNDS:
            raise OptionError("{}: expected 1 to {}", Option("repeat", self.repeat), MAX_ROUNDS)
        if not low <= self.segment_s <= high:  # nor NaN
            raise OptionError("{}: expected {} to {:g} s", Option("segment_s", self.segment_s), low, high)
        if self.limit_s is not None and not 0 < self.limit_s <= MAX_LIMIT_S:
            limit = Option("limit_s", self.limit_s)
            raise OptionError("{}: expected seconds, above 0 to {:g}", limit, MAX_LIMIT_S)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the candidates' names; one that stands there twice is numbered."""
        seen: dict[str, int] = {}
        names = []
        for candidate in self.candidates:
            seen[candidate] = seen.get(candidate, 0) + 1
            names.append(candidate if seen[candidate] == 1 else f"{candidate} ({seen[candidate]})")
        return tuple(names)

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the names of the measures that are taken."""
        return tuple(m.name for m in MEASURES if not (self.lockstep and m.name in TIMED))
