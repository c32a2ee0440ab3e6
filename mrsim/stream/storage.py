"""Streams on disk: a folder of `header.json` and `.npy` files, mapped and never pickled.

A stream is written under a temporary name and renamed when it is whole; what is read is checked
against the header before it is trusted, and every size is bounded before anything is mapped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.argument_types import checked
from mrsim.errors import InputError, StreamError, files_raise
from mrsim.files.arrays import map_array
from mrsim.files.reading import open_file, read_json
from mrsim.files.targets import check_folder, kind_of
from mrsim.files.writing import WholeFolder, allocate, check_room, new_file, unwritable, write_text
from mrsim.stream.fields import typed_fields
from mrsim.stream.header import MAX_PRESCAN, Header
from mrsim.stream.layout import ATTACHED, PARTS, check_array, expected_arrays, expected_truth
from mrsim.stream.provenance import Provenance
from mrsim.stream.stream import Stream
from mrsim.stream.truth import Truth
from mrsim.stream.values import LineOrder, check_name, check_positions

FORMAT = "mrsim-stream"
FORMAT_VERSION = 1
MAX_LINES = 1 << 31
MAX_REGIONS = 4096
MAX_HEADER_BYTES = 8 << 20
_MISSING = "missing: the stream is incomplete; make it again"


@checked
def save(stream: Stream, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the stream as a folder, whole or not at all.

    Parameters
    ----------
    stream
        The scan.
    path
        Folder to make; it must not exist.
    overwrite
        Whether an earlier stream that stands there is replaced.

    Returns
    -------
    path
        The folder.

    Raises
    ------
    StreamError
        If something stands there that may not be replaced, or the folder cannot be made.
    """
    truth = stream.truth
    layout = None if truth is None else (truth.regions, truth.target)
    with StreamWriter(
        path, stream.header, len(stream), stream.provenance, layout, overwrite=overwrite
    ) as writer:
        writer.append(stream.ky, stream.frame, stream.t_ns, stream.samples)
        if truth is not None:
            writer.append_truth(truth.displacement, truth.centroid, truth.image, truth.mask)
    return Path(path)


@checked
@files_raise(StreamError)
def load(path: str | Path) -> Stream:
    """Map a stored stream, read-only.

    Raises
    ------
    StreamError
        If the folder is not a stream, or a part of it is missing, truncated or of another shape.
    """
    folder = Path(path)
    meta = _read_header(path)
    header = _with_prescan(Header.from_dict(_section(meta, "header", folder)), meta, folder)
    lines = meta.get("lines")
    if not isinstance(lines, int) or isinstance(lines, bool) or not 1 <= lines <= MAX_LINES:
        raise StreamError(f"{folder}/header.json: lines = {lines!r}: expected 1 to {MAX_LINES}")
    columns = {
        name: _map_array(folder / f"{name}.npy", shape, dtype)
        for name, (shape, dtype) in expected_arrays(header, lines).items()
    }
    LineOrder(str(folder), header.lines_per_frame, stored=True).check(columns["frame"], columns["t_ns"])
    provenance = None
    if meta.get("provenance") is not None:
        values = _section(meta, "provenance", folder)
        if values.get("target_snr", 0.0) is None:
            values = values | {"target_snr": math.inf}
        check_name(values.get("phantom"), f"{folder}/header.json: provenance: phantom", least=0)
        provenance = Provenance(**typed_fields(Provenance, values, f"{folder}/header.json: provenance"))
    truth = None
    if meta.get("truth") is not None:
        truth = _load_truth(folder, _section(meta, "truth", folder), header, lines)
    return Stream(header, **columns, provenance=provenance, truth=truth, path=folder)


def attached(path: str | Path, name: str) -> NDArray[Any] | None:
    """Map an array that was attached to a stored stream, read-only; None where there is none.

    Raises
    ------
    StreamError
        If it is truncated, or not a `.npy` array.
    """
    file = Path(path) / f"{name}.npy"
    return map_array(file, missing=_MISSING) if file.exists() else None


class StreamWriter:
    """Write a stream as it runs, in bounded memory; the folder appears when it is whole.

    Use it as a context manager: leaving it normally renames the folder into place, leaving it by an
    error removes what was written.

    Parameters
    ----------
    path
        Folder to make.
    header
        The protocol.
    lines
        Number of lines that will be written.
    provenance
        How it is made.
    truth
        Names of the regions and of the target, if truth is to be stored.
    overwrite
        Whether an earlier stream that stands there is replaced.

    Raises
    ------
    StreamError
        If something stands at `path` that may not be replaced, or the folder cannot be made.
    """

    def __init__(
        self,
        path: str | Path,
        header: Header,
        lines: int,
        provenance: Provenance | None,
        truth: tuple[tuple[str, ...], str] | None,
        *,
        overwrite: bool = False,
    ) -> None:
        self._path = Path(path)
        check_new_stream(self._path, overwrite=overwrite)
        self._folder = WholeFolder(self._path, replace=overwrite)
        self._partial = self._folder.partial
        self._header, self._lines, self._provenance, self._truth = header, lines, provenance, truth
        self._arrays: dict[str, np.memmap[Any, Any]] = {}
        self._line = self._truth_line = self._truth_frame = 0
        self._order = LineOrder(str(path), header.lines_per_frame, stored=True)

    def __enter__(self) -> StreamWriter:
        layout = expected_arrays(self._header, self._lines)
        if self._truth is not None:
            layout |= expected_truth(self._header, self._lines, len(self._truth[0]))
        # A full disk under a mapped file kills the process, so the room is looked at first, and taken.
        check_room(
            self._path, sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in layout.values())
        )
        self._folder.__enter__()
        try:
            for name, (shape, dtype) in layout.items():
                file = self._partial / f"{name}.npy"
                self._arrays[name] = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
                allocate(file, file.stat().st_size)
        except BaseException as error:
            self._arrays.clear()
            self._folder.discard()
            if isinstance(error, OSError):
                raise unwritable(self._path, error) from None
            raise
        return self

    def append(
        self,
        ky: NDArray[np.int32],
        frame: NDArray[np.int32],
        t_ns: NDArray[np.int64],
        samples: NDArray[np.complex64],
    ) -> None:
        """Write the next lines; shapes as in `Stream`, cut to a piece.

        Raises
        ------
        StreamError
            If a frame is not the line's, or a time does not ascend.
        """
        self._order.check(frame, t_ns)
        stop = self._line + len(ky)
        for name, column in zip(Stream.COLUMNS, (ky, frame, t_ns, samples), strict=True):
            self._arrays[name][self._line : stop] = column
        self._line = stop

    def attach(self, name: str, array: NDArray[Any]) -> None:
        """Write one of `ATTACHED` beside the columns, such as noise scans; `attached` reads it."""
        assert name in ATTACHED, name
        with new_file(self._partial / f"{name}.npy") as file:
            np.save(file, array, allow_pickle=False)

    def append_truth(
        self,
        displacement: NDArray[np.float64],
        centroid: NDArray[np.float64],
        image: NDArray[np.complex64],
        mask: NDArray[np.bool_],
    ) -> None:
        """Write the truth of the next lines and frames; shapes as in `Truth`, cut to a piece.

        Raises
        ------
        StreamError
            If a position is NaN, infinite or too large.
        """
        line, frame = self._truth_line + len(displacement), self._truth_frame + len(image)
        positions = {"centroid": centroid, "displacement": displacement}
        check_positions(str(self._path), self._header.lines_per_frame, positions, self._truth_line)
        self._arrays["displacement"][self._truth_line : line] = displacement
        self._arrays["centroid"][self._truth_line : line] = centroid
        self._arrays["image"][self._truth_frame : frame] = image
        self._arrays["mask"][self._truth_frame : frame] = mask
        self._truth_line, self._truth_frame = line, frame

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as error:
            raise unwritable(self._path, error) from None
        finally:
            self._arrays.clear()
            self._folder.discard()

    def _finish(self) -> None:
        if self._line != self._lines:
            raise StreamError(f"{self._path}: {self._line} of {self._lines} lines were written")
        if self._truth is not None and self._truth_line != self._lines:
            raise StreamError(f"{self._path}: the truth of {self._truth_line} of {self._lines} was written")
        for array in self._arrays.values():
            array.flush()
        self._arrays.clear()
        prescan = self._header.prescan
        if prescan is not None:
            self.attach("prescan", np.ascontiguousarray(prescan))
        meta: dict[str, Any] = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "lines": self._lines,
            "header": self._header.to_dict(),
            "provenance": _strict(dataclasses.asdict(self._provenance)) if self._provenance else None,
            "truth": {"regions": list(self._truth[0]), "target": self._truth[1]} if self._truth else None,
        }
        if prescan is not None:
            meta["prescan"] = list(prescan.shape[1:])
        write_text(self._partial / "header.json", json.dumps(meta, indent=1, allow_nan=False))
        self._folder.put()


def _with_prescan(header: Header, meta: dict[str, Any], folder: Path) -> Header:
    size = meta.get("prescan")
    if size is None:
        return header
    whole = isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)
    if not whole or not all(1 <= n <= MAX_PRESCAN for n in size):
        raise StreamError(
            f"{folder}/header.json: prescan = {str(size)[:40]}: expected rows and columns, 1 to {MAX_PRESCAN}"
        )
    array = _map_array(folder / "prescan.npy", (header.coils, *size), np.complex64)
    return dataclasses.replace(header, prescan=array)


def _strict(provenance: dict[str, Any]) -> dict[str, Any]:
    # JSON has no infinity: without noise the SNR is null. Earlier streams say Infinity, which is read, too.
    infinite = math.isinf(provenance["target_snr"])
    return provenance | {"target_snr": None} if infinite else provenance


def _load_truth(folder: Path, meta: dict[str, Any], header: Header, lines: int) -> Truth:
    regions, target = meta.get("regions"), meta.get("target")
    if not isinstance(regions, list) or not 1 <= len(regions) <= MAX_REGIONS or target not in regions:
        raise StreamError(f"{folder}/header.json: truth: expected a list of regions and a target among them")
    for number, region in enumerate(regions):
        check_name(region, f"{folder}/header.json: truth: region {number}")
    layout = expected_truth(header, lines, len(regions))
    arrays = {n: _map_array(folder / f"{n}.npy", shape, dtype) for n, (shape, dtype) in layout.items()}
    return Truth(tuple(regions), str(target), **arrays)


@files_raise(StreamError)
def check_stream(path: str | Path) -> None:
    """Refuse a folder that is no stream, by its header alone.

    Raises
    ------
    StreamError
        If it has no header, or another's.
    """
    _read_header(path)


def _read_header(path: str | Path) -> dict[str, Any]:
    if not str(path):
        raise StreamError("'': an empty name; name a stream's folder")
    folder = Path(path)
    file = folder / "header.json"
    if not file.is_file():
        if _holds_dicom(folder):
            raise StreamError(
                f"{folder}: not a stream: it holds DICOM, images without their k-space; raw data is read "
                "from MRD and fastMRI files by `mrsim convert`"
            )
        found = kind_of(folder)
        if not found:
            raise StreamError(f"{folder}: not a stream: nothing is there; make one with `mrsim simulate`")
        if not folder.is_dir():
            raise StreamError(f"{folder}: not a stream: it is {found}; make one with `mrsim simulate`")
        raise StreamError(f"{folder}: not a stream: it has no header.json; make one with `mrsim simulate`")
    meta = read_json(file, MAX_HEADER_BYTES, "a stream's header")
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise StreamError(f"{file}: not a stream's header: format is not {FORMAT!r}")
    if meta.get("version") != FORMAT_VERSION:
        raise StreamError(f"{file}: version = {meta.get('version')!r}: this mrsim reads {FORMAT_VERSION}")
    return meta


def _holds_dicom(folder: Path) -> bool:
    with contextlib.suppress(OSError, InputError):
        for entry in itertools.islice(folder.iterdir(), 20):
            if entry.suffix.lower() in (".dcm", ".ima"):
                return True
            if entry.is_file():
                with open_file(entry) as file:
                    if file.read(132)[128:] == b"DICM":
                        return True
    return False


def check_new_stream(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a place where a stream may not be written, before the work and not after it.

    Parameters
    ----------
    path
        Folder to make.
    overwrite
        Whether an earlier stream that stands there may be replaced.

    Raises
    ------
    StreamError
        If something else stands there, or a stream that may not be replaced, or the folder cannot be made.
    """
    found = kind_of(path)
    if found == "a file" or (found == "a folder" and not _is_stream(Path(path))):
        raise StreamError(f"{path}: exists and is not a stream; choose another name")
    check_folder(path)
    if found and not overwrite:
        raise StreamError(
            f"{path}: a stream is there already; choose another name, or give --overwrite (overwrite=True)"
        )
    if found:
        others = sorted(e.name for e in Path(path).iterdir() if not _is_own(e))
        if others:
            raise StreamError(
                f"{path}: it holds {others[0]!r}, no part of a stream, which would be lost; move it away"
            )


def _is_own(entry: Path) -> bool:
    """Tell whether a file is one that a stream consists of."""
    return entry.name in PARTS and entry.is_file() and not entry.is_symlink()


def _is_stream(folder: Path) -> bool:
    try:
        _read_header(folder)
    except InputError:
        return False
    return True


def _section(meta: dict[str, Any], key: str, folder: Path) -> dict[str, Any]:
    section = meta.get(key)
    if not isinstance(section, dict):
        raise StreamError(f"{folder}/header.json: {key}: expected a table")
    return section


def _map_array(file: Path, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    array = map_array(file, missing=_MISSING)
    check_array(array, shape, dtype, str(file))
    return array
