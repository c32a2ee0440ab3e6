"""A signal that comes while a command is still being imported, or when all is said, leaves no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import mrsim

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

PROGRAM = """
import _signal, os, sys

which, number, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

class At:
    def find_spec(self, name, path=None, target=None):
        if name == which:
            os.kill(os.getpid(), number)

sys.meta_path.insert(0, At())
sys.argv = ["mrsim", *words]
from harness.cli.main import main
code = main()
if which == "end":
    os.kill(os.getpid(), number)
sys.exit(code)
"""


def ran(which: str, number: int, *words: str) -> tuple[int, str]:
    """Return the exit code and the errors of a command that gets a signal as it imports a module."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, which, str(int(number)), *words],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("which", ["harness.cli.process", "typing", "subprocess", "mrsim.errors", "end"])
def test_before_and_after_all_ctrl_c_ends_it_without_a_word(which: str) -> None:
    assert ran(which, signal.SIGINT, "phantoms") == (-signal.SIGINT, "")


@pytest.mark.parametrize("which", ["harness.cli.arguments", "argparse", "harness.cli.scan.phantoms", "numpy"])
def test_while_the_command_is_imported_ctrl_c_is_told(which: str) -> None:
    assert ran(which, signal.SIGINT, "phantoms") == (130, "mrsim: interrupted\n")


CHILD = """
import os, sys
from harness.cli.process import started
started._QUIET += '''
import os, sys
class At:
    def find_spec(self, name, path=None, target=None):
        if name == "{which}":
            os.kill(os.getppid(), {number})
            import time
            time.sleep(60)
sys.meta_path.insert(0, At())
'''
sys.argv = ["mrsim", "guard", "view-sharing", "zero-filled", "none.stream"]
from harness.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("which", ["harness.cli.main", "harness.cli.process.parent", "harness.cli.arguments"])
@pytest.mark.parametrize(("number", "code", "told"), [(15, 143, "ended by SIGTERM"), (2, 130, "interrupted")])
def test_the_parent_is_ended_while_its_child_starts(which: str, number: int, code: int, told: str) -> None:
    program = CHILD.format(which=which, number=number)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stderr, done.stdout) == (code, f"mrsim: {told}\n", "")


IN_PLACES = """
import ctypes, os, signal, sys, time
number, where = int(sys.argv[1]), sys.argv[2]

def here(*_):
    os.kill(os.getpid(), number)
    time.sleep(0.01)

class Gone:
    __del__ = here

def command():
    if where == "callback":
        ctypes.CFUNCTYPE(None)(here)()
    elif where == "finalizer":
        Gone()
    else:
        exec("here()", {"here": here})
    time.sleep(60)
    return 0

from harness.cli.process.streams import conclude
code = conclude(command)
assert sys.unraisablehook is sys.__unraisablehook__
sys.exit(code)
"""


@pytest.mark.parametrize("where", ["callback", "finalizer", "exec"])
@pytest.mark.parametrize(("number", "code", "told"), [(15, 143, "ended by SIGTERM"), (2, 130, "interrupted")])
def test_a_signal_counts_wherever_it_comes(
    tmp_path: Path, where: str, number: int, code: int, told: str
) -> None:
    """Nobody can raise through a callback or a finalizer; an `exec` marks Python itself as interrupted."""
    (tmp_path / "places.py").write_text(IN_PLACES)
    done = subprocess.run(
        [sys.executable, "-m", "places", str(number), where],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(mrsim.__file__).parent.parent)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, f"mrsim: {told}\n")
