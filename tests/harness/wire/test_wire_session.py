"""Every message is read by the package's codec field for field, both ways; what is none is told as such."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ismrmrd = pytest.importorskip("ismrmrd")

from harness.wire.images import Match, Matcher, Stamps, image_to_wire  # noqa: E402
from harness.wire.limits import Kind, Limits, PeerGone, WireError  # noqa: E402
from harness.wire.session import Channel, printable, read_status, status_text  # noqa: E402
from mrsim.formats.mrd_header import header_to_xml, xml_to_encoding  # noqa: E402
from recon.protocol import Image  # noqa: E402
from tests.harness.synthetic import make_header  # noqa: E402

ANY = frozenset(Kind)
QUICK = Limits(message_s=0.3)
HEADS = {
    Kind.ACQUISITION: ismrmrd.acquisition.AcquisitionHeader,
    Kind.IMAGE: ismrmrd.image.ImageHeader,
    Kind.WAVEFORM: ismrmrd.waveform.WaveformHeader,
}


@contextmanager
def linked(limits: Limits = QUICK) -> Iterator[tuple[Channel, socket.socket]]:
    """Give a channel, and the raw other end of its connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    channel = Channel(ours, limits)
    try:
        yield channel, theirs
    finally:
        channel.close()
        theirs.close()


def head_of(kind: Kind, **fixed: Any) -> st.SearchStrategy[Any]:
    """Draw a head with any bytes in all fields but those that say how much follows."""

    def made(data: bytes) -> Any:
        head = HEADS[kind].from_buffer_copy(data)
        for name, value in fixed.items():
            setattr(head, name, value)
        return head

    size = ctypes.sizeof(HEADS[kind])
    return st.binary(min_size=size, max_size=size).map(made)


@st.composite
def acquisitions(draw: st.DrawFn) -> Any:
    samples, channels, dims = draw(st.integers(0, 9)), draw(st.integers(0, 3)), draw(st.integers(0, 3))
    head = draw(
        head_of(
            Kind.ACQUISITION, number_of_samples=samples, active_channels=channels, trajectory_dimensions=dims
        )
    )
    made = ismrmrd.Acquisition(head)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    made.data[:] = rng.standard_normal((channels, samples)) + 1j
    made.traj[:] = rng.standard_normal((samples, dims))
    return made


@st.composite
def images(draw: st.DrawFn) -> Any:
    size = tuple(draw(st.lists(st.integers(0, 4), min_size=3, max_size=3)))
    data_type = draw(st.sampled_from([1, 2, 3, 5, 6, 7, 8]))
    channels = draw(st.integers(0, 3))
    head = draw(head_of(Kind.IMAGE, matrix_size=size, channels=channels, data_type=data_type))
    name = st.text("abc_ÄÖ", min_size=1, max_size=8)
    text = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=12)
    values = st.one_of(text, st.lists(text, min_size=2, max_size=3))
    made = ismrmrd.Image(head, ismrmrd.Meta(draw(st.dictionaries(name, values, max_size=3))).serialize())
    made.data[...] = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 60000, made.data.shape)
    return made


@st.composite
def waveforms(draw: st.DrawFn) -> Any:
    samples, channels = draw(st.integers(0, 9)), draw(st.integers(0, 3))
    made = ismrmrd.Waveform(draw(head_of(Kind.WAVEFORM, number_of_samples=samples, channels=channels)))
    made.data[...] = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2**32, made.data.shape)
    return made


# What ends in NUL comes back without; surrogates are no UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
MESSAGES = st.one_of(
    acquisitions(),
    images(),
    waveforms(),
    TEXT,
    TEXT.map(ismrmrd.serialization.ConfigFile),
    TEXT.map(ismrmrd.serialization.ConfigText),
)


def fields(message: Any) -> Any:
    """Return all that a message holds, as bytes, so that a NaN equals itself."""
    if isinstance(message, str):
        return type(message), str(message)
    head = {name: bytes(memoryview(getattr_raw(message._head, name))) for name, _ in message._head._fields_}
    if isinstance(message, ismrmrd.Image):
        head.pop("attribute_string_len")  # set by the codec as it writes
        return head, message.data.tobytes(), dict(message.meta)
    more = message.traj.tobytes() if isinstance(message, ismrmrd.Acquisition) else b""
    return head, message.data.tobytes(), message.data.shape, more


def getattr_raw(head: Any, name: str) -> Any:
    """Return a field's own bytes."""
    field = getattr(type(head), name)
    return bytes(head)[field.offset : field.offset + field.size]


@settings(max_examples=40)
@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_what_we_write_is_read_by_the_package_field_for_field(messages: list[Any]) -> None:
    with linked() as (channel, theirs):
        channel.send(*messages)
        channel.send_close()
        read = list(ismrmrd.ProtocolDeserializer(theirs.makefile("rb")).deserialize())
    assert [fields(m) for m in read] == [fields(m) for m in messages]


@settings(max_examples=40)
@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_what_the_package_writes_is_read_by_us_field_for_field(messages: list[Any]) -> None:
    with linked() as (channel, theirs):
        with theirs.makefile("wb") as file, ismrmrd.ProtocolSerializer(file) as serializer:
            for message in messages:
                serializer.serialize(message)
        read = [channel.receive(ANY, 1.0).content for _ in messages]
        assert channel.receive(ANY, 1.0).kind is Kind.CLOSE
    assert [fields(m) for m in read] == [fields(m) for m in messages]


@settings(max_examples=30)
@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 32), st.integers(1, 10**12 - 20))
def test_a_header_is_read_by_the_package_and_comes_back_exactly(
    ny: int, nx: int, coils: int, tr_ns: int
) -> None:
    header = make_header(lines_per_frame=1, tr_ns=tr_ns + 10, matrix=(ny, nx), coils=coils)
    document = ismrmrd.xsd.CreateFromDocument(header_to_xml(header))
    with linked() as (channel, theirs):
        channel.send(document)
        channel.send_close()
        (read,) = ismrmrd.ProtocolDeserializer(theirs.makefile("rb")).deserialize()
        assert read == document
        with theirs.makefile("wb") as file:
            ismrmrd.ProtocolSerializer(file).serialize(document)
        message = channel.receive(frozenset({Kind.HEADER}), 1.0)
    assert message.kind is Kind.HEADER
    assert xml_to_encoding(message.content).header() == header


@given(
    st.integers(0, 2**40), st.integers(0, 2**40), st.none() | st.integers(0, 2**60), st.booleans(), st.data()
)
@settings(max_examples=50)
def test_an_image_comes_back_with_all_that_it_says(
    frame: int, last: int, shows_ns: int | None, band: bool, data: st.DataObject
) -> None:
    header = make_header()
    columns = (2, 5) if band else None
    pixels = np.random.default_rng(frame % 97).standard_normal((8, 3 if band else 8)).astype(np.complex64)
    row = st.tuples(*[st.integers(0, 2**62)] * 3)
    stamps = Stamps(tuple(data.draw(st.lists(row, max_size=3))), data.draw(st.integers(0, 2**62)))
    made = image_to_wire(Image(pixels, frame, last, shows_ns, columns), header, ismrmrd.Acquisition(), stamps)
    with linked() as (channel, theirs):
        with theirs.makefile("wb") as file:
            ismrmrd.ProtocolSerializer(file).serialize(made)
        wire = channel.receive(ANY, 1.0).content
    image, told = Matcher(header, Match.REPETITION, own=True).take(wire, 0)
    assert (image.frame, image.last_line, image.shows_ns, image.columns) == (frame, last, shows_ns, columns)
    assert told == stamps
    assert image.pixels.tobytes() == pixels.tobytes()


@given(st.integers(0, 10**9), st.integers(0, 65_535), st.sampled_from(list(Match)))
def test_a_frame_is_found_by_a_counter_that_has_wrapped(newest: int, behind: int, match: Match) -> None:
    header = make_header()
    frame = max(newest - behind, 0)
    repetition = (frame + (match is Match.REPETITION_FROM_1)) % 65536
    head = ismrmrd.image.ImageHeader(data_type=7, channels=1, matrix_size=(8, 8, 1), repetition=repetition)
    head.image_index = (frame + (match is Match.INDEX_FROM_1)) % 65536
    wire = ismrmrd.Image(head)
    wire.data[...] = 1
    matcher = Matcher(header, match)
    matcher.count = frame
    image, _ = matcher.take(wire, newest * header.lines_per_frame + 3)
    assert image.frame == frame
    assert image.last_line == frame * header.lines_per_frame + 3


def acquisition_head(**fields: int) -> bytes:
    return struct.pack("<H", Kind.ACQUISITION) + bytes(HEADS[Kind.ACQUISITION](**fields))


def image_head(attributes: int = 0, **fields: Any) -> bytes:
    whole = {"data_type": 7, "channels": 1, "matrix_size": (8, 8, 1), **fields}
    return struct.pack("<H", Kind.IMAGE) + bytes(HEADS[Kind.IMAGE](**whole)) + struct.pack("<Q", attributes)


LIES = {
    "acquisition": (
        acquisition_head(number_of_samples=65535, active_channels=65535),
        "65535 channels of 65535",
    ),
    "trajectory": (acquisition_head(number_of_samples=65535, trajectory_dimensions=65535), "are taken"),
    "pixels": (image_head(matrix_size=(65535, 65535, 65535)), "65535 x 65535 x 65535 pixels"),
    "34 GB": (image_head(matrix_size=(65535, 65535, 1)), "pixels are 34"),
    "attributes": (image_head(attributes=2**63), "bytes of attributes"),
    "entities": (image_head(attributes=60) + b'<!DOCTYPE a [<!ENTITY b "c">]>'.ljust(60), "entities"),
    "data type": (image_head(data_type=99), "data type 99"),
    "int32": (image_head(data_type=4), "data type 4"),
    "waveform": (
        struct.pack("<H", Kind.WAVEFORM)
        + bytes(HEADS[Kind.WAVEFORM](channels=65535, number_of_samples=65535)),
        "WAVEFORM: 65535 channels",
    ),
    "header": (struct.pack("<HI", Kind.HEADER, 2**32 - 1), "HEADER: it asks for 4294967295 bytes"),
    "text": (struct.pack("<HI", Kind.TEXT, 2**31), "TEXT: it asks for"),
    "config": (struct.pack("<HI", Kind.CONFIG_TEXT, 2**31), "CONFIG_TEXT: it asks for"),
    "array": (struct.pack("<HHHH", Kind.NDARRAY, 1, 0, 65535), "NDARRAY: it asks for"),
    "unknown": (struct.pack("<H", 4711), "message 4711 is not known"),
    "no text": (struct.pack("<HI", Kind.TEXT, 2) + b"\xff\xfe", "TEXT that cannot be read"),
    "no attributes": (image_head(attributes=4) + b"<a/>" + bytes(512), "IMAGE that cannot be read"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_told_before_memory_is_taken_for_it(lie: str) -> None:
    data, told = LIES[lie]
    with linked() as (channel, theirs):
        theirs.sendall(data)
        began = time.monotonic()
        tracemalloc.start()
        try:
            with pytest.raises(WireError, match=told):
                channel.receive(ANY, 1.0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 1 << 20
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("cut", [1, 2, 3, 200, 342, 400])
def test_half_a_message_is_told_whether_the_peer_waits_or_leaves(cut: int) -> None:
    whole = acquisition_head(number_of_samples=8, active_channels=2) + bytes(8 * 2 * 8)
    with linked() as (channel, theirs):
        theirs.sendall(whole[:cut])
        with pytest.raises(WireError, match=r"half of .* and no more in 0\.3 s"):
            channel.receive(ANY, 1.0)
    with linked() as (channel, theirs):
        theirs.sendall(whole[:cut])
        theirs.close()
        with pytest.raises(WireError, match=r"closed the connection within .* after"):
            channel.receive(ANY, 1.0)


def test_a_peer_that_drips_is_held_to_the_time_of_a_message() -> None:
    with linked() as (channel, theirs):
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.02):
                theirs.send(b"\1")

        thread = threading.Thread(target=drip)
        theirs.sendall(struct.pack("<HI", Kind.TEXT, 100_000))
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(WireError, match="half of TEXT came"):
                channel.receive(ANY, 1.0)
        finally:
            stop.set()
            thread.join()
        assert 0.2 < time.monotonic() - began < 30


def test_silence_a_leave_and_a_turn_out_of_order_are_told_apart() -> None:
    with linked() as (channel, theirs):
        with pytest.raises(WireError, match=r"said nothing in 0.1 s"):
            channel.receive(ANY, 0.1)
        theirs.sendall(struct.pack("<H", Kind.CLOSE))
        with pytest.raises(WireError, match="CLOSE came out of turn; awaited: HEADER"):
            channel.receive(frozenset({Kind.HEADER}), 1.0)
        theirs.close()
        with pytest.raises(PeerGone, match="closed the connection"):
            channel.receive(ANY, 1.0)


def test_a_peer_that_stops_reading_is_told_within_the_time() -> None:
    with linked() as (channel, _):
        began = time.monotonic()
        with pytest.raises(WireError, match=r"stopped reading: \d+ of \d+ bytes taken in 0\.3 s"):
            channel.send(*["x" * (1 << 20)] * 64)
        assert time.monotonic() - began < 30


@settings(max_examples=100)
@given(
    st.lists(MESSAGES, min_size=1, max_size=3),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=6)), max_size=3),
    st.binary(max_size=40),
)
def test_no_bytes_do_more_than_raise_an_error_of_one_line(
    messages: list[Any], cuts: list[tuple[float, bytes]], tail: bytes
) -> None:
    with linked() as (channel, theirs):
        gathered = bytearray()
        serializer = ismrmrd.ProtocolSerializer(_Gather(gathered))
        for message in messages:
            serializer.serialize(message)
        for where, junk in cuts:
            at = int(where * len(gathered))
            gathered[at : at + len(junk)] = junk
        theirs.sendall(bytes(gathered) + tail)
        theirs.close()
        tracemalloc.start()
        try:
            with pytest.raises(WireError, match=r"\A[^\n]+\Z"):
                consume(channel)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    # A readout of the largest size that is allowed may be begun: its own bytes, and the codec's arrays.
    assert peak < 3 * QUICK.readout_bytes + 2 * QUICK.image_bytes


def consume(channel: Channel) -> None:
    while True:
        channel.receive(ANY, 1.0)


class _Gather:
    def __init__(self, into: bytearray) -> None:
        self.into = into

    def write(self, data: Any) -> int:
        self.into += bytes(data)
        return len(bytes(data))


@given(st.text(max_size=300))
def test_what_a_peer_says_is_fit_for_one_line(text: str) -> None:
    told = printable(text)
    assert len(told) <= 200
    assert told.isprintable()


@given(st.text(max_size=300) | st.text(max_size=50).map(lambda t: '{"mrsim"' + t))
def test_only_our_own_words_are_taken_for_words(text: str) -> None:
    said = read_status(text)
    assert said is None or "mrsim" in said
    assert read_status(status_text("ready")) == {"mrsim": "ready"}
