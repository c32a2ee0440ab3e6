"""Both engines see the same phantom, still or moving; what only the Bloch engine sees is there, too."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mrsim.anatomy.phantom import Phantom
from mrsim.errors import InputError
from mrsim.physics.steady_state import tissue_signal
from mrsim.physics.tissue import tissue
from mrsim.scanner.acquisition import scan
from mrsim.scanner.oracle import truth_of
from mrsim.scanner.protocol import ScanProtocol
from mrsim.spins.filling import spins_of
from mrsim.spins.isochromat_scan import catalysed, scan_isochromats
from mrsim.spins.off_resonance import FieldMap

TEXT = """
title = "an oval with a moving disc in a breathing hollow"
target = "disc"
[motion.breathing]
kind = "breathing"
amplitude_mm = 12
period_s = 1.5
[[region]]
name = "rim"
tissue = "fat"
center_mm = [0, 0]
semi_axes_mm = [84, 72]
[[region]]
name = "oval"
tissue = "liver"
parent = "rim"
center_mm = [0, 0]
semi_axes_mm = [78, 66]
[[region]]
name = "hollow"
tissue = "muscle"
parent = "oval"
center_mm = [-10, 0]
semi_axes_mm = [52, 40]
motion = "breathing"
stretch_percent_per_mm = [0.4, 0.9]
[[region]]
name = "disc"
tissue = "liver"
parent = "hollow"
center_mm = [-14, -6]
semi_axes_mm = [14, 12]
motion = "breathing"
direction = [0.3, 1]
[[region]]
name = "core"
tissue = "fat"
parent = "disc"
center_mm = [-14, -6]
semi_axes_mm = [6, 6]
"""
PROTOCOL = ScanProtocol((48, 48), (0.2, 0.2), acceleration=4, target_snr=math.inf, flip_rad=0.6)
STILL = ("amplitude_mm = 12", "amplitude_mm = 0")
LONG = 3500  # dummy TRs: eight T1 of muscle


@pytest.fixture(scope="module")
def moving() -> Phantom:
    return Phantom.from_text(TEXT)


@pytest.mark.parametrize("stands", [True, False])
def test_engines_agree_as_spins_are_added(stands):
    phantom = Phantom.from_text(TEXT.replace(*STILL) if stands else TEXT)
    analytic = scan(phantom, PROTOCOL, seed=3, frames=40)
    energy = []
    for spins in (64, 128, 256):
        bloch = scan_isochromats(phantom, PROTOCOL, seed=3, frames=40, spins=spins, catalysation=LONG)
        assert np.array_equal(bloch.ky, analytic.ky)
        assert np.array_equal(bloch.truth.image, analytic.truth.image)
        assert np.array_equal(bloch.truth.displacement, analytic.truth.displacement)
        gone = np.abs(bloch.samples - analytic.samples).astype(float)
        energy.append(np.sum(gone**2) / np.sum(np.abs(analytic.samples).astype(float) ** 2))
    assert energy[-1] < 0.005
    slope = np.polyfit(np.log([64, 128, 256]), np.log(energy), 1)[0]
    assert -4 < slope < -2
    if not stands:
        assert np.ptp(analytic.truth.displacement[:, 3, 1]) > 0.008
        rest = scan(Phantom.from_text(TEXT.replace(*STILL)), PROTOCOL, seed=3, frames=40)
        unmoved = np.sum(np.abs(rest.samples - analytic.samples) ** 2) / np.sum(np.abs(rest.samples) ** 2)
        assert unmoved > 10 * energy[-1]  # the engines agree on the motion, not only on what stands


def test_spins_carry_what_the_regions_do(moving):
    """In sum over what rides together, every tissue has its area, and what slides leaves no hole."""
    spins = spins_of(moving, PROTOCOL, 512)
    scale = 48 / 0.2**2
    first = {"rim": 0, "hollow": 2, "disc": 3}
    region = {r.name: r for r in moving.regions}
    fat, liver, muscle = (tissue(n, 3.0) for n in ("fat", "liver", "muscle"))

    def amount(lead, material):
        mine = (spins.region == first[lead]) & (spins.t1_s == material.t1_s)
        return spins.weight[mine].sum() / (scale * material.pd)

    area = {name: r.shape.area for name, r in region.items()}
    expected = [
        ("rim", fat, area["rim"] - area["oval"]),
        ("rim", liver, area["oval"]),
        ("hollow", muscle, area["hollow"]),
        ("hollow", liver, -area["hollow"]),
        ("disc", liver, area["disc"] - area["core"]),
        ("disc", fat, area["core"]),
        ("disc", muscle, -area["disc"]),
    ]
    for lead, material, of in expected:
        assert math.isclose(amount(lead, material), of, rel_tol=0.02), (lead, material.name)
    assert set(spins.region) == set(first.values())


def test_transient_is_seen_without_catalysation(moving):
    full = dataclasses.replace(PROTOCOL, acceleration=1, sampler="full", order="ascending")
    jitter = {}
    for catalysation in ("none", "alpha/2"):
        stream = scan_isochromats(
            moving, full, seed=1, frames=1, spins=64, catalysation=catalysation, truth=False
        )
        steady = scan_isochromats(moving, full, seed=1, frames=1, spins=64, catalysation=LONG, truth=False)
        jitter[catalysation] = np.abs(stream.samples).sum() / np.abs(steady.samples).sum()
    assert abs(jitter["none"] - 1) > 0.1
    assert abs(jitter["alpha/2"] - 1) > 0.1


def test_bands_are_dark_and_move_with_the_breath():
    """A field that rises along x has a null where it reaches 1 / (2 TR); the breath shifts it."""
    text = """
title = "a disc"
target = "disc"
[motion.breathing]
kind = "breathing"
amplitude_mm = 10
period_s = 2
phase = 0.5
[[region]]
name = "disc"
tissue = "muscle"
center_mm = [0, 0]
semi_axes_mm = [80, 80]
motion = "breathing"
"""
    full = ScanProtocol(
        (48, 48), (0.2, 0.2), acceleration=1, sampler="full", target_snr=math.inf, flip_rad=0.6
    )
    null = 0.5 / 2.2e-3
    band = {}
    for per_m in (0.0, 50 / 0.01):  # 50 Hz at end-inhale, where the scan starts
        field = FieldMap((0, null / 0.04, 0, 0, 0, 0), (per_m, 0, 0, 0, 0, 0))
        stream = scan_isochromats(
            Phantom.from_text(text),
            full,
            seed=2,
            frames=1,
            spins=128,
            catalysation=2000,
            field=field,
            truth=False,
        )
        kspace = np.zeros((48, 48), complex)
        kspace[stream.ky + 24] = stream.samples[:, 0]
        image = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace))))[18:30].mean(axis=0)
        x = (np.arange(48) - 24) * 0.2 / 48
        part = (x > 0.015) & (x < 0.06)
        band[per_m] = float(x[part][np.argmin(image[part])])
        assert image[part].min() < 0.5 * np.median(image[np.abs(x) < 0.06])
    assert math.isclose(band[0.0], 0.04, abs_tol=0.0045)
    assert math.isclose(band[5000.0], 0.04 * (1 - 50 / null), abs_tol=0.0045)


def test_stream_says_who_made_it_and_is_reproduced(moving):
    noisy = dataclasses.replace(PROTOCOL, target_snr=20.0)
    one, two = (scan_isochromats(moving, noisy, seed=9, frames=3, spins=64) for _ in range(2))
    assert one.samples.tobytes() == two.samples.tobytes()
    assert one.provenance.engine == "isochromats"
    assert np.array_equal(truth_of(one).image(int(one.t_ns[11])), one.truth.image[0])
    clean = scan_isochromats(moving, PROTOCOL, seed=9, frames=3, spins=64, truth=False)
    noise = one.samples - clean.samples
    sigma = abs(tissue_signal(tissue("liver", 3.0), 0.6, 2_200_000, 1_100_000)) / 20
    assert math.isclose(noise.real.std(), sigma, rel_tol=0.06)


def test_t2_prime_is_spread_over_spins_at_one_place(moving):
    plain, spread = (
        spins_of(moving, PROTOCOL, 32),
        spins_of(moving, PROTOCOL, 32, t2_prime_s=0.02, sub_spins=4),
    )
    assert len(spread) == 4 * len(plain)
    assert math.isclose(spread.weight.sum(), plain.weight.sum(), rel_tol=1e-12)
    assert math.isclose(spread.shift_hz.mean(), plain.shift_hz.mean(), rel_tol=1e-9)


def test_catalysation_is_named(moving):
    header = PROTOCOL.header()
    assert catalysed(header, "alpha/2").half_flip
    assert not catalysed(header, "none").half_flip
    assert catalysed(header, 7).dummies == 7
    for wrong in ("beta", True, 2.5):
        with pytest.raises(InputError, match="catalysation"):
            catalysed(header, wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"spins": 0}, "spins"),
        ({"spins": 4000}, "spins"),
        ({"t2_prime_s": -1.0}, "t2_prime_s"),
        ({"frames": 0}, "frames"),
        ({"catalysation": -1}, "dummies"),
    ],
)
def test_wrong_settings_are_refused(moving, wrong, says):
    settings = {"seed": 1, "frames": 1, "spins": 32, "truth": False} | wrong
    with pytest.raises(InputError, match=says):
        scan_isochromats(moving, PROTOCOL, **settings)
