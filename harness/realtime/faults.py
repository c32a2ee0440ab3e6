"""Faults: what goes wrong between scanner and reconstructor. Each one changes which lines arrive, and when.

A fault string such as `drop:p=0.01,burst=4;nan:every=500` is read from left to right. Each fault is applied
to the feed that the one before it left. A fault strikes each line with a chance (`p`), every n-th line
(`every`) or one line (`at`), and `burst` lines at a time. The same string, seed and stream give the same
feed, bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.realtime.feed import Feed
from mrsim.errors import InputError
from mrsim.seeds import check_seed, child

MAX_TEXT = 4000
MAX_FAULTS = 32
MAX_PATCH_BYTES = 1 << 30
MAX_COPIES = 8

# Options of each kind, beside where it strikes: name -> (default, lowest, highest, whole number).
_OPTIONS: dict[str, dict[str, tuple[float, float, float, bool]]] = {
    "drop": {},
    "duplicate": {"span": (1, 1, 1 << 16, True)},
    "reorder": {"span": (3, 1, 1 << 16, True)},
    "late": {"ms": (10.0, 0.0, 1e6, False)},
    "truncate": {"keep": (0.5, 0.0, 0.999, False)},
    "nan": {},
    "saturate": {"level": (0.1, 0.0, 1.0, False)},
    "coil-lost": {"coil": (-1, -1, 1 << 16, True), "level": (0.0, 0.0, 1.0, False)},
    "spike": {"size": (100.0, 0.0, 1e6, False), "samples": (1, 1, 1 << 16, True)},
    "header": {},
    "wrap": {"bits": (16, 4, 32, True)},
    "disconnect": {},
    "raise": {},
    "hang": {},
    "stall": {"ms": (400.0, 0.0, 1e6, False)},
    "shape": {},
}
CANDIDATE_KINDS = ("raise", "hang", "stall", "shape")
STREAM_KINDS = tuple(kind for kind in _OPTIONS if kind not in CANDIDATE_KINDS)
_WHERE = {"p": (0.0, 1.0, False), "every": (1, 1 << 40, True), "at": (0, 1 << 40, True)}


@dataclass(frozen=True, slots=True)
class Fault:
    """State one fault.

    Parameters
    ----------
    kind
        One of `STREAM_KINDS` or `CANDIDATE_KINDS`.
    where
        "p", "every" or "at"; "" for `wrap`, which affects every line.
    value
        Value of `where`: a chance, a period in lines, or a line.
    burst
        Number of consecutive lines that one strike affects.
    options
        Other options of the kind, by name.
    """

    kind: str
    where: str
    value: float
    burst: int
    options: dict[str, float]

    def struck(self, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw the lines that the fault strikes.

        Parameters
        ----------
        count
            Number of lines.
        rng
            Source of the draws.

        Returns
        -------
        struck
            Which lines are struck, shape (count,), bool.
        """
        struck = np.zeros(count, np.bool_)
        if self.where == "p":
            struck = rng.random(count) < self.value
        elif self.where == "every":
            every = int(self.value)
            struck[every - 1 :: every] = True
        elif self.where == "at" and int(self.value) < count:
            struck[int(self.value)] = True
        return _spread(struck, self.burst)

    def __str__(self) -> str:
        options = {self.where: self.value} if self.where else {}
        if self.burst != 1:
            options["burst"] = self.burst
        options |= self.options
        text = ",".join(f"{key}={int(v) if v == int(v) else v!r}" for key, v in options.items())
        return f"{self.kind}:{text}" if text else self.kind


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read a fault string, such as `drop:p=0.01,burst=4;nan:every=500`.

    Parameters
    ----------
    text
        Faults, separated by semicolons.

    Returns
    -------
    faults
        In the order of the string.

    Raises
    ------
    InputError
        If a kind or a key is unknown, or a value is out of its range.
    """
    if len(text) > MAX_TEXT or text.count(";") >= MAX_FAULTS:
        raise InputError(
            f"faults: {len(text)} characters: expected up to {MAX_TEXT}, and at most {MAX_FAULTS} faults"
        )
    return tuple(_parse_one(part.strip()) for part in text.split(";") if part.strip())


def _parse_one(text: str) -> Fault:
    kind, _, rest = text.partition(":")
    kind = kind.strip()
    if kind not in _OPTIONS:
        raise InputError(f"fault {text[:80]!r}: unknown kind {kind[:40]!r}; known: {', '.join(_OPTIONS)}")
    options = {key: default for key, (default, *_) in _OPTIONS[kind].items()}
    where, value, burst = "", 0.0, 1
    for pair in filter(None, (p.strip() for p in rest.split(","))):
        key, equals, number = (part.strip() for part in pair.partition("="))
        if key in _WHERE and equals and not where and kind != "wrap":
            where, value = key, _number(text, key, number, *_WHERE[key])
        elif key == "burst" and equals and kind not in ("wrap", "disconnect"):
            burst = int(_number(text, key, number, 1, 1 << 20, True))
        elif key in options and equals:
            options[key] = _number(text, key, number, *_OPTIONS[kind][key][1:])
        else:
            takes = ["p, every or at (one of them)", "burst", *_OPTIONS[kind]]
            known = ", ".join(_OPTIONS[kind]) if kind == "wrap" else ", ".join(takes)
            raise InputError(f"fault {text[:80]!r}: {pair[:40]!r} is not understood; {kind} takes {known}")
    if not where and kind != "wrap":
        raise InputError(f"fault {text[:80]!r}: where? add p=0.01, every=500 or at=100")
    return Fault(kind, where, value, burst, options)


def _number(text: str, key: str, number: str, low: float, high: float, whole: bool) -> float:
    try:
        value = int(number) if whole and len(number) < 20 else float(number)
    except ValueError:
        value = float("nan")
    if not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise InputError(
            f"fault {text[:80]!r}: {key} = {number[:40]!r}: expected {kind}, {low:g} to {high:g}"
        )
    return value


def format_faults(faults: tuple[Fault, ...]) -> str:
    """Return faults as the string that `parse_faults` reads.

    Parameters
    ----------
    faults
        The faults, in order.
    """
    return ";".join(map(str, faults))


def apply_faults(feed: Feed, faults: tuple[Fault, ...], seed: int) -> Feed:
    """Apply the faults of the stream, one after the other; faults of the candidate change no feed.

    Parameters
    ----------
    feed
        What would arrive without faults.
    faults
        Faults in the order in which they are applied.
    seed
        Seed that draws the lines that are struck.

    Returns
    -------
    feed
        What arrives with the faults.

    Raises
    ------
    InputError
        If the changed lines need more than `MAX_PATCH_BYTES`.
    """
    check_seed(seed)
    for number, fault in enumerate(faults):
        if fault.kind in CANDIDATE_KINDS:
            continue
        rng = np.random.default_rng(child(seed, "faults", number))
        struck = fault.struck(len(feed), rng)
        touched = np.unique(feed.source[struck])
        before = feed.touched.get(fault.kind, np.empty(0, np.int64))
        feed = _MAPS[fault.kind](feed, np.flatnonzero(struck), fault, rng)
        everything = {**feed.touched, fault.kind: np.union1d(before, touched)}
        feed = dataclasses.replace(feed, clean=False, touched=everything)
    return feed


_COLUMNS = ("source", "index", "frame", "ky", "t_ns", "offset_ns", "patch")
_Map = Callable[[Feed, NDArray[np.int64], Fault, np.random.Generator], Feed]


def _select(feed: Feed, events: NDArray[np.int64]) -> Feed:
    """Return the feed with these events, in this order; each arrives no earlier than the one before it."""
    columns = {name: getattr(feed, name)[events] for name in _COLUMNS}
    columns["offset_ns"] = np.maximum.accumulate(columns["offset_ns"])
    return dataclasses.replace(feed, **columns)


def _drop(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    return _select(feed, np.delete(np.arange(len(feed)), at))


def _disconnect(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    return _select(feed, np.arange(at[0] if len(at) else len(feed)))


def _duplicate(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    if len(feed) + len(at) > MAX_COPIES * len(feed.stream):
        raise InputError(f"faults: duplicates of duplicates pass {MAX_COPIES} events a line; ask for fewer")
    rank = np.concatenate((np.arange(len(feed)), at + fault.options["span"] - 0.5))
    events = np.concatenate((np.arange(len(feed)), at))
    return _select(feed, events[np.argsort(rank, kind="stable")])


def _reorder(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    rank = np.arange(len(feed), dtype=np.float64)
    rank[at] += fault.options["span"] + 0.5
    return _select(feed, np.argsort(rank, kind="stable"))


def _late(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    offset_ns = np.array(feed.offset_ns)
    offset_ns[at] += round(fault.options["ms"] * 1e6)
    # There is one connection: every later line waits behind a late one.
    return dataclasses.replace(feed, offset_ns=np.maximum.accumulate(offset_ns))


def _patched(
    feed: Feed, at: NDArray[np.int64], change: Callable[[NDArray[np.complex64]], NDArray[np.complex64]]
) -> Feed:
    header = feed.stream.header
    if (len(feed.patches) + len(at)) * header.coils * header.matrix[1] * 8 > MAX_PATCH_BYTES:
        raise InputError(f"faults: {len(at)} changed lines pass {MAX_PATCH_BYTES >> 20} MiB: fewer frames")
    patch, patches = np.array(feed.patch), list(feed.patches)
    for event in at.tolist():
        samples = feed.stream.samples[feed.source[event]] if patch[event] < 0 else patches[patch[event]]
        patches.append(change(np.array(samples)))
        patch[event] = len(patches) - 1
    return dataclasses.replace(feed, patch=patch, patches=tuple(patches))


def _truncate(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    def cut(samples: NDArray[np.complex64]) -> NDArray[np.complex64]:
        return samples[:, : int(samples.shape[1] * fault.options["keep"])].copy()

    return _patched(feed, at, cut)


def _nan(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    def spoil(samples: NDArray[np.complex64]) -> NDArray[np.complex64]:
        if samples.size:
            samples.reshape(-1)[int(rng.integers(samples.size))] = complex(np.nan, np.nan)
        return samples

    return _patched(feed, at, spoil)


def _saturate(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    def clip(samples: NDArray[np.complex64]) -> NDArray[np.complex64]:
        parts = samples.view(np.float32)
        if parts.size:
            limit = np.float32(fault.options["level"]) * np.nanmax(np.abs(parts), initial=0)
            np.clip(parts, -limit, limit, out=parts)
        return samples

    return _patched(feed, at, clip)


def _coil_lost(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    """Silence one coil, the same in all struck lines, or clip it at a share of what it receives."""
    coils, asked = feed.stream.header.coils, int(fault.options["coil"])
    if asked >= coils:
        raise InputError(f"fault {fault}: coil = {asked}: the scan has {coils}, from 0 to {coils - 1}")
    coil = int(rng.integers(coils)) if asked < 0 else asked

    def lose(samples: NDArray[np.complex64]) -> NDArray[np.complex64]:
        parts = samples[coil : coil + 1].view(np.float32)
        limit = np.float32(fault.options["level"]) * np.nanmax(np.abs(parts), initial=0)
        np.clip(parts, -limit, limit, out=parts)
        return samples

    return _patched(feed, at, lose)


def _spike(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    """Add to single samples, in all coils at once, a multiple of the line's greatest magnitude."""

    def strike(samples: NDArray[np.complex64]) -> NDArray[np.complex64]:
        coils, nx = samples.shape
        if not samples.size:
            return samples
        where = rng.choice(nx, min(int(fault.options["samples"]), nx), replace=False)
        size = fault.options["size"] * float(np.nanmax(np.abs(samples), initial=0))
        turn = np.exp(2j * np.pi * rng.random((coils, len(where))))
        samples[:, where] += (size * turn).astype(np.complex64)
        return samples

    return _patched(feed, at, strike)


def _header(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    """Damage one field of each line (number, frame, row or time) so that redundancy or a range reveals it."""
    which = rng.integers(4, size=len(at))
    # An odd amount is neither 0 nor a whole turn of a counter.
    amount = rng.integers(1, 1 << 20, size=len(at)) * 2 - 1
    ny = feed.stream.header.matrix[0]
    columns: dict[str, Any] = {
        name: np.array(getattr(feed, name), np.int64) for name in ("index", "frame", "ky", "t_ns")
    }
    for number, name in enumerate(columns):
        shift = amount + ny if name == "ky" else amount
        columns[name][at[which == number]] += shift[which == number]
    return dataclasses.replace(feed, **columns)


def _wrap(feed: Feed, at: NDArray[np.int64], fault: Fault, rng: np.random.Generator) -> Feed:
    bits = min(int(fault.options["bits"]), feed.counter_bits or 64)  # the narrower of two
    return dataclasses.replace(feed, index=feed.index & ((1 << bits) - 1), counter_bits=bits)


_MAPS: dict[str, _Map] = {
    "drop": _drop,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "late": _late,
    "truncate": _truncate,
    "nan": _nan,
    "saturate": _saturate,
    "coil-lost": _coil_lost,
    "spike": _spike,
    "header": _header,
    "wrap": _wrap,
    "disconnect": _disconnect,
}


def _spread(first: NDArray[np.bool_], burst: int) -> NDArray[np.bool_]:
    """Lengthen every flag to a burst."""
    if burst == 1:
        return first
    starts = np.cumsum(first)
    ended = np.zeros_like(starts)
    ended[burst:] = starts[: max(len(first) - burst, 0)]
    return starts > ended
