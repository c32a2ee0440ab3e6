"""How much two kinds of anatomy agree on the order of candidates."""

from __future__ import annotations

import math

import pytest

from scripts.rank_agreement import agreement, means, page


def test_the_same_order_agrees_and_the_reverse_does_not() -> None:
    one = {"a": 1.0, "b": 2.0, "c": 40.0, "d": math.inf}
    assert agreement(one, {name: 3 * value + 1 for name, value in one.items()}) == pytest.approx(1)
    assert agreement(one, {name: -value for name, value in one.items()}) == pytest.approx(-1)
    # One swap of six pairs, by hand: (5 - 1) / 6.
    assert agreement(one, {"a": 2.0, "b": 1.0, "c": 3.0, "d": 9.0}) == pytest.approx(4 / 6)
    assert math.isnan(agreement(one, {"a": 1.0}))


def test_what_cannot_be_told_is_last_and_level() -> None:
    """Two that are lost are tied: tau-b of one tie on each side is 1 where the rest agrees."""
    one = {"a": 1.0, "b": math.inf, "c": math.inf}
    assert agreement(one, one) == pytest.approx(1)
    assert agreement(one, {"a": 5.0, "b": 1.0, "c": 2.0}) == pytest.approx(-2 / math.sqrt(2 * 3))


def test_means_are_of_candidates_over_patients() -> None:
    def row(name: str, value: float | None, reference: bool = False) -> dict[str, object]:
        return {"candidate": name, "reference": reference, "figures": {"nmse": {"value": value}}}

    rows = [row("truth", 0.0, True), row("a", 1.0), row("a", 3.0), row("b", 1.0), row("b", None)]
    found = means({"rows": rows}, "nmse")
    assert found == {"a": 2.0, "b": math.inf}
    lines = page({"v1": found, "v2": {"a": 9.0, "b": 1.0}})
    assert "| a | 2 | 9 |" in lines
    assert "| b | - | 1 |" in lines
    assert lines[-1].endswith("v1 and v2 -1.00")
