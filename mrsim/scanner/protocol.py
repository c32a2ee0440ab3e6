"""What the operator sets: geometry, timing, contrast, sampling and noise of a scan."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mrsim.errors import InputError
from mrsim.reception.coils import MAX_LOOPS
from mrsim.sampling import Sampler
from mrsim.stream import Header

TIMINGS = ("prospective", "retrospective")
RENDERINGS = ("exact", "raster")
MAX_SUPERSAMPLING = 16


@dataclass(frozen=True)
class ScanProtocol:
    """Set a scan; the defaults are those of a 2-D bSSFP cine on a Linac-MR.

    Parameters
    ----------
    matrix
        Rows (phase encode, y, head-foot) and columns (readout, x).
    fov_m
        Field of view along y and x, metres.
    tr_ns, te_ns
        Repetition and echo time, nanoseconds.
    flip_rad
        Flip angle, radians.
    field_t
        Static field, tesla; tissues have values at 0.5, 1.5 and 3 T.
    acceleration
        Undersampling factor; a frame has ceil(rows / acceleration) lines.
    sampler, order
        Pattern, and order within a frame; see `mrsim.sampling`.
    target_snr
        Signal of the target over the noise of a fully sampled image, infinite for none; see
        `mrsim.reception.noise`.
    coils
        Receive channels, 1 to 32: 1 is a coil of uniform sensitivity, more are loops around the body.
    timing
        "prospective": every line shows its own echo's instant. "retrospective": all lines of a frame
        show that of its last line, as if a fully sampled image had been undersampled afterwards.
    rendering
        "exact": closed forms. "raster": the object drawn on the pixels of the image and transformed by
        an FFT, the inverse crime, to measure what it hides.
    supersampling
        Points a side in each pixel of the raster.

    Raises
    ------
    InputError
        If a value is out of range, or the matrix cannot give the acceleration.
    """

    matrix: tuple[int, int] = (128, 128)
    fov_m: tuple[float, float] = (0.4, 0.4)
    tr_ns: int = 2_200_000
    te_ns: int = 1_100_000
    flip_rad: float = math.radians(20)
    field_t: float = 3.0
    acceleration: float = 4.0
    sampler: str = "variable-density"
    order: str = "random"
    target_snr: float = 20.0
    coils: int = 1
    timing: str = "prospective"
    rendering: str = "exact"
    supersampling: int = 1

    def __post_init__(self) -> None:
        if not self.target_snr > 0:  # true for NaN, too
            raise InputError(f"target_snr = {self.target_snr!r}: expected a positive number, or infinity")
        for key, low, high in (("coils", 1, MAX_LOOPS), ("supersampling", 1, MAX_SUPERSAMPLING)):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(f"{key} = {value!r}: expected {low} to {high}")
        for key, known in (("timing", TIMINGS), ("rendering", RENDERINGS)):
            if getattr(self, key) not in known:
                raise InputError(f"{key} = {getattr(self, key)!r}: expected one of {', '.join(known)}")
        whole = (*self.matrix, self.tr_ns, self.te_ns)
        if not all(isinstance(n, int) and not isinstance(n, bool) for n in whole):
            raise InputError(f"matrix, tr_ns, te_ns = {whole}: expected whole numbers")
        self.header()

    def sampling(self, seed: int) -> Sampler:
        """Return the sampler of a scan with this seed."""
        return Sampler(self.sampler, self.matrix[0], self.acceleration, self.order, seed)

    @property
    def engine(self) -> str:
        """Return the name that the stream records of how it is made."""
        names = ["analytic" if self.rendering == "exact" else f"raster {self.supersampling}x"]
        names += [self.timing] if self.timing != "prospective" else []
        return ", ".join(names)

    def header(self) -> Header:
        """Return what a reconstructor is told."""
        return Header(
            matrix=self.matrix,
            fov_m=self.fov_m,
            tr_ns=self.tr_ns,
            te_ns=self.te_ns,
            flip_rad=self.flip_rad,
            field_t=self.field_t,
            coils=self.coils,
            lines_per_frame=self.sampling(0).lines,
            acceleration=self.acceleration,
            sampler=self.sampler,
            order=self.order,
        )
