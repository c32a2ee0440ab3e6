"""The protocol of a scan, as a reconstructor knows it before the first line."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from mrsim.errors import StreamError
from mrsim.stream.fields import typed_fields
from mrsim.stream.values import check_name

# Bounds on what a file may claim, checked before anything is mapped or allocated.
MAX_MATRIX = 4096
MAX_COILS = 256
FOV_RANGE_M = (1e-4, 100.0)


@dataclass(frozen=True, slots=True)
class Header:
    """State the protocol of a scan: all that a reconstructor knows before the first line.

    It has no field for a seed, a phantom or a path, so a candidate cannot make later lines or the
    truth again from it; those live in `Provenance`, which the gate never hands out.

    Parameters
    ----------
    matrix
        Rows (phase encode, y) and columns (readout, x) of the image.
    fov_m
        Field of view along y and x, metres.
    tr_ns, te_ns
        Repetition time and echo time, nanoseconds.
    flip_rad
        Flip angle, radians.
    field_t
        Static field, tesla.
    coils
        Number of receive channels.
    lines_per_frame
        Phase-encode lines that make one frame.
    acceleration
        Undersampling factor that was asked for.
    sampler
        Name of the sampling pattern.
    order
        Order of the lines within a frame.
    window
        Lines that an image is made of where that is more than one frame's: frames then end one after another
        within it. 0 for a frame's own lines.
    """

    matrix: tuple[int, int]
    fov_m: tuple[float, float]
    tr_ns: int
    te_ns: int
    flip_rad: float
    field_t: float
    coils: int
    lines_per_frame: int
    acceleration: float
    sampler: str
    order: str
    window: int = 0

    def __post_init__(self) -> None:
        (ny, nx), (least, most) = self.matrix, FOV_RANGE_M
        checks = (
            (1 <= ny <= MAX_MATRIX and 1 <= nx <= MAX_MATRIX, "matrix", f"1 to {MAX_MATRIX} a side"),
            (all(least <= f <= most for f in self.fov_m), "fov_m", f"{least:g} to {most:g} metres a side"),
            (0 < self.tr_ns < 10**12, "tr_ns", "a positive time, below 1000 s"),
            (0 <= self.te_ns < self.tr_ns, "te_ns", "at least 0 and below tr_ns"),
            (0 < self.flip_rad <= math.pi, "flip_rad", "above 0, at most pi (180 degrees)"),
            (0 < self.field_t < 100, "field_t", "a field in tesla"),
            (1 <= self.coils <= MAX_COILS, "coils", f"1 to {MAX_COILS}"),
            (1 <= self.lines_per_frame <= ny, "lines_per_frame", f"1 to {ny}, the rows of the matrix"),
            (math.isfinite(self.acceleration) and self.acceleration >= 1, "acceleration", "at least 1"),
            (
                self.window == 0 or self.lines_per_frame <= self.window <= ny,
                "window",
                f"0, or the lines of a frame to {ny}",
            ),
        )
        for holds, key, expected in checks:
            if not holds:
                raise StreamError(f"header: {key} = {getattr(self, key)!r}: expected {expected}")
        for key in ("sampler", "order"):
            check_name(getattr(self, key), f"header: {key}", least=0)

    @property
    def frame_ns(self) -> int:
        """Return the time that one frame takes, nanoseconds."""
        return self.lines_per_frame * self.tr_ns

    @property
    def lines_seen(self) -> int:
        """Return how many of the newest lines an image is made of."""
        return self.window or self.lines_per_frame

    def echo_ns(self, line: int) -> int:
        """Return the time of a line's echo from the start of the scan, nanoseconds."""
        return line * self.tr_ns + self.te_ns

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; a window only where there is one."""
        values = dataclasses.asdict(self)
        return values if self.window else {k: v for k, v in values.items() if k != "window"}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Header:
        """Build a header from JSON values.

        Raises
        ------
        StreamError
            If a key is missing, unknown, of the wrong type or out of range.
        """
        return cls(**typed_fields(cls, {"window": 0} | values, "header"))


def ky_range(ny: int) -> tuple[int, int]:
    """Return the first and last row of a centred k-space with ny rows (k = 0 at index ny // 2)."""
    return -(ny // 2), ny - ny // 2 - 1
