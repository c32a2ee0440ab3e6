"""The datasheet of a dataset: its content, how it was made, how to check it, and sample images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.dataset.spec import PARTS, DatasetSpec
from harness.dataset.subjects import Subject
from mrsim.files.writing import whole_file, write_text
from mrsim.stream import load

MAX_PICTURES = 36
_COLUMNS = 6
SHEET = "contact-sheet.png"


def write_sheet(
    folder: Path, spec: DatasetSpec, subjects: Sequence[Subject], manifest: Mapping[str, Any]
) -> None:
    """Write README.md, and the contact sheet if matplotlib is installed.

    Parameters
    ----------
    folder
        Folder of the dataset.
    spec, subjects, manifest
        Specification, subjects and manifest of the dataset.
    """
    drawn = _draw(folder / SHEET, folder, manifest)
    picture = f"![One image of each of {drawn} items]({SHEET})" if drawn else (
        "No contact sheet: matplotlib was not installed when it was made (`pip install 'mrsim[report]'`)."
    )  # fmt: skip
    items = manifest["items"]
    size = sum(item["bytes"] for item in items) / 1e9
    rows = [
        (part, {i["subject"] for i in items if i["part"] == part}, [i for i in items if i["part"] == part])
        for part in PARTS
    ]
    table = "\n".join(
        f"| {part} | {len(names)} | {len(streams)} "
        f"| {', '.join(sorted(names)[:12])}{' ...' * (len(names) > 12)} |"
        for part, names, streams in rows
        if streams
    )
    again = sum(item["attempt"] > 0 for item in items)
    cpus = ", ".join(f"{cpu} ({count} items)" for cpu, count in manifest["cpus"].items())
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    text = f"""# {spec.name}

{spec.title}

Its name in full is `{spec.name}@{manifest["hash"][:16]}`; the hash is that of the manifest, SHA-256
`{manifest["hash"]}`.

- streams: {len(items)} of {spec.seconds:g} s, {size:.2f} GB
- subjects: {len(subjects)}, made from: {", ".join(spec.phantoms[:12])}{" ..." * (len(spec.phantoms) > 12)}

| part | subjects | streams | which |
|---|---|---|---|
{table}

{picture}

## What a stream is
A folder of `header.json` and `.npy` files: k-space lines, each taken at its own time, and what was true at
every line: displacements, the target's centroid, and the noise-free image and the target's mask at every
frame's last line. `mrsim.load("test/NAME.stream")` maps one; `recon.data.dataset` reads all for training.
No person was scanned: all anatomy is computed from the definitions in `subjects/`.

## How it was made
From `spec.toml` with seed {spec.seed}. Every value that is drawn has a seed of its own, made from the item's
name, so that neither the order nor the number of workers has a part in the bytes. A drawing in which a
region would leave its parent or the field of view is drawn again; {again} of {len(items)} items were.
A subject is one anatomy, and no anatomy is in two parts.

- software: {versions}
- processors: {cpus}

On another type of processor the last bits, and so the hashes, may differ.

## How to check it
`mrsim dataset SPEC -o DIR --verify 3` compares every stream with `manifest.json` and makes three again.
A stream's SHA-256 in the manifest is that of its arrays' files and its header, without the
software's version.
"""
    write_text(folder / "README.md", text)


def _draw(path: Path, folder: Path, manifest: Mapping[str, Any]) -> int:
    """Draw one true image of some items with the target's outline; return how many, 0 without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return 0
    items = manifest["items"]
    chosen = [
        items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(MAX_PICTURES, len(items))).astype(int))
    ]
    rows = -(-len(chosen) // _COLUMNS)
    columns = min(_COLUMNS, len(chosen))
    figure = Figure(figsize=(2.1 * columns, 2.35 * rows + 0.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.flat:
        panel.axis("off")
    for panel, item in zip(axes.flat, chosen, strict=False):
        stream = load(folder / item["path"])
        assert stream.truth is not None
        frame = stream.frames // 2
        image = np.abs(stream.truth.image[frame])
        panel.imshow(image, cmap="gray", vmin=0, vmax=float(np.quantile(image, 0.995)))
        mask = np.asarray(stream.truth.mask[frame], dtype=float)
        if mask.any():
            panel.contour(mask, levels=[0.5], colors="#00d5ff", linewidths=0.8)
        panel.set_title(f"{item['name']}\n{item['part']}", fontsize=6.5)
    figure.suptitle(
        f"{manifest['name']}: the true image amid each scan, and the target's outline", fontsize=10
    )
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=100)
    return len(chosen)
