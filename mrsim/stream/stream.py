"""A scan as data: its lines in the order of their echoes.

Columns, not objects: `Stream` holds one array per quantity, and iterating yields `Readout` views.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import StreamError
from mrsim.stream.header import Header, ky_range
from mrsim.stream.layout import check_array, expected_arrays, expected_truth
from mrsim.stream.provenance import Provenance
from mrsim.stream.readout import Readout
from mrsim.stream.truth import Truth
from mrsim.stream.values import LineOrder, check_positions, first_odd
from mrsim.summary import Summarised, array_facts, counted


@dataclass(frozen=True, repr=False)
class Stream(Summarised):
    """Hold a scan in columns, line after line.

    Parameters
    ----------
    header
        The protocol.
    ky
        Row of each line in the centred k-space, shape (lines,), int32.
    frame
        Frame of each line, shape (lines,), int32.
    t_ns
        Echo time of each line, shape (lines,), int64, nanoseconds.
    samples
        Shape (lines, coils, nx), complex64.
    provenance
        How it was made, if that is known.
    truth
        What was true meanwhile, if that is known.
    path
        Folder that it was read from, if any.
    """

    header: Header
    ky: NDArray[np.int32]
    frame: NDArray[np.int32]
    t_ns: NDArray[np.int64]
    samples: NDArray[np.complex64]
    provenance: Provenance | None = None
    truth: Truth | None = None
    path: Path | None = field(default=None, compare=False)

    COLUMNS = ("ky", "frame", "t_ns", "samples")

    def __post_init__(self) -> None:
        where = str(self.path) if self.path else "stream"
        for name, (shape, dtype) in expected_arrays(self.header, len(self.ky)).items():
            check_array(getattr(self, name), shape, dtype, f"{where}: {name}")
        if len(self.ky) == 0:
            raise StreamError(f"{where}: it has no lines")
        low, high = ky_range(self.header.matrix[0])
        if int(self.ky.min()) < low or int(self.ky.max()) > high:
            line = int(np.flatnonzero((self.ky < low) | (self.ky > high))[0])
            at, ky = f"k-space line {line} (frame {int(self.frame[line])})", int(self.ky[line])
            raise StreamError(f"{where}: {at}: ky = {ky} is outside {low} to {high}")
        per_frame, truth = self.header.lines_per_frame, self.truth
        LineOrder(where, per_frame, stored=False).check(self.frame, self.t_ns)
        if truth is not None:
            layout = expected_truth(self.header, len(self.ky), len(truth.regions))
            for name, (shape, dtype) in layout.items():
                check_array(getattr(truth, name), shape, dtype, f"{where}: truth: {name}")
            positions = {"centroid": truth.centroid, "displacement": truth.displacement}
            check_positions(where, per_frame, positions)

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        header, made = self.header, self.provenance
        (ny, nx), lines = header.matrix, counted(header.lines_per_frame, "line")
        title = f"Stream: {counted(self.frames, 'frame')} of {lines}, {len(self) * header.tr_ns / 1e9:.1f} s"
        size = f"{ny} x {nx}, {header.fov_m[0] * 1e3:g} x {header.fov_m[1] * 1e3:g} mm"
        facts = [
            ("image", f"{size}, {counted(header.coils, 'coil')}"),
            ("times", f"TR {header.tr_ns / 1e6:g} ms, TE {header.te_ns / 1e6:g} ms"),
            ("sampling", f"{header.acceleration:g}x, {header.sampler}, {header.order}"),
            *array_facts(samples=self.samples),
            *([] if header.prescan is None else array_facts(prescan=header.prescan)),
            ("truth", "none" if self.truth is None else f"of {self.truth.target!r}"),
        ]
        if made is not None:
            facts.append(("scan of", f"{made.phantom}, seed {made.seed}, SNR {made.target_snr:g}"))
        return title, facts if self.path is None else [*facts, ("folder", str(self.path))]

    def __len__(self) -> int:
        return len(self.ky)

    def __iter__(self) -> Iterator[Readout]:
        return (self.readout(i) for i in range(len(self)))

    @property
    def frames(self) -> int:
        """Return the number of whole frames."""
        return len(self) // self.header.lines_per_frame

    def readout(self, line: int) -> Readout:
        """Return one line as a view of the columns."""
        return Readout(
            line, int(self.frame[line]), int(self.ky[line]), int(self.t_ns[line]), self.samples[line]
        )

    def first_frames(self, frames: int) -> Stream:
        """Return the part up to the end of a frame, as views.

        Raises
        ------
        StreamError
            If the stream has fewer frames.
        """
        if not 1 <= frames <= self.frames:
            raise StreamError(f"frames = {frames}: this stream has 1 to {self.frames} whole frames")
        lines = frames * self.header.lines_per_frame
        truth = self.truth
        if truth is not None:
            truth = dataclasses.replace(
                truth,
                displacement=truth.displacement[:lines],
                centroid=truth.centroid[:lines],
                image=truth.image[:frames],
                mask=truth.mask[:frames],
            )
        cut = {name: getattr(self, name)[:lines] for name in self.COLUMNS}
        return dataclasses.replace(self, truth=truth, **cut)

    def until(self, seconds: float) -> Stream:
        """Return the whole frames that end before a time, as views.

        Parameters
        ----------
        seconds
            Time from the start of the scan.

        Raises
        ------
        StreamError
            If no whole frame ends before it, or the scan is shorter.
        """
        frames = int(seconds * 1e9 // self.header.frame_ns) if math.isfinite(seconds) else 0
        if not 1 <= frames <= self.frames:
            length = self.frames * self.header.frame_ns / 1e9
            raise StreamError(
                f"until {seconds} s: {self.path or 'the stream'} holds {length:.1f} s; expected a part of it"
            )
        return self.first_frames(frames)

    def plot(self, what: str = "frames", path: str | Path | None = None) -> Any:
        """Draw the scan: what is in it, in one line.

        Parameters
        ----------
        what
            "frames", "kspace" or "trace" (the target's path, of a scan with truth).
        path
            PNG to write, too; None for none.

        Returns
        -------
        figure
            A `matplotlib.figure.Figure`.

        Raises
        ------
        InputError
            If the scan does not hold it, or the file cannot be written.
        MissingExtraError
            If matplotlib is not installed.
        """
        from mrsim.stream.plot import plot_stream

        return plot_stream(self, what, path)

    def check_finite(self) -> None:
        """Raise an error that names the first line with a sample, or frame of the truth, that is no number.

        Raises
        ------
        StreamError
            If a sample or a pixel of the truth is NaN, infinite or above 1e15.
        """
        where = self.path or "stream"
        found = first_odd(self.samples, 4096)
        if found is not None:
            line, wrong = found
            at = f"k-space line {line} (frame {int(self.frame[line])})"
            raise StreamError(f"{where}: {at}: a sample is {wrong}")
        if self.truth is not None and (odd := first_odd(self.truth.image, 16)) is not None:
            raise StreamError(f"{where}: image: frame {odd[0]}: a pixel of the truth is {odd[1]}")
