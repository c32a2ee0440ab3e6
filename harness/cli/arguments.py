"""How the command line is read: the parser of all commands, and what several of them ask and say.

Every command is a module of this folder, or of a room in it, with `add_options(command)` and
`run(**options)`. Only the one that is asked for is imported, and it imports what it works with when it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import keyword
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import mrsim
from harness.cli.config import config_file, with_config
from mrsim.errors import InputError

if TYPE_CHECKING:
    from harness.candidates.seen import Overlap

GROUPS = {
    "begin here": {
        "try": "from a file of yours to a page, a moving picture and a sentence in millimetres",
        "demo": "replay, judge and draw what is shipped: the whole of it in under 90 s",
        "doctor": "say what this host can measure, and what is installed",
    },
    "make scans": {
        "phantoms": "list the phantoms that are shipped, or draw one",
        "patient": "make a patient of a cine, to be scanned like a phantom",
        "hardness": "say how hard an anatomy is: rank, and memory score",
        "simulate": "scan a phantom, or a patient, into a folder",
        "dataset": "make many streams, reproducibly, here or on a cluster",
        "convert": "turn a stream into an MRD or fastMRI file, or back",
    },
    "make and serve reconstructors": {
        "train": "train a cascade on stored streams",
        "serve": "serve a reconstructor to other programs, over MRD",
    },
    "judge them": {
        "replay": "replay a stream into a reconstructor and judge it",
        "audit": "look for what a reconstructor must not do",
        "compare": "set several candidates side by side on several streams",
        "table": "the experiment of Dietz 2019: patients against all opponents, in one table",
        "check": "pass or not, for CI: replay and audit on every stream, exit code 0 or 1",
        "guard": "fail where new code takes longer than the old, both run in turns",
    },
    "see what was found": {
        "report": "replay, audit, and write a page to look at and to show",
        "info": "say what a stream, a patient, a result, weights or images hold",
        "view": "draw a scan or images: a window, or a PNG where there is no screen",
        "export": "write the images of a scan or of a replay: NIfTI, MHA, DICOM, arrays, PNG, GIF, MP4",
    },
}
"""Commands as the help shows them, by what they are for."""
COMMANDS = {name: what for group in GROUPS.values() for name, what in group.items()}
"""Name of each command, which is that of its module, and what it does."""
WRITTEN = {
    "json_file": "--json", "samples": "--samples", "images": "--images", "png": "--png",
    "pulseq": "--pulseq", "losses": "--losses", "log_file": "--log",
}  # fmt: skip
"""Options that name a file to write, by keyword."""
ROOMS = {
    "scan": ("phantoms", "patient", "hardness", "simulate", "dataset", "convert"),
    "show": ("demo", "try", "report", "export", "info", "view"),
}
"""Which commands have their module in a room of this folder."""
PROFILES = ("keep-up", "dietz2019", "paper", "one-TR", "tracking", "gating")
"""Names of the profiles that are shipped, for the help; their module takes longer to load."""
FIRST_STEP = """a first step:
  mrsim demo                                 a scan, three reconstructors, pictures and a table
  mrsim try python:FILE.py:FUNCTION          the same for a reconstructor of yours
  mrsim COMMAND --help                       what a command takes"""


class Noted(NamedTuple):
    """Say where is noted what a command does: on standard error, in a file, or nowhere."""

    verbose: bool
    file: str | None


class _Parser(argparse.ArgumentParser):
    """Say what is wrong in one line, and of a number what it should be."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", int, _whole)
        self.register("type", float, _number)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse an unknown option of a command before a value that follows it is taken for an argument."""
        for word in () if self._subparsers or args is None else takewhile("--".__ne__, args):
            option, known = word.partition("=")[0], self._option_string_actions
            if option.startswith("--") and not any(name.startswith(option) for name in known):
                close = get_close_matches(option, known, n=1, cutoff=0.75)
                self.error(f"unknown option {option}{f'; did you mean {close[0]}?' if close else ''}")
        return super().parse_known_args(args, namespace)


class _Top(_Parser):
    """Show the commands in groups, by what they are for, and a first step."""

    def format_help(self) -> str:
        formatter = self._get_formatter()
        formatter.add_usage("%(prog)s COMMAND ... [options]", (), ())
        formatter.add_text(self.description)
        for group, commands in GROUPS.items():
            formatter.start_section(group)
            for name, what in commands.items():
                formatter.add_argument(argparse.Action([], name, help=what, metavar=name))
            formatter.end_section()
        formatter.start_section("options")
        for action in self._actions:
            if action.option_strings:
                formatter.add_argument(action)
        formatter.end_section()
        return f"{formatter.format_help()}\n{FIRST_STEP}\n"


class Asked(NamedTuple):
    """Hold what a command line asks for.

    Parameters
    ----------
    run
        Runs the command.
    options
        Its keyword arguments.
    noted
        Where is noted what it does.
    """

    run: Callable[..., int]
    options: dict[str, Any]
    noted: Noted


def read(argv: Sequence[str]) -> Asked:
    """Return the command that is asked for, and its options, which are its keyword arguments.

    Parameters
    ----------
    argv
        Arguments.

    Raises
    ------
    InputError
        If they are no command, or a file of options is wrong.
    """
    for word in argv:
        if "\n" in word or "\r" in word:  # what is told of it takes one line
            raise InputError(f"{word[:80]!r}: a line break in an argument; choose another name")
    asked = next((word for word in argv if not word.startswith("-")), "")
    if argv and argv[0] == asked and asked not in COMMANDS:
        close = get_close_matches(asked, COMMANDS, n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"{asked[:80]!r} is no command{hint} (see mrsim --help)")
    words = list(argv)
    file = config_file(words)
    if file is not None and asked in COMMANDS:
        words = with_config(words, file, command_parser(asked), COMMANDS)
    found, unknown = parser([asked]).parse_known_args(words)
    options = vars(found)
    if unknown:
        raise InputError(
            f"unrecognized arguments: {' '.join(unknown)} (see mrsim {options['command']} --help)"
        )
    if options.pop("config_file") is not None and file is None:
        raise InputError("--config: write it out, and before any --")
    noted = Noted(options.pop("verbose"), options.pop("log_file"))
    _check_written({**options, "log_file": noted.file})
    run: Callable[..., int] = module_of(options.pop("command")).run
    if "argv" in options:  # of a command that says in what it writes how it was called
        options["argv"] = tuple(argv)
    return Asked(run, options, noted)


def _check_written(options: Mapping[str, Any]) -> None:
    """Refuse to write into a file without a name, or over one that the same call reads."""
    for key, option in WRITTEN.items():
        target = options.get(key)
        if target == "":
            raise InputError(f"{option}: expected the name of a file, and it is empty")
        if not isinstance(target, str) or not os.path.isfile(target):
            continue
        for other, value in options.items():
            for word in value if isinstance(value, list) else [value]:
                if other == key or not isinstance(word, str):
                    continue
                # A candidate's name holds a file, such as cascade:weights.npz?scale=fit.
                names = (word, word.partition(":")[2].partition("?")[0])
                if any(name and os.path.exists(name) and os.path.samefile(name, target) for name in names):
                    raise InputError(f"{option} {target}: the same call reads it; choose another name")


def parser(commands: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Return the parser.

    Parameters
    ----------
    commands
        Commands whose options are wanted; of the others it knows the names.
    """
    about = "A real-time MR scanner in software, and the bench for reconstructors that must keep up with it."
    top = _Top(prog="mrsim", description=about)
    top.add_argument("--version", action="version", version=f"mrsim {mrsim.__version__}")
    top.add_argument(
        "--completion", action=_Completion, choices=("bash", "zsh"), default=argparse.SUPPRESS,
        help="print a script that completes commands, options and choices in a shell, and exit",
    )  # fmt: skip
    subparsers = top.add_subparsers(metavar="COMMAND", dest="command", required=True, parser_class=_Parser)
    for name, what in COMMANDS.items():
        command = subparsers.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        if name in commands:
            _add_all(name, command)
    return top


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command alone.

    Parameters
    ----------
    name
        The command.
    """
    command = _Parser(prog=f"mrsim {name}")
    _add_all(name, command)
    return command


def _add_all(name: str, command: argparse.ArgumentParser) -> None:
    module_of(name).add_options(command)
    every = command.add_argument_group("of every command")
    every.add_argument(
        "--config", dest="config_file", metavar="FILE.toml",
        help=f"options by key under [{name}]; what is typed wins over them",
    )  # fmt: skip
    every.add_argument("--verbose", action="store_true", help="say on standard error what is done")
    every.add_argument(
        "--log", dest="log_file", metavar="FILE.log", help="write down what is done, with times"
    )


class _Completion(argparse.Action):
    """Print the script of a shell, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, _: Any, values: Any, option: Any = None) -> NoReturn:
        from harness.cli.completion import script

        print(script(values, {name: command_parser(name) for name in COMMANDS}), end="")
        parser.exit()


def module_of(command: str) -> Any:
    """Import the module of a command."""
    room = next((f"{room}." for room, commands in ROOMS.items() if command in commands), "")
    word = f"{command}_" if keyword.iskeyword(command) else command  # `try` names no module
    return importlib.import_module(f"harness.cli.{room}{word}")


def add_candidate(command: argparse.ArgumentParser) -> None:
    """Add the candidate."""
    from harness.candidates.registry import known

    command.add_argument("candidate", metavar="CANDIDATE", help=", ".join(known()))


def add_bar(command: argparse.ArgumentParser) -> None:
    """Add what a replay is judged by."""
    command.add_argument("--clock", choices=("real", "virtual"), default="real", help="%(default)s")
    command.add_argument(
        "--profile", default="keep-up", metavar=one_of(*PROFILES, "FILE.toml"),
        help="latency limits (%(default)s)",
    )  # fmt: skip
    command.add_argument("--downstream-ms", type=float, metavar="MS", help="delay after the image")
    command.add_argument(
        "--claim", type=float, help="share of images that must meet the deadline (the profile's)"
    )
    command.add_argument("--repeat", type=count, default=1, help="replays judged together (%(default)s)")
    command.add_argument("--no-quality", action="store_true", help="measure time alone")


def one_of(*names: str) -> str:
    """Return how the help lists what an option takes, where what runs the command refuses all else."""
    return f"{{{','.join(names)}}}"


def add_isolate(command: argparse.ArgumentParser) -> None:
    """Add where a candidate runs, and for how long."""
    command.add_argument("--isolate", action="store_true", help="run the candidate in a process of its own")
    command.add_argument(
        "--limit-s", type=float, metavar="S", help="with --isolate for one line, else for the whole replay"
    )


def add_allow_seen(command: argparse.ArgumentParser) -> None:
    """Add whether a candidate may be judged on what it was made from."""
    command.add_argument(
        "--allow-seen", action="store_true", help="judge a candidate on lines that it was made from, too"
    )


def add_seed(command: argparse.ArgumentParser, default: int | str = 0) -> None:
    """Add the seed; "random" draws one that nobody can guess, which is told."""
    command.add_argument(
        "--seed",
        type=seed_of,
        default=default,
        metavar="N|random",
        help="reproduces everything (%(default)s)",
    )


def add_json(command: argparse.ArgumentParser) -> None:
    """Add the file for the result."""
    command.add_argument("--json", dest="json_file", metavar="FILE", help="write the result as JSON, too")


def add_overwrite(command: argparse.ArgumentParser) -> None:
    """Add whether a stream may be replaced."""
    command.add_argument("--overwrite", action="store_true", help="replace a stream that is there already")


def tell_seen(found: Iterable[Overlap | None]) -> None:
    """Print what candidates were made from: beside the figures, or as a warning where they may know it."""
    for one in found:
        if one is not None and one.told is not None:
            warned = one.answer != "none"
            text = f"mrsim: warning: {one.told}" if warned else one.told
            print(text, file=sys.stderr if warned else sys.stdout, flush=True)


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    with contextlib.suppress(ValueError):
        if 0 <= int(text) < 1 << 63:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text[:80]}: expected a whole number of 0 or more, below 2^63")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]}: expected a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]}: expected a number") from None


def seed_of(text: str) -> int:
    """Read a seed: a whole number of up to 128 bits, or "random" for one that is drawn."""
    from mrsim.seeds import MAX_SEED, fresh_seed

    if text == "random":
        return fresh_seed()
    with contextlib.suppress(ValueError):
        if 0 <= int(text) <= MAX_SEED:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text[:80]}: expected a whole number from 0 to 2^128 - 1, or random")


def add_changes(command: argparse.ArgumentParser) -> None:
    """Add `--set`, which changes what is scanned by key."""
    command.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the phantom, such as motion.breathing.amplitude_mm=20, or the patient, such as "
        "drive=breaths; may be repeated",
    )


def settings(pairs: list[str]) -> dict[str, Any]:
    """Read `key=value` pairs; a value is TOML, and text where it is not.

    Raises
    ------
    InputError
        If a pair has no `=`, or no key.
    """
    from mrsim.files.toml import parse_toml

    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r}: expected key=value, such as motion.breathing.amplitude_mm=20")
        try:
            values[key.strip()] = parse_toml(f"value = {text}", "--set")["value"]
        except InputError:
            values[key.strip()] = text
    return values
