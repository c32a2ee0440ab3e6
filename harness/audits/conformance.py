"""Conformance: what every reconstructor must do, as a list of named checks.

The checks are the audits, the invariants under each kind of fault, and the basic duties of `open`, `push` and
`close`. A check is a function of a candidate that returns or raises `NotConforming`, so any test runner can
call it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.audits.audits import AUDITS
from harness.audits.bench import FRAMES, SHORT, STRUCK, Bench, default_stream
from harness.audits.finding import Seen, State
from harness.audits.invariants import Evidence, check_invariants, recovered
from harness.realtime.copies import OneProcess
from harness.realtime.faults import STREAM_KINDS, apply_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.raised import Traceback, is_strangers_own, is_the_users, one_line, traceback_of
from harness.realtime.schedule import Schedule
from mrsim.errors import InputError, MrsimError
from mrsim.seeds import fresh_seed
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Builder, Emission, Image, Position

# Images that a run with a fault must have from the fault on, for its promises to be shown.
AFTER_FAULT = 2


class NotConforming(AssertionError):
    """State which check a candidate does not pass, where, and what was found."""


class NotShown(NotConforming):
    """State which check saw too little of a candidate to say that it passes, and how much that takes."""


class Candidate:
    """Hold a reconstructor under test; what several checks need is computed once.

    Parameters
    ----------
    name
        Its name in messages.
    build
        Makes a fresh reconstructor.
    stream
        Scan of 12 frames or more to replay; None for random lines at 4x, 128 x 128, one coil.
    seed
        Seed of that scan and of all alterations; None for a fresh one of 128 bits.

    Attributes
    ----------
    raised
        Where it raised in its own code, of every run in which it did.
    """

    def __init__(
        self, name: str, build: Builder, stream: Stream | None = None, seed: int | None = None
    ) -> None:
        self.name, self.build = name, build
        self.seed = fresh_seed() if seed is None else seed
        self._chosen = stream
        self.raised: list[Traceback] = []

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def stream(self) -> Stream:
        """Return the scan that the checks replay, at most 130 frames."""
        stream = default_stream(self.seed) if self._chosen is None else self._chosen
        if stream.frames < SHORT:
            raise InputError(f"{stream.path or 'stream'}: {stream.frames} frames, a check takes {SHORT}")
        stream = stream.first_frames(min(stream.frames, FRAMES))
        stream.check_finite()
        return stream

    @cached_property
    def bench(self) -> Bench:
        """Return the bench that the audits share."""
        return Bench(self.stream, self.build, self.seed, self.raised)

    @property
    def faulty(self) -> Stream:
        """Return the part of the scan that is replayed with faults."""
        return self.bench.recovering


@dataclass(frozen=True, slots=True)
class Check:
    """State one requirement; called with a `Candidate`, it returns or raises `NotConforming`.

    Parameters
    ----------
    name
        Its name in a test's id.
    find
        Function that returns what was seen, and what is wrong.
    """

    name: str
    find: Callable[[Candidate], Seen]

    @OneProcess()
    def __call__(self, candidate: Candidate) -> None:
        """Run the check.

        Parameters
        ----------
        candidate
            The reconstructor under test.

        Raises
        ------
        NotConforming
            If the candidate does not pass, or cannot be played the scan; where it raised is its note.
        NotShown
            If too little was seen of it.
        """
        before, note, kind = len(candidate.raised), None, NotConforming
        try:
            seen = self.find(candidate)
            found = seen.complaint
            kind = NotShown if seen.state is State.NOT_SHOWN else NotConforming
        except MrsimError as error:
            found, note = str(error), error.note
        except BaseException as error:
            # A stranger may raise anything where he is built, also what a test runner takes for its own.
            if not is_strangers_own(error):
                raise
            found = f"it raised {_told(candidate, error)}"
        if found is not None:
            failed = kind(f"{candidate.name}: {self.name}: {found} (seed {candidate.seed})")
            raised = candidate.raised[before:] or candidate.raised
            note = note or (raised[0].text if raised else None)
            if note is not None:
                failed.add_note(note)
            raise failed from None

    def __repr__(self) -> str:
        return self.name


def _audit(name: str) -> Check:
    return Check(name, lambda candidate: AUDITS[name](candidate.bench))


def _fault(kind: str) -> Check:
    def find(candidate: Candidate) -> Seen:
        bench, stream, what = candidate.bench, candidate.faulty, "images compared"
        text = fault_text(kind, stream)
        schedule = Schedule.of(stream)
        feed = apply_faults(Feed.of(stream, schedule), parse_faults(text), candidate.seed)
        run = bench.play(stream, schedule=schedule, feed=feed)
        evidence = Evidence(feed, run, bench.undisturbed)
        broken = check_invariants(evidence, [kind])
        compared = recovered(evidence) & bench.telling(run) & bench.telling(bench.undisturbed)
        # After a disconnection nothing comes, so that what came before is all that there is.
        since = 0 if kind == "disconnect" else bench.struck // stream.header.lines_per_frame
        count = int(compared[since:].sum())
        if not broken:
            return Seen(count, AFTER_FAULT, what)
        first = broken[0]
        fault = f"{text}: broke {first.invariant!r}{first.where}: {first.message}"
        return Seen(count, AFTER_FAULT, what, fault)

    return Check(f"fault {kind}", find)


def fault_text(kind: str, stream: Stream) -> str:
    """Return a fault that strikes three lines in the middle of a scan's seventh frame.

    Parameters
    ----------
    kind
        Kind of fault.
    stream
        The scan.
    """
    per_frame = stream.header.lines_per_frame
    line = SHORT // 2 * per_frame + per_frame // 2
    if kind == "wrap":
        return "wrap:bits=8"
    if kind == "disconnect":
        return f"disconnect:at={line}"
    return f"{kind}:at={line},burst={STRUCK}"  # less than a frame, however short it is


def _shape_and_type(candidate: Candidate) -> Seen:
    images: list[Emission] = []
    fault = _misshapen(candidate, images)
    return Seen(len(images), 1, "images", fault)


def _misshapen(candidate: Candidate, images: list[Emission]) -> str | None:
    header = _header(candidate)
    try:
        reconstructor = candidate.build()
        reconstructor.open(header, images.append)
        for readout in candidate.stream.first_frames(1):
            reconstructor.push(private_copy(readout))
        reconstructor.close()
    except MrsimError:
        raise
    except BaseException as error:  # a stranger may raise anything
        if is_the_users(error):
            raise
        return f"it raised {_told(candidate, error)} in its first frame"
    for image in images:
        if isinstance(image, Position):
            continue  # its numbers are checked where they are collected
        if not isinstance(image, Image):
            return f"it emitted {type(image).__name__}, expected recon.Image or recon.Position"
        pixels = image.pixels
        if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "fc":
            kind = getattr(pixels, "dtype", type(pixels).__name__)
            return f"pixels are {kind}, expected a numpy array, complex64, in host memory"
        width = header.matrix[1] if image.columns is None else image.columns[1] - image.columns[0]
        if pixels.shape != (header.matrix[0], width):
            return f"pixels have the shape {pixels.shape}, expected {(header.matrix[0], width)} (y, x)"
    return None if images else "its first frame has no image once it was closed"


def _reopens_after_a_torn_scan(candidate: Candidate) -> Seen:
    bench, what = candidate.bench, "pairs of images"
    lines = bench.short.header.lines_per_frame
    torn = bench.altered(np.arange(len(bench.short)), "torn")
    try:
        used = candidate.build()
        used.open(_header(candidate), lambda image: None)
        for line in range(2 * lines + lines // 2):  # half a frame is left when the scan ends
            used.push(private_copy(torn.readout(line)))
        used.close()
    except MrsimError:
        raise
    except BaseException as error:  # a stranger may raise anything
        if is_the_users(error):
            raise
        fault = f"in a scan of two frames and a half it raised {_told(candidate, error)}"
        return Seen(0, SHORT // 2, what, fault)
    again = bench.images(bench.short, used)
    pairs = bench.pairs(bench.base, again)
    if again.failure is not None:
        return Seen(pairs, SHORT // 2, what, f"opened again after a torn scan, it {again.failure}")
    for frame in range(SHORT):
        if bench.base.images.shown[frame] != again.images.shown[frame]:
            why = "an image is missing or is new"
        elif bench.base.images.content(frame) != again.images.content(frame):
            why = "it still holds lines of that"
        else:
            continue
        return Seen(pairs, SHORT // 2, what, f"frame {frame}: opened again after a torn scan, {why}")
    return Seen(pairs, SHORT // 2, what)


def _nothing_from_nothing(candidate: Candidate) -> Seen:
    images: list[Emission] = []
    fault = None
    try:
        reconstructor = candidate.build()
        reconstructor.open(_header(candidate), images.append)
        reconstructor.close()
    except MrsimError:
        raise
    except BaseException as error:  # a stranger may raise anything
        if is_the_users(error):
            raise
        fault = f"opened and closed without a line, it raised {_told(candidate, error)}"
        with contextlib.suppress(Exception):
            reconstructor.close()
    if fault is None and images:
        fault = f"without a line it emitted {len(images)} images"
    # That nothing comes of nothing says something of one that shows images of lines.
    shown = int(candidate.bench.telling(candidate.bench.base).sum()) if fault is None else 0
    return Seen(shown, 1, "images of lines", fault)


def _told(candidate: Candidate, error: BaseException) -> str:
    """Return what a candidate raised in one line, and keep where it did."""
    found = traceback_of(error)
    if found is None:
        return one_line(error)
    candidate.raised.append(found)
    return f"{one_line(error)} ({found.at})"


def _header(candidate: Candidate) -> Header:
    return candidate.stream.header.private()


def private_copy(readout: Readout) -> Readout:
    """Return a copy of a line with samples of its own.

    Parameters
    ----------
    readout
        The line.
    """
    return Readout(readout.index, readout.frame, readout.ky, readout.t_ns, np.array(readout.samples))


CHECKS: tuple[Check, ...] = (
    Check("shape and type", _shape_and_type),
    Check("nothing from nothing", _nothing_from_nothing),
    *map(_audit, AUDITS),
    Check("reopening after a torn scan", _reopens_after_a_torn_scan),
    *map(_fault, STREAM_KINDS),
)
"""All checks, quick ones first."""


def conformance(candidate: Candidate) -> list[str]:
    """Run all checks.

    Parameters
    ----------
    candidate
        The reconstructor under test.

    Returns
    -------
    failures
        A message for each check that the candidate does not pass.
    """
    failures = []
    for check in CHECKS:
        try:
            check(candidate)
        except NotConforming as error:
            failures.append(str(error))
    return failures
