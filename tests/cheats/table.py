"""The table of cheats: what catches each of them, in process, by replay, audit, plugin and guard.

`python -m scripts.cheats` writes it to docs/cheats.md; the test beside this compares.
"""

from __future__ import annotations

import importlib
import re

import harness
from harness.audits import memory
from harness.audits.audits import AUDITS
from harness.audits.bench import Bench
from harness.audits.conformance import CHECKS, Candidate, NotConforming, NotShown
from harness.audits.finding import State
from harness.comparison.guard import guard
from harness.judge.outcome import Outcome
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.seeds import fresh_seed
from mrsim.stream import Stream
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Builder

CHEATS = (
    "silent",
    "raises_in_open",
    "crashes",
    "skips",
    "exits",
    "interrupts",
    "unheard_of",
    "blank",
    "one_picture",
    "freezes",
    "one_pixel",
    "picture_with_a_trace",
    "picture_with_half_the_image",
    "leaks_objects",
    "leaks_native",
    "leaks_tensors",
    "leaks_descriptors",
    "leaks_threads",
    "leaves_a_line_out",
    "shows_the_image_before",
    "looks_ahead",
    "looks_ahead_late",
    "drops_some_frames",
    "keeps_a_nan",
    "remembers_by_frame",
    "remembers_by_the_first_line",
    "remembers_by_content",
    "remembers_the_scan_before",
    "writes_into_its_input",
    "writes_later",
    "writes_when_closed",
    "rolls_dice",
    "hurries",
    "behaves_when_it_is_watched",
    "shows_the_truth",
    "shows_the_truth_with_noise",
)
"""One module a kind: those that show nothing, whose content depends on nothing, and who use blind spots."""
COLUMNS = ("replay", "audit", "plugin", "guard")
WEIGHED_FRAMES = 400
"""Frames over which memory is weighed here: enough for every leak of a cheat."""
BY_CLOCK = {"hurries": "accuracy under load, or another"}
"""What depends on the clock, and may be seen by any audit that compares images."""
OPEN = {
    "replay": "It judges the images of one scan. What takes a second scan to see is for the audits.",
    "guard": "It times images, and sees whether they show something. What they show is for the audits.",
}
"""Why a column lets through what it is not there for."""
NAMES = (
    (r"impossible quality", "impossible quality"),
    (r"silent failures \(([a-z ]+?) \d", "silent failures: {}"),
    (r"the candidate raised", "raised"),
    (r"raised", "raised"),
    (r"images never came", "no image"),
    (r"showed no image", "no image"),
    (r"shows nothing|that show something", "shows nothing"),
)


def cheats_scan() -> Stream:
    """Return the scan that they are played: of a phantom, with truth."""
    return scan(load_phantom("quasar"), ScanProtocol(matrix=(32, 32)), seed=2019, frames=64)


def build_of(name: str) -> Builder:
    """Return a cheat as if it had just been imported."""
    module = importlib.import_module(f"tests.cheats.{name}")
    cheat: Builder = importlib.reload(module).Cheat
    return cheat


def about(name: str) -> str:
    """Return what a cheat does, as its module says."""
    return str(importlib.import_module(f"tests.cheats.{name}").__doc__).strip()


def caught(name: str, column: str, stream: Stream) -> str | None:
    """Return by what name a cheat is caught in a column; None if it is not."""
    ways = {"replay": by_replay, "audit": by_audit, "plugin": by_plugin, "guard": by_guard}
    found = ways[column](build_of(name), stream)
    # On a busy host it hurries, or does not, anywhere.
    return found and (BY_CLOCK.get(name) or found)


def by_replay(build: Builder, stream: Stream) -> str | None:
    """Return what a replay in lockstep finds."""
    answers = harness.replay(stream, build, scenario="lockstep").verdict.answers
    found = [one for one in answers if one.outcome in (Outcome.FAIL, Outcome.INVALID)]
    return _name(found[0].reason, found[0].question) if found else None


def by_audit(build: Builder, stream: Stream) -> str | None:
    """Return the first audit that a candidate does not keep."""
    bench = Bench(stream, build, fresh_seed())
    for name, check in AUDITS.items():
        state = check(bench).state
        if state is not State.KEPT:
            return name if state is State.BROKEN else f"{name} (not shown)"
    return None


def by_plugin(build: Builder, stream: Stream) -> str | None:
    """Return the first check of the plugin that a candidate does not pass."""
    candidate = Candidate("it", build, stream, fresh_seed())
    for check in CHECKS:
        try:
            check(candidate)
        except NotShown:
            return f"{check.name} (not shown)"
        except NotConforming:
            return check.name
    return None


def by_guard(build: Builder, stream: Stream) -> str | None:
    """Return what the guard finds, whatever the times say."""
    found = guard(ViewSharing, build, stream, images=60, factor=100.0, limit_s=0.5).verdict
    return None if found.outcome is Outcome.PASS else _name(found.reason, found.outcome.name)


def _name(reason: str, otherwise: str) -> str:
    for pattern, name in NAMES:
        if match := re.search(pattern, reason):
            return name.format(*match.groups())
    return otherwise


def cells_of(name: str, stream: Stream) -> list[str]:
    """Return the cells of a cheat's row."""
    before, memory.FRAMES = memory.FRAMES, WEIGHED_FRAMES
    try:
        by = [caught(name, column, stream) for column in COLUMNS]
    finally:
        memory.FRAMES = before
    return ["not kept out" if one is None else f"caught: {one}" for one in by]


def page(found: list[tuple[str, list[str]]]) -> str:
    """Return the page."""
    lines = [
        "# What catches whom",
        "",
        "Each row is a candidate that cheats in one way, played in process. It is a file of `tests/cheats`.",
        "`python -m scripts.cheats` writes this page. A test plays them all again, with fresh seeds.",
        "",
        "| cheat | what it does | " + " | ".join(COLUMNS) + " |",
        "|---" * (2 + len(COLUMNS)) + "|",
        *(f"| `{name}` | {about(name)} | " + " | ".join(cells) + " |" for name, cells in found),
        "",
        "*Not kept out* is what a column is not there for:",
        "",
        *(f"- **{column}**: {why}" for column, why in OPEN.items()),
        "",
        "In process a candidate is trusted: it shares memory with the bench. It can patch the clock, write",
        "stamps into the collector, or find the truth and blur it until it is possible. The audits see what",
        "such code does to the images of scans that differ. They do not see what it does to stamps.",
        "",
    ]
    return "\n".join(lines)
