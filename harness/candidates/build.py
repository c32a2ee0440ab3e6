"""Build a candidate as a run asks for it: in this process or its own, with its troubles."""

from __future__ import annotations

from harness.candidates.isolation import DEFAULT_LIMIT_S, Isolated
from harness.candidates.misbehaving import Troubled
from harness.candidates.registry import builder
from harness.realtime.faults import CANDIDATE_KINDS, Fault, told
from mrsim.errors import InputError
from recon.protocol import Builder


def candidate_builder(
    candidate: str, isolate: bool, limit_s: float | None, faults: tuple[Fault, ...], seed: int
) -> Builder:
    """Return what builds a fresh candidate, with its troubles and in its own process where asked for.

    Raises
    ------
    InputError
        If there is no such candidate, or it would hang in this process.
    """
    troubles = tuple(fault for fault in faults if fault.kind in CANDIDATE_KINDS)
    if isolate:
        text, limit = told(faults) if troubles else "", limit_s or DEFAULT_LIMIT_S
        return lambda: Isolated(candidate, limit, text, seed)
    if any(fault.kind == "hang" for fault in troubles):
        raise InputError("fault hang: a candidate that hangs can only be ended in its own process: --isolate")
    build = builder(candidate)
    return (lambda: Troubled(build(), faults, seed)) if troubles else build
