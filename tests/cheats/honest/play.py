"""Audit honest candidates with fresh seeds, in both modes, and count what is not a PASS.

`python -m tests.cheats.honest.play [TIMES] [--log FILE] [ONLY ...]`. Each audit is a line of JSON in FILE, by
which it goes on where it was broken off; what was played least comes next.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from harness.audits import memory
from harness.audits.audits import audit_candidate
from harness.candidates.build import candidate_builder
from harness.judge.outcome import Outcome
from harness.session.given import opened
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.seeds import fresh_seed
from mrsim.stream import Stream
from recon.cascade.checkpoint import shipped
from tests.cheats.table import MODES, WEIGHED_FRAMES, cheats_scan

ROOT = Path(__file__).parents[3]
FORMS = Path(__file__).with_name("forms.py")
BREAKS = {"low-rank-sparse": "conformance, causality, flat memory"}
"""A shipped one that must break audits, and what it must break: an oracle sees a whole scan, which it keeps,
before it shows a frame; that is all that it may break."""
LEFT_OUT = {"nearest-frame": "it shows what it has seen before, whatever is scanned"}
"""One that breaks an audit as it must, which its page says."""
FRAMES, WEIGHED = 48, 96
"""Frames of the scans of networks, and over how many their memory is weighed."""
COILS = 4
LIMIT_S = 60.0
SERVED = "mrd"
"""The one that a server computes; its port stands in the candidate's name."""


@cache
def coils_scan(sampler: str) -> Stream:
    """Return a scan of several coils, as parallel imaging takes it."""
    protocol = ScanProtocol(matrix=(32, 32), coils=COILS, acceleration=2.0, sampler=sampler)
    return scan(load_phantom("quasar"), protocol, seed=2019, frames=64)


@cache
def network_scan(weights: str) -> Stream:
    """Return a short scan as a shipped network takes it: of its matrix, acceleration and coils."""
    first, _, rest = weights.partition("-")
    acceleration, coils = float(rest.partition("x")[0]), 8 if rest.endswith("coils") else 1
    if first.startswith("patient"):
        made = Path(tempfile.mkdtemp(prefix="mrsim-honest-"))
        return made_by_command(made / "a.stream", first, acceleration, coils)
    return scan(load_phantom("quasar"), ScanProtocol(acceleration=acceleration), seed=2019, frames=FRAMES)


def made_by_command(path: Path, phantom: str, acceleration: float, coils: int) -> Stream:
    """Return a scan that `mrsim simulate` makes."""
    words = [
        "simulate", phantom, "-o", str(path), "--frames", str(FRAMES), "--acceleration", str(acceleration),
        "--coils", str(coils), "--seed", "2019",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "harness.cli", *words], check=True, cwd=ROOT, capture_output=True)
    return opened(path)


def candidates(folder: Path, port: int) -> dict[str, tuple[str, Callable[[], Stream]]]:
    """Return every candidate: its name, the string that makes it, and the scan that it is audited on."""
    found: dict[str, tuple[str, Callable[[], Stream]]] = {
        name: (name, cheats_scan)
        for name in (
            "zero-filled",
            "view-sharing",
            "sliding-window:3",
            "keyhole",
            "cs-tv",
            "cs-wavelet",
            "pdacs",
            *BREAKS,
        )
    }
    found["cg-sense"] = ("cg-sense", lambda: coils_scan("variable-density"))
    found["tgrappa"] = ("tgrappa", lambda: coils_scan("uniform"))
    for weights in shipped():
        found[f"cascade:{weights}"] = (f"cascade:{weights}", lambda weights=weights: network_scan(weights))
    found |= {
        "form: function": (f"python:{ROOT}/examples/function.py:build", cheats_scan),
        "form: object": (f"python:{ROOT}/examples/streaming.py:Newest", cheats_scan),
        "form: module": (f"python:{ROOT}/examples/module.py:build", cheats_scan),
        "form: export": (f"export:{folder}/net.pt2", cheats_scan),
        "form: onnx": (f"onnx:{folder}/net.onnx", cheats_scan),
        "threaded": (f"python:{FORMS}:Threaded", cheats_scan),
        SERVED: (f"mrd://127.0.0.1:{port}/view-sharing?match=repetition", cheats_scan),
    }
    return found


@contextlib.contextmanager
def server() -> Iterator[int]:
    """Serve a reconstructor as MRD; give the port."""
    words = [sys.executable, "-m", "harness.cli", "serve", "view-sharing", "--port", "0"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = re.search(r":(\d+)", process.stdout.readline())
            assert port is not None
            yield int(port[1])
        finally:
            process.terminate()


def exported(folder: Path) -> None:
    """Write the example's network as a program, and as ONNX."""
    for script, name in (("export_program", "net.pt2"), ("export_onnx", "net.onnx")):
        words = [sys.executable, str(ROOT / "examples" / f"{script}.py"), str(folder / name), "32", "32"]
        subprocess.run(words, check=True, capture_output=True)


def play(name: str, string: str, stream: Stream, mode: str) -> dict[str, Any]:
    """Audit a candidate once."""
    memory.FRAMES = WEIGHED if stream.frames <= FRAMES else WEIGHED_FRAMES
    build = candidate_builder(string, mode == "isolated", LIMIT_S, (), 0)
    began, computed = time.monotonic(), time.process_time()
    report = audit_candidate(stream, build, name, fresh_seed())
    verdict, found = report.verdict, ", ".join(report.broken)
    passed = (
        found == BREAKS[name] and not report.not_shown if name in BREAKS else verdict.outcome is Outcome.PASS
    )
    return {
        "candidate": name, "mode": mode, "passed": passed, "reason": verdict.reason,
        "found": [f"{f.audit}: {f.evidence}" for f in report.findings if not f.kept],
        "wall_s": round(time.monotonic() - began, 1), "processor_s": round(time.process_time() - computed, 1),
    }  # fmt: skip


def main() -> None:
    """Audit, write each into the log, and print how many were no PASS."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("times", nargs="?", type=int, default=1)
    command.add_argument("--log", type=Path, default=Path("honest.jsonl"))
    command.add_argument("only", nargs="*")
    asked = command.parse_intermixed_args()
    done = [json.loads(line) for line in asked.log.read_text().splitlines()] if asked.log.exists() else []
    with tempfile.TemporaryDirectory() as made, server() as port:
        exported(Path(made))
        known = candidates(Path(made), port)
        cells = {(name, mode): 0 for name in known if not asked.only or name in asked.only for mode in MODES}
        took: dict[tuple[str, str], float] = {}
        for one in done:
            cells[one["candidate"], one["mode"]] = cells.get((one["candidate"], one["mode"]), 0) + 1
            took[one["candidate"], one["mode"]] = one["wall_s"]
        while min(cells.values()) < asked.times:
            cell = min(cells, key=lambda one: (cells[one], took.get(one, 0.0)))
            string, make = known[cell[0]]
            found = play(cell[0], string, make(), cell[1])
            done.append(found)
            cells[cell], took[cell] = cells[cell] + 1, found["wall_s"]
            with asked.log.open("a") as log:
                log.write(json.dumps(found) + "\n")
            left = sum(max(0, asked.times - count) * took.get(one, 30.0) for one, count in cells.items())
            print(
                *cell,
                found["reason"],
                f"{found['wall_s']} s; {left / 60:.0f} min left",
                sep=" | ",
                flush=True,
            )
    for name, mode in cells:
        played = [one for one in done if (one["candidate"], one["mode"]) == (name, mode)]
        alarms = sum(not one["passed"] for one in played)
        print(f"{name}, {mode}: {alarms} of {len(played)} not passed")
    for name, why in LEFT_OUT.items():
        print(f"{name} is left out: {why}")


if __name__ == "__main__":
    main()
