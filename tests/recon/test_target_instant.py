"""Which instant an image is to show."""

from __future__ import annotations

import pytest

from mrsim.errors import InputError
from recon.target_instant import offset_ns
from tests.recon.conftest import small_stream


def test_instants_are_counted_from_the_last_echo():
    header = small_stream(frames=2).header  # 8 lines of 2.2 ms
    assert offset_ns("last", header) == 0
    assert offset_ns("centre", header) == -7 * 2_200_000 // 2
    assert offset_ns("last+50", header) == 50_000_000
    assert offset_ns("last+0.5", header) == 500_000


@pytest.mark.parametrize(
    "text", ["", "first", "last+", "last-10", "last+1e3", "last+nan", "last+2001", "last+9999"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="target instant"):
        offset_ns(text, small_stream(frames=2).header)
