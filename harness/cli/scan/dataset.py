"""The command `mrsim dataset`: its options, and what it does with them."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.console import progress
from mrsim.errors import InputError
from mrsim.files.targets import check_target


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("spec", metavar="SPEC", help="a shipped specification (nsclc-v1), or a .toml file")
    command.add_argument("-o", "--output", metavar="DIR", help="folder to make, or to go on with")
    command.add_argument("--workers", type=int, metavar="N", help="local processes (one a core)")
    command.add_argument(
        "--cluster", metavar="ADDRESS", help="a Dask scheduler instead, such as tcp://127.0.0.1:8786"
    )
    command.add_argument(
        "--verify",
        type=int,
        metavar="N",
        help="make nothing: compare all streams of a whole dataset with its manifest, and make N again",
    )
    command.add_argument(
        "--release",
        metavar="FILE",
        help="write what a release ships of a quantised set (.npz), once it is whole",
    )
    command.add_argument("--plan", action="store_true", help="say what would be made, and how large it is")


def run(
    *,
    spec: str,
    output: str | None,
    workers: int | None,
    cluster: str | None,
    verify: int | None,
    release: str | None,
    plan: bool,
) -> int:
    """Make a dataset, go on with one, or verify one.

    Returns
    -------
    code
        0 if all is there and well, 1 if a verification found something wrong.
    """
    from harness.dataset import make
    from harness.dataset.spec import load_spec
    from harness.workers.executors import engine

    if output is None and not plan:
        raise InputError("dataset: -o DIR: name the folder to make, or give --plan")
    if verify is not None and output is not None:
        return _verify(spec, Path(output), verify)
    check_target(release, ".npz")
    planned = make.plan(load_spec(spec))
    if release is not None and not planned.spec.adc_step:
        raise InputError(f"--release: {planned.spec.name} is not quantised: give its specification adc_step")
    print(planned, flush=True)
    if plan or output is None:
        return 0
    folder = Path(output)
    with progress(planned.spec.name) as report, engine(workers, cluster) as pool:
        summary = make.build(planned, folder, pool, report)
    for name, why in summary.repaired.items():
        print(f"{name}: made again: {why}")
    digest = summary.manifest["hash"]
    print(f"{folder}: {summary.made} made, {summary.kept} kept: {planned.spec.name}@{digest[:16]}")
    print(f"manifest SHA-256 {digest}")
    if release is not None:
        from harness.dataset.release import write_release

        edges = write_release(folder, Path(release))
        print(f"{release}: {edges} codes near an edge, and the coils' filters")
    return 0


def _verify(spec_name: str, folder: Path, count: int) -> int:
    from harness.dataset.folder import read_manifest
    from harness.dataset.make import verify
    from harness.dataset.spec import load_spec

    spec, manifest = load_spec(spec_name), read_manifest(folder)
    if manifest["name"] != spec.name:
        raise InputError(f"{folder}: it holds {manifest['name']}, not {spec.name}; name its specification")
    with progress(f"verifying {spec.name}") as report:
        found = verify(folder, count, report=report)
    for name, why in found.wrong.items():
        print(f"{name}: {why}")
    if found.wrong and found.other_cpu:
        print("this type of processor is none of those that made the dataset: the last bits may differ")
    print(
        f"{folder}: {found.items} streams compared with the manifest, {found.remade} made again, "
        f"{len(found.wrong)} wrong"
    )
    return 1 if found.wrong else 0
