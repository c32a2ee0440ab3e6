"""Refuse to judge weights on time that they were trained on."""

from __future__ import annotations

from typing import Any

from harness.candidates.seen import Carried, carried_of, recorded_scans
from mrsim.anatomy.body import Body
from mrsim.anatomy.breathing import breathing_of
from mrsim.errors import InputError

TOLERANCE_S = 1e-6


def refuse_overlap(
    record: dict[str, Any], phantom: Body, seed: int, judged_s: tuple[float, float], weights: str
) -> None:
    """Raise an error if weights know the breathing that they would be judged on.

    A scan is the same breathing where phantom and seed are the same, whatever the acceleration, the noise
    or the sampling. What was recorded moves alike in every seed.

    Parameters
    ----------
    record
        Record of the weights; `data` describes each scan with `phantom`, `phantom_text`, `seed`, and the
        time that was used, `trained_s` or `used_s` (start and stop, seconds); without it, all `frames`.
    phantom, seed
        What they are judged on.
    judged_s
        Start and stop of what is judged, seconds.
    weights
        How errors name them.

    Raises
    ------
    InputError
        If the times overlap or the record does not say what the weights were trained on.
    """
    data = record.get("data")
    if not isinstance(data, list) or not data:
        raise InputError(f"{weights}: its record does not say what it was trained on; train it again")
    seeded = breathing_of(phantom.text, seed) != breathing_of(phantom.text, seed ^ 1)
    for number, scan in enumerate(recorded_scans(record)):
        carried = carried_of(scan, record)
        same = carried.is_breathing(phantom.text, seed)
        if same is None:
            same = _is_named(scan.get("phantom"), carried, phantom, seed, seeded)
        if same is None:
            raise InputError(
                f"{weights}: data {number}: its record does not say which phantom and seed it was "
                "trained on; train it again on a scan that says how it was made"
            )
        if not same:
            continue
        if carried.used_s is None:
            raise InputError(
                f"{weights}: its record does not say which time of its scan was used; train it again"
            )
        start, stop = carried.used_s
        if start < judged_s[1] - TOLERANCE_S and judged_s[0] < stop - TOLERANCE_S:
            raise InputError(
                f"{weights}: trained on {start:.1f} to {stop:.1f} s of {phantom.name} with seed {seed}, "
                f"to be judged on {judged_s[0]:.1f} to {judged_s[1]:.1f} s of it: "
                f"{'take another --seed, or ' if seeded else ''}train on the time before"
            )


def _is_named(name: Any, carried: Carried, phantom: Body, seed: int, seeded: bool) -> bool | None:
    """Return whether a scan that has no text names the same phantom and seed; None for another phantom."""
    if name != phantom.name or carried.seed is None:
        return None
    return not seeded or carried.seed == seed
