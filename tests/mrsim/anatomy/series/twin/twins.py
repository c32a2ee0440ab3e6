"""Twins whose modes, courses and states are known, and a cine that is moved by known fields."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.patient import Patient, digest_of
from mrsim.anatomy.series.playback import Playback
from mrsim.anatomy.series.twin.ride import Ride
from mrsim.anatomy.series.twin.twin import Twin
from tests.mrsim.anatomy.series.cines import SHAPE, smooth_image

Array = NDArray[np.float64]

PIXEL_M = (3e-3, 2.5e-3)
OWN_FOV = (SHAPE[0] * PIXEL_M[0], SHAPE[1] * PIXEL_M[1])
FRAMES, STEP_NS = 120, 150_000_000


def modes() -> NDArray[np.float32]:
    """Return two smooth modes, the largest vector of each about one pixel; nothing moves at the edges."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    return np.stack([_mode_sum(course, y, x) for course in np.eye(2)]).astype(np.float32)


def values() -> Array:
    """Return breaths of 20 frames whose depths differ, and a second mode that goes its own way."""
    t = np.arange(FRAMES)
    depth = np.array([2.0, 3.0, 2.4, 2.8, 1.8, 2.6])[t // 20]
    return np.stack([depth * np.sin(np.pi * (t % 20) / 20) ** 2, 0.7 * np.sin(t / 11)], axis=1)


@cache
def known_twin(changing: bool = True, imaginary: bool = False) -> Twin:
    """Return a twin of known modes, whose brightness changes from frame to frame."""
    image = smooth_image().astype(np.float32)
    states = np.repeat(image[None, None], FRAMES, axis=0)
    if changing:
        states = states * (1 + 0.1 * np.sin(np.arange(FRAMES) / 3)[:, None, None, None])
    if imaginary:
        states = np.concatenate([states, 0.3 * states[:, :, ::-1]], axis=1)
    label = np.zeros((1, *SHAPE), np.bool_)
    label[0, 14:24, 12:22] = True
    return Twin(
        image, modes(), values(), states.astype(np.float32), label,
        STEP_NS * np.arange(FRAMES, dtype=np.int64), PIXEL_M,
    )  # fmt: skip


def known_patient(ride: Ride | None = None, **changes: Any) -> Patient:
    """Return a patient with a known twin on a ride; without one, on the recorded course."""
    twin = known_twin(**changes)
    images = np.repeat(twin.reference[None], FRAMES, axis=0)
    path = np.tile(np.argwhere(twin.rest_label[0]).mean(axis=0), (FRAMES, 1))
    played = Playback(images, twin.t_ns, PIXEL_M, twin.rest_label, path)
    patient = Patient("known", played, digest_of(played), None, {}, twin)
    return patient.ridden(Ride() if ride is None else ride)


def warped(frames: int) -> tuple[NDArray[np.float32], Array]:
    """Return frames of an image that known fields move, exactly, and the fields, (frames, 2, ny, nx)."""
    scale = np.array([3.0, 1.0])
    t = np.arange(frames)
    course = np.stack([np.sin(np.pi * (t % 12) / 12) ** 2, np.sin(t / 7)], axis=1) * scale
    field = np.einsum("fm,mdyx->fdyx", course, modes().astype(np.float64))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    out = np.empty((frames, *SHAPE), np.float32)
    for n in range(frames):
        at_y, at_x = y.copy(), x.copy()
        for _ in range(40):  # the point of the reference that is here now
            u = _mode_sum(course[n], at_y, at_x)
            at_y, at_x = y - u[0], x - u[1]
        out[n] = _blobs(at_y, at_x)
    return out, field


def _mode_sum(course: Array, y: Array, x: Array) -> Array:
    v, w = (np.clip(at / (n - 1), 0, 1) * np.pi for at, n in zip((y, x), SHAPE, strict=True))
    one = np.stack([np.sin(v) * np.sin(w), 0.2 * np.sin(2 * v) * np.sin(w)])
    two = np.stack([np.zeros_like(v), np.sin(v) ** 2 * np.sin(w)])
    return np.asarray(course[0] * one + course[1] * two, np.float64)


def _blobs(y: Array, x: Array) -> Array:
    rng = np.random.default_rng(3)
    image = np.zeros(SHAPE)
    for _ in range(60):
        (cy, cx), width = rng.uniform(0.05, 0.95, 2) * SHAPE, rng.uniform(1.6, 2.6)
        image += rng.uniform(0.3, 1.0) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    return image
