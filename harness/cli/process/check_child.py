"""The judging half of `mrsim check`, in a process of its own: every answer is handed over through a pipe.

What ends the process early, however it does so, leaves answers out, and an exit code stands in for none.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from harness.cli.process.lifeline import take_pipes
from harness.cli.process.streams import complaint, conclude
from harness.realtime.raised import one_line, traceback_of
from harness.session.audit import audit
from harness.session.replay import replay
from mrsim.errors import MrsimError


def main() -> int:
    """Judge as the arguments of the process say: two file descriptors, and the task as JSON."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Both processes print on one stream. Unbuffered, a text and its line's end go out apart.
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    return conclude(_serve)


def _serve() -> int:
    answers = take_pipes(grace_s=0)  # with all that was started here
    with os.fdopen(answers, "w", encoding="utf-8") as pipe:
        for answer in _answers(json.loads(sys.argv[3])):
            pipe.write(json.dumps(answer) + "\n")
            pipe.flush()
    return 0


def _answers(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for number, stream in enumerate(task["streams"]):
        for part, judge in (("replay", _replay), ("audit", _audit)):
            try:
                answer = judge(task["candidate"], stream, task[part])
            except BaseException as error:  # a stranger may raise anything, wherever it can
                yield _broken_off(error)
                return
            yield {"stream": number, "part": part, **answer}


def _broken_off(error: BaseException) -> dict[str, Any]:
    reason = complaint(error)
    if reason is not None:
        return {"error": reason, "note": error.note if isinstance(error, MrsimError) else None}
    found = traceback_of(error)
    return {"crash": one_line(error), "note": None if found is None else found.text}


def _replay(candidate: str, stream: str, options: dict[str, Any]) -> dict[str, Any]:
    result = replay(stream, candidate, **options)
    answers = [
        [answer.question, None if answer.outcome is None else answer.outcome.name, answer.reason]
        for answer in result.verdict.answers
    ]
    return {"answers": answers, "result": result.to_json()}


def _audit(candidate: str, stream: str, options: dict[str, Any]) -> dict[str, Any]:
    report = audit(candidate, stream, **options)
    answers = [[f.audit, f.state.outcome.name, f.evidence] for f in report.findings]
    return {"answers": answers, "result": report.to_json()}
