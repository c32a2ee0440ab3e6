"""The judging half of `mrsim check`, in a process of its own: every answer is handed over through a pipe.

What ends the process early, however it does so, leaves answers out, and an exit code stands in for none.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from harness.cli.arguments import parser
from harness.cli.process_streams import complaint, conclude
from harness.cli.session import Options, audited, replayed
from harness.judge.repetitions import Repetitions
from harness.realtime.gate import one_line
from mrsim.stream import load


def main() -> int:
    """Judge as the arguments of the process say: two file descriptors, then those of `mrsim check`."""
    return conclude(_serve)


def _serve() -> int:
    answers, lifeline = (int(number) for number in sys.argv[1:3])
    for number in (answers, lifeline):
        os.set_inheritable(number, False)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    with os.fdopen(answers, "w", encoding="utf-8") as pipe:
        for answer in _answers(parser().parse_args(sys.argv[3:])):
            pipe.write(json.dumps(answer) + "\n")
            pipe.flush()
    return 0


def _end_with_parent(lifeline: int) -> None:
    """Wait until the parent is gone, however it went, and end everything that was started here."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _answers(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    try:
        for number, stream in enumerate(args.stream):
            for part, judge in (("replay", _replay), ("audit", _audit)):
                yield {"stream": number, "part": part, **judge(args, stream)}
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        told = complaint(error)
        yield {"crash": one_line(error)} if told is None else {"error": told}


def _replay(args: argparse.Namespace, path: str) -> dict[str, Any]:
    # What `check` does not offer is as `replay` has it when nothing is said.
    defaults = vars(parser().parse_args(["replay", path, args.candidate]))
    given = argparse.Namespace(**{**defaults, **vars(args), "stream": path, "limit_s": None})
    stream = load(path)
    options = Options.of(given, len(stream))
    session = Repetitions(tuple(replayed(given, stream, options)), exact=False)
    verdict = session.verdict
    return {"answers": [["replay", verdict.outcome.name, verdict.reason]], "told": session.to_json()}


def _audit(args: argparse.Namespace, path: str) -> dict[str, Any]:
    given = argparse.Namespace(**{**vars(args), "limit_s": None})
    report = audited(given, load(path))
    answers = [[f.audit, "PASS" if f.kept else "INVALID", f.evidence] for f in report.findings]
    return {"answers": answers, "told": report.to_json()}
