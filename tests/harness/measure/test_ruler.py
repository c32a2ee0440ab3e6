"""The judge's own error is what it tells of the truth itself, and is taken out of what it tells of others."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import harness.measure.finding.segmentation
from harness.measure.finding.outline import Outline
from harness.measure.finding.segmentation import TargetFinder, finder_of
from harness.measure.image_quality import Quality, assess
from harness.measure.lag import Lag
from harness.measure.ruler import Ruler, dice_to_full, full_image, measure_ruler
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from mrsim.errors import InputError
from mrsim.stream import Stream
from tests.harness.synthetic import Drawn, moving_stream

FRAMES = np.arange(20, 150)


@pytest.fixture(scope="module")
def stream() -> Stream:
    return moving_stream()


def assessed(stream: Stream, draw: Drawn) -> Quality:
    run = replay(stream, draw, VirtualClock())
    quality = assess(stream, run, measure(run))
    assert quality is not None
    return quality


def test_it_is_what_is_told_of_the_truth_itself(stream: Stream) -> None:
    assert stream.truth is not None
    image = stream.truth.image
    quality = assessed(stream, Drawn(lambda frame: image[frame]))
    ruler = quality.ruler
    assert ruler is not None
    assert ruler.images == len(quality.frames)
    assert ruler.not_found == 0
    assert ruler.dice == pytest.approx(quality.dice.mean())
    assert ruler.p95_m == quality.last_line.p95
    assert ruler.lag.tau_ns == pytest.approx(quality.lag.tau_ns, abs=1)
    assert ruler.lag.gain == pytest.approx(quality.lag.gain)
    assert quality.lag_without_ruler is not None
    assert quality.lag_without_ruler.tau_ns == pytest.approx(0, abs=1)
    assert quality.lag_without_ruler.gain == pytest.approx(1)
    assert ruler.method == finder_of(stream.truth, stream.header).method


def larger_masks(stream: Stream) -> Stream:
    """Return the scan with every mask a pixel larger all around."""
    assert stream.truth is not None
    mask = stream.truth.mask
    for shift, axis in ((1, 1), (-1, 1), (1, 2), (-1, 2)):
        mask = mask | np.roll(stream.truth.mask, shift, axis=axis)
    return dataclasses.replace(stream, truth=dataclasses.replace(stream.truth, mask=mask))


def test_an_outline_that_is_too_small_shows_in_its_area(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.measure.finding.segmentation, "Registration", Outline)
    grown = larger_masks(stream)
    assert grown.truth is not None
    ruler = measure_ruler(grown, FRAMES)
    assert ruler is not None
    finder = TargetFinder(grown.truth, grown.header)
    ratios, shares = [], []
    for frame in FRAMES:
        segment, true = finder.find(np.abs(grown.truth.image[frame])), grown.truth.mask[frame]
        assert segment is not None
        both = (segment.mask & true[finder.window]).sum()
        ratios.append(segment.mask.sum() / true.sum())
        shares.append(2 * both / (segment.mask.sum() + true.sum()))
    assert ruler.area_ratio == pytest.approx(np.mean(ratios))
    assert ruler.area_ratio < 0.75
    assert ruler.dice == pytest.approx(np.mean(shares))


def test_its_delay_and_gain_are_taken_out() -> None:
    own = Lag(-20e6, 0.8, 1e-4, None, "")
    ruler = Ruler("outline", 1e-4, 0.93, 0.88, 2e-4, 100, 0, own)
    told = Lag(100e6, 0.6, 2e-4, (90e6, 115e6), "gain", (0.4, 0.72), (1e-4, 3e-4))
    out = ruler.taken_out_of(told)
    assert (out.tau_ns, out.interval_ns) == (120e6, (110e6, 135e6))
    assert out.gain == pytest.approx(0.75)
    assert out.gain_interval == pytest.approx((0.5, 0.9))
    assert (out.residual_m, out.residual_interval_m, out.reason) == (2e-4, (1e-4, 3e-4), "gain")
    none = Lag(None, None, None, None, "the target moves by less than 0.2 mm")
    assert ruler.taken_out_of(none) is none
    blind = dataclasses.replace(ruler, lag=none).taken_out_of(dataclasses.replace(told, reason=""))
    assert (blind.tau_ns, blind.gain, blind.interval_ns, blind.claimed_ns) == (None, None, None, None)
    assert none.reason in blind.reason


def test_what_was_found_once_is_kept(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = dataclasses.replace(stream, truth=dataclasses.replace(stream.truth))
    first = measure_ruler(fresh, FRAMES[:50])
    dice = dice_to_full(fresh, FRAMES[:50], [None] * 50, seed=3)
    calls: list[object] = []
    find = TargetFinder.find
    monkeypatch.setattr(TargetFinder, "find", lambda self, image: calls.append(0) or find(self, image))
    assert measure_ruler(fresh, FRAMES[:50]) == first
    assert np.array_equal(dice_to_full(fresh, FRAMES[:50], [None] * 50, seed=3), dice)
    assert calls == []
    more = measure_ruler(fresh, FRAMES[:60])
    assert more is not None
    assert more.images == 60
    assert len(calls) == 10
    dice_to_full(fresh, FRAMES[:50], [None] * 50, seed=4)  # noise of another seed is another image
    assert len(calls) == 60


def test_no_target_has_no_ruler(stream: Stream) -> None:
    assert stream.truth is not None
    empty = dataclasses.replace(stream.truth, mask=np.zeros_like(stream.truth.mask))
    bare = dataclasses.replace(stream, truth=empty)
    assert measure_ruler(bare, FRAMES) is None
    assert np.isnan(dice_to_full(bare, FRAMES[:3], [None] * 3)).all()
    assert measure_ruler(stream, FRAMES[:0]) is None
    with pytest.raises(InputError, match="needs the truth"):
        measure_ruler(dataclasses.replace(stream, truth=None), FRAMES)


def test_a_target_that_is_lost_is_counted(stream: Stream) -> None:
    assert stream.truth is not None
    image = stream.truth.image.copy()
    image[30:40] = 0
    ruler = measure_ruler(
        dataclasses.replace(stream, truth=dataclasses.replace(stream.truth, image=image)), FRAMES
    )
    assert ruler is not None
    assert ruler.not_found == 10
    assert math.isinf(ruler.p95_m)  # a tenth of them


def test_dice_to_full_is_the_overlap_with_the_noisy_image(stream: Stream) -> None:
    assert stream.truth is not None
    assert stream.provenance is not None
    noisy = dataclasses.replace(
        stream,
        provenance=dataclasses.replace(stream.provenance, noise_std=0.2),
        truth=dataclasses.replace(stream.truth),
    )
    assert noisy.truth is not None
    finder = finder_of(noisy.truth, noisy.header)
    masks = []
    for frame in FRAMES[:20]:
        segment = finder.find(np.abs(full_image(noisy, int(frame), 7)))
        masks.append(None if segment is None else segment.mask)
    assert sum(mask is not None for mask in masks) > 15
    dice = dice_to_full(noisy, FRAMES[:20], masks, seed=7)
    assert dice[~np.isnan(dice)] == pytest.approx(1)
    assert np.isnan(dice).sum() == sum(mask is None for mask in masks)
    other = dice_to_full(noisy, FRAMES[:20], [np.roll(m, 2, axis=0) for m in masks], seed=7)
    shifted = [2 * (m & np.roll(m, 2, axis=0)).sum() / (2 * m.sum()) for m in masks]
    assert other == pytest.approx(np.array(shifted))
    assert dice_to_full(noisy, FRAMES[:20], [None] * 20, seed=7).tolist() == [0.0] * 20


def test_quality_tells_the_abstracts_dice_and_the_challenges_measures(stream: Stream) -> None:
    assert stream.truth is not None
    image = stream.truth.image
    quality = assessed(stream, Drawn(lambda f: np.zeros((64, 64)) if f % 10 == 0 else image[max(f - 1, 0)]))
    lost = quality.frames % 10 == 0
    assert (quality.dice_segmented[lost] == 0).all()
    # Without noise the fully sampled image is the truth, so that only the ruler's own error is between them.
    assert quality.dice_segmented[~lost].mean() == pytest.approx(quality.dice[~lost].mean(), abs=0.02)
    told = quality.trackrad
    assert told is not None
    assert told.dice_similarity_coefficient == pytest.approx(quality.dice.mean())
    assert (told.images, told.not_found) == (len(lost), lost.sum())
    assert told.runtime is not None
    assert told.center_distance > 400 * lost.mean()
