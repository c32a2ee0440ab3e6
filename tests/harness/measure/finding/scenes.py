"""Pictures of a target whose place is known exactly, and the truth of scans that show it."""

from __future__ import annotations

import numpy as np

from mrsim.stream import Header, Truth
from tests.harness.synthetic import disc_image, make_header

HEADER = make_header(lines_per_frame=1, tr_ns=60_000_000, matrix=(128, 128))
"""A frame has one line, so that the truth of n frames is that of n places; its pixels are 3.1 mm large."""
AXIS = (np.arange(128) - 64) * 0.4 / 128

Place = tuple[float, float]


def scene(kind: str, x: float, y: float) -> np.ndarray:
    """Draw a 30 mm disc at a place (x, y), metres.

    It is in a "lung", has a "fiducial", is beside a "neighbour", slides along a still "wall" as bright as
    itself, or is "dark" in bright tissue.
    """
    target = disc_image(HEADER, 0.015, x, y)
    if kind == "dark":
        return disc_image(HEADER, 0.15, 0, 0) - 0.7 * target
    image = 0.2 * disc_image(HEADER, 0.15, 0, 0) + 0.8 * target
    if kind == "fiducial":
        image = image - 0.6 * disc_image(HEADER, 0.003, x, y)
    if kind == "neighbour":
        image = image + 0.8 * disc_image(HEADER, 0.06, 0.085, 0)
    if kind == "wall":
        image = image + 0.8 * disc_image(HEADER, 0.09, 0.105, 0)
    return image


def disc_mask(x: float, y: float) -> np.ndarray:
    """Return the pixels of the disc, shape (128, 128), bool."""
    inside: np.ndarray = np.hypot(AXIS[None, :] - x, AXIS[:, None] - y) <= 0.015
    return inside


def truth_of(kind: str, places: list[Place]) -> Truth:
    """Return the truth of a scan that shows the disc at these places, one a frame."""
    image = np.array([scene(kind, x, y) for x, y in places]).astype(np.complex64)
    mask = np.array([disc_mask(x, y) for x, y in places])
    centroid = np.array(places, np.float64)
    return Truth(("t",), "t", np.zeros((len(places), 1, 2)), centroid, image, mask)


def breaths(
    count: int, period: int = 50, depth_m: float = 0.012, seed: int = 5, sway_m: float = 0.003
) -> list[Place]:
    """Return a path of so many frames: breaths along y, and some way along x."""
    rng = np.random.default_rng(seed)
    t = np.arange(count) / period
    y = depth_m * np.sin(2 * np.pi * t) * (1 + 0.1 * np.sin(1.7 * t)) + rng.uniform(-1e-4, 1e-4, count)
    x = sway_m * np.cos(2 * np.pi * t + 0.7) + rng.uniform(-1e-4, 1e-4, count)
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def magnitude(image: np.ndarray, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    """Return a magnitude image, float32, with noise of this standard deviation in each channel."""
    rng = np.random.default_rng(seed)
    re, im = rng.standard_normal((2, *image.shape)) * noise
    return np.abs(image + re + 1j * im).astype(np.float32)


def header_like(header: Header) -> Header:
    """Return an equal header that is another object."""
    return Header.from_dict(header.to_dict())
