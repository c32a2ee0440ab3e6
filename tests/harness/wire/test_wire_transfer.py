"""Transfer is told apart from computing, and what holds it back is named."""

from __future__ import annotations

import json
import threading
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ismrmrd")

from harness.candidates.registry import builder
from harness.cli.main import main
from harness.wire.images import Stamps
from harness.wire.server import Server
from harness.wire.transfer import Transfer
from mrsim.stream import save
from tests.harness.synthetic import make_header, make_stream
from tests.harness.wire.wire_peer import Peer, Trick

MS = 1_000_000


def served(wire_ns: list[int], busy_ns: int, nodelay: bool = True, tr_ns: int = 4 * MS) -> Transfer:
    """Return the record of a scan whose server takes line after line, busy for some time with each."""
    transfer, free_ns, rows = Transfer(nodelay, 100), 0, []
    for line, wire in enumerate(wire_ns):
        sent = line * tr_ns
        transfer.sent(line, sent)
        got = max(sent + wire, free_ns)
        rows.append((line, free_ns, got))
        free_ns = got + busy_ns
    transfer.arrived(len(wire_ns) - 1, free_ns + 3 * MS, Stamps(tuple(rows), free_ns + MS))
    return transfer


def test_a_readouts_time_is_that_of_the_wire() -> None:
    wire = [300_000, 500_000, 400_000] * 20
    assert served(wire, MS).readout.tolist() == wire


def test_a_busy_server_is_not_taken_for_a_slow_wire() -> None:
    transfer = served([300_000] * 200, busy_ns=20 * MS)
    # A line that waits in the server's own buffer costs the wire no more than its way there.
    assert transfer.readout.max() <= 300_000
    assert transfer.diagnosis() is None


def test_computing_sending_and_the_whole_are_told_apart() -> None:
    transfer = served([500_000] * 40, busy_ns=0)
    # Received at 0.5 ms after it was sent, emitted 1 ms after that, here 2 ms later.
    assert transfer.compute.tolist() == [MS]
    assert transfer.image.tolist() == [2 * MS]
    assert transfer.total.tolist() == [3 * MS + 500_000]


def test_what_holds_readouts_back_is_named() -> None:
    slow = [30 * MS] * 100
    told = served(slow, 0, nodelay=False, tr_ns=50 * MS).diagnosis()
    assert told is not None
    assert "30.00 ms (p50)" in told
    assert "Nagle's algorithm holds it back; set TCP_NODELAY" in told
    told = served(slow, 0, nodelay=True, tr_ns=50 * MS).diagnosis()
    assert told is not None
    assert "the network or the host is slow" in told
    assert served([200_000] * 100, 0, nodelay=False).diagnosis() is None
    assert "Nagle" in (Transfer(False, 0).diagnosis() or "")
    assert Transfer(True, 0).diagnosis() is None


def test_stamps_that_cannot_be_are_left_out() -> None:
    transfer = Transfer(True, 0)
    transfer.sent(0, 1000)
    transfer.arrived(0, 5000, Stamps(((0, 100, 200), (7, 0, 300)), 9000))
    assert (len(transfer.readout), len(transfer.compute), transfer.total) == (0, 0, array("q", [4000]))
    json.dumps(transfer.to_json(), allow_nan=False)


def replayed(tmp_path: Path, port: int, options: str, *more: str) -> dict[str, Any]:
    header = make_header(lines_per_frame=8, tr_ns=6 * MS, matrix=(16, 128), coils=8)
    save(make_stream(8 * 40, header=header), tmp_path / "a.stream")
    out = tmp_path / "out.json"
    name = f"mrd://127.0.0.1:{port}/x?{options}"
    command = ["replay", str(tmp_path / "a.stream"), name, "--no-quality", "--json", str(out), *more]
    assert main(command) in (0, 1, 3, 4)
    return dict(json.loads(out.read_text()))


@pytest.mark.parametrize("nagle", ["on", "off"])
def test_the_bench_sees_nagles_algorithm_and_says_so(
    nagle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(builder("null"))
    thread = threading.Thread(target=server.serve, kwargs={"sessions": 1, "limit_s": 600.0})
    thread.start()
    report = replayed(tmp_path, server.address[1], f"nagle={nagle}")
    thread.join(60)
    transfer, out = report["transfer"], capsys.readouterr().out
    assert transfer["nodelay"] is (nagle == "off")
    assert transfer["readout_ms"]["count"] == 320
    assert "on the wire, ms: readout" in out
    if nagle == "on":
        assert "Nagle's algorithm holds it back; set TCP_NODELAY" in report["reason"]
        assert report["reason"] in out
    else:
        assert "Nagle" not in report["reason"]


def all_of_frame_0(peer: Peer) -> None:
    """Count nothing, as some servers do."""
    from tests.harness.wire import wire_peer

    def uncounted(header: Any, lines: list[Any], count: int) -> Any:
        return honest(header, lines, 0)

    honest, wire_peer.reconstruct = wire_peer.reconstruct, uncounted
    try:
        wire_peer.honest(peer)
    finally:
        wire_peer.reconstruct = honest


def test_a_server_that_does_not_count_is_told_of(tmp_path: Path) -> None:
    trick: Trick = all_of_frame_0
    with Peer(trick) as peer:
        report = replayed(tmp_path, peer.port, "ready_s=0")
    assert "by repetition, which this server does not count: set match=order" in report["reason"]
    assert report["images"]["extra"] == 39
    assert report["transfer"]["compute_ms"] is None
    assert report["transfer"]["total_ms"]["count"] == 40
    assert np.isfinite(report["transfer"]["total_ms"]["p50"])


def test_lines_whose_image_has_come_are_forgotten() -> None:
    """What a session holds must not grow by each line: the audit of flat memory sees it of any server."""
    transfer = Transfer(True, 1000)
    for line in range(4000):
        transfer.sent(line, line)
        if line % 8 == 7:
            transfer.arrived(line, line + 3, None)
            transfer.arrived(line, line + 5, None)  # the whole image after a part of it
    assert transfer.total.tolist() == [3, 5] * 500
    assert len(transfer._sent) <= 3 * 8
