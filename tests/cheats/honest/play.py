"""Audit honest candidates with fresh seeds, in both modes, and count what is not a PASS.

`python -m tests.cheats.honest.play [TIMES] [ONLY ...]`; a line an audit, so that it can be broken off.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness.audits import memory
from harness.audits.audits import audit_candidate
from harness.candidates.build import candidate_builder
from harness.judge.outcome import Outcome
from mrsim.seeds import fresh_seed
from tests.cheats.table import WEIGHED_FRAMES, cheats_scan

FORMS = Path(__file__).with_name("forms.py")
SHIPPED = ("zero-filled", "view-sharing", "sliding-window:3", "keyhole", "cs-tv", "cg-sense", "tgrappa")
HONEST = (
    *SHIPPED,
    *(f"python:{FORMS}:{name}" for name in ("function", "Network", "Threaded")),
)
MODES = ("in process", "isolated")


def audits(times: int, only: list[str]) -> Iterator[tuple[str, str, str]]:
    """Audit each candidate so often in each mode; give its name, the mode, and what it did not pass."""
    memory.FRAMES, scan = WEIGHED_FRAMES, cheats_scan()
    for _ in range(times):
        for name in only or HONEST:
            for mode in MODES:
                build = candidate_builder(name, mode == "isolated", 60.0, (), 0)
                verdict = audit_candidate(scan, build, name, fresh_seed()).verdict
                passed = verdict.outcome is Outcome.PASS
                yield name.rpartition("/")[2], mode, "" if passed else verdict.reason


def main() -> None:
    """Audit and print."""
    times, only = int((sys.argv[1:] or ["1"])[0]), sys.argv[2:]
    counts: dict[tuple[str, str], list[int]] = {}
    began = time.process_time()
    for name, mode, wrong in audits(times, only):
        count = counts.setdefault((name, mode), [0, 0])
        count[0] += 1
        count[1] += bool(wrong)
        print(name, mode, wrong or "PASS", f"{time.process_time() - began:.0f} s of processor", flush=True)
    for (name, mode), (played, alarms) in counts.items():
        print(f"{name}, {mode}: {alarms} of {played} not passed")


if __name__ == "__main__":
    main()
