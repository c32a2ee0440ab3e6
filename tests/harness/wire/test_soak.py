"""A server and its clients stay level over many sessions; `scripts/soak.py` goes on for an hour."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("ismrmrd")

from tests.harness.wire.soak import LEVEL_BYTES, Soaked, soak

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in /proc"),
]


def test_sessions_of_all_kinds_leave_the_server_as_it_was() -> None:
    done = soak(8.0, 1, each=12)
    assert done.wrong() == []
    assert done.sessions > 0
    assert done.clients > done.sessions


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (Soaked(counts={"server: threads": [1, 9, 9, 9, 9, 10]}), "server: threads"),
        (Soaked(counts={"server: bytes": [0, 0, 0, 0, 0, LEVEL_BYTES + 1]}), "server: bytes"),
        (Soaked(slowest_s=20.0), "kept for 20.0 s"),
        (Soaked(code=1), "the server ended with 1"),
        (Soaked(error="Traceback"), "Traceback"),
    ],
)
def test_what_grows_is_seen(done: Soaked, told: str) -> None:
    assert any(told in found for found in done.wrong())


def test_what_is_level_is_let_through() -> None:
    assert Soaked(counts={"server: threads": [1, 9, 3, 3, 3, 3], "bytes": [5, 6]}).wrong() == []
