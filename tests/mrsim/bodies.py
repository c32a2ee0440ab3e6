"""Small phantoms for the scanner's tests, and their k-space by hand, from scipy's Bessel function."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import j1

from mrsim.anatomy.phantom import Phantom
from mrsim.physics.steady_state import tissue_signal
from mrsim.physics.tissue import tissue
from mrsim.scanner.protocol import ScanProtocol

REGULAR = """
[motion.breathing]
kind = "breathing"
amplitude_mm = 12.0
period_s = 3.0
exponent = 2
"""


def region(name: str, tissue: str, center_mm: Iterable[float], semi_axes_mm: Iterable[float], **more) -> str:
    """Write one region in TOML."""
    lines = ["", "[[region]]", f'name = "{name}"', f'tissue = "{tissue}"']
    lines += [f"center_mm = {list(center_mm)}", f"semi_axes_mm = {list(semi_axes_mm)}"]
    for key, value in more.items():
        lines.append(f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}")
    return "\n".join(lines) + "\n"


def definition(*regions: str, target: str = "target", motion: str = REGULAR) -> str:
    """Write a whole phantom in TOML."""
    return f'title = "a body of the tests"\ntarget = "{target}"\n' + motion + "".join(regions)


def disc(x_mm: float = 0.0, y_mm: float = 0.0, radius_mm: float = 30.0, **more) -> Phantom:
    """Make one disc of muscle in air."""
    return Phantom.from_text(definition(region("target", "muscle", (x_mm, y_mm), [radius_mm] * 2, **more)))


CHEST = definition(
    region("body", "gel", (2, -3), (130, 95), angle_deg=5),
    region("lung", "lung-foam", (-50, 5), (48, 70), parent="body"),
    region(
        "target", "lung-tumour", (-52, -12), (14, 11), parent="lung", motion="breathing", direction=[0, 1]
    ),
    region("seed", "phantom-water", (-52, -12), (3, 3), parent="target"),
    region(
        "heart",
        "blood",
        (40, 10),
        (30, 22),
        angle_deg=30,
        parent="body",
        motion="breathing",
        direction=[0.3, 0.5],
        stretch_percent_per_mm=[1.5, -1.0],
    ),
)


def chest() -> Phantom:
    """Make a body with a lung, a moving tumour with a marker, and a heart that shifts and deforms."""
    return Phantom.from_text(CHEST)


def small(**changes) -> ScanProtocol:
    """Set a small scan; keys as for `ScanProtocol`."""
    return ScanProtocol(**{"matrix": (32, 40), "fov_m": (0.32, 0.36)} | changes)


def lujan_m(t_ns: int, amplitude_m: float = 0.012, period_s: float = 3.0, exponent: int = 2) -> float:
    """Compute regular breathing that starts at end-exhale."""
    return amplitude_m * math.sin(math.pi * t_ns * 1e-9 / period_s) ** (2 * exponent)


@dataclass(frozen=True)
class Oval:
    """Hold an ellipse by the image of the unit disc: centre + matrix @ u."""

    signal: complex
    center: np.ndarray
    matrix: np.ndarray

    def transform(self, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
        """Compute its transform, with J1(u) / u from scipy."""
        u, v = np.einsum("ab,a...->b...", self.matrix, np.stack(np.broadcast_arrays(kx, ky)))
        r = 2 * np.pi * np.hypot(u, v)
        safe = np.where(r == 0, 1, r)
        form = 2 * np.pi * abs(np.linalg.det(self.matrix)) * np.where(r == 0, 0.5, j1(safe) / safe)
        return self.signal * form * np.exp(-2j * np.pi * (kx * self.center[0] + ky * self.center[1]))


def turned(angle_deg: float, a_mm: float, b_mm: float) -> np.ndarray:
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return np.array([[c, -s], [s, c]]) @ np.diag([a_mm, b_mm]) / 1e3


def chest_at(t_ns: int, protocol: ScanProtocol) -> list[Oval]:
    """Lay the chest out by hand at an instant: every contrast is relative to what it lies in."""
    signal = {
        name: tissue_signal(tissue(name, protocol.field_t), protocol.flip_rad, protocol.tr_ns, protocol.te_ns)
        for name in ("gel", "lung-foam", "lung-tumour", "phantom-water", "blood")
    }
    value = lujan_m(t_ns)
    stretch = np.diag([1 + 0.015 * value * 1e3, 1 - 0.010 * value * 1e3])
    at = np.array
    return [
        Oval(signal["gel"], at([0.002, -0.003]), turned(5, 130, 95)),
        Oval(signal["lung-foam"] - signal["gel"], at([-0.05, 0.005]), turned(0, 48, 70)),
        Oval(signal["lung-tumour"] - signal["lung-foam"], at([-0.052, -0.012 + value]), turned(0, 14, 11)),
        Oval(signal["phantom-water"] - signal["lung-tumour"], at([-0.052, -0.012 + value]), turned(0, 3, 3)),
        Oval(
            signal["blood"] - signal["gel"],
            at([0.04 + 0.3 * value, 0.01 + 0.5 * value]),
            stretch @ turned(30, 30, 22),
        ),
    ]


def line_by_hand(ky: int, t_ns: int, protocol: ScanProtocol) -> np.ndarray:
    """Compute one line of the chest, scaled so that the unitary inverse FFT gives the signal."""
    (ny, nx), (fov_y, fov_x) = protocol.matrix, protocol.fov_m
    kx = (np.arange(nx) - nx // 2) / fov_x
    total = sum(oval.transform(kx, np.array(ky / fov_y)) for oval in chest_at(t_ns, protocol))
    return np.asarray(total) * math.sqrt(ny * nx) / (fov_y * fov_x)


def image_of(kspace: np.ndarray) -> np.ndarray:
    """Transform centred k-space into an image, unitary."""
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace), norm="ortho"))


def pixel_centres(protocol: ScanProtocol) -> tuple[np.ndarray, np.ndarray]:
    """Return x, shape (1, nx), and y, shape (ny, 1), in metres, as docs/conventions.md has them."""
    (ny, nx), (fov_y, fov_x) = protocol.matrix, protocol.fov_m
    return (
        (np.arange(nx) - nx // 2)[None, :] * fov_x / nx,
        (np.arange(ny) - ny // 2)[:, None] * fov_y / ny,
    )
