"""What can go wrong around a command, and what must hold then: one cell of the table each."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.campaign.commands import Command
from tests.campaign.running import Ran, contents, left_over, run

SKIPPED = "skipped"
ATTEMPTS = 4
USAGE, INTERRUPTED, TERMINATED, KILLED = 2, 130, 143, -9
ODD = "a b\u00e9'\"$x-\x1b\udcff"
"""A name of blanks, quotes, an accent, a control character, and a byte that is no UTF-8."""


class Bench:
    """Play a command under faults.

    Parameters
    ----------
    command
        What is played.
    inputs
        Folder of everything that commands read.
    scratch
        Folder to work in.
    moments
        How often it is killed.
    """

    def __init__(self, command: Command, inputs: Path, scratch: Path, moments: int) -> None:
        self.command, self.inputs, self.moments = command, inputs, moments
        self.scratch = scratch
        self.wrong: list[str] = []
        self.codes: list[str] = []
        folder = self._fresh("reference")
        self.reference = self._run(folder, env={})
        self.wrong += [f"undisturbed: {one}" for one in self.reference.wrong(*command.codes)]
        self.whole = self._contents(folder)

    def play(self, fault: str) -> str:
        """Return the cell of a fault: its exit codes, or what is wrong.

        Parameters
        ----------
        fault
            One of `FAULTS`.
        """
        self.codes, before = [], len(self.wrong)
        told = FAULTS[fault](self)
        if len(self.wrong) > before:
            return "broken"
        return told or ", ".join(dict.fromkeys(self.codes))

    # What faults are made of.

    def _fresh(self, name: str) -> Path:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _words(self, source: Path | None, target: Path | None) -> list[str]:
        pairs = {"{source}": str(source), "{target}": str(target)}
        words = self.command.words.split()
        for sign, path in pairs.items():
            words = [word.replace(sign, path) for word in words]
        return words

    def _run(
        self,
        folder: Path,
        *,
        source: Path | None = None,
        target: Path | None = None,
        env: dict[str, str] | None = None,
        streams: str = "",
        kill: tuple[int, float] | None = None,
    ) -> Ran:
        # It stands in the folder: some files hold the command that makes them again.
        words = self._words(
            source or self.inputs / self.command.source, target or Path(self.command.target or "none")
        )
        ran = run(words, folder, env=env, streams=streams, kill=kill)
        self.codes.append(str(ran.code))
        return ran

    def _contents(self, folder: Path) -> dict[str, str]:
        differs = self.command.differs if self.command.same else ("",)
        return contents(folder / self.command.target, differs) if self.command.target else {}

    def _hold(self, what: str, ran: Ran, *codes: int) -> None:
        self.wrong += [f"{what}: {one}" for one in ran.wrong(*codes)]

    def _nothing_left(self, what: str, folder: Path, *, whole: bool) -> None:
        if left := left_over(folder):
            self.wrong.append(f"{what}: {left} is left")
        if whole and self._contents(folder) != self.whole:
            self.wrong.append(f"{what}: other bytes: {self._different(folder)}")

    def _is_whole(self, folder: Path) -> bool:
        return bool(self.command.target) and self._contents(folder) == self.whole

    def _different(self, folder: Path) -> list[str]:
        found = self._contents(folder)
        return sorted(k for k in {*found, *self.whole} if found.get(k) != self.whole.get(k))[:5]

    def _none_or_whole(self, what: str, folder: Path) -> None:
        path = folder / self.command.target
        if self.command.target and not self.command.goes_on and path.exists():
            if self._contents(folder) != self.whole:
                self.wrong.append(f"{what}: half of it: {self._different(folder)}")
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def no_space(bench: Bench) -> str:
    """Fill the disk to its last byte, and let the output go to a device that is full."""
    if not Path("/dev/full").exists():
        return SKIPPED
    if bench.command.target:
        with mounted(bench.scratch / "full") as folder:
            if folder is None:
                return SKIPPED
            _fill(folder / "filling")
            ran = bench._run(folder)
            bench._hold("a full disk", ran, USAGE)
            bench._nothing_left("a full disk", folder, whole=False)
    folder = bench._fresh("full-output")
    ran = bench._run(folder, streams=">/dev/full")
    bench._hold("a full output", ran, USAGE)
    return ""


def read_only(bench: Bench) -> str:
    """Stand in, and write to, a file system that takes nothing."""
    with mounted(bench.scratch / "ro", read_only=True) as folder:
        if folder is None:
            return SKIPPED
        ran = bench._run(folder)
        bench._hold("read-only", ran, *((USAGE,) if bench.command.target else bench.command.codes))
        return ""


def closed(streams: str) -> Callable[[Bench], str]:
    """Start it with a standard stream closed."""

    def fault(bench: Bench) -> str:
        folder = bench._fresh("closed")
        ran = bench._run(folder, streams=streams)
        bench._hold(f"closed {streams}", ran, *bench.command.codes)
        bench._nothing_left(f"closed {streams}", folder, whole=True)
        return ""

    return fault


def signalled(number: signal.Signals, code: int) -> Callable[[Bench], str]:
    """End it by a signal in mid-work."""

    def fault(bench: Bench) -> str:
        for share in (0.15, 0.6):
            after = bench.reference.seconds * share
            for _ in range(ATTEMPTS):
                folder = bench._fresh("signalled")
                ran = bench._run(folder, kill=(number, after))
                if not ran.died_starting(number):
                    break
                bench.codes.pop()  # a busy host starts late
                after *= 2
            # Once all is said, a signal ends it by itself, as a shell has it in the same code.
            late = ran.code == -number and bench._is_whole(folder)
            bench._hold(number.name, ran, -number if late else code, *bench.command.codes)
            bench._nothing_left(number.name, folder, whole=False)
            bench._none_or_whole(number.name, folder)
        return ""

    return fault


def killed(bench: Bench) -> str:
    """Kill it at so many moments, and let it go on: the same bytes come."""
    folder = bench._fresh("killed")
    for moment in range(bench.moments):
        after = bench.reference.seconds * (moment + 0.5) / bench.moments
        ran = bench._run(folder, kill=(signal.SIGKILL, after))
        bench._hold("SIGKILL", ran, KILLED, *bench.command.codes)
        bench._none_or_whole("SIGKILL", folder)
    last = bench._run(folder)
    bench._hold("after SIGKILL", last, *bench.command.codes)
    if bench._contents(folder) != bench.whole:
        bench.wrong.append(f"after SIGKILL: other bytes: {bench._different(folder)}")
    return ""


def replaced(kind: str) -> Callable[[Bench], str]:
    """Let what it writes, and what it reads, be no file: refused at once, and it is what it was."""

    def fault(bench: Bench) -> str:
        folder = bench._fresh(kind)
        command = bench.command
        if command.target:
            target = folder / command.target
            _make(kind, target)
            before = os.lstat(target)
            ran = bench._run(folder, target=target)
            bench._hold(f"to a {kind}", ran, USAGE)
            after = os.lstat(target)
            if (before.st_mode, before.st_ino) != (after.st_mode, after.st_ino):
                bench.wrong.append(f"to a {kind}: it is another file now")
            bench._nothing_left(f"to a {kind}", folder, whole=False)
            target.unlink()
        if command.source:
            source = folder / f"odd-{command.source}"
            if kind == "link":
                source.symlink_to(bench.inputs / command.source)
            else:
                _make(kind, source)
            ran = bench._run(folder, source=source)
            fine = command.codes if kind == "link" else (USAGE,)
            bench._hold(f"from a {kind}", ran, *fine)
            bench._nothing_left(f"from a {kind}", folder, whole=False)
        return "" if command.target or command.source else "takes none"

    return fault


def odd_names(bench: Bench) -> str:
    """Read and write under names that no terminal can show, where the locale has no accents."""
    folder = bench._fresh("names") / ODD
    folder.mkdir()
    source = folder / f"{ODD}{bench.command.source}"
    if bench.command.source:
        found = bench.inputs / bench.command.source
        shutil.copytree(found, source) if found.is_dir() else shutil.copy(found, source)
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    ran = bench._run(folder, source=source, env=env)
    bench._hold("odd names", ran, *bench.command.codes)
    bench._nothing_left("odd names", folder, whole=bench.command.name not in NAMED)
    return ""


NAMED = ("simulate", "dataset", "train", "patient", "hardness")
"""Commands whose files hold the name of what they were made from."""


def no_home(bench: Bench) -> str:
    """Take the home away; the cache of kernels stays, so that none is compiled anew."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    for home in ("", "/nonexistent"):
        folder = bench._fresh("homeless")
        ran = bench._run(folder, env={"HOME": home, "XDG_CACHE_HOME": cache, "MPLCONFIGDIR": ""})
        bench._hold("no HOME", ran, *bench.command.codes)
        bench._nothing_left("no HOME", folder, whole=True)
    return ""


FAULTS: dict[str, Callable[[Bench], str]] = {
    "no space": no_space,
    "read-only": read_only,
    "stdout closed": closed(">&-"),
    "stderr closed": closed("2>&-"),
    "SIGINT": signalled(signal.SIGINT, INTERRUPTED),
    "SIGTERM": signalled(signal.SIGTERM, TERMINATED),
    "SIGKILL": killed,
    "pipe": replaced("pipe"),
    "device": replaced("device"),
    "link": replaced("link"),
    "odd names": odd_names,
    "no HOME": no_home,
}


@contextmanager
def mounted(folder: Path, *, read_only: bool = False) -> Iterator[Path | None]:
    """Mount a small file system of its own; None where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = "size=1m,ro" if read_only else "size=1m"
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if tried.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def _make(kind: str, path: Path) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(path.with_name("elsewhere"))
    else:
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # as /dev/zero
        except PermissionError:
            path.symlink_to("/dev/zero")
