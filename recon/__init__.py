"""Reconstructors: lines of k-space in, images out.

    import mrsim, recon

    scan = mrsim.simulate("patient1", seconds=100, acceleration=5, seed=1)
    weights = recon.train(scan.until(70), network="compact")      # the rest of the scan is left for tests

Importing it is cheap: a name is loaded when it is first used. It needs numpy and torch; with numba the
patients' images come sooner.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recon.adapters import from_export, from_module, from_onnx
    from recon.cascade.checkpoint import Checkpoint
    from recon.cascade.checkpoint import load as load_weights
    from recon.cascade.checkpoint import save as save_weights
    from recon.cascade.checkpoint import shipped as weights_names
    from recon.protocol import FrameAdapter, Image, Position, Reconstructor
    from recon.training.recipe import train

__all__ = [
    "Checkpoint",
    "FrameAdapter",
    "Image",
    "Position",
    "Reconstructor",
    "from_export",
    "from_module",
    "from_onnx",
    "load_weights",
    "save_weights",
    "train",
    "weights_names",
]

_WHERE = {
    "Checkpoint": ("cascade.checkpoint", "Checkpoint"),
    "FrameAdapter": ("protocol", "FrameAdapter"),
    "Image": ("protocol", "Image"),
    "Position": ("protocol", "Position"),
    "Reconstructor": ("protocol", "Reconstructor"),
    "from_export": ("adapters", "from_export"),
    "from_module": ("adapters", "from_module"),
    "from_onnx": ("adapters", "from_onnx"),
    "load_weights": ("cascade.checkpoint", "load"),
    "save_weights": ("cascade.checkpoint", "save"),
    "train": ("training.recipe", "train"),
    "weights_names": ("cascade.checkpoint", "shipped"),
}


if not TYPE_CHECKING:  # or a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in _WHERE:
            raise AttributeError(f"module 'recon' has no attribute {name!r}")
        module, attribute = _WHERE[name]
        found = getattr(importlib.import_module(f"recon.{module}"), attribute)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted(__all__)
