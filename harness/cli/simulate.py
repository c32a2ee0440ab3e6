"""The command `simulate`: a phantom, an engine and a protocol in, a stream and perhaps a sequence out."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.settings import settings
from harness.console import progress
from mrsim.errors import InputError
from mrsim.files.targets import check_target
from mrsim.files.writing import scratch_folder
from mrsim.scanner.protocol import CATALYSATION, COMBINATIONS, ENGINES, SPINS_PER_SIDE, ScanProtocol
from mrsim.stream import Stream, load, save
from mrsim.stream.storage import check_new_stream

if TYPE_CHECKING:
    from mrsim.anatomy.phantom import Phantom


def run(args: argparse.Namespace) -> int:
    """Scan a phantom into a folder."""
    from mrsim.anatomy.phantom import load_phantom
    from mrsim.scanner.combination import check_combination, combined

    _check(args)
    phantom = load_phantom(args.phantom, settings(args.set))
    protocol = _protocol(args)
    if args.combine != "none":
        check_combination(protocol.header(), args.combine)  # before the scan, which may be long
    scan = _scan_spins if args.engine == "isochromats" else _scan_exactly
    if args.combine == "none":
        scan(args, phantom, protocol, Path(args.output), args.overwrite)
    else:
        with scratch_folder(beside=args.output) as folder:
            scan(args, phantom, protocol, folder / "channels.stream", False)
            stream = combined(load(folder / "channels.stream"), phantom, protocol, args.combine)
            save(stream, args.output, overwrite=args.overwrite)
    stream = load(args.output)
    header, seconds = stream.header, len(stream) * stream.header.tr_ns / 1e9
    print(
        f"{args.output}: {stream.frames} frames of {header.lines_per_frame} lines, {seconds:.1f} s, "
        f"SNR of the target {protocol.target_snr:g}, seed {args.seed}"
    )
    if args.pulseq is not None:
        _write_sequence(args, phantom, stream)
    return 0


def _check(args: argparse.Namespace) -> None:
    for option, known in (("engine", ENGINES), ("combine", COMBINATIONS)):
        value = getattr(args, option)
        if value not in known:
            raise InputError(f"--{option} {value}: expected one of {', '.join(known)}")
    spins = args.engine == "isochromats"
    for option in ("spins", "t2_prime_ms", "field_hz", "breathing_field_hz_per_m"):
        if not spins and getattr(args, option) is not None:
            raise InputError(f"--{option.replace('_', '-')}: for --engine isochromats alone")
    if not spins and args.catalysation not in (None, CATALYSATION) and args.pulseq is None:
        raise InputError("--catalysation: for --engine isochromats or --pulseq; analytic is the steady state")
    if spins and (args.timing != "prospective" or args.rendering != "exact"):
        raise InputError("--engine isochromats: it is prospective and exact; leave --timing and --rendering")
    check_new_stream(args.output, overwrite=args.overwrite)
    check_target(args.pulseq, ".seq")
    if args.combine != "none" and args.coils < 2:
        raise InputError(f"--combine {args.combine}: one coil needs no combination; set --coils")


def _protocol(args: argparse.Namespace) -> ScanProtocol:
    for option in ("tr_ms", "te_ms"):
        if not 0 <= getattr(args, option) < 1e6:  # false for NaN, too
            raise InputError(f"--{option.replace('_', '-')} {getattr(args, option)}: expected milliseconds")
    given = {key: getattr(args, key, default) for key, default in ScanProtocol().file_values().items()}
    return ScanProtocol.from_file_values(given)


def _scan_exactly(
    args: argparse.Namespace, phantom: Phantom, protocol: ScanProtocol, path: Path, overwrite: bool
) -> None:
    from mrsim.scanner.acquisition import scan_to

    with progress(f"scanning {phantom.name}") as report:
        scan_to(
            path,
            phantom,
            protocol,
            seed=args.seed,
            seconds=args.seconds,
            frames=args.frames,
            progress=report,
            overwrite=overwrite,
        )


def _scan_spins(
    args: argparse.Namespace, phantom: Phantom, protocol: ScanProtocol, path: Path, overwrite: bool
) -> None:
    from mrsim.spins.isochromat_scan import scan_isochromats
    from mrsim.spins.off_resonance import FieldMap

    frames = args.frames
    if frames is None:
        if not (math.isfinite(args.seconds) and args.seconds > 0):
            raise InputError(f"--seconds {args.seconds}: expected a positive number of seconds")
        frames = math.ceil(min(args.seconds * 1e9, 1e18) / protocol.header().frame_ns - 1e-9)
    field = None
    if args.field_hz is not None or args.breathing_field_hz_per_m is not None:
        none = (0.0,) * 6
        field = FieldMap(tuple(args.field_hz or none), tuple(args.breathing_field_hz_per_m or none))
    stream = scan_isochromats(
        phantom,
        protocol,
        seed=args.seed,
        frames=frames,
        spins=SPINS_PER_SIDE if args.spins is None else args.spins,
        catalysation=_catalysation(args.catalysation),
        field=field,
        t2_prime_s=None if args.t2_prime_ms is None else args.t2_prime_ms * 1e-3,
    )
    save(stream, path, overwrite=overwrite)


def _catalysation(text: str | None) -> str | int:
    if text is None:
        return CATALYSATION
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _write_sequence(args: argparse.Namespace, phantom: Phantom, stream: Stream) -> None:
    from mrsim.formats.pulseq import write_seq

    how = _catalysation(args.catalysation)
    if isinstance(how, str) and how not in ("alpha/2", "none"):
        raise InputError(f"--catalysation {how}: expected alpha/2, none or a number of TRs")
    extra = {} if phantom.slice_ is None else {"slice_m": phantom.slice_.thickness_m}
    dummies = how if isinstance(how, int) else 0
    path = write_seq(
        stream.header, stream.ky, Path(args.pulseq), half_flip=how == "alpha/2", dummies=dummies, **extra
    )
    print(f"{path}: the sequence of {len(stream)} lines")
