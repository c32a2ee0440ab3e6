"""How coils see what a scan shows, where tissue from beyond the field of view folds in, too."""

from __future__ import annotations

import numpy as np
import pytest

import mrsim
from mrsim.reception.coil_fit import FittedCoils
from mrsim.scanner.channels import Channels, channels_of
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.receiver import Receiver
from mrsim.scanner.scenes import load_body
from mrsim.stream import Stream
from mrsim.stream.fourier import to_image

PATIENT, MATRIX = "v2/patient1-day2", (64, 64)


@pytest.fixture(scope="module")
def instant() -> Stream:
    """Return all rows of one instant, as eight coils see a body that goes on head to feet, without noise."""
    return mrsim.simulate(
        PATIENT, frames=1, acceleration=1, sampler="full", order="ascending", timing="retrospective",
        matrix=MATRIX, coils=8, field_t=0.5, target_snr=float("inf"), seed=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def channels(instant: Stream) -> Channels:
    assert instant.provenance is not None
    return channels_of(instant.header, instant.provenance)


@pytest.fixture(scope="module")
def unfolded() -> np.ndarray:
    """Return the sensitivities at the pixels themselves, whatever folds in there."""
    receiver = Receiver.around(load_body(PATIENT), ScanProtocol(matrix=MATRIX, coils=8))
    assert isinstance(receiver.fitted, FittedCoils)
    pixels = (np.arange(64) - 32) * ScanProtocol().fov_m[0] / 64
    return receiver.fitted.sensitivity(pixels[None, :], pixels[:, None])


def coil_images(instant: Stream) -> np.ndarray:
    rows = np.empty((8, *MATRIX), np.complex128)
    rows[:, np.asarray(instant.ky) + 32] = np.asarray(instant.samples).transpose(1, 0, 2)
    return to_image(rows)


def off(instant: Stream, sensitivity: np.ndarray, rows: slice) -> float:
    """Return the energy by which coils differ from truth times sensitivity, relative, in some rows."""
    assert instant.truth is not None
    seen, said = coil_images(instant), sensitivity * instant.truth.image[0]
    return float(np.sum(np.abs(seen - said)[:, rows] ** 2) / np.sum(np.abs(seen[:, rows]) ** 2))


def test_where_tissue_folds_in_each_place_counts_with_its_own_sensitivity(
    instant: Stream, channels: Channels, unfolded: np.ndarray
) -> None:
    """The first rows hold the neck, and from beyond the feet's end the belly."""
    head = slice(0, 6)
    assert off(instant, unfolded, head) > 0.02
    assert off(instant, channels.sensitivity, head) < 0.2 * off(instant, unfolded, head)
    assert off(instant, channels.sensitivity, slice(None)) < 0.005


def test_where_nothing_folds_in_it_is_the_sensitivity_of_the_pixel(
    channels: Channels, unfolded: np.ndarray
) -> None:
    assert np.array_equal(channels.sensitivity[:, 16:50], unfolded[:, 16:50])


def test_the_combination_of_what_coils_see_is_the_truth_so_shaded(
    instant: Stream, channels: Channels
) -> None:
    assert instant.truth is not None
    combined = np.sqrt((np.abs(coil_images(instant)) ** 2).sum(0))
    true = np.abs(instant.truth.image[0]) * channels.shading
    assert np.sum((combined - true) ** 2) < 2e-3 * np.sum(true**2)
