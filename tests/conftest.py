"""Property tests without a time limit: the first example compiles, and a shared machine may stall."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
