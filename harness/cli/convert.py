"""`mrsim convert`: a stream as a file of the field, or such a file as a stream."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness.console import progress
from mrsim.errors import InputError
from mrsim.formats.fastmri import fastmri_to_stream, is_fastmri, write_fastmri
from mrsim.formats.mrd_file import write_mrd
from mrsim.formats.mrd_import import Given, mrd_to_stream
from mrsim.formats.noise_scan import NoiseScans
from mrsim.formats.oversampling import Oversampling
from mrsim.stream import load
from mrsim.stream.storage import check_new_stream
from mrsim.stream.units import SPELLINGS

FILE_SUFFIXES = (".h5", ".hdf5", ".mrd")
LAYOUTS = ("mrd", "fastmri")
_READING = ("tr_ms", "te_ms", "flip_deg", "field_t", "lines_per_frame", "slice", "prewhiten")


def run(args: argparse.Namespace) -> int:
    """Convert, say what was left out or assumed, and return the exit code.

    Raises
    ------
    InputError
        If the source is damaged, an option is wrong, or the two do not go together.
    """
    source, target = Path(args.source), Path(args.target)
    writes = target.suffix.lower() in FILE_SUFFIXES
    if not source.exists():
        raise InputError(f"{source}: no such stream or file")
    if source.is_dir() != writes:
        suffixes = ", ".join(FILE_SUFFIXES)
        what = "a stream" if source.is_dir() else "a file"
        raise InputError(
            f"{source} is {what}, and so would {target} be: convert a folder to a {suffixes}, or back"
        )
    return _export(args, source, target) if writes else _import(args, source, target)


def _export(args: argparse.Namespace, source: Path, target: Path) -> int:
    for name in (*_READING, "overwrite"):
        if getattr(args, name):
            raise InputError(f"--{name.replace('_', '-')} goes with a file as the source")
    stream, noise = load(source), NoiseScans.of(source)
    oversampling = Oversampling(args.oversampling)
    with progress(f"writing {target.name}") as report:
        if args.layout == "fastmri":
            if oversampling is not Oversampling.NONE:
                raise InputError("--oversampling goes with --layout mrd")
            write_fastmri(stream, target, progress=report)
        else:
            write_mrd(stream, target, oversampling=oversampling, noise=noise, progress=report)
    extra = "" if stream.truth is None else ", with the truth beside"
    print(f"{target}: {len(stream)} lines of {stream.header.coils} coils ({args.layout}){extra}")
    if args.layout == "fastmri" and noise is not None:
        print("note: the layout has no place for the noise scans: they were left out")
    return 0


def _import(args: argparse.Namespace, source: Path, target: Path) -> int:
    if args.oversampling != "none":
        raise InputError(
            "--oversampling goes with a stream as the source; from a file it is taken off by itself"
        )
    check_new_stream(target, overwrite=args.overwrite)
    given = _given(args)
    convert = fastmri_to_stream if is_fastmri(source) else mrd_to_stream
    with progress(f"reading {source.name}") as report:
        imported = convert(source, target, given, report, overwrite=args.overwrite)
    stream = load(target)
    header = stream.header
    print(
        f"{target}: {stream.frames} frames of {header.lines_per_frame} lines, {header.matrix[0]} x "
        f"{header.matrix[1]}, {header.coils} coils, TR {header.tr_ns / 1e6:g} ms"
    )
    for note in imported.notes:
        print(f"note: {note}")
    if stream.truth is None:
        print(f"note: it has no truth: mrsim replay {target} CANDIDATE --no-quality")
    return 0


def _given(args: argparse.Namespace) -> Given:
    limits = {"tr_ms": 1e6, "te_ms": 1e6, "flip_deg": 180.0, "field_t": 100.0, "lines_per_frame": 1 << 16}
    for name, most in limits.items():
        value = getattr(args, name)
        if value is not None and not 0 < value <= most:
            raise InputError(f"--{name.replace('_', '-')} {value}: expected above 0, at most {most:g}")
    if args.slice is not None and args.slice < 0:
        raise InputError(f"--slice {args.slice}: expected 0 or more")
    given: dict[str, Any] = {}
    for key in ("tr_ms", "te_ms", "flip_deg", "field_t"):
        if getattr(args, key) is not None:
            given[SPELLINGS[key].name] = SPELLINGS[key].read(getattr(args, key))
    return Given(
        **given,
        lines_per_frame=args.lines_per_frame,
        slice=args.slice,
        prewhiten=args.prewhiten,
    )
