"""One quantity, two spellings: in Python, and in files and on the command line.

Python has SI units and integer nanoseconds: `tr_ns`, `flip_rad`, `fov_m`. People write files and options in
milliseconds, degrees and millimetres: `tr_ms = 2.2`, `--tr-ms 2.2`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Spelling:
    """Hold how a quantity is spelt in Python, and what a number in a file stands for.

    Parameters
    ----------
    name
        Name in Python.
    factor
        What one of the file's units is in Python's.
    divisor
        For units of which one in Python's is a whole number, so that the quotient is rounded once.
    """

    name: str
    factor: float = 1.0
    divisor: float = 1.0

    def read(self, value: float) -> float:
        """Return a file's value in Python's unit; nanoseconds are rounded to whole ones."""
        inside = value * self.factor / self.divisor
        return round(inside) if self.name.endswith("_ns") else inside

    def write(self, value: float) -> float:
        """Return Python's value in the file's unit."""
        return value / self.factor * self.divisor


SPELLINGS: Mapping[str, Spelling] = MappingProxyType(
    {
        "fov_mm": Spelling("fov_m", divisor=1e3),
        "tr_ms": Spelling("tr_ns", 1e6),
        "te_ms": Spelling("te_ns", 1e6),
        "flip_deg": Spelling("flip_rad", math.pi / 180),
        "field_t": Spelling("field_t"),
        "snr": Spelling("target_snr"),
    }
)
"""By the spelling in files; an option has dashes for underscores."""


def option_of(name: str) -> str | None:
    """Return the option of the command line for a quantity by its name in Python; None if it has none."""
    found = next((key for key, spelling in SPELLINGS.items() if spelling.name == name), None)
    return None if found is None else "--" + found.replace("_", "-")


def in_file_words(message: str) -> str:
    """Return a message with the spellings and units of files in place of Python's, such as `te_ms = 3`."""
    for key, spelling in SPELLINGS.items():
        found = re.search(rf"\b{spelling.name} = (\([^()]*\)|[-+.\w]+)", message)
        if found is not None:
            message = message.replace(found[0], f"{key} = {_rewritten(found[1], spelling)}")
        message = re.sub(rf"\b{spelling.name}\b", key, message)
    return message


def _rewritten(value: str, spelling: Spelling) -> str:
    try:
        numbers = [f"{spelling.write(float(part)):g}" for part in value.strip("()").split(",")]
    except ValueError:
        return value
    return f"({', '.join(numbers)})" if value.startswith("(") else numbers[0]
