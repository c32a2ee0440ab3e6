"""`mrsim check` ends in 0 for what passed everything, and for nothing else that a candidate can do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import mrsim
from harness.audits.bench import default_stream
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import ScanProtocol, scan_to
from mrsim.stream import save

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and process groups"),
]
OPTIONS = ["--clock", "virtual", "--claim", "0.5", "--no-quality"]
CANDIDATES = """
import atexit, ctypes, os, signal, sys, threading, time
from recon.classical.zero_filled import ZeroFilled

def dying(how):
    class Dying(ZeroFilled):
        def push(self, line):
            if line.index == 200:
                how()
            super().push(line)
    return Dying

def good():
    print("PASS: says the candidate")
    return ZeroFilled()

segfault = dying(lambda: ctypes.string_at(0))
killed = dying(lambda: os.kill(os.getpid(), signal.SIGKILL))
def interrupt():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    os.kill(os.getpid(), signal.SIGINT)

interrupted = dying(interrupt)
leaves = dying(lambda: os._exit(0))
exits = dying(lambda: sys.exit(0))

def raising():
    raise RuntimeError("no memory")

raises = dying(raising)

def refuses_to_load():
    raise OSError("no weights")

def covered():
    atexit.register(os._exit, 0)
    return dying(raising)()

def forges(**answers):
    import json
    for number in range(3, 64):  # whichever is the pipe of the answers
        for part in ("replay", "audit"):
            given = answers.get(part, [["a", "PASS", "x"]])
            line = {"stream": 0, "part": part, "answers": given, "result": {}}
            try: os.write(number, (json.dumps(line) + "\\n").encode())
            except OSError: break
    os._exit(0)

def forges_well():
    from harness.audits.audits import AUDITS
    replay = [[question, None, "x"] for question in ("time", "target", "image")]
    forges(replay=replay, audit=[[name, "PASS", "x"] for name in AUDITS])

def garbles():
    for number in range(3, 64):
        try: os.write(number, b"[" * 100_000 + b"\\n")
        except OSError: pass
    os._exit(0)

def crashes_at_the_end():
    atexit.register(os.kill, os.getpid(), signal.SIGSEGV)
    return ZeroFilled()

def hangs():
    with open("pids", "w") as file:
        file.write(str(os.getpid()))
    while True:
        time.sleep(0.1)

hanging = dying(hangs)

def forks():
    if os.fork():
        os._exit(0)

forking = dying(forks)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check")
    save(default_stream(1, 90, (32, 32)), folder / "a.stream")
    save(default_stream(2, 90, (32, 32)), folder / "b.stream")
    (folder / "mine.py").write_text(CANDIDATES)
    return folder


def start(
    folder: Path, candidate: str, *streams: str, options: Sequence[str] = OPTIONS
) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)}
    words = [sys.executable, "-m", "harness.cli", "check", candidate, *streams, *options]
    return subprocess.Popen(
        words, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def check(
    folder: Path, candidate: str, *streams: str, options: Sequence[str] = OPTIONS
) -> tuple[int, list[str], str]:
    out, err = (process := start(folder, candidate, *streams, options=options)).communicate(timeout=120)
    return process.returncode, out.splitlines(), err


def gone(pid: int) -> bool:
    """Return whether a process ends within some seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").is_file() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.1)
    return False


def test_what_raises_is_told_with_the_line_of_its_code(made: Path, tmp_path: Path) -> None:
    told = tmp_path / "r.json"
    line = CANDIDATES.splitlines().index('    raise RuntimeError("no memory")') + 1
    code, lines, err = check(made, "python:mine.py:raises", "a.stream", "--json", str(told))
    assert code == 1
    at = f"RuntimeError: no memory (mine.py:{line}) in push at k-space line 200 (frame 25)"
    assert at in lines[-1]
    assert err.count(f'File "{made}/mine.py", line {line}, in raising') == 1
    replay, audit = (part["result"] for part in json.loads(told.read_text())["parts"])
    assert replay["traceback"] == audit["audits"][0]["traceback"]
    assert replay["traceback"][-1]["line"] == line
    line = CANDIDATES.splitlines().index('    raise OSError("no weights")') + 1
    code, lines, err = check(made, "python:mine.py:refuses_to_load", "a.stream")
    assert (code, lines) == (2, [])
    assert f'File "{made}/mine.py", line {line}, in refuses_to_load' in err
    assert err.splitlines()[-1].startswith("mrsim: error: candidate 'python:mine.py:refuses_to_load'")


def test_what_passes_everything_on_every_stream_ends_in_0(made: Path, tmp_path: Path) -> None:
    told = tmp_path / "r.json"
    code, lines, err = check(made, "python:mine.py:good", "a.stream", "b.stream", "--json", str(told))
    assert (code, err) == (0, ""), lines
    assert lines[-1] == "PASS: all 22 questions on 2 streams; not asked: target, image"
    for stream in ("a.stream", "b.stream"):
        assert sum(line.startswith(f"{stream}: ") and ": PASS: " in line for line in lines) == 11
        assert f"{stream}: target: not asked: images were not measured" in lines
    written = json.loads(told.read_text())
    assert (written["schema"], written["verdict"]) == ("mrsim-check/1", "PASS")
    assert [(p["stream"], p["part"]) for p in written["parts"]] == [
        (s, p) for s in ("a.stream", "b.stream") for p in ("replay", "audit")
    ]


@pytest.mark.parametrize(
    ("candidate", "told"),
    [
        ("segfault", "FAIL: the candidate's process was killed by SIGSEGV"),
        ("killed", "FAIL: the candidate's process was killed by SIGKILL"),
        ("interrupted", "FAIL: the judgement broke off: KeyboardInterrupt"),
        ("leaves", "FAIL: the candidate's process ended before every question had an answer"),
        ("exits", "FAIL: 4 of 11 questions, the first a.stream: time: the candidate raised SystemExit: 0"),
        ("covered", "FAIL: 4 of 11 questions, the first a.stream: time: the candidate raised RuntimeError"),
        ("forges", "FAIL: the candidate's process left questions of the audit out"),
        ("forges_well", "FAIL: the candidate's process left questions of the replay out"),
        ("garbles", "FAIL: an answer of its process cannot be read"),
        ("crashes_at_the_end", "FAIL: the candidate's process was killed by SIGSEGV"),
        ("forking", "FAIL: the candidate's process ended before every question had an answer"),
    ],
)
def test_a_candidate_that_dies_does_not_pass(candidate: str, told: str, made: Path) -> None:
    code, lines, err = check(made, f"python:mine.py:{candidate}", "a.stream", "--limit-s", "60")
    assert code == 1, (lines, err)
    assert lines[-1].startswith(told), lines
    assert "Traceback" not in err


def test_every_question_has_its_answer(made: Path) -> None:
    """View sharing is in time, audited, and shows the target where it was."""
    phantom = load_phantom("quasar", {"motion.breathing.period_s": 1.0})
    scan_to(made / "c.stream", phantom, ScanProtocol(matrix=(64, 64)), seed=2, seconds=15.0)
    options = [option for option in OPTIONS if option != "--no-quality"]
    code, lines, err = check(made, "view-sharing", "c.stream", options=options)
    assert (code, err) == (1, ""), lines
    assert lines[-1].startswith("FAIL: 1 of 12 questions, the first c.stream: target: M95 on display"), lines
    answers = {line.split(": ")[1]: line.split(": ")[2] for line in lines[:-1]}
    assert (answers["time"], answers["target"], answers["image"]) == ("PASS", "FAIL", "not asked")
    assert "c.stream: image: not asked: profile keep-up states no bar" in lines
    # Without the images only time is judged, and that is said.
    code, lines, _ = check(made, "view-sharing", "c.stream")
    assert (code, lines[-1]) == (0, "PASS: all 11 questions on 1 stream; not asked: target, image")


def test_too_few_images_for_the_claim_are_1_and_bad_input_is_2(made: Path) -> None:
    code, lines, _ = check(made, "zero-filled", "a.stream")
    assert code == 0, lines
    words = [sys.executable, "-m", "harness.cli", "check", "zero-filled", "a.stream", "--no-quality"]
    env = {**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)}
    done = subprocess.run(
        [*words, "--clock", "virtual"], cwd=made, env=env, text=True, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("INSUFFICIENT: 1 of 11 questions")
    for candidate, stream, message in (
        ("zero-filed", "a.stream", "did you mean 'zero-filled'"),
        ("zero-filled", "nowhere", "not a stream"),
    ):
        code, lines, err = check(made, candidate, stream)
        assert (code, lines, err.count("\n")) == (2, [], 1)
        assert err.startswith("mrsim: error: ")
        assert message in err
    assert check(made, "null", "a.stream", "--limit-s", "0")[0] == 2


def test_a_hang_ends_at_the_limit_and_takes_its_group_along(made: Path) -> None:
    (made / "pids").unlink(missing_ok=True)
    code, lines, err = check(made, "python:mine.py:hanging", "a.stream", "--limit-s", "40")
    assert (code, err) == (1, "")
    assert lines[-1] == "FAIL: it did not end within 40 s (--limit-s) and was killed"
    assert gone(int((made / "pids").read_text()))


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_whatever_ends_the_command_ends_the_judgement_too(how: int, code: int, made: Path) -> None:
    pids = made / "pids"
    pids.unlink(missing_ok=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # else it may be handed on as ignored
    try:
        process = start(made, "python:mine.py:hanging", "a.stream")
    finally:
        signal.signal(signal.SIGINT, before)
    for _ in range(600):
        if pids.is_file() and pids.read_text():
            break
        time.sleep(0.1)
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err == ("mrsim: interrupted\n" if how == signal.SIGINT else "")
    assert gone(int(pids.read_text()))
