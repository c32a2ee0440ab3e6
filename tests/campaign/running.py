"""One run of a command in a process of its own, and what it left: files, processes and words."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
LIMIT_S = 900.0
SURVIVORS_S = 20.0  # how long what a command started may outlive it, where it was killed
PARTIAL = ".partial-"
PROGRESS = re.compile(r"^[^\n]+: \d+ of \d+ after \d+ s$")
"""How far a long command says that it is."""


@dataclass(frozen=True)
class Ran:
    """Hold what became of a run.

    Parameters
    ----------
    code
        Exit code; None where it was ended because it took too long.
    error
        What it wrote on standard error.
    seconds
        How long it took.
    survivors
        Processes that it had started and that went on.
    """

    code: int | None
    error: str
    seconds: float
    survivors: int

    def died_starting(self, number: int) -> bool:
        """Return whether Python itself died of a signal, before it came to a line of ours.

        Parameters
        ----------
        number
            The signal.
        """
        silent, told = self.code == -number and not self.error, self.error.endswith("\nKeyboardInterrupt\n")
        return silent or (told and self.code in (1, -number) and str(ROOT) not in self.error)

    def wrong(self, *codes: int, lines: int = 1) -> list[str]:
        """Return what of it breaks a promise.

        Parameters
        ----------
        codes
            Exit codes that it may have.
        lines
            Lines that it may write on standard error.
        """
        found = []
        if self.code is None:
            found.append("hang")
        elif self.code not in codes:
            found.append(f"code {self.code}")
        if "Traceback" in self.error:
            found.append("traceback")
        told = [line for line in self.error.splitlines() if not PROGRESS.match(line)]
        if len(told) > lines:
            found.append(f"{len(told)} lines")
        if self.survivors:
            found.append(f"{self.survivors} processes left")
        return [f"{one}: {self.error[-300:]!r}" for one in found]


def run(
    words: list[str],
    folder: Path,
    *,
    env: dict[str, str] | None = None,
    streams: str = "",
    kill: tuple[int, float] | None = None,
) -> Ran:
    """Run a command and wait for it.

    Parameters
    ----------
    words
        Its arguments.
    folder
        Where it stands.
    env
        Changes of its environment; an empty value takes a variable away.
    streams
        What a shell does to its streams, such as ">&-".
    kill
        A signal, and after how many seconds it comes.
    """
    around = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    around = {key: value for key, value in around.items() if value}
    line = shlex.join([sys.executable, "-m", "harness.cli"]) + ' "$@" ' + streams
    begun = time.monotonic()
    child = subprocess.Popen(
        ["bash", "-c", f"exec {line}", "mrsim", *words],
        cwd=folder,
        env=around,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        if kill is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(kill[1])
            if child.poll() is None:
                child.send_signal(kill[0])
        _, error = child.communicate(timeout=LIMIT_S)
        code: int | None = child.returncode
    except subprocess.TimeoutExpired:
        code, error = None, b""
    seconds = time.monotonic() - begun
    left = _survivors(child.pid, SURVIVORS_S if code is not None else 0)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    child.poll()
    return Ran(code, error.decode(errors="replace"), seconds, len(left))


def _survivors(session: int, seconds: float) -> list[int]:
    until = time.monotonic() + seconds
    while left := list(_of_session(session)):
        if time.monotonic() >= until:
            return left
        time.sleep(0.05)
    return []


def _of_session(session: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    yield int(entry.name)


def contents(path: Path, differs: tuple[str, ...] = ()) -> dict[str, str]:
    """Return a hash of each file of a place, by name; of those that may differ, that they are there."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {
        str(file.relative_to(path)) if file != path else "": "there"
        if file.name.endswith(differs or ("\0",))
        else hashlib.sha256(_told(file)).hexdigest()
        for file in files
    }


def _told(file: Path) -> bytes:
    """Return what is in a file that is the same each time: of weights all but their record."""
    if file.suffix != ".npz":
        return file.read_bytes()
    with np.load(file) as arrays:
        return b"".join(name.encode() + arrays[name].tobytes() for name in arrays.files if name != "record")


def left_over(folder: Path) -> list[str]:
    """Return what is half-written in a folder."""
    return sorted(p.name for p in folder.rglob("*") if PARTIAL in p.name)
