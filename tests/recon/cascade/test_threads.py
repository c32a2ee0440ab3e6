"""The number of threads follows what was measured: modelled runs stand for a quiet and for a busy host."""

from __future__ import annotations

import pytest
import torch

from recon.cascade import threads
from recon.cascade.reconstructor import OnlineCascade
from recon.cascade.threads import settle_threads
from tests.recon.conftest import run, small_stream


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("alone", "together", "chosen"),
    [
        ([10] * 6, [6] * 6, 2),  # quiet: two threads pay
        ([10] * 6, [9] * 6, 1),  # they hardly pay
        ([10] * 6, [6, 6, 6, 6, 100, 120], 1),  # busy: fast as a rule, but not when it counts
        ([10] * 6, [6, 6, 6, 6, 6, 100], 2),  # one hiccup is not a busy host
    ],
)
def test_the_slow_run_decides(alone, together, chosen, two_threads, monkeypatch):
    times = {1: iter(alone), 2: iter(together)}
    monkeypatch.setattr(threads, "_timed", lambda _: next(times[torch.get_num_threads()]))
    assert settle_threads(lambda: None) == chosen
    assert torch.get_num_threads() == chosen


def test_threads_are_given_back_at_the_end_of_a_scan(two_threads):
    from recon.cascade.checkpoint import Checkpoint
    from recon.cascade.network import Cascade, named_config

    small = Checkpoint(Cascade(named_config("population", rows=24)).eval(), 1.0, {"matrix": [24, 20]})
    run(OnlineCascade(small), small_stream(frames=2))
    assert torch.get_num_threads() == 2
