"""Blobs of texture: closed forms against quadrature, riding on fields, the same bits however made."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from mrsim.anatomy.phantom import Phantom
from mrsim.errors import InputError
from mrsim.kernels.grid import Grid
from mrsim.physics.slices import Slice
from mrsim.physics.steady_state import FlipResponse
from mrsim.physics.tissue import tissue
from mrsim.scanner.acquisition import Scanner
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.raster import Raster
from tests.mrsim.bodies import definition, lujan_m, region

PLACES = np.array(
    [[-31.0, 12.5, 1.0], [-20.0, -40.0, -3.5], [44.4, 3.0, 6.0], [10.0, 55.0, 0.0], [0.0, -9.0, 11.0]]
)
T_NS = 1_700_000_000
SLICE = '[slice]\nthickness_mm = 8\nprofile = "sinc"\ntime_bandwidth = 4\n'
FIELDS = """
[field.down]
motion = "breathing"
direction = [0.1, 1, 0.4]
center_mm = [0, 60]
size_mm = [200, 80]

[field.twist]
motion = "breathing"
direction = [0, 0, 0]
gradient_percent_per_mm = [[0, -0.6], [0.6, 0.2]]
center_mm = [20, 0]
size_mm = [40, 50]
"""


def texture(
    places: np.ndarray, width_mm: float, strength: float, name: str = "dots", solid: bool = True
) -> str:
    lines = ["", "[[texture]]", f'name = "{name}"', 'region = "target"', 'tissue = "blood"']
    lines += [f"strength = {strength}", f"width_mm = {width_mm}"]
    axes = "xyz" if solid else "xy"
    lines += [f"{axis}_mm = {places[:, i].tolist()}" for i, axis in enumerate(axes)]
    return "\n".join(lines) + "\n"


BODY = region("target", "lung", (0, 0), (120, 110), motion="breathing", direction=[0.2, 0.1])
TWO = texture(PLACES[:3], 4.0, 0.7) + texture(PLACES[3:], 2.5, -0.4, "holes")


def protocol(**changes) -> ScanProtocol:
    return ScanProtocol(**{"matrix": (48, 50), "fov_m": (0.3, 0.32), "target_snr": np.inf} | changes)


def phantom(blobs: str, fields: str = FIELDS, slice_: str = SLICE) -> Phantom:
    return Phantom.from_text(definition(BODY, blobs).replace("\n[motion", f"\n{slice_}{fields}\n[motion", 1))


def moved(places: np.ndarray, value_m: float) -> np.ndarray:
    """Move by hand: the region's own way, and the two fields where each blob rests."""
    out = places / 1e3 + value_m * np.array([0.2, 0.1, 0])
    for at, p in zip(out, places / 1e3, strict=True):
        at += (
            value_m
            * np.exp(-0.5 * (p[0] / 0.2) ** 2 - 0.5 * ((p[1] - 0.06) / 0.08) ** 2)
            * np.array([0.1, 1, 0.4])
        )
        dx, dy = p[0] - 0.02, p[1]
        weight = np.exp(-0.5 * (dx / 0.04) ** 2 - 0.5 * (dy / 0.05) ** 2)
        at[:2] += value_m * weight * np.array([-6 * dy, 6 * dx + 2 * dy])
    return out


def contrast(z: np.ndarray, scan: ScanProtocol) -> np.ndarray:
    """Return the signal of blood less that of lung at a height, through the slice."""
    flip = scan.flip_rad * Slice(8e-3).flip_share(z)
    own, other = (FlipResponse.of(tissue(n, scan.field_t), scan.tr_ns, scan.te_ns) for n in ("blood", "lung"))
    return np.asarray(own.at(flip) - other.at(flip))


def by_quadrature(scan: ScanProtocol, ky: np.ndarray, value_m: float, fitted=None) -> np.ndarray:
    """Integrate every blob over a cube of its own: the trapezoidal rule, which is spectral for a Gaussian."""
    (ny, nx), (fov_y, fov_x) = scan.matrix, scan.fov_m
    kx, ky = (np.arange(nx) - nx // 2) / fov_x, ky / fov_y
    total = 0.0
    nodes, weights = np.polynomial.legendre.leggauss(400)
    z = 12e-3 * nodes  # the slice is cut at 1.5 thicknesses
    for group, s, a in ((slice(0, 3), 4e-3, 0.7), (slice(3, 5), 2.5e-3, -0.4)):
        for x0, y0, z0 in moved(PLACES[group], value_m):
            u = np.linspace(-9 * s, 9 * s, 181)
            depth = (weights * 12e-3 / 8e-3 * contrast(z, scan) * np.exp(-0.5 * ((z - z0) / s) ** 2)).sum()
            plane = a * depth * np.exp(-0.5 * (u / s) ** 2)[:, None] * np.exp(-0.5 * (u / s) ** 2)
            x, y = x0 + u, y0 + u
            seen = np.ones((1, 1, 1)) if fitted is None else fitted.sensitivity(x[None, :], y[:, None])
            down = np.exp(-2j * np.pi * ky[:, None] * y)
            along = np.exp(-2j * np.pi * x[:, None] * kx)
            total = total + np.einsum("ky,cyx,xj->kcj", down, seen * plane, along) * (u[1] - u[0]) ** 2
    return total * np.sqrt(ny * nx) / (fov_y * fov_x)


@pytest.mark.parametrize("coils", [1, 3])
def test_blobs_are_what_quadrature_gives(coils: int) -> None:
    scan = protocol(coils=coils)
    ky = np.array([-24, -7, 0, 1, 23], np.int32)
    t_ns = np.full(len(ky), T_NS)
    scanner = Scanner(phantom(TWO), scan, 1, 200)
    bare = Scanner(phantom(""), scan, 1, 200)
    got = scanner._source.lines(ky, t_ns) - bare._source.lines(ky, t_ns)
    fitted = scanner.receiver.fitted
    expected = by_quadrature(scan, ky, lujan_m(T_NS), fitted)
    assert got.shape == expected.shape == (5, coils, 50)
    assert np.abs(got - expected).max() < 1e-10 * np.abs(expected).max()


def test_without_a_slice_a_blob_has_no_height() -> None:
    fields = FIELDS.replace("0.4]", "0]")
    flat = phantom(texture(PLACES[:3], 4.0, 0.7, solid=False), fields, "")
    scan = protocol()
    line = np.zeros(1, np.int32)
    t_ns = np.array([T_NS])
    got = (
        Scanner(flat, scan, 1, 200)._source.lines(line, t_ns)
        - Scanner(phantom("", fields, ""), scan, 1, 200)._source.lines(line, t_ns)
    )[0, 0, 25]
    signal = [
        FlipResponse.of(tissue(n, 3.0), scan.tr_ns, scan.te_ns).at(np.array([scan.flip_rad]))[0]
        for n in ("blood", "lung")
    ]
    volume = 3 * 0.7 * 2 * np.pi * 4e-3**2 * (signal[0] - signal[1])
    assert got == pytest.approx(volume * np.sqrt(48 * 50) / (0.3 * 0.32), rel=1e-12)


@pytest.mark.parametrize("coils", [1, 4])
def test_a_line_is_the_same_bits_in_any_company_and_on_any_threads(coils: int) -> None:
    scanner = Scanner(phantom(TWO), protocol(coils=coils), 2, 60)
    rng, source = np.random.default_rng(5), scanner._source
    ky = rng.integers(-24, 24, 600).astype(np.int32)
    t_ns = rng.integers(0, 10**10, 600)
    together = source.lines(ky, t_ns)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert source.lines(ky, t_ns).tobytes() == together.tobytes()
    finally:
        numba.set_num_threads(before)
    for i in (0, 7, 599):
        assert source.lines(ky[i : i + 1], t_ns[i : i + 1]).tobytes() == together[i : i + 1].tobytes()


def test_an_image_is_its_lines_to_the_bit() -> None:
    scene = Scanner(phantom(TWO), protocol(), 2, 60).oracle.scene
    ky = np.arange(-24, 24, dtype=np.int32)
    alone = scene.uniform.lines(ky, np.full(48, T_NS))[:, 0]
    assert scene.instant(ky, T_NS).tobytes() == alone.tobytes()


def test_the_raster_draws_the_same_blobs() -> None:
    """Points of a smooth object that pixels resolve are its image; the body's edge is taken away."""
    scan = protocol(matrix=(128, 128), fov_m=(0.3, 0.3))
    scene, bare = (Scanner(phantom(b), scan, 1, 60).oracle.scene for b in (TWO, ""))
    image = [Raster(s.anatomy, scan.header(), s.uniform.contrast, 1).image(T_NS) for s in (scene, bare)]
    exact = [Scanner(phantom(b), scan, 1, 60).oracle.image(T_NS) for b in (TWO, "")]
    drawn, true = image[0] - image[1], exact[0] - exact[1]
    assert np.abs(drawn - true).max() < 0.02 * np.abs(true).max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("width_mm = 4.0", "width_mm = 0.1"),
            r"texture 'dots': width_mm = 0\.1: expected a number from 0\.3",
        ),
        (('tissue = "blood"', 'tissue = "ink"'), r"texture 'dots': tissue = 'ink' is not known"),
        (('region = "target"', 'region = "nowhere"'), r"texture 'dots': region = 'nowhere' is not known"),
        (("z_mm = [1.0, ", "z_mm = ["), r"texture 'dots': 3 x_mm, 3 y_mm, 2 z_mm: expected one each"),
        (("y_mm = [12.5", "y_mm = [1250.0"), r"texture 'dots': a blob lies 1250\.\d+ mm from the centre"),
        (("strength = 0.7", "strength = 7"), r"texture 'dots': strength = 7: expected a number from -2 to 2"),
        (('name = "holes"', 'name = "dots"'), r"texture 'dots': the name is used twice"),
        (("thickness_mm = 8", "thickness_mm = 1000"), r"texture of width_mm = 4 in a slice of 1000 mm"),
    ],
)
def test_what_is_wrong_with_texture_is_named(change: tuple[str, str], message: str) -> None:
    text = definition(BODY, TWO).replace("\n[motion", f"\n{SLICE}{FIELDS}\n[motion", 1)
    assert change[0] in text
    with pytest.raises(InputError, match=message):
        Scanner(Phantom.from_text(text.replace(*change, 1)), protocol(), 1, 4)


def test_texture_and_fields_survive_being_written_and_changed() -> None:
    body = phantom(TWO)
    assert Phantom.from_text(body.text) == body
    assert {"blood", "lung"} == body.tissues
    assert body.anatomy_sha256 != phantom("").anatomy_sha256


def test_pixels_of_a_blob_lie_where_it_is() -> None:
    """The brightest pixel of a lone blob, at the centre of one."""
    scan = protocol(matrix=(64, 64), fov_m=(0.32, 0.32))
    lone = phantom(texture(np.array([[35.0, -45.0, 0.0]]), 6.0, 1.0), "")
    bare = phantom("", "")
    image = np.abs(Scanner(lone, scan, 1, 9).oracle.image(0) - Scanner(bare, scan, 1, 9).oracle.image(0))
    row, column = np.unravel_index(image.argmax(), image.shape)
    x, y = Grid(scan.matrix, scan.fov_m).pixels()
    assert (x[0, column], y[row, 0]) == pytest.approx((0.035, -0.045), abs=1e-9)
