"""A reconstructor as a server: bad clients end their own session only, and nothing is left of any."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ismrmrd = pytest.importorskip("ismrmrd")

from harness.candidates.registry import Null, builder  # noqa: E402
from harness.realtime.clock import VirtualClock  # noqa: E402
from harness.realtime.replay import replay  # noqa: E402
from harness.realtime.service import ConstantService  # noqa: E402
from harness.wire.client import WireClient  # noqa: E402
from harness.wire.images import Pixels  # noqa: E402
from harness.wire.limits import Limits  # noqa: E402
from harness.wire.options import parse_wire  # noqa: E402
from harness.wire.server import Server  # noqa: E402
from harness.wire.serving import ServiceLimits, Session  # noqa: E402
from harness.wire.session import Channel  # noqa: E402
from mrsim.errors import InputError, StreamError  # noqa: E402
from mrsim.formats.mrd_acquisition import to_acquisition  # noqa: E402
from mrsim.formats.mrd_header import header_to_xml  # noqa: E402
from mrsim.stream import Header  # noqa: E402
from recon.protocol import Emit, Image  # noqa: E402
from tests.harness.synthetic import make_header, make_stream  # noqa: E402
from tests.harness.wire.wire_clients import QUICK, STREAM, encoded, introduction, serving, session  # noqa: E402

pytestmark = pytest.mark.slow

LINES = [to_acquisition(readout, STREAM.header) for readout in STREAM]
WHOLE = introduction() + encoded(*LINES) + struct.pack("<H", 4)


def half_a_message(sock: socket.socket) -> None:
    sock.sendall(introduction() + encoded(LINES[0])[:100])


def unknown_message(sock: socket.socket) -> None:
    sock.sendall(introduction() + b"\x99\x99" + bytes(100))


def leaves_within_a_frame(sock: socket.socket) -> None:
    sock.sendall(introduction() + encoded(*LINES[:2]))
    sock.shutdown(socket.SHUT_WR)


def leaves_within_a_message(sock: socket.socket) -> None:
    sock.sendall(introduction() + encoded(LINES[0])[:100])
    sock.shutdown(socket.SHUT_WR)


def says_nothing(sock: socket.socket) -> None:
    pass


def lies(sock: socket.socket) -> None:
    head = ismrmrd.acquisition.AcquisitionHeader(number_of_samples=65535, active_channels=65535)
    sock.sendall(introduction() + struct.pack("<H", 1008) + bytes(head))


def asks_for_34_gb(sock: socket.socket) -> None:
    header = make_header(lines_per_frame=1, matrix=(4096, 4096), coils=256)
    sock.sendall(introduction(header) + bytes(2))


def is_no_header(sock: socket.socket) -> None:
    text = b"<ismrmrdHeader>" * 50
    sock.sendall(encoded(ismrmrd.serialization.ConfigFile("x")) + struct.pack("<HI", 3, len(text)) + text)


def out_of_turn(sock: socket.socket) -> None:
    sock.sendall(encoded(LINES[0]))


def sends_an_image(sock: socket.socket) -> None:
    sock.sendall(introduction() + encoded(ismrmrd.Image.from_array(np.zeros((4, 4), np.float32))))


def another_shape(sock: socket.socket) -> None:
    sock.sendall(introduction() + encoded(ismrmrd.Acquisition.from_array(np.zeros((1, 5), np.complex64))))


def another_row(sock: socket.socket) -> None:
    line = to_acquisition(STREAM.readout(0), STREAM.header)
    line.idx.kspace_encode_step_1 = 4000
    sock.sendall(introduction() + encoded(line))


BAD: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "half a message": (half_a_message, "half of ACQUISITION came, 100 bytes"),
    "unknown id": (unknown_message, "message 39321 is not known"),
    "close in a frame": (leaves_within_a_frame, "the peer closed the connection"),
    "close in a message": (leaves_within_a_message, "closed the connection within ACQUISITION"),
    "nothing": (says_nothing, "the peer said nothing in 4 s"),
    "lying length": (lies, "65535 channels of 65535 samples"),
    "34 GB": (asks_for_34_gb, "needs 32768 MiB a frame: at most 256 MiB"),
    "no header": (is_no_header, "not an MRD header"),
    "out of turn": (out_of_turn, "ACQUISITION came out of turn; awaited: CONFIG_FILE"),
    "image": (sends_an_image, "IMAGE came out of turn"),
    "shape": (another_shape, "5 samples: the header asks for 8"),
    "row": (another_row, "phase-encode step 4000"),
}


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Server, list[str]]]:
    with serving() as both:
        yield both


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_client_ends_its_own_session_and_no_other(fault: str, shared: tuple[Server, list[str]]) -> None:
    act, expected = BAD[fault]
    server, told = shared
    before, began, said = server.failed, time.monotonic(), len(told)
    with socket.create_connection(server.address) as sock:
        sock.settimeout(30)
        act(sock)
        while sock.recv(65536):
            pass  # until the server hangs up
    assert time.monotonic() - began < 30
    while server.failed == before:
        assert time.monotonic() - began < 30
        time.sleep(0.01)
    # The line of the session before may come after it.
    (line,) = [line for line in told[said:] if "failed" in line]
    assert expected in line
    assert "\n" not in line
    session(server.address[1])


def test_the_client_is_told_why() -> None:
    with serving() as (server, _), socket.create_connection(server.address) as sock:
        sock.sendall(introduction() + b"\x99\x99")
        said = list(ismrmrd.ProtocolDeserializer(sock.makefile("rb")).deserialize())
    assert "message 39321 is not known" in said[-1]


def test_a_peer_that_stops_reading_is_told_in_time() -> None:
    limits = ServiceLimits(Limits(image_bytes=0, message_s=0.4), idle_s=30.0, queue_bytes=1 << 20)
    header = make_header(lines_per_frame=1, matrix=(256, 256))
    stream = make_stream(1, header=header)
    line = encoded(to_acquisition(stream.readout(0), header))
    with serving(limits=limits) as (server, told):
        with socket.create_connection(server.address) as sock:
            sock.settimeout(30)
            sock.sendall(introduction(header))
            began = time.monotonic()
            with pytest.raises(OSError):  # reset, broken pipe or too late, as the system likes
                sock.sendall(line * 20_000)
            while not server.failed:
                assert time.monotonic() - began < 60
                time.sleep(0.01)
        assert "the peer stopped reading" in told[-1]
        session(server.address[1])


def test_a_client_that_reads_only_at_its_end_is_served() -> None:
    with serving() as (server, _), socket.create_connection(server.address) as sock:
        sock.sendall(WHOLE)
        said = list(ismrmrd.ProtocolDeserializer(sock.makefile("rb")).deserialize())
    frames = [message for message in said if isinstance(message, ismrmrd.Image)]
    assert [image.image_index for image in frames] == [0, 1, 2, 3]
    ours = replay(STREAM, builder("zero-filled")(), VirtualClock(), ConstantService(0)).images.pixels
    assert ours is not None
    assert [image.data.tobytes() for image in frames] == [pixels.tobytes() for pixels in ours]


@pytest.mark.parametrize("sent", ["auto", "complex"])
def test_a_strangers_scan_is_served_by_its_flags(sent: str) -> None:
    """A header with the bare minimum, frames of fewer lines than it lets expect, no counter of ours.

    It gets what is usual in the field, with which writers of DICOM can do, and nothing of ours.
    """
    document = ismrmrd.xsd.CreateFromDocument(header_to_xml(STREAM.header))
    document.userParameters = document.acquisitionSystemInformation = document.sequenceParameters = None
    document.encoding[0].parallelImaging = None
    lines = []
    for readout in STREAM:
        line = ismrmrd.Acquisition.from_array(np.array(readout.samples))
        line.idx.kspace_encode_step_1, line.idx.repetition = readout.ky + 4, 7 + readout.frame
        if readout.index % 4 == 3:
            line.set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
        lines.append(line)
    document.encoding[0].reconSpace.fieldOfView_mm.z = 7.0
    data = encoded(ismrmrd.serialization.ConfigText("<a/>"), document, *lines) + struct.pack("<H", 4)
    assumed = {"tr_ns": 4_000_000, "te_ns": 2_000_000, "flip_rad": 0.3}
    given = {"assumed": assumed, "pixels": Pixels(sent)}
    with serving(**given) as (server, _), socket.create_connection(server.address) as sock:
        sock.sendall(data)
        said = list(ismrmrd.ProtocolDeserializer(sock.makefile("rb")).deserialize())
    assert all(isinstance(message, ismrmrd.Image) for message in said)
    assert [image.repetition for image in said] == [7, 8, 9, 10]
    ours = replay(STREAM, builder("zero-filled")(), VirtualClock(), ConstantService(0)).images.pixels
    assert ours is not None
    shown = ours if sent == "complex" else np.abs(ours)
    assert [image.data.tobytes() for image in said] == [pixels.tobytes() for pixels in shown]
    kind = ismrmrd.IMTYPE_COMPLEX if sent == "complex" else ismrmrd.IMTYPE_MAGNITUDE
    for image, pixels in zip(said, shown, strict=True):
        assert image.image_type == kind
        assert image.field_of_view[2] == pytest.approx(7.0)
        assert image.meta["DataRole"] == "Image"
        assert not [name for name in image.meta if name.startswith("mrsim_")]
        if sent == "auto":
            assert float(image.meta["WindowWidth"]) == pytest.approx(float(pixels.max()))


@pytest.mark.parametrize("pace_s", [0.0, 0.3])
def test_texts_before_the_header_hold_no_session(pace_s: float) -> None:
    """A client that talks, at any pace, and never sends its header, is let go in a bounded time."""
    quick = ServiceLimits(Limits(image_bytes=0, message_s=1.0), idle_s=60.0)
    with serving(limits=quick) as (server, told):
        sock = socket.create_connection(server.address)
        sock.sendall(encoded(ismrmrd.serialization.ConfigFile("x")))
        began, sent = time.monotonic(), 0
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 30 and not server.ended:
                sock.sendall(encoded("a text"))
                sent += 1
                time.sleep(pace_s)
        sock.close()
        assert server.ended == server.failed == 1
        assert time.monotonic() - began < 20
        wanted = "more than 16 texts" if pace_s == 0 else "no header came in 1 s"
        assert any(re.search(wanted, line) for line in told), told


def test_one_session_too_many_is_told_that_the_server_is_busy() -> None:
    limits = ServiceLimits(idle_s=30.0)
    with serving(at_once=2, limits=limits) as (server, _):
        held = [WireClient(parse_wire(f"mrd://127.0.0.1:{server.address[1]}/x")) for _ in range(2)]
        for client in held:
            client.open(STREAM.header, lambda image: None)
        third = WireClient(parse_wire(f"mrd://127.0.0.1:{server.address[1]}/x"))
        with pytest.raises(InputError, match="is busy: 2 sessions are held already"):
            third.open(STREAM.header, lambda image: None)
        for client in held:
            client.close()
        while server.ended < 2:
            time.sleep(0.01)
        session(server.address[1])


class Raises(Null):
    """Raise at the ninth line."""

    def push(self, readout: Any) -> None:
        if readout.index == 9:
            raise ValueError("no luck")
        super().push(readout)


class Refuses(Null):
    """Raise an error of input, as its own code may for reasons of its own."""

    def push(self, readout: Any) -> None:
        raise StreamError("mine alone")


class Odd(Null):
    """Emit what is no image."""

    def push(self, readout: Any) -> None:
        self._emit("no image")  # type: ignore[arg-type]


class Threaded(Null):
    """Emit from a thread of its own, and show an instant and a band."""

    def open(self, header: Header, emit: Emit) -> None:
        super().open(header, emit)
        self._threads: list[threading.Thread] = []

    def push(self, readout: Any) -> None:
        if (readout.index + 1) % self._lines == 0:
            pixels = np.full((8, 8), readout.frame, np.complex64)
            image = Image(pixels, readout.frame, readout.index, readout.t_ns)
            self._threads.append(threading.Thread(target=self._emit, args=(image,)))
            self._threads[-1].start()

    def close(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Raises, "ValueError: no luck"),
        (Odd, "emitted str"),
        (Refuses, "the candidate raised StreamError: mine alone"),
    ],
)
def test_a_candidate_that_goes_wrong_is_told_to_its_client(kind: type, told: str) -> None:
    server = Server(kind, limits=QUICK)
    thread = threading.Thread(target=server.serve, kwargs={"sessions": 1, "limit_s": 600.0})
    thread.start()
    candidate = WireClient(parse_wire(f"mrd://127.0.0.1:{server.address[1]}/x"))
    run = replay(STREAM, candidate, VirtualClock(), ConstantService(0))
    thread.join(60)
    assert run.failure is not None
    assert told in run.failure.error
    assert not thread.is_alive()


def test_images_may_be_emitted_from_any_thread() -> None:
    server = Server(Threaded, limits=QUICK)
    thread = threading.Thread(target=server.serve, kwargs={"sessions": 1, "limit_s": 600.0})
    thread.start()
    session(server.address[1])
    thread.join(60)
    assert not thread.is_alive()


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8)), max_size=4),
    st.floats(0, 1),
)
def test_no_bytes_end_a_session_with_more_than_one_line(cuts: list[tuple[float, bytes]], end: float) -> None:
    data = bytearray(WHOLE)
    for where, junk in cuts:
        at = int(where * len(data))
        data[at : at + len(junk)] = junk
    data = data[: round(end * len(data))]
    ours, theirs = _pair()
    try:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        channel = Channel(ours, QUICK.wire)
        tracemalloc.start()
        try:
            told = Session(channel, builder("zero-filled"), QUICK, {}).run()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        channel.close()
    finally:
        theirs.close()
    assert told is None or ("\n" not in told and "Traceback" not in told and "AttributeError" not in told)
    assert peak < 3 * QUICK.wire.readout_bytes + QUICK.scan_bytes


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


def _held() -> tuple[int, int]:
    """Return how many files are open, and the bytes that are resident."""
    gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(os.listdir("/proc/self/fd")), resident


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_sessions_leave_no_thread_no_socket_and_no_memory() -> None:
    """Of 500 sessions where MRSIM_SESSIONS says so; of 40, and eight at once, as a rule."""
    count = int(os.environ.get("MRSIM_SESSIONS", "40"))
    with serving("null", limits=ServiceLimits()) as (server, _):
        port, threads = server.address[1], threading.active_count()
        for _ in range(20):
            session(port)
        _settle(server, threads)
        files, resident = _held()
        for _ in range(count):
            session(port)
        _settle(server, threads)  # the last one has hung up, and may not have been let go of yet
        crowd = [threading.Thread(target=session, args=(port,)) for _ in range(8)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        _settle(server, threads)
        after = _held()
        assert (server.begun, server.failed) == (20 + count + 8, 0)
    assert after[0] == files
    assert after[1] - resident < (8 << 20) + count * 4096


def _settle(server: Server, threads: int) -> None:
    """Wait until every session that began has ended, and its threads with it."""
    until = time.monotonic() + 60
    while server.ended < server.begun or threading.active_count() > threads:
        assert time.monotonic() < until
        time.sleep(0.01)
