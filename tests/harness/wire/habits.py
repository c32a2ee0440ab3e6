"""Servers of strangers, each with one habit that a newcomer meets; built on `ismrmrd` and numpy alone."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np

from tests.harness.wire.wire_peer import Peer, combined


@dataclass(frozen=True)
class Habit:
    """Say how a server differs from a plain one; called as a trick of `Peer`.

    Parameters
    ----------
    stacks
        Whether it stacks lines as they arrive, whatever row they are of.
    index
        `image_index` of every image; None to count from 1.
    most
        Greatest value of the integers that it scales each image to; None for floats as they are.
    turn
        Quarter turns of its images.
    roll
        Pixels by which it rolls them along x.
    invert
        Whether they are dark where they should be bright.
    pieces
        Whether an image is sent in three small writes without TCP_NODELAY.
    dies_of_noise
        Whether a noise scan kills it, with a traceback in a text.
    """

    stacks: bool = False
    index: int | None = None
    most: int | None = None
    turn: int = 0
    roll: int = 0
    invert: bool = False
    pieces: bool = False
    dies_of_noise: bool = False

    def __call__(self, peer: Peer) -> None:
        out = _Pieces(peer.sock) if self.pieces else peer.sock.makefile("wb")
        serializer = ismrmrd.ProtocolSerializer(out)
        header, lines, count = None, [], 0
        for message in peer.messages():
            if isinstance(message, ismrmrd.xsd.ismrmrdHeader):
                header = message
            elif isinstance(message, ismrmrd.Acquisition):
                if message.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
                    if self.dies_of_noise:
                        trace = "Traceback (most recent call last):\n" + "  File x.py, line 1\n" * 40
                        serializer.serialize(f"{trace}ValueError: cannot stack arrays of 256 and 16 samples")
                        out.flush()
                        return
                    continue
                lines.append(message)
                if message.is_flag_set(ismrmrd.ACQ_LAST_IN_SLICE):
                    count += 1
                    serializer.serialize(self.image(header, lines, count))
                    out.flush()
                    lines = []
        serializer.close()

    def image(self, header: Any, lines: list[Any], count: int) -> Any:
        rows = range(len(lines)) if self.stacks else [line.idx.kspace_encode_step_1 for line in lines]
        height = len(lines) if self.stacks else header.encoding[0].encodedSpace.matrixSize.y
        shown = combined(header, lines, rows, height)
        shown = np.roll(np.rot90(shown, self.turn), self.roll, axis=1)
        if self.invert:
            shown = shown.max() - shown
        if self.most is not None:
            shown = np.rint(shown * (self.most / shown.max())).astype(np.int16)
        made = ismrmrd.Image.from_array(np.ascontiguousarray(shown), acquisition=lines[-1])
        made.image_index = count if self.index is None else self.index
        return made


class _Pieces:
    """Send each message in three parts, with Nagle's algorithm on."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        self._sock, self._held = sock, bytearray()

    def write(self, data: Any) -> int:
        self._held += bytes(data)
        return len(bytes(data))

    def flush(self) -> None:
        third = len(self._held) // 3 + 1
        for start in range(0, len(self._held), third):
            self._sock.sendall(self._held[start : start + third])
        self._held.clear()
