"""A script that completes commands, options and their choices in a shell, printed once and kept by its user.

It holds all names, so that a key that is pressed starts no Python. zsh runs the script of bash.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterable, Mapping

SCRIPT = """# mrsim {shell} completion; print it anew after an upgrade: mrsim --completion {shell}
{before}_mrsim() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words={commands}
    else
        case "${{COMP_WORDS[1]}} $prev" in
{choices}
        *)
            case "${{COMP_WORDS[1]}}" in
{options}
            esac
            case "$cur" in
            -*) ;;
            *) words={candidates} ;;
            esac
        ;;
        esac
    fi
    COMPREPLY=( $(compgen -W "$words" -- "$cur") )
}}
complete -o default -F _mrsim mrsim
"""
STANDS_FOR_MORE = re.compile("[A-Z]+|.*([:+]|FILE).*")
ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def script(shell: str, commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return the script of a shell.

    Parameters
    ----------
    shell
        "bash" or "zsh".
    commands
        Parser of each command.
    """
    choices, options = [], []
    for name, parser in commands.items():
        known = [one for one in parser._actions if one.option_strings]
        options.append(_case(name, [text for one in known for text in one.option_strings], " " * 12))
        for one in known:
            if one.nargs != 0:  # it takes a value: one of its choices, or else a file, which the shell knows
                words = [f"{name} {text}" for text in one.option_strings]
                choices.append(_case(words, one.choices or _listed(one.metavar), " " * 8))
    return SCRIPT.format(
        shell=shell,
        before=ZSH if shell == "zsh" else "",
        commands=_quoted([*commands, "--help", "--version", "--completion"]),
        choices="\n".join(choices),
        options="\n".join(options),
        candidates=_quoted(_names()),
    )


def _listed(metavar: object) -> list[str]:
    """Return the names that the help lists as `{a,b}`, less those that stand for something else."""
    if not isinstance(metavar, str) or metavar[:1] != "{":
        return []
    return [name for name in metavar[1:-1].split(",") if not STANDS_FOR_MORE.fullmatch(name)]


def _names() -> list[str]:
    """Return what may stand where no option does: candidates without a file, and phantoms."""
    from harness.candidates.registry import known
    from mrsim.anatomy.phantom_file import phantom_names

    return [*(name for name in known() if name.islower() and ":" not in name), *phantom_names()]


def _case(patterns: str | Iterable[str], words: Iterable[str], margin: str) -> str:
    texts = [patterns] if isinstance(patterns, str) else list(patterns)
    return f"{margin}{'|'.join(map(shlex.quote, texts))}) words={_quoted(words)} ;;"


def _quoted(words: Iterable[str]) -> str:
    return shlex.quote(" ".join(map(str, words)))
