"""Both ways to undersample, and the raster that stands for the inverse crime."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import InputError
from mrsim.scanner.acquisition import scan
from mrsim.scanner.oracle import truth_of
from mrsim.scanner.protocol import ScanProtocol
from tests.mrsim.bodies import chest, disc

CLEAN = ScanProtocol(acceleration=5, target_snr=float("inf"))


def test_a_retrospective_frame_is_of_one_instant() -> None:
    stream = scan(chest(), dataclasses.replace(CLEAN, timing="retrospective"), seed=2, frames=4)
    oracle, lines = truth_of(stream), stream.header.lines_per_frame
    for frame in range(4):
        part = slice(frame * lines, (frame + 1) * lines)
        last = np.full(lines, stream.t_ns[part][-1])
        expected = oracle.lines(stream.ky[part], last).astype(np.complex64)
        assert stream.samples[part, 0].tobytes() == expected.tobytes()


def test_both_ways_share_all_but_the_instants() -> None:
    prospective = ScanProtocol(acceleration=5)
    one = scan(chest(), prospective, seed=2, frames=6)
    other = scan(chest(), dataclasses.replace(prospective, timing="retrospective"), seed=2, frames=6)
    for name in ("ky", "frame", "t_ns"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    for name in ("displacement", "centroid", "image", "mask"):
        assert getattr(one.truth, name).tobytes() == getattr(other.truth, name).tobytes()
    lines = one.header.lines_per_frame
    last = slice(lines - 1, None, lines)
    assert one.samples[last].tobytes() == other.samples[last].tobytes()  # noise and all
    assert one.samples.tobytes() != other.samples.tobytes()
    still = {"motion.breathing.amplitude_mm": 0}
    pair = [
        scan(load_phantom("quasar", still), dataclasses.replace(CLEAN, timing=t), seed=2, frames=2)
        for t in ("prospective", "retrospective")
    ]
    assert pair[0].samples.tobytes() == pair[1].samples.tobytes()


def test_a_raster_comes_nearer_to_the_object_the_finer_it_is() -> None:
    clean = dataclasses.replace(CLEAN, timing="retrospective")  # one drawing for each frame
    exact = scan(chest(), clean, seed=2, frames=1)
    error = []
    for points in (1, 4, 16):
        raster = dataclasses.replace(clean, rendering="raster", supersampling=points)
        drawn = scan(chest(), raster, seed=2, frames=1)
        low = np.abs(exact.ky) < 16  # where a pixel's own width hardly counts
        away = (drawn.samples - exact.samples)[low][:, 0, 48:80]
        error.append(np.linalg.norm(away) / np.linalg.norm(exact.samples[low][:, 0, 48:80]))
        assert drawn.provenance is not None
        assert drawn.provenance.engine == f"raster {points}x, retrospective"
    assert error[0] > 2 * error[1]
    assert error[2] < 0.01


def test_a_raster_is_what_pixels_can_hold() -> None:
    full = ScanProtocol(acceleration=1, sampler="full", order="ascending", target_snr=float("inf"))
    errors = {}
    for rendering in ("exact", "raster"):
        stream = scan(disc(radius_mm=61), dataclasses.replace(full, rendering=rendering), seed=1, frames=1)
        k = np.fft.ifftshift(stream.samples[:, 0])
        image = np.abs(np.fft.fftshift(np.fft.ifft2(k, norm="ortho")))
        signal = image[64, 64]
        steps = np.minimum(np.abs(image), np.abs(image - signal)) / signal
        errors[rendering] = float(steps.max())
    assert errors["raster"] < 1e-4  # every pixel is all or nothing: a world without edges between them
    assert errors["exact"] > 0.1


def test_a_solid_is_drawn_section_by_section() -> None:
    clean = ScanProtocol(acceleration=16, coils=2, target_snr=float("inf"), timing="retrospective")
    exact = scan(load_phantom("patient4"), clean, seed=1, frames=1, truth=False)
    raster = dataclasses.replace(clean, rendering="raster", supersampling=4)
    drawn = scan(load_phantom("patient4"), raster, seed=1, frames=1, truth=False)
    low = np.abs(exact.ky) < 12
    away = np.linalg.norm((drawn.samples - exact.samples)[low]) / np.linalg.norm(exact.samples[low])
    assert away < 0.03


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timing", "later"),
        ("rendering", "cubist"),
        ("supersampling", 0),
        ("supersampling", 17),
        ("coils", 33),
    ],
)
def test_unknown_choices_are_refused(key: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{key} = {value!r}: expected "):
        dataclasses.replace(CLEAN, **{key: value})
