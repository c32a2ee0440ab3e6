"""Scans that a command makes for itself, and goes on with where an earlier call has left the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import mrsim
from harness.console import progress
from mrsim.anatomy.body import Body
from mrsim.errors import InputError
from mrsim.scanner.acquisition import scan_to
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Stream, load, save
from mrsim.stream.storage import check_new_stream, check_stream


def own_scan(
    path: Path,
    body: Body,
    protocol: ScanProtocol,
    *,
    seed: int,
    seconds: float,
    what: str,
    overwrite: bool,
    replace: bool = False,
    shipped: Callable[[], Stream] | None = None,
) -> Stream:
    """Return a stored scan of a body, made where the same is not there yet.

    Parameters
    ----------
    path
        Folder of the stream.
    body, protocol, seed, seconds
        What is scanned, how, and for how long.
    what
        How progress names it.
    overwrite
        Whether it is made anew, whatever stands there.
    replace
        Whether another stream that stands there is replaced, where it is not the same.
    shipped
        Gives a scan that is shipped; it is stored if it is the one that is to be made.

    Raises
    ------
    InputError
        If something else stands there, or it cannot be made.
    """
    if not overwrite:
        try:
            kept = _kept(path, body, protocol, seed, seconds)
        except InputError as error:
            if not replace:
                raise InputError(f"{error}; --overwrite makes the scan anew") from None
        else:
            if kept is not None:
                return kept
    check_new_stream(path, overwrite=overwrite or replace)
    ready = None if shipped is None else shipped()
    if ready is not None and _is_same(ready, body, protocol, seed, seconds):
        return load(save(ready, path, overwrite=overwrite or replace))
    with progress(f"scanning: {what}") as report:
        scan_to(
            path, body, protocol, seed=seed, seconds=seconds, progress=report, overwrite=overwrite or replace
        )
    return load(path)


def _kept(path: Path, body: Body, protocol: ScanProtocol, seed: int, seconds: float) -> Stream | None:
    """Return the scan that an earlier call has left, if it is the one that is to be made."""
    try:
        check_stream(path)
    except InputError:
        return None  # nothing, or something else
    found = load(path)
    return found if _is_same(found, body, protocol, seed, seconds) else None


def _is_same(found: Stream, body: Body, protocol: ScanProtocol, seed: int, seconds: float) -> bool:
    made, header = found.provenance, protocol.header()
    return (
        made is not None
        and (made.phantom_text, made.seed, made.version) == (body.text, seed, mrsim.__version__)
        and made.target_snr == protocol.target_snr
        and found.header == header
        and found.frames == math.ceil(seconds * 1e9 / header.frame_ns)
        and found.truth is not None
    )
