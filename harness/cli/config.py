"""`--config FILE.toml`: options of a command from a file, by key; what is typed wins over them.

A file has a table for each command, so that one file serves a project:

    [replay]
    clock = "virtual"
    claim = 0.95
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from mrsim.errors import FileError, InputError

OPTION = "--config"
MAX_BYTES = 1 << 20
MAX_WORDS = 10_000
NOT_HERE = ("help", "config")


def config_file(words: Sequence[str]) -> str | None:
    """Return the file that a command line names, the last of several; None where it names none.

    Parameters
    ----------
    words
        Arguments.

    Raises
    ------
    InputError
        If the file's name is missing.
    """
    file = None
    for place, word in enumerate(words):
        if word == "--":
            break
        if word == OPTION:
            if place + 1 == len(words):
                raise InputError(f"{OPTION}: expected the name of a file")
            file = words[place + 1]
        elif word.startswith(f"{OPTION}="):
            file = word.partition("=")[2]
    return file


def with_config(
    words: Sequence[str], file: str, command: argparse.ArgumentParser, commands: Iterable[str]
) -> list[str]:
    """Return a command line and after it the options of a file, less those that were typed.

    Parameters
    ----------
    words
        Arguments, the command first.
    file
        TOML file.
    command
        Parser of the command alone, which is changed here: it asks for nothing any more.
    commands
        Names of all commands.

    Raises
    ------
    FileError
        If the file cannot be read, or a key or value of it is wrong.
    """
    name, rest = words[0], list(words[1:])
    table = _table(file, name, commands)
    known = {text[2:]: one for one in command._actions for text in one.option_strings if text[:2] == "--"}
    for unwanted in NOT_HERE:
        known.pop(unwanted, None)
    for action in command._actions:
        action.default = argparse.SUPPRESS
        action.required = action.required and not action.option_strings
    for group in command._mutually_exclusive_groups:
        group.required = False
    typed = set(vars(command.parse_known_args(rest)[0]))
    for group in command._mutually_exclusive_groups:
        kept = {one.dest for one in group._group_actions}
        typed |= kept if kept & typed else set()
    end = rest.index("--") if "--" in rest else len(rest)
    added: list[str] = []
    for key, value in table.items():
        where = f"{file}: [{name}] {key[:80]}"
        if key not in known:
            close = get_close_matches(key, known, n=1, cutoff=0.6)
            hint = f"; did you mean {close[0]}?" if close else f"; see mrsim {name} --help"
            raise FileError(f"{where}: unknown key{hint}")
        more = _words(where, key, value, known[key])
        if known[key].dest in typed:
            continue
        try:
            command.parse_known_args([*rest[:end], *more, *rest[end:]])
        except InputError as error:
            raise FileError(f"{where}: {error}") from None
        added += more
    return [name, *rest[:end], *added, *rest[end:]]


def _table(file: str, name: str, commands: Iterable[str]) -> dict[str, Any]:
    from mrsim.files.toml import read_toml

    tables, known = read_toml(file, MAX_BYTES, "a file of options"), list(commands)
    for key, value in tables.items():
        if not isinstance(value, dict):
            raise FileError(f"{file}: {key[:80]}: write it below a line [{name}], the command that it is for")
        if key not in known:
            close = get_close_matches(key, known, n=1, cutoff=0.6)
            hint = f"; did you mean [{close[0]}]?" if close else "; tables are named by commands"
            raise FileError(f"{file}: [{key[:80]}] is no command{hint}")
    found: dict[str, Any] = tables.get(name, {})
    return found


def _words(where: str, key: str, value: Any, action: argparse.Action) -> list[str]:
    """Return a key and its value as they would be typed."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise FileError(f"{where}: expected true or false")
        return [f"--{key}"] * value
    many = action.nargs is not None or isinstance(action, argparse._AppendAction)
    values = value if isinstance(value, list) and many else [value]
    if len(values) > MAX_WORDS:
        raise FileError(f"{where}: more than {MAX_WORDS} values")
    for one in values:
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            raise FileError(f"{where}: expected text or a number{', or a list of them' if many else ''}")
    texts = [str(one) for one in values]
    if action.nargs is None:
        return [f"--{key}={text}" for text in texts]
    return [f"--{key}", *texts]
