"""Small scans made by hand, and a reconstructor that only emits blanks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import j1

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


def disc_image(header: Header, radius_m: float, x_m: float, y_m: float) -> np.ndarray:
    """Render a uniform disc of signal 1 as full sampling in an instant gives it: by its exact transform."""
    (ny, nx), (fov_y, fov_x) = header.matrix, header.fov_m
    ky, kx = (np.arange(ny) - ny // 2) / fov_y, (np.arange(nx) - nx // 2) / fov_x
    s = np.hypot(*np.meshgrid(kx, ky)) * radius_m
    safe = np.where(s == 0, 1, s)
    form = radius_m**2 * np.where(s == 0, np.pi, j1(2 * np.pi * safe) / safe)
    form = form * np.exp(-2j * np.pi * (kx[None, :] * x_m + ky[:, None] * y_m))
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(form))) * ny * nx / (fov_y * fov_x)


def breathing(t_s: np.ndarray) -> np.ndarray:
    """Return the target's path (x, y), metres: 12 mm head-foot in breaths of 1.5 s, whose heights differ."""
    phase = t_s / 1.5
    height = 0.006 * (1 + 0.2 * np.sin(2.1 * phase))
    return np.stack([0.001 * np.cos(2 * np.pi * phase) - 0.02, height * np.sin(2 * np.pi * phase)], axis=-1)


def draw_target(header: Header, centroid_m: np.ndarray, signal: float = 0.8) -> np.ndarray:
    """Render a 30 mm target in a homogeneous body of signal 0.2 (1 where the target is dark)."""
    body = disc_image(header, 0.15, 0, 0) * (0.2 if signal > 0 else 1.0)
    return body + signal * disc_image(header, 0.015, *centroid_m)


def moving_stream(frames: int = 150, signal: float = 0.8) -> Stream:
    """Make a scan of a breathing target with the truth of its images; its samples are zero."""
    head = make_header(lines_per_frame=16, tr_ns=4_000_000, matrix=(64, 64))
    lines = frames * head.lines_per_frame
    t_ns = np.arange(lines) * head.tr_ns + head.te_ns
    centroid = breathing(t_ns / 1e9)
    shown = centroid[head.lines_per_frame - 1 :: head.lines_per_frame]
    y, x = ((np.arange(64) - 32) * 0.4 / 64 for _ in range(2))
    far = np.hypot(x[None, None, :] - shown[:, 0, None, None], y[None, :, None] - shown[:, 1, None, None])
    stream = make_stream(lines, header=head)
    truth = Truth(
        regions=("target",),
        target="target",
        displacement=centroid[:, None, :],
        centroid=centroid,
        image=np.array([draw_target(head, c, signal) for c in shown]).astype(np.complex64),
        mask=far <= 0.015,
    )
    return dataclasses.replace(stream, truth=truth)


def long_stream(lines: int) -> Stream:
    """Make a scan of any length at 128 x 128 whose samples take the room of one line."""
    header = make_header(lines_per_frame=32, tr_ns=2_200_000, matrix=(128, 128))
    block = make_stream(32, header=header)
    line = np.arange(lines)
    return Stream(
        header,
        ky=((line * 37) % 128 - 64).astype(np.int32),
        frame=(line // 32).astype(np.int32),
        t_ns=line * header.tr_ns + header.te_ns,
        samples=np.broadcast_to(block.samples[:1], (lines, 1, 128)),
    )


def private_bytes() -> int:
    """Return the memory of this process that no file stands behind; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    (line,) = [x for x in status.read_text().splitlines() if x.startswith("RssAnon")] or ["RssAnon: 0 kB"]
    return int(line.split()[1]) << 10


class Drawn:
    """Emit, for every frame, the picture that a function of its number draws."""

    def __init__(self, draw: Callable[[int], np.ndarray]) -> None:
        self.draw = draw

    def open(self, header: Header, emit: Emit) -> None:
        self.header, self.emit = header, emit

    def push(self, readout: Readout) -> None:
        if (readout.index + 1) % self.header.lines_per_frame == 0:
            self.emit(Image(self.draw(readout.frame).astype(np.complex64), readout.frame, readout.index))

    def close(self) -> None:
        pass
