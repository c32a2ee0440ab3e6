"""A scan as data: header, lines, truth, and their storage.

It needs numpy alone: everybody's floor, so that `recon` runs where the simulator cannot.
"""

from mrsim.stream.header import Header
from mrsim.stream.provenance import Provenance
from mrsim.stream.readout import Readout
from mrsim.stream.storage import load, save
from mrsim.stream.stream import Stream
from mrsim.stream.truth import Truth

__all__ = ["Header", "Provenance", "Readout", "Stream", "Truth", "load", "save"]
