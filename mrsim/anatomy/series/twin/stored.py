"""A twin as arrays in its patient's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrsim.anatomy.series.playback import Playback
from mrsim.anatomy.series.series import MAX_BYTES
from mrsim.anatomy.series.twin.twin import ARRAYS, Twin
from mrsim.errors import PhantomError
from mrsim.files.arrays import map_array
from mrsim.files.writing import write_array

AGAIN = "make it again with `mrsim patient`"


def write_twin(folder: Path, twin: Twin) -> None:
    """Write the arrays of a twin into a folder."""
    for name in ARRAYS:
        write_array(folder / f"{name}.npy", getattr(twin, name))


def load_twin(folder: Path, record: Mapping[str, Any], played: Playback) -> Twin:
    """Load the twin of a patient; its arrays are mapped.

    Parameters
    ----------
    folder, record
        The patient's folder, and what its record says.
    played
        Its playback.

    Raises
    ------
    PhantomError
        If it has none, or the arrays are not those of its record.
    """
    known = record.get("twin")
    if not isinstance(known, dict):
        raise PhantomError(f"{folder}: it has no twin yet; {AGAIN}, without --no-twin")
    if "refused" in known:
        raise PhantomError(f"{folder}: it has no twin: {str(known['refused'])[:300]}")
    arrays = {name: np.asarray(map_array(folder / f"{name}.npy")) for name in ARRAYS}
    if sum(array.nbytes for array in arrays.values()) > 2 * MAX_BYTES:
        raise PhantomError(f"{folder}: its twin's arrays are larger than {2 * MAX_BYTES} bytes")
    frames, *sides = played.images.shape
    parts = 2 if played.images.dtype.kind == "c" else 1
    modes, values = arrays["modes"], arrays["values"]
    count = len(modes) if modes.ndim else 0
    expected = {
        "reference": (played.images.dtype, (*sides,)),
        "modes": (np.dtype(np.float32), (count, 2, *sides)),
        "values": (np.dtype(np.float64), (frames, count)),
        "states": (np.dtype(np.float32), (frames, parts, *sides)),
        "rest_label": (np.dtype(np.bool_), (min(len(played.labels), 1), *sides)),
    }
    for name, (dtype, shape) in expected.items():
        if arrays[name].dtype != dtype or arrays[name].shape != shape:
            raise PhantomError(f"{folder}: {name}.npy does not fit its patient; {AGAIN}")
    if not 1 <= count <= 64 or not np.isfinite(values).all() or not np.isfinite(modes).all():
        raise PhantomError(f"{folder}: its twin's modes are none, or not finite; {AGAIN}")
    twin = Twin(**arrays, t_ns=played.t_ns, pixel_m=played.pixel_m)
    if twin.digest != known.get("sha256"):
        raise PhantomError(f"{folder}: its twin's arrays are not those of its record; {AGAIN}")
    return twin
