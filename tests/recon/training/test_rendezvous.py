"""Processes that are begun again meet each other, and not what the dead have left."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from mrsim.errors import HostError
from recon.training.rendezvous import agree_on_name

WAIT = datetime.timedelta(seconds=30)
SHORT = datetime.timedelta(seconds=0.2)


def start(store: dist.Store, world: int, order: list[int]) -> set[str]:
    """Start the processes in an order, and return the names that they go by."""
    with ThreadPoolExecutor(world) as pool:
        return {f.result() for f in [pool.submit(agree_on_name, store, r, world, WAIT) for r in order]}


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_every_start_has_a_name_of_its_own_on_which_all_agree(order: list[int]) -> None:
    store = dist.HashStore()
    names = [start(store, 3, order) for _ in range(4)]
    assert [len(found) for found in names] == [1] * 4
    assert len(set.union(*names)) == 4


def test_what_the_dead_have_left_has_no_part() -> None:
    store = dist.HashStore()
    for rank in (1, 2):  # they said hello, and were killed before anyone answered
        store.set(f"mrsim/hello/{rank}", f"dead{rank}")
    with pytest.raises(HostError, match=r"1, 2 did not come within 0\.2 s"):  # the first answers the dead
        agree_on_name(store, 0, 3, SHORT)
    old = store.get("mrsim/welcome/dead1").decode()  # now: the next first may answer the dead once more
    (name,) = start(store, 3, [1, 2, 0])
    assert name not in (old, "dead1", "dead2")


def test_nobody_waits_for_ever() -> None:
    with pytest.raises(HostError, match=r"process 1 of 2: the first did not answer within 0\.2 s"):
        agree_on_name(dist.HashStore(), 1, 2, SHORT)
    assert agree_on_name(dist.HashStore(), 0, 1, SHORT)
