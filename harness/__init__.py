"""The bench: replays a scan into a reconstructor at the scanner's pace and gives a verdict.

    import harness

    result = harness.replay(scan, my_reconstructor, claim=0.95)
    result.verdict      # PASS, FAIL, INVALID or INSUFFICIENT, and why
    result.latency      # percentiles of the response in milliseconds, and misses
    harness.audit(my_reconstructor)

Importing it is cheap: a name is loaded when it is first used.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # not of `typing`: a command is to import next to nothing before it answers Ctrl-C
if TYPE_CHECKING:
    from harness.audits.finding import AuditReport
    from harness.comparison.compare import compare
    from harness.comparison.guard import Guarded
    from harness.comparison.result import Comparison
    from harness.judge.outcome import Outcome, Verdict
    from harness.judge.profiles import Profile
    from harness.judge.search import Peak, ShortestStride
    from harness.session.audit import audit
    from harness.session.guard import guard
    from harness.session.replay import replay
    from harness.session.result import Result
    from harness.session.search import find_peak, find_stride

__all__ = [
    "AuditReport",
    "Comparison",
    "Guarded",
    "Outcome",
    "Peak",
    "Profile",
    "Result",
    "ShortestStride",
    "Verdict",
    "audit",
    "compare",
    "find_peak",
    "find_stride",
    "guard",
    "replay",
]

_WHERE = {
    "AuditReport": "audits.finding",
    "Comparison": "comparison.result",
    "Guarded": "comparison.guard",
    "Outcome": "judge.verdict",
    "Peak": "judge.search",
    "Profile": "judge.profiles",
    "Result": "session.result",
    "ShortestStride": "judge.search",
    "Verdict": "judge.verdict",
    "audit": "session.audit",
    "compare": "comparison.compare",
    "find_peak": "session.search",
    "find_stride": "session.search",
    "guard": "session.guard",
    "replay": "session.replay",
}


if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _WHERE:
            raise AttributeError(f"module 'harness' has no attribute {name!r}")
        found = getattr(importlib.import_module(f"harness.{_WHERE[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted(__all__)
