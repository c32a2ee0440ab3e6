"""MRD scans as a stream of messages (version 1), as they go over a socket: into a file or a pipe, and back.

A message is a number and what follows it: a configuration, the header, a readout, a waveform, an image, a
text, or the end. A stream of them is walked once; samples stay where they are until they are asked for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import FormatError
from mrsim.files.reading import open_file
from mrsim.formats import require_ismrmrd
from mrsim.formats.bounded import Progress
from mrsim.formats.hdf5 import blocks
from mrsim.formats.mrd_acquisition import Marks, make_heads, noise_head
from mrsim.formats.mrd_file import MAX_READOUTS, kept_heads
from mrsim.formats.mrd_header import Encoding, header_to_xml, xml_to_encoding
from mrsim.formats.mrd_xml import MAX_XML_BYTES
from mrsim.formats.noise_scan import NoiseScans
from mrsim.formats.oversampling import Oversampling, oversample
from mrsim.stream import Stream
from mrsim.stream.header import MAX_COILS, MAX_MATRIX

CONFIG_FILE, CONFIG_TEXT, HEADER, CLOSE, TEXT = 1, 2, 3, 4, 5
ACQUISITION, IMAGE, WAVEFORM = 1008, 1022, 1026
HEAD_BYTES = 340
_CONFIG_BYTES, _IMAGE_BYTES, _WAVEFORM_BYTES = 1024, 198, 40
_MAX_TEXT, _MAX_BLOB = 1 << 20, 256 << 20
_PURPOSE = "MRD messages"


@dataclass(frozen=True)
class MessageSource:
    """Hold a stream of messages: what its header says, and the heads of its readouts; samples are read later.

    Parameters
    ----------
    path
        The file.
    encoding
        What its header says.
    heads
        Heads of all readouts, as they stand in the file, without the fields that nothing here looks at.
    begins
        Where the samples of each begin, shape (readouts,), int64, bytes.
    notes
        What is odd about it, a line each.
    """

    path: Path
    encoding: Encoding
    heads: NDArray[Any]
    begins: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def samples(self, readouts: NDArray[np.int64]) -> NDArray[np.complex64]:
        """Read the samples of readouts of one shape, in the order that is asked for.

        Returns
        -------
        samples
            Shape (readouts, coils, n), complex64.
        """
        first = self.heads[readouts[0]]
        coils, count = int(first["active_channels"]), int(first["number_of_samples"])
        out = np.empty((len(readouts), coils, count), np.complex64)
        with open_file(self.path) as file:
            for row, readout in enumerate(readouts):
                head = self.heads[readout]
                if (int(head["active_channels"]), int(head["number_of_samples"])) != (coils, count):
                    raise FormatError(f"{self.path}: readout {int(readout)}: its shape is not the first's")
                file.seek(int(self.begins[readout]))
                out[row] = np.frombuffer(_exactly(file, out[row].nbytes, self.path), "<c8").reshape(coils, -1)
        return out


def is_messages(first: bytes) -> bool:
    """Return whether a file begins as a stream of messages does.

    Parameters
    ----------
    first
        Its first two bytes.
    """
    kinds = (CONFIG_FILE, CONFIG_TEXT, HEADER, CLOSE, TEXT, ACQUISITION, IMAGE, WAVEFORM)
    return len(first) >= 2 and struct.unpack("<H", first[:2])[0] in kinds


def open_messages(path: Path) -> MessageSource:
    """Walk a stream of messages from the first to the last.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FormatError
        If it is cut off, announces too much, or is no Cartesian 2-D scan.
    """
    dtype = require_ismrmrd(_PURPOSE).hdf5.acquisition_header_dtype
    encoding: Encoding | None = None
    heads, begins = bytearray(), list[int]()
    with open_file(path) as file:
        while (number := _number(file, path)) not in (None, CLOSE):
            if number == HEADER:
                text = _sized(file, "<I", MAX_XML_BYTES, path, "a header")
                encoding = xml_to_encoding(text.rstrip(b"\0"), str(path))
            elif number == ACQUISITION:
                head = _exactly(file, HEAD_BYTES, path)
                skip, size = _acquisition_bytes(np.frombuffer(head, dtype)[0], path, len(begins))
                if len(begins) == MAX_READOUTS:
                    raise FormatError(f"{path}: more than {MAX_READOUTS} readouts")
                heads += head
                file.seek(skip, 1)
                begins.append(file.tell())
                if size:  # the last byte is read, so that a file that is cut off is seen
                    file.seek(size - 1, 1)
                    _exactly(file, 1, path)
            else:
                _skip(file, number, path)
        notes = [] if number == CLOSE else ["no message says that the scan is over: it may be cut off"]
        if rest := _rest(file):
            notes.append(f"{rest} bytes after the end of the scan were left out")
    if encoding is None:
        raise FormatError(f"{path}: a stream of MRD messages without a header")
    if not begins:
        raise FormatError(f"{path}: a stream of MRD messages without a readout")
    found = kept_heads(np.frombuffer(bytes(heads), dtype), str(path))
    return MessageSource(path, encoding, found, np.array(begins, np.int64), tuple(notes))


def write_messages(
    stream: Stream,
    file: IO[bytes],
    *,
    oversampling: Oversampling = Oversampling.NONE,
    noise: NoiseScans | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a stream as messages: the header, noise scans, a readout for each line, and the end.

    Parameters
    ----------
    stream
        The scan. Its truth has no place there.
    file
        Where to write; it may be a pipe.
    oversampling
        Convention of readout oversampling.
    noise
        Noise scans, written first.
    progress
        Told the readouts done and the total.

    Raises
    ------
    MissingExtraError
        If `ismrmrd` is not installed.
    """
    header = stream.header
    xml = header_to_xml(header, oversampling, -(-len(stream) // header.lines_per_frame))
    file.write(struct.pack("<HI", HEADER, len(xml)) + xml)
    scans = 0 if noise is None else len(noise.samples)
    for scan in range(scans):
        assert noise is not None
        samples = noise.samples[scan]
        head = noise_head(samples.shape, float(noise.dwell_us[scan]), scan)
        _write(file, np.asarray(head), samples)
    marks = Marks(lines=len(stream))
    for start, stop in blocks(len(stream), header.coils * header.matrix[1] * 8):
        columns = (stream.frame[start:stop], stream.ky[start:stop], stream.t_ns[start:stop])
        heads = make_heads(header, np.arange(start, stop), *columns, oversampling, marks)
        heads["scan_counter"] += scans
        lines = oversample(stream.samples[start:stop], header.matrix[1] * oversampling.factor)
        for head, samples in zip(heads, lines, strict=True):
            _write(file, np.asarray(head), samples)
        if progress is not None:
            progress(stop, len(stream))
    file.write(struct.pack("<H", CLOSE))


def _write(file: IO[bytes], head: NDArray[Any], samples: NDArray[np.complex64]) -> None:
    file.write(struct.pack("<H", ACQUISITION) + head.tobytes())
    file.write(np.ascontiguousarray(samples, "<c8").tobytes())


def _number(file: IO[bytes], path: Path) -> int | None:
    """Return the number of the next message; None where the file ends, as some writers leave the end out."""
    raw = file.read(2)
    if not raw:
        return None
    if len(raw) < 2:
        raise FormatError(f"{path}: cut off within the number of a message")
    (number,) = struct.unpack("<H", raw)
    return int(number)


def _rest(file: IO[bytes]) -> int:
    """Return the number of bytes from here to the end."""
    here = file.tell()
    return file.seek(0, 2) - here


def _exactly(file: IO[bytes], count: int, path: Path) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise FormatError(f"{path}: cut off after {file.seek(0, 2)} bytes, within a message")
    return data


def _sized(file: IO[bytes], form: str, most: int, path: Path, what: str) -> bytes:
    (size,) = struct.unpack(form, _exactly(file, struct.calcsize(form), path))
    if size > most:
        raise FormatError(f"{path}: {what} of {size} bytes: at most {most} are read")
    return _exactly(file, size, path)


def _acquisition_bytes(head: Any, path: Path, number: int) -> tuple[int, int]:
    """Return the bytes of a readout's trajectory and of its samples."""
    count, coils = int(head["number_of_samples"]), int(head["active_channels"])
    if count > 2 * MAX_MATRIX or coils > MAX_COILS:
        raise FormatError(f"{path}: readout {number}: {coils} channels of {count} samples: too many")
    return 4 * count * int(head["trajectory_dimensions"]), 8 * count * coils


def _skip(file: IO[bytes], number: int | None, path: Path) -> None:
    """Pass over a message that is no readout and no header."""
    if number == CONFIG_FILE:
        _exactly(file, _CONFIG_BYTES, path)
    elif number in (CONFIG_TEXT, TEXT):
        _sized(file, "<I", _MAX_TEXT, path, "a text")
    elif number == WAVEFORM:
        head = _exactly(file, _WAVEFORM_BYTES, path)
        waveform = require_ismrmrd(_PURPOSE).waveform.WaveformHeader.from_buffer_copy(head)
        _pass(file, 4 * waveform.channels * waveform.number_of_samples, path)
    elif number == IMAGE:
        package = require_ismrmrd(_PURPOSE).image
        head = package.ImageHeader.from_buffer_copy(_exactly(file, _IMAGE_BYTES, path))
        _sized(file, "<Q", _MAX_TEXT, path, "the attributes of an image")
        try:
            width = int(package.get_dtype_from_data_type(head.data_type).itemsize)
        except TypeError:
            raise FormatError(f"{path}: an image of data type {head.data_type}, which is not known") from None
        x, y, z = head.matrix_size
        _pass(file, head.channels * x * y * z * width, path)
    else:
        raise FormatError(f"{path}: message {number} is not known and has no length to skip it by")


def _pass(file: IO[bytes], count: int, path: Path) -> None:
    if count > _MAX_BLOB:
        raise FormatError(f"{path}: a message of {count} bytes: at most {_MAX_BLOB} are read")
    _exactly(file, count, path)
