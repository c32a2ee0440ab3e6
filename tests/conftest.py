"""Property tests without a time limit: the first example compiles, and a shared machine may stall."""

from __future__ import annotations

import gc
import sys

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--benchmark-only` leave out all else, which is not skipped one by one, and what takes long."""
    if not config.getoption("benchmark_only", False):
        return
    timed = [item for item in items if "benchmark" in getattr(item, "fixturenames", ())]
    if not config.getoption("markexpr"):
        timed = [item for item in timed if item.get_closest_marker("slow") is None]
    left_out = [item for item in items if item not in set(timed)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = timed


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
