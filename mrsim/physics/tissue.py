"""What tissues are to the scanner: proton density, relaxation times and chemical shift, by field.

The values and their sources are data, in `phantoms/tissues.toml`.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
import tomllib
from dataclasses import dataclass
from typing import Any

from mrsim.errors import PhantomError

GYROMAGNETIC_HZ_PER_T = 42.577478518e6  # proton, CODATA 2018


@dataclass(frozen=True)
class Tissue:
    """Hold one tissue at one field.

    Parameters
    ----------
    name
        Its name in the table.
    field_t
        Static field, tesla.
    pd
        Proton density relative to water.
    t1_s, t2_s
        Relaxation times, seconds; infinite where there is no signal.
    shift_ppm
        Chemical shift from water, parts per million.
    assumed
        Whether the relaxation times are an assumption, not a measurement at this field.
    source
        Where they are from.
    """

    name: str
    field_t: float
    pd: float
    t1_s: float
    t2_s: float
    shift_ppm: float
    assumed: bool
    source: str

    @property
    def shift_hz(self) -> float:
        """Return the chemical shift at this field, hertz."""
        return self.shift_ppm * 1e-6 * GYROMAGNETIC_HZ_PER_T * self.field_t


def tissue_names() -> tuple[str, ...]:
    """Return the names of all tissues."""
    return tuple(_table())


def tissue(name: str, field_t: float) -> Tissue:
    """Look a tissue up.

    Parameters
    ----------
    name
        Its name in `phantoms/tissues.toml`.
    field_t
        Static field, tesla.

    Raises
    ------
    PhantomError
        If the tissue is not in the table, or has no values at this field.
    """
    entry = _table().get(name)
    if entry is None:
        raise PhantomError(f"tissue {name!r} is not known; known: {', '.join(_table())}")
    pd, ppm = float(entry["pd"]), float(entry.get("shift_ppm", 0.0))
    if pd == 0:
        return Tissue(name, field_t, 0.0, math.inf, math.inf, ppm, False, str(entry["source"]))
    for at in entry["at"]:
        if math.isclose(at["field_t"], field_t, rel_tol=1e-6):
            assumed = bool(at.get("assumed", False))
            return Tissue(
                name, field_t, pd, at["t1_ms"] / 1e3, at["t2_ms"] / 1e3, ppm, assumed, str(at["source"])
            )
    fields = ", ".join(f"{at['field_t']:g}" for at in entry["at"])
    raise PhantomError(f"tissue {name!r} has no values at {field_t:g} T; it has them at {fields} T")


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    text = (importlib.resources.files("phantoms") / "tissues.toml").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = tomllib.loads(text)
    return table
