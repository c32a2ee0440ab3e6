"""NMSE is against the truth as a candidate's combination shows it, beside that of a fully sampled image."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.special import ive

import harness
import mrsim
from harness.comparison.single_pass import Ground, play
from harness.measure.shown import nmse_of_full, shown_as
from harness.session.replay import replay
from mrsim.errors import InputError
from mrsim.stream import Header, Stream
from recon.classical.zero_filled import ViewSharing
from recon.coils.sensitivities import prescan_sensitivities
from recon.fourier import to_image
from recon.protocol import ROOT_SUM, UNIFORM, Emit, FrameAdapter

STILL = {"motion.breathing.amplitude_mm": 0}


def scan(coils: int, snr: float, frames: int = 12) -> Stream:
    return mrsim.simulate(
        "quasar", frames=frames, acceleration=2, coils=coils, target_snr=snr, seed=3, matrix=(64, 64),
        overrides=STILL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def clean() -> Stream:
    return scan(8, math.inf)


@pytest.fixture(scope="module")
def noisy() -> Stream:
    return scan(8, 20.0)


class Silent(ViewSharing):
    """Says nothing of its coils."""

    combination = UNIFORM


def test_the_root_of_the_sum_of_squares_has_no_error_of_shading(clean: Stream) -> None:
    """Nothing moves and there is no noise: what is left is the fit of the image by its pixels."""
    told = replay(clean, ViewSharing, clock="virtual", beams=()).quality
    silent = replay(clean, Silent, clock="virtual", beams=()).quality
    assert told is not None
    assert silent is not None
    assert (told.combination, silent.combination) == (ROOT_SUM, UNIFORM)
    assert told.nmse[-4:].mean() < 1e-3
    assert silent.nmse[-4:].mean() > 0.03
    assert told.ssim[-4:].mean() > 0.99 > silent.ssim[-4:].mean()


def test_a_candidate_may_take_sensitivities_from_the_prescan_and_show_a_uniform_coil(noisy: Stream) -> None:
    class Sense:
        def open(self, header: Header, emit: Emit) -> None:
            maps = prescan_sensitivities(header)
            assert maps is not None
            self._inner = FrameAdapter(lambda kspace, _: (maps.conj() * to_image(kspace)).sum(0))
            self._inner.open(header, emit)

        def push(self, readout) -> None:
            self._inner.push(readout)

        def close(self) -> None:
            self._inner.close()

    found = replay(noisy, Sense, clock="virtual", beams=()).quality
    assert found is not None
    assert found.combination == UNIFORM


def test_a_lockstep_comparison_judges_alike(clean: Stream) -> None:
    ground = Ground(clean, 6, 10)
    told, silent = (play(ground, one(), "one", service_ms=0.0) for one in (ViewSharing, Silent))
    assert (told.combination, silent.combination) == (ROOT_SUM, UNIFORM)
    assert np.mean([s.nmse for s in told.scores]) < 1e-3 < np.mean([s.nmse for s in silent.scores])


@pytest.mark.parametrize("coils", [1, 8])
def test_the_nmse_of_a_fully_sampled_image_is_that_of_its_noise(coils: int) -> None:
    """By the mean of a Rician magnitude, pixel by pixel: E (m - t)^2 = 2 t^2 + 2 s^2 - 2 t E m."""
    stream = scan(coils, 20.0, 6)
    assert stream.provenance is not None
    assert stream.truth is not None
    shown = shown_as(stream, UNIFORM)
    t = np.abs(stream.truth.image[0]).astype(np.float64)
    s = np.full(t.shape, stream.provenance.noise_std / math.sqrt(2))
    if shown.channels is not None:
        s = s * shown.channels.least_noise
    x = t**2 / (4 * s**2)  # Rice 1944
    mean = s * math.sqrt(math.pi / 2) * ((1 + 2 * x) * ive(0, x) + 2 * x * ive(1, x))
    expected = (2 * t**2 + 2 * s**2 - 2 * t * mean).sum() / (t**2).sum()
    assert nmse_of_full(shown, np.arange(6)) == pytest.approx(expected, rel=0.05)


def test_of_several_coils_it_is_that_of_all_their_lines(noisy: Stream) -> None:
    """A scan of the same still body, all rows, is combined: its NMSE is the stated one."""
    full = mrsim.simulate(
        "quasar", frames=8, acceleration=1, sampler="full", coils=8, seed=3, matrix=(64, 64), overrides=STILL
    )
    quality = replay(full, ViewSharing, clock="virtual", beams=()).quality
    assert quality is not None
    assert quality.nmse_full == pytest.approx(quality.nmse.mean(), rel=0.05)
    assert nmse_of_full(shown_as(noisy, ROOT_SUM), np.arange(4)) == pytest.approx(quality.nmse_full, rel=0.05)


def test_it_stands_beside_the_nmse_and_is_not_told_where_the_noise_is_not_known(noisy: Stream) -> None:
    result = replay(noisy, ViewSharing, clock="virtual", beams=())
    assert f"(fully sampled {result.quality.nmse_full:.2g})" in repr(result)
    assert "fully sampled" in repr(result.quality)
    assert result.to_json()["quality"]["nmse_full"] == result.quality.nmse_full
    assert result.to_json()["combination"] == ROOT_SUM
    foreign = dataclasses.replace(noisy, provenance=None)
    assert shown_as(foreign, ROOT_SUM).shading is None  # its coils are not known: as a uniform coil shows it
    assert nmse_of_full(shown_as(foreign, ROOT_SUM), np.arange(3)) is None


def test_one_coil_is_judged_as_ever_and_nonsense_is_refused() -> None:
    one = scan(1, 20.0, 8)
    assert shown_as(one, ROOT_SUM).shading is None
    said, silent = (harness.replay(one, c, clock="virtual").quality.nmse for c in (ViewSharing, Silent))
    assert said.tobytes() == silent.tobytes()

    class Odd(ViewSharing):
        combination = "loud"

    with pytest.raises(InputError, match="combination = 'loud': expected uniform or root-sum-of-squares"):
        harness.replay(one, Odd, clock="virtual")


def test_an_option_says_it_for_any_candidate(clean: Stream) -> None:
    said = harness.replay(clean, "zero-filled?combine=uniform", clock="virtual").quality
    itself = harness.replay(clean, "zero-filled", clock="virtual").quality
    assert (said.combination, itself.combination) == (UNIFORM, ROOT_SUM)
    with pytest.raises(InputError, match="combine='loud': expected one of uniform, root-sum-of-squares"):
        harness.replay(clean, "zero-filled?combine=loud", clock="virtual")
