"""A share of the fuzzing that `scripts/fuzz.py` does by hand, and that what watches it sees what is wrong."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import BYTES, watched

EACH = 40


def test_every_kind_of_input_gives_a_result_or_one_line_in_bounded_time_and_memory() -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("ismrmrd")
    batch = watched(",".join(TARGETS), 7, EACH)
    assert batch.failures == []
    assert batch.inputs == EACH * len(TARGETS)
    assert 1 << 20 < batch.peak < BYTES


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("traceback", "ZeroDivisionError"),
        ("lines", "one"),
        ("warning", "beware"),
        ("prints", "it printed: here"),
        ("loops", "s for one input, more than 1"),
        ("takes", "MiB, more than 200"),
        ("ends", "exit code 0"),
    ],
)
def test_what_breaks_a_promise_is_seen(name: str, told: str) -> None:
    batch = watched(name, 1, 60, seconds=1.0, most=200 << 20, module="tests.fuzz.planted")
    assert batch.failures
    assert told in batch.failures[0]["raised"]


def test_what_keeps_every_promise_is_let_through() -> None:
    batch = watched("keeps", 1, 60, seconds=1.0, most=200 << 20, module="tests.fuzz.planted")
    assert (batch.inputs, batch.failures) == (60, [])
