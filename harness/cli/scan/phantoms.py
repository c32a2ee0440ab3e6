"""`mrsim phantoms`: list the phantoms that are shipped, or draw one."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.arguments import add_seed
from harness.console import print_table
from mrsim.errors import InputError


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("name", nargs="?", metavar="PHANTOM", help="a shipped phantom, or a .toml file")
    command.add_argument("--png", metavar="FILE", help="draw it: image, regions, motion, sampling, coils")
    add_seed(command)


def run(*, name: str | None, png: str | None, seed: int) -> int:
    """List the phantoms, or draw one.

    Raises
    ------
    InputError
        If there is no such phantom, or it cannot be drawn there.
    """
    if (name is None) != (png is None):
        raise InputError("phantoms: name a phantom and --png FILE to draw it; neither, to list them all")
    if name is not None and png is not None:
        from harness.picture.phantom import draw_phantom
        from mrsim.files.targets import check_target

        check_target(png, ".png")
        draw_phantom(Path(png), name, seed=seed)
        print(f"{png}: {name} drawn")
        return 0
    from mrsim.anatomy.phantom import load_phantom
    from mrsim.anatomy.phantom_file import phantom_names

    loaded = {name: load_phantom(name) for name in phantom_names()}
    rows = [[name, p.title, str(len(p.regions)), p.target] for name, p in loaded.items()]
    print_table("phantoms", ["name", "what it is", "regions", "target"], rows)
    return 0
