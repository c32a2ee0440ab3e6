"""Every command has one form: options are added, and are the keyword arguments of what runs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
import mrsim
from harness.cli.arguments import COMMANDS, module_of, parser, read
from harness.cli.show import report

NEEDED = {
    "dataset": ["nsclc-v1"],
    "patient": ["a.npz", "-o", "b"],
    "hardness": ["a"],
    "try": ["a"],
    "export": ["a", "b.npz"],
    "info": ["a"],
    "view": ["a"],
    "simulate": ["quasar", "-o", "a", "--frames", "1"],
    "train": ["a", "-o", "b"],
    "replay": ["a", "b"],
    "check": ["a", "b"],
    "compare": ["a", "b", "--on", "c"],
    "serve": ["a"],
    "report": ["a", "b", "-o", "c"],
    "audit": ["a"],
    "guard": ["a", "b"],
    "convert": ["a", "b"],
}
"""The arguments that a command takes at least."""


@pytest.mark.parametrize("command", COMMANDS)
def test_its_options_are_the_keywords_of_its_run(command: str) -> None:
    run, options, _ = read([command, *NEEDED.get(command, [])])
    assert run is module_of(command).run
    parameters = inspect.signature(run).parameters.values()
    assert {p.kind for p in parameters} <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    keywords = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    required = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty}
    if run is report.run:  # what is played is told by `replay`
        played = inspect.signature(module_of("replay").run).parameters
        keywords |= set(played) - {"report", "audit"}
    assert required <= set(options)
    assert set(options) <= keywords
    assert inspect.signature(run).return_annotation == "int"


def test_the_command_that_writes_how_it_was_called_is_told() -> None:
    argv = ["replay", "a", "b", "--seed", "3"]
    _, options, _ = read(argv)
    assert options["argv"] == tuple(argv)
    assert options["seed"] == 3


def test_no_other_module_sees_a_namespace_of_options() -> None:
    root = Path(harness.__file__).parent
    for path in root.rglob("*.py"):
        text = path.read_text("utf-8")
        found = re.findall(r"Namespace|parse_(?:known_)?args|sys\.argv\[1:\]", text)
        allowed = {"main.py": {"sys.argv[1:]"}}
        allowed |= {name: {"parse_known_args"} for name in ("arguments.py", "config.py")}
        assert set(found) <= allowed.get(path.name, set()), path


def test_a_command_line_is_read_before_what_it_asks_for_is_loaded() -> None:
    code = (
        "import sys\n"
        "from harness.cli.arguments import COMMANDS, parser, read\n"
        "def loaded(*names): return [name for name in names if name in sys.modules]\n"
        "parser([])\n"
        "assert not loaded('numpy', 'harness.cli.replay'), loaded('numpy', 'harness.cli.replay')\n"
        "read(['replay', 'a', 'b'])\n"
        "assert not loaded('torch', 'numba', 'harness.session.replay', 'harness.cli.train')\n"
        "read(['train', 'a', '-o', 'b'])\n"
        "assert not loaded('torch', 'numba')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_parser_of_all_commands_knows_every_option() -> None:
    for command, words in NEEDED.items():
        assert vars(parser().parse_args([command, *words]))["command"] == command


def test_the_package_is_the_command_line_too() -> None:
    def called(module: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert {called(name, "--version").stdout for name in ("mrsim", "harness.cli")} == {
        f"mrsim {mrsim.__version__}\n"
    }
    wrong = called("mrsim", "replai")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
