"""Small streams for the reconstructors: a soft blob that moves, scanned without the simulator."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mrsim.stream import Header, Stream, Truth
from mrsim.stream.header import ky_range
from recon.cascade.checkpoint import Checkpoint
from recon.cascade.network import Cascade, named_config
from recon.data.examples import examples_of
from recon.fourier import to_kspace
from recon.training.subspace import learn_subspace


def blob(ny: int, nx: int, y0: float) -> np.ndarray:
    y, x = np.mgrid[:ny, :nx]
    moving = np.exp(-((y - ny / 2 - y0) ** 2 + (x - nx / 2) ** 2) / 6)
    still = 0.5 * np.exp(-((y - ny / 2) ** 2 + (x - nx / 3) ** 2) / 40)
    return (moving + still).astype(np.complex64)


def small_stream(
    frames: int = 30,
    ny: int = 24,
    nx: int = 20,
    lines: int = 8,
    noise: float = 0.02,
    seed: int = 1,
    maps: np.ndarray | None = None,
) -> Stream:
    """Scan the blob: the centre row in every frame, the others in turn, each line at its own time."""
    maps = np.ones((1, ny, nx), np.complex64) if maps is None else maps
    rng = np.random.default_rng(seed)
    header = Header(
        (ny, nx), (0.4, 0.4), 2_200_000, 1_100_000, 0.35, 3.0, len(maps), lines, ny / lines, "test", "random"
    )
    low, high = ky_range(ny)
    others = [k for k in range(low, high + 1) if k != 0]
    ky, images = [], []
    for f in range(frames):
        start = f * (lines - 1)
        rows = [0] + [others[(start + i) % len(others)] for i in range(lines - 1)]
        ky += list(rng.permutation(rows))
    t = np.arange(frames * lines) * header.tr_ns + header.te_ns
    path = 3.0 * np.sin(2 * np.pi * t / 0.7e9)
    samples = np.empty((len(ky), len(maps), nx), np.complex64)
    for i, k in enumerate(ky):
        image = blob(ny, nx, path[i])
        noisy = noise * (rng.normal(size=(len(maps), nx)) + 1j * rng.normal(size=(len(maps), nx)))
        samples[i] = to_kspace((maps * image).astype(np.complex64))[:, k - low] + noisy
        if (i + 1) % lines == 0:
            images.append(image)
    centroid = np.stack([np.zeros(len(t)), path * 0.4 / ny], -1)
    truth = Truth(
        ("blob",), "blob", centroid[:, None], centroid, np.stack(images), np.abs(np.stack(images)) > 0.7
    )
    frame = (np.arange(len(ky)) // lines).astype(np.int32)
    return Stream(header, np.array(ky, np.int32), frame, t.astype(np.int64), samples, None, truth)


def small_weights() -> Checkpoint:
    """Return a cascade with the subspace of a scan, and blocks as they are born."""
    learnt = learn_subspace([examples_of(small_stream(frames=160, seed=5))], 8, 4, 8 * 2.2e-3, 1.0, 100)
    of_subspace = {"components": learnt.components, "knots": learnt.knots, "positions": learnt.position_count}
    config = dataclasses.replace(
        named_config("compact", 24, 20), blocks=1, convolutions=2, filters=4, **of_subspace
    )
    cascade = Cascade(config).eval()
    assert cascade.subspace is not None
    cascade.subspace.load_state_dict(learnt.state_dict())
    return Checkpoint(cascade, 1.0, {"matrix": [24, 20]})


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny networks on several threads only wait for each other, and on a busy host for a core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def stream() -> Stream:
    return small_stream()


def run(reconstructor, stream: Stream, lines: int | None = None) -> list:
    """Push a stream's lines and return the images."""
    images: list = []
    reconstructor.open(stream.header, images.append)
    for readout in list(stream)[:lines]:
        reconstructor.push(readout)
    reconstructor.close()
    return images
