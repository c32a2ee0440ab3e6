"""What may stand for a reconstructor in Python: a class, a factory, an object, a function, a network.

A class or a factory makes a fresh one for every run; a function, a network and trained weights get a fresh
adapter. An object that is given as such is opened again for every run: what its `open` does not reset is
carried from one run into the next, which the audits find (`determinism`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.realtime.raised import one_line, with_note
from mrsim.argument_types import with_article
from mrsim.errors import CandidateError, MrsimError
from recon.protocol import Builder, FrameAdapter, ReconstructFrame, Reconstructor

if TYPE_CHECKING:
    import torch

    from recon.cascade.checkpoint import Checkpoint

Given: TypeAlias = "str | Callable[[], Any] | Reconstructor | ReconstructFrame | torch.nn.Module | Checkpoint"
"""A string, a class or factory, an object, a function of (kspace, mask), a network, or trained weights."""


class Factory:
    """Call a stranger's factory and make a reconstructor of what it returns.

    Parameters
    ----------
    factory
        A class, or what takes no argument.
    candidate
        How errors name it.
    """

    def __init__(self, factory: Callable[[], Any], candidate: str) -> None:
        self._factory, self._candidate = factory, candidate

    def __call__(self) -> Reconstructor:
        """Return a fresh reconstructor.

        Raises
        ------
        CandidateError
            If the factory raises, or returns something else.
        """
        try:
            made = self._factory()
        except (MrsimError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a stranger may raise anything
            refusal = CandidateError(f"{self._candidate}: the factory raised {one_line(error)}")
            raise with_note(refusal, error) from None
        if not isinstance(made, type):
            if isinstance(made, Reconstructor):
                return made
            if _is(made, "torch", "nn.Module"):
                from recon.adapters import from_module

                return from_module(made, name=self._candidate)
            if callable(made):
                return FrameAdapter(made)
        raise CandidateError(
            f"{self._candidate}: the factory returned {type(made).__name__}, expected a reconstructor (open, "
            "push, close), a torch.nn.Module or a function of (kspace, mask)"
        )


def builder_of(given: Any, candidate: str) -> Builder:
    """Return what gives a reconstructor for every run, of anything but a string.

    Parameters
    ----------
    given
        See `Given`.
    candidate
        How errors name it.

    Raises
    ------
    CandidateError
        If it is none of these, or a factory raises or returns something else.
    """
    if isinstance(given, type):
        return _checked(Factory(given, candidate))
    if _is(given, "recon.adapters", "NetworkAdapter"):
        fresh: Builder = given.fresh
        return fresh
    if isinstance(given, Reconstructor):
        return lambda: given
    if _is(given, "torch", "nn.Module"):
        from recon.adapters import from_module

        return from_module(given, name=candidate).fresh
    if _is(given, "recon.cascade.checkpoint", "Checkpoint"):
        from recon.cascade.reconstructor import OnlineCascade

        return _checked(lambda: OnlineCascade(given))
    if callable(given):
        if _takes(given, 0):
            return _checked(Factory(given, candidate))
        if _takes(given, 2):
            return lambda: FrameAdapter(given)
        raise CandidateError(
            f"{candidate}: it takes neither no argument, as a factory does, nor two, as a function of "
            "(kspace, mask) does"
        )
    raise CandidateError(
        f"{with_article(type(given))} is no candidate: expected a string, a class or factory, an object "
        " with open, push and close, a function of (kspace, mask), a torch.nn.Module or a Checkpoint"
    )


def name_of(given: Any) -> str:
    """Return what a candidate is called where nobody has named it."""
    if _is(given, "recon.cascade.checkpoint", "Checkpoint"):
        return "cascade"
    return given if isinstance(given, str) else str(getattr(given, "__name__", type(given).__name__))


def _checked(build: Builder) -> Builder:
    """Return a builder that has built once, so that what it refuses is told before a scan is played."""
    build()
    return build


def _is(thing: Any, module: str, kind: str) -> bool:
    """Return whether it is of a class of a module, which is not imported for that: nothing then is of it."""
    found: Any = sys.modules.get(module)
    for name in kind.split("."):
        found = getattr(found, name, None)
    return found is not None and isinstance(thing, found)


def _takes(function: Callable[..., Any], arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except (TypeError, ValueError):  # the second of what is written in C
        return False
    return True
