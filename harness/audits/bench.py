"""The bench that audits share: the scan, what is altered in it, its runs, and what the candidate raised."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.candidates.isolation import Isolated
from harness.measure.failures import is_blank
from harness.realtime.clock import Clock, VirtualClock
from harness.realtime.feed import Feed
from harness.realtime.raised import Traceback
from harness.realtime.replay import replay
from harness.realtime.run import Run
from harness.realtime.schedule import Schedule
from harness.realtime.service import ConstantService
from mrsim.scanner.protocol import ScanProtocol
from mrsim.seeds import child
from mrsim.stream import Stream
from recon.protocol import Builder, Reconstructor

# Long enough to see what happens to one frame in a hundred.
FRAMES = 130
SHORT = 12
STRUCK = 3  # lines that a fault strikes


def default_stream(seed: int = 0, frames: int = FRAMES, matrix: tuple[int, int] = (128, 128)) -> Stream:
    """Return a scan without a phantom: random lines whose size falls with |k|, of rows as a scanner has them.

    Parameters
    ----------
    seed
        Seed of rows and samples.
    frames
        Number of frames, at 4x.
    matrix
        Number of rows and columns.
    """
    rng = np.random.default_rng(child(seed, "audit stream"))
    ny, nx = matrix
    # As an operator would set it: nothing in the header tells that this is an audit.
    protocol = ScanProtocol(acceleration=4.0, matrix=matrix)
    header = protocol.header()
    per_frame = header.lines_per_frame
    rows = protocol.sampling(seed).rows(0, frames)
    line = np.arange(frames * per_frame)
    parts = rng.standard_normal((len(line), 1, nx, 2), np.float32)
    samples = np.ascontiguousarray(parts).view(np.complex64)[..., 0]
    distance = np.hypot(rows[:, None] / ny, (np.arange(nx) - nx // 2)[None, :] / nx)
    samples *= (1 / (0.02 + distance)).astype(np.float32)[:, None, :]
    return Stream(
        header,
        ky=rows.astype(np.int32),
        frame=(line // per_frame).astype(np.int32),
        t_ns=line.astype(np.int64) * header.tr_ns + header.te_ns,
        samples=samples,
    )


class Bench:
    """Keep what several audits need: the scan, its first frames, and their images.

    Parameters
    ----------
    stream
        The scan, of 12 frames or more, all finite.
    build
        Makes a fresh reconstructor.
    seed
        Seed of all alterations.
    raised
        List to append to `raised` in place of a new one.
    played
        Told after every run how many frames it played.

    Attributes
    ----------
    raised
        Where the candidate raised in its own code, of every run in which it did.
    """

    def __init__(
        self,
        stream: Stream,
        build: Builder,
        seed: int,
        raised: list[Traceback] | None = None,
        played: Callable[[int], None] | None = None,
    ) -> None:
        self.played: Callable[[int], None] = (lambda frames: None) if played is None else played
        self.stream, self.build, self.seed = stream, build, seed
        self.raised = [] if raised is None else raised
        first = build()
        self._first = first if isinstance(first, Isolated) else None
        self.short = stream.first_frames(SHORT)
        self.base = self.images(self.short)
        # A second run shows whether the images differ without any alteration.
        self.again = self.images(self.short)

    @property
    def isolated(self) -> bool:
        """Return whether the candidate runs in a process of its own."""
        return self._first is not None

    @property
    def isolation(self) -> tuple[str, ...] | None:
        """Return what holds the candidate's own process, in words; None for one in this process."""
        return None if self._first is None else self._first.isolation

    @cached_property
    def whole(self) -> Run:
        """Return the lockstep run of the whole scan, with its images."""
        return self.images(self.stream)

    @property
    def struck(self) -> int:
        """Return the line in the middle of the seventh frame, which faults strike."""
        per_frame = self.stream.header.lines_per_frame
        return SHORT // 2 * per_frame + per_frame // 2

    @cached_property
    def recovering(self) -> Stream:
        """Return the part of the scan in which faults are put: it lasts until the struck rows came anew."""
        stream, lines = self.stream, self.stream.header.lines_per_frame
        ky, after = np.asarray(stream.ky), self.struck + STRUCK
        last = [np.flatnonzero(ky[after:] == row)[:1] for row in set(ky[self.struck : after].tolist())]
        needed = (after + int(max((found[0] for found in last if len(found)), default=0))) // lines + 5
        return stream.first_frames(min(stream.frames, max(4 * SHORT, needed)))

    @cached_property
    def undisturbed(self) -> Run:
        """Return the lockstep run of `recovering` without faults."""
        return self.images(self.recovering)

    @staticmethod
    def telling(run: Run) -> NDArray[np.bool_]:
        """Return which frames of a run show something, shape (images,), bool.

        A blank image shows nothing, nor does one that repeats the image before it bit for bit: what never
        changes would be equal to itself in every comparison.

        Parameters
        ----------
        run
            The run, with its images.
        """
        out, before = np.zeros(len(run.images.shown), np.bool_), b""
        for frame in np.flatnonzero(run.images.shown).tolist():
            content = run.images.content(frame)
            blank = not content
            if run.images.drawn[frame] and run.images.pixels is not None:
                blank = is_blank(np.abs(run.images.pixels[frame]))
            out[frame] = not blank and content != before
            before = content
        return out

    def pairs(self, run: Run, other: Run) -> int:
        """Return the number of frames that show something in both of two runs.

        Parameters
        ----------
        run, other
            The runs, with their images; the shorter one counts.
        """
        both = min(len(run.images.shown), len(other.images.shown))
        return int((self.telling(run)[:both] & self.telling(other)[:both]).sum())

    def images(self, stream: Stream, candidate: Reconstructor | None = None) -> Run:
        """Replay a scan in lockstep.

        Parameters
        ----------
        stream
            The scan.
        candidate
            Reconstructor to use; None for a fresh one.
        """
        return self.play(stream, candidate)

    def play(
        self,
        stream: Stream,
        candidate: Reconstructor | None = None,
        *,
        clock: Clock | None = None,
        schedule: Schedule | None = None,
        feed: Feed | None = None,
        keep_images: bool = True,
    ) -> Run:
        """Replay a scan, and keep where the candidate raised if it did.

        Parameters
        ----------
        stream
            The scan.
        candidate
            Reconstructor to use; None for a fresh one.
        clock
            Clock to play on; None for lockstep.
        schedule, feed, keep_images
            As for `harness.realtime.replay.replay`.
        """
        used = candidate or self.build()
        service = ConstantService(0) if clock is None else None
        run = replay(
            stream, used, clock or VirtualClock(), service, schedule, feed=feed, keep_images=keep_images
        )
        if run.failure is not None and run.failure.traceback is not None:
            self.raised.append(run.failure.traceback)
        self.played(stream.frames)
        return run

    def rng(self, *path: str | int) -> np.random.Generator:
        """Return the random generator of one audit, by the names and numbers that identify the draw."""
        return np.random.default_rng(child(self.seed, "audits", *path))

    def altered(self, lines: NDArray[np.int64], *path: str | int, of: Stream | None = None) -> Stream:
        """Return a scan with other samples of the same size in some lines.

        Parameters
        ----------
        lines
            Lines to alter, shape (n,), int64.
        path
            Names and numbers that identify the draw.
        of
            The scan; None for the short one.
        """
        stream = self.short if of is None else of
        samples = np.array(stream.samples)
        size = np.abs(samples[lines]) + np.float32(1e-3) * np.abs(samples).max()
        turn = np.exp(1j * self.rng(*path).uniform(0.5, 5.5, samples[lines].shape)).astype(np.complex64)
        samples[lines] = size * turn
        return dataclasses.replace(stream, samples=samples)

    def disturbed(self, *path: str | int) -> Stream:
        """Return the short scan with noise of a thousandth of its samples.

        A memory does not know this scan, yet it takes as much work as the original. A very different scan
        could take another path through a reconstructor that depends on its data.

        Parameters
        ----------
        path
            Names and numbers that identify the draw.
        """
        samples, rng = np.array(self.short.samples), self.rng(*path)
        size = 1e-3 * float(np.sqrt(np.mean(np.square(np.abs(samples), dtype=np.float64))))
        noise = rng.normal(size=samples.shape) + 1j * rng.normal(size=samples.shape)
        samples += (size * noise).astype(np.complex64)
        return dataclasses.replace(self.short, samples=samples)


def differing(run: Run, other: Run, frames: range) -> int | None:
    """Return the first frame whose images in two runs are not equal bit for bit; None if all are.

    Parameters
    ----------
    run, other
        The runs, with their images.
    frames
        Frames to compare.
    """
    first, second = run.images, other.images
    for frame in frames:
        if first.shown[frame] != second.shown[frame]:
            return frame
        if first.content(frame) != second.content(frame):
            return frame
    return None
