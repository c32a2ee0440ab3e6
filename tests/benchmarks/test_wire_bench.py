"""What the wire adds: a readout of 128 samples and 8 coils on its way to a server in another process.

Aim: p50 under 1 ms and p99 under 4 ms on an idle loopback (published of a like bench: 3.18 ms).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ismrmrd")

from harness.candidates.registry import builder
from harness.realtime.clock import RealClock
from harness.realtime.replay import replay
from harness.testing.benchmark_table import enter
from harness.wire.client import WireClient
from mrsim.stream import Header, Stream
from tests.harness.synthetic import make_stream

pytestmark = pytest.mark.benchmark(group="wire")

ROOT = Path(__file__).parents[2]
LINES_PER_FRAME = 32
FRAMES = 30


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, "-m", "harness.cli", "serve", "null", "--port", "0", "--limit-s", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().split(",")[0].rpartition(":")[2])
        process.terminate()


@pytest.fixture(scope="module")
def stream() -> Stream:
    header = Header(
        matrix=(128, 128),
        fov_m=(0.4, 0.4),
        tr_ns=2_200_000,
        te_ns=1_100_000,
        flip_rad=0.35,
        field_t=3.0,
        coils=8,
        lines_per_frame=LINES_PER_FRAME,
        acceleration=4.0,
        sampler="uniform",
        order="ascending",
    )
    return make_stream(LINES_PER_FRAME * FRAMES, header=header)


@pytest.mark.parametrize("options", ["", "?nagle=on"], ids=["nodelay", "nagle"])
def test_a_readout_on_its_way(benchmark: Any, port: int, stream: Stream, options: str) -> None:
    """The times of single readouts are in `extra_info`; the benchmark's own is that of the whole replay."""
    clients: list[WireClient] = []

    def once() -> None:
        clients.append(WireClient(_options(f"mrd://127.0.0.1:{port}/bench{options}")))
        run = replay(stream, clients[-1], RealClock(), keep_images=False)
        assert run.failure is None
        assert run.images.shown.all()

    benchmark.pedantic(once, rounds=3, warmup_rounds=1)
    transfer = clients[-1].transfer
    assert transfer is not None
    told = transfer.to_json()
    how = "with Nagle's algorithm" if options else "sent at once"
    enter(
        benchmark,
        "wire",
        f"a readout to a server in another process, {how}",
        size="128, 8",
        deadline_ns=4e6,
        times_ns=transfer.readout,
    )
    benchmark.extra_info.update(
        {key: told[key] for key in ("readout_ms", "image_ms", "total_ms", "diagnosis")}
    )


def _options(name: str) -> Any:
    from harness.wire.options import parse_wire

    return parse_wire(name)


def test_one_push(benchmark: Any, port: int, stream: Stream) -> None:
    """What sending a readout costs the gate."""
    client = builder(f"mrd://127.0.0.1:{port}/bench")()
    client.open(stream.header, lambda image: None)
    lines = iter(list(stream) * 20)
    benchmark.pedantic(lambda: client.push(next(lines)), rounds=2000, warmup_rounds=200)
    client.close()
    enter(benchmark, "wire", "what sending a readout costs the gate", size="128, 8", deadline_ns=2.2e6)
