"""The scanner in software: moving phantoms, bSSFP and dynamic sampling make streams of k-space lines.

Importing it is cheap: a submodule is loaded when it is first named, so that numba is needed only
where something is simulated.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "Header": "stream.stream",
    "Readout": "stream.stream",
    "Stream": "stream.stream",
    "Truth": "stream.stream",
    "CoilArray": "reception.coils",
    "FieldMap": "spins.body",
    "scan_isochromats": "spins.scan",
    "write_seq": "formats.pulseq",
    "load": "stream.storage",
    "save": "stream.storage",
    "InputError": "errors",
    "MrsimError": "errors",
    "Phantom": "anatomy.phantom",
    "load_phantom": "anatomy.phantom",
    "Oracle": "scanner.oracle",
    "ScanProtocol": "scanner.protocol",
    "phantom_names": "anatomy.phantom_file",
    "scan": "scanner.scan",
    "scan_to": "scanner.scan",
    "truth_of": "scanner.oracle",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"mrsim.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'mrsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
