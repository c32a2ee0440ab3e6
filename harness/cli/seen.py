"""What commands say of candidates that were made from scans, and the option that lets them be judged."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.candidates.seen import Overlap


def add_allow_seen(command: argparse.ArgumentParser) -> None:
    """Add whether a candidate may be judged on what it was made from."""
    command.add_argument(
        "--allow-seen", action="store_true", help="judge a candidate on lines that it was made from, too"
    )


def tell_seen(found: Iterable[Overlap | None]) -> None:
    """Print what candidates were made from: beside the figures, or as a warning where they judge it."""
    for one in found:
        if one is not None and one.told is not None:
            warned = one.lines is not None
            text = f"mrsim: warning: {one.told}" if warned else one.told
            print(text, file=sys.stderr if warned else sys.stdout, flush=True)
