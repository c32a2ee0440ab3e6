"""A scan as data: the protocol, the lines in the order of their echoes, and what was true meanwhile.

Columns, not objects: `Stream` holds one array per quantity, and iterating yields `Readout` views.
`mrsim.stream.storage` keeps it on disk. Both need numpy alone, so that `recon` runs where the simulator
cannot.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import InputError
from mrsim.summary import Summarised, array_facts, counted

# Bounds on what a file may claim, checked before anything is mapped or allocated.
MAX_MATRIX = 4096
MAX_COILS = 256


@dataclass(frozen=True, slots=True)
class Header:
    """State the protocol of a scan: all that a reconstructor is told before the first line.

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
        ny, nx = self.matrix
        checks = (
            (1 <= ny <= MAX_MATRIX and 1 <= nx <= MAX_MATRIX, "matrix", f"1 to {MAX_MATRIX} a side"),
            (all(math.isfinite(f) and f > 0 for f in self.fov_m), "fov_m", "two positive lengths in metres"),
            (0 < self.tr_ns < 10**12, "tr_ns", "a positive number of nanoseconds"),
            (0 <= self.te_ns < self.tr_ns, "te_ns", "at least 0 and below tr_ns"),
            (0 < self.flip_rad <= math.pi, "flip_rad", "in (0, pi]"),
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
                raise InputError(f"header: {key} = {getattr(self, key)!r}: expected {expected}")

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
        InputError
            If a key is missing, unknown, of the wrong type or out of range.
        """
        return cls(**typed_fields(cls, {"window": 0} | values, "header"))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Record how a stream was made; whoever holds it can make the stream and its truth again.

    Parameters
    ----------
    phantom
        Name of the phantom.
    phantom_text
        Its whole TOML text, all settings applied.
    seed
        Seed that reproduces the scan.
    version
        Version of the software that made it.
    engine
        Name of the scanner's engine.
    noise_std
        Standard deviation of the complex noise in a sample (real and imaginary part together).
    target_snr
        Signal of the target over the noise of a fully sampled image; infinite without noise.
    """

    phantom: str
    phantom_text: str
    seed: int
    version: str
    engine: str
    noise_std: float
    target_snr: float


@dataclass(frozen=True, slots=True, repr=False)
class Readout(Summarised):
    """Carry one acquired k-space line.

    Parameters
    ----------
    index
        Number of the line from the start of the scan.
    frame
        Frame that it belongs to.
    ky
        Phase-encode row in the centred k-space, -ny/2 to ny/2-1 (for odd ny, -(ny-1)/2 to (ny-1)/2).
    t_ns
        Time of its echo from the start of the scan, nanoseconds.
    samples
        Complex samples, shape (coils, nx), complex64, k = 0 at nx // 2.
    """

    index: int
    frame: int
    ky: int
    t_ns: int
    samples: NDArray[np.complex64]

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        title = f"Readout: line {self.index} of frame {self.frame}, ky {self.ky}, t {self.t_ns / 1e6:g} ms"
        return title, array_facts(samples=self.samples)


@dataclass(frozen=True, repr=False)
class Truth(Summarised):
    """Hold what was true during a scan; only the harness and the training see it.

    Parameters
    ----------
    regions
        Names of the phantom's regions.
    target
        Name of the region that is tracked.
    displacement
        Displacement (x, y) of every region at every line's echo, shape (lines, regions, 2), float64, metres.
    centroid
        Centroid (x, y) of the target at every line's echo, shape (lines, 2), float64, metres.
    image
        Noise-free image at the echo of each frame's last line, shape (frames, ny, nx), complex64.
    mask
        Pixels of the target at that instant, shape (frames, ny, nx), bool.
    """

    regions: tuple[str, ...]
    target: str
    displacement: NDArray[np.float64]
    centroid: NDArray[np.float64]
    image: NDArray[np.complex64]
    mask: NDArray[np.bool_]

    ARRAYS = ("displacement", "centroid", "image", "mask")

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        title = f"Truth: {counted(len(self.image), 'frame')}, target {self.target}"
        facts = array_facts(**{name: getattr(self, name) for name in self.ARRAYS})
        return title, [("regions", f"{len(self.regions)}: {', '.join(self.regions)[:80]}"), *facts]

    def centroid_at(self, t_ns: NDArray[np.int64] | int, header: Header) -> NDArray[np.float64]:
        """Interpolate the target's centroid at any instant within the scan.

        Linear between echoes: over one TR of 2.2 ms the path of 15 mm in 4 s bends by less than a micrometre.

        Parameters
        ----------
        t_ns
            Times from the start of the scan, nanoseconds; held at the ends outside of it.
        header
            The scan's protocol.

        Returns
        -------
        centroid
            Shape (..., 2), float64, metres.
        """
        line = (np.asarray(t_ns, dtype=np.float64) - header.te_ns) / header.tr_ns
        at = np.arange(len(self.centroid), dtype=np.float64)
        return np.stack([np.interp(line, at, self.centroid[:, i]) for i in range(2)], axis=-1)


@dataclass(frozen=True, repr=False)
class Stream(Summarised):
    """Hold a scan in columns, line after line.

    Parameters
    ----------
    header
        The protocol.
    ky
        Row of each line in the centred k-space, shape (lines,), int32.
    frame
        Frame of each line, shape (lines,), int32.
    t_ns
        Echo time of each line, shape (lines,), int64, nanoseconds.
    samples
        Shape (lines, coils, nx), complex64.
    provenance
        How it was made, if that is known.
    truth
        What was true meanwhile, if that is known.
    path
        Folder that it was read from, if any.
    """

    header: Header
    ky: NDArray[np.int32]
    frame: NDArray[np.int32]
    t_ns: NDArray[np.int64]
    samples: NDArray[np.complex64]
    provenance: Provenance | None = None
    truth: Truth | None = None
    path: Path | None = field(default=None, compare=False)

    COLUMNS = ("ky", "frame", "t_ns", "samples")

    def __post_init__(self) -> None:
        where = str(self.path) if self.path else "stream"
        for name, (shape, dtype) in expected_arrays(self.header, len(self.ky)).items():
            check_array(getattr(self, name), shape, dtype, f"{where}: {name}")
        if len(self.ky) == 0:
            raise InputError(f"{where}: it has no lines")
        low, high = ky_range(self.header.matrix[0])
        if int(self.ky.min()) < low or int(self.ky.max()) > high:
            line = int(np.flatnonzero((self.ky < low) | (self.ky > high))[0])
            raise InputError(f"{where}: line {line}: ky = {int(self.ky[line])} is outside {low} to {high}")

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        header, made = self.header, self.provenance
        (ny, nx), lines = header.matrix, counted(header.lines_per_frame, "line")
        title = f"Stream: {counted(self.frames, 'frame')} of {lines}, {len(self) * header.tr_ns / 1e9:.1f} s"
        size = f"{ny} x {nx}, {header.fov_m[0] * 1e3:g} x {header.fov_m[1] * 1e3:g} mm"
        facts = [
            ("image", f"{size}, {counted(header.coils, 'coil')}"),
            ("times", f"TR {header.tr_ns / 1e6:g} ms, TE {header.te_ns / 1e6:g} ms"),
            ("sampling", f"{header.acceleration:g}x, {header.sampler}, {header.order}"),
            *array_facts(samples=self.samples),
            ("truth", "none" if self.truth is None else f"target {self.truth.target}"),
        ]
        if made is not None:
            facts.append(("scan of", f"{made.phantom}, seed {made.seed}, SNR {made.target_snr:g}"))
        return title, facts if self.path is None else [*facts, ("folder", str(self.path))]

    def __len__(self) -> int:
        return len(self.ky)

    def __iter__(self) -> Iterator[Readout]:
        return (self.readout(i) for i in range(len(self)))

    @property
    def frames(self) -> int:
        """Return the number of whole frames."""
        return len(self) // self.header.lines_per_frame

    def readout(self, line: int) -> Readout:
        """Return one line as a view of the columns."""
        return Readout(
            line, int(self.frame[line]), int(self.ky[line]), int(self.t_ns[line]), self.samples[line]
        )

    def first_frames(self, frames: int) -> Stream:
        """Return the part up to the end of a frame, as views.

        Raises
        ------
        InputError
            If the stream has fewer frames.
        """
        if not 1 <= frames <= self.frames:
            raise InputError(f"frames = {frames}: this stream has 1 to {self.frames} whole frames")
        lines = frames * self.header.lines_per_frame
        truth = self.truth
        if truth is not None:
            truth = dataclasses.replace(
                truth,
                displacement=truth.displacement[:lines],
                centroid=truth.centroid[:lines],
                image=truth.image[:frames],
                mask=truth.mask[:frames],
            )
        cut = {name: getattr(self, name)[:lines] for name in self.COLUMNS}
        return dataclasses.replace(self, truth=truth, **cut)

    def check_finite(self) -> None:
        """Raise an error that names the first line with a sample that is not a number.

        Raises
        ------
        InputError
            If a sample is NaN or infinite.
        """
        for start in range(0, len(self), 4096):  # a bounded piece of a mapped file at a time
            bad = ~np.isfinite(self.samples[start : start + 4096]).all(axis=(1, 2))
            if bad.any():
                line = start + int(np.argmax(bad))
                raise InputError(
                    f"{self.path or 'stream'}: line {line} (frame {int(self.frame[line])}): a sample is "
                    "not finite; repair the stream, or scan it again"
                )


def ky_range(ny: int) -> tuple[int, int]:
    """Return the first and last row of a centred k-space with ny rows (k = 0 at index ny // 2)."""
    return -(ny // 2), ny - ny // 2 - 1


Layout = dict[str, tuple[tuple[int, ...], type]]


def expected_arrays(header: Header, lines: int) -> Layout:
    """Return the shape and dtype of every column of a stream with so many lines."""
    return {
        "ky": ((lines,), np.int32),
        "frame": ((lines,), np.int32),
        "t_ns": ((lines,), np.int64),
        "samples": ((lines, header.coils, header.matrix[1]), np.complex64),
    }


def expected_truth(header: Header, lines: int, regions: int) -> Layout:
    """Return the shape and dtype of every array of the truth of a stream with so many lines."""
    frames = lines // header.lines_per_frame
    return {
        "displacement": ((lines, regions, 2), np.float64),
        "centroid": ((lines, 2), np.float64),
        "image": ((frames, *header.matrix), np.complex64),
        "mask": ((frames, *header.matrix), np.bool_),
    }


def check_array(array: NDArray[Any], shape: tuple[int, ...], dtype: type, where: str) -> None:
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise InputError(
            f"{where}: it is {array.dtype} {array.shape}, the header says {np.dtype(dtype)} {shape}"
        )


_PARSERS: dict[str, tuple[type | tuple[type, ...], type]] = {
    "int": (int, int),
    "float": ((int, float), float),
    "str": (str, str),
    "bool": (bool, bool),
}


def typed_fields(kind: type[Any], values: dict[str, Any], where: str) -> dict[str, Any]:
    """Check JSON values against a dataclass's fields; unknown and missing keys are errors."""
    fields = {f.name: str(f.type) for f in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            raise InputError(f"{where}: unknown key {key!r}; known: {', '.join(fields)}")
    out: dict[str, Any] = {}
    for key, annotation in fields.items():
        if key not in values:
            raise InputError(f"{where}: missing key {key!r}")
        value = values[key]
        if annotation.startswith("tuple["):
            item = annotation[6:].split(",")[0]
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise InputError(f"{where}: {key} = {value!r}: expected two numbers")
            out[key] = tuple(_scalar(v, item, f"{where}: {key}") for v in value)
        else:
            out[key] = _scalar(value, annotation, f"{where}: {key}")
    return out


def _scalar(value: Any, annotation: str, where: str) -> Any:
    accepted, convert = _PARSERS[annotation]
    if isinstance(value, bool) != (accepted is bool) or not isinstance(value, accepted):
        raise InputError(f"{where} = {value!r}: expected {annotation}")
    try:
        return convert(value)
    except OverflowError:
        raise InputError(f"{where} = {str(value)[:12]}...: too large for a {annotation}") from None
