"""How a twin is driven: as recorded, by recorded breaths in another order, or by other breathing."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mrsim.anatomy.series.text import RECORDED
from mrsim.errors import InputError, PhantomError
from mrsim.motion.tables import read_shipped
from mrsim.motion.trace import Trace, read_csv_file

BREATHS, BREATHING = "breaths", "breathing"
WEIGHTS = ("tissue", "intensity")
KEYS = ("drive", "scale", "slow", "shift_s", "weight")


@dataclass(frozen=True)
class Ride:
    """Hold what drives a twin.

    Parameters
    ----------
    drive
        "recorded": the recorded course, backwards and forwards again beyond its end. "breaths": recorded
        breaths in a drawn order. "breathing": breaths of Lujan's form, as deep, as long and as irregular as
        the recorded ones. Else the name of a trace.
    scale
        Factor on all displacements.
    slow
        Factor on all times: 2 breathes half as fast.
    shift_s
        Where in the recording, or in the trace, the scan begins, seconds.
    weight
        "tissue": where tissue is compressed more than when it was recorded, it is brighter. "intensity": it
        keeps its brightness.
    t_s, value_mm
        Samples of a trace.

    Raises
    ------
    PhantomError
        If a value is out of range.
    """

    drive: str = RECORDED
    scale: float = 1.0
    slow: float = 1.0
    shift_s: float = 0.0
    weight: str = WEIGHTS[0]
    t_s: tuple[float, ...] = ()
    value_mm: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for key, low, high in (("scale", 0.0, 3.0), ("slow", 0.2, 5.0), ("shift_s", 0.0, 86_400.0)):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise PhantomError(f"{key} = {value!r}: expected {low:g} to {high:g}")
            object.__setattr__(self, key, float(value))
        if self.weight not in WEIGHTS:
            raise PhantomError(f"weight = {str(self.weight)[:40]!r}: expected {' or '.join(WEIGHTS)}")
        if not isinstance(self.drive, str) or not self.drive:
            raise PhantomError(f"drive = {str(self.drive)[:40]!r}: expected a word")
        if (self.drive in (RECORDED, BREATHS, BREATHING)) == bool(self.t_s):
            raise PhantomError(
                f"drive = {self.drive[:80]!r}: expected {RECORDED}, {BREATHS}, {BREATHING}, or a trace with "
                "its samples"
            )
        if self.t_s:
            self.trace()

    @property
    def as_recorded(self) -> bool:
        """Return whether the twin is where the recording is at each instant."""
        return self.drive == RECORDED and self.scale == self.slow == 1 and self.shift_s == 0

    @property
    def mark(self) -> str:
        """Return what tells its days from others' in a name; empty for the recorded course."""
        if self.drive == RECORDED:
            return ""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:4]

    def trace(self) -> Trace:
        """Return the samples as a motion that runs backwards and forwards again beyond its end."""
        return Trace(self.t_s, tuple(v * 1e-3 for v in self.value_mm), 1.0, True)

    def table(self) -> dict[str, Any]:
        """Return what makes it again, as values of TOML."""
        told: dict[str, Any] = {key: getattr(self, key) for key in KEYS}
        if self.t_s:
            told |= {"t_s": list(self.t_s), "value_mm": list(self.value_mm)}
        return told


def ride_of(changes: Mapping[str, Any], where: str) -> Ride:
    """Return the drive that keys describe.

    Parameters
    ----------
    changes
        Values of `drive`, `scale`, `slow`, `shift_s` and `weight`. A drive that is no word of its own is the
        name of a shipped trace, or the path of a CSV file of one.
    where
        How errors name it.

    Raises
    ------
    PhantomError
        If a value is out of range, or there is no such trace.
    """
    values = dict(changes)
    drive = values.get("drive", RECORDED)
    try:
        if isinstance(drive, str) and drive not in (RECORDED, BREATHS, BREATHING) and "t_s" not in values:
            t_s, value_mm = _trace(drive)
            values |= {"drive": Path(drive).name, "t_s": tuple(t_s), "value_mm": tuple(value_mm)}
        for key in ("t_s", "value_mm"):
            given = values.get(key, ())
            if not isinstance(given, list | tuple) or not all(
                isinstance(v, int | float) and not isinstance(v, bool) for v in given
            ):
                raise PhantomError(f"{key}: expected numbers")
            values[key] = tuple(float(v) for v in given)
        return Ride(**values)
    except (InputError, TypeError) as error:
        raise PhantomError(f"{where}: {error}") from None


def shipped_traces() -> tuple[str, ...]:
    """Return the names of the traces that are shipped."""
    folder = importlib.resources.files("phantoms") / "traces"
    return tuple(sorted(p.name.removesuffix(".csv") for p in folder.iterdir() if p.name.endswith(".csv")))


def _trace(drive: str) -> tuple[list[float], list[float]]:
    if drive.endswith(".csv"):
        return read_csv_file(Path(drive))
    if drive not in shipped_traces():
        raise PhantomError(
            f"drive = {drive[:80]!r}: expected {RECORDED}, {BREATHS}, {BREATHING}, the path of a .csv file, "
            f"or one of {', '.join(shipped_traces())}"
        )
    return read_shipped(f"traces/{drive}.csv")
