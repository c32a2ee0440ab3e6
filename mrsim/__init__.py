"""The scanner in software: moving phantoms, bSSFP and dynamic sampling make streams of k-space lines.

Importing it is cheap: a submodule is loaded when it is first named, so that numba is needed only
where something is simulated.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "Header": "stream",
    "Readout": "stream",
    "Stream": "stream",
    "Truth": "stream",
    "CoilArray": "coils",
    "FieldMap": "spins",
    "scan_isochromats": "bloch_scan",
    "write_seq": "pulseq",
    "load": "storage",
    "save": "storage",
    "InputError": "errors",
    "MrsimError": "errors",
    "Phantom": "phantom",
    "load_phantom": "phantom",
    "Oracle": "oracle",
    "ScanProtocol": "scan_protocol",
    "phantom_names": "phantom_file",
    "scan": "scanner",
    "scan_to": "scanner",
    "truth_of": "oracle",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"mrsim.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'mrsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
