"""What each command does, once its arguments are read. Every one returns an exit code."""

from __future__ import annotations

import argparse
import importlib
import math
from pathlib import Path

from harness.console import print_table, progress
from harness.result import check_target, write_json
from harness.settings import settings
from mrsim.errors import InputError
from mrsim.storage import load


def phantoms(args: argparse.Namespace) -> int:
    """List the phantoms that are shipped, or draw one."""
    if (args.name is None) != (args.png is None):
        raise InputError("phantoms: name a phantom and --png FILE to draw it; neither, to list them all")
    if args.name is not None:
        from harness.drawing import draw_phantom

        check_target(args.png)
        draw_phantom(Path(args.png), args.name, seed=args.seed)
        print(f"{args.png}: {args.name} drawn")
        return 0
    from mrsim.phantom import load_phantom
    from mrsim.phantom_file import phantom_names

    loaded = [load_phantom(name) for name in phantom_names()]
    rows = [
        [name, p.title, str(len(p.regions)), p.target]
        for name, p in zip(phantom_names(), loaded, strict=True)
    ]
    print_table("phantoms", ["name", "what it is", "regions", "target"], rows)
    return 0


def simulate(args: argparse.Namespace) -> int:
    """Scan a phantom into a folder."""
    from mrsim.phantom import load_phantom
    from mrsim.scanner import ScanProtocol, scan_to

    phantom = load_phantom(args.phantom, settings(args.set))
    protocol = ScanProtocol(
        matrix=tuple(args.matrix),
        fov_m=(args.fov_mm[0] * 1e-3, args.fov_mm[1] * 1e-3),
        tr_ns=_nanoseconds(args.tr_ms, "--tr-ms"),
        te_ns=_nanoseconds(args.te_ms, "--te-ms"),
        flip_rad=math.radians(args.flip_deg),
        field_t=args.field_t,
        acceleration=args.acceleration,
        sampler=args.sampler,
        order=args.order,
        target_snr=args.snr,
        coils=args.coils,
        timing=args.timing,
        rendering=args.rendering,
    )
    with progress(f"scanning {phantom.name}") as report:
        path = scan_to(
            args.output,
            phantom,
            protocol,
            seed=args.seed,
            duration_s=args.seconds,
            frames=args.frames,
            progress=report,
        )
    stream = load(path)
    seconds = len(stream) * stream.header.tr_ns / 1e9
    print(
        f"{path}: {stream.frames} frames of {stream.header.lines_per_frame} lines, {seconds:.1f} s, "
        f"SNR of the target {protocol.target_snr:g}, seed {args.seed}"
    )
    return 0


def train(args: argparse.Namespace) -> int:
    """Train a cascade on stored streams."""
    from harness.training_command import run

    return run(args)


def replay(args: argparse.Namespace) -> int:
    """Replay a stream into a candidate and judge it."""
    from harness.session import play

    return play(args, load(args.stream))


def report(args: argparse.Namespace) -> int:
    """Replay, audit, and write a page."""
    from harness.session import play

    return play(args, load(args.stream))


def compare(args: argparse.Namespace) -> int:
    """Set several candidates side by side on several streams."""
    from harness.compare_result import run

    return run(args)


def audit(args: argparse.Namespace) -> int:
    """Look for what a reconstructor must not do, whatever its images look like."""
    from harness.session import audit

    return audit(args, None if args.stream is None else load(args.stream))


def serve(args: argparse.Namespace) -> int:
    """Serve a reconstructor to other programs."""
    from harness.serve_command import run

    return run(args)


def guard(args: argparse.Namespace) -> int:
    """Fail where a new candidate takes longer than the one before."""
    from harness.guard_command import run

    return run(args)


def dataset(args: argparse.Namespace) -> int:
    """Make many streams from a specification, or verify them."""
    from harness.dataset_command import run

    return run(args)


def convert(args: argparse.Namespace) -> int:
    """Turn a stream into a file of the field, or such a file into a stream."""
    from harness.convert_command import run

    return run(args)


def doctor(args: argparse.Namespace) -> int:
    """Say what this host can measure."""
    from harness.doctor import diagnose

    check_target(args.json)
    found = diagnose()
    if args.json:
        write_json(args.json, found.to_json())
    print("\n".join(found.lines()))
    return 0


def table(args: argparse.Namespace) -> int:
    """Judge every patient, acceleration and stage against every opponent."""
    from harness.table import run

    return run(args)


def demo(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    demonstration = importlib.import_module("harness.demo")
    return int(demonstration.run(Path(args.output), seed=args.seed))


def _nanoseconds(milliseconds: float, option: str) -> int:
    if not 0 <= milliseconds < 1e6:  # false for NaN, too
        raise InputError(f"{option} {milliseconds}: expected milliseconds")
    return round(milliseconds * 1e6)
