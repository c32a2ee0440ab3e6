"""What strangers hand in: whole documents with a few places changed, drawn so that most still parse."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

Edits = list[tuple[float, int, bytes]]

EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 64), st.binary(max_size=32)), min_size=1, max_size=4
)
"""Places, as shares of a file, how many bytes are cut out there, and what is put in."""

BYTES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12)
"""Places, as shares of a file, and what a byte there becomes."""

ODD_NUMBERS = st.sampled_from(
    [
        "",
        "0",
        "-0",
        "-1",
        "1e999",
        "1e-320",
        "nan",
        "inf",
        "-inf",
        "0x1",
        "1_0",
        "9" * 30,
        "9" * 400,
        "٣",
        "1e308",
    ]
)
NUMBERS = st.one_of(
    st.integers(-3, 10**9).map(str), st.floats(-1e3, 1e3).map(repr), st.floats().map(repr), ODD_NUMBERS
)
TOML_VALUES = st.one_of(
    st.sampled_from(["true", "false", "[]", "{}", "[[1]]", "1979-05-27", "nan", "inf", "-inf", '""', "''"]),
    st.integers(-10, 10**4).map(str),
    st.floats(-1e4, 1e4).map(repr),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=12).map(lambda text: '"' + text.replace("\\", "").replace('"', "") + '"'),
    st.lists(st.floats(-200, 200).map(repr), max_size=4).map(lambda many: f"[{', '.join(many)}]"),
    st.sampled_from(["[" * 200 + "]" * 200, "9" * 5000, "{a = {a = {a = 1}}}", '"\\u0000"', '"é\\u202e"']),
)
JSON_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**6),
    st.sampled_from([0, 1, 2, 32, 64, 1024, 4096, 2**31 - 1, 2**31, 2**63]),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.lists(st.integers(-5, 300), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
XML_WORDS = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "65536",
        "9" * 40,
        "nan",
        "INF",
        "1e308",
        "1e-320",
        "abc",
        "<x>",
        "</y>",
        "é",
        "\0",
        "&#0;",
    ]
) | st.floats(0, 500).map(repr)


def cut_and_filled(data: bytes, edits: Edits) -> bytes:
    """Return bytes with pieces cut out and others put in."""
    for share, cut, new in edits:
        at = int(share * len(data))
        data = data[:at] + new + data[at + cut :]
    return data


def changed(data: bytes, places: list[tuple[float, int]]) -> bytes:
    """Return bytes of the same length, some of them others."""
    raw = bytearray(data)
    for share, value in places:
        raw[int(share * (len(raw) - 1))] = value
    return bytes(raw)


@st.composite
def documents(draw: st.DrawFn, text: str, place: str, values: st.SearchStrategy[str]) -> str:
    """Draw a document with up to four of its values others, a line twice, none, or its end lost.

    Parameters
    ----------
    draw
        Hypothesis'.
    text
        The whole document.
    place
        Pattern whose first group is a value.
    values
        What may come in the place of one.
    """
    for _ in range(draw(st.integers(0, 4))):
        spans = [found.span(1) for found in re.finditer(place, text, re.MULTILINE)]
        if not spans:
            break
        low, high = draw(st.sampled_from(spans))
        text = text[:low] + draw(values) + text[high:]
    lines = text.split("\n")
    line = draw(st.integers(0, len(lines) - 1))
    what = draw(st.sampled_from(["", "", "", "twice", "lost", "cut", "moved"]))
    if what == "twice":
        lines.insert(line, lines[line])
    elif what == "lost":
        del lines[line]
    elif what == "cut":
        lines = lines[:line]
    elif what == "moved":
        lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(line))
    return "\n".join(lines)


def tables(text: str) -> st.SearchStrategy[str]:
    """Draw TOML that was this once."""
    return documents(text, r"^[\w.]+ *= *([^\n]*)$", TOML_VALUES)


@st.composite
def records(draw: st.DrawFn, value: dict[str, Any]) -> dict[str, Any]:
    """Draw a table of JSON with up to three of its values others, at any depth."""
    out = _copied(value)
    for _ in range(draw(st.integers(0, 3))):
        inner = out
        while True:
            key = draw(st.sampled_from(sorted(inner)))
            if isinstance(inner[key], dict) and inner[key] and draw(st.booleans()):
                inner = inner[key]
                continue
            if draw(st.integers(0, 5)) == 0:
                del inner[key]
            else:
                inner[key] = draw(JSON_VALUES)
            break
        if not out:
            break
    return out


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value
