"""MRD files (HDF5), written many readouts at a time, and read piece by piece.

The layout is that of the package: a group with `xml`, the header, and `data`, a table of heads and samples of
variable length. Its own `append_acquisition` takes one readout at a time and grows the table for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError
from mrsim.formats import require_h5py, require_ismrmrd
from mrsim.formats.bounded import Progress
from mrsim.formats.companion import companion_bytes, write_companion
from mrsim.formats.hdf5 import blocks, dataset, guarded, member, whole_hdf5
from mrsim.formats.mrd_acquisition import Marks, make_heads, noise_head, prescan_heads
from mrsim.formats.mrd_header import Encoding, header_to_xml, xml_to_encoding
from mrsim.formats.mrd_xml import MAX_XML_BYTES
from mrsim.formats.noise_scan import NoiseScans
from mrsim.formats.oversampling import Oversampling, oversample
from mrsim.formats.raw_hdf5 import PLACE, Heap, places, raw_rows, read_text
from mrsim.stream import Stream

GROUP = "dataset"  # the name that every tool falls back to
MAX_READOUTS = 1 << 21
CHUNK = 64  # readouts
ROW_BYTES = 512  # that a readout takes beside its samples, about
_PURPOSE = "MRD files"
_KEPT = (
    "flags", "scan_counter", "acquisition_time_stamp", "number_of_samples", "active_channels", "discard_pre",
    "discard_post", "center_sample", "encoding_space_ref", "trajectory_dimensions", "sample_time_us", "idx",
    "user_int",
)  # fmt: skip


def write_mrd(
    stream: Stream,
    path: str | Path,
    *,
    oversampling: Oversampling = Oversampling.NONE,
    noise: NoiseScans | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a stream as an MRD file, whole or not at all; its prescan goes first, as calibration alone.

    Parameters
    ----------
    stream
        The scan; its samples may be a mapped file.
    path
        File to write.
    oversampling
        Convention of readout oversampling; with it the samples are interpolated, and no longer the same bits.
    noise
        Noise scans, written first.
    progress
        Told the readouts done and the total.

    Returns
    -------
    path
        The file.

    Raises
    ------
    FormatError
        If it cannot be written there, or the noise is of another number of coils.
    MissingExtraError
        If `ismrmrd` and `h5py` are not installed.
    """
    header, target = stream.header, Path(path)
    dtype = require_ismrmrd(_PURPOSE).hdf5.acquisition_dtype
    if noise is not None and noise.samples.shape[1] != header.coils:
        raise FormatError(
            f"{target}: noise scans of {noise.samples.shape[1]} coils, and lines of {header.coils}"
        )
    scans = 0 if noise is None else len(noise.samples)
    before = scans + (0 if header.prescan is None else header.prescan.shape[1])
    total = before + len(stream)
    if total > MAX_READOUTS:
        raise FormatError(f"{target}: {total} readouts: at most {MAX_READOUTS} go into a file")
    marks = Marks(lines=len(stream))
    size = oversampling.factor * stream.samples.nbytes + total * ROW_BYTES + companion_bytes(stream)
    with whole_hdf5(target, size) as file:
        group = file.create_group(GROUP)
        xml = group.create_dataset("xml", (1,), require_h5py(_PURPOSE).string_dtype("ascii"))
        xml[0] = header_to_xml(header, oversampling, -(-len(stream) // header.lines_per_frame))
        table = group.create_dataset("data", (total,), dtype, maxshape=(None,), chunks=(CHUNK,))
        for scan in range(scans):
            assert noise is not None
            samples = noise.samples[scan]
            head = noise_head(samples.shape, float(noise.dwell_us[scan]), scan)
            table[scan : scan + 1] = _records(dtype, np.array([head]), samples[None])
        if header.prescan is not None:
            rows = np.ascontiguousarray(header.prescan.transpose(1, 0, 2))
            table[scans:before] = _records(dtype, prescan_heads(header, scans), rows)
        for start, stop in blocks(len(stream), header.coils * header.matrix[1] * 8):
            columns = (stream.frame[start:stop], stream.ky[start:stop], stream.t_ns[start:stop])
            heads = make_heads(header, np.arange(start, stop), *columns, oversampling, marks)
            heads["scan_counter"] += before
            samples = oversample(stream.samples[start:stop], header.matrix[1] * oversampling.factor)
            table[before + start : before + stop] = _records(dtype, heads, samples)
            if progress is not None:
                progress(stop, len(stream))
        write_companion(group, stream)
    return target


def _records(dtype: Any, heads: NDArray[Any], samples: NDArray[np.complex64]) -> NDArray[Any]:
    records = np.zeros(len(heads), dtype)
    records["head"] = heads
    flat = np.ascontiguousarray(samples).view(np.float32).reshape(len(heads), -1)
    trajectory = np.zeros(0, np.float32)
    for line in range(len(heads)):  # a row of objects each, which no single assignment makes
        records["data"][line], records["traj"][line] = flat[line], trajectory
    return records


class ReadoutSource(Protocol):
    """Give the readouts of a scan: what its header says, their heads, and their samples piece by piece."""

    @property
    def path(self) -> Path:
        """Return the file."""

    @property
    def encoding(self) -> Encoding:
        """Return what its header says."""

    @property
    def heads(self) -> NDArray[Any]:
        """Return the heads of all readouts, structured."""

    def samples(self, readouts: NDArray[np.int64]) -> NDArray[np.complex64]:
        """Read the samples of readouts of one shape, shape (readouts, coils, n), complex64."""


@dataclass(frozen=True)
class MrdSource:
    """Hold an open MRD file: what it says of itself, and its heads; samples are read piece by piece.

    Parameters
    ----------
    path
        The file.
    encoding
        What its header says.
    heads
        Heads of all readouts, as they stand in the file, without the fields that nothing here looks at.
    places
        Where the samples of each readout lie, and how many numbers (two a sample), shape (readouts,).
    heap
        Reads them.
    group
        The file's group that holds them.
    """

    path: Path
    encoding: Encoding
    heads: NDArray[Any]
    places: NDArray[Any]
    heap: Heap
    group: Any

    def samples(self, readouts: NDArray[np.int64]) -> NDArray[np.complex64]:
        """Read the samples of readouts of one shape, in the order that is asked for.

        Returns
        -------
        samples
            Shape (readouts, coils, n), complex64.

        Raises
        ------
        FormatError
            If the file holds another number of samples than the head says.
        """
        first = self.heads[readouts[0]]
        coils, count = int(first["active_channels"]), int(first["number_of_samples"])
        width = 2 * coils * count
        out = np.empty((len(readouts), coils, count), np.complex64)
        rows = out.view(np.float32).reshape(len(readouts), -1)
        for row, readout in enumerate(readouts):
            place = self.places[readout]
            if place["length"] != width:
                mismatch = f"{int(place['length'])} numbers, and its head says {width}"
                raise FormatError(f"{self.path}: readout {int(readout)}: {mismatch}")
            if width:
                rows[row] = self.heap.read(place, 4 * width).view("<f4")
        return out


def open_mrd(file: Any, path: Path) -> MrdSource:
    """Look at an MRD file: its header, and the heads of its readouts.

    Raises
    ------
    FormatError
        If it is not an MRD file of a Cartesian 2-D scan, or is damaged.
    MissingExtraError
        If `ismrmrd` is not installed.
    """
    with guarded(path):
        name = mrd_group(file, path)
        if name is None:
            raise FormatError(f"{path}: it has no group with the datasets xml and data: not an MRD file")
        group = file[name]
        encoding = xml_to_encoding(
            read_text(dataset(group, "xml", path, (1,)), path, MAX_XML_BYTES), str(path)
        )
        table = dataset(group, "data", path, (None,))
        return MrdSource(path, encoding, *_heads(table, path), Heap(path), group)


def mrd_group(file: Any, path: Path) -> str | None:
    """Return the name of the group that holds readouts, None where there is none."""
    names = [GROUP, *sorted(str(key) for key in list(file)[:64] if key != GROUP)]
    for name in names:
        group = member(file, name, path)
        if group is not None and hasattr(group, "keys") and "xml" in group and "data" in group:
            return name
    return None


def _heads(table: Any, path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read heads, and where the samples lie, from the rows as they lie on the disk."""
    whole = require_ismrmrd(_PURPOSE).hdf5.acquisition_header_dtype
    count = table.shape[0]
    if not 1 <= count <= MAX_READOUTS:
        raise FormatError(f"{path}: {table.name}: {count} readouts: expected 1 to {MAX_READOUTS}")
    found = table.dtype
    if found.names is None or not {"head", "data"} <= set(found.names):
        raise FormatError(f"{path}: {table.name}: it is no table of heads and samples")
    check = require_h5py(_PURPOSE).check_vlen_dtype
    if check(found["data"]) != np.dtype("<f4") or ("traj" in found.names and check(found["traj"]) is None):
        raise FormatError(
            f"{path}: {table.name}: its samples are not of variable length and single precision"
        )
    wanted = np.dtype([(name, whole[name]) for name in _KEPT])
    _check_fields(found["head"], wanted, f"{path}: {table.name}")
    kind = table.id.get_type()
    at = {name: kind.get_member_offset(kind.get_member_index(name.encode())) for name in found.names}
    heads, where = np.empty(count, wanted), np.empty(count, PLACE)
    for start, rows in raw_rows(table, path, kind.get_size()):
        stop = start + len(rows)
        inner = np.ascontiguousarray(rows[:, at["head"] : at["head"] + found["head"].itemsize])
        _copy_fields(heads[start:stop], inner.view(found["head"])[:, 0])
        where[start:stop] = places(rows, at["data"])
    return heads, where


def _check_fields(found: np.dtype[Any], wanted: np.dtype[Any], where: str) -> None:
    for name in wanted.names or ():
        if found.names is None or name not in found.names:
            raise FormatError(f"{where}: its heads have no field {name!r}")
        have, want = found[name], wanted[name]
        if want.names is not None:
            _check_fields(have, want, where)
        elif have.shape != want.shape or have.base.kind != want.base.kind:
            raise FormatError(f"{where}: the field {name!r} of its heads is {have}: expected {want}")


def _copy_fields(into: NDArray[Any], found: NDArray[Any]) -> None:
    """Copy by name, for numpy would copy by place, and files differ in both."""
    for name in into.dtype.names or ():
        if into.dtype[name].names is not None:
            _copy_fields(into[name], found[name])
        else:
            into[name] = found[name]


def kept_heads(found: NDArray[Any], where: str) -> NDArray[Any]:
    """Return heads without the fields that nothing here looks at.

    Parameters
    ----------
    found
        Whole heads, shape (readouts,), structured.
    where
        How errors name them.
    """
    wanted = np.dtype([(name, found.dtype[name]) for name in _KEPT])
    _check_fields(found.dtype, wanted, where)
    heads = np.empty(len(found), wanted)
    _copy_fields(heads, found)
    return heads


def read_noise(source: ReadoutSource, readouts: NDArray[np.int64]) -> NoiseScans:
    """Read the noise scans of a file; all of one shape."""
    parts = [source.samples(readouts[a:b]) for a, b in _noise_blocks(source, readouts)]
    return NoiseScans(np.concatenate(parts), source.heads["sample_time_us"][readouts].astype(np.float32))


def _noise_blocks(source: ReadoutSource, readouts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    first = source.heads[readouts[0]]
    return blocks(len(readouts), int(first["active_channels"]) * int(first["number_of_samples"]) * 8)
