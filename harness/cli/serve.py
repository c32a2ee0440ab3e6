"""`mrsim serve`: any reconstructor as an MRD server."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import Any

from harness.candidates.registry import builder, known
from harness.wire.images import Pixels
from harness.wire.limits import Limits, check_seconds
from harness.wire.options import DEFAULT_PORT
from mrsim.errors import InputError
from mrsim.stream.units import SPELLINGS

MAX_MIB = 1 << 16


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    served = [form for form in known() if not form.startswith("mrd:")]
    command.add_argument("candidate", metavar="CANDIDATE", help=", ".join(served))
    command.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; keep to a loopback (%(default)s)",
    )
    command.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="0: one that is free is taken and printed (%(default)s)",
    )
    command.add_argument("--sessions", type=int, metavar="N", help="end after so many sessions")
    command.add_argument("--limit-s", type=float, metavar="S", help="end after so long")
    command.add_argument(
        "--at-once", type=int, default=8, metavar="N", help="sessions at the same time, 1 to 64 (%(default)s)"
    )
    command.add_argument(
        "--idle-s", type=float, default=30.0, metavar="S", help="end a session that is silent (%(default)s)"
    )
    command.add_argument(
        "--message-s", type=float, default=10.0, metavar="S",
        help="time for one message to come or to be taken (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--max-mib", type=int, default=256, metavar="N",
        help="largest k-space of one frame that is served, all coils (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--images", choices=[one.value for one in Pixels], default=Pixels.AUTO.value,
        help="what is sent of an image; auto: complex to an mrsim client, magnitudes to others",
    )  # fmt: skip
    for option, what in (
        ("tr-ms", "repetition time"), ("te-ms", "echo time"),
        ("flip-deg", "flip angle"), ("field-t", "field"),
    ):  # fmt: skip
        command.add_argument(
            f"--{option}", type=float, metavar="X", help=f"{what}, where a client's header does not say it"
        )


def run(
    *,
    candidate: str,
    host: str,
    port: int,
    sessions: int | None,
    limit_s: float | None,
    at_once: int,
    idle_s: float,
    message_s: float,
    max_mib: int,
    images: str,
    tr_ms: float | None,
    te_ms: float | None,
    flip_deg: float | None,
    field_t: float | None,
) -> int:
    """Serve until the sessions or the time are over, or a signal comes.

    Raises
    ------
    InputError
        If an option or the candidate is wrong, or the port cannot be had.
    """
    from harness.wire.server import Server, is_loopback
    from harness.wire.serving import ServiceLimits

    if candidate.startswith("mrd:"):
        raise InputError(f"candidate {candidate!r}: it is a server already")
    for name, value, low, high in (
        ("port", port, 0, 65535), ("at_once", at_once, 1, 64), ("max_mib", max_mib, 1, MAX_MIB),
        ("sessions", sessions, 1, 1 << 62),
    ):  # fmt: skip
        if value is not None and not low <= value <= high:
            raise InputError(f"--{name.replace('_', '-')} {value}: expected {low} to {high}")
    for name, seconds in (("idle_s", idle_s), ("message_s", message_s), ("limit_s", limit_s)):
        if seconds is not None:
            check_seconds(seconds, f"--{name.replace('_', '-')}")
    limits = ServiceLimits(
        Limits(image_bytes=0, message_s=message_s),
        idle_s,
        max_mib << 20,
    )
    server = Server(
        builder(candidate),
        host,
        port,
        limits=limits,
        at_once=at_once,
        assumed=_assumed(tr_ms=tr_ms, te_ms=te_ms, flip_deg=flip_deg, field_t=field_t),
        pixels=Pixels(images),
        tell=lambda line: print(line, flush=True),
    )
    with server:
        if not is_loopback(host):
            print(
                f"mrsim: warning: {host} is not a loopback: whoever reaches port {server.address[1]} can "
                "send scans and be sent images, for MRD knows neither a password nor encryption",
                file=sys.stderr,
            )
        address, number = server.address
        print(
            f"serving {candidate} on {address}:{number}, at most {at_once} sessions at once; Ctrl-C ends it",
            flush=True,
        )
        if threading.current_thread() is threading.main_thread():
            for code in (signal.SIGINT, signal.SIGTERM):
                signal.signal(code, lambda *_: server.stop())
        server.serve(sessions, limit_s)
        print(f"{server.ended} sessions, {server.failed} of which failed", flush=True)
        return 0


def _assumed(**given: float | None) -> dict[str, Any]:
    assumed: dict[str, Any] = {}
    for option, value in given.items():
        if value is None:
            continue
        if not 0 <= value < 1e6:
            raise InputError(f"--{option.replace('_', '-')} {value}: expected a number of 0 or more")
        assumed[SPELLINGS[option].name] = SPELLINGS[option].read(value)
    return assumed
