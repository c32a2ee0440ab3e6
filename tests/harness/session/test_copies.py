"""A copy of the bench that a candidate makes (`os.fork`) ends where it comes back, and writes nothing.

Each candidate forks once, guarded by a file, so that not even a bench that lets copies play on fills a host.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.audits.bench import default_stream
from harness.realtime.copies import COPY
from mrsim.stream import save

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")]

FORKS = """
import os
from recon.classical.zero_filled import ViewSharing

def fork_once(stage):
    if os.environ["STAGE"] != stage:
        return
    try:
        os.close(os.open(os.environ["ONCE"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if number := os.fork():
        with open(os.environ["ONCE"], "w") as file:
            file.write(str(number))

fork_once("import")

class Forks(ViewSharing):
    def __init__(self):
        fork_once("build")
        super().__init__()
    def open(self, header, emit):
        fork_once("open")
        super().open(header, emit)
    def push(self, readout):
        if readout.index == 40:
            fork_once("push")
        super().push(readout)
    def close(self):
        fork_once("close")
        super().close()
"""
PLAYS = """
import json, os, sys
import harness.cli.main
import mrsim.files.writing
from harness.audits import memory

memory.FRAMES = 64
real, wrote = mrsim.files.writing.write_json, []
def write_json(path, values):
    print("wrote", os.getpid(), flush=True)
    real(path, values)
mrsim.files.writing.write_json = write_json
for command, stage in json.loads(sys.argv[1]):
    once = os.path.abspath(f"{command}-{stage}")
    os.environ |= {"STAGE": stage, "ONCE": once}
    words = {
        "replay": ["replay", "a.stream", "python:forks.py:Forks", "--scenario", "lockstep", "--no-quality"],
        "audit": ["audit", "python:forks.py:Forks", "a.stream"],
        "guard": ["guard", "view-sharing", "python:forks.py:Forks", "a.stream", "--images", "20"],
    }[command]
    harness.cli.main.main([*words, "--json", f"{once}.json"])
    with open(once) as file:
        copy = int(file.read())
    _, status = os.waitpid(copy, 0)
    print("came back", os.getpid(), command, stage, os.waitstatus_to_exitcode(status), flush=True)
"""
STAGES = [
    *(("replay", stage) for stage in ("import", "build", "open", "push", "close")),
    ("audit", "push"),
    ("guard", "open"),
]
LIMIT_S = 120


def test_a_copy_of_the_bench_ends_and_does_not_play_on(tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(FORKS)
    save(default_stream(3, 40, (16, 16)), tmp_path / "a.stream")
    words = [sys.executable, "-c", PLAYS, json.dumps(STAGES)]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as playing:
        try:
            out, said = playing.communicate(timeout=LIMIT_S)
        finally:  # with all copies, if there are any left
            with pytest.raises(ProcessLookupError):
                os.killpg(playing.pid, signal.SIGKILL)
    lines, ours = out.splitlines(), str(playing.pid)
    back = [line.split()[2:] for line in lines if line.startswith("came back")]
    assert back == [[ours, *played, str(COPY)] for played in STAGES], out + said
    assert [line.split()[1] for line in lines if line.startswith("wrote")] == [ours] * len(STAGES)
    verdicts = [
        line for line in lines if line.startswith(("PASS: ", "FAIL: ", "INVALID: ", "INSUFFICIENT: "))
    ]
    assert len(verdicts) == len(STAGES)
