"""What a reconstructor costs between the last line of a frame and its image: `pytest --benchmark-only`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.statistics import samples_needed, summarise
from mrsim.stream import Header, Readout
from recon.cascade import Cascade, named_config
from recon.checkpoint import Checkpoint
from recon.classical import ViewSharing
from recon.consistency import enforce_image
from recon.online import OnlineCascade

HEADER = Header((128, 128), (0.4, 0.4), 2_200_000, 1_100_000, 0.35, 3.0, 1, 32, 4.0, "bench", "random")
ENOUGH = samples_needed(0.99)


def record(benchmark, deadline_ns: int) -> None:
    """Add p50, p99 (null where the rounds do not carry it) and the share over the deadline."""
    nanoseconds = (np.array(benchmark.stats.stats.data) * 1e9).astype(np.int64)
    summary = summarise(nanoseconds)
    benchmark.extra_info |= {
        "p50_ms": summary.p50 and summary.p50 / 1e6,
        "p99_ms": summary.p99 and summary.p99 / 1e6,
        "p99_carried": summary.p99 is not None,
        "deadline_ms": deadline_ns / 1e6,
        "share_over_deadline": float(np.mean(nanoseconds > deadline_ns)),
        "torch_threads": torch.get_num_threads(),
    }


def lines(frame: int) -> list[Readout]:
    rng = np.random.default_rng([5, frame])
    rows = rng.permutation(128)[:32] - 64
    first = frame * 32
    samples = rng.normal(size=(32, 1, 128)) + 1j * rng.normal(size=(32, 1, 128))
    return [
        Readout(first + i, frame, int(k), HEADER.echo_ns(first + i), samples[i].astype(np.complex64))
        for i, k in enumerate(rows)
    ]


def push_to_image(benchmark, reconstructor, rounds: int) -> None:
    """Time the push of a frame's last line, from call to image, with everything before it done."""
    images: list = []
    reconstructor.open(HEADER, images.append)
    count = iter(range(rounds + 100))

    def before():
        *head, last = lines(next(count))
        for readout in head:
            reconstructor.push(readout)
        images.clear()
        return (last,), {}

    benchmark.pedantic(reconstructor.push, setup=before, rounds=rounds, warmup_rounds=8)
    assert len(images) == 1
    assert np.isfinite(images[0].pixels).all()
    record(benchmark, HEADER.frame_ns)


def untrained(name: str) -> OnlineCascade:
    """Build a cascade with the weights that it is born with: arithmetic does not know what it learnt."""
    torch.manual_seed(0)
    return OnlineCascade(Checkpoint(Cascade(named_config(name)).eval(), 1.0, {"matrix": [128, 128]}))


def test_push_to_image_view_sharing(benchmark):
    push_to_image(benchmark, ViewSharing(), ENOUGH)


def test_push_to_image_compact_cascade(benchmark):
    push_to_image(benchmark, untrained("compact"), ENOUGH)


def test_push_to_image_seed_cascade(benchmark):
    """The seed's 5 x 10 x 64; half a second each on a CPU, so its rounds do not carry a p99."""
    push_to_image(benchmark, untrained("seed"), 12)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_data_consistency_layer(benchmark, weight):
    rng = np.random.default_rng(0)
    image, acquired = (
        torch.from_numpy(
            (rng.normal(size=(128, 128)) + 1j * rng.normal(size=(128, 128))).astype(np.complex64)
        )
        for _ in range(2)
    )
    mask = torch.from_numpy(rng.random(128) < 0.25)
    with torch.inference_mode():
        benchmark.pedantic(
            enforce_image, args=(image, acquired, mask, weight), rounds=ENOUGH, iterations=1, warmup_rounds=20
        )
    record(benchmark, HEADER.tr_ns)
