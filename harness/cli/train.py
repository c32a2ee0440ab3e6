"""`mrsim train`: scans in, weights out; goes on where a kill left it."""

from __future__ import annotations

import argparse
import csv
import io
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from harness.cli.settings import settings
from harness.console import progress
from harness.dataset.training_targets import Redraw, targets
from mrsim.files.targets import check_target
from mrsim.files.writing import write_text
from mrsim.stream import Stream, load
from recon.cascade.checkpoint import Checkpoint, save
from recon.cascade.checkpoint import load as load_weights
from recon.data.augmentation import Augmentation
from recon.target_instant import offset_ns
from recon.training.plan import Progress, Stage
from recon.training.recipe import train

LOG_COLUMNS = ("stage", "epoch", "train", "validation", "seconds")


def run(args: argparse.Namespace) -> int:
    """Train a cascade as the command line says."""
    output = Path(args.output)
    state = output.with_name(f"{output.stem}.training")
    check_target(output, ".npz")
    check_target(state)
    check_target(args.log)
    streams = [load(path) for path in args.stream]
    if args.until_s is not None:
        streams = [stream.until(args.until_s) for stream in streams]
    first = None if args.first is None else load_weights(args.first)
    blocks = None if args.blocks is None else load_weights(args.blocks)
    stages = args.stages.split(",")
    if args.restart:
        state.unlink(missing_ok=True)
    resumed = state.is_file()
    redraw = Redraw(streams, args.redraw, args.seed) if args.redraw else None
    wanted = None if args.undersample > 1 else _targets(streams, args.target_instant)
    epochs: set[float] = set()

    def ended(stage: Stage, checkpoint: Checkpoint) -> None:
        if args.keep_stages and stage.name != stages[-1]:
            save(output.with_name(f"{output.stem}-{stage.name}.npz"), checkpoint, args.half)

    with progress(f"training {args.network}") as report:

        def step(now: Progress) -> None:
            errors = f"{now.stage}: error {now.loss:.2e}, validation {now.validation:.2e}"
            report(now.done, now.total, f"{errors}, {_time(now.left_s)} left")
            if not sys.stderr.isatty() and math.isfinite(now.validation) and now.validation not in epochs:
                epochs.add(now.validation)  # a log of a long training gets a line an epoch
                print(
                    f"step {now.done} of {now.total}: {errors}, {_time(now.left_s)} left",
                    file=sys.stderr,
                    flush=True,
                )

        checkpoint = train(
            streams,
            args.network,
            changes=settings(args.config),
            stages=stages,
            epochs=tuple(args.epochs),
            rates=None if args.rates is None else tuple(args.rates),
            batch=args.batch,
            columns=args.columns,
            patience=args.patience,
            target_instant=args.target_instant,
            augmentation=Augmentation(args.shift_px, args.warp_px) if args.augment else None,
            balanced=args.balanced,
            precision=args.precision,
            device=args.device,
            seed=args.seed,
            undersample=args.undersample,
            targets=wanted,
            redraw=redraw,
            first=first,
            blocks=blocks,
            state=state,
            command=f"mrsim {shlex.join(sys.argv[1:])}",
            progress=step,
            stage_end=ended,
        )
    save(output, checkpoint, args.half)
    if args.log is not None:
        _write_log(Path(args.log), checkpoint.record["losses"])
    state.unlink(missing_ok=True)
    last = checkpoint.record["losses"][-1]
    scans = f"{len(streams)} scan{'s' if len(streams) > 1 else ''}"
    print(
        f"{output}: {args.network} cascade, trained on {scans}{', resumed' if resumed else ''}: relative "
        f"error {last['train']:.2e}, on validation {last['validation']:.2e}, {_time(last['seconds'])}"
    )
    if silent := checkpoint.record["silent_blocks"]:
        print(
            f"mrsim train: warning: block {', '.join(map(str, silent))}: a layer no longer fires, so it adds "
            "the same to every image; train anew with lower --rates or another --seed",
            file=sys.stderr,
        )
    return 0


def _targets(streams: list[Stream], instant: str) -> list[Any] | None:
    if offset_ns(instant, streams[0].header) == 0:
        return None
    with progress(f"images of {instant}") as report:
        return [targets(stream, instant, report) for stream in streams]


def _write_log(path: Path, losses: list[dict[str, Any]]) -> None:
    held = io.StringIO()
    writer = csv.DictWriter(held, LOG_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(losses)
    write_text(path, held.getvalue())


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
