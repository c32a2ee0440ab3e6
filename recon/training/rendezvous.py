"""The rendezvous of a training's processes, which also works after some of them were started again.

`torchrun` gives restarted processes the store of the processes before them. A store keeps what dead processes
wrote, and a process that reads a dead one's address waits for it until the time is over. So the first process
gives each start a new name, and only living processes learn it: each of the others writes a word that nobody
wrote before, and takes the answer to that word.
"""

from __future__ import annotations

import datetime
import time
import uuid
from typing import Any, Protocol

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from mrsim.errors import HostError

LOOK_S = 0.02
"""Pause between two checks of the store by the first process."""


class Store(Protocol):
    """Hold values that all processes read and write: a `torch.distributed.Store`."""

    def set(self, key: str, value: str, /) -> Any:
        """Write a value."""

    def get(self, key: str, /) -> bytes:
        """Read a value that is there."""

    def check(self, keys: list[str], /) -> bool:
        """Tell whether they are there."""

    def wait(self, keys: list[str], wait: datetime.timedelta, /) -> Any:
        """Wait until they are there; a `RuntimeError` if that takes too long."""


def join_group(backend: str, wait: datetime.timedelta) -> None:
    """Join the process group of this start of `torchrun`, which no process of an earlier start is part of.

    Parameters
    ----------
    backend
        `gloo` or `nccl`.
    wait
        How long a process waits for the others, here and later on.

    Raises
    ------
    TrainingError
        If some do not come within that time.
    """
    store, rank, world = next(rendezvous("env://", timeout=wait))
    own = dist.PrefixStore(agree_on_name(store, rank, world, wait), store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=own, rank=rank, world_size=world, timeout=wait)


def agree_on_name(store: Store, rank: int, world: int, wait: datetime.timedelta) -> str:
    """Return a name that all living processes agree on, whatever dead ones left in the store.

    Parameters
    ----------
    store
        Store that all of them share.
    rank, world
        Number of this process, and of all.
    wait
        How long it waits for the others.

    Raises
    ------
    TrainingError
        If some do not come within that time.
    """
    mine = uuid.uuid4().hex
    if rank == 0:
        _answer_all(store, mine, set(range(1, world)), wait)
        return mine
    store.set(f"mrsim/hello/{rank}", mine)
    try:
        store.wait([f"mrsim/welcome/{mine}"], wait)
    except RuntimeError:
        raise HostError(
            f"process {rank} of {world}: the first did not answer within {_seconds(wait)}; is it started?"
        ) from None
    name = store.get(f"mrsim/welcome/{mine}").decode()
    store.set(f"mrsim/here/{name}/{rank}", "")
    return name


def _answer_all(store: Store, name: str, missing: set[int], wait: datetime.timedelta) -> None:
    """Answer every hello with the name, dead processes' too, until all living ones have taken it."""
    until = time.monotonic() + wait.total_seconds()
    while missing:
        for rank in sorted(missing):
            if store.check([f"mrsim/hello/{rank}"]):
                store.set(f"mrsim/welcome/{store.get(f'mrsim/hello/{rank}').decode()}", name)
            if store.check([f"mrsim/here/{name}/{rank}"]):
                missing.discard(rank)
        if missing and time.monotonic() > until:
            absent = ", ".join(map(str, sorted(missing)))
            raise HostError(f"process 0: {absent} did not come within {_seconds(wait)}; are they started?")
        time.sleep(LOOK_S)


def _seconds(wait: datetime.timedelta) -> str:
    return f"{wait.total_seconds():g} s"
