"""Seeds: bounded, and children that do not disturb each other."""

from __future__ import annotations

import numpy as np
import pytest

from mrsim.errors import InputError
from mrsim.seeds import MAX_SEED, check_seed, child


@pytest.mark.parametrize("bad", [-1, MAX_SEED + 1, 1.0, "7", None, True])
def test_refuses_what_is_no_seed(bad: object) -> None:
    with pytest.raises(InputError, match="seed = "):
        check_seed(bad)  # type: ignore[arg-type]


def test_takes_both_ends_and_numpy_integers() -> None:
    assert [check_seed(s) for s in (0, MAX_SEED, np.int64(5))] == [0, MAX_SEED, 5]


def test_children_differ_by_seed_and_path_and_are_the_same_again() -> None:
    paths = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", 1, 0)]
    states = [tuple(child(*p).generate_state(4)) for p in paths]
    assert len(set(states)) == len(paths)
    assert states == [tuple(child(*p).generate_state(4)) for p in paths]
