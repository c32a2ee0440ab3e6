"""The same seed gives the same bytes in fresh processes; `scripts/same_bytes.py` asks for every phantom."""

from __future__ import annotations

import pytest

from scripts.same_bytes import COILS, digests, in_a_process

pytestmark = pytest.mark.slow


def test_one_thread_and_two_give_the_same_bytes() -> None:
    """patient5 with 4 coils is the scan that once had another sample."""
    scanned = ["patient5"], [4, 8]
    one, two = (in_a_process(*scanned, threads) for threads in (1, 2))
    assert one == two == digests(*scanned)
    assert len(set(one.values())) == 2  # a hash that sees nothing would be the same, too


def test_every_number_of_coils_is_asked() -> None:
    assert COILS == (1, 4, 8)
    found = digests(["quasar"], list(COILS))
    assert len(set(found.values())) == len(COILS)
