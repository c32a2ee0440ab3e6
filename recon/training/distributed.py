"""Training in several processes, on one machine or on many: `torchrun ... -m recon.training.distributed`.

Every process takes its part of each batch. Gradients are averaged, so that a step is that of one process with
the whole batch. All random numbers are those of one process, too, so the loss curves agree within the
rounding of sums. The state of the training is in one file: when a process dies, `torchrun --max-restarts N`
starts all of them again, and they resume from it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from mrsim.errors import MrsimError, TrainingError
from mrsim.files.targets import check_target
from mrsim.stream import Stream, load
from recon.cascade.checkpoint import load as load_weights
from recon.cascade.checkpoint import save
from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import named_config
from recon.data.dataset import FrameDataset
from recon.data.examples import in_order
from recon.training.plan import Progress, Stage, TrainingPlan, usual_rates
from recon.training.rendezvous import join_group
from recon.training.run import TrainingRun
from recon.training.train import train_cascade
from recon.training.wanted import Wanted

MAX_WAIT_S = 86_400.0


class DistributedRun(TrainingRun):
    """Train as one process does, on this process's part of every batch."""

    _parallel: DistributedDataParallel | None = None

    def stage(self, progress: Callable[[Progress], None] | None) -> None:
        """Train to the end of the present stage; the first process reports."""
        if self._plan.batch < dist.get_world_size():
            raise TrainingError(
                f"training: batch = {self._plan.batch} for {dist.get_world_size()} processes: expected a "
                "frame for each at least"
            )
        super().stage(progress if dist.get_rank() == 0 else None)

    def _step(self, optimiser: torch.optim.Adam, inputs: CascadeInputs, wanted: Wanted) -> float:
        processes, count = dist.get_world_size(), len(inputs.mask)
        mine = torch.from_numpy(np.array_split(np.arange(count), processes)[dist.get_rank()])

        def own(values: Tensor) -> Tensor:
            return values[mine.to(values.device)]

        part, mine_wanted = inputs.map(own), wanted.map(own)
        if self._parallel is None:
            self._parallel = DistributedDataParallel(self.cascade, find_unused_parameters=True)
        kind = torch.device(self._plan.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=self._plan.precision == "bfloat16"):
            shown = self._parallel(part)
        error = mine_wanted.error(shown)
        objective = error / self._hardness(part, mine_wanted) if self._plan.balanced else error
        optimiser.zero_grad()
        # The gradients are averaged over the processes: times their number, it is the mean over the batch.
        torch.autograd.backward(objective.sum() * (processes / count))
        optimiser.step()
        loss = error.detach().sum()
        dist.all_reduce(loss)
        return float(loss) / count * self._relative

    def _validate(self) -> float:
        self.cascade.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self._plan.device)
        with torch.inference_mode():
            for number, rows in enumerate(in_order(self._check)):
                if number % dist.get_world_size() != dist.get_rank():
                    continue
                inputs, wanted = self._examples(self._check, rows)
                seen = self.cascade.prepare(inputs.map(self._send), self._frame_s)
                sums[0] += wanted.map(self._send).error(self.cascade(seen)).sum()
                sums[1] += len(rows)
        sums = sums.clone()
        dist.all_reduce(sums)
        return float(sums[0] / sums[1].clamp(min=1)) * self._relative

    def _save(self, optimiser: torch.optim.Adam) -> None:
        if dist.get_rank() == 0:
            super()._save(optimiser)


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line, in as many processes as `torchrun` began.

    Returns
    -------
    code
        0, or 2 for bad input.
    """
    try:
        args = _parser().parse_args(argv)
        _train(args)
    except MrsimError as error:
        print(f"recon.training.distributed: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torchrun --nproc-per-node N -m recon.training.distributed", description=__doc__
    )
    parser.add_argument("data", nargs="+", help="streams, or folders of datasets, of which `train` is taken")
    parser.add_argument("-o", "--output", required=True, metavar="WEIGHTS", help=".npz file to write")
    parser.add_argument(
        "--network", default="compact", help="compact, population, varnet or dietz2019 (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, nargs=2, default=(14, 6), metavar=("COARSE", "FINE"))
    parser.add_argument("--rates", type=float, nargs=2, metavar=("COARSE", "FINE"))
    parser.add_argument("--batch", type=int, default=4, help="frames in a step, of all processes together")
    parser.add_argument("--columns", type=int, default=64, help="columns that a step sees (%(default)s)")
    parser.add_argument("--from", dest="first", metavar="WEIGHTS", help="weights to start from")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="%(default)s")
    parser.add_argument(
        "--wait-s",
        type=float,
        default=600.0,
        metavar="S",
        help="how long a process waits for the others before it gives up (%(default)g)",
    )
    parser.add_argument("--seed", type=int, default=0, help="reproduces everything (%(default)s)")
    return parser


def _train(args: argparse.Namespace) -> None:
    if not 0 < args.wait_s <= MAX_WAIT_S:
        raise TrainingError(f"--wait-s {args.wait_s:g}: expected seconds, above 0 to {MAX_WAIT_S:g}")
    output = Path(args.output)
    state = output.with_name(f"{output.stem}.training")
    check_target(output, ".npz")
    check_target(state)
    streams = [stream for path in args.data for stream in _streams(Path(path))]
    for stream in streams:
        stream.check_finite()
    together = "WORLD_SIZE" in os.environ
    device = args.device if args.device == "cpu" else f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    first = None if args.first is None else load_weights(args.first)
    header = streams[0].header
    config = first.cascade.config if first else named_config(args.network, *header.matrix, header.coils)
    stages = tuple(map(Stage, ("coarse", "fine"), args.epochs, args.rates or usual_rates(config)))
    plan = TrainingPlan(stages, batch=args.batch, columns=args.columns, device=device, seed=args.seed)
    if together:
        join_group("gloo" if args.device == "cpu" else "nccl", datetime.timedelta(seconds=args.wait_s))
    try:
        checkpoint = train_cascade(
            streams,
            config,
            plan,
            first=first,
            state=state,
            command=f"python -m recon.training.distributed {shlex.join(sys.argv[1:])}",
            runner=DistributedRun if together else None,
        )
        if not together or dist.get_rank() == 0:
            save(output, checkpoint)
            last = checkpoint.record["losses"][-1]
            print(f"{output}: relative error {last['train']:.2e}, on validation {last['validation']:.2e}")
        if together:
            dist.barrier()  # the state is kept until the weights are written
        if not together or dist.get_rank() == 0:
            state.unlink(missing_ok=True)
    finally:
        if together:
            dist.destroy_process_group()


def _streams(path: Path) -> list[Stream]:
    if (path / "manifest.json").is_file():
        return [load(path / item["path"]) for item in FrameDataset(path, "train").items]
    return [load(path)]


if __name__ == "__main__":
    sys.exit(main())
