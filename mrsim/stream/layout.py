"""The shape and dtype of every array of a stream, which follow from its header."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import StreamError
from mrsim.stream.header import Header

Layout = dict[str, tuple[tuple[int, ...], type]]


ATTACHED = ("prescan", "noise", "noise_dwell_us", "edges", "filters")
"""Arrays that may stand beside those of every stream."""
_ARRAYS = ("ky", "frame", "t_ns", "samples", "displacement", "centroid", "image", "mask", *ATTACHED)
PARTS = frozenset(["header.json", *(f"{name}.npy" for name in _ARRAYS)])
"""Files that a stream consists of."""


def expected_arrays(header: Header, lines: int) -> Layout:
    """Return the shape and dtype of every column of a stream with so many lines."""
    return {
        "ky": ((lines,), np.int32),
        "frame": ((lines,), np.int32),
        "t_ns": ((lines,), np.int64),
        "samples": ((lines, header.coils, header.matrix[1]), np.complex64),
    }


def expected_truth(header: Header, lines: int, regions: int) -> Layout:
    """Return the shape and dtype of every array of the truth of a stream with so many lines."""
    frames = lines // header.lines_per_frame
    return {
        "displacement": ((lines, regions, 2), np.float64),
        "centroid": ((lines, 2), np.float64),
        "image": ((frames, *header.matrix), np.complex64),
        "mask": ((frames, *header.matrix), np.bool_),
    }


def check_array(array: NDArray[Any], shape: tuple[int, ...], dtype: type, where: str) -> None:
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise StreamError(
            f"{where}: it is {array.dtype} {array.shape}, the header says {np.dtype(dtype)} {shape}"
        )
