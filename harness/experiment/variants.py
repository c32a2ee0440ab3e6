"""Changes of a phantom that no training has seen: what is asked of a network that is to generalise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mrsim.anatomy.body import Body
from mrsim.anatomy.phantom_file import emit, parse
from mrsim.errors import InputError
from mrsim.scanner.scenes import body_of

AMPLITUDE_FACTOR = 1.5
SHIFT_MM = 5.0
DRIVE = "breathing"

Table = dict[str, Any]


def _deeper(motions: Table) -> Table:
    drive = dict(motions[DRIVE])
    for key in ("amplitude_mm", "deep_amplitude_mm", "scale"):
        if key in drive:
            drive[key] = drive[key] * AMPLITUDE_FACTOR
    if drive.get("kind") == "trace" and "scale" not in drive:
        drive["scale"] = AMPLITUDE_FACTOR
    return motions | {DRIVE: drive}


def _shifted(motions: Table) -> Table:
    still = {"kind": "breathing", "amplitude_mm": 0.0, "period_s": 4.0, "baseline_mm": SHIFT_MM}
    return _summed(motions, still)


def _coughing(motions: Table) -> Table:
    cough = {"kind": "cough", "amplitude_mm": 8.0, "every_s": 20.0, "burst_ms": 350.0, "bursts": 3}
    return _summed(motions, cough)


def _summed(motions: Table, added: Table) -> Table:
    """Return the motions with one added to the drive, which keeps its name for all that follows it."""
    out: Table = {}
    for name, motion in motions.items():
        if name == DRIVE:
            out |= {"calm": motion, "added": added, DRIVE: {"kind": "sum", "of": ["calm", "added"]}}
        else:
            out[name] = motion
    return out


CHANGES: dict[str, tuple[str, Callable[[Table], Table]]] = {
    "amplitude": (f"{AMPLITUDE_FACTOR:g} times the amplitude", _deeper),
    "shift": (f"a baseline shift of {SHIFT_MM:g} mm", _shifted),
    "cough": ("coughs of 8 mm, one every 20 s", _coughing),
}
"""What each change is, in words, and what makes it of the tables [motion.NAME]."""


def changed(phantom: Body, variant: str) -> Body:
    """Return a phantom with one change; an empty one is none.

    Raises
    ------
    InputError
        If the change is unknown, or the phantom has no motion of the name that it changes.
    """
    if not variant:
        return phantom
    if variant not in CHANGES:
        raise InputError(f"variant {variant!r}: expected one of {', '.join(CHANGES)}")
    table = parse(phantom.text, phantom.name)
    motions = table.get("motion", {})
    if DRIVE not in motions or {"calm", "added"} & set(motions):
        raise InputError(
            f"{phantom.name}: it needs a motion {DRIVE!r} to be changed, and none named calm or added"
        )
    table["motion"] = CHANGES[variant][1](motions)
    return body_of(emit(table), phantom.name, f"{phantom.name}, {variant}")
