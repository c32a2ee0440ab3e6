"""Small scans made by hand, and a reconstructor that only emits blanks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mrsim.stream import Header, Provenance, Readout, Stream, Truth
from recon.protocol import Emit, Image


def make_header(
    lines_per_frame: int = 4, tr_ns: int = 4_000_000, matrix: tuple[int, int] = (8, 8), coils: int = 1
) -> Header:
    return Header(
        matrix=matrix,
        fov_m=(0.4, 0.4),
        tr_ns=tr_ns,
        te_ns=tr_ns // 2,
        flip_rad=0.35,
        field_t=3.0,
        coils=coils,
        lines_per_frame=lines_per_frame,
        acceleration=matrix[0] / lines_per_frame,
        sampler="uniform",
        order="ascending",
    )


def make_stream(lines: int = 40, seed: int = 1, header: Header | None = None) -> Stream:
    """Make a scan of random samples with a truth of random images; a whole frame has its own."""
    head = header or make_header()
    rng = np.random.default_rng(seed)

    def noise(*shape: int) -> np.ndarray:
        return np.ascontiguousarray(
            rng.standard_normal((*shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
        )

    line = np.arange(lines)
    frames = lines // head.lines_per_frame
    return Stream(
        header=head,
        ky=(line % head.matrix[0] - head.matrix[0] // 2).astype(np.int32),
        frame=(line // head.lines_per_frame).astype(np.int32),
        t_ns=line * head.tr_ns + head.te_ns,
        samples=noise(lines, head.coils, head.matrix[1]),
        provenance=Provenance("test", "secret = 1", seed, "0", "none", 0.0, 20.0),
        truth=Truth(
            regions=("body", "target"),
            target="target",
            displacement=rng.standard_normal((lines, 2, 2)),
            centroid=rng.standard_normal((lines, 2)),
            image=noise(frames, *head.matrix),
            mask=rng.random((frames, *head.matrix)) > 0.5,
        ),
    )


class Blank:
    """Emit a blank image at the end of every frame; `work` runs in each push before that."""

    def __init__(self, work: Callable[[Readout], object] = lambda readout: None) -> None:
        self.work = work

    def open(self, header: Header, emit: Emit) -> None:
        self.header, self.emit = header, emit
        self.pushed: list[Readout] = []
        self.closed = 0

    def push(self, readout: Readout) -> None:
        self.pushed.append(readout)
        self.work(readout)
        if (readout.index + 1) % self.header.lines_per_frame == 0:
            self.emit(Image(np.zeros(self.header.matrix, np.complex64), readout.frame, readout.index))

    def close(self) -> None:
        self.closed += 1
