"""What a candidate raised is told with the lines of its own code, whatever the exception is made of."""

from __future__ import annotations

import importlib.util
import json
import linecache
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.realtime.clock import VirtualClock
from harness.realtime.raised import (
    FIRST_PLACES,
    MAX_PLACES,
    MAX_TEXT,
    RaisedElsewhere,
    Traceback,
    is_strangers,
    one_line,
    traceback_json,
    traceback_of,
)
from harness.realtime.replay import replay
from mrsim.errors import InputError
from recon.protocol import FrameAdapter
from tests.harness.synthetic import make_stream

Make = Callable[[str], ModuleType]

MINE = """
def plain(x):
    return deeper(x)

def deeper(x):
    return [][x]

def deep(n):
    return deep(n - 1) if n else [][0]

def caused():
    try:
        deeper(3)
    except IndexError as error:
        raise ValueError("no such row") from error

def handled():
    try:
        deeper(3)
    except IndexError:
        int("x")

def hidden():
    try:
        deeper(3)
    except IndexError:
        raise ValueError("only this") from None

def circle():
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    raise a

def group():
    found = []
    for x in (1, 2):
        try:
            deeper(x)
        except IndexError as error:
            found.append(error)
    raise ExceptionGroup("two", found)

def image(kspace, mask):
    return plain(7)
"""


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Import a file of a stranger's."""

    def load(text: str) -> ModuleType:
        path = tmp_path / "mine.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("mine", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def raised_by(call: Callable[..., Any], *args: Any) -> BaseException:
    try:
        call(*args)
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def found_in(call: Callable[..., Any], *args: Any) -> Traceback:
    """Return the traceback of what a function of a stranger's raises; calls of this file are not in it."""
    error = raised_by(call, *args)
    inner = error.__traceback__
    found = traceback_of(error.with_traceback(None if inner is None else inner.tb_next))
    assert found is not None
    return found


def test_it_names_file_line_function_and_code(make: Make, tmp_path: Path) -> None:
    found = found_in(make(MINE).plain, 7)
    assert [(p.file, p.line, p.function, p.code) for p in found.places] == [
        (str(tmp_path / "mine.py"), 3, "plain", "return deeper(x)"),
        (str(tmp_path / "mine.py"), 6, "deeper", "return [][x]"),
    ]
    assert str(found.at) == "mine.py:6"
    lines = found.text.splitlines()
    assert lines[1:] == [
        f'  File "{tmp_path}/mine.py", line 3, in plain',
        "    return deeper(x)",
        f'  File "{tmp_path}/mine.py", line 6, in deeper',
        "    return [][x]",
        "IndexError: list index out of range",
    ]


def test_calls_of_the_bench_are_left_out_of_a_run(make: Make, tmp_path: Path) -> None:
    """Between the gate and the function stands an adapter of ours: neither of both is named."""
    run = replay(make_stream(40), FrameAdapter(make(MINE).image), VirtualClock())
    assert run.traceback is not None
    assert [(p.file, p.line) for p in run.traceback.places] == [
        (str(tmp_path / "mine.py"), line) for line in (44, 3, 6)
    ]
    assert str(run.failure) == (
        "raised IndexError: list index out of range (mine.py:6) in push at k-space line 3 (frame 0)"
    )


def test_a_candidate_that_is_shipped_is_told_by_its_own_lines() -> None:
    class Wrong(FrameAdapter):
        def __init__(self) -> None:
            super().__init__(max)  # type: ignore[arg-type]

    run = replay(make_stream(40), Wrong(), VirtualClock())
    assert run.traceback is not None
    assert [p.function for p in run.traceback.places] == ["FrameAdapter.push"]
    assert "self._function(kspace, mask)" in run.traceback.places[0].code


def test_of_a_deep_recursion_the_first_calls_and_the_last_are_kept(make: Make) -> None:
    found = found_in(make(MINE).deep, 500)
    assert len(found.places) == MAX_PLACES
    assert f"  ... {501 - MAX_PLACES} calls left out" in found.text
    assert found.text.count('  File "') == MAX_PLACES
    assert found.text.index("calls left out") > found.text.index(str(found.places[FIRST_PLACES - 1].file))
    assert len(found.text) <= MAX_TEXT
    exact = found_in(make(MINE).deep, MAX_PLACES - 1)
    assert len(exact.places) == MAX_PLACES
    assert "left out" not in exact.text.partition("\n")[2]


def test_causes_are_told_and_what_is_hidden_is_not(make: Make) -> None:
    mine = make(MINE)
    caused = found_in(mine.caused)
    assert caused.text.index("IndexError") < caused.text.index("which was the direct cause of:")
    assert caused.text.endswith("ValueError: no such row")
    assert [p.function for p in caused.places] == ["caused"]  # of the exception itself
    assert "line 6, in deeper" in caused.text
    assert "and while that was handled:" in found_in(mine.handled).text
    assert "IndexError" not in found_in(mine.hidden).text
    assert found_in(mine.circle).text.count("ValueError: a") == 1
    group = found_in(mine.group)
    assert group.text.count("line 6, in deeper") == 2
    assert "which is number 2 of 2 in:" in group.text


def test_a_long_chain_of_long_messages_is_bounded(make: Make) -> None:
    mine = make(
        "def chain(n):\n"
        "    try:\n"
        "        if n: chain(n - 1)\n"
        "        raise ValueError('x' * 10**6)\n"
        "    except ValueError as error:\n"
        "        raise ValueError('\\n'.join('y' * 500 for _ in range(10**4))) from error\n"
    )
    found = found_in(mine.chain, 40)
    assert len(found.text) <= MAX_TEXT
    assert found.text.splitlines()[-1] == f"ValueError: {'y' * 500}"[:300]


def test_long_paths_and_long_lines_of_code_are_bounded() -> None:
    name = f"{'folder/' * 60}mine.py"
    lines = ["def f(n):\n", "  return f(n - 1) if n else [][0]\n"]
    space: dict[str, Any] = {}
    exec(compile("".join(lines), name, "exec"), space)
    linecache.cache[name] = (0, None, [line.replace("  ", f"  {'y' * 300}") for line in lines], name)
    try:
        found = found_in(space["f"], 40)
    finally:
        del linecache.cache[name]
    assert len(found.text) <= MAX_TEXT
    assert found.text.endswith("IndexError: list index out of range")
    assert all(len(p.file) <= 240 and len(p.code) <= 160 for p in found.places)
    assert found.at.file.endswith("/mine.py")


def test_what_a_terminal_acts_on_is_not_printed(make: Make) -> None:
    mine = make("def f():\n    raise ValueError('a\\x1b[2Jb\\u202ec\\ud800\\n\\0')  # \x1b[31m \u202e red\n")
    text = found_in(mine.f).text
    assert all(c.isprintable() for line in text.split("\n") for c in line)
    assert text.endswith("ValueError: a [2Jb c")
    text.encode("utf-8")


HOSTILE = """
class Meta(type):
    __name__ = property(lambda self: 1 / 0)
    def __instancecheck__(self, other): raise SystemExit

class Hostile(BaseException, metaclass=Meta):
    __class__ = property(lambda self: 1 / 0)
    __cause__ = property(lambda self: 1 / 0)
    __context__ = property(lambda self: 1 / 0)
    __traceback__ = property(lambda self: 1 / 0)
    __suppress_context__ = property(lambda self: 1 / 0)
    __notes__ = property(lambda self: 1 / 0)
    def __str__(self): raise GeneratorExit
    __repr__ = __str__

class Text(str):
    def __getitem__(self, key): raise SystemExit
    def __iter__(self): raise SystemExit
    def split(self): raise SystemExit

class Says(Exception):
    def __str__(self): return Text("fine")

class Wrong(SyntaxError):
    filename = property(lambda self: 1 / 0)

def f(kind): raise kind()
def push(kspace, mask): raise Hostile
"""


def test_an_exception_that_does_anything_when_looked_at_is_told(make: Make) -> None:
    mine = make(HOSTILE)
    run = replay(make_stream(8), FrameAdapter(mine.push), VirtualClock())
    assert run.failure is not None
    assert "its message cannot be read" in run.failure.error
    assert run.traceback is not None
    assert run.traceback.at.function == "push"
    assert one_line(raised_by(mine.f, mine.Says)) == "Says: fine"
    assert traceback_of(raised_by(mine.f, mine.Wrong)) is None
    assert one_line(raised_by(mine.f, mine.Wrong)).startswith("Wrong")


def test_an_exception_without_a_traceback_or_a_file_has_none(make: Make) -> None:
    assert traceback_of(ValueError("never raised")) is None
    code = compile("def f(): raise ValueError", "/dev/zero", "exec")  # read, it would never end
    space: dict[str, Any] = {}
    exec(code, space)
    (place,) = found_in(space["f"]).places
    assert (place.file, place.line, place.code) == ("/dev/zero", 1, "")


def test_code_of_a_notebooks_cell_is_shown() -> None:
    space: dict[str, Any] = {}
    exec(compile("def f():\n    raise ValueError\n", "<cell 3>", "exec"), space)
    linecache.cache["<cell 3>"] = (0, None, ["def f():\n", "    raise ValueError\n"], "<cell 3>")
    try:
        (place,) = found_in(space["f"]).places
    finally:
        del linecache.cache["<cell 3>"]
    assert (place.line, place.code) == (2, "raise ValueError")


def test_what_cannot_be_compiled_is_named_with_its_line(make: Make, tmp_path: Path) -> None:
    error = raised_by(make, "import numpy\nx = = 1\n")
    found = traceback_of(error)
    assert found is not None
    assert (found.at.file, found.at.line, found.at.code) == (str(tmp_path / "mine.py"), 2, "x = = 1")


def test_it_crosses_a_pipe_and_nonsense_does_not(make: Make) -> None:
    found = found_in(make(MINE).caused)
    assert Traceback.from_json(json.loads(json.dumps(traceback_json(found)))) == found
    assert traceback_json(None) == {"traceback": [], "traceback_text": None}
    place = {"file": "a", "line": 1, "function": "f", "code": "x"}
    for wrong in (
        None, 3, [], {}, traceback_json(None), {"traceback": 3}, {"traceback": [{}], "traceback_text": ""},
        {"traceback": [place | {"line": "x"}], "traceback_text": ""},
        {"traceback": [3], "traceback_text": ""},
        {"traceback": [place | {"line": float("inf")}], "traceback_text": ""},
    ):  # fmt: skip
        assert Traceback.from_json(wrong) is None, wrong
    much = Traceback.from_json({"traceback": [place] * 99, "traceback_text": "\x1b[2J" * 9999})
    assert much is not None
    assert len(much.places) == MAX_PLACES
    assert len(much.text) <= MAX_TEXT
    assert "\x1b" not in much.text


def test_what_was_raised_elsewhere_is_told_as_it_was_there() -> None:
    there = Traceback((), "there")
    assert one_line(RaisedElsewhere("ValueError: no luck", there)) == "ValueError: no luck"
    assert traceback_of(RaisedElsewhere("ValueError: no luck", there)) is there


def test_strangers_are_told_from_ours(make: Make) -> None:
    ours = raised_by(VirtualClock().advance, -1)
    inner = ours.__traceback__
    assert inner is not None
    assert isinstance(ours, InputError)
    assert not is_strangers(ours.with_traceback(inner.tb_next))  # without this test's own call
    assert is_strangers(raised_by(make(MINE).plain, 1))


def test_our_text_has_the_calls_that_python_prints(make: Make) -> None:
    """Beside Python's own printing: the same files, lines and code, in the same order."""
    error = raised_by(make(MINE).caused)
    found = traceback_of(error)
    assert found is not None
    printed = [line for line in traceback.format_exception(error) if line.startswith("  File")]
    ours = [line.strip() for line in found.text.splitlines() if line.startswith("  File")]
    assert ours == [line.splitlines()[0].strip() for line in printed]
