"""`pytest --benchmark-only`: `-k reconstructors` takes a group of its table, `-m slow` what takes long."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let `-k` select a group of the table."""
    for item in items:
        marker = item.get_closest_marker("benchmark")
        if marker is not None and "group" in marker.kwargs:
            item.extra_keyword_matches.add(str(marker.kwargs["group"]))
