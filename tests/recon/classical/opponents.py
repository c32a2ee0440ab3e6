"""Scans for the opponents: a still body, smooth coils, rows interleaved or at random; no simulator."""

from __future__ import annotations

import dataclasses

import numpy as np

from mrsim.stream import Header, Stream
from recon.fourier import to_kspace


def coil_maps(coils: int, ny: int, nx: int) -> np.ndarray:
    """Return smooth complex sensitivities around the rim, with a sum of squares of 1 everywhere."""
    y, x = np.mgrid[-1 : 1 : ny * 1j, -1 : 1 : nx * 1j]
    maps = np.zeros((coils, ny, nx), np.complex128)
    for coil in range(coils):
        turn = 2 * np.pi * (coil + 0.5) / coils
        away = (y - 1.2 * np.sin(turn)) ** 2 + (x - 1.2 * np.cos(turn)) ** 2
        maps[coil] = np.exp(-away / 1.5 + 1j * (turn + x + y / 2))
    return maps / np.sqrt((np.abs(maps) ** 2).sum(0))


def body(ny: int, nx: int, shift: float = 0.0) -> np.ndarray:
    """Return a soft ellipse that holds a bright disc, `shift` rows down."""
    y, x = np.mgrid[:ny, :nx]
    inside = 1 / (1 + np.exp(4 * (np.hypot((y - ny / 2) / 0.38 / ny, (x - nx / 2) / 0.38 / nx) - 1) * 6))
    disc = 1 / (1 + np.exp(4 * (np.hypot(y - ny / 2 - shift, x - nx / 2) / (0.1 * ny) - 1) * 3))
    return (0.5 * inside + 0.5 * disc).astype(np.complex64)


def still_scan(
    image: np.ndarray,
    lines: int,
    frames: int = 12,
    maps: np.ndarray | None = None,
    sampler: str = "uniform",
    noise: float = 0.0,
    seed: int = 1,
) -> Stream:
    """Scan a still image: rows interleaved from frame to frame, or at random with the centre always there."""
    rng = np.random.default_rng(seed)
    ny, nx = image.shape
    maps = np.ones((1, ny, nx)) if maps is None else maps
    kspace = to_kspace((maps * image).astype(np.complex64))
    times, fov = (2_200_000, 1_100_000), (0.4, 0.4)
    header = Header((ny, nx), fov, *times, 0.35, 3.0, len(maps), lines, ny / lines, sampler, "random")
    rows = []
    for f in range(frames):
        if sampler == "uniform":
            rows.append((np.arange(lines) * ny // lines + f) % ny)
        else:
            centre = np.arange(ny // 2 - lines // 8, ny // 2 + lines // 8)
            others = rng.permutation(np.setdiff1d(np.arange(ny), centre))[: lines - len(centre)]
            rows.append(rng.permutation(np.concatenate([centre, others])))
    row = np.concatenate(rows)
    samples = kspace[:, row].transpose(1, 0, 2)
    parts = rng.standard_normal((*samples.shape, 2)) * noise
    samples = (samples + parts[..., 0] + 1j * parts[..., 1]).astype(np.complex64)
    line = np.arange(len(row))
    return Stream(
        header,
        ky=(row - ny // 2).astype(np.int32),
        frame=(line // lines).astype(np.int32),
        t_ns=line * header.tr_ns + header.te_ns,
        samples=samples,
    )


def with_lines(stream: Stream, first: int, seed: int = 3) -> Stream:
    """Return the scan with other samples from a line on."""
    rng = np.random.default_rng(seed)
    samples = stream.samples.copy()
    later = samples[first:]
    samples[first:] = later * np.exp(1j * rng.uniform(0.5, 5.5, later.shape)).astype(np.complex64)
    return dataclasses.replace(stream, samples=samples)


def nmse(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the squared error of the magnitudes as a share of the truth's energy."""
    return float(((np.abs(image) - np.abs(truth)) ** 2).sum() / (np.abs(truth) ** 2).sum())
