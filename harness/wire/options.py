"""The name of a candidate behind a socket, `mrd://HOST:PORT/CONFIG?option=value&...`: address and options."""

from __future__ import annotations

import difflib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from harness.wire.images import Match
from harness.wire.limits import check_seconds
from mrsim.errors import CandidateError, InputError
from mrsim.files.reading import parse_json, read_text
from mrsim.formats.mrd_acquisition import Marks
from mrsim.formats.mrd_xml import MAX_XML_BYTES
from mrsim.formats.oversampling import Oversampling
from recon.convention import KEYS

FORM = "mrd://HOST:PORT/CONFIG?option=value&..."
DEFAULT_PORT = 9002
NOISE_SAMPLES = 256


@dataclass(frozen=True, slots=True)
class WireOptions:
    """Hold the address of a server and the options of a session.

    Parameters
    ----------
    name
        Name of the candidate.
    host, port
        Address of the server.
    config
        Name of a configuration, sent as CONFIG_FILE.
    config_text
        A configuration itself, sent as CONFIG_TEXT instead; None for none.
    parameters
        JSON object, sent as TEXT after the header; None for none.
    marks
        Flags that readouts carry.
    oversampling
        Convention of readout oversampling.
    match
        How the server numbers its images.
    noise_std
        Standard deviation of a noise scan that is sent first; None for none.
    motion
        Folder of a stream whose true motion is sent as a waveform; None for none.
    nodelay
        Whether readouts are sent at once. If not, Nagle's algorithm delays them, to show its cost.
    quickack
        Whether what the server sends is acknowledged at once.
    wait
        Whether the push of a frame's last line waits for its image.
    limit_s
        Time that the server may take for any answer, seconds.
    ready_s
        Time that an mrsim server may take to identify itself, seconds. With another server `open` waits for
        all of it.
    """

    name: str
    host: str
    port: int
    config: str
    config_text: str | None
    parameters: str | None
    marks: Marks
    oversampling: Oversampling
    match: Match
    noise_std: float | None
    motion: Path | None
    nodelay: bool
    quickack: bool
    wait: bool
    limit_s: float
    ready_s: float


_KNOWN = {
    "config_text": "FILE",
    "flags": "slice,repetition",
    "lines": "N",
    "oversampling": "none",
    "match": "repetition",
    "parameters": "JSON or @FILE",
    "noise": "STD",
    "motion": "STREAM",
    "nagle": "off",
    "quickack": "on",
    "wait": "off",
    "limit_s": "10",
    "ready_s": "1",
}


def parse_wire(candidate: str) -> WireOptions:
    """Read the name of a candidate behind a socket.

    Parameters
    ----------
    candidate
        The name.

    Raises
    ------
    CandidateError
        If it has another form, an option is unknown or wrong, or a file that it names cannot be read.
    """
    try:
        parts = urlsplit(candidate)
        port = DEFAULT_PORT if parts.port is None else parts.port
        query = parse_qsl(
            parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=32
        )
    except ValueError as error:
        raise CandidateError(f"candidate {candidate!r}: {error}; expected {FORM}") from None
    if not parts.hostname or parts.username is not None or parts.fragment or not 1 <= port <= 65535:
        raise CandidateError(f"candidate {candidate!r}: expected {FORM}")
    values: dict[str, str] = {}
    for key, value in query:
        if key not in _KNOWN:
            known = (*_KNOWN, *KEYS)  # those of the convention are taken off before
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise CandidateError(
                f"candidate {candidate!r}: unknown option {key!r}; {hint}known: {', '.join(known)}"
            )
        if key in values:
            raise CandidateError(f"candidate {candidate!r}: option {key!r} comes twice")
        values[key] = value
    return _options(candidate, parts.hostname, port, unquote(parts.path[1:]), values)


def _options(candidate: str, host: str, port: int, config: str, values: dict[str, str]) -> WireOptions:
    def wrong(key: str, expected: str) -> InputError:
        return InputError(f"candidate {candidate!r}: {key}={values[key][:60]!r}: expected {expected}")

    def one_of(key: str, default: str, choices: dict[str, Any]) -> Any:
        if values.get(key, default) not in choices:
            raise wrong(key, ", ".join(choices))
        return choices[values.get(key, default)]

    def number(key: str, default: float | None, low: float) -> float | None:
        if key not in values:
            return default
        try:
            value = float(values[key])
        except ValueError:
            value = math.nan
        if not low <= value < 1e9:
            raise wrong(key, f"a number of {low:g} or more")
        return value

    switch = {"on": True, "off": False}
    flags = values.get("flags", "slice,repetition")
    chosen = set(flags.split(",")) if flags else set()
    if not chosen <= {"slice", "repetition", "realtime"}:
        raise wrong("flags", "slice, repetition, realtime, with commas between, or nothing")
    lines = number("lines", None, 1)
    config_text = _read(values["config_text"], "config_text") if "config_text" in values else None
    if config_text is not None and config:
        raise CandidateError(f"candidate {candidate!r}: a CONFIG and a config_text: give one of them")
    if len(config.encode()) > 1023 or not config.isprintable():
        raise CandidateError(f"candidate {candidate!r}: a CONFIG is a name of at most 1023 bytes")
    limit_s, ready_s = number("limit_s", 10.0, 0), number("ready_s", 1.0, 0)
    assert limit_s is not None
    assert ready_s is not None
    return WireOptions(
        name=candidate,
        host=host,
        port=port,
        config=config,
        config_text=config_text,
        parameters=_parameters(candidate, values["parameters"]) if "parameters" in values else None,
        marks=Marks(
            slices="slice" in chosen,
            repetitions="repetition" in chosen,
            lines=None if lines is None else int(lines),
            real_time="realtime" in chosen,
        ),
        oversampling=one_of("oversampling", "none", {c.value: c for c in Oversampling}),
        match=one_of("match", "repetition", {m.value: m for m in Match}),
        noise_std=number("noise", None, 0),
        motion=Path(values["motion"]) if "motion" in values else None,
        nodelay=not one_of("nagle", "off", switch),
        quickack=one_of("quickack", "on", switch),
        wait=one_of("wait", "off", switch),
        limit_s=check_seconds(limit_s, "limit_s"),
        ready_s=ready_s,
    )


def _read(path: str, key: str) -> str:
    try:
        return read_text(path, MAX_XML_BYTES, "a text for a server")
    except InputError as error:
        raise CandidateError(f"{key} {error}") from None


def _parameters(candidate: str, text: str) -> str:
    """Return parameters in the form that servers read: an object with the key "parameters"."""
    if text.startswith("@"):
        text = _read(text[1:], "parameters")
    try:
        value = parse_json(text, "parameters")
    except InputError:
        value = None
    if not isinstance(value, dict):
        raise CandidateError(
            f"candidate {candidate!r}: parameters: expected a JSON object, or @FILE with one"
        )
    return json.dumps(value if "parameters" in value else {"parameters": value})
