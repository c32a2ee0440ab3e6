"""A string to a reconstructor: `view-sharing`, `cascade:WEIGHTS`, `python:package.module:factory`, ...

A builder makes a fresh reconstructor for every run, so that no run sees another's state.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from harness.candidates.objects import Factory
from harness.realtime.raised import one_line, with_note
from mrsim.errors import CandidateError, MrsimError
from mrsim.stream import Header, Readout
from recon.convention import KEYS, split_convention
from recon.protocol import Builder, Emit, Image

PYTHON_FORM = "python:package.module:factory or python:path/to/file.py:factory"


class Null:
    """Emit a blank image at the end of every frame: what is left is the time of the bench itself."""

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare the blank image."""
        self._lines, self._emit = header.lines_per_frame, emit
        self._blank = np.zeros(header.matrix, np.complex64)

    def push(self, readout: Readout) -> None:
        """Take one line and do nothing with it."""
        if (readout.index + 1) % self._lines == 0:
            self._emit(Image(self._blank, readout.frame, readout.index))

    def close(self) -> None:
        """End the scan."""


def builder(candidate: str) -> Builder:
    """Return what builds a fresh reconstructor of this name; files that it names are read once, here.

    Parameters
    ----------
    candidate
        One of `known()`, perhaps with a convention of images (`recon.convention`) after a question mark.

    Raises
    ------
    CandidateError
        If the name is unknown, its file cannot be read, or a factory is not there, raises or returns
        something else.
    """
    plain, convention = split_convention(candidate)
    return convention.built(_plain_builder(plain))


def _plain_builder(candidate: str) -> Builder:
    kind, colon, argument = candidate.partition(":")
    if kind not in _MAKERS:
        head, mark, options = candidate.partition("?")
        if mark and head.partition(":")[0] in _MAKERS:
            keys = [pair.partition("=")[0] for pair in options.split("&")]
            unknown = next((key for key in keys if key not in KEYS), options)
            meant = difflib.get_close_matches(unknown, KEYS, n=1, cutoff=0.5)
            hint = f"did you mean {meant[0]!r}? " if meant else ""
            raise CandidateError(
                f"candidate {candidate!r}: unknown option {unknown[:40]!r}; {hint}known: {', '.join(KEYS)}"
            )
        close = _python_form(candidate) or difflib.get_close_matches(kind, _MAKERS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise CandidateError(f"candidate {candidate!r}: unknown; {hint}known: {', '.join(known())}")
    takes, make = _MAKERS[kind]
    missing = not argument and (colon or not takes.endswith("?"))
    if (missing and takes) or (colon and not takes):
        form = takes.rstrip("?")
        raise CandidateError(
            f"candidate {candidate!r}: expected {kind}{f':{form}' if form else ', and no more'}"
        )
    return make(argument)


def _python_form(candidate: str) -> list[str]:
    """Return how a Python file, or a module's factory, is given as a candidate; nothing if it is neither."""
    if candidate.endswith(".py"):
        return [f"python:{candidate}:build"]
    where, _, name = candidate.rpartition(":")
    return [f"python:{candidate}"] if "." in where and name.isidentifier() else []


def known() -> list[str]:
    """Return the forms that a candidate's name can have."""
    forms = []
    for kind, (takes, _) in _MAKERS.items():
        forms += [kind] if not takes or takes.endswith("?") else []
        forms += [f"{kind}:{takes.rstrip('?')}"] if takes else []
    return forms


def _zero_filled(_: str) -> Builder:
    from recon.classical.zero_filled import ZeroFilled

    return ZeroFilled


def _view_sharing(how: str) -> Builder:
    if how:
        from recon.classical.refined import view_sharing

        return view_sharing(how)
    from recon.classical.zero_filled import ViewSharing

    return ViewSharing


def _nearest_frame(path: str) -> Builder:
    from mrsim.stream import load
    from recon.data.album import nearest_frame

    training = load(path)
    return lambda: nearest_frame(training)


def _sliding_window(argument: str) -> Builder:
    from recon.classical.sharing import SlidingWindow

    (frames,) = _numbers("sliding-window", argument, int)
    return _checked(lambda: SlidingWindow(frames))


def _keyhole(argument: str) -> Builder:
    from recon.classical.sharing import Keyhole

    return _checked(lambda: Keyhole(argument) if argument else Keyhole())


def _compressed(kind: str, transform: str, prior: bool = False) -> Callable[[str], Builder]:
    """Return what reads `LAMBDA,ITERATIONS`, or `MU,LAMBDA,ITERATIONS` where there is a prior."""

    def make(argument: str) -> Builder:
        from recon.classical.compressed import CompressedSensing, Sparsity

        kinds: tuple[type, ...] = (float, float, int) if prior else (float, int)
        names = ("prior", "weight", "iterations")[-len(kinds) :]
        given = dict(zip(names, _numbers(kind, argument, *kinds), strict=True))
        sparsity = Sparsity.of(transform, assisted=prior, **{k: v for k, v in given.items() if v is not None})
        return _checked(lambda: CompressedSensing(sparsity))

    return make


def _cg_sense(argument: str) -> Builder:
    from recon.classical.cg_sense import CgSense

    (iterations,) = _numbers("cg-sense", argument, int)
    return _checked(lambda: CgSense() if iterations is None else CgSense(iterations))


def _tgrappa(_: str) -> Builder:
    from recon.classical.grappa import Tgrappa

    return Tgrappa


def _low_rank_sparse(argument: str) -> Builder:
    from recon.classical.low_rank import Decomposition, LowRankSparse

    numbers = _numbers("low-rank-sparse", argument, float, float, int)
    given = zip(("low_rank", "sparse", "iterations"), numbers, strict=True)
    how = Decomposition(**{key: value for key, value in given if value is not None})
    return _checked(lambda: LowRankSparse(how))


def _checked(build: Builder) -> Builder:
    """Return a builder that has built once, so that what it refuses is told before the stream is played."""
    build()
    return build


def _numbers(kind: str, argument: str, *kinds: type) -> list[Any]:
    """Read up to so many numbers, apart by commas; None for each that is not given."""
    parts = argument.split(",") if argument else []
    try:
        if len(parts) > len(kinds):
            raise ValueError
        read = [of(part) for of, part in zip(kinds, parts, strict=False)]
    except ValueError:
        names = _MAKERS[kind][0].rstrip("?").split(",")
        forms = ", ".join(f"{n} a {'whole ' * (of is int)}number" for n, of in zip(names, kinds, strict=True))
        raise CandidateError(
            f"candidate '{kind}:{argument}': expected {kind}:{','.join(names)}; {forms}"
        ) from None
    return read + [None] * (len(kinds) - len(read))


def cascade_parts(argument: str) -> tuple[str, str, tuple[int, int] | None]:
    """Read `WEIGHTS[,ENGINE][,FIRST-STOP]`: the weights, the engine, and the columns or None."""
    from recon.cascade.engines import ENGINES

    weights, columns, engine = argument, None, "eager"
    head, _, last = weights.rpartition(",")  # a file may have a comma in its name
    if head and (band := re.fullmatch(r"(\d{1,6})-(\d{1,6})", last)):
        weights, columns = head, (int(band[1]), int(band[2]))
        head, _, last = weights.rpartition(",")
    if head and last in ENGINES:
        weights, engine = head, last
    return weights, engine, columns


def _cascade(argument: str) -> Builder:
    from recon.cascade.checkpoint import load
    from recon.cascade.reconstructor import OnlineCascade

    weights, engine, columns = cascade_parts(argument)
    checkpoint = load(weights)
    return _checked(lambda: OnlineCascade(checkpoint, engine, columns))


def _export(path: str) -> Builder:
    from recon.adapters import from_export

    return from_export(path).fresh


def _onnx(path: str) -> Builder:
    from recon.adapters import from_onnx

    return from_onnx(path).fresh


def _mrd(argument: str) -> Builder:
    from harness.wire.client import WireClient
    from harness.wire.options import parse_wire

    options = parse_wire(f"mrd:{argument}")
    WireClient(options)  # what is missing for it is told before the stream is played
    return lambda: WireClient(options)


def _python(argument: str) -> Builder:
    where, colon, name = argument.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise CandidateError(f"candidate 'python:{argument}': expected {PYTHON_FORM}")
    candidate = f"candidate 'python:{argument}'"
    module = _import(where, candidate)
    factory = getattr(module, name, None)
    if not callable(factory):
        raise CandidateError(f"{candidate}: {where} has no callable {name!r}")
    build = Factory(factory, candidate)
    build()  # what it raises is told before the stream is played
    return build


def _import(where: str, candidate: str) -> ModuleType:
    try:
        if where.endswith(".py"):
            return _import_file(Path(where), candidate)
        _append_to_path(os.getcwd())
        return importlib.import_module(where)
    except (MrsimError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a stranger may raise anything
        refusal = CandidateError(f"{candidate}: importing {where} raised {one_line(error)}")
        raise with_note(refusal, error) from None


def _import_file(path: Path, candidate: str) -> ModuleType:
    if not path.is_file():
        raise CandidateError(f"{candidate}: there is no file {path}")
    _append_to_path(str(path.resolve().parent))
    # A name of its own: a stranger's recon.py must not stand in for ours.
    name = f"mrsim_candidate_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CandidateError(f"{candidate}: {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _append_to_path(folder: str) -> None:
    """Let modules of a folder be imported, after all others: it may well hold a recon.py."""
    if folder not in sys.path:
        sys.path.append(folder)


# What follows the colon, if anything does (with a question mark: may), and what makes the builder.
_MAKERS: dict[str, tuple[str, Callable[[str], Builder]]] = {
    "zero-filled": ("", _zero_filled),
    "view-sharing": ("sensitivities,denoised,ahead?", _view_sharing),
    "nearest-frame": ("STREAM", _nearest_frame),
    "sliding-window": ("FRAMES?", _sliding_window),
    "keyhole": ("REFERENCE?", _keyhole),
    "cs-tv": ("LAMBDA,ITERATIONS?", _compressed("cs-tv", "tv")),
    "cs-wavelet": ("LAMBDA,ITERATIONS?", _compressed("cs-wavelet", "daubechies")),
    "pdacs": ("MU,LAMBDA,ITERATIONS?", _compressed("pdacs", "tv", prior=True)),
    "cg-sense": ("ITERATIONS?", _cg_sense),
    "tgrappa": ("", _tgrappa),
    "low-rank-sparse": ("LOW_RANK,SPARSE,ITERATIONS?", _low_rank_sparse),
    "cascade": ("WEIGHTS[,ENGINE][,FIRST-STOP]", _cascade),
    "null": ("", lambda _: Null),
    "mrd": ("//HOST:PORT/CONFIG", _mrd),
    "python": ("package.module:factory", _python),
    "export": ("FILE.pt2", _export),
    "onnx": ("FILE.onnx", _onnx),
}
