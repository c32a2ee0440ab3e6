"""What the text of a patient says, without the patient: of which kind it is, and which day it shows.

Whoever compares scans reads texts alone. So nothing that moves or renders is imported here.
"""

from __future__ import annotations

from mrsim.errors import InputError
from mrsim.files.toml import parse_toml

KIND, TWIN, RECORDED = "patient", "twin", "recorded"


def day_of(text: str, seed: int | None) -> tuple[str, int | None]:
    """Return what two scans have in common if they show the same breathing.

    Of a patient the folder and the name are left out, and how bright or deep its twin was. A twin that goes
    as was recorded shows what the playback shows, and what was recorded is the same in every seed.

    Parameters
    ----------
    text, seed
        As a scan says what it was made from.
    """
    if not is_patient_text(text):
        return text, seed
    try:
        table = parse_toml(text, "a patient's text")
    except InputError:
        return text, seed
    told = [str(table.get(key)) for key in ("drive", "slow", "shift_s", "t_s", "value_mm")]
    ride = "" if table.get("form") != TWIN or told[:3] == [RECORDED, "1.0", "0.0"] else " ".join(told)
    seeded = bool(ride) and told[0] != RECORDED
    return f"{KIND} {table.get('sha256')} {ride}".strip(), seed if seeded else None


def is_patient_text(text: str) -> bool:
    """Return whether a text is that of a patient, not of a phantom."""
    return text.startswith(f'kind = "{KIND}"\n')
