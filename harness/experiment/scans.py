"""The scans of the table: made on demand, kept in a folder under a name that carries what made them.

One scan is one time line: its first part is what training and libraries may know, what follows is judged.
What is true during a scan does not depend on when its lines are taken nor on their noise, so one prospective
scan stores the truth for all of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.console import Report
from harness.experiment.variants import changed
from mrsim.anatomy.body import Body
from mrsim.errors import InputError, Option, OptionError
from mrsim.scanner.acquisition import ScanProtocol, scan_to
from mrsim.scanner.scenes import load_body
from mrsim.stream import Stream, load

TRUTH_SNR = 20.0
"""Target SNR of the scans that store the truth."""


@dataclass(frozen=True)
class Scan:
    """Say what is scanned and how.

    Parameters
    ----------
    patient
        Name of a shipped phantom, a .toml file, or a patient's folder.
    acceleration
        Undersampling factor.
    timing
        "prospective" or "retrospective".
    snr
        Signal of the target over the noise of a fully sampled image.
    seed
        Reproduces the scan.
    seconds
        Its length.
    matrix
        Rows and columns.
    variant
        Change of the phantom, one of `variants.CHANGES`; empty for none.
    coils
        Receive channels.
    field_t
        Static field, tesla.
    """

    patient: str
    acceleration: float
    timing: str = "prospective"
    snr: float = TRUTH_SNR
    seed: int = 0
    seconds: float = 183.0
    matrix: tuple[int, int] = ScanProtocol.matrix
    variant: str = ""
    coils: int = ScanProtocol.coils
    field_t: float = ScanProtocol.field_t

    @property
    def phantom(self) -> Body:
        """Return what is scanned."""
        return _phantom(self.patient, self.variant)

    @property
    def protocol(self) -> ScanProtocol:
        """Return how it is scanned."""
        return ScanProtocol(
            matrix=self.matrix,
            acceleration=self.acceleration,
            timing=self.timing,
            target_snr=self.snr,
            coils=self.coils,
            field_t=self.field_t,
        )

    @property
    def keeper(self) -> Scan:
        """Return the scan that stores the truth of this one."""
        return dataclasses.replace(self, timing="prospective", snr=TRUTH_SNR)

    def describe(self) -> dict[str, Any]:
        """Return what names the scan, as JSON values."""
        text = hashlib.sha256(self.phantom.text.encode()).hexdigest()
        values = dataclasses.asdict(self) | {"patient": self.name, "matrix": list(self.matrix)}
        for key in ("coils", "field_t"):  # left out where usual, so that such scans are called as ever
            if values[key] == getattr(ScanProtocol, key):
                del values[key]
        return values | {"snr": _finite(self.snr), "phantom_sha256": text}

    @property
    def name(self) -> str:
        """Return the patient's name without a folder."""
        return Path(self.patient).stem

    def folder(self) -> str:
        """Return the name of the folder that it is kept in."""
        variant = f"-{self.variant}" if self.variant else ""
        coils = f"-{self.coils}coils" if self.coils > 1 else ""
        what = f"{self.name}-{self.acceleration:g}x-{self.timing}-snr{self.snr:g}{coils}{variant}"
        return f"{what}-{fingerprint(self.describe())}.stream"


@lru_cache(maxsize=64)
def _phantom(patient: str, variant: str) -> Body:
    return changed(load_body(patient), variant)


def fingerprint(values: dict[str, Any]) -> str:
    """Return twelve digits that name a set of JSON values."""
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Scans:
    """Keep the scans of a table in a folder.

    Parameters
    ----------
    folder
        Where; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stream(self, scan: Scan, report: Report | None = None) -> Stream:
        """Return a scan with its truth; what is missing is made.

        Raises
        ------
        InputError
            If the phantom cannot be scanned so.
        """
        keeper = self._load(scan.keeper, True, report)
        if scan == scan.keeper:
            return keeper
        return dataclasses.replace(self._load(scan, False, report), truth=keeper.truth)

    def provide(self, scan: Scan) -> None:
        """Make a scan where it is missing, but not the one that stores its truth."""
        self._load(scan, scan == scan.keeper, None)

    def _load(self, scan: Scan, truth: bool, report: Report | None) -> Stream:
        path = self._folder / scan.folder()
        if not path.is_dir():
            now = f"scanning {scan.name} at {scan.acceleration:g}x, {scan.timing}, SNR {scan.snr:g}"
            scan_to(
                path, scan.phantom, scan.protocol, seed=scan.seed, seconds=scan.seconds, truth=truth,
                progress=None if report is None else lambda done, total: report(done, total, now),
                overwrite=True,  # another process may have made it meanwhile, of the same bytes
            )  # fmt: skip
        return load(path)


@dataclass(frozen=True)
class TimeLine:
    """Divide a scan into what may be known and what is judged.

    Parameters
    ----------
    train_s
        Length of the first part, which training and libraries may know, seconds.
    lead_s
        How long before the second part a candidate sees its first line, seconds.
    judged_s
        Length of what is judged; None for all that follows.
    """

    train_s: float = 70.0
    lead_s: float = 10.0
    judged_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.lead_s <= self.train_s:  # false for NaN, too
            both = Option("lead_s", self.lead_s), Option("train_s", self.train_s)
            raise OptionError("{}, {}: expected a lead-in above 0 and within the first part", *both)
        if self.judged_s is not None and not self.judged_s > 0:
            raise OptionError("{}: expected more than 0", Option("judged_s", self.judged_s))

    def known_frames(self, frame_ns: int) -> int:
        """Return how many first frames lie wholly within the first part."""
        return int(self.train_s * 1e9 / frame_ns + 1e-9)

    def judged(self, frames: int, frame_ns: int, judged_s: float | None = None) -> tuple[int, int, int]:
        """Return the frame that is seen first, the first that is judged, and the one past the last judged.

        Raises
        ------
        InputError
            If the scan ends before one could be judged.
        """
        seconds = min(s for s in (self.judged_s, judged_s, math.inf) if s is not None)
        first = math.ceil(self.train_s * 1e9 / frame_ns - 1e-9)
        seen = math.ceil((self.train_s - self.lead_s) * 1e9 / frame_ns - 1e-9)
        stop = frames if math.isinf(seconds) else min(frames, first + math.floor(seconds * 1e9 / frame_ns))
        if stop <= first:
            raise InputError(
                f"the scan of {frames * frame_ns / 1e9:.1f} s has no frame to judge after {self.train_s:g} "
                "s: scan for longer (--scan-seconds), or judge for longer (--seconds)"
            )
        return seen, first, stop
