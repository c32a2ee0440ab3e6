"""The scanner in software: moving phantoms, bSSFP and dynamic sampling make streams of k-space lines.

    import mrsim

    scan = mrsim.simulate("quasar", seconds=10, acceleration=4, seed=1)
    scan.samples    # (lines, coils, nx), complex64: every line at its own time
    scan.truth      # images, masks and the target's path, without noise

Importing it is cheap: a name is loaded when it is first used, so that numba is needed only where something is
simulated.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrsim.anatomy.phantom import Phantom, load_phantom
    from mrsim.anatomy.phantom_file import phantom_names
    from mrsim.anatomy.series.patient import Patient
    from mrsim.anatomy.series.stored import load_patient, prepare_patient
    from mrsim.errors import InputError, MissingExtraError, MrsimError
    from mrsim.formats.pulseq import write_seq
    from mrsim.scanner.example import example_scan
    from mrsim.scanner.oracle import Oracle, truth_of
    from mrsim.scanner.protocol import ScanProtocol
    from mrsim.simulation import simulate
    from mrsim.spins.off_resonance import FieldMap
    from mrsim.stream import Header, Provenance, Readout, Stream, Truth, load, save

__version__ = "0.2.0.dev0"

__all__ = [
    "FieldMap",
    "Header",
    "InputError",
    "MissingExtraError",
    "MrsimError",
    "Oracle",
    "Patient",
    "Phantom",
    "Provenance",
    "Readout",
    "ScanProtocol",
    "Stream",
    "Truth",
    "__version__",
    "example_scan",
    "load",
    "load_patient",
    "load_phantom",
    "phantom_names",
    "prepare_patient",
    "save",
    "simulate",
    "truth_of",
    "write_seq",
]

_WHERE = {
    "FieldMap": "spins.off_resonance",
    "Header": "stream",
    "InputError": "errors",
    "MissingExtraError": "errors",
    "MrsimError": "errors",
    "Oracle": "scanner.oracle",
    "Patient": "anatomy.series.patient",
    "Phantom": "anatomy.phantom",
    "Provenance": "stream",
    "Readout": "stream",
    "ScanProtocol": "scanner.protocol",
    "Stream": "stream",
    "Truth": "stream",
    "example_scan": "scanner.example",
    "load": "stream",
    "load_patient": "anatomy.series.stored",
    "load_phantom": "anatomy.phantom",
    "phantom_names": "anatomy.phantom_file",
    "prepare_patient": "anatomy.series.stored",
    "save": "stream",
    "simulate": "simulation",
    "truth_of": "scanner.oracle",
    "write_seq": "formats.pulseq",
}


if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _WHERE:
            raise AttributeError(f"module 'mrsim' has no attribute {name!r}")
        found = getattr(importlib.import_module(f"mrsim.{_WHERE[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted(__all__)
