"""How the processes of a training find one another, also after some of them were begun again.

`torchrun` hands the processes that it begins again the store of those before them, and a store keeps what
the dead have written: whoever reads the address of a dead process waits for it until the time is over. So the
first process names each start anew, and gives the name to the living alone: every other one writes a word of
its own that nobody wrote before, and takes the answer to that word.
"""

from __future__ import annotations

import datetime
import time
import uuid
from typing import Any, Protocol

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from mrsim.errors import InputError

LOOK_S = 0.02
"""Pause between two looks of the first process at who is there."""


class Store(Protocol):
    """What all processes read and write: a `torch.distributed.Store`."""

    def set(self, key: str, value: str, /) -> Any:
        """Write a value."""

    def get(self, key: str, /) -> bytes:
        """Read a value that is there."""

    def check(self, keys: list[str], /) -> bool:
        """Tell whether they are there."""

    def wait(self, keys: list[str], wait: datetime.timedelta, /) -> Any:
        """Wait until they are there; a `RuntimeError` if that takes too long."""


def meet(backend: str, wait: datetime.timedelta) -> None:
    """Join the processes that `torchrun` has begun, in a group that no earlier start has a part in.

    Parameters
    ----------
    backend
        `gloo` or `nccl`.
    wait
        How long a process waits for the others, here and later on.

    Raises
    ------
    InputError
        If some do not come within that time.
    """
    store, rank, world = next(rendezvous("env://", timeout=wait))
    own = dist.PrefixStore(name_of_start(store, rank, world, wait), store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=own, rank=rank, world_size=world, timeout=wait)


def name_of_start(store: Store, rank: int, world: int, wait: datetime.timedelta) -> str:
    """Return a name on which the living processes agree, whatever dead ones have left in the store.

    Parameters
    ----------
    store
        What all of them read and write.
    rank, world
        Number of this process, and of all.
    wait
        How long it waits for the others.

    Raises
    ------
    InputError
        If some do not come within that time.
    """
    mine = uuid.uuid4().hex
    if rank == 0:
        _welcome(store, mine, set(range(1, world)), wait)
        return mine
    store.set(f"mrsim/hello/{rank}", mine)
    try:
        store.wait([f"mrsim/welcome/{mine}"], wait)
    except RuntimeError:
        raise InputError(
            f"process {rank} of {world}: the first did not answer within {_told(wait)}; is it started?"
        ) from None
    name = store.get(f"mrsim/welcome/{mine}").decode()
    store.set(f"mrsim/here/{name}/{rank}", "")
    return name


def _welcome(store: Store, name: str, missing: set[int], wait: datetime.timedelta) -> None:
    """Answer every hello with the name, those of the dead, too, until all have taken it."""
    until = time.monotonic() + wait.total_seconds()
    while missing:
        for rank in sorted(missing):
            if store.check([f"mrsim/hello/{rank}"]):
                store.set(f"mrsim/welcome/{store.get(f'mrsim/hello/{rank}').decode()}", name)
            if store.check([f"mrsim/here/{name}/{rank}"]):
                missing.discard(rank)
        if missing and time.monotonic() > until:
            told = ", ".join(map(str, sorted(missing)))
            raise InputError(f"process 0: {told} did not come within {_told(wait)}; are they started?")
        time.sleep(LOOK_S)


def _told(wait: datetime.timedelta) -> str:
    return f"{wait.total_seconds():g} s"
