"""Build a candidate as a run asks for it: in this process or its own, with its troubles."""

from __future__ import annotations

from harness.candidates.isolation import DEFAULT_LIMIT_S, IsolatedBuilder
from harness.candidates.misbehaving import Troubled
from harness.candidates.objects import Given, builder_of, name_of
from harness.candidates.registry import builder
from harness.realtime.faults import CANDIDATE_KINDS, Fault, format_faults
from mrsim.errors import CandidateError, Option, OptionError
from recon.convention import split_convention
from recon.protocol import Builder


def as_builder(given: Given, name: str | None = None) -> tuple[str, Builder]:
    """Return a candidate's name and what gives a reconstructor of it for every run.

    Parameters
    ----------
    given
        A string, a class or factory, an object with open, push and close, a function of (kspace, mask), a
        `torch.nn.Module`, or trained weights (`recon.cascade.checkpoint.Checkpoint`). An object is opened
        again for every run; of all else each run has a fresh one.
    name
        Its name in results; None for its own.

    Raises
    ------
    CandidateError
        If it is no candidate.
    """
    called = name_of(given) if name is None else name
    if isinstance(given, str):
        return called, builder(given)
    return called, builder_of(given, f"candidate {called}")


def candidate_builder(
    candidate: Given, isolate: bool, limit_s: float | None, faults: tuple[Fault, ...], seed: int
) -> Builder:
    """Return what builds a fresh candidate, with its troubles and in its own process where asked for.

    Raises
    ------
    CandidateError
        If there is no such candidate, or it would hang in this process.
    """
    troubles = tuple(fault for fault in faults if fault.kind in CANDIDATE_KINDS)
    if isolate:
        if not isinstance(candidate, str):
            raise CandidateError(
                f"candidate {name_of(candidate)}: in a process of its own it is made anew from its string, "
                "such as 'python:mynet.py:build'; give that"
            )
        text, limit = format_faults(faults) if troubles else "", limit_s or DEFAULT_LIMIT_S
        plain, convention = split_convention(candidate)
        return convention.built(IsolatedBuilder(plain, limit, text, seed))
    if any(fault.kind == "hang" for fault in troubles):
        raise OptionError(
            "fault hang: a candidate that hangs can only be ended in its own process: {}",
            Option("isolate", True),
        )
    _, build = as_builder(candidate)
    return (lambda: Troubled(build(), faults, seed)) if troubles else build
