"""A server of ours in a process of its own, and good, bad and silent clients for as long as one likes.

After each round all clients have left. Then the descriptors, threads and memory of the server, and of this
process with its clients, are counted: from round to round they must be level.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.wire.limits import Kind
from tests.harness.wire.wire_clients import introduction, session

ROOT = Path(__file__).parents[3]
AT_ONCE = 4
LIMIT_S = 1.0  # of a message and of silence
GRACE_S = 15.0  # beyond its limit, for a busy host
LEVEL_BYTES = 24 << 20  # by which memory may differ: allocators keep what they had
WARM = 0.4  # share of the rounds that are not compared


@dataclass
class Soaked:
    """Hold what was counted after each round.

    Parameters
    ----------
    sessions
        Good sessions that were held.
    clients
        All clients.
    slowest_s
        The longest that the server kept a client that said nothing, or only texts.
    counts
        By what is counted, its value after each round.
    code, error
        How the server ended.
    """

    sessions: int = 0
    clients: int = 0
    slowest_s: float = 0.0
    counts: dict[str, list[int]] = field(default_factory=dict)
    code: int = 0
    error: str = ""

    def wrong(self) -> list[str]:
        """Return what is not level, or took too long."""
        found = []
        for name, values in self.counts.items():
            kept = values[int(len(values) * WARM) :]
            half = len(kept) // 2
            allowed = LEVEL_BYTES if name.endswith("bytes") else 0
            if half and max(kept[half:]) > max(kept[:half]) + allowed:
                found.append(f"{name}: {values}")
        if self.slowest_s > LIMIT_S + GRACE_S:
            found.append(f"a client was kept for {self.slowest_s:.1f} s")
        if self.code or self.error:
            found.append(f"the server ended with {self.code}: {self.error[-500:]}")
        return found


def soak(seconds: float, seed: int, each: int = 24) -> Soaked:
    """Send clients in rounds until the time is over.

    Parameters
    ----------
    seconds
        How long.
    seed
        Draws who comes when, and what they send.
    each
        Clients in a round.
    """
    done, rng = Soaked(), np.random.default_rng(seed)
    command = [sys.executable, "-m", "harness.cli", "serve", "zero-filled", "--port", "0"]
    command += ["--message-s", str(LIMIT_S), "--idle-s", str(LIMIT_S), "--at-once", "8"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().split(",")[0].rpartition(":")[2])
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(AT_ONCE) as clients:
            told = reader.submit(lambda: sum(1 for _ in server.stdout or ()))
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                seeds = rng.integers(0, 2**63, each)
                for kind, kept_s in clients.map(lambda one: _client(port, int(one)), seeds):
                    done.clients += 1
                    done.sessions += kind == "good"
                    done.slowest_s = max(done.slowest_s, kept_s)
                _settle(server.pid)
                for who, pid in (("server", server.pid), ("clients", os.getpid())):
                    for what, value in _state(pid).items():
                        done.counts.setdefault(f"{who}: {what}", []).append(value)
            server.terminate()
            told.result(60)
        done.code = server.wait(60)
        assert server.stderr is not None
        done.error = server.stderr.read()
    return done


def _client(port: int, seed: int) -> tuple[str, float]:
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(["good", "good", "leaves", "half", "noise", "texts", "silent"], p=_SHARES))
    if kind == "good":
        session(port)
        return kind, 0.0
    begun = time.monotonic()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.settimeout(60)
        whole = introduction()
        if kind == "half":
            sock.sendall(whole[: int(rng.integers(1, len(whole)))])
        elif kind == "noise":
            sock.sendall(rng.bytes(int(rng.integers(1, 4096))))
        elif kind == "texts":
            text = b"a\0"
            for _ in range(int(rng.integers(1, 40))):
                sock.sendall(struct.pack("<HI", Kind.TEXT, len(text)) + text)
        if kind not in ("leaves", "noise"):
            while sock.recv(4096):
                pass
    return kind, time.monotonic() - begun if kind in ("silent", "texts", "half") else 0.0


_SHARES = [0.25, 0.25, 0.15, 0.1, 0.15, 0.05, 0.05]


def _settle(pid: int) -> None:
    """Wait until as many threads and descriptors are held as there were, or a while has passed."""
    until, before = time.monotonic() + 10, {}
    while time.monotonic() < until:
        now = {key: value for key, value in _state(pid).items() if not key.endswith("bytes")}
        if now == before:
            return
        before = now
        time.sleep(0.3)


def _state(pid: int) -> dict[str, int]:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
        "bytes": int(status["VmRSS"].split()[0]) << 10,
    }
