"""Slices: profiles, the integral through them, what a solid looks like, and motion through the plane."""

from __future__ import annotations

import numpy as np
import pytest

from mrsim.anatomy.phantom import Phantom
from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import InputError
from mrsim.physics.slices import PROFILES, Sections, Slice, solid_form_factor
from mrsim.physics.steady_state import FlipResponse, tissue_signal
from mrsim.physics.tissue import tissue, tissue_names
from mrsim.scanner.acquisition import Scanner, scan
from mrsim.scanner.contrast import MAX_SECTIONS
from mrsim.scanner.oracle import Oracle
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.region_lines import RegionLines
from tests.mrsim.bodies import definition, region

PROTOCOL = ScanProtocol(acceleration=1, sampler="full", target_snr=float("inf"))
ROWS = np.arange(-64, 64, dtype=np.int32)
MUSCLE = FlipResponse.of(tissue("muscle", 3.0), 2_200_000, 1_100_000)
FLIP = np.radians(20)


def solid(profile: str = "sinc", direction: str = "[0, 0, 1]", z: float = 0.0, half: float = 15.0) -> Phantom:
    slice_ = f'[slice]\nthickness_mm = 20\nprofile = "{profile}"\n'
    breathing = '[motion.breathing]\nkind = "breathing"\namplitude_mm = 12.0\nperiod_s = 3.0\n'
    body = region("body", "gel", (0, 0), (120, 100))
    ball = region("target", "lung-tumour", (20, -10, z), (18, 14, half), shape="ellipsoid", parent="body")
    return Phantom.from_text(
        definition(body, ball, f'motion = "breathing"\ndirection = {direction}\n', motion=slice_ + breathing)
    )


def test_the_response_to_a_flip_angle_is_the_steady_state() -> None:
    for name in tissue_names():
        for field in (0.5, 1.5, 3.0):
            at = tissue(name, field)
            response = FlipResponse.of(at, 2_200_000, 1_100_000)
            for flip in (0.01, 0.35, 1.2):
                expected = tissue_signal(at, flip, 2_200_000, 1_100_000)
                assert abs(response.at(np.array([flip]))[0] - expected) < 1e-13


def test_a_whole_ellipsoid_agrees_with_quadrature() -> None:
    a, b, c = 0.021, 0.013, 0.017
    nodes, weights = np.polynomial.legendre.leggauss(60)
    # Sections are discs after scaling, and a disc is integrated on Gauss-Legendre radii and even angles.
    z, r, turn = c * nodes, (nodes + 1) / 2, np.arange(128) * 2 * np.pi / 128
    s = np.sqrt(1 - nodes**2)[:, None, None] * r[None, :, None]
    x, y = a * s * np.cos(turn), b * s * np.sin(turn)
    weight = (weights * (1 - nodes**2))[:, None] * (weights / 2 * r)[None, :] * (a * b * c * 2 * np.pi / 128)
    for k in ((0, 0, 0), (5, -3, 2), (60, 35, -40), (-20, 150, 11), (1e-4, 0, 0), (3.7, 0, 0)):
        wave = np.cos(2 * np.pi * (k[0] * x + k[1] * y + k[2] * z[:, None, None])).sum(axis=2)
        expected = (weight * wave).sum()
        assert abs(solid_form_factor((a, b, c), np.array(k)) - expected) < 1e-10 * (4 / 3 * np.pi * a * b * c)


def test_an_endless_ideal_slice_gives_the_whole_ellipsoid() -> None:
    k = np.linspace(0, 200, 40)
    sections = Sections(Slice(0.5, "ideal"), (MUSCLE, None), FLIP, 32)
    scale, weight = sections.cut(np.array([0.03]), np.array([0.02]))
    got = sum(
        w * Ellipse((0, 0), (0.02 * s, 0.01 * s)).form_factor(k, 0.3 * k)
        for s, w in zip(scale[0], weight[0], strict=True)
    )
    expected = MUSCLE.at(np.array(FLIP)) * solid_form_factor((0.02, 0.01, 0.02), (k, 0.3 * k, 0 * k)) / 0.5
    assert np.abs(got - expected).max() < 1e-11 * np.abs(expected).max()


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_are_what_they_say(profile: str) -> None:
    slice_ = Slice(0.02, profile, 0.003)
    z = 0.003 + np.linspace(-0.035, 0.035, 20001)
    p = slice_.flip_share(z)
    assert slice_.flip_share(0.003) == pytest.approx(1)
    low, high = slice_.limits
    assert not p[(z < low) | (z > high)].any()
    assert np.ptp(z[p >= 0.5]) == pytest.approx(0.02, rel=0.01 if profile == "sinc" else 1e-3)
    # The signal of a flat tissue, by the plain trapezoidal rule.
    signal = np.trapezoid(MUSCLE.at(FLIP * p), z) / 0.02
    assert slice_.flat_weight(MUSCLE, FLIP) == pytest.approx(signal, rel=2e-4)


def test_a_weak_flip_is_not_a_share_of_the_signal() -> None:
    slice_ = Slice(0.02, "gaussian")
    z = np.linspace(-0.03, 0.03, 20001)
    as_if = complex(MUSCLE.at(np.array(FLIP))) * np.trapezoid(slice_.flip_share(z), z) / 0.02
    assert abs(slice_.flat_weight(MUSCLE, FLIP)) > 1.03 * abs(as_if)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("z", [0.0, 9.0])
def test_the_slice_integral_has_converged(profile: str, z: float) -> None:
    oracle = Oracle(solid(profile, z=z), PROTOCOL.header(), 1)
    scene = oracle.scene.uniform
    assert 4 <= scene.contrast.section_counts[1] <= 30
    t_ns = np.linspace(0, 3e9, 128).astype(np.int64)
    few = scene.lines(ROWS, t_ns)
    scene.contrast.section_counts[1] = MAX_SECTIONS
    many = scene.lines(ROWS, t_ns)
    empty = Oracle(solid(profile, z=500.0), PROTOCOL.header(), 1).scene.uniform
    alone = np.abs(many - empty.lines(ROWS, t_ns)).max()
    assert np.abs(few - many).max() < 1e-6 * alone
    scene.contrast.section_counts[1] = 2  # the test can fail
    assert np.abs(scene.lines(ROWS, t_ns) - many).max() > 1e-3 * alone


def test_a_solid_that_shifts_is_the_one_that_is_cut_anew() -> None:
    shifting, anew = solid(direction="[0, 1, 0]"), solid(direction="[0, 1, 1e-12]")
    assert not shifting.regions[1].deforms
    assert anew.regions[1].deforms
    t_ns = np.linspace(0, 3e9, 128).astype(np.int64)
    one, other = (Oracle(p, PROTOCOL.header(), 1).lines(ROWS, t_ns) for p in (shifting, anew))
    assert np.abs(one - other).max() < 1e-6 * np.abs(one).max()


def test_lines_of_many_coils_interpolate_the_sections_closely_enough() -> None:
    phantom = solid(direction="[0, 0.5, 0.8]")
    scanner = Scanner(phantom, ScanProtocol(acceleration=1, sampler="full", coils=4), 1, 8)
    fitted, anatomy = scanner.receiver.fitted, scanner.oracle.scene.anatomy
    assert fitted is not None
    grid = fitted.fine_grid((128, 128))
    t_ns = np.array([10**9], np.int64)
    scene = RegionLines(anatomy, scanner.header, fitted)
    got = scene.lines(np.array([9], np.int32), t_ns)[0]
    # By hand: the object on the finer grid, section by section, and the filter.
    kx, ky = grid.k()
    rows = fitted.fine_rows(9) + grid.matrix[0] // 2
    fine = np.zeros((len(rows), grid.matrix[1]), np.complex128)
    scale, centers = ScanProtocol(acceleration=1, sampler="full"), anatomy.centers(t_ns)[0]
    from mrsim.kernels.grid import Grid

    unit = Grid(scale.matrix, scale.fov_m).scale
    for i, entry in enumerate(phantom.regions):
        x, y = centers[i]
        phase = np.exp(-2j * np.pi * (kx * x + ky[rows] * y))
        for s, w in scene.contrast.cuts(i, t_ns):
            fine += unit * w * s * s * entry.shape.form_factor(s * kx, s * ky[rows]) * phase
    expected = np.empty_like(got)
    fitted.filter_line(fine, expected)
    assert np.abs(got - expected).max() < 1e-7 * np.abs(expected).max()


def test_motion_through_the_plane_changes_what_is_seen_and_not_where() -> None:
    oracle = Oracle(solid(), PROTOCOL.header(), 1)
    near, far = 0, 1_500_000_000  # at end-exhale in the middle of the slice, at end-inhale 12 mm above
    masks = [oracle.mask("target", t) for t in (near, far)]
    assert 0.2 * masks[0].sum() < masks[1].sum() < 0.75 * masks[0].sum()
    assert oracle.centroid("target", near) == pytest.approx(oracle.centroid("target", far))
    images = [np.abs(oracle.image(t)) for t in (near, far)]
    y, x = (int(v) for v in np.argwhere(masks[1]).mean(axis=0).round())
    inside, gel = [image[y, x] for image in images], images[0][64, 40]
    assert abs(inside[1] - gel) < 0.8 * abs(inside[0] - gel)
    for t, mask in zip((near, far), masks, strict=True):
        edge = oracle.contour("target", t)
        half = np.ptp(edge[:, 0]) / 2, np.ptp(edge[:, 1]) / 2
        assert np.pi * half[0] * half[1] == pytest.approx(mask.sum() * (0.4 / 128) ** 2, rel=0.06)


def test_the_outline_is_where_a_half_of_the_slice_is_filled() -> None:
    slice_ = Slice(0.02, "ideal")
    assert slice_.seen_share(0.0, 0.015) == pytest.approx(np.sqrt(1 - (5 / 15) ** 2), abs=1e-6)
    assert slice_.seen_share(0.01, 0.015) == pytest.approx(np.sqrt(1 - (10 / 15) ** 2), abs=1e-6)
    assert slice_.seen_share(0.0, 0.0049) == 0.0  # it fills less than a half anywhere
    assert slice_.seen_share(0.04, 0.015) == 0.0


def test_a_solid_out_of_the_slice_has_no_mask_and_no_signal() -> None:
    gone = Oracle(solid(z=60.0), PROTOCOL.header(), 1)
    assert not gone.mask("target", 0).any()
    assert gone.contour("target", 0).shape == (0, 2)
    farther, seen = (Oracle(solid(z=z), PROTOCOL.header(), 1).image(0) for z in (90.0, 0.0))
    assert gone.image(0).tobytes() == farther.tobytes()
    assert np.abs(gone.image(0) - seen).max() > 0.1 * np.abs(seen).max()


def test_a_flat_phantom_in_an_ideal_slice_is_the_flat_phantom() -> None:
    flat = definition(region("target", "muscle", (5, 3), (60, 50), motion="breathing", direction=[0, 1]))
    sliced = flat.replace("[motion", '[slice]\nthickness_mm = 20\nprofile = "ideal"\n[motion')
    one, other = (scan(Phantom.from_text(t), PROTOCOL, seed=1, frames=1) for t in (flat, sliced))
    assert np.abs(one.samples - other.samples).max() < 1e-5 * np.abs(one.samples).max()


def test_a_solid_without_a_slice_is_refused() -> None:
    ball = region("target", "muscle", (0, 0, 0), (10, 10, 10), shape="ellipsoid")
    with pytest.raises(InputError, match=r"region 'target': it extends along z, and there is no \[slice\]"):
        Phantom.from_text(definition(ball))


@pytest.mark.parametrize(
    ("line", "message"),
    [("thickness_mm = 0", "thickness_mm"), ('thickness_mm = 5\nprofile = "box"', "profile = 'box'")],
)
def test_a_wrong_slice_is_refused(line: str, message: str) -> None:
    text = definition(region("target", "muscle", (0, 0), (10, 10)), motion=f"[slice]\n{line}\n")
    with pytest.raises(InputError, match=f"slice: .*{message}"):
        Phantom.from_text(text)
