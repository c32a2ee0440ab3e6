"""What the text of a patient says, without the patient: of which kind it is, and which day it shows.

Whoever compares scans reads texts alone. So nothing that moves or renders is imported here.
"""

from __future__ import annotations

from mrsim.errors import InputError
from mrsim.files.toml import parse_toml

KIND, TWIN, RECORDED = "patient", "twin", "recorded"


def day_of(text: str, seed: int | None) -> frozenset[str] | None:
    """Return what two scans of patients have in common if they show the same breathing.

    The folder and the name are left out, and how bright or deep a twin was. A twin that goes as was recorded
    shows what the playback shows, and what was recorded is the same in every seed.

    Parameters
    ----------
    text, seed
        As a scan says what it was made from; None for a seed that it does not say.

    Returns
    -------
    day
        None where it cannot be told: the text is none, or the twin draws from a seed that is not said.
    """
    try:
        table = parse_toml(text, "a patient's text")
    except InputError:
        return None
    told = [str(table.get(key)) for key in ("drive", "slow", "shift_s", "t_s", "value_mm")]
    ride = "" if table.get("form") != TWIN or told[:3] == [RECORDED, "1.0", "0.0"] else " ".join(told)
    day = f"{KIND} {table.get('sha256')} {ride}".strip()
    if not ride or told[0] == RECORDED:
        return frozenset((day,))
    return None if seed is None else frozenset((f"{day} {seed}",))


def is_patient_text(text: str) -> bool:
    """Return whether a text is that of a patient, not of a phantom."""
    return text.startswith(f'kind = "{KIND}"\n')
