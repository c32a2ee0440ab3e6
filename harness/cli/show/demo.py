"""The demonstration: a scan of a moving phantom is replayed at TR, reconstructed and judged.

Its scan of 20 s is shipped, since to simulate and to compile takes long; it is what the scanner makes. Every
other step is what `mrsim replay` and the shipped weights do. The cascade is replayed in real time, the others
on the virtual clock.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.candidates.registry import builder
from harness.cli.arguments import add_overwrite, add_seed
from harness.cli.show.scans import own_scan
from harness.console import print_table
from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome, Verdict
from harness.judge.result import RunResult, quality_json
from harness.measure.exact_statistics import samples_needed
from harness.measure.finding.plan import eval_library
from harness.measure.floor import consistency_floor
from harness.measure.image_quality import Quality
from harness.measure.intervals import MARGIN_BREATHS
from harness.measure.margin import mm
from harness.picture.behind import write_behind
from harness.picture.methods import draw_frames
from harness.realtime.clock import RealClock, VirtualClock
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import InputError
from mrsim.files.partials import discard_stale
from mrsim.files.targets import check_outside, check_target
from mrsim.files.writing import write_json
from mrsim.plotting import plotting
from mrsim.scanner.example import ADC_STEP, BREATHING, SECONDS, SEED, example_scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Stream
from recon.cascade.checkpoint import load as load_weights

WEIGHTS = "quasar-4x"
SCHEMA = "mrsim-demo/2"
CLAIM = 0.8  # misses come in runs, so that these images carry no more
AMPLITUDE_MM, PERIOD_S = (BREATHING[f"motion.breathing.{key}"] for key in ("amplitude_mm", "period_s"))
LONGEST_S = 600.0
ANSWERED_S = math.ceil((MARGIN_BREATHS + 2) * PERIOD_S)
"""Enough breaths for an answer on the target, beside what warms up and what is cut off at either end."""
PROTOCOL = ScanProtocol(adc_step=ADC_STEP)
IN_REAL_TIME = "cascade"
MOVING = ("zero-filled", "view sharing", "cascade")
"""What the moving picture shows side by side."""


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
        The replay, or None for a reference that was not replayed, of which single images alone are judged.
    """

    name: str
    quality: Quality
    pixels: NDArray[np.complex64]
    result: RunResult | None


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "-o", "--output", default="demo", metavar="DIR", help="folder to write (%(default)s)"
    )
    command.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S",
        help=f"length of the scan (%(default)g, which is shipped; {ANSWERED_S} for an answer on the target)",
    )  # fmt: skip
    add_overwrite(command)
    add_seed(command)


def run(*, output: str | Path, seconds: float = SECONDS, seed: int = SEED, overwrite: bool = False) -> int:
    """Run the demonstration and write its report and its pictures.

    Parameters
    ----------
    output
        Folder for the stream, `report.json`, `behind.gif` and `frames.png`; made where it is missing.
    seconds
        Length of the scan, seconds.
    seed
        Seed of the scan.
    overwrite
        Whether the stream of an earlier demonstration is replaced.

    Returns
    -------
    code
        0: it shows verdicts, and does not have one of its own.

    Raises
    ------
    InputError
        If the folder cannot be made, the length is out of range, or the seed is one that the weights were
        trained on.
    """
    output = Path(output)
    if not PERIOD_S <= seconds <= LONGEST_S:  # nor NaN
        raise InputError(f"--seconds {seconds!r}: expected {PERIOD_S:g}, a breath, to {LONGEST_S:g}")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: it is not a folder; choose another with -o")
    if seed == load_weights(WEIGHTS).record["data"][0]["seed"]:
        raise InputError(f"--seed {seed}: the weights were trained on this seed; choose another")
    plotting()  # here, and not after the scans
    eval_library("skimage", "measuring the quality of images")
    output.mkdir(parents=True, exist_ok=True)
    discard_stale(output)
    check_outside(output / "quasar.stream")
    for name in ("report.json", "frames.png", "behind.gif"):
        check_target(output / name)
    stream = own_scan(
        output / "quasar.stream", load_phantom("quasar", BREATHING), PROTOCOL, seed=seed, seconds=seconds,
        what=f"{seconds:g} s of the phantom", overwrite=overwrite,
        shipped=example_scan if (seed, seconds) == (SEED, SECONDS) else None,
    )  # fmt: skip
    candidates = {
        "zero-filled": "zero-filled",
        "view sharing": "view-sharing",
        "cascade": f"cascade:{WEIGHTS}",
    }
    rows = [_replay(stream, name, candidate) for name, candidate in candidates.items()]
    pixels, quality = consistency_floor(stream, rows[-1].quality.frames)
    rows.append(Row("floor of hard consistency", quality, pixels, None))
    _print(rows, stream)
    write_json(output / "report.json", _report(rows))
    draw_frames(output / "frames.png", stream, {r.name: (r.pixels, r.quality) for r in rows[:-1]})
    shown = {row.name: row.result for row in rows if row.result is not None and row.name in MOVING}
    write_behind(output / "behind.gif", shown)
    print(
        f"{output}/behind.gif shows it moving, {output}/frames.png the images, {output}/report.json every "
        "figure."
    )
    return 0


def _replay(stream: Stream, name: str, candidate: str) -> Row:
    real = name == IN_REAL_TIME
    clock = RealClock() if real else VirtualClock()
    how = f"in real time, a line every {stream.header.tr_ns / 1e6:g} ms," if real else "on the virtual clock"
    seconds = stream.frames * stream.header.frame_ns / 1e9
    print(f"replaying {seconds:.1f} s {how} into {candidate} ...", flush=True)
    result = evaluate(stream, candidate, builder(candidate), clock=clock, claim=CLAIM)
    pixels = result.run.images.pixels
    if result.quality is None or pixels is None:
        raise InputError(f"{candidate}: no image came: {result.verdict.reason}")
    return Row(name, result.quality, pixels, result)


def _print(rows: Sequence[Row], stream: Stream) -> None:
    made, header = stream.provenance, stream.header
    snr = "-" if made is None else f"{made.target_snr:g}"
    results = {row.name: row.result for row in rows if row.result is not None}
    print_table(
        f"4x, TR {header.tr_ns / 1e6:g} ms, SNR {snr}, {AMPLITUDE_MM:g} mm head-foot along the phase encode "
        f"every {PERIOD_S:g} s",
        [
            "method", "M95 mm on display", "Dice", "M95 mm by image", "Dice", "lag ms", "response p99 ms",
            "missed", "time", "target", "image",
        ],
        [*map(_cells, rows), *_ruler(results[IN_REAL_TIME].quality)],
    )  # fmt: skip
    for name, result in results.items():
        if result.margin is not None:
            print(f"{name}: {result.margin.sentence}")
    for line in _reasons({name: result.verdict for name, result in results.items()}):
        print(line)
    timing = results[IN_REAL_TIME].timing
    null = results[IN_REAL_TIME].null
    bench = null.summary("response").p50 if null is not None else None
    print(
        "M95: for 95 % of the time the target is within so many millimetres of where it is shown; in "
        "brackets what the breaths carry (95 %). By image: each image against the truth at its own last "
        "line, as if it took no time to compute.\n"
        f"{timing.images} images each, after {timing.warmup} to warm up; deadline "
        f"{timing.deadline_ns / 1e6:.1f} ms from the last line's due time; claimed is that {CLAIM:.0%} meet "
        "it, at 99 % confidence. '-': it is not known, too few samples carry it (p99 takes "
        f"{samples_needed(0.99)}), or it means nothing.\n"
        "References: the floor is the true image with every acquired line kept as it is; the judge on the "
        "truth shows its own error. "
        f"The null reconstructor answers in {_ms(bench)} ms (p50): that is the bench itself."
    )


def _cells(row: Row) -> list[str]:
    figures = quality_json(row.quality)
    by_image = [
        _mm(figures["centroid_last_line_mm"]["p95"]),
        f"{figures['dice']:.3f}",
        "-" if figures["lag_ms"] is None else f"{figures['lag_ms']:.0f}",
    ]
    if row.result is None:
        return [row.name, "-", "-", *by_image, "-", "-", *["reference"] * 3]
    margin, timing, verdict = row.result.margin, row.result.timing, row.result.verdict
    shown = ["-", "-"]
    if margin is not None:
        bounds = margin.bounds
        finite = bounds is not None and margin.m95_m is not None and math.isfinite(margin.m95_m)
        interval = f" ({mm(bounds.low_m)} to {mm(bounds.high_m)})" if bounds is not None and finite else ""
        shown = [f"{mm(margin.m95_m)}{interval}", "-" if margin.dice is None else f"{margin.dice:.3f}"]
    return [
        row.name,
        *shown,
        *by_image,
        _ms(timing.summary("response").p99),
        f"{timing.misses} of {timing.images}",
        *("not asked" if a.outcome is None else a.outcome.name for a in verdict.answers),
    ]


def _ruler(quality: Quality | None) -> Iterator[list[str]]:
    """Return what the judge finds in the truth itself: its own error."""
    if quality is not None and quality.ruler is not None:
        ruler, lag_ns = quality.ruler, quality.ruler.lag.tau_ns
        lag = "-" if lag_ns is None else f"{lag_ns / 1e6:z.0f}"
        yield [
            "the judge on the truth", "-", "-", mm(ruler.p95_m), f"{ruler.dice:.3f}", lag, "-", "-",
            *["reference"] * 3,
        ]  # fmt: skip


def _reasons(verdicts: dict[str, Verdict]) -> Iterator[str]:
    """Return why each answer that is no PASS is none, those of one reason together."""
    said: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        for answer in verdict.answers:
            if answer.outcome is not Outcome.PASS:
                said.setdefault(str(answer), []).append(name)
    for reason, names in said.items():
        yield f"{'all' if len(names) == len(verdicts) else ', '.join(names)}: {reason}"


def _ms(ns: float | None) -> str:
    return "-" if ns is None else f"{ns / 1e6:.2f}"


def _mm(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _report(rows: Sequence[Row]) -> dict[str, Any]:
    references = {row.name: quality_json(row.quality) for row in rows if row.result is None}
    return {
        "schema": SCHEMA,
        "weights": WEIGHTS,
        "breathing": BREATHING,
        "candidates": [
            {"method": row.name, **row.result.to_json()} for row in rows if row.result is not None
        ],
        "references": references,
    }
