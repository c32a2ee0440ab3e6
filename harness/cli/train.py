"""`mrsim train`: scans in, weights out; goes on where a kill left it."""

from __future__ import annotations

import argparse
import csv
import io
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.arguments import add_seed, count, one_of, settings
from harness.console import progress

if TYPE_CHECKING:
    from mrsim.stream import Stream
    from recon.cascade.checkpoint import Checkpoint
    from recon.training.plan import Progress, Stage

NETWORKS = ("compact", "population", "recurrent", "unet-gru", "video", "crnn", "varnet", "dietz2019")
LOSS_COLUMNS = ("stage", "epoch", "train", "validation", "seconds")


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "streams",
        nargs="+",
        metavar="STREAM",
        help="streams of one protocol, with truth but for --learn-from lines",
    )
    command.add_argument("-o", "--output", required=True, metavar="WEIGHTS", help=".npz file to write")
    command.add_argument(
        "--network", default="compact", metavar=one_of(*NETWORKS), help="what is trained (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="KEY=VALUE",
        help="change the network, such as blocks=5 or lam=10; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--stages",
        default="coarse,fine",
        metavar=one_of("coarse", "fine", "coarse,fine"),
        help="of training, in this order (%(default)s)",
    )
    command.add_argument(
        "--epochs",
        type=int,
        nargs=2,
        default=(14, 6),
        metavar=("COARSE", "FINE"),
        help="of each stage (14 6)",
    )
    command.add_argument(
        "--rates", type=float, nargs=2, metavar=("COARSE", "FINE"),
        help="learning rate at the start of each stage (5e-4 1e-4 with a subspace, else 2e-3 4e-4)",
    )  # fmt: skip
    command.add_argument("--batch", type=int, default=4, help="frames in a step (%(default)s)")
    command.add_argument("--columns", type=int, default=64, help="columns that a step sees (%(default)s)")
    command.add_argument(
        "--until-s", type=float, metavar="S", help="train on the time before this; what follows is for tests"
    )
    command.add_argument(
        "--target-instant",
        default="last",
        metavar=one_of("last", "centre", "last+MS"),
        help="what to show (%(default)s)",
    )
    command.add_argument(
        "--redraw", type=count, default=0, metavar="N", help="sample the same scan anew, N times, in turn"
    )
    command.add_argument(
        "--undersample", type=float, default=1.0, metavar="R",
        help="leave rows out of fully sampled scans, others in every epoch; shows what all rows give",
    )  # fmt: skip
    command.add_argument(
        "--learn-from", default="truth", metavar=one_of("truth", "lines"),
        help="lines: those that the scan reads next, which needs no truth (%(default)s)",
    )  # fmt: skip
    command.add_argument("--augment", action="store_true", help="shift and warp the training frames")
    command.add_argument(
        "--balanced", action="store_true", help="weigh each frame's error by that of what it starts from"
    )
    command.add_argument("--shift-px", type=float, default=2.0, help="with --augment, at most (%(default)s)")
    command.add_argument("--warp-px", type=float, default=1.0, help="with --augment, at most (%(default)s)")
    command.add_argument(
        "--patience", type=count, default=0, metavar="EPOCHS",
        help="end a stage early, at its best epoch, when validation stops falling; 0: never (%(default)s)",
    )  # fmt: skip
    command.add_argument("--from", dest="first", metavar="WEIGHTS", help="weights to start from")
    command.add_argument(
        "--blocks-from",
        dest="blocks",
        metavar="WEIGHTS",
        help="weights to start the blocks from, such as those of other patients; the subspace is learnt anew",
    )
    command.add_argument("--keep-stages", action="store_true", help="write each stage's weights, too")
    command.add_argument("--half", action="store_true", help="store the weights in half precision")
    command.add_argument(
        "--restart", action="store_true", help="do not go on from a training that was killed"
    )
    command.add_argument("--losses", metavar="FILE", help="write loss against epoch, as .csv")
    command.add_argument(
        "--precision", default="float32", metavar=one_of("float32", "bfloat16"), help="(%(default)s)"
    )
    command.add_argument(
        "--device", default="cpu", metavar=one_of("cpu", "cuda", "cuda:N"), help="(%(default)s)"
    )
    add_seed(command)
    command.set_defaults(argv=())


def run(
    *,
    streams: list[str],
    output: str,
    network: str,
    changes: list[str],
    stages: str,
    epochs: Sequence[int],
    rates: Sequence[float] | None,
    batch: int,
    columns: int,
    until_s: float | None,
    target_instant: str,
    redraw: int,
    undersample: float,
    learn_from: str,
    augment: bool,
    balanced: bool,
    shift_px: float,
    warp_px: float,
    patience: int,
    first: str | None,
    blocks: str | None,
    keep_stages: bool,
    half: bool,
    restart: bool,
    losses: str | None,
    precision: str,
    device: str,
    seed: int,
    argv: Sequence[str],
) -> int:
    """Train a cascade as the command line says.

    Raises
    ------
    InputError
        If a scan, an option or a place to write is wrong.
    """
    from harness.dataset.training_targets import Redraw
    from mrsim.files.targets import check_target
    from mrsim.stream import load
    from recon.cascade.checkpoint import load as load_weights
    from recon.cascade.checkpoint import save
    from recon.data.augmentation import Augmentation
    from recon.training.recipe import train

    weights = Path(output)
    state = weights.with_name(f"{weights.stem}.training")
    check_target(weights, ".npz")
    check_target(state)
    check_target(losses, ".csv")
    scans = [load(path) for path in streams]
    if until_s is not None:
        scans = [scan.until(until_s) for scan in scans]
    start = None if first is None else load_weights(first)
    start_blocks = None if blocks is None else load_weights(blocks)
    names = stages.split(",")
    if restart:
        state.unlink(missing_ok=True)
    resumed = state.is_file()
    drawn = Redraw(scans, redraw, seed) if redraw else None
    wanted = None if undersample > 1 or learn_from == "lines" else _targets(scans, target_instant)

    def ended(stage: Stage, checkpoint: Checkpoint) -> None:
        if keep_stages and stage.name != names[-1]:
            save(weights.with_name(f"{weights.stem}-{stage.name}.npz"), checkpoint, half)

    with progress(f"training {network}") as report:

        def step(now: Progress) -> None:
            told = f"{now.stage}: error {now.loss:.2e}"
            if math.isfinite(now.validation):  # of the last whole epoch
                told += f", validation {now.validation:.2e}"
            report(now.done, now.total, f"{told}, {_time(now.left_s)} left")

        checkpoint = train(
            scans,
            network,
            changes=settings(changes),
            stages=names,
            epochs=(epochs[0], epochs[1]),
            rates=None if rates is None else (rates[0], rates[1]),
            batch=batch,
            columns=columns,
            patience=patience,
            target_instant=target_instant,
            augmentation=Augmentation(shift_px, warp_px) if augment else None,
            balanced=balanced,
            precision=precision,
            device=device,
            seed=seed,
            undersample=undersample,
            learn_from=learn_from,
            targets=wanted,
            redraw=drawn,
            first=start,
            blocks=start_blocks,
            state=state,
            command=f"mrsim {shlex.join(argv)}",
            progress=step,
            stage_end=ended,
        )
    save(weights, checkpoint, half)
    if losses is not None:
        _write_losses(Path(losses), checkpoint.record["losses"])
    state.unlink(missing_ok=True)
    last = checkpoint.record["losses"][-1]
    number = f"{len(scans)} scan{'s' if len(scans) > 1 else ''}"
    print(
        f"{output}: {network} cascade, trained on {number}{', resumed' if resumed else ''}: relative "
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
    from harness.dataset.training_targets import targets
    from recon.target_instant import offset_ns

    if offset_ns(instant, streams[0].header) == 0:
        return None
    with progress(f"images of {instant}") as report:
        return [targets(stream, instant, report) for stream in streams]


def _write_losses(path: Path, losses: list[dict[str, Any]]) -> None:
    from mrsim.files.writing import write_text

    held = io.StringIO()
    writer = csv.DictWriter(held, LOSS_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(losses)
    write_text(path, held.getvalue())


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
