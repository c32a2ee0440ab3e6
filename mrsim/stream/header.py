"""The protocol of a scan, as a reconstructor knows it before the first line."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import StreamError
from mrsim.stream.fields import typed_fields
from mrsim.stream.values import check_name, first_odd

# Bounds on what a file may claim, checked before anything is mapped or allocated.
MAX_MATRIX = 4096
MAX_COILS = 256
MAX_PRESCAN = 128
FOV_RANGE_M = (1e-4, 100.0)
_MAY_LACK: dict[str, Any] = {"window": 0, "adc_step": 0.0}  # of streams that were made before


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
    adc_step
        Step of the receiver: samples and prescan are whole multiples of it, at most 32,767 of them. 0 where
        they are not quantised.
    prescan
        What every coil saw before the scan: the middle of its k-space, fully sampled and centred (k = 0 at
        n // 2 along both), on the scale of the samples, shape (coils, rows, columns), complex64. None where
        there was none. Sensitivities can be had of it before the first line.
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
    adc_step: float = 0.0
    prescan: NDArray[np.complex64] | None = field(default=None, compare=False, repr=False)

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
            (1 <= self.acceleration <= ny, "acceleration", f"1 to {ny}, the rows of the matrix"),
            (
                self.adc_step == 0
                or (2.0**-40 <= self.adc_step <= 2.0**40 and math.frexp(self.adc_step)[0] == 0.5),
                "adc_step",
                "0, or a power of two",
            ),
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
        if self.prescan is not None:
            _check_prescan(self.prescan, self.coils, self.matrix)

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
        """Return the fields as plain JSON values; window and step where there are some, and no prescan."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "prescan"}
        return {name: value for name, value in values.items() if value or name not in _MAY_LACK}

    def private(self) -> Header:
        """Return a copy that shares no object with this one."""
        prescan = None if self.prescan is None else np.array(self.prescan)
        return dataclasses.replace(Header.from_dict(self.to_dict()), prescan=prescan)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Header:
        """Build a header from JSON values.

        Raises
        ------
        StreamError
            If a key is missing, unknown, of the wrong type or out of range.
        """
        return cls(**typed_fields(cls, _MAY_LACK | values, "header", left_out=("prescan",)))


def _check_prescan(prescan: NDArray[np.complex64], coils: int, matrix: tuple[int, int]) -> None:
    most = [min(side, MAX_PRESCAN) for side in matrix]
    shape, expected = prescan.shape, f"({coils}, 1 to {most[0]}, 1 to {most[1]})"
    fits = len(shape) == 3 and shape[0] == coils and 1 <= shape[1] <= most[0] and 1 <= shape[2] <= most[1]
    if prescan.dtype != np.complex64 or not fits:
        raise StreamError(f"header: prescan: it is {prescan.dtype} {shape}: expected complex64 {expected}")
    if first_odd(prescan, 1) is not None:
        raise StreamError("header: prescan: a sample is not finite, or above 1e15")


def ky_range(ny: int) -> tuple[int, int]:
    """Return the first and last row of a centred k-space with ny rows (k = 0 at index ny // 2)."""
    return -(ny // 2), ny - ny // 2 - 1
