"""Refuse to judge weights on time that they were trained on."""

from __future__ import annotations

from typing import Any

from harness.candidates.seen import used_s
from mrsim.anatomy.body import Body
from mrsim.anatomy.series.text import day_of
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
    for number, scan in enumerate(data):
        if not isinstance(scan, dict) or scan.get("seed") is None or scan.get("phantom") is None:
            raise InputError(
                f"{weights}: data {number}: its record does not say which phantom and seed it was "
                "trained on; train it again on a scan that says how it was made"
            )
        text = scan.get("phantom_text")
        known = isinstance(text, str) and day_of(text, seed) == day_of(phantom.text, seed)
        same = scan["phantom"] == phantom.name or known
        if not same or (phantom.seeded and scan["seed"] != seed):
            continue
        used = used_s(scan, record)
        if used is None:
            raise InputError(
                f"{weights}: its record does not say which time of its scan was used; train it again"
            )
        start, stop = used
        if start < judged_s[1] - TOLERANCE_S and judged_s[0] < stop - TOLERANCE_S:
            raise InputError(
                f"{weights}: trained on {start:.1f} to {stop:.1f} s of {phantom.name} with seed {seed}, "
                f"to be judged on {judged_s[0]:.1f} to {judged_s[1]:.1f} s of it: "
                f"{'take another --seed, or ' if phantom.seeded else ''}train on the time before"
            )
