"""The demonstration: a moving phantom is scanned, replayed at TR, reconstructed and judged.

Nothing in it is special to it: every step is what `mrsim simulate`, `replay` and the shipped weights do.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.candidates.registry import builder
from harness.cli.arguments import add_overwrite, add_seed
from harness.console import print_table, progress
from harness.judge.evaluate import evaluate
from harness.judge.result import RunResult, quality_json
from harness.measure.exact_statistics import samples_needed
from harness.measure.floor import consistency_floor
from harness.measure.image_quality import Quality
from harness.report.picture import draw_frames
from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.errors import InputError
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json
from mrsim.scanner.acquisition import ScanProtocol, scan_to
from mrsim.stream import Stream, load
from mrsim.stream.storage import check_new_stream
from recon.cascade.checkpoint import load as load_weights

WEIGHTS = "quasar-4x"
SCHEMA = "mrsim-demo/1"
SCAN_S = 60.0
REPLAYED = 144  # frames: 10.1 s at 4x, enough for a claim about 95 % of them
CLAIM = 0.95
BREATHING = {
    "motion.breathing.amplitude_mm": 16.0,
    "motion.breathing.period_s": 3.4,
    "motion.breathing.baseline_mm": 4.0,
}
"""Breathing of the demonstrated scan; the weights were trained on 12 mm, 4.5 s and no baseline."""


@dataclass(frozen=True)
class Row:
    """Hold what the table and the picture show of one method.

    Parameters
    ----------
    name
        What it is called.
    quality
        Measures of its images.
    pixels
        Its images by frame, shape (frames, ny, nx).
    result
        The replay, or None for a reference that was not replayed.
    """

    name: str
    quality: Quality
    pixels: np.ndarray[Any, np.dtype[np.complex64]]
    result: RunResult | None


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "-o", "--output", default="demo", metavar="DIR", help="folder to write (%(default)s)"
    )
    add_overwrite(command)
    add_seed(command)


def run(*, output: str | Path, seed: int = 0, overwrite: bool = False) -> int:
    """Run the demonstration and write its report and its picture.

    Parameters
    ----------
    output
        Folder for the streams, `report.json` and `frames.png`; made where it is missing.
    seed
        Seed of the scan.
    overwrite
        Whether the streams of an earlier demonstration are replaced.

    Returns
    -------
    code
        0: it shows verdicts, and does not have one of its own.

    Raises
    ------
    InputError
        If the folder cannot be made, or the seed is one that the weights were trained on.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: it is not a folder; choose another with -o")
    output.mkdir(parents=True, exist_ok=True)
    for name in ("training.stream", "quasar.stream"):
        check_new_stream(output / name, overwrite=overwrite)
    for name in ("report.json", "frames.png"):
        check_target(output / name)
    trained = load_weights(WEIGHTS).record["data"][0]
    memory = _scan(
        output / "training.stream",
        Phantom.from_text(trained["phantom_text"]),
        trained["seed"],
        "training scan",
        overwrite,
    )
    stream = _scan(
        output / "quasar.stream", load_phantom("quasar", BREATHING), seed, "60 s of the phantom", overwrite
    )
    if seed == trained["seed"]:
        raise InputError(f"--seed {seed}: the weights were trained on this seed; choose another")
    candidates = {
        "zero-filled": "zero-filled",
        "view sharing": "view-sharing",
        "nearest training frame": f"nearest-frame:{memory.path}",
        "cascade": f"cascade:{WEIGHTS}",
    }
    rows = [_replay(stream, name, candidate) for name, candidate in candidates.items()]
    pixels, quality = consistency_floor(stream, rows[-1].quality.frames)
    rows.append(Row("floor of hard consistency", quality, pixels, None))
    _print(rows, stream)
    write_json(output / "report.json", _report(rows, stream))
    draw_frames(output / "frames.png", stream, {r.name: (r.pixels, r.quality) for r in rows[:-1]})
    print(f"{output}/report.json has every figure, {output}/frames.png the images.")
    return 0


def _scan(path: Path, phantom: Phantom, seed: int, what: str, overwrite: bool) -> Stream:
    with progress(f"scanning: {what}") as report:
        scan_to(
            path, phantom, ScanProtocol(), seed=seed, seconds=SCAN_S, progress=report, overwrite=overwrite
        )
    return load(path)


def _replay(stream: Stream, name: str, candidate: str) -> Row:
    seconds = REPLAYED * stream.header.frame_ns / 1e9
    print(
        f"replaying {seconds:.1f} s at TR {stream.header.tr_ns / 1e6:g} ms into {candidate} ...", flush=True
    )
    result = evaluate(stream, candidate, builder(candidate), frames=REPLAYED, claim=CLAIM)
    pixels = result.run.images.pixels
    if result.quality is None or pixels is None:
        raise InputError(f"{candidate}: no image came: {result.verdict.reason}")
    return Row(name, result.quality, pixels, result)


def _print(rows: list[Row], stream: Stream) -> None:
    columns = [
        "candidate", "NMSE", "Dice", "lag ms", "gain", "p95 mm", "max mm",
        "response p50", "p99", "max ms", "missed", "verdict",
    ]  # fmt: skip
    made = stream.provenance
    snr = "-" if made is None else f"{made.target_snr:g}"
    print_table(
        f"4x, TR 2.2 ms, SNR {snr}, head-foot motion along the phase encode; centroid error when shown",
        columns,
        [_cells(row) for row in rows],
    )
    judged = next(row.result for row in rows if row.result is not None)
    timing = judged.timing
    null = judged.null.summary("response").p50 if judged.null is not None else None
    deadline = timing.deadline_ns / 1e6
    print(
        f"{timing.images} images each, after {timing.warmup} to warm up; deadline {deadline:.1f} ms from the "
        f"last line's due time; the verdict claims {CLAIM:.0%} of images at 99 % confidence. '-': too few "
        f"samples carry the figure (p99 takes {samples_needed(0.99)}), or it means nothing.\n"
        "References: the nearest training frame is what memory without reconstruction can do; the floor is "
        "the true image with every acquired line kept as it is. "
        f"The null reconstructor answers in {_ms(null)} ms (p50): that is the bench itself."
    )


def _cells(row: Row) -> list[str]:
    figures = quality_json(row.quality)
    centroid = figures["centroid_mm"]
    lag = "-" if figures["lag_ms"] is None else f"{figures['lag_ms']:.0f}"
    cells = [
        row.name,
        f"{figures['nmse']:.5f}",
        f"{figures['dice']:.3f}",
        lag,
        "-" if figures["gain"] is None else f"{figures['gain']:.2f}",
        _mm(centroid["p95"]),
        _mm(centroid["max"]),
    ]
    if row.result is None:
        return cells + ["-"] * 4 + ["reference"]
    response, timing = row.result.timing.summary("response"), row.result.timing
    low, high = row.result.to_json()["deadline"]["miss_share_interval"]
    return [
        *cells,
        _ms(response.p50),
        _ms(response.p99),
        _ms(response.max),
        f"{timing.misses} of {timing.images} ({low:.0%}-{high:.0%})",
        row.result.verdict.outcome.name,
    ]


def _ms(ns: float | None) -> str:
    return "-" if ns is None else f"{ns / 1e6:.2f}"


def _mm(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _report(rows: list[Row], stream: Stream) -> dict[str, Any]:
    references = {row.name: quality_json(row.quality) for row in rows if row.result is None}
    return {
        "schema": SCHEMA,
        "weights": WEIGHTS,
        "breathing": BREATHING,
        "candidates": [row.result.to_json() for row in rows if row.result is not None],
        "references": references,
    }
