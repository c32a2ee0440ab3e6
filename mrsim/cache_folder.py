"""The folder of the user's caches: what is kept there can be made again, and its loss costs only time."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache_folder() -> Path | None:
    """Return the folder of mrsim's caches, which need not exist, or None where the user has no home.

    `XDG_CACHE_HOME` names its parent on every platform; else it is the platform's own: `~/.cache`,
    `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if sys.platform == "win32":
        named = named or os.environ.get("LOCALAPPDATA", "")
    if os.path.isabs(named):  # the standard has a relative one ignored: it would be another in every folder
        return Path(named) / "mrsim"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "mrsim"
