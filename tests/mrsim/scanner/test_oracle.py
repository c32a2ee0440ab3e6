"""The truth: at any instant, at each frame's last echo, and again from what is stored."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import InputError
from mrsim.scanner.acquisition import scan
from mrsim.scanner.oracle import Oracle, truth_of
from mrsim.stream import Stream, load, save
from tests.mrsim.bodies import chest, image_of, line_by_hand, lujan_m, pixel_centres, small

SEED, FRAMES = 6, 90  # 1.6 s: half a breath


@pytest.fixture(scope="module")
def stream() -> Stream:
    return scan(chest(), small(), seed=SEED, frames=FRAMES)


@pytest.fixture(scope="module")
def oracle(stream: Stream) -> Oracle:
    return Oracle(chest(), stream.header, SEED)


def test_what_is_stored_is_the_truth_at_the_echo_of_each_frames_last_line(stream, oracle):
    for frame in range(0, FRAMES, 7):
        last = (frame + 1) * 8 - 1
        t_ns = last * 2_200_000 + 1_100_000
        assert stream.t_ns[last] == t_ns
        assert stream.truth.image[frame].tobytes() == oracle.image(t_ns).tobytes()
        assert stream.truth.mask[frame].tobytes() == oracle.mask("target", t_ns).tobytes()
        np.testing.assert_array_equal(stream.truth.centroid[last], oracle.centroid("target", t_ns))


@pytest.mark.parametrize("matrix", [(32, 40), (31, 37)])
def test_an_image_is_the_transform_of_all_rows_at_one_instant(matrix):
    protocol = small(matrix=matrix)
    oracle = Oracle(chest(), protocol.header(), SEED)
    ny = matrix[0]
    for t_ns in (0, 777_777_777, 1_500_000_000):
        kspace = np.stack([line_by_hand(k - ny // 2, t_ns, protocol) for k in range(ny)])
        np.testing.assert_allclose(oracle.image(t_ns), image_of(kspace), rtol=0, atol=1e-6 * 0.2)


def test_the_image_differs_from_that_of_the_frames_first_line(stream, oracle):
    """What the tests above hold is not held by a still phantom."""
    frame = 42  # at full speed
    early = oracle.image(int(stream.t_ns[frame * 8]))
    assert np.abs(early - stream.truth.image[frame]).max() > 1e-3


def test_displacement_and_centroid_are_the_motion_by_hand(stream):
    assert stream.truth.regions == ("body", "lung", "target", "seed", "heart")
    value = np.array([lujan_m(int(t)) for t in stream.t_ns])
    still, up, askew = (
        np.zeros((len(value), 2)),
        np.stack([0 * value, value], -1),
        value[:, None] * [0.3, 0.5],
    )
    expected = np.stack([still, still, up, up, askew], axis=1)
    np.testing.assert_allclose(stream.truth.displacement, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(stream.truth.centroid, up + np.array([-0.052, -0.012]), rtol=0, atol=1e-12)


def test_the_mask_has_the_area_and_the_centroid_of_the_target():
    protocol = small(matrix=(256, 256), fov_m=(0.3, 0.3))
    oracle = Oracle(chest(), protocol.header(), SEED)
    x, y = (np.broadcast_to(a, (256, 256)) for a in pixel_centres(protocol))
    for t_ns in (0, 700_000_000, 1_500_000_000):
        mask = oracle.mask("target", t_ns)
        area = math.pi * 0.014 * 0.011
        assert mask.sum() * (0.3 / 256) ** 2 == pytest.approx(area, rel=0.02)
        expected = (-0.052, -0.012 + lujan_m(t_ns))
        assert oracle.centroid("target", t_ns) == pytest.approx(expected, abs=1e-12)
        assert (x[mask].mean(), y[mask].mean()) == pytest.approx(expected, abs=3e-4)


def test_the_mask_of_what_deforms_deforms():
    protocol = small(matrix=(256, 256), fov_m=(0.3, 0.3))
    oracle = Oracle(chest(), protocol.header(), SEED)
    rest, full = (oracle.mask("heart", t).sum() for t in (0, 1_500_000_000))
    # At 12 mm: 18 % longer along x and 12 % shorter along y.
    assert full / rest == pytest.approx(1.18 * 0.88, abs=0.005)


def test_the_mask_lies_on_what_is_bright_in_the_image():
    """The tumour in the lung: inside the mask the image is the tumour's, around it the lung's."""
    protocol = small(matrix=(96, 96), fov_m=(0.3, 0.3))
    oracle = Oracle(chest(), protocol.header(), SEED)
    for t_ns in (0, 1_500_000_000):
        image, mask = np.abs(oracle.image(t_ns)), oracle.mask("target", t_ns)
        grown = sum(np.roll(mask, s, a) for s in (-4, 4) for a in (0, 1)).astype(bool) | mask
        assert np.median(image[mask]) > 2.5 * np.median(image[grown & ~mask])


def test_the_centroid_between_echoes_is_within_10_micrometres(stream, oracle):
    t_ns = np.random.default_rng(2).integers(stream.t_ns[0], stream.t_ns[-1], 3000)
    error = stream.truth.centroid_at(t_ns, stream.header) - oracle.centroid("target", t_ns)
    assert np.abs(error).max() < 1e-5


def test_a_scan_of_the_shipped_phantom_interpolates_as_well():
    stream = scan(load_phantom("quasar"), small(fov_m=(0.4, 0.4)), seed=3, seconds=12.0)
    t_ns = np.random.default_rng(2).integers(stream.t_ns[0], stream.t_ns[-1], 10_000)
    error = stream.truth.centroid_at(t_ns, stream.header) - truth_of(stream).centroid("target", t_ns)
    assert np.abs(error).max() < 1e-5


def test_the_truth_is_made_again_from_the_stored_stream(stream, oracle, tmp_path):
    again = truth_of(load(save(stream, tmp_path / "a.stream")))
    assert again.phantom == oracle.phantom
    t_ns = 1_234_567_890
    assert again.image(t_ns).tobytes() == oracle.image(t_ns).tobytes()
    assert again.mask("seed", t_ns).tobytes() == oracle.mask("seed", t_ns).tobytes()
    assert again.lines(stream.ky, stream.t_ns).tobytes() == oracle.lines(stream.ky, stream.t_ns).tobytes()


def test_what_does_not_say_how_it_was_made_cannot_be_made_again(stream):
    with pytest.raises(InputError, match="does not say how it was made"):
        truth_of(dataclasses.replace(stream, provenance=None))
    broken = dataclasses.replace(stream.provenance, phantom_text="title = 3")
    with pytest.raises(InputError, match="phantom_text: title = 3"):
        truth_of(dataclasses.replace(stream, provenance=broken))


def test_an_unknown_region_is_named(oracle):
    with pytest.raises(InputError, match="region 'ghost' is not known; known: body, lung"):
        oracle.mask("ghost", 0)
    with pytest.raises(InputError, match="region 'ghost' is not known"):
        oracle.centroid("ghost", 0)
