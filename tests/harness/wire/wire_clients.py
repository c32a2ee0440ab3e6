"""A server in a thread, and what its clients send it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ismrmrd

from harness.candidates.registry import builder
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService
from harness.wire.client import WireClient
from harness.wire.limits import Limits
from harness.wire.options import parse_wire
from harness.wire.server import Server
from harness.wire.serving import ServiceLimits
from mrsim.formats.mrd_header import header_to_xml
from mrsim.stream import Header
from tests.harness.synthetic import make_stream

STREAM = make_stream(16)
QUICK = ServiceLimits(Limits(image_bytes=0, message_s=2.0), idle_s=4.0)


@contextmanager
def serving(candidate: str = "zero-filled", **more: Any) -> Iterator[tuple[Server, list[str]]]:
    """Serve from a thread, and give what the server tells."""
    told: list[str] = []
    server = Server(builder(candidate), **{"tell": told.append, "limits": QUICK, **more})
    thread = threading.Thread(target=server.serve, kwargs={"limit_s": 1200.0})
    thread.start()
    try:
        yield server, told
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def session(port: int, options: str = "") -> None:
    """Hold one good session."""
    candidate = WireClient(parse_wire(f"mrd://127.0.0.1:{port}/x?{options}"))
    run = replay(STREAM, candidate, VirtualClock(), ConstantService(0))
    assert run.failure is None, run.failure
    assert run.images.shown.all()


def encoded(*messages: Any) -> bytes:
    """Return messages as the package writes them."""
    gathered = bytearray()

    class Sink:
        def write(self, data: Any) -> None:
            gathered.extend(bytes(data))

    serializer = ismrmrd.ProtocolSerializer(Sink())
    for message in messages:
        serializer.serialize(message)
    return bytes(gathered)


def introduction(header: Header = STREAM.header) -> bytes:
    config = ismrmrd.serialization.ConfigFile("os.system")
    return encoded(config, ismrmrd.xsd.CreateFromDocument(header_to_xml(header)))
