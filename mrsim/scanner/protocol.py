"""What the operator sets: geometry, timing, contrast, sampling and noise of a scan."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mrsim.argument_types import check_fields
from mrsim.errors import InputError, Option, ProtocolError, StreamError
from mrsim.reception.coils import MAX_LOOPS
from mrsim.sampling import Sampler
from mrsim.stream import Header
from mrsim.stream.units import SPELLINGS, in_file_words

TIMINGS = ("prospective", "retrospective")
RENDERINGS = ("exact", "raster")
MAX_SUPERSAMPLING = 16
FOV_RANGE_M = (0.01, 2.0)  # beyond it the unit is mistaken
ENGINES = ("analytic", "isochromats")
COMBINATIONS = ("none", "prewhiten", "sense")
SPINS_PER_SIDE = 256  # of the isochromat engine, across the field of view
CATALYSATION = "alpha/2"  # what comes before the first line, where it is not the steady state


@dataclass(frozen=True)
class ScanProtocol:
    """Set a scan; the defaults are those of a 2-D bSSFP cine on a Linac-MR, and stand here alone.

    Parameters
    ----------
    matrix
        Rows (phase encode, y, head-foot) and columns (readout, x).
    fov_m
        Field of view along y and x, metres, 0.01 to 2.
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
    adc_step
        Step of the receiver's 16 bits, a power of two: samples, prescan and true images are then quantised,
        and the same on every processor (`mrsim.scanner.quantised`). 0 for none.

    Raises
    ------
    ProtocolError
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
    adc_step: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, ProtocolError)
        if not self.target_snr > 0:  # true for NaN, too
            raise ProtocolError(f"target_snr = {self.target_snr!r}: expected a positive number, or infinity")
        for key, low, high in (("coils", 1, MAX_LOOPS), ("supersampling", 1, MAX_SUPERSAMPLING)):
            value = getattr(self, key)
            if not low <= value <= high:
                raise ProtocolError(f"{key} = {value!r}: expected {low} to {high}")
        for key, known in (("timing", TIMINGS), ("rendering", RENDERINGS)):
            if getattr(self, key) not in known:
                raise ProtocolError(f"{key} = {getattr(self, key)!r}: expected one of {', '.join(known)}")
        low_m, high_m = FOV_RANGE_M
        if not all(low_m <= length <= high_m for length in self.fov_m):  # nor NaN
            raise ProtocolError(
                f"fov_m = {self.fov_m}: expected {low_m} to {high_m:g} metres a side "
                "(millimetres in files and on the command line)"
            )
        try:
            self.header()
        except StreamError as error:
            raise ProtocolError(str(error).removeprefix("header: ")) from None

    @classmethod
    def from_file_values(cls, values: Mapping[str, Any]) -> ScanProtocol:
        """Make a protocol from values as files and options spell them, such as `tr_ms`.

        Parameters
        ----------
        values
            By key, of the kinds that `file_values` returns; what is left out has its default.

        Raises
        ------
        ProtocolError
            If a value is out of range; it names the key as it is in files.
        """
        fields: dict[str, Any] = {}
        for key, value in values.items():
            spelling = SPELLINGS.get(key)
            if key in ("tr_ms", "te_ms") and not 0 <= value < 1e6:  # false for NaN, too
                raise ProtocolError("{}: expected milliseconds, from 0 to below 1e6", Option(key, value))
            if spelling is None:
                fields[key] = tuple(value) if isinstance(value, list) else value
            elif isinstance(value, list | tuple):
                fields[spelling.name] = tuple(spelling.read(v) for v in value)
            else:
                fields[spelling.name] = spelling.read(value)
        try:
            return cls(**fields)
        except InputError as error:
            raise ProtocolError(in_file_words(str(error))) from None

    def file_values(self) -> dict[str, Any]:
        """Return the fields as files and options spell them, pairs as lists."""
        keys = {spelling.name: key for key, spelling in SPELLINGS.items()}
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            key, value = keys.get(field.name, field.name), getattr(self, field.name)
            write = SPELLINGS[key].write if key in SPELLINGS else lambda plain: plain
            values[key] = [write(v) for v in value] if isinstance(value, tuple) else write(value)
        return values

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
        """Return what a reconstructor knows before the first line."""
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
            adc_step=self.adc_step,
        )
