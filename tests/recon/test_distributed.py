"""Two processes train as one does, and a process that is killed changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrsim.storage import save
from recon.checkpoint import load
from tests.harness.synthetic import make_header, make_stream

LIMIT_S = 240
SETTINGS = ["--network", "population", "--epochs", "2", "1", "--batch", "4", "--columns", "16", "--seed", "3"]
DEADLY = """
import os, signal, sys
from pathlib import Path
import torch.distributed as dist
from recon import distributed

step, marker = distributed.SharedRun._step, Path({marker!r})

def deadly(self, optimiser, inputs, target):
    if dist.get_rank() == 1 and self.position.epoch == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, optimiser, inputs, target)

distributed.SharedRun._step = deadly
sys.exit(distributed.main())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("training")
    header = make_header(lines_per_frame=8, matrix=(16, 16))
    for name in ("a", "b"):
        save(make_stream(8 * 16, ord(name), header), place / f"{name}.stream")
    run(place, "one.npz", [sys.executable, "-m", "recon.distributed"])
    return place


def run(folder: Path, weights: str, command: list[str]) -> None:
    streams = [str(folder / "a.stream"), str(folder / "b.stream")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*command, *streams, "-o", str(folder / weights), *SETTINGS],
        capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def torchrun(restarts: int, script: list[str]) -> list[str]:
    head = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    return [*head, "--nproc-per-node", "2", "--max-restarts", str(restarts), *script]


def agree(folder: Path, weights: str) -> None:
    one, two = load(folder / "one.npz"), load(folder / weights)
    for key in ("train", "validation"):
        curves = [[epoch[key] for epoch in made.record["losses"]] for made in (one, two)]
        assert len(curves[0]) == 3
        np.testing.assert_allclose(curves[1], curves[0], rtol=1e-5)
    assert one.cascade.config == two.cascade.config
    for name, value in one.cascade.state_dict().items():
        np.testing.assert_allclose(two.cascade.state_dict()[name], value, atol=1e-4, rtol=0)


def test_two_processes_train_as_one(folder: Path) -> None:
    run(folder, "two.npz", torchrun(0, ["-m", "recon.distributed"]))
    agree(folder, "two.npz")


def test_a_killed_process_is_begun_again_and_the_end_is_the_same(folder: Path) -> None:
    marker = folder / "killed"
    (folder / "deadly.py").write_text(DEADLY.format(marker=str(marker)))
    run(folder, "killed.npz", torchrun(2, [str(folder / "deadly.py")]))
    assert marker.exists()
    agree(folder, "killed.npz")
    assert not (folder / "killed.training").exists()
