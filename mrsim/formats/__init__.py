"""File formats of the field: MRD (ISMRMRD) and the layout of the fastMRI sets."""

from __future__ import annotations

import importlib
from typing import Any

from mrsim.errors import MissingExtraError


def require_ismrmrd(purpose: str) -> Any:
    """Return the package `ismrmrd`, whose codec is the only one that is used here.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    return _require("ismrmrd", purpose)


def require_h5py(purpose: str) -> Any:
    """Return the package `h5py`.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    return _require("h5py", purpose)


def _require(library: str, purpose: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError:
        raise MissingExtraError(library, "mrd", purpose) from None
