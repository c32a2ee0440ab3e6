"""A reconstructor of a stranger's: an MRD server built on `ismrmrd` and numpy alone, none of our code.

It does as many do: a frame ends with LAST_IN_SLICE, the oversampling is cropped by the two matrix sizes of
the header, the image is a magnitude in float32, and `image_index` counts from 1. Its tricks are what goes
wrong. Run by itself it serves one session after the other: `python wire_peer.py [SESSIONS]`.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

import ismrmrd
import numpy as np

Trick = Callable[["Peer"], None]


class Peer:
    """Serve some sessions, one after the other, from a thread; each as a trick, or honestly."""

    def __init__(self, *tricks: Trick | None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.tricks = tricks
        self.over = threading.Event()
        self.seen: list[Any] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self) -> Peer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.listener.close()
        self.thread.join(60)
        assert not self.thread.is_alive()

    def serve(self) -> None:
        for trick in self.tricks:
            self.sock, _ = self.listener.accept()
            self.sock.settimeout(60)
            try:
                (trick or honest)(self)
            except (OSError, EOFError, ValueError):
                pass  # the client hung up, as it does after a trick
            finally:
                self.sock.close()

    def messages(self) -> Any:
        for message in ismrmrd.ProtocolDeserializer(self.sock.makefile("rb")).deserialize():
            self.seen.append(message)
            yield message

    def read_lines(self, count: int) -> None:
        """Read until so many readouts have come."""
        for message in self.messages():
            count -= isinstance(message, ismrmrd.Acquisition)
            if count <= 0:
                return

    def wait(self) -> None:
        self.over.wait(60)


def honest(peer: Peer) -> None:
    file = peer.sock.makefile("wb")
    serializer = ismrmrd.ProtocolSerializer(file)
    header, lines, count = None, [], 0
    for message in peer.messages():
        if isinstance(message, ismrmrd.xsd.ismrmrdHeader):
            header = message
        elif isinstance(message, ismrmrd.Acquisition) and not message.is_flag_set(
            ismrmrd.ACQ_IS_NOISE_MEASUREMENT
        ):
            lines.append(message)
            if message.is_flag_set(ismrmrd.ACQ_LAST_IN_SLICE):
                count += 1
                serializer.serialize(reconstruct(header, lines, count))
                file.flush()
                lines = []
    serializer.close()


def reconstruct(header: Any, lines: list[Any], count: int) -> ismrmrd.Image:
    rows = [line.idx.kspace_encode_step_1 for line in lines]
    magnitude = combined(header, lines, rows, header.encoding[0].encodedSpace.matrixSize.y)
    made = ismrmrd.Image.from_array(magnitude, acquisition=lines[-1])
    made.image_index, made.repetition = count, 0
    return made


def combined(header: Any, lines: list[Any], rows: Iterable[int], height: int) -> Any:
    """Return the root of the sum of squares of lines that are put into some rows of k-space, float32."""
    narrow, samples = header.encoding[0].reconSpace.matrixSize, lines[0].number_of_samples
    kspace = np.zeros((lines[0].active_channels, height, samples), np.complex64)
    for row, line in zip(rows, lines, strict=True):
        kspace[:, row] = line.data
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    start = samples // 2 - narrow.x // 2
    return np.sqrt((np.abs(image[:, :, start : start + narrow.x]) ** 2).sum(0)).astype(np.float32)


def blank_image(attributes: int = 0) -> bytes:
    """Return the first bytes of an image that says it has so many bytes of attributes."""
    head = ismrmrd.image.ImageHeader(data_type=7, channels=1, matrix_size=(8, 8, 1))
    return struct.pack("<H", 1022) + bytes(head) + struct.pack("<Q", attributes)


if __name__ == "__main__":
    with Peer(*[None] * int(sys.argv[1] if len(sys.argv) > 1 else 1)) as server:
        print(server.port, flush=True)
        server.thread.join()
