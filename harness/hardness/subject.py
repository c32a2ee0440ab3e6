"""What the hardness of a thing is computed from: images of a body, of its own frames, or a stream's truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.hardness.score import MAX_VALUES, MIN_FRAMES, Hardness, hardness_of
from mrsim.anatomy.body import Body
from mrsim.errors import InputError
from mrsim.scanner.oracle import Oracle
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.scenes import load_body
from mrsim.stream import Stream, load

FRAME_S, SECONDS = 0.17, 80.0


def hardness_at(
    name: str,
    *,
    frame_s: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Hardness:
    """Compute how hard a phantom, a patient or a stored scan is.

    Parameters
    ----------
    name
        A phantom's name or file, a patient's folder, or a stream.
    frame_s
        Time from image to image, seconds; None for that of the frames of a cine or a stream, else 0.17.
    seconds
        Time that is looked at; None for all of a cine or a stream, else 80.
    seed
        Seed of a phantom's motion.
    changes
        Changes of a phantom or a patient by key.
    progress
        Called with the images done and their number.

    Raises
    ------
    InputError
        If there is no such thing, or it is too short.
    """
    for key, value, most in (("frame_s", frame_s, 60.0), ("seconds", seconds, 86_400.0)):
        if value is not None and not 0 < value <= most:
            raise InputError(f"{key} = {value}: expected above 0, at most {most:g}")
    if (Path(name) / "header.json").is_file():
        if changes:
            raise InputError(f"{name}: a scan takes no changes by key")
        return _of_stream(load(name), name, frame_s, seconds)
    return hardness_of_body(load_body(name, changes), name, frame_s, seconds, seed, progress)


def _of_stream(stream: Stream, name: str, frame_s: float | None, seconds: float | None) -> Hardness:
    if stream.truth is None:
        raise InputError(f"{name}: it has no truth, so nobody knows how hard it is")
    step = stream.header.frame_ns * 1e-9
    if frame_s is not None:
        raise InputError(f"{name}: frame_s: a stream has its own frames, {step * 1e3:g} ms; leave it out")
    kept = len(stream.truth.image) if seconds is None else int(seconds / step)
    return hardness_of(stream.truth.image[:kept], step, name)


def hardness_of_body(
    body: Body,
    name: str,
    frame_s: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Hardness:
    """Compute how hard a body is; parameters and errors as for `hardness_at`."""
    protocol, recorded = ScanProtocol(target_snr=np.inf), body.recorded
    if recorded is None:
        step = FRAME_S if frame_s is None else frame_s
        t_ns = _instants(step, SECONDS if seconds is None else seconds, name)
    else:
        # The scanner's own header, on the pixels of the cine.
        protocol = dataclasses.replace(
            protocol, matrix=recorded.matrix, fov_m=recorded.fov_m, acceleration=1.0, sampler="full"
        )
        step = float(np.median(np.diff(recorded.t_ns))) * 1e-9 if frame_s is None else frame_s
        stop = float(recorded.t_ns[-1]) * 1e-9
        last = stop if seconds is None else min(seconds, stop)
        t_ns = recorded.t_ns[recorded.t_ns <= last * 1e9] if frame_s is None else _instants(step, last, name)
    if len(t_ns) * protocol.matrix[0] * protocol.matrix[1] > MAX_VALUES:
        raise InputError(f"{name}: {len(t_ns)} images are too many; take fewer seconds or longer frames")
    oracle = Oracle(body, protocol.header(), seed)
    images = np.empty((len(t_ns), *protocol.matrix), np.complex64)
    for number, t in enumerate(t_ns.tolist()):
        images[number] = oracle.image(t)
        if progress is not None:
            progress(number + 1, len(t_ns))
    return hardness_of(images, step, name)


def _instants(step_s: float, seconds: float, name: str) -> NDArray[np.int64]:
    count = int(seconds / step_s * (1 + 1e-9)) + 1
    if not MIN_FRAMES <= count <= MAX_VALUES >> 12:
        raise InputError(f"{name}: {count} images; expected {MIN_FRAMES} to {MAX_VALUES >> 12}")
    return np.asarray(np.rint(np.arange(count) * step_s * 1e9), np.int64)
