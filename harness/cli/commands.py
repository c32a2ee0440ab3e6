"""What each command does, once its arguments are read. Every one returns an exit code."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from harness.console import print_table
from mrsim.errors import InputError
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json
from mrsim.stream import load


def phantoms(args: argparse.Namespace) -> int:
    """List the phantoms that are shipped, or draw one."""
    if (args.name is None) != (args.png is None):
        raise InputError("phantoms: name a phantom and --png FILE to draw it; neither, to list them all")
    if args.name is not None:
        from harness.report.drawing import draw_phantom

        check_target(args.png, ".png")
        draw_phantom(Path(args.png), args.name, seed=args.seed)
        print(f"{args.png}: {args.name} drawn")
        return 0
    from mrsim.anatomy.phantom import load_phantom
    from mrsim.anatomy.phantom_file import phantom_names

    loaded = [load_phantom(name) for name in phantom_names()]
    rows = [
        [name, p.title, str(len(p.regions)), p.target]
        for name, p in zip(phantom_names(), loaded, strict=True)
    ]
    print_table("phantoms", ["name", "what it is", "regions", "target"], rows)
    return 0


def simulate(args: argparse.Namespace) -> int:
    """Scan a phantom into a folder."""
    from harness.cli.simulate import run

    return run(args)


def train(args: argparse.Namespace) -> int:
    """Train a cascade on stored streams."""
    from harness.cli.train import run

    return run(args)


def replay(args: argparse.Namespace) -> int:
    """Replay a stream into a candidate and judge it."""
    from harness.cli.session import play

    return play(args, load(args.stream))


def check(args: argparse.Namespace) -> int:
    """Replay and audit a candidate on every stream; 0 only if it passed all."""
    from harness.cli.check import run

    return run(args)


def report(args: argparse.Namespace) -> int:
    """Replay, audit, and write a page."""
    from harness.cli.session import play

    return play(args, load(args.stream))


def compare(args: argparse.Namespace) -> int:
    """Set several candidates side by side on several streams."""
    from harness.cli.compare import run

    return run(args)


def audit(args: argparse.Namespace) -> int:
    """Look for what a reconstructor must not do, whatever its images look like."""
    from harness.cli.session import audit

    return audit(args, None if args.stream is None else load(args.stream))


def serve(args: argparse.Namespace) -> int:
    """Serve a reconstructor to other programs."""
    from harness.cli.serve import run

    return run(args)


def guard(args: argparse.Namespace) -> int:
    """Fail where a new candidate takes longer than the one before."""
    from harness.cli.guard import run

    return run(args)


def dataset(args: argparse.Namespace) -> int:
    """Make many streams from a specification, or verify them."""
    from harness.cli.dataset import run

    return run(args)


def convert(args: argparse.Namespace) -> int:
    """Turn a stream into a file of the field, or such a file into a stream."""
    from harness.cli.convert import run

    return run(args)


def doctor(args: argparse.Namespace) -> int:
    """Say what this host can measure."""
    from harness.cli.doctor import diagnose

    check_target(args.json)
    found = diagnose()
    if args.json:
        write_json(args.json, found.to_json())
    print("\n".join(found.lines()))
    return 0


def table(args: argparse.Namespace) -> int:
    """Judge every patient, acceleration and stage against every opponent."""
    from harness.cli.table import run

    return run(args)


def demo(args: argparse.Namespace) -> int:
    """Run the demonstration."""
    demonstration = importlib.import_module("harness.cli.demo")
    return int(demonstration.run(Path(args.output), seed=args.seed, overwrite=args.overwrite))
