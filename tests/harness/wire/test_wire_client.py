"""A candidate behind a socket: the same images bit for bit, a stranger's judged, what goes wrong told."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

ismrmrd = pytest.importorskip("ismrmrd")

from harness.candidates.registry import builder  # noqa: E402
from harness.cli.main import main  # noqa: E402
from harness.realtime.clock import RealClock, VirtualClock  # noqa: E402
from harness.realtime.replay import Run, replay  # noqa: E402
from harness.realtime.service import ConstantService  # noqa: E402
from harness.wire.client import WireClient  # noqa: E402
from harness.wire.limits import WireError  # noqa: E402
from harness.wire.options import parse_wire  # noqa: E402
from mrsim.errors import InputError  # noqa: E402
from mrsim.stream import Header, Readout, Stream, save  # noqa: E402
from recon.protocol import Image  # noqa: E402
from tests.harness.synthetic import make_header, make_stream  # noqa: E402
from tests.harness.wire.wire_peer import Peer, Trick, blank_image  # noqa: E402

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def serve(*arguments: str) -> tuple[subprocess.Popen[str], int]:
    """Start `mrsim serve` in a process of its own and return it with its port."""
    command = [sys.executable, "-W", "error", "-m", "harness.cli", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    return process, int(process.stdout.readline().split(",")[0].rpartition(":")[2])


@pytest.fixture(scope="module")
def zero_filled() -> Iterator[int]:
    process, port = serve("zero-filled", "--limit-s", "1200")
    yield port
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "0 of which failed" in out


def scan(coils: int = 3, frames: int = 12, matrix: tuple[int, int] = (16, 24)) -> Stream:
    header = make_header(lines_per_frame=6, tr_ns=1_000_000, matrix=matrix, coils=coils)
    return make_stream(6 * frames, header=header)


def at_once(stream: Stream, candidate: str) -> Run:
    """Replay on the virtual clock, as fast as can be."""
    return replay(stream, builder(candidate)(), VirtualClock(), ConstantService(0))


@pytest.mark.parametrize("clock", ["real", "virtual"])
@pytest.mark.parametrize("coils", [1, 8])
def test_images_from_another_process_equal_our_own_bit_for_bit(
    zero_filled: int, clock: str, coils: int
) -> None:
    stream = scan(coils)
    ours = at_once(stream, "zero-filled")
    candidate = builder(f"mrd://127.0.0.1:{zero_filled}/any")()
    run = replay(stream, candidate, RealClock() if clock == "real" else VirtualClock())
    assert (run.failure, run.violation) == (None, None)
    assert run.images.pixels is not None
    assert ours.images.pixels is not None
    assert run.images.pixels.tobytes() == ours.images.pixels.tobytes()
    assert run.images.last_line.tolist() == ours.images.last_line.tolist()
    if clock == "real":
        completing = run.started_ns[run.schedule.completing]
        assert (run.images.completed_ns > completing).all()


@pytest.mark.parametrize(
    "options", ["oversampling=reported", "oversampling=unreported", "noise=0.5&lines=72"]
)
def test_conventions_change_how_it_is_said_and_not_what(zero_filled: int, options: str) -> None:
    stream = scan()
    ours = at_once(stream, "zero-filled").images.pixels
    theirs = at_once(stream, f"mrd://127.0.0.1:{zero_filled}/any?{options}").images.pixels
    assert ours is not None
    assert theirs is not None
    np.testing.assert_allclose(theirs, ours, atol=1e-5 * np.abs(ours).max())


@pytest.mark.parametrize("oversampling", ["none", "reported"])
def test_a_strangers_frames_come_back_are_matched_and_judged(oversampling: str, tmp_path: Path) -> None:
    stream = scan(coils=1, frames=20)
    ours = at_once(stream, "zero-filled").images.pixels
    assert ours is not None
    with Peer(None, None) as peer:
        name = (
            f"mrd://127.0.0.1:{peer.port}/simplefft?match=image_index_1&ready_s=0&oversampling={oversampling}"
        )
        run = at_once(stream, name)
        assert (run.failure, run.violation) == (None, None)
        assert run.images.pixels is not None
        np.testing.assert_allclose(run.images.pixels, np.abs(ours), atol=1e-5 * np.abs(ours).max())
        save(stream, tmp_path / "a.stream")
        assert main(["replay", str(tmp_path / "a.stream"), name, "--no-quality"]) in (0, 1, 3, 4)


@pytest.mark.skipif("MRD_PEER" not in os.environ, reason="MRD_PEER=127.0.0.1:PORT names no server")
@pytest.mark.parametrize("oversampling", ["none", "reported"])
def test_a_third_partys_server_is_matched_and_judged(oversampling: str) -> None:
    """Such as python-ismrmrd-server: `python main.py -p 9020`, MRD_PEER=127.0.0.1:9020.

    MRD_PEER_CONFIG names its configuration (simplefft), MRD_PEER_OPTIONS says how it counts
    (match=image_index_1).
    """
    header = make_header(lines_per_frame=64, tr_ns=2_200_000, matrix=(64, 64), coils=4)
    stream = make_stream(64 * 5, header=header)
    options = os.environ.get("MRD_PEER_OPTIONS", "match=order")
    config = os.environ.get("MRD_PEER_CONFIG", "" if "config_text=" in options else "simplefft")
    name = f"mrd://{os.environ['MRD_PEER']}/{config}?{options}&oversampling={oversampling}"
    run = replay(stream, builder(name)(), RealClock())
    ours = at_once(stream, "zero-filled").images.pixels
    assert (run.failure, run.violation) == (None, None)
    assert run.images.shown.all()
    assert run.images.pixels is not None
    assert ours is not None
    for theirs, own in zip(run.images.pixels, ours, strict=True):
        combined = np.corrcoef(np.abs(theirs).ravel(), np.abs(own).ravel())[0, 1]
        assert combined > 0.2


def half_a_message(peer: Peer) -> None:
    peer.read_lines(3)
    peer.sock.sendall(blank_image()[:50])
    peer.wait()


def unknown_message(peer: Peer) -> None:
    peer.read_lines(3)
    peer.sock.sendall(b"\x99\x99")
    peer.wait()


def leaves(peer: Peer) -> None:
    peer.read_lines(3)


def leaves_within_an_image(peer: Peer) -> None:
    peer.read_lines(3)
    peer.sock.sendall(blank_image()[:120])
    peer.sock.shutdown(socket.SHUT_WR)
    never_answers(peer)


def stops_reading(peer: Peer) -> None:
    peer.wait()


def never_answers(peer: Peer) -> None:
    for _ in peer.messages():
        pass
    peer.wait()


def lies(peer: Peer) -> None:
    peer.read_lines(3)
    peer.sock.sendall(blank_image(attributes=2**50))
    peer.wait()


def ends_early(peer: Peer) -> None:
    peer.read_lines(3)
    peer.sock.sendall(b"\4\0")
    peer.wait()


FAULTS: dict[str, tuple[Trick, str]] = {
    "half a message": (half_a_message, "half of IMAGE came|gave no answer"),
    "unknown id": (unknown_message, "message 39321 is not known"),
    "close": (leaves, "is gone"),
    "close in an image": (leaves_within_an_image, "closed the connection within IMAGE"),
    "stops reading": (stops_reading, "stopped reading|gave no answer"),
    "never answers": (never_answers, "gave no answer in 0.4 s since k-space line 5"),
    "lying length": (lies, "bytes of attributes"),
    "ends early": (ends_early, "ended the session at k-space line"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_goes_wrong_is_told_in_time_and_the_next_session_works(fault: str) -> None:
    trick, told = FAULTS[fault]
    stream = make_stream(6 * 400, header=make_header(lines_per_frame=6, matrix=(16, 128), coils=8))
    with Peer(trick, None) as peer:
        name = f"mrd://127.0.0.1:{peer.port}/x?limit_s=0.4&ready_s=0&match=image_index_1"
        began = time.monotonic()
        run = replay(stream, builder(name)(), RealClock(), keep_images=False)
        assert time.monotonic() - began < 30
        assert run.failure is not None
        assert re.search(told, run.failure.error), run.failure.error
        assert "\n" not in run.failure.error
        peer.over.set()
        again = at_once(scan(coils=1), name.replace("limit_s=0.4", "limit_s=60"))
        assert again.failure is None
        assert again.images.shown.all()
    assert [t.name for t in threading.enumerate() if "listen" in t.name] == []


def test_counters_that_wrap_lose_no_frame(zero_filled: int) -> None:
    header = make_header(lines_per_frame=2)
    got: list[Image] = []
    client = WireClient(parse_wire(f"mrd://127.0.0.1:{zero_filled}/x"))
    client.open(header, got.append)
    frames = [65_533, 65_534, 65_535, 65_536, 65_537, 131_072]
    samples = make_stream(2, header=header).samples
    for frame in frames:
        for within in range(2):
            index = 2 * frame + within
            client.push(Readout(index, frame, within, header.echo_ns(index), samples[within]))
    client.close()
    assert [image.frame for image in got] == frames
    assert [image.last_line for image in got] == [2 * frame + 1 for frame in frames]


def test_what_a_server_wants_to_hear_is_said(tmp_path: Path) -> None:
    stream = scan(frames=2)
    save(stream, tmp_path / "a.stream")
    text = tmp_path / "config.xml"
    text.write_text("<config/>")
    with Peer(None) as peer:
        options = (
            f"config_text={text}&flags=repetition,realtime&lines=12&noise=2&motion={tmp_path / 'a.stream'}"
        )
        run = at_once(stream, f'mrd://127.0.0.1:{peer.port}/?{options}&parameters={{"a":1}}&ready_s=0')
    assert run.failure is None
    config, header, parameters, noise, *rest = peer.seen
    assert isinstance(config, ismrmrd.serialization.ConfigText)
    assert config == "<config/>"
    assert parameters == '{"parameters": {"a": 1}}'
    assert header.waveformInformation[0].waveformName == "motion"
    assert noise.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    assert 1.8 < np.sqrt((np.abs(noise.data) ** 2).mean()) < 2.2
    lines = [m for m in rest if isinstance(m, ismrmrd.Acquisition)]
    motion = [m for m in rest if isinstance(m, ismrmrd.Waveform)]
    assert [isinstance(m, ismrmrd.Waveform) for m in rest] == [True, False] * 12
    assert not any(m.is_flag_set(ismrmrd.ACQ_LAST_IN_SLICE) for m in lines)
    assert [m.is_flag_set(ismrmrd.ACQ_LAST_IN_REPETITION) for m in lines] == ([False] * 5 + [True]) * 2
    assert [m.is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT) for m in lines] == [False] * 11 + [True]
    assert all(m.flags & 1 << 27 for m in lines)
    assert stream.truth is not None
    told = np.array([m.data.view(np.float32)[:, 0] for m in motion])
    np.testing.assert_allclose(told, stream.truth.centroid * 1e3, rtol=1e-6)


def test_a_refusal_is_the_same_behind_a_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(scan(frames=3), tmp_path / "a.stream")
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from mrsim.errors import InputError\n"
        "class Refuses:\n"
        "    def open(self, header, emit): raise InputError('weights are for 128 x 128')\n"
        "    def push(self, readout): pass\n"
        "    def close(self): pass\n"
    )
    process, port = serve(f"python:{mine}:Refuses", "--limit-s", "600")
    try:
        assert main(["replay", str(tmp_path / "a.stream"), f"mrd://127.0.0.1:{port}/x", "--no-quality"]) == 2
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert "weights are for 128 x 128" in capsys.readouterr().err


def test_nothing_listening_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(scan(frames=3), tmp_path / "a.stream")
    with Peer() as peer:
        port = peer.port
    assert main(["replay", str(tmp_path / "a.stream"), f"mrd://127.0.0.1:{port}/x", "--no-quality"]) == 2
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port}: connection refused; start a server there" in error
    assert error.count("\n") == 1


def test_a_frame_can_be_waited_for(zero_filled: int) -> None:
    stream = scan(coils=1)
    client = WireClient(parse_wire(f"mrd://127.0.0.1:{zero_filled}/x?wait=on"))
    got: list[int] = []
    client.open(Header.from_dict(stream.header.to_dict()), lambda image: got.append(image.frame))
    for readout in stream:
        client.push(readout)
        if (readout.index + 1) % 6 == 0:
            assert got[-1] == readout.frame
    client.close()


def goes_on(message: bytes) -> Trick:
    """Return a server that reads a scan to its end, and then sends the same message for ever."""

    def trick(peer: Peer) -> None:
        for _ in peer.messages():
            pass
        while not peer.over.wait(0.02):
            peer.sock.sendall(message)

    return trick


@pytest.mark.parametrize(
    "message",
    [
        struct.pack("<HI", 5, 6) + b"hello\0",
        struct.pack("<HI", 5, 18) + b'{"mrsim": "ready"}',
        struct.pack("<H", 1026) + bytes(40),
        blank_image() + bytes(8 * 8 * 8),
    ],
    ids=["text", "status", "waveform", "image"],
)
def test_a_server_that_goes_on_after_the_scan_is_left(message: bytes) -> None:
    stream = scan(coils=1)
    with Peer(goes_on(message)) as peer:
        client = WireClient(parse_wire(f"mrd://127.0.0.1:{peer.port}/x?limit_s=0.5&ready_s=0"))
        client.open(stream.header, lambda image: None)
        client.push(stream.readout(0))
        closing = threading.Thread(target=lambda: refused.append(raised(client.close)), daemon=True)
        refused: list[str] = []
        closing.start()
        closing.join(20)
        assert not closing.is_alive()
        assert "did not end the session in 0.5 s after the scan" in refused[0]


def raised(call: Callable[[], None]) -> str:
    with pytest.raises(WireError) as told:
        call()
    return str(told.value)


def test_a_frame_that_is_waited_for_in_vain_is_told() -> None:
    stream = scan(coils=1)
    with Peer(never_answers) as peer:
        client = WireClient(parse_wire(f"mrd://127.0.0.1:{peer.port}/x?wait=on&limit_s=0.2&ready_s=0"))
        client.open(stream.header, lambda image: None)
        for readout in list(stream)[:5]:
            client.push(readout)
        with pytest.raises(WireError, match=r"sent no image of frame 0 in 0\.2 s"):
            client.push(stream.readout(5))
        with pytest.raises(WireError, match=r"did not end the session in 0\.2 s"):
            client.close()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mrd://", "expected mrd://HOST:PORT/CONFIG"),
        ("mrd://h:0/x", "expected mrd://HOST:PORT/CONFIG"),
        ("mrd://h:99999/x", "expected mrd://HOST:PORT/CONFIG"),
        ("mrd://h:1/x?nagel=on", "did you mean 'nagle'"),
        ("mrd://h:1/x?orent=rot180", "did you mean 'orient'"),
        ("mrd://h:1/x?nagle=maybe", "expected on, off"),
        ("mrd://h:1/x?nagle=on&nagle=off", "comes twice"),
        ("mrd://h:1/x?oversampling=3", "expected none, reported, unreported"),
        ("mrd://h:1/x?flags=line", "slice, repetition, realtime"),
        ("mrd://h:1/x?limit_s=0", "above 0"),
        ("mrd://h:1/x?limit_s=nan", "expected a number"),
        ("mrd://h:1/x?noise=-1", "expected a number"),
        ("mrd://h:1/x?parameters=[1]", "expected a JSON object"),
        ("mrd://h:1/x?config_text=/no/such/file", "config_text /no/such/file: no such file"),
        ("mrd://h:1/x?motion=/no/such/stream", "/no/such/stream"),
        ("mrd://h:1/" + "x" * 1024, "at most 1023 bytes"),
        ("mrd://h:1/x?a", "expected mrd://HOST:PORT/CONFIG"),
    ],
)
def test_a_wrong_name_is_told_before_anything_is_played(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        builder(name)
