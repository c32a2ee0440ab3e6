"""Seeds: bounded, and children that do not disturb each other."""

from __future__ import annotations

import numpy as np
import pytest

from mrsim.errors import InputError
from mrsim.seeds import MAX_SEED, check_seed, child, fresh_seed


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


def test_a_fresh_seed_has_128_bits_and_is_another_each_time() -> None:
    seeds = {fresh_seed() for _ in range(64)}
    assert len(seeds) == 64
    assert max(seeds).bit_length() in range(122, 129)
    assert all(check_seed(seed) == seed for seed in seeds)
    # All bits count: two seeds that share their lower 64 give other numbers.
    states = [tuple(child(seed, "a").generate_state(4)) for seed in (5, 5 + (1 << 64), 5 + (1 << 127))]
    assert len(set(states)) == 3
