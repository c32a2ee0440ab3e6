"""Set up and run the quick part of the suite on the newest other Python that is found here.

    python scripts/other_pythons.py            # make test-newest

Pythons are looked for on the path and beside pyenv's own. The set-up keeps to constraints.txt, from wheels
alone: where a pin has none for that Python, or no other Python is here, or the time that is allowed runs out,
this is said, and the exit code is 0. It is 1 only where the set-up was complete and a test failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
NAMES = tuple(f"python3.{minor}" for minor in range(11, 30))


def candidates() -> Iterator[Path]:
    """Yield what may be a Python, each once."""
    seen = set[Path]()
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(name) for name in NAMES]
    for path in [*(Path(p) for p in found if p), *pyenv.glob("*/bin/python3")]:
        if path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def version_of(python: Path) -> tuple[int, int] | None:
    """Return major and minor version of CPython; None where it is another or does not start."""
    code = "import sys; print(sys.implementation.name, *sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.fullmatch(r"cpython (\d+) (\d+)\s*", done.stdout)
    return None if found is None else (int(found[1]), int(found[2]))


def newest_first(pythons: Iterator[Path]) -> list[tuple[tuple[int, int], Path]]:
    """Return the Pythons that are new enough and not of this one's version, the newest first."""
    versions = [(version_of(python), python) for python in pythons]
    kept = [(v, python) for v, python in versions if v and v >= OLDEST and v != sys.version_info[:2]]
    return sorted(kept, reverse=True)


def run(command: Sequence[str | Path], until_s: float, quiet: bool = True) -> tuple[int | None, str]:
    """Run a command in the root; return its exit code, None where its time ran out, and its errors."""
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, start_new_session=True,
        stdout=subprocess.DEVNULL if quiet else None, stderr=subprocess.PIPE if quiet else None,
    )  # fmt: skip
    try:
        _, errors = process.communicate(timeout=max(0.0, until_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None, "the time that is allowed ran out"
    finally:
        if process.poll() is None:  # with whatever it has started
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, errors or ""


def set_up(python: Path, folder: Path, until_s: float) -> str:
    """Make an environment with the pinned versions; return why it cannot be, or nothing."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    pins = ["--no-compile", "--only-binary", ":all:", "-c", "constraints.txt", "-e", ".[dev]"]
    for command in ([str(python), "-m", "venv", "--clear", str(folder)], [*pip, *pins]):
        code, errors = run(command, until_s)
        if code != 0:
            told = [line for line in errors.splitlines() if line.startswith("ERROR")] or errors.splitlines()
            return told[-1] if told else "it failed and did not say why"
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the quick part on the newest Python for which the pins have wheels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="of environments (%(default)s)")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="what is run (%(default)s)")
    parser.add_argument("--within-s", type=float, default=900.0, help="time for all of it (%(default)s)")
    args = parser.parse_args(argv)
    until_s = time.monotonic() + args.within_s
    others = newest_first(candidates())
    if not others:
        here = ".".join(map(str, sys.version_info[:2]))
        print(f"no other Python here than {here}: nothing else is tested")
    for version, python in others:
        name = f"Python {'.'.join(map(str, version))} ({python})"
        folder = args.folder / f"venv-{'.'.join(map(str, version))}"
        if why := set_up(python, folder, until_s):
            print(f"{name}: not tested, it cannot be set up with constraints.txt: {why}", flush=True)
            continue
        print(f"{name}: the quick part of the suite", flush=True)
        command = [
            folder / "bin" / "python",
            "-m",
            "pytest",
            "--benchmark-skip",
            "-m",
            "not slow",
            "-q",
            "-x",
        ]
        code, why = run([*command, *args.tests], until_s, quiet=False)
        if code is None:
            print(f"{name}: no test has failed so far, but {why}")
        return 0 if code is None else int(code != 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
