"""A subspace is learnt on one thread: the same bits whatever the threads, and no thread that waits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recon.data.examples import examples_of
from recon.subspace.subspace import Subspace
from recon.training.subspace import learn_subspace
from tests.recon.conftest import small_stream

ROOT = Path(__file__).parents[3]
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
LEARNT = """
import hashlib
from recon.data.examples import examples_of
from recon.training.subspace import learn_subspace
from tests.recon.conftest import small_stream

found = learn_subspace([examples_of(small_stream(300, 64, 64))], 12, 4, 0.02, 1.0, 200)
print(hashlib.sha256(b"".join(v.numpy().tobytes() for v in found.state_dict().values())).hexdigest())
"""


def test_one_thread_learns_it_and_the_others_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    fit = Subspace.fit

    def noted(self: Subspace, *given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        seen.append(torch.get_num_threads())
        return fit(self, *given)

    monkeypatch.setattr(Subspace, "fit", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        learn_subspace([examples_of(small_stream())], 4, 4, 0.02, 1.0, 10)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


@pytest.mark.slow
def test_threads_of_libraries_change_no_bit() -> None:
    words, found = [sys.executable, "-c", LEARNT], []
    for threads in "12":
        env = {**os.environ, **dict.fromkeys(THREADS, threads), "PYTHONPATH": str(ROOT)}
        found.append(subprocess.run(words, env=env, capture_output=True, text=True, timeout=300, check=True))
    assert found[0].stdout == found[1].stdout != ""
