"""The one line that plays a scan again: a command where a shell can say it, else a call in Python."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.candidates.objects import Given, name_of
from mrsim.errors import Option
from mrsim.stream import Stream

ONLY_IN_PYTHON = ("name", "keep_images")


def again(call: Callable[..., Any], stream: Stream, candidate: Given, options: Mapping[str, Any]) -> str:
    """Return how a call is made once more; options that have their default are left out.

    Parameters
    ----------
    call
        The call, such as `replay`, whose command bears its name.
    stream, candidate
        What it was given.
    options
        All its keyword arguments.
    """
    parameters = inspect.signature(call).parameters.values()
    keywords = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    given = [Option(name, options[name]) for name in keywords if options[name] != keywords[name]]
    plain = all(isinstance(option.value, str | int | float | Path) for option in given)
    if isinstance(candidate, str) and stream.path is not None and plain:
        words = ["mrsim", call.__name__, str(stream.path), candidate]
        for option in given:
            if option.name not in ONLY_IN_PYTHON:
                words += option.typed({}).split(" ", 1)
        return shlex.join(words)
    scan = "scan" if stream.path is None else repr(str(stream.path))
    what = repr(candidate) if isinstance(candidate, str) else name_of(candidate)
    said = [f"{option.name}={option.value!r}" for option in given]
    return f"harness.{call.__name__}({', '.join([scan, what, *said])})"
