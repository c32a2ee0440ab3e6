"""`mrsim convert`: a stream as a file of the field, or such a file as a stream."""

from __future__ import annotations

import argparse
import os
import select
import sys
from pathlib import Path
from typing import Any

from harness.cli.arguments import add_overwrite
from harness.console import progress
from mrsim.errors import InputError
from mrsim.files.targets import check_outside, check_target, kind_of
from mrsim.files.writing import new_file, scratch_folder
from mrsim.formats.fastmri import write_fastmri
from mrsim.formats.foreign import file_to_stream
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_import import Given
from mrsim.formats.mrd_messages import write_messages
from mrsim.formats.noise_scan import NoiseScans
from mrsim.formats.oversampling import Oversampling
from mrsim.stream import load
from mrsim.stream.storage import check_new_stream, check_stream
from mrsim.stream.units import SPELLINGS
from mrsim.summary import counted

PIPE = "-"
SILENT_S = 60.0
MAX_PIPED_BYTES = 64 << 30
FILE_SUFFIXES = (".h5", ".hdf5", ".mrd")
FOREIGN = (
    ".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm", ".ima", ".dat", ".mat", ".npy", ".npz", ".zip",
    ".tar", ".gz", ".raw", ".cfl", ".hdr",
    ".png", ".gif", ".tif", ".tiff", ".jpg", ".mp4", ".seq", ".toml", ".json",
    ".csv", ".html",
)  # fmt: skip
"""Endings of a target that nobody takes for the folder of a stream."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "source",
        metavar="SRC",
        help="folder of a stream, an HDF5 file, or MRD messages (file, or - for a pipe)",
    )
    command.add_argument(
        "target", metavar="DST", help="a name that ends in .h5 or .mrd, a folder, or - for messages"
    )
    command.add_argument(
        "--layout", choices=("mrd", "fastmri", "messages"), default=None,
        help="of a file to write: MRD in HDF5 (the default), the fastMRI sets', or MRD messages (of a pipe)",
    )  # fmt: skip
    command.add_argument(
        "--oversampling", choices=("none", "reported", "unreported"), default="none",
        help="write 2x readout oversampling, with or without it in the encoded space (%(default)s)",
    )  # fmt: skip
    reading = command.add_argument_group("of a file that is read, where it does not say so itself")
    reading.add_argument("--tr-ms", type=float, metavar="MS", help="repetition time")
    reading.add_argument("--te-ms", type=float, metavar="MS", help="echo time (half of TR)")
    reading.add_argument("--flip-deg", type=float, metavar="DEG", help="flip angle (20)")
    reading.add_argument("--field-t", type=float, metavar="T", help="static field")
    reading.add_argument("--lines-per-frame", type=int, metavar="N", help="cut frames anew, by time")
    reading.add_argument(
        "--slice", dest="slice_", type=int, metavar="N", help="the slice to take, of several"
    )
    reading.add_argument("--prewhiten", action="store_true", help="by the noise scans in the file")
    add_overwrite(command)


def run(
    *,
    source: str,
    target: str,
    layout: str | None,
    oversampling: str,
    overwrite: bool,
    tr_ms: float | None,
    te_ms: float | None,
    flip_deg: float | None,
    field_t: float | None,
    lines_per_frame: int | None,
    slice_: int | None,
    prewhiten: bool,
) -> int:
    """Convert, say what was left out or assumed, and return the exit code.

    Raises
    ------
    InputError
        If the source is damaged, an option is wrong, or the two do not go together.
    """
    reading = {
        "tr_ms": tr_ms, "te_ms": te_ms, "flip_deg": flip_deg, "field_t": field_t,
        "lines_per_frame": lines_per_frame, "slice": slice_, "prewhiten": prewhiten,
    }  # fmt: skip
    path, goal = Path(source), Path(target)
    writes = target == PIPE or goal.suffix.lower() in FILE_SUFFIXES
    if target == PIPE and layout not in (None, "messages"):
        raise InputError(f"--layout {layout}: into a pipe go messages alone")
    if source == PIPE:
        if writes:
            raise InputError("- and -: a pipe is made a stream; name a folder")
        check_new_stream(goal, overwrite=overwrite)  # before the pipe is read to its end
        with scratch_folder(goal) as scratch:
            return _import(_spooled(scratch / "messages"), goal, reading, overwrite, "the pipe")
    if not path.exists():
        raise InputError(f"{path}: no such stream or file")
    _check_kinds(path, goal, writes)
    if path.is_dir() != writes:
        suffixes = ", ".join(FILE_SUFFIXES)
        if not writes and kind_of(goal) == "a pipe":
            raise InputError(f"{goal} is a pipe: write to standard output with -, and redirect that into it")
        if not writes:
            raise InputError(
                f"{path} is a stream, and so would {goal} be: name a {suffixes}, or - for a pipe"
            )
        made = "a pipe takes" if target == PIPE else f"{goal} would be"
        raise InputError(
            f"{path} is a file, and {made} another: convert it to a stream (a folder) first, and that to "
            f"{target}"
        )
    if writes:
        for name, value in {**reading, "overwrite": overwrite}.items():
            if value:
                raise InputError(f"--{name.replace('_', '-')} goes with a file as the source")
        if target == PIPE:
            return _send(path, oversampling)
        return _export(path, goal, layout or "mrd", oversampling)
    if oversampling != "none":
        raise InputError(
            "--oversampling goes with a stream as the source; from a file it is taken off by itself"
        )
    return _import(path, goal, reading, overwrite)


def _check_kinds(source: Path, target: Path, writes: bool) -> None:
    """Refuse what neither is nor will be a stream or an HDF5 file, by what it is."""
    written = ", ".join(FILE_SUFFIXES)
    if source.is_dir():
        check_stream(source)
    ending = "".join(target.suffixes[-2:]).lower() if not writes else ""
    if ending in FOREIGN or target.suffix.lower() in FOREIGN:
        raise InputError(f"{target}: files of that kind are not written; name a {written}, or a folder")


def _export(source: Path, target: Path, layout: str, how: str) -> int:
    check_target(target, *FILE_SUFFIXES)
    stream, noise = load(source), NoiseScans.of(source)
    oversampling = Oversampling(how)
    with progress(f"writing {target.name}") as report:
        if layout == "fastmri":
            if oversampling is not Oversampling.NONE:
                raise InputError("--oversampling goes with --layout mrd")
            write_fastmri(stream, target, progress=report)
        elif layout == "messages":
            if target.exists():
                raise InputError(f"{target}: exists; choose another name")
            with new_file(target) as file:
                write_messages(stream, file, oversampling=oversampling, noise=noise, progress=report)
        else:
            write_mrd(stream, target, oversampling=oversampling, noise=noise, progress=report)
    extra = "" if stream.truth is None else ", with the truth beside"
    if layout == "messages" and stream.truth is not None:
        extra = "; messages have no place for the truth"
    print(f"{target}: {len(stream)} lines of {counted(stream.header.coils, 'coil')} ({layout}){extra}")
    if layout == "fastmri" and noise is not None:
        print("note: the layout has no place for the noise scans: they were left out")
    return 0


def _send(source: Path, how: str) -> int:
    """Write a stream to standard output as messages; what is said goes elsewhere."""
    stream, noise = load(source), NoiseScans.of(source)
    out = getattr(sys.stdout, "binary", None) or sys.stdout.buffer
    write_messages(stream, out, oversampling=Oversampling(how), noise=noise)
    out.flush()
    print(f"{len(stream)} lines of {counted(stream.header.coils, 'coil')} (messages)", file=sys.stderr)
    return 0


def _spooled(path: Path) -> Path:
    """Write what comes from standard input into a file, and return it."""
    taken = 0
    with new_file(path) as file:
        while True:
            if not select.select([sys.stdin], [], [], SILENT_S)[0]:
                raise InputError(f"standard input: nothing came for {SILENT_S:g} s, and no end")
            piece = os.read(sys.stdin.fileno(), 1 << 20)
            if not piece:
                break
            taken += len(piece)
            if taken > MAX_PIPED_BYTES:
                raise InputError(f"standard input: more than {MAX_PIPED_BYTES >> 30} GiB; convert a file")
            file.write(piece)
    if not taken:
        raise InputError("standard input: it is empty; pipe MRD messages into it")
    return path


def _import(source: Path, target: Path, reading: dict[str, Any], overwrite: bool, called: str = "") -> int:
    check_new_stream(target, overwrite=overwrite)
    check_outside(target)
    given = _given(reading)
    try:
        with progress(f"reading {called or source.name}") as report:
            imported = file_to_stream(source, target, given, report, overwrite=overwrite)
    except InputError as error:
        raise type(error)(str(error).replace(str(source), called or str(source))) from None
    stream = load(target)
    header = stream.header
    print(
        f"{target}: {stream.frames} frames of {header.lines_per_frame} lines, {header.matrix[0]} x "
        f"{header.matrix[1]}, {counted(header.coils, 'coil')}, TR {header.tr_ns / 1e6:g} ms"
    )
    for note in imported.notes:
        print(f"note: {note}")
    if stream.truth is None:
        print(f"note: it has no truth: mrsim replay {target} CANDIDATE --no-quality")
    return 0


def _given(reading: dict[str, Any]) -> Given:
    limits = {"tr_ms": 1e6, "te_ms": 1e6, "flip_deg": 180.0, "field_t": 100.0, "lines_per_frame": 1 << 16}
    for name, most in limits.items():
        value = reading[name]
        if value is not None and not 0 < value <= most:
            raise InputError(f"--{name.replace('_', '-')} {value}: expected above 0, at most {most:g}")
    if reading["slice"] is not None and reading["slice"] < 0:
        raise InputError(f"--slice {reading['slice']}: expected 0 or more")
    given: dict[str, Any] = {}
    for key in ("tr_ms", "te_ms", "flip_deg", "field_t"):
        if reading[key] is not None:
            given[SPELLINGS[key].name] = SPELLINGS[key].read(reading[key])
    return Given(
        **given,
        lines_per_frame=reading["lines_per_frame"],
        slice=reading["slice"],
        prewhiten=reading["prewhiten"],
    )
