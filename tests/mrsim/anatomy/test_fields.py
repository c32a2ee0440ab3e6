"""Smooth fields: everything rides on them, ellipses with their gradient, polygons corner by corner."""

from __future__ import annotations

import numpy as np
import pytest

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.containment import check_containment
from mrsim.anatomy.phantom import Phantom
from mrsim.anatomy.polygon import Polygon, edge_transform
from mrsim.errors import InputError
from mrsim.physics.slices import Slice
from mrsim.physics.steady_state import FlipResponse
from mrsim.physics.tissue import tissue
from mrsim.scanner.acquisition import Scanner
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.raster import Raster
from mrsim.spins.filling import spins_of
from tests.mrsim.bodies import definition, lujan_m, region

T_NS = 1_300_000_000
FIELD = """
[field.twist]
motion = "breathing"
direction = [0.3, 1, 0.5]
gradient_percent_per_mm = [[0.5, -1.2], [1.0, 0.4]]
center_mm = [10, 20]
size_mm = [90, 60]
"""
OVAL = region("target", "liver", (-20, 10), (24, 15), angle_deg=20, parent="body")
CORNERS = [[40, -30], [80, -20], [85, 30], [60, 45], [35, 20]]


def polygon(**more: object) -> str:
    keys = {
        "name": "wedge",
        "tissue": "blood",
        "parent": "body",
        "shape": "polygon",
        "points_mm": CORNERS,
        **more,
    }
    return "\n[[region]]\n" + "\n".join(
        f'{k} = "{v}"' if isinstance(v, str) else f"{k} = {v}" for k, v in keys.items()
    )


def phantom(*entries: str, head: str = "", field: str = FIELD) -> Phantom:
    text = definition(region("body", "muscle", (0, 0), (130, 110)), *entries)
    return Phantom.from_text(text.replace("\n[motion", f"\n{head}\n{field}\n[motion", 1))


def field_at(x: float, y: float, value: float) -> np.ndarray:
    """Compute the displacement by hand, metres."""
    dx, dy = x - 0.01, y - 0.02
    weight = np.exp(-0.5 * (dx / 0.09) ** 2 - 0.5 * (dy / 0.06) ** 2)
    return value * weight * np.array([0.3 + 5 * dx - 12 * dy, 1 + 10 * dx + 4 * dy, 0.5])


def test_corners_and_centres_ride_where_they_rest() -> None:
    body = Anatomy(phantom(OVAL, polygon()), 1)
    value = lujan_m(T_NS)
    corners = body.vertices(2, np.array([T_NS]))[0]
    expected = [np.array(c) / 1e3 + field_at(*np.array(c) / 1e3, value)[:2] for c in CORNERS]
    assert np.abs(corners - expected).max() < 1e-15
    assert np.abs(body.displacement(np.array([T_NS]))[0, 1] - field_at(-0.02, 0.01, value)[:2]).max() < 1e-15


def test_an_ellipse_is_mapped_by_the_gradient_of_the_field_at_its_centre() -> None:
    body = Anatomy(phantom(OVAL), 1)
    value, step = lujan_m(T_NS), 1e-6
    slope = [
        (field_at(-0.02 + a, 0.01 + b, value) - field_at(-0.02 - a, 0.01 - b, value))[:2] / (2 * step)
        for a, b in ((step, 0), (0, step))
    ]
    expected = np.eye(2) + np.array(slope).T
    assert np.abs(body.linear(1, np.array([T_NS]))[0] - expected).max() < 1e-8
    outline = body.outline("target", T_NS).boundary(60)
    rest = body.phantom.regions[1].shape.boundary(60) - (-0.02, 0.01)
    mapped = rest @ expected.T + body.centroid("target", T_NS)
    # Points of both lie on one ellipse.
    back = np.linalg.inv(expected @ body.phantom.regions[1].shape.axes)
    for points in (outline, mapped):
        assert (
            np.abs(np.linalg.norm((points - body.centroid("target", T_NS)) @ back.T, axis=1) - 1).max() < 1e-7
        )


def test_masks_of_a_turned_ellipse_are_those_of_its_outline() -> None:
    scene = Scanner(phantom(OVAL), ScanProtocol(matrix=(96, 96), fov_m=(0.32, 0.32)), 1, 60).oracle.scene
    times = np.array([0, T_NS, 2 * T_NS])
    many = scene.masks("target", times, (slice(0, 96), slice(0, 96)))
    for t, mask in zip(times, many, strict=True):
        one = scene.mask("target", int(t))
        assert (mask == one).all()
        outline = Polygon(tuple(map(tuple, scene.contour("target", int(t), 400))))
        x, y = np.meshgrid(*(np.arange(96) - 48,) * 2)
        assert (one ^ outline.inside(x * 0.32 / 96, y * 0.32 / 96)).sum() <= 2
        assert one.sum() > 80


@pytest.mark.parametrize("coils", [1, 3])
def test_lines_of_what_rides_are_the_closed_forms_where_it_is(coils: int) -> None:
    """The polygon's edges and the ellipse's map by hand; several coils through their own filters."""
    scan = ScanProtocol(matrix=(40, 40), fov_m=(0.32, 0.32), coils=coils, target_snr=np.inf)
    body = phantom(OVAL, polygon())
    scanner, bare = (Scanner(b, scan, 1, 200) for b in (body, phantom(OVAL)))
    rows = np.arange(-20, 20, dtype=np.int32)
    got = scanner._source.lines(rows, np.full(40, T_NS)) - bare._source.lines(rows, np.full(40, T_NS))
    corners = np.array([np.array(c) / 1e3 + field_at(*np.array(c) / 1e3, lujan_m(T_NS))[:2] for c in CORNERS])
    signal = scanner.oracle.scene.uniform.contrast.signal[2]
    fitted = scanner.receiver.fitted
    if fitted is None:
        kx, ky = (np.arange(40) - 20)[None, :] / 0.32, (np.arange(40) - 20)[:, None] / 0.32
        expected = (
            signal * edge_transform(corners, np.roll(corners, -1, axis=0), kx, ky)[:, None] * 40 / 0.32**2
        )
    else:
        grid = fitted.fine_grid((40, 40))
        kx, ky = grid.k()
        fine = signal * edge_transform(corners, np.roll(corners, -1, axis=0), kx, ky) * 40 / 0.32**2
        expected = np.empty((40, coils, 40), np.complex128)
        for n, row in enumerate(rows.tolist()):
            fitted.filter_line(fine[fitted.fine_rows(row) + grid.matrix[0] // 2], expected[n])
    assert np.abs(got - expected).max() < 1e-12 * np.abs(expected).max()


def test_a_polygon_that_leans_is_the_integral_over_its_sections() -> None:
    """Corners that lean alike by a factor of ky, others section by section; by hand with 400 sections."""
    slice_ = '[slice]\nthickness_mm = 8\nprofile = "sinc"\ntime_bandwidth = 4\n'
    slope, bend = [-1.5, -1.5, -1.5, 0, 0], [0.03, 0.03, 0.03, 0, 0]
    scan = ScanProtocol(matrix=(40, 40), fov_m=(0.32, 0.32), target_snr=np.inf)
    leaning = phantom(OVAL, polygon(lean=slope, bend_per_mm=bend), head=slice_)
    scanner, bare = (Scanner(b, scan, 1, 200) for b in (leaning, phantom(OVAL, head=slice_)))
    rows = np.arange(-20, 20, dtype=np.int32)
    got = (scanner._source.lines(rows, np.full(40, T_NS)) - bare._source.lines(rows, np.full(40, T_NS)))[:, 0]
    corners = np.array([np.array(c) / 1e3 + field_at(*np.array(c) / 1e3, lujan_m(T_NS))[:2] for c in CORNERS])
    own, other = (FlipResponse.of(tissue(n, 3.0), scan.tr_ns, scan.te_ns) for n in ("blood", "muscle"))
    nodes, weights = np.polynomial.legendre.leggauss(400)
    kx, ky = (np.arange(40) - 20)[None, :] / 0.32, (np.arange(40) - 20)[:, None] / 0.32
    total = 0.0
    for z, weight in zip(12e-3 * nodes, weights * 12e-3 / 8e-3, strict=True):
        flip = scan.flip_rad * Slice(8e-3).flip_share(np.array([z]))
        there = corners + np.stack([np.zeros(5), z * np.array(slope) + z * z * 1e3 * np.array(bend)], axis=1)
        total = total + weight * (own.at(flip) - other.at(flip))[0] * edge_transform(
            there, np.roll(there, -1, axis=0), kx, ky
        )
    expected = total * 40 / 0.32**2
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()
    image = Raster(
        scanner.oracle.scene.anatomy, scan.header(), scanner.oracle.scene.uniform.contrast, 2
    ).image(T_NS)
    plain = Raster(bare.oracle.scene.anatomy, scan.header(), bare.oracle.scene.uniform.contrast, 2).image(
        T_NS
    )
    assert (image - plain).sum() == pytest.approx(expected[20, 20] * 40, rel=0.02)


def test_a_body_may_go_on_beyond_the_field_of_view_along_y_alone() -> None:
    long = definition(region("target", "muscle", (0, 0), (100, 175)))
    fields = '\n[field.all]\nmotion = "breathing"\ndirection = [0, 0.2]\n\n[motion'
    ridden = long.replace("\n[motion", fields, 1)
    with pytest.raises(
        InputError, match=r"region 'target': center_mm, .* along y, the field of view ends at 160"
    ):
        check_containment(Anatomy(Phantom.from_text(ridden), 1), (0.32, 0.32), 10**10, "p")
    wide = Phantom.from_text("beyond_fov = true\n" + ridden)
    check_containment(Anatomy(wide, 1), (0.32, 0.32), 10**10, "p")
    with pytest.raises(InputError, match="along x"):
        check_containment(Anatomy(wide, 1), (0.32, 0.19), 10**10, "p")
    # What is beyond comes in at the other side.
    scan = ScanProtocol(matrix=(64, 64), fov_m=(0.32, 0.32))
    image = np.abs(Scanner(wide, scan, 1, 4).oracle.image(0))
    assert image[0, 32] > 1.5 * image[32, 32]


def test_a_child_that_leaves_its_parent_on_a_field_is_named() -> None:
    pull = '[field.pull]\nmotion = "breathing"\ndirection = [2, 0]\ncenter_mm = [48, 10]\nsize_mm = [8, 8]\n'
    body = phantom(
        region("lobe", "lung", (20, 10), (40, 30), parent="body"),
        region("target", "liver", (48, 10), (9, 8), parent="lobe"),
        field=pull,
    )
    with pytest.raises(InputError, match=r"region 'target': .* it leaves its parent 'lobe'"):
        check_containment(Anatomy(body, 1), (0.4, 0.4), 10**10, "p")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('motion = "breathing"\ndir', 'motion = "x"\ndir'), "field 'twist': motion = 'x' is not known"),
        (("size_mm = [90", "size_mm = [0"), r"field 'twist': size_mm = \[0\.0, 60\.0\]: expected 1 to"),
        (
            ("[[0.5, -1.2], [1.0, 0.4]]", "[[0.5, -1.2]]"),
            "field 'twist': gradient_percent_per_mm: expected two",
        ),
        (("[0.3, 1, 0.5]", "[0.3]"), "field 'twist': direction = "),
        (("center_mm = [10", "centre_mm = [10"), "field 'twist': unknown key 'centre_mm'"),
    ],
)
def test_what_is_wrong_with_a_field_is_named(change: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        phantom(OVAL, field=FIELD.replace(*change, 1))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"lean": [1, 1, 0, 0, 0]}, r"region 'wedge': lean: there is no \[slice\]"),
        ({"lean": [1, 0]}, "region 'wedge': lean: 2 numbers for 5 points"),
        ({"lean": [1, 0, 0, 0, 0], "depth_mm": [0, 9]}, "region 'wedge': depth_mm: a polygon that leans"),
    ],
)
def test_what_is_wrong_with_a_lean_is_named(more: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        phantom(OVAL, polygon(**more))


def test_spins_cannot_ride() -> None:
    with pytest.raises(InputError, match="fields: the isochromat engine scans flat regions"):
        spins_of(phantom(OVAL), ScanProtocol(), 64)
