"""Beams as data: what a machine does with a target on display, and how late.

A delay counts from the image on display, since a run measures imaging and reconstruction itself. Many
published delays count from the motion of a phantom instead. They hold imaging and reconstruction, too, and
cannot be added to a run's own; such a beam is marked `end_to_end`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrsim.errors import InputError
from mrsim.files.toml import check_values, read_toml

MAX_FILE_BYTES = 1 << 16
MAX_MS = 1e5
MAX_MM = 1e3
KINDS = ("gating", "tracking", "none")
MARGIN_MM = 3.0

# What each kind must state, and what it may.
_NEEDS: dict[str, tuple[str, ...]] = {
    "gating": ("window_mm", "on_ms", "off_ms"),
    "tracking": ("delay_ms",),
    "none": (),
}
_MAY: dict[str, tuple[str, ...]] = {"gating": (), "tracking": ("leaf_mm_s",), "none": ()}


@dataclass(frozen=True, slots=True)
class Beam:
    """Describe a beam.

    Parameters
    ----------
    name
        Its name.
    about
        What it is, in one line.
    kind
        "gating": the beam stands still, and is on while the target is in a window. "tracking": the leaves of
        the collimator follow the target. "none": the beam stands still and is always on.
    source
        Where its figures are published: a DOI, or words.
    window_mm
        Half width of the window around the planned position, millimetres; gating alone.
    margin_mm
        How far the target may be from where the beam aims and still be covered, millimetres.
    on_ms, off_ms
        From the target entering or leaving the window on display to the beam being on or off, milliseconds;
        gating alone. They may be negative, for a machine that predicts, if `end_to_end`.
    delay_ms
        From the target on display to the leaves starting for it, milliseconds; tracking alone.
    leaf_mm_s
        Largest speed of the leaves, millimetres per second; tracking alone. None for no limit.
    end_to_end
        Whether the delays count from the motion itself, so that they hold imaging and reconstruction.

    Raises
    ------
    InputError
        If a value is out of its range, or is one of another kind of beam.
    """

    name: str
    about: str
    kind: str
    source: str = ""
    window_mm: float | None = None
    margin_mm: float = MARGIN_MM
    on_ms: float | None = None
    off_ms: float | None = None
    delay_ms: float | None = None
    leaf_mm_s: float | None = None
    end_to_end: bool = False

    def __post_init__(self) -> None:
        checks = [
            (bool(self.name) and len(self.name) <= 80, "name", "1 to 80 characters"),
            (self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}"),
        ]
        needed = _NEEDS.get(self.kind, ())
        for key in ("window_mm", "on_ms", "off_ms", "delay_ms", "leaf_mm_s"):
            value = getattr(self, key)
            checks.append((value is not None or key not in needed, key, f"a number, for {self.kind}"))
            has = value is None or key in needed or key in _MAY.get(self.kind, ())
            checks.append((has, key, f"no such key, for {self.kind}"))
        for key, low, high in (
            ("window_mm", 1e-3, MAX_MM),
            ("margin_mm", 0.0, MAX_MM),
            ("on_ms", self._earliest, MAX_MS),
            ("off_ms", self._earliest, MAX_MS),
            ("delay_ms", 0.0, MAX_MS),
            ("leaf_mm_s", 1e-3, 1e6),
        ):
            value = getattr(self, key)
            fits = value is None or (math.isfinite(value) and low <= value <= high)
            checks.append((fits, key, f"{low:g} to {high:g}"))
        for holds, key, expected in checks:
            if not holds:
                told = f"{key} = {getattr(self, key)!r}: expected {expected}"
                raise InputError(f"beam {self.name[:80]!r}: {told}")

    @property
    def _earliest(self) -> float:
        # Only a machine that predicts acts before the target is seen to cross, and what it did is published.
        return -MAX_MS if self.end_to_end else 0.0


_DUAL = "AAPM 2026, abstract 2151: a double-motion phantom"
_QUASAR = "10.1002/acm2.13118; it has no delay to on, which is taken to be the same"
_LEAVES = "leaves of 30 to 40 mm/s: PMID 28291930"

SHIPPED_BEAMS: Mapping[str, Beam] = {
    beam.name: beam
    for beam in (
        Beam("none", "neither gating nor tracking: always on, at the mean position", "none"),
        Beam(
            "linac-trigger", "gating with a linac's own delay alone: a lower bound", "gating",
            "PMID 30220085, 6 MV at 600 MU/min", window_mm=3.0, on_ms=3.37, off_ms=1.45,
        ),
        Beam(
            "mlc", "leaves that follow: from the position to the aperture", "tracking",
            f"PMC2945741, 380 ms less 272, 38 and 4 up to the position; {_LEAVES}",
            delay_ms=66.0, leaf_mm_s=30.0,
        ),
        Beam(
            "0.35t-dual", "gating at 0.35 T on two targets, mean of five algorithms", "gating",
            _DUAL, window_mm=3.0, on_ms=337.0, off_ms=231.0, end_to_end=True,
        ),
        Beam(
            "0.35t-dual-predicted", "the same with prediction: off before the target leaves", "gating",
            _DUAL, window_mm=3.0, on_ms=447.0, off_ms=-136.0, end_to_end=True,
        ),
        Beam(
            "0.35t-slowest", "gating at 0.35 T, slowest of 24 settings", "gating",
            _QUASAR, window_mm=3.0, on_ms=302.0, off_ms=302.0, end_to_end=True,
        ),
        Beam(
            "0.35t-fastest", "gating at 0.35 T, fastest of 24 settings", "gating",
            _QUASAR, window_mm=3.0, on_ms=47.0, off_ms=47.0, end_to_end=True,
        ),
        Beam(
            "tg-76", "gating at the limit of AAPM TG-76", "gating",
            "10.1118/1.2349696", window_mm=3.0, on_ms=500.0, off_ms=500.0, end_to_end=True,
        ),
        Beam(
            "mlc-trilogy", "leaves that follow a motion platform, without imaging", "tracking",
            f"PMC7441573, 226 +- 10 ms; {_LEAVES}", delay_ms=226.0, leaf_mm_s=30.0, end_to_end=True,
        ),
        Beam(
            "radixact", "jaws and leaves that follow, without the machine's prediction", "tracking",
            "10.1002/acm2.70492", delay_ms=630.0, end_to_end=True,
        ),
    )
}  # fmt: skip


def load_beam(name: str) -> Beam:
    """Return a shipped beam, or one from a TOML file whose keys are the fields of `Beam`.

    Parameters
    ----------
    name
        Name of a shipped beam, or path of a .toml file.

    Raises
    ------
    InputError
        If there is no such beam, or the file is not one.
    """
    if name in SHIPPED_BEAMS:
        return SHIPPED_BEAMS[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise InputError(f"beam {name[:80]!r}: expected one of {', '.join(SHIPPED_BEAMS)}, or a .toml file")
    return _beam_of(read_toml(path, MAX_FILE_BYTES, "a beam"), str(path))


_NUMBER = (int, float)
_KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "about": (str,),
    "kind": (str,),
    "source": (str,),
    "window_mm": _NUMBER,
    "margin_mm": _NUMBER,
    "on_ms": _NUMBER,
    "off_ms": _NUMBER,
    "delay_ms": _NUMBER,
    "leaf_mm_s": _NUMBER,
    "end_to_end": (bool,),
}


def _beam_of(values: dict[str, Any], where: str) -> Beam:
    check_values(values, _KEYS, where, needed=("name", "kind"))
    try:
        return Beam(**{"about": where, **values})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
