"""The tables of cheats: what catches each of them by replay, audit, plugin and guard, in both modes.

`python -m scripts.cheats` writes them to docs/cheats.md; the test beside this compares.
"""

from __future__ import annotations

import atexit
import importlib
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import harness
from harness.audits import memory
from harness.audits.audits import AUDITS
from harness.audits.bench import Bench
from harness.audits.conformance import CHECKS, Candidate, NotConforming, NotShown
from harness.audits.finding import State
from harness.candidates.isolation import IsolatedBuilder
from harness.comparison.guard import guard
from harness.judge.outcome import Outcome
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.seeds import fresh_seed
from mrsim.stream import Stream, load, save
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
    "columns_alone",
    "leaks_objects",
    "leaks_native",
    "leaks_tensors",
    "leaks_descriptors",
    "leaks_threads",
    "leaks_mapped",
    "leaks_in_bursts",
    "leaves_a_line_out",
    "shows_the_image_before",
    "looks_ahead",
    "looks_ahead_late",
    "mends_what_it_showed",
    "drops_some_frames",
    "shows_all_when_closed",
    "raises_when_closed",
    "keeps_a_nan",
    "remembers_by_frame",
    "remembers_by_the_first_line",
    "remembers_by_the_middle_line",
    "remembers_by_content",
    "remembers_the_scan_before",
    "writes_into_its_input",
    "writes_later",
    "writes_when_closed",
    "rolls_dice",
    "hurries",
    "behaves_when_it_is_watched",
    "knows_who_calls",
    "shows_the_truth",
    "shows_the_truth_with_noise",
    "guesses_the_seed",
    "reads_its_parent",
    "walks_the_disk",
    "forges_stamps",
    "patches_the_clock",
    "works_after_the_push",
    "works_in_a_process",
    "works_in_a_daemon",
    "ends_at_once",
    "forks",
    "hangs",
    "kills_the_bench",
    "talks_garbage",
    "stops_itself",
    "closes_its_ends",
    "never_lets_go",
)
"""One module a kind: those that show nothing, whose content depends on nothing, and who use blind spots."""
COLUMNS = ("replay", "audit", "plugin", "guard")
MODES = ("in process", "isolated")
APART = (
    "ends_at_once", "forks", "hangs", "kills_the_bench", "talks_garbage", "stops_itself", "closes_its_ends",
    "never_lets_go",
)  # fmt: skip
"""What would end the process that plays it, and so is played isolated alone."""
LINE_LIMIT_S = 10.0
WEIGHED_FRAMES = 400
"""Frames over which memory is weighed here: enough for every leak of a cheat."""
BY_CLOCK = {"hurries": "accuracy under load, or another"}
"""What depends on the clock, and may be seen by any audit that compares images."""
OPEN = {
    "replay": "It judges the images of one scan. What takes a second scan to see is for the audits.",
    "guard": "It times images until they are shown, and sees whether they show something. What they show is "
    "for the audits; what is done after that, as by `forges_stamps`, is for the replay.",
}
"""Why a column lets through what it is not there for."""
OF_TIME = {
    "forges_stamps": ("isolated",),
    "patches_the_clock": ("isolated",),
    "works_after_the_push": MODES,
    "works_in_a_process": MODES,
    "works_in_a_daemon": ("isolated",),
}
"""What is a question of time alone, and the modes in which a replay is there for it: audits see images."""
OF_TRUST = ("knows_who_calls",)
"""What audits find isolated alone: in process it behaves as long as they run."""
IN_VAIN = "in vain"
NAMES = (
    (r"gave no answer", "no answer within the limit"),
    (r"process died", "its process died"),
    (r"is no message", "no message"),
    (r"^contract:", "contract"),
    (r"impossible quality", "impossible quality"),
    (r"silent failures \(([a-z ]+?) \d", "silent failures: {}"),
    (r"the candidate raised", "raised"),
    (r"raised", "raised"),
    (r"images never came", "no image"),
    (r"showed no image", "no image"),
    (r"missed|late", "late images"),
    (r"shows nothing|that show something", "shows nothing"),
)


@cache
def cheats_scan() -> Stream:
    """Return the scan that they are played: of a phantom, with truth, from a folder as a user has it."""
    folder = tempfile.mkdtemp(prefix="mrsim-cheats-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "a.stream"
    save(scan(load_phantom("quasar"), ScanProtocol(matrix=(32, 32)), seed=2019, frames=64), path)
    return load(path)


def build_of(name: str, mode: str = MODES[0]) -> Builder:
    """Return a cheat as if it had just been imported."""
    if mode == "isolated":
        return IsolatedBuilder(string_of(name), LINE_LIMIT_S)
    module = importlib.import_module(f"tests.cheats.{name}")
    cheat: Builder = importlib.reload(module).Cheat
    return cheat


def string_of(name: str) -> str:
    """Return a cheat as the command line names it."""
    return f"python:{Path(__file__).with_name(name)}.py:Cheat"


def about(name: str) -> str:
    """Return what a cheat does, as its module says."""
    return str(importlib.import_module(f"tests.cheats.{name}").__doc__).strip()


def caught(name: str, column: str, mode: str, stream: Stream) -> str | None:
    """Return by what name a cheat is caught in a column; None if it is not."""
    build = build_of(name, mode)
    if column == "replay":
        found = by_replay(name, build, stream)
    elif column == "guard":
        found = by_guard(build, stream)
    else:
        found = (by_audit if column == "audit" else by_plugin)(build, stream)
    # On a busy host it hurries, or does not, anywhere.
    return found and (BY_CLOCK.get(name) or found)


def by_replay(name: str, build: Builder, stream: Stream) -> str | None:
    """Return what a replay finds, in lockstep unless the cheat names a clock."""
    clock = getattr(importlib.import_module(f"tests.cheats.{name}"), "CLOCK", None)
    how: dict[str, Any] = {"scenario": "lockstep"} if clock is None else {"clock": clock, "claim": 0.9}
    if isinstance(build, IsolatedBuilder):
        how |= {"isolate": True, "limit_s": LINE_LIMIT_S}
    given = string_of(name) if isinstance(build, IsolatedBuilder) else build
    answers = harness.replay(stream, given, **how).verdict.answers
    found = [one for one in answers if one.outcome in (Outcome.FAIL, Outcome.INVALID)]
    return _name(found[0].reason, found[0].question) if found else None


def is_in_vain(name: str, stream: Stream) -> bool:
    """Return whether a cheat's images are bit for bit those of the reconstructor that it is made of."""
    found = []
    for build in (build_of(name, "isolated"), ViewSharing):
        run = replay(stream, build(), VirtualClock(), ConstantService(0))
        if run.images.pixels is None or run.failure is not None:
            return False
        found.append(run.images.pixels)
    return np.array_equal(*found)


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
    base = IsolatedBuilder("view-sharing") if isinstance(build, IsolatedBuilder) else ViewSharing
    found = guard(base, build, stream, images=60, factor=100.0, limit_s=0.5).verdict
    return None if found.outcome is Outcome.PASS else _name(found.reason, found.outcome.name)


def _name(reason: str, otherwise: str) -> str:
    for pattern, name in NAMES:
        if match := re.search(pattern, reason):
            return name.format(*match.groups())
    return otherwise


def played(mode: str) -> list[str]:
    """Return the cheats that are played in a mode."""
    return [name for name in CHEATS if mode == "isolated" or name not in APART]


def cells_of(name: str, mode: str, stream: Stream) -> list[str]:
    """Return the cells of a cheat's row in a mode."""
    before, memory.FRAMES = memory.FRAMES, WEIGHED_FRAMES
    try:
        by = [caught(name, column, mode, stream) for column in COLUMNS]
    finally:
        memory.FRAMES = before
    passed = "not kept out"
    if mode == "isolated" and not any(by) and is_in_vain(name, stream):
        passed = IN_VAIN
    return [passed if one is None else f"caught: {one}" for one in by]


def page(found: dict[str, list[tuple[str, list[str]]]]) -> str:
    """Return the page."""
    lines = [
        "# What catches whom",
        "",
        "Each row is a candidate that cheats in one way. It is a file of `tests/cheats`.",
        "`python -m scripts.cheats` writes this page. A test plays them again, with fresh seeds.",
        "",
    ]
    for mode, rows in found.items():
        lines += [
            f"## {mode.capitalize()}",
            "",
            "| cheat | what it does | " + " | ".join(COLUMNS) + " |",
            "|---" * (2 + len(COLUMNS)) + "|",
            *(f"| `{name}` | {about(name)} | " + " | ".join(cells) + " |" for name, cells in rows),
            "",
        ]
    return "\n".join([*lines, *LEGEND])


def written_on(text: str) -> dict[tuple[str, str], list[str]]:
    """Return the cells of a page, by mode and cheat."""
    found, mode = {}, MODES[0]
    for line in text.splitlines():
        if line.startswith("## "):
            mode = line[3:].lower()
        elif line.startswith("| `"):
            name, _, *cells = line.strip("| ").split(" | ")
            found[mode, name.strip("`")] = cells
    return found


LEGEND = (
    "*In vain*: the images are bit for bit those of the honest reconstructor that the cheat is made of.",
    "What it looks for or writes into is not there.",
    "",
    "*Not kept out* is what a column is not there for:",
    "",
    *(f"- **{column}**: {why}" for column, why in OPEN.items()),
    "- **audit**, **plugin**: They see images. What comes late is for the replay, which in process is told",
    "  what it is told (`forges_stamps`, `patches_the_clock`), and which does not see processes that were",
    "  disowned (`works_in_a_daemon`). In process a candidate sees who calls it (`knows_who_calls`).",
    "",
    "What would end the process that plays it is played isolated alone. In process, a command without a",
    "verdict says FAIL by its parent, and one that hangs is yours to end.",
    "",
    "In process a candidate is trusted: it shares memory with the bench. It can patch the clock, write",
    "stamps into the collector (`forges_stamps`), or find the truth and blur it until it is possible. The",
    "audits see what such code does to the images of scans that differ. They do not see what it does to",
    "stamps.",
    "[isolation.md](isolation.md) says what each mode promises.",
    "",
    "## Honest candidates",
    "",
    "`python -m tests.cheats.honest.play 20` audits honest candidates with fresh seeds, in both modes: those",
    "that are shipped, the five forms of the docs, a threaded one, and one behind MRD. Two shipped ones",
    "break audits as they must. `low-rank-sparse` is an oracle: it sees the whole scan, which it keeps,",
    "before it shows a frame. So it must break conformance, causality and flat memory, and no other audit.",
    "`nearest-frame` shows what it has seen before, and is left out.",
    "",
)
