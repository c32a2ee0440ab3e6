"""The HDF5 layout of the fastMRI sets, for scans whose frames are fully sampled.

`kspace` is (frames, coils, readout, phase encode): the phase encode runs along the last axis, as the sets'
masks do, so that a frame of ours is transposed. `reconstruction_rss` is the root of the sum of squares over
the coils, `max` and `norm` are its largest entry and its Euclidean norm, and `ismrmrd_header` is the XML. In
the sets an entry is a slice; here it is a frame. The layout has no place for the order of the lines within a
frame: it is kept in the companion, and is ascending where it is not.

Knoll et al. 2020, 10.1148/ryai.2020190007.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError
from mrsim.formats import require_h5py
from mrsim.formats.bounded import Progress
from mrsim.formats.companion import Companion, companion_bytes, copy_truth, read_companion, write_companion
from mrsim.formats.hdf5 import dataset, guarded, opened, whole_hdf5
from mrsim.formats.mrd_header import Encoding, header_to_xml, xml_to_encoding
from mrsim.formats.mrd_import import Given, Imported, complete_header
from mrsim.formats.mrd_xml import MAX_XML_BYTES
from mrsim.formats.oversampling import crop_oversampling
from mrsim.formats.raw_hdf5 import read_text
from mrsim.stream import Header, Stream
from mrsim.stream.fourier import to_image
from mrsim.stream.header import MAX_COILS, MAX_MATRIX, ky_range
from mrsim.stream.storage import StreamWriter, check_new_stream

MAX_FRAMES = 1 << 16
MAX_FRAME_BYTES = 256 << 20
_PURPOSE = "fastMRI files"
_ACQUISITION = "mrsim"  # the sets name the protocol here, such as CORPD_FBK


def write_fastmri(stream: Stream, path: str | Path, *, progress: Progress | None = None) -> Path:
    """Write a stream of fully sampled frames in the fastMRI layout, whole or not at all.

    Parameters
    ----------
    stream
        The scan; lines after its last whole frame are left out.
    path
        File to write.
    progress
        Told the frames done and the total.

    Returns
    -------
    path
        The file.

    Raises
    ------
    FormatError
        If a frame is not fully sampled, or the file cannot be written there.
    MissingExtraError
        If `ismrmrd` and `h5py` are not installed.
    """
    header, target = stream.header, Path(path)
    ny, nx = header.matrix
    if header.lines_per_frame != ny or stream.frames == 0:
        raise FormatError(
            f"{stream.path or 'stream'}: frames of {header.lines_per_frame} of {ny} lines: the fastMRI "
            "layout takes fully sampled ones; scan with --acceleration 1, or convert to MRD"
        )
    stream = stream.first_frames(stream.frames)
    h5py = require_h5py(_PURPOSE)
    largest, squares = 0.0, 0.0
    size = stream.samples.nbytes + 4 * stream.frames * nx * ny + companion_bytes(stream)
    with whole_hdf5(target, size) as file:
        text = header_to_xml(header, frames=stream.frames).decode("ascii")
        file.create_dataset("ismrmrd_header", data=text, dtype=h5py.string_dtype("utf-8"))
        kspace = file.create_dataset("kspace", (stream.frames, header.coils, nx, ny), np.complex64)
        combined = file.create_dataset("reconstruction_rss", (stream.frames, nx, ny), np.float32)
        for frame in range(stream.frames):
            kspace[frame] = grid = _gridded(stream, frame)
            combined[frame] = image = _combined(grid)
            largest = max(largest, float(image.max()))
            squares += float(np.sum(image.astype(np.float64) ** 2))
            if progress is not None:
                progress(frame + 1, stream.frames)
        file.attrs["acquisition"] = _ACQUISITION
        file.attrs["patient_id"] = stream.provenance.phantom if stream.provenance else "unknown"
        file.attrs["max"], file.attrs["norm"] = largest, math.sqrt(squares)
        group = write_companion(file, stream)
        for name in ("ky", "frame", "t_ns"):
            group.create_dataset(name, data=getattr(stream, name))
    return target


def _gridded(stream: Stream, frame: int) -> NDArray[np.complex64]:
    """Return one frame's k-space, shape (coils, nx, ny)."""
    ny = stream.header.matrix[0]
    lines = slice(frame * ny, (frame + 1) * ny)
    rows = stream.ky[lines] - ky_range(ny)[0]
    if np.unique(rows).size != ny:
        raise FormatError(f"{stream.path or 'stream'}: frame {frame}: a row of k-space is missing")
    grid = np.empty((ny, *stream.samples.shape[1:]), np.complex64)
    grid[rows] = stream.samples[lines]
    return np.ascontiguousarray(grid.transpose(1, 2, 0))


def _combined(grid: NDArray[np.complex64]) -> NDArray[np.float32]:
    magnitude = np.sqrt(np.sum(np.abs(to_image(grid.astype(np.complex128))) ** 2, axis=0))
    out: NDArray[np.float32] = magnitude.astype(np.float32)
    return out


def fastmri_to_stream(
    source: str | Path,
    target: str | Path,
    given: Given | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Imported:
    """Write the frames of a fully sampled fastMRI file as a stream, in bounded memory.

    Parameters
    ----------
    source
        The file.
    target
        Folder of the stream.
    given
        What the file leaves out.
    progress
        Told the frames done and the total.
    overwrite
        Whether an earlier stream that stands there is replaced.

    Returns
    -------
    imported
        The folder, and notes on what was found or assumed.

    Raises
    ------
    FormatError
        If the file is damaged, undersampled, or leaves out what nobody gave.
    MissingExtraError
        If `ismrmrd` and `h5py` are not installed.
    """
    check_new_stream(target, overwrite=overwrite)
    path, given = Path(source), given or Given()
    for refused, option in ((given.slice, "--slice"), (given.lines_per_frame, "--lines-per-frame")):
        if refused is not None:
            raise FormatError(f"{path}: {option} goes with MRD files, and this is a fastMRI file")
    if given.prewhiten:
        raise FormatError(f"{path}: it has no noise scans to prewhiten by")
    with opened(path) as file:
        with guarded(path):
            kspace = _kspace(file, path)
            encoding = xml_to_encoding(
                read_text(dataset(file, "ismrmrd_header", path, ()), path, MAX_XML_BYTES), str(path)
            )
        companion = read_companion(file, path)
        return _write(kspace, encoding, companion, path, Path(target), given, progress, overwrite)


def is_fastmri(path: str | Path) -> bool:
    """Return whether a file has the fastMRI layout: k-space as an array at its root.

    Raises
    ------
    FormatError
        If it is not an HDF5 file, or damaged.
    """
    with opened(Path(path)) as file, guarded(Path(path)):
        return "kspace" in file and hasattr(file["kspace"], "shape")


def _kspace(file: Any, path: Path) -> Any:
    if "mask" in file:
        raise FormatError(f"{path}: it has a mask: only fully sampled sets can be taken")
    single = "kspace" in file and len(getattr(file["kspace"], "shape", ())) == 3
    found = dataset(file, "kspace", path, (None, None, None) if single else (None,) * 4)
    frames, coils, nx, ny = (found.shape[0], 1, *found.shape[1:]) if single else found.shape
    fits = 1 <= frames <= MAX_FRAMES and 1 <= coils <= MAX_COILS
    if not fits or not 1 <= nx <= 2 * MAX_MATRIX or not 1 <= ny <= MAX_MATRIX:
        expected = "expected (frames, coils, readout, rows)"
        raise FormatError(f"{path}: kspace: its shape is {found.shape}: {expected}")
    size = coils * nx * ny * 8
    if size > MAX_FRAME_BYTES:
        raise FormatError(
            f"{path}: kspace: {size >> 20} MiB a frame: at most {MAX_FRAME_BYTES >> 20} are read"
        )
    if found.dtype != np.complex64:
        raise FormatError(f"{path}: kspace: it is {found.dtype}: expected complex64")
    if found.id.get_storage_size() == 0:
        raise FormatError(f"{path}: kspace: it was never written")
    return found


def _write(
    kspace: Any,
    encoding: Encoding,
    companion: Companion | None,
    path: Path,
    target: Path,
    given: Given,
    progress: Progress | None,
    overwrite: bool,
) -> Imported:
    frames, samples, ny = kspace.shape[0], kspace.shape[-2], kspace.shape[-1]
    coils = 1 if kspace.ndim == 3 else kspace.shape[1]
    notes: list[str] = []
    nx = encoding.matrix[1]
    if samples not in (nx, 2 * nx):
        raise FormatError(f"{path}: kspace has {samples} samples along the readout, its header {nx} columns")
    if samples != nx:
        notes.append("readouts have 2x oversampling: it was taken off")
    if ny != encoding.matrix[0]:
        notes.append(f"kspace has {ny} rows, its header {encoding.matrix[0]}: those of kspace were taken")
        encoding = dataclasses.replace(encoding, matrix=(ny, nx))
    own = companion is not None and companion.lines == frames * ny and "ky" in companion.group
    acquired = np.ones(ny, np.bool_) if own else _acquired(kspace, path, progress)
    per_frame = int(acquired.sum())
    if per_frame != ny:
        notes.append(f"{ny - per_frame} rows of kspace are zero in every frame: they were not acquired")
    header = complete_header(encoding, path, coils, given, per_frame, notes)
    count = frames * per_frame
    ky, frame, t_ns = _columns(header, frames, companion, path, acquired)
    kept = companion if companion is not None and companion.lines == count else None
    provenance, truth = (None, None) if kept is None else (kept.provenance, kept.truth)
    with StreamWriter(target, header, count, provenance, truth, overwrite=overwrite) as writer:
        for number in range(frames):
            with guarded(path):
                grid = kspace[number].reshape(coils, samples, ny)
            lines = slice(number * per_frame, (number + 1) * per_frame)
            rows = crop_oversampling(grid.transpose(2, 0, 1), nx)[ky[lines] - ky_range(ny)[0]]
            writer.append(ky[lines], frame[lines], t_ns[lines], rows)
            if progress is not None:
                progress(number + 1, frames)
        if kept is not None and kept.truth is not None:
            copy_truth(kept, header, count, writer, progress)
    return Imported(target, count, tuple(notes))


def _acquired(kspace: Any, path: Path, progress: Progress | None) -> NDArray[np.bool_]:
    """Return which rows hold anything in any frame: the sets pad theirs with zeros, to one size."""
    found = np.zeros(kspace.shape[-1], np.bool_)
    for number in range(kspace.shape[0]):
        with guarded(path):
            found |= (kspace[number].reshape(-1, len(found)) != 0).any(axis=0)
        if found.all():
            break
        if progress is not None:
            progress(0, kspace.shape[0])
    if not found.any():
        raise FormatError(f"{path}: kspace: it is zero everywhere")
    return found


def _columns(
    header: Header, frames: int, companion: Companion | None, path: Path, acquired: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Return ky, frame and t_ns of each line: the companion's, else ascending and at the pace of TR."""
    ny = header.matrix[0]
    low, count = ky_range(ny)[0], frames * int(acquired.sum())
    line = np.arange(count, dtype=np.int64)
    if companion is None or companion.lines != count or "ky" not in companion.group:
        ky = np.tile(np.flatnonzero(acquired) + low, frames).astype(np.int32)
        return ky, (line // int(acquired.sum())).astype(np.int32), line * header.tr_ns + header.te_ns
    columns = []
    with guarded(path):
        for name, dtype in (("ky", np.int32), ("frame", np.int32), ("t_ns", np.int64)):
            found = dataset(companion.group, name, path, (count,))
            if found.dtype != dtype:
                raise FormatError(f"{path}: {found.name}: it is {found.dtype}: expected {np.dtype(dtype)}")
            columns.append(found[:])
    ky, frame, t_ns = columns
    whole = np.sort(ky.reshape(frames, ny), axis=1) == np.arange(low, low + ny)
    if not whole.all():
        raise FormatError(f"{path}: {companion.group.name}/ky: a frame has not every row")
    return ky, frame, t_ns
