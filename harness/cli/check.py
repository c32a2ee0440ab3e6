"""`mrsim check`: one exit code to build on. Only a candidate that passed everything ends in 0.

The judgement runs in a child process. This one counts the answers that come through a pipe of its own, and
believes neither an exit code nor the absence of an error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from harness.cli.arguments import add_allow_seen, add_bar, add_candidate, add_json, add_seed
from harness.cli.process.started import MAX_LINE, Started, TooLong, how_it_ended, started
from harness.console import print_apart
from harness.judge.outcome import QUESTIONS, WORST_FIRST, Outcome, Verdict
from harness.realtime.raised import Traceback, printable_lines
from harness.session.given import check_limit
from mrsim.errors import InputError
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json
from mrsim.summary import counted

SCHEMA = "mrsim-check/1"
PASSED, NOT_PASSED = 0, 1
PARTS = ("replay", "audit")
END_S = 30.0  # how long a child may take to end once it has answered
MAX_MESSAGE = 2000
CHILD = "harness.cli.process.check_child:main"


@dataclass
class _Judgement:
    """Hold what a child has handed over, and how it ended."""

    parts: dict[tuple[int, str], dict[str, Any]] = field(default_factory=dict)
    lost: str | None = None
    notes: list[str] = field(default_factory=list)

    def verdict(self, streams: list[str]) -> Verdict:
        given = [(i, *a) for (i, _), part in self.parts.items() for a in part["answers"]]
        answers = [one for one in given if one[2] is not None]
        bad = [(Outcome[word], f"{streams[i]}: {what}: {why}") for i, what, word, why in answers]
        bad = [found for found in bad if found[0] is not Outcome.PASS]
        if self.lost is not None:
            return Verdict(Outcome.FAIL, self.lost)
        if bad:
            bad.sort(key=lambda found: WORST_FIRST.index(found[0]))
            return Verdict(bad[0][0], f"{len(bad)} of {len(answers)} questions, the first {bad[0][1]}")
        wanted = {(number, part) for number in range(len(streams)) for part in PARTS}
        if set(self.parts) != wanted or not all(part["answers"] for part in self.parts.values()):
            return Verdict(Outcome.FAIL, "the candidate's process ended before every question had an answer")
        from harness.audits.audits import AUDITS

        audited = [part for (_, kind), part in self.parts.items() if kind == "audit"]
        if any({what for what, word, _ in part["answers"] if word} != set(AUDITS) for part in audited):
            return Verdict(Outcome.FAIL, "the candidate's process left questions of the audit out")
        replayed = [part["answers"] for (_, kind), part in self.parts.items() if kind == "replay"]
        if any(tuple(what for what, _, _ in part) != QUESTIONS or part[0][1] is None for part in replayed):
            return Verdict(Outcome.FAIL, "the candidate's process left questions of the replay out")
        unasked = dict.fromkeys(what for _, what, word, _ in given if word is None)
        left = f"; not asked: {', '.join(unasked)}" if unasked else ""
        return Verdict(
            Outcome.PASS, f"all {len(answers)} questions on {counted(len(streams), 'stream')}{left}"
        )


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_candidate(command)
    command.add_argument("streams", nargs="+", metavar="STREAM", help="folders of streams")
    add_bar(command)
    command.add_argument("--isolate", action="store_true", help="run the candidate in a process of its own")
    command.add_argument(
        "--limit-s", type=float, default=3600.0, metavar="S", help="end it all after this time (%(default)s)"
    )
    add_allow_seen(command)
    add_seed(command, "random")
    add_json(command)


def run(
    *,
    candidate: str,
    streams: list[str],
    clock: str,
    profile: str,
    downstream_ms: float | None,
    claim: float | None,
    repeat: int,
    no_quality: bool,
    isolate: bool,
    limit_s: float,
    allow_seen: bool,
    seed: int,
    json_file: str | None,
) -> int:
    """Judge a candidate on every stream, a line for each question, and return 0 only if it passed all.

    Returns
    -------
    code
        0 passed, 1 anything else that can be said of the candidate.

    Raises
    ------
    InputError
        If the candidate, a stream or an option is wrong.
    """
    check_target(json_file, ".json")
    check_limit(limit_s)
    shared = {"seed": seed, "isolate": isolate, "allow_seen": allow_seen}
    task = {
        "candidate": candidate,
        "streams": streams,
        "audit": shared,
        "replay": {
            **shared, "clock": clock, "profile": profile, "downstream_ms": downstream_ms, "claim": claim,
            "repeat": repeat, "quality": not no_quality, "keep_images": False,
        },
    }  # fmt: skip
    found = _Judgement()
    found.lost = _judged(task, limit_s, streams, found)
    verdict = found.verdict(streams)
    if json_file is not None:
        parts = [
            {"stream": streams[number], "part": part, "result": found.parts[number, part]["result"]}
            for number, part in found.parts
        ]
        outcome = {"verdict": verdict.outcome.name, "reason": verdict.reason, "candidate": candidate}
        write_json(json_file, {"schema": SCHEMA, **outcome, "parts": parts})
    raised = [one.text for part in found.parts.values() for one in _tracebacks(part["result"])]
    print_apart([*raised, *found.notes])
    print(f"{verdict.outcome.name}: {verdict.reason}")
    return PASSED if verdict.outcome is Outcome.PASS else NOT_PASSED


def _judged(task: dict[str, Any], limit_s: float, streams: list[str], found: _Judgement) -> str | None:
    """Let a child judge, in a group of its own, and end all of that group in every case.

    Returns
    -------
    lost
        How the child was lost, if it was.

    Raises
    ------
    InputError
        If the child says that what it was given is wrong.
    """
    deadline = time.monotonic() + limit_s
    with started(CHILD, [json.dumps(task)], apart=True) as child:
        try:
            while (answer := _next(child, deadline, len(streams))) is not None:
                _take(answer, streams, found)
            return found.lost or _ending(child.process, max(0.0, min(END_S, deadline - time.monotonic())))
        except TimeoutError:
            return f"it did not end within {limit_s:g} s (--limit-s) and was killed"
        except TooLong:
            return f"an answer of its process is longer than {MAX_LINE} bytes"
        except _Unread:
            return "an answer of its process cannot be read"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


class _Unread(Exception):
    """Say that what a child handed over is no answer."""


def _next(child: Started, deadline: float, streams: int) -> dict[str, Any] | None:
    line = child.line(deadline)
    try:
        return None if line is None else _read(line, streams)
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _Unread from None


def _read(line: bytes, streams: int) -> dict[str, Any]:
    """Return an answer whose parts are what they should be; anything else raises, whatever wrote it."""
    answer = json.loads(line)
    if "error" in answer or "crash" in answer:
        told = {key: str(answer[key])[:MAX_MESSAGE] for key in ("error", "crash") if key in answer}
        return told | (
            {"note": printable_lines(answer["note"])} if isinstance(answer.get("note"), str) else {}
        )
    if (
        answer["part"] not in PARTS
        or type(answer["stream"]) is not int
        or not 0 <= answer["stream"] < streams
    ):
        raise ValueError("an answer to what was not asked")
    questions = [
        (str(what), None if outcome is None else Outcome[outcome].name, str(why))
        for what, outcome, why in answer["answers"]
    ]
    return {
        "stream": answer["stream"], "part": answer["part"], "answers": questions, "result": answer["result"],
    }  # fmt: skip


def _take(answer: dict[str, Any], streams: list[str], found: _Judgement) -> None:
    if "error" in answer:
        error = InputError(answer["error"])
        if "note" in answer:
            error.add_note(answer["note"])
        raise error
    if "crash" in answer:
        found.notes += [answer["note"]] if "note" in answer else []
        found.lost = f"the judgement broke off: {answer['crash']}"
        return
    which = answer["stream"], answer["part"]
    if which in found.parts:
        found.lost = "its process answered twice, as a copy of it (os.fork) does"
    found.parts[which] = answer
    for what, outcome, why in answer["answers"]:
        print(f"{streams[answer['stream']]}: {what}: {outcome or 'not asked'}: {why}", flush=True)


def _tracebacks(result: Any) -> list[Traceback]:
    """Return where a candidate raised, as the result of a part says, which may be anything."""
    parts = [result] if isinstance(result, dict) else []
    audits = parts[0].get("audits") if parts else None
    parts += [audit for audit in audits if isinstance(audit, dict)] if isinstance(audits, list) else []
    raised = [Traceback.from_json(part) for part in parts]
    return [found for found in raised if found is not None]


def _ending(process: subprocess.Popen[bytes], limit_s: float) -> str | None:
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return f"its process did not end within {limit_s:.0f} s of its last answer and was killed"
    return how_it_ended(code) if code else None
