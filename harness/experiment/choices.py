"""What the experiment can be asked for: parts, stages, timings, patients and candidates."""

from __future__ import annotations

PARTS = ("main", "generalisation", "horizon")
STAGES = {"coarse": "-coarse", "fine": ""}
"""What each stage adds to the name of its weights."""
TIMINGS = ("prospective", "retrospective")
PATIENTS = tuple(f"patient{n}" for n in range(1, 7))
SLOW = ("cs-tv", "pdacs", "low-rank-sparse")
CANDIDATES = ("zero-filled", "view-sharing", "sliding-window", "keyhole", "nearest-frame", *SLOW, "cascade")
HORIZON = "cascade:{patient}-{acceleration}x-last+{horizon}"
