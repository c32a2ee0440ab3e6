"""The scan that is shipped: packed into one small file, so that a first picture takes no kernel and no scan.

A quantised scan is packed as its codes. True images change little from frame to frame: of them the
differences are kept. Bytes of the same weight stand together, which is what compression wants.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import StreamError, files_raise
from mrsim.files.arrays import read_arrays
from mrsim.files.writing import write_arrays
from mrsim.scanner.quantised import codes_of, step_of
from mrsim.stream import Header, Provenance, Stream, Truth

FILE = "scans/quasar-20s.npz"
"""20 s of the motion phantom, among the shipped phantoms."""
BREATHING = {
    "motion.breathing.amplitude_mm": 16.0,
    "motion.breathing.period_s": 3.4,
    "motion.breathing.baseline_mm": 4.0,
}
"""How it breathes; the shipped weights were trained on 12 mm, 4.5 s and no baseline."""
SEED, SECONDS = 0, 20.0
ADC_STEP = 2.0**-13
"""Its receiver's step: the largest sample fills 15 of the 16 bits, and noise takes some hundred codes."""
MAX_BYTES = 1 << 26
_REMEDY = "install mrsim again"


def example_scan() -> Stream:
    """Return the scan that is shipped, in memory: 20 s of a breathing motion phantom at 4x.

    It is the scan that `mrsim demo` shows, with its truth. Nothing is compiled for it, and no scan is made.

    Returns
    -------
    stream
        285 frames of 32 lines, one coil, 128 x 128.

    Raises
    ------
    StreamError
        If the shipped file is missing or damaged.
    """
    with importlib.resources.as_file(importlib.resources.files("phantoms") / FILE) as path:
        return unpack(path)


def pack(stream: Stream, path: str | Path) -> None:
    """Write a quantised scan with its truth and provenance into one compressed file.

    Parameters
    ----------
    stream
        The scan; in one coil, since a prescan is not packed.
    path
        The file (.npz).

    Raises
    ------
    StreamError
        If it is not quantised, has no truth or provenance, or has a prescan.
    """
    header, truth, made = stream.header, stream.truth, stream.provenance
    if not header.adc_step or truth is None or made is None or header.prescan is not None:
        raise StreamError("a scan is packed if it is quantised, of one coil, with truth and provenance")
    meta = {
        "header": header.to_dict(), "provenance": dataclasses.asdict(made), "regions": list(truth.regions),
        "target": truth.target,
    }  # fmt: skip
    frames = codes_of("image", truth.image, header.adc_step)
    arrays = {
        "meta": np.frombuffer(json.dumps(meta, allow_nan=False).encode(), np.uint8),
        "ky": stream.ky,
        "samples": _squeezed(codes_of("samples", stream.samples, header.adc_step).astype("<i2")),
        "displacement": _squeezed(truth.displacement),
        "centroid": truth.centroid,
        "image": _squeezed(np.diff(frames, axis=0, prepend=0).astype("<i4")),
        "mask": _squeezed(np.packbits(truth.mask)),
    }
    write_arrays(path, arrays)


@files_raise(StreamError)
def unpack(path: str | Path) -> Stream:
    """Return a packed scan, in memory.

    Raises
    ------
    StreamError
        If the file is missing or damaged.
    """
    arrays = read_arrays(path, MAX_BYTES, "a packed scan", missing=f"no such file; {_REMEDY}", remedy=_REMEDY)
    try:
        return _stream(arrays)
    except (
        ValueError, LookupError, TypeError, OverflowError, EOFError, RecursionError, lzma.LZMAError,
    ) as error:  # fmt: skip
        said = " ".join(str(error).split())[:200]
        raise StreamError(f"{path}: damaged, or not a packed scan: {said}; {_REMEDY}") from None


def _stream(arrays: dict[str, NDArray[Any]]) -> Stream:
    meta = json.loads(arrays["meta"].tobytes())
    header, step = Header.from_dict(meta["header"]), meta["header"]["adc_step"]
    lines, per_frame = len(arrays["ky"]), header.lines_per_frame
    frames, line = lines // per_frame, np.arange(lines, dtype=np.int64)
    shape = (frames, *header.matrix)
    codes = np.cumsum(_whole(arrays["image"], "<i4", (*shape, 2)), axis=0, dtype=np.int32)
    samples = _whole(arrays["samples"], "<i2", (lines, header.coils, header.matrix[1], 2))
    pixels = math.prod(shape)
    mask = np.unpackbits(_whole(arrays["mask"], "u1", (-(-pixels // 8),)), count=pixels)
    truth = Truth(
        tuple(meta["regions"]),
        meta["target"],
        _whole(arrays["displacement"], "<f8", (lines, len(meta["regions"]), 2)),
        arrays["centroid"],
        _values("image", codes, step),
        mask.reshape(shape).astype(np.bool_),
    )
    return Stream(
        header,
        ky=arrays["ky"],
        frame=(line // per_frame).astype(np.int32),
        t_ns=line * header.tr_ns + header.te_ns,
        samples=_values("samples", samples, step),
        provenance=Provenance(**meta["provenance"]),
        truth=truth,
    )


def _values(name: str, codes: NDArray[Any], adc_step: float) -> NDArray[np.complex64]:
    parts = codes.astype(np.float32) * np.float32(step_of(name, adc_step))
    return parts.view(np.complex64)[..., 0]


def _squeezed(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array's bytes compressed, those of the same weight together."""
    planes = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.dtype.itemsize).T
    return np.frombuffer(lzma.compress(planes.tobytes()), np.uint8)


def _whole(squeezed: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    width, size = np.dtype(dtype).itemsize, math.prod(shape) * np.dtype(dtype).itemsize
    data = lzma.LZMADecompressor().decompress(squeezed.tobytes(), size)
    if size > MAX_BYTES or len(data) != size:
        raise ValueError(f"an array unfolds to {len(data)} of {size} bytes")
    planes = np.frombuffer(data, np.uint8).reshape(width, -1)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
