"""A guard against slower code: base and new take turns, image by image, on one host.

Whatever else the host does strikes both alike, so what is judged is the ratio of neighbours: the median of
log(new / base) over pairs of one image, with an interval over stretches of pairs. It speaks of the typical
image; what becomes of the slowest is for `replay` to say. Images are not compared, but nothing is no image,
be it blank or the image before once more: new fails where it shows nothing and base something, and where base
shows nothing there is no pair.
"""

from __future__ import annotations

import contextlib
import gc
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.audits.conformance import private_copy
from harness.candidates.seen import Overlap
from harness.console import Report
from harness.judge.outcome import Outcome, Verdict
from harness.measure.exact_statistics import t_quantile
from harness.measure.failures import is_blank
from harness.realtime.copies import OneProcess
from harness.realtime.raised import Traceback, is_the_users, one_line, traceback_json, traceback_of
from mrsim.errors import InputError, MrsimError, Option, OptionError
from mrsim.seeds import child
from mrsim.stream import Header, Stream
from mrsim.summary import Summarised, counted
from recon.protocol import Builder, Emission, Image, Reconstructor

SCHEMA = "mrsim-guard/1"
FACTOR = 1.15
CONFIDENCE = 0.95
IMAGES, MAX_IMAGES = 240, 100_000
# Fresh reconstructors for so many pairs: where their memory comes to lie is drawn anew for each sitting.
SITTING, WARMUP = 20, 4
BLOCK = 10
MIN_BLOCKS = 6
LIMIT_S = 30.0


@dataclass(frozen=True, repr=False)
class Guarded(Summarised):
    """Hold the times of base and new, pair by pair, and what they say.

    Parameters
    ----------
    base, new
        Names of the candidates.
    factor
        Ratio that new may have at most.
    base_ns, new_ns
        Time from an image's last line to the image, shape (pairs,), int64, nanoseconds.
    ratio, low, high
        Median of new / base, its one-sided 95 % lower and upper bound; None of too few pairs.
    failed
        Which candidate raised what; empty where none did.
    blames_new
        Whether that was the new one.
    seed
        Seed of who goes first.
    traceback
        The calls of a candidate's code that led to what it raised; None where none is known.
    overlaps
        Whether each was made from lines of the scan, as far as it says; empty where the scan was made here.
    """

    base: str
    new: str
    factor: float
    base_ns: NDArray[np.int64]
    new_ns: NDArray[np.int64]
    ratio: float | None
    low: float | None
    high: float | None
    failed: str
    blames_new: bool
    seed: int
    traceback: Traceback | None = None
    overlaps: tuple[Overlap, ...] = ()

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        facts = [("verdict", f"{self.verdict.outcome.name}: {self.verdict.reason}")]
        if self.ratio is not None and self.low is not None and self.high is not None:
            bounds = f"{self.low:.3f} to {self.high:.3f}, {self.factor:g} allowed"
            facts.append(("new / base", f"{self.ratio:.3f}, 95 % bounds {bounds}"))
        if len(self.base_ns):
            medians = [float(np.median(ns)) / 1e6 for ns in (self.base_ns, self.new_ns)]
            facts.append(("medians", f"base {medians[0]:.3f} ms, new {medians[1]:.3f} ms"))
        pairs = counted(len(self.base_ns), "pair")
        return f"Guard of {self.new} against {self.base}: {pairs} of images", facts

    @property
    def verdict(self) -> Verdict:
        """Return FAIL where the lower bound exceeds the factor; INVALID where base itself fails."""
        if self.failed:
            return Verdict(Outcome.FAIL if self.blames_new else Outcome.INVALID, self.failed)
        if self.ratio is None or self.low is None or self.high is None:
            needed = MIN_BLOCKS * BLOCK
            return Verdict(
                Outcome.INSUFFICIENT,
                f"{len(self.base_ns)} pairs of images that show something, a ratio takes {needed}",
            )
        found = f"new / base = {self.ratio:.3f} (95 % bounds {self.low:.3f} and {self.high:.3f})"
        if self.low > self.factor:
            return Verdict(Outcome.FAIL, f"{found}: slower than the factor {self.factor:g} allows")
        if self.high > self.factor:
            return Verdict(
                Outcome.PASS,
                f"{found}: no slowdown beyond {self.factor:g} is shown, nor excluded: more images",
            )
        return Verdict(Outcome.PASS, f"{found}: within the factor {self.factor:g}")

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, every pair included."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.outcome.name,
            "reason": self.verdict.reason,
            **traceback_json(self.traceback),
            "overlaps": [one.to_json() for one in self.overlaps],
            "base": self.base,
            "new": self.new,
            "factor": self.factor,
            "confidence": CONFIDENCE,
            "ratio": self.ratio,
            "bounds": None if self.low is None else [self.low, self.high],
            "seed": self.seed,
            "base_ms": (self.base_ns / 1e6).tolist(),
            "new_ms": (self.new_ns / 1e6).tolist(),
        }


def guard(
    base: Builder,
    new: Builder,
    stream: Stream,
    *,
    names: tuple[str, str] = ("base", "new"),
    factor: float = FACTOR,
    images: int = IMAGES,
    seed: int = 0,
    limit_s: float = LIMIT_S,
    progress: Report | None = None,
) -> Guarded:
    """Run two reconstructors in turns over a scan and judge the ratio of their times.

    Parameters
    ----------
    base, new
        Make fresh reconstructors; the second is judged by the first.
    stream
        A scan of 12 frames or more; it is played again as often as the images take.
    names
        Names of both for the report.
    factor
        Ratio that new may have at most, above 1.
    images
        Pairs of images.
    seed
        Seed of who goes first.
    limit_s
        How long to wait for one image, seconds.
    progress
        Told how many pairs are done.

    Raises
    ------
    InputError
        If a value is out of its range, the scan is too short, or a candidate refuses it.
    """
    check_factor(factor)
    if not 1 <= images <= MAX_IMAGES:
        raise OptionError("{}: expected 1 to {} pairs", Option("images", images), MAX_IMAGES)
    if not 0 < limit_s <= 86_400:
        raise OptionError("{}: expected seconds, above 0 to 86400", Option("limit_s", limit_s))
    if stream.frames < 3 * WARMUP:
        raise InputError(f"{stream.path or 'stream'}: {stream.frames} frames, the guard takes {3 * WARMUP}")
    played = stream.first_frames(min(stream.frames, WARMUP + SITTING))
    played.check_finite()
    rng = np.random.default_rng(child(seed, "guard"))
    taken: list[tuple[int, int]] = []
    failed, blames_new, traceback = "", False, None
    try:
        least, before = (played.frames - WARMUP) // 2, 0
        while len(taken) < images:
            _sit((base, new), names, played, taken, images, rng, limit_s)
            if len(taken) < min(before + least, images):
                break  # base shows nothing in most of its images
            before = len(taken)
            if progress is not None:
                progress(len(taken), images)
    except _Failed as error:
        failed, blames_new = f"{names[error.which]} {error}", error.which == 1
        traceback = error.traceback
    pairs = np.array(taken, np.int64).reshape(-1, 2)
    ratio, low, high = ratio_of(pairs[:, 0], pairs[:, 1])
    return Guarded(
        *names, factor, pairs[:, 0], pairs[:, 1], ratio, low, high, failed, blames_new, seed, traceback
    )  # fmt: skip


def check_factor(factor: float) -> float:
    """Return the ratio that new may have at most, if it is above 1 and at most 100.

    Raises
    ------
    OptionError
        If it is anything else.
    """
    if not 1 < factor <= 100:
        raise OptionError("{}: expected a ratio above 1, up to 100", Option("factor", factor))
    return factor


def ratio_of(
    base_ns: NDArray[np.int64], new_ns: NDArray[np.int64]
) -> tuple[float | None, float | None, float | None]:
    """Return the median of new / base over pairs, and its one-sided 95 % lower and upper bound.

    Neighbouring pairs share what the host did, so the bounds are from stretches of ten, not from pairs.

    Parameters
    ----------
    base_ns, new_ns
        Times of both in each pair, shape (pairs,), int64, nanoseconds.

    Returns
    -------
    ratio, low, high
        None of fewer than `MIN_BLOCKS` stretches.
    """
    blocks = len(base_ns) // BLOCK
    if blocks < MIN_BLOCKS:
        return None, None, None
    logs = np.log(np.maximum(new_ns, 1) / np.maximum(base_ns, 1))
    stretches = logs[: blocks * BLOCK].reshape(blocks, BLOCK)
    median = float(np.median(logs))
    # Both of a pair meet the same host, so the stretches' own medians vary independently of each other.
    spread = float(np.median(stretches, axis=1).std(ddof=1)) / math.sqrt(blocks)
    half = t_quantile(CONFIDENCE, blocks - 1) * spread
    return math.exp(median), math.exp(median - half), math.exp(median + half)


class _Failed(Exception):
    """Say which of the two raised or gave no image."""

    def __init__(self, which: int, message: str, traceback: Traceback | None = None) -> None:
        super().__init__(message)
        self.which, self.traceback = which, traceback


def _sit(
    builders: tuple[Builder, Builder],
    names: tuple[str, str],
    stream: Stream,
    taken: list[tuple[int, int]],
    images: int,
    rng: np.random.Generator,
    limit_s: float,
) -> None:
    """Play one scan to a fresh pair, and append the times of each image but the first ones."""
    order = (0, 1) if rng.random() < 0.5 else (1, 0)
    timed = {which: _Timed(which, names[which], limit_s) for which in order}
    opened: list[_Timed] = []
    try:
        for which in order:
            opened.append(timed[which])
            timed[which].open(builders[which], stream.header)
        gc.collect()
        for frame in range(stream.frames):
            first = int(rng.random() < 0.5)
            took = {which: timed[which].image(stream, frame) for which in (first, 1 - first)}
            silent = [timed[which].shows_nothing() for which in (0, 1)]
            if silent[1] and not silent[0]:
                raise _Failed(1, f"shows nothing in frame {frame}, of which {names[0]} shows an image")
            if frame >= WARMUP and len(taken) < images and not any(silent):
                taken.append((took[0], took[1]))
    finally:
        # The last opened is closed first: each gives torch back the threads that it found.
        with contextlib.ExitStack() as closing:
            for one in opened:
                closing.callback(one.close)


class _Timed:
    """Hand one candidate a frame at a time, and time its image."""

    def __init__(self, which: int, name: str, limit_s: float) -> None:
        self._which, self._name, self._limit_s = which, name, limit_s
        self._frame, self._completed_ns = -1, 0
        self._came = threading.Event()
        self._candidate: Reconstructor | None = None
        self._shown: Emission | None = None
        self._before = b""

    def open(self, build: Builder, header: Header) -> None:
        candidate = self._candidate = build()
        # A copy, so that neither of the two holds what the other one does.
        private = header.private()
        self._attempt("open", lambda: candidate.open(private, self._emit))

    def image(self, stream: Stream, frame: int) -> int:
        """Return the time from the frame's last line to its image, nanoseconds."""
        assert self._candidate is not None
        push, per_frame = self._candidate.push, stream.header.lines_per_frame
        start = frame * per_frame
        *lines, last = (private_copy(stream.readout(start + line)) for line in range(per_frame))
        self._came.clear()
        self._frame = frame

        def play() -> int:
            for readout in lines:
                push(readout)
            began_ns = time.perf_counter_ns()
            push(last)
            return began_ns

        began_ns = int(self._attempt(f"frame {frame}", play))
        if not self._came.wait(self._limit_s):
            raise _Failed(self._which, f"showed no image of frame {frame} within {self._limit_s:g} s")
        return self._completed_ns - began_ns

    def shows_nothing(self) -> bool:
        """Return whether the newest image is blank, no number, or the one before: it may well come soon."""
        if not isinstance(self._shown, Image):
            content = repr((self._shown.x_mm, self._shown.y_mm)).encode() if self._shown else b""
        else:
            pixels = np.asarray(self._shown.pixels)
            if pixels.dtype.kind not in "fiuc" or not pixels.size or not np.isfinite(pixels).all():
                return True
            if is_blank(np.abs(pixels).astype(np.float64)):
                return True
            content = pixels.tobytes()
        same, self._before = content == self._before, content
        return same

    def close(self) -> None:
        if self._candidate is not None:
            self._attempt("close", self._candidate.close)

    def _emit(self, image: Emission) -> None:
        now_ns = time.perf_counter_ns()
        whole = not isinstance(image, Image) or image.columns is None
        if image.frame == self._frame and whole and not self._came.is_set():
            self._completed_ns, self._shown = now_ns, image
            self._came.set()

    def _attempt(self, where: str, call: Callable[[], Any]) -> Any:
        try:
            with OneProcess():
                return call()
        except BaseException as error:  # a stranger may raise anything
            if is_the_users(error):
                raise
            if where == "open" and issubclass(type(error), MrsimError):
                raise  # it refuses this scan
            found = traceback_of(error)
            at = "" if found is None else f" ({found.at})"
            raise _Failed(self._which, f"raised {one_line(error)}{at} in {where}", found) from None


def refuse_shared_helpers(base: str, new: str) -> None:
    """Refuse two files of different folders whose helpers have one name: a process holds one of each name.

    Raises
    ------
    InputError
        If both folders hold a module of one name beside the candidates themselves.
    """
    files = [_file_of(candidate) for candidate in (base, new)]
    if files[0] is None or files[1] is None or files[0].parent == files[1].parent:
        return
    both = set.intersection(*({*_modules(file.parent)} - {file.stem} for file in files if file is not None))
    if both:
        raise InputError(
            f"{base} and {new}: both folders hold a module {min(both)!r}, and one process would give both "
            "candidates the same one: add --isolate"
        )


def _file_of(candidate: str) -> Path | None:
    path = candidate.removeprefix("python:").rpartition(":")[0]
    return Path(path).resolve() if candidate.startswith("python:") and path.endswith(".py") else None


def _modules(folder: Path) -> list[str]:
    packages = [entry.parent.name for entry in folder.glob("*/__init__.py")]
    return packages + [entry.stem for entry in folder.glob("*.py")]
