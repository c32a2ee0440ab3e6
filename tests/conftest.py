"""Property tests without a time limit: the first example compiles, and a shared machine may stall."""

from __future__ import annotations

import gc
import sys

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def short_weighing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weigh memory over 256 frames, not over 2,000: the other nine audits are what most tests are of."""
    weighing = sys.modules.get("harness.audits.memory")
    if weighing is not None:
        monkeypatch.setattr(weighing, "FRAMES", 256)


@pytest.fixture(autouse=True)
def settled_heap() -> None:
    """Leave what is loaded out of later collections: each replay collects first, and torch takes long."""
    gc.collect()  # what the last test left behind; what is frozen is never let go
    gc.freeze()
