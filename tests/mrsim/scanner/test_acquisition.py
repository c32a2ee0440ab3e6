"""The scanner: each line at its own echo, the same bits however a run is cut, images of the object."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mrsim
from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.errors import InputError
from mrsim.physics.steady_state import tissue_signal
from mrsim.physics.tissue import tissue
from mrsim.reception.noise import LineNoise
from mrsim.scanner.acquisition import scan
from mrsim.scanner.oracle import Oracle
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Stream, Truth
from tests.mrsim.bodies import chest, definition, disc, image_of, line_by_hand, pixel_centres, region, small

FULL = {"sampler": "full", "acceleration": 1.0, "order": "ascending", "target_snr": math.inf}
IRREGULAR = "\n[motion.breathing]\namplitude_mm = 12.0\nperiod_s = 3.0\namplitude_sd = 0.2\nperiod_sd = 0.2\n"


def restless() -> Phantom:
    """Make a disc whose breaths differ."""
    body = region("target", "muscle", (0, 0), (40, 30), motion="breathing", direction=[0, 1])
    return Phantom.from_text(definition(body, motion=IRREGULAR))


def same_bits(one: Stream, other: Stream, lines: int) -> bool:
    return all(
        getattr(one, name)[:lines].tobytes() == getattr(other, name)[:lines].tobytes()
        for name in Stream.COLUMNS
    )


# Each line at its own time.


@pytest.mark.parametrize("matrix", [(32, 40), (33, 41), (20, 7)])
def test_every_line_is_the_closed_form_at_its_own_echo(matrix):
    protocol = small(matrix=matrix, target_snr=math.inf)
    stream = scan(chest(), protocol, seed=2, frames=12)
    scale = np.abs(stream.samples).max()
    for line in range(0, len(stream), 5):
        expected = line_by_hand(int(stream.ky[line]), line * 2_200_000 + 1_100_000, protocol)
        np.testing.assert_allclose(stream.samples[line, 0], expected, rtol=0, atol=3e-7 * scale)


def test_a_line_at_another_lines_time_would_be_noticed():
    """One TR beside its own echo, the hand's line differs by far more than the test above allows."""
    protocol = small(target_snr=math.inf)
    stream = scan(chest(), protocol, seed=2, frames=40)
    line = int(np.argmax(np.abs(np.diff(stream.truth.centroid[:, 1]))))
    late = line_by_hand(int(stream.ky[line]), (line + 1) * 2_200_000 + 1_100_000, protocol)
    assert np.abs(stream.samples[line, 0] - late).max() > 3e-6 * np.abs(stream.samples).max()


def test_lines_come_at_whole_trs_with_their_frames(tmp_path):
    stream = scan(disc(), small(acceleration=5.0), seed=1, frames=4)
    assert stream.t_ns.tolist() == [i * 2_200_000 + 1_100_000 for i in range(4 * 7)]
    assert stream.frame.tolist() == [i // 7 for i in range(4 * 7)]


# The same bits.


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**63 - 1), st.sampled_from([32, 33]))
@settings(max_examples=25)
def test_a_run_is_the_same_bits_however_it_is_cut_and_however_long(frames, chunk, seed, ny):
    protocol = small(matrix=(ny, 24))
    whole = scan(chest(), protocol, seed=seed, frames=9)
    part = scan(chest(), protocol, seed=seed, frames=frames, chunk_frames=chunk)
    assert same_bits(whole, part, len(part))
    assert part.truth is not None
    assert whole.truth is not None
    for name in Truth.ARRAYS:
        mine = getattr(part.truth, name)
        assert mine.tobytes() == getattr(whole.truth, name)[: len(mine)].tobytes()


@pytest.mark.parametrize("snr", [20.0, math.inf])
@pytest.mark.parametrize("nx", [40, 41, 3, 1])
def test_a_line_alone_is_the_line_of_the_run(nx, snr):
    protocol = small(matrix=(32, nx), target_snr=snr)
    stream = scan(chest(), protocol, seed=9, frames=10)
    assert stream.provenance is not None
    for line in (0, 1, 7, 8, 42, 79):
        oracle = Oracle(chest(), stream.header, 9)
        noise = LineNoise(9, stream.provenance.noise_std, 1, nx).lines(line, 1)
        at = slice(line, line + 1)
        alone = oracle.lines(stream.ky[at], stream.t_ns[at])[:, None, :] + noise
        assert alone.astype(np.complex64).tobytes() == stream.samples[at].tobytes()


def test_lines_in_any_order_and_number_are_the_same_bits():
    protocol = small()
    stream = scan(chest(), protocol, seed=9, frames=10)
    oracle = Oracle(chest(), stream.header, 9)
    together = oracle.lines(stream.ky, stream.t_ns)
    rng = np.random.default_rng(1)
    for count in (1, 2, 3, 17, 80):
        pick = rng.permutation(80)[:count]
        assert oracle.lines(stream.ky[pick], stream.t_ns[pick]).tobytes() == together[pick].tobytes()


def test_the_same_seed_is_the_same_bytes_and_another_one_differs_in_all_that_is_random():
    protocol = small(matrix=(64, 16))
    one, again, other = (scan(restless(), protocol, seed=s, frames=60) for s in (3, 3, 4))
    assert same_bits(one, again, len(one))
    assert one.provenance == again.provenance
    assert one.ky.tolist() != other.ky.tolist()
    assert np.abs(one.truth.centroid - other.truth.centroid).max() > 1e-3
    assert not np.any(one.samples == other.samples)


def test_noise_changes_neither_rows_nor_motion():
    """Each subsystem has a seed of its own: without noise the rest is what it was."""
    noisy, clean = (scan(restless(), small(target_snr=s), seed=3, frames=20) for s in (20.0, math.inf))
    assert noisy.ky.tobytes() == clean.ky.tobytes()
    assert noisy.truth.centroid.tobytes() == clean.truth.centroid.tobytes()
    assert noisy.truth.image.tobytes() == clean.truth.image.tobytes()


def test_a_duration_is_rounded_up_to_whole_frames():
    frame_s = 8 * 2.2e-3
    for duration, frames in ((3 * frame_s, 3), (3.001 * frame_s, 4), (1e-6, 1)):
        by_time = scan(disc(), small(), seed=1, seconds=duration)
        assert same_bits(by_time, scan(disc(), small(), seed=1, frames=frames), 8 * frames)
        assert by_time.frames == frames


def test_progress_counts_frames():
    seen: list = []
    scan(disc(), small(), seed=1, frames=5, chunk_frames=2, progress=lambda *at: seen.append(at))
    assert seen == [(2, 5), (4, 5), (5, 5)]


# Images are the object.

GEOMETRIES = [
    {"matrix": (64, 64), "fov_m": (0.3, 0.3)},
    {"matrix": (63, 65), "fov_m": (0.3, 0.3)},
    {"matrix": (64, 63), "fov_m": (0.36, 0.3)},
    {"matrix": (48, 80), "fov_m": (0.3, 0.42)},
]


def full_image(phantom: Phantom, **geometry) -> tuple[np.ndarray, ScanProtocol]:
    protocol = small(**geometry, **FULL)
    stream = scan(phantom, protocol, seed=1, frames=1)
    assert stream.ky.tolist() == list(range(-(protocol.matrix[0] // 2), -(-protocol.matrix[0] // 2)))
    return image_of(stream.samples[:, 0].astype(np.complex128)), protocol


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", ["muscle", "fat", "blood"])
def test_a_pixel_inside_a_large_region_is_the_tissues_signal(geometry, name):
    phantom = Phantom.from_text(definition(region("target", name, (5, -8), (90, 80))))
    image, protocol = full_image(phantom, **geometry)
    x, y = pixel_centres(protocol)
    inside = np.hypot((x - 0.005) / 0.065, (y + 0.008) / 0.055) < 1
    outside = np.hypot((x - 0.005) / 0.115, (y + 0.008) / 0.105) > 1
    signal = tissue_signal(tissue(name, 3.0), protocol.flip_rad, protocol.tr_ns, protocol.te_ns)
    assert np.abs(image[inside] - signal).max() < 0.06 * abs(signal)
    assert abs(image[inside].mean() - signal) < 0.01 * abs(signal)
    assert np.abs(image[outside]).max() < 0.09 * abs(signal)


def test_a_child_replaces_its_parent():
    body = region("body", "muscle", (0, 0), (120, 120))
    phantom = Phantom.from_text(definition(body, region("target", "blood", (0, 0), (60, 60), parent="body")))
    image, protocol = full_image(phantom, matrix=(64, 64), fov_m=(0.3, 0.3))
    x, y = pixel_centres(protocol)
    for name, part in (("blood", np.hypot(x, y) < 0.045), ("muscle", abs(np.hypot(x, y) - 0.09) < 0.012)):
        signal = tissue_signal(tissue(name, 3.0), protocol.flip_rad, protocol.tr_ns, protocol.te_ns)
        assert abs(image[part].mean() - signal) < 0.01 * abs(signal)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("place_mm", [(0.0, 0.0), (31.7, -24.2), (-40.3, 18.9)])
def test_the_centroid_in_the_image_is_the_stated_place_to_a_twentieth_of_a_pixel(geometry, place_mm):
    image, protocol = full_image(disc(*place_mm, radius_mm=35), **geometry)
    x, y = pixel_centres(protocol)
    # Far from the disc there is only ringing, which would weigh by its distance.
    weight = image.real * (np.hypot(x - place_mm[0] / 1e3, y - place_mm[1] / 1e3) < 0.06)
    found = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
    pixel = np.array([protocol.fov_m[1] / protocol.matrix[1], protocol.fov_m[0] / protocol.matrix[0]])
    np.testing.assert_array_less(np.abs(found - np.array(place_mm) / 1e3) / pixel, 0.05)


@pytest.mark.parametrize(("step_mm", "axis"), [((0, 40), 0), ((40, 0), 1)])
def test_y_runs_down_the_rows_and_x_along_the_columns(step_mm, axis):
    here, _ = full_image(disc(0, 0, 20), matrix=(64, 64))
    there, _ = full_image(disc(*step_mm, 20), matrix=(64, 64))
    for image, expected in ((here, 32), (there, 32 + 0.04 / (0.32 if axis == 0 else 0.36) * 64)):
        profile = np.abs(image).sum(axis=1 - axis)
        rows = np.flatnonzero(profile > profile.max() / 2)
        assert rows.mean() == pytest.approx(expected, abs=0.6)


def test_the_object_at_the_centre_of_the_field_of_view_lies_at_pixel_n_over_2():
    image, _ = full_image(disc(0, 0, 3), matrix=(64, 50))
    assert np.unravel_index(np.abs(image).argmax(), image.shape) == (32, 25)


def test_k_0_is_the_integral_of_the_signal():
    protocol = small(**FULL)
    stream = scan(disc(12, 7, 25), protocol, seed=1, frames=1)
    signal = tissue_signal(tissue("muscle", 3.0), protocol.flip_rad, protocol.tr_ns, protocol.te_ns)
    expected = signal * math.pi * 0.025**2 * math.sqrt(32 * 40) / (0.32 * 0.36)
    assert complex(stream.samples[16, 0, 20]) == pytest.approx(expected, rel=1e-6)


def test_k_space_is_linear_in_the_regions():
    one = region("target", "muscle", (-60, 20), (30, 40), angle_deg=20)
    two = region("two", "fat", (50, -30), (40, 25))
    texts = (definition(one), definition(two, target="two"), definition(one, two))
    a, b, both = (
        scan(Phantom.from_text(t), small(**FULL), seed=1, frames=1).samples.astype(np.complex128)
        for t in texts
    )
    np.testing.assert_allclose(a + b, both, rtol=0, atol=3e-7 * np.abs(both).max())


# What is recorded, and what is refused.


def test_a_stream_says_how_it_was_made():
    protocol = small(target_snr=15.0)
    stream = scan(chest(), protocol, seed=77, frames=1)
    made = stream.provenance
    assert (made.seed, made.version, made.engine) == (77, mrsim.__version__, "analytic")
    assert made.target_snr == 15.0
    assert made.phantom_text == chest().text
    assert stream.header == protocol.header()


def test_frames_of_the_stated_length_come_from_the_defaults():
    header = ScanProtocol().header()
    assert (header.matrix, header.fov_m, header.lines_per_frame) == ((128, 128), (0.4, 0.4), 32)
    assert (header.tr_ns, header.te_ns, header.field_t) == (2_200_000, 1_100_000, 3.0)
    assert header.flip_rad == pytest.approx(math.radians(20))


def test_an_object_wider_than_the_field_of_view_is_refused_by_region():
    with pytest.raises(InputError, match=r"region 'target': .* reaches 130\.0 mm .* along y, .* ends at 125"):
        scan(disc(0, 30, 100), small(fov_m=(0.25, 0.4)), seed=1, frames=1)


def test_an_object_that_would_leave_the_field_of_view_while_it_moves_is_refused():
    body = region("target", "muscle", (0, 0), (95, 95), motion="breathing", direction=[0, 1])
    phantom = Phantom.from_text(definition(body))
    scan(phantom, small(fov_m=(0.22, 0.22)), seed=1, seconds=3.0, truth=False)
    with pytest.raises(InputError, match=r"'target': .* reaches 10[5-7]\.. mm"):
        scan(phantom, small(fov_m=(0.21, 0.22)), seed=1, seconds=3.0)


def test_a_target_without_signal_has_no_snr():
    phantom = Phantom.from_text(definition(region("target", "acrylic", (0, 0), (30, 30))))
    with pytest.raises(InputError, match="target 'target' gives no signal"):
        scan(phantom, small(), seed=1, frames=1)
    assert not scan(phantom, small(target_snr=math.inf), seed=1, frames=1).samples.any()


def test_a_field_without_values_is_refused_by_tissue():
    with pytest.raises(InputError, match=r"tissue .* has no values at 7 T"):
        scan(disc(), small(field_t=7.0), seed=1, frames=1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "one of the two"),
        ({"frames": 1, "seconds": 1.0}, "one of the two"),
        ({"frames": 0}, "frames = 0: expected 1 to"),
        ({"frames": 10**9}, "frames = 1000000000: expected 1 to"),
        ({"frames": 1.5}, "frames = 1.5: expected"),
        ({"frames": True}, "frames = True: expected"),
        ({"seconds": 0.0}, "seconds = 0.0: expected"),
        ({"seconds": math.nan}, "seconds = nan: expected"),
        ({"seconds": math.inf}, "seconds = inf: expected"),
        ({"seconds": 1e300}, r"seconds = .*: expected at most 86400"),
        ({"frames": 4_000_000}, "need .* MiB, above 4096: write the scan to a folder"),
        ({"frames": 1, "seed": -1}, "seed = -1: expected"),
        ({"frames": 1, "seed": 2**128}, "seed = 340282366920938463463374607431768211456: expected"),
    ],
)
def test_lengths_and_seeds_that_make_no_sense_are_refused(keys, message):
    with pytest.raises(InputError, match=message):
        scan(disc(), small(), **{"seed": 1} | keys)


@pytest.mark.parametrize("snr", [0.0, -1.0, math.nan])
def test_a_signal_to_noise_ratio_is_positive(snr):
    with pytest.raises(InputError, match="target_snr = "):
        ScanProtocol(target_snr=snr)


def test_the_shipped_phantom_scans_at_every_field():
    for field in (0.5, 1.5, 3.0):
        stream = scan(load_phantom("quasar"), small(field_t=field, fov_m=(0.4, 0.4)), seed=5, seconds=8.0)
        stream.check_finite()
        path = stream.truth.centroid[:, 1]
        assert 0.010 < path.max() - path.min() < 0.020
