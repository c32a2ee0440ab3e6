"""A cine of magnitudes gets a smooth phase that is stated, and is scanned with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mrsim
from mrsim.anatomy.series.patient import patient_of
from mrsim.anatomy.series.phase import smooth_phase, with_phase
from mrsim.anatomy.series.series import series_from_arrays
from mrsim.errors import PhantomError
from mrsim.stream.fourier import to_image, to_kspace
from tests.mrsim.anatomy.series.cines import SHAPE, cine

OWN = {"matrix": SHAPE, "fov_m": (SHAPE[0] * 3e-3, SHAPE[1] * 2.5e-3)}
DEG = 120.0


def test_a_phase_is_smooth_and_within_its_bound() -> None:
    phase = np.degrees(smooth_phase((176, 140), DEG))
    assert 0.8 * DEG < np.abs(phase).max() <= DEG
    # No step between pixels is more than the waves' steepest slope allows.
    for axis, n in ((0, 176), (1, 140)):
        assert np.abs(np.diff(phase, axis=axis)).max() <= DEG / 2 * 1.25 * np.pi * 2 / n
    # It is neither even nor odd, and does not change when the image is finer.
    assert np.abs(phase - phase[::-1, ::-1]).max() > DEG / 4
    assert np.abs(phase + phase[::-1, ::-1]).max() > DEG / 4
    finer = np.degrees(smooth_phase((352, 280), DEG)).reshape(176, 2, 140, 2).mean(axis=(1, 3))
    assert np.abs(finer - phase).max() < 0.05


@pytest.mark.parametrize("timing", ["prospective", "retrospective"])
def test_a_full_scan_shows_the_magnitudes_and_the_stated_phase(timing: str) -> None:
    series = series_from_arrays(**cine())
    made = patient_of(with_phase(series, DEG), 0)
    scan = mrsim.simulate(
        made, frames=3, acceleration=1, sampler="full", order="ascending", target_snr=np.inf,
        timing=timing, tr_ns=10_000_000, seed=1, **OWN,
    )  # fmt: skip
    assert scan.truth is not None
    turned = np.exp(1j * smooth_phase(SHAPE, DEG))
    played = patient_of(series, 0).playback
    ny = SHAPE[0]
    for n in range(3):
        of_frame = slice(n * ny, (n + 1) * ny)
        # Every line is that of the instant it was taken at: its own, or that of the frame's last.
        times = scan.t_ns[of_frame] if timing == "prospective" else np.repeat(scan.t_ns[(n + 1) * ny - 1], ny)
        expected = np.zeros(SHAPE, np.complex128)
        for row, t in zip(scan.ky[of_frame], times, strict=True):
            expected[row + ny // 2] = to_kspace(played.image(int(t)) * turned)[row + ny // 2]
        lines = np.zeros(SHAPE, np.complex128)
        lines[scan.ky[of_frame] + ny // 2] = scan.samples[of_frame, 0]
        assert np.abs(lines - expected).max() < 1e-6 * np.abs(expected).max()
        image = scan.truth.image[n]
        at_last = played.image(int(scan.t_ns[(n + 1) * ny - 1]))
        assert np.abs(image - at_last * turned).max() < 1e-5 * at_last.max()
        if timing == "retrospective":
            assert np.abs(to_image(lines) - image).max() < 1e-5 * at_last.max()
    # Half of k-space no longer tells the other half, as it does for real images.
    for body, least, most in ((played.images[0], 0, 1e-6), (made.playback.images[0], 0.1, 2)):
        k = to_kspace(body.astype(np.complex128))[1:, 1:]
        assert least <= np.linalg.norm(k - k[::-1, ::-1].conj()) / np.linalg.norm(k) < most


def test_the_phase_stands_still_while_a_twin_moves_as_recorded() -> None:
    made = patient_of(with_phase(series_from_arrays(**cine(24)), DEG), 0, twin=True)
    twin = made.twin
    assert twin is not None
    for frame in (3, 9, 20):
        image, stored = twin.image(twin.frame_state(frame)), made.playback.images[frame]
        bright = np.abs(stored) > 0.2 * np.abs(stored).max()
        away = np.angle(image * np.exp(-1j * smooth_phase(SHAPE, DEG)))[bright]
        assert np.abs(np.degrees(away)).max() < 1.0
    assert np.abs(twin.values).max() > 1


def test_a_phase_is_stated_and_nothing_else_changes(tmp_path: Path) -> None:
    np.savez(tmp_path / "cine.npz", **cine(24))
    plain = mrsim.prepare_patient(tmp_path / "cine.npz", tmp_path / "plain", twin=False)
    turned = mrsim.prepare_patient(tmp_path / "cine.npz", tmp_path / "turned", twin=False, phase_deg=DEG)
    told = "a synthetic phase within 120 degrees either way was added"
    assert told in json.loads((tmp_path / "turned" / "patient.json").read_text())["notes"]
    assert plain.record["notes"] == []
    np.testing.assert_allclose(np.abs(turned.playback.images), np.abs(plain.playback.images), atol=1e-6)
    np.testing.assert_allclose(turned.playback.path_px, plain.playback.path_px, atol=1e-5)


def test_what_has_a_phase_keeps_it() -> None:
    own = series_from_arrays(**cine(12, images=cine(12)["images"] * np.exp(0.7j)))
    assert with_phase(own, 0.0) is own
    with pytest.raises(PhantomError, match="complex and keep their own phase; leave phase_deg out"):
        with_phase(own, 90.0)
    for wrong in (-1.0, 361.0, float("nan")):
        with pytest.raises(PhantomError, match=r"phase_deg = .*: expected 0 to 360"):
            with_phase(own, wrong)
