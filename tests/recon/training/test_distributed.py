"""Two processes train as one does, and a process that is killed changes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrsim.stream import save
from recon.cascade.checkpoint import load
from tests.harness.synthetic import make_header, make_stream

LIMIT_S = 240
LAST_WORDS_S = 10
SETTINGS = ["--network", "population", "--epochs", "2", "1", "--batch", "4", "--columns", "16", "--seed", "3"]
SETTINGS += ["--wait-s", "60"]
DEADLY = """
import os, signal, sys
from pathlib import Path
import torch.distributed as dist
from recon.training import distributed

step, marker = distributed.DistributedRun._step, Path({marker!r})

def deadly(self, optimiser, inputs, target):
    if dist.get_rank() == 1 and self.position.epoch == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, optimiser, inputs, target)

distributed.DistributedRun._step = deadly
sys.exit(distributed.main())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("training")
    header = make_header(lines_per_frame=8, matrix=(16, 16))
    for name in ("a", "b"):
        save(make_stream(8 * 16, ord(name), header), place / f"{name}.stream")
    run(place, "one.npz", [sys.executable, "-m", "recon.training.distributed"])
    return place


def run(folder: Path, weights: str, command: list[str]) -> None:
    streams = [str(folder / "a.stream"), str(folder / "b.stream")]
    code, output = ended([*command, *streams, "-o", str(folder / weights), *SETTINGS], LIMIT_S)
    assert code == 0, output


def ended(command: list[str], limit_s: float) -> tuple[int, str]:
    """Run to the end, and return code and words; what hangs says where it stands, and is ended."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONFAULTHANDLER": "1",  # SIGABRT then shows where every thread stands
    }
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    try:
        _, output = process.communicate(timeout=limit_s)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        ranks = descendants(process.pid)
        for pid in [*ranks, process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=LAST_WORDS_S)
        for pid in ranks:  # torchrun gives each a session of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        _, output = process.communicate()
        raise AssertionError(f"{command}: no end within {limit_s} s; where each stood:\n{output}") from None


def descendants(pid: int) -> list[int]:
    """Return the numbers of a process's children and of theirs."""
    try:
        children = list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []
    return [one for child in children for one in (child, *descendants(child))]


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


@pytest.mark.slow
def test_two_processes_train_as_one(folder: Path) -> None:
    run(folder, "two.npz", torchrun(0, ["-m", "recon.training.distributed"]))
    agree(folder, "two.npz")


@pytest.mark.slow
def test_a_killed_process_is_begun_again_and_the_end_is_the_same(folder: Path) -> None:
    marker = folder / "killed"
    (folder / "deadly.py").write_text(DEADLY.format(marker=str(marker)))
    run(folder, "killed.npz", torchrun(2, [str(folder / "deadly.py")]))
    assert marker.exists()
    agree(folder, "killed.npz")
    assert not (folder / "killed.training").exists()


@pytest.mark.slow
def test_what_hangs_is_ended_and_told(folder: Path) -> None:
    script = folder / "hanging.py"
    script.write_text("import time\n\ndef waits_for_nobody():\n    time.sleep(600)\n\nwaits_for_nobody()\n")
    begun = [sys.executable, str(script)]  # by another process, as torchrun does
    with pytest.raises(AssertionError, match="waits_for_nobody"):
        ended([sys.executable, "-c", f"import subprocess, sys; subprocess.run({begun!r})"], 8.0)
