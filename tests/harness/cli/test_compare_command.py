"""What `mrsim compare` says of what it cannot decide: what the word stands for, and what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli.compare import undecided
from harness.comparison.order import Difference
from harness.measure.intervals import MIN_BREATHS

OPEN, TIE = Difference(1.1, None, "undecided", "few"), Difference(1.0, (1.0, 1.0), "tie")


def found(blocks: int, planned: int, repeat: int, **standings: Difference) -> Any:
    times = SimpleNamespace(blocks=("block",) * blocks, planned=planned)
    plan = SimpleNamespace(repeat=repeat, segment_s=5.0)
    return SimpleNamespace(differences={(0, 1): standings}, times=times, plan=plan)


def test_what_is_decided_needs_no_words() -> None:
    assert undecided(found(2, 2, 1, response_ms=TIE, nmse=TIE), ["response_ms", "nmse"]) == ""
    assert undecided(found(2, 2, 1, response_ms=OPEN, nmse=TIE), ["nmse"]) == ""


@pytest.mark.parametrize(
    ("blocks", "planned", "repeat", "rounds"), [(2, 2, 1, 2), (2, 2, 2, 4), (3, 3, 1, 2), (3, 6, 2, 2)]
)
def test_two_blocks_are_explained_with_the_rounds_that_would_do(
    blocks: int, planned: int, repeat: int, rounds: int
) -> None:
    told = undecided(found(blocks, planned, repeat, response_ms=OPEN), ["response_ms"])
    assert told.startswith("Undecided is no tie: ")
    assert f"{MIN_BREATHS} blocks of times" in told
    assert "a stretch of 5 s that all played in turns" in told
    # So many rounds of what a round holds are blocks enough, and one round less is not.
    a_round = planned // repeat
    assert f"take --repeat {rounds} or more." in told
    assert rounds * a_round >= MIN_BREATHS > (rounds - 1) * a_round
    assert "longer streams" not in told


def test_few_breaths_take_longer_streams_and_no_more_rounds() -> None:
    told = undecided(found(9, 9, 3, response_ms=TIE, nmse=OPEN), ["response_ms", "nmse"])
    assert "take longer streams, or more of them with --on." in told
    assert "--repeat" not in told
