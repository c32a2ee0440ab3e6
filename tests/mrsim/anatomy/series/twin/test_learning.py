"""A twin is learnt: it recovers known fields, meets its frames, and is refused where nothing is gained."""

from __future__ import annotations

import numpy as np
import pytest

from mrsim.anatomy.series.patient import Patient, patient_of
from mrsim.anatomy.series.playback import body_of
from mrsim.anatomy.series.series import series_from_arrays
from mrsim.anatomy.series.twin.labels import label_errors, moved_label
from mrsim.anatomy.series.twin.registration import sample_into
from mrsim.anatomy.series.twin.twin import Twin
from mrsim.errors import PhantomError
from tests.mrsim.anatomy.series.cines import SHAPE, STEP_S, cine
from tests.mrsim.anatomy.series.twin.twins import modes, warped

FRAMES = 24


@pytest.fixture(scope="module")
def learnt() -> Patient:
    images, field = warped(FRAMES)
    label = np.zeros(SHAPE, np.bool_)
    label[14:24, 12:22] = True
    labels = np.stack([_carried(label, one) for one in field])
    given = cine(FRAMES, images=images, first_label=None, labels=labels)
    return patient_of(series_from_arrays(**given), 0, twin=True)


def _carried(label: np.ndarray, field: np.ndarray) -> np.ndarray:
    twin = Twin(
        np.zeros(SHAPE, np.float32), field[None].astype(np.float32), np.ones((1, 1)),
        np.zeros((1, 1, *SHAPE), np.float32), label[None], np.arange(2, dtype=np.int64), (1e-3, 1e-3),
    )  # fmt: skip
    return moved_label(twin, 0)


def test_known_fields_are_recovered(learnt: Patient) -> None:
    twin, field = learnt.twin, warped(FRAMES)[1]
    assert twin is not None
    # Nothing has moved in the first frame: so a point of the twin begins where its own field takes it then.
    start = twin.field(twin.values[0])
    error, known = [], np.empty((2, *SHAPE))
    for value, true in zip(twin.values, field, strict=True):
        for axis in (0, 1):
            sample_into(true[axis], start[0], start[1], known[axis])
        error.append(np.hypot(*(twin.field(value) - start - known))[6:-6, 6:-6])
    assert np.ptp(field[:, 0]) > 2.5
    assert np.percentile(error, 95) < 0.2
    assert np.median(error) < 0.06
    assert learnt.record["twin"]["realism"]["modes_left"] < 1e-2
    assert np.sqrt((twin.modes**2).sum(axis=1)).max(axis=(1, 2)) == pytest.approx(np.ones(len(twin.modes)))
    assert len(modes()) <= len(twin.modes) <= 4


def test_frames_are_met_and_errors_are_in_order(learnt: Patient) -> None:
    twin, played, met = learnt.twin, learnt.playback, learnt.record["twin"]["realism"]
    assert twin is not None
    body = body_of(played.images)
    for n in (0, 5, 17, 23):
        image = twin.image(twin.frame_state(n))
        off = ((image - played.images[n])[body] ** 2).sum() / (played.images[n][body] ** 2).sum()
        assert off < 5e-5
    assert met["twin"] < met["moved"] < met["static"] / 5
    assert met["moved_left_out"] < met["static_left_out"] / 3
    assert met["least_stretch"] > 0.25


def test_the_label_goes_with_the_anatomy(learnt: Patient) -> None:
    assert learnt.twin is not None
    errors = label_errors(learnt.playback, learnt.twin)
    assert errors is not None
    assert errors.dice > 0.9
    assert errors.median_px < 0.3


def test_noise_alone_gains_nothing_and_a_still_cine_has_fields_of_none() -> None:
    noise = 1 + np.random.default_rng(1).random((16, *SHAPE))
    given = cine(16, images=noise, first_label=None, seconds=STEP_S * np.arange(16))
    made = patient_of(series_from_arrays(**given), 0, twin=True)
    assert made.twin is None
    assert "nothing is gained by motion" in made.record["twin"]["refused"]
    with pytest.raises(PhantomError, match="it has no twin"):
        made.driven()
    still = patient_of(
        series_from_arrays(**cine(8, images=np.repeat(cine(8)["images"][:1], 8, 0))), 0, twin=True
    )
    assert still.twin is not None
    assert np.abs(still.twin.values).max() < 1e-6
    image = still.twin.image(still.twin.frame_state(3))
    assert np.abs(image - still.playback.images[3]).max() < 1e-6 * image.max()


def test_a_complex_cine_stays_complex() -> None:
    made = patient_of(series_from_arrays(**cine(12, images=cine(12)["images"] * np.exp(0.7j))), 0, twin=True)
    assert made.twin is not None
    assert made.twin.states.shape[1] == 2
    image, frame = made.twin.image(made.twin.frame_state(4)), made.playback.images[4]
    assert np.abs(image - frame).max() < 2e-3 * np.abs(frame).max()
