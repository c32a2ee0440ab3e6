"""A patient made of a cine: a folder of plain arrays and a record, that is scanned like a phantom."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mrsim
from mrsim.anatomy.body import Inside, Recorded
from mrsim.anatomy.phantom_file import emit
from mrsim.anatomy.series.playback import SMOOTH_FRAMES, Playback, Realism, playback_of
from mrsim.anatomy.series.series import Series
from mrsim.anatomy.series.text import KIND, RECORDED, TWIN
from mrsim.anatomy.series.twin.ride import Ride, ride_of
from mrsim.anatomy.series.twin.stored import load_twin
from mrsim.anatomy.series.twin.twin import Twin
from mrsim.errors import PhantomError
from mrsim.summary import Summarised

TARGET = "target"
ARRAYS = ("images", "t_ns", "labels", "path_px")


@dataclass(frozen=True, repr=False)
class Patient(Summarised):
    """Hold a patient that can be scanned for as long as was recorded.

    Parameters
    ----------
    name
        Short name.
    playback
        What is scanned.
    digest
        SHA-256 of the arrays, hexadecimal: a scan names what it was made from.
    folder
        Where it is stored; None if it is not.
    record
        What the folder's record says of source, smoothing and realism.
    twin, ride
        Its twin and what drives it; without a ride it is played back.
    """

    name: str
    playback: Playback
    digest: str
    folder: Path | None = None
    record: dict[str, Any] = field(default_factory=dict)
    twin: Twin | None = None
    ride: Ride | None = None

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        played, (frames, rows, columns) = self.playback, self.playback.images.shape
        height, width = (side * 1e3 for side in played.pixel_m)
        return f"Patient: {self.name}", [
            ("recorded", f"{frames} frames, {played.stop_ns * 1e-9:.1f} s"),
            ("image", f"{rows} x {columns}, pixels of {height:g} x {width:g} mm"),
            ("target", "labelled" if len(played.labels) else "none"),
            ("moves", "as recorded" if self.ride is None else f"twin, drive {self.ride.drive}"),
        ]

    def driven(self, drive: str = RECORDED, **changes: Any) -> Patient:
        """Return its twin, driven as is asked for.

        Parameters
        ----------
        drive
            "recorded", "breaths", "breathing", or a trace: see `Ride`.
        changes
            Other values of `Ride`: `scale`, `slow`, `shift_s`, `weight`.

        Raises
        ------
        PhantomError
            If it has no twin, or a value is wrong.
        """
        return self.ridden(ride_of({"drive": drive, **changes}, self.name))

    def ridden(self, ride: Ride) -> Patient:
        """Return its twin on a ride; one other than the recorded course has a name of its own."""
        twin = self.twin
        if twin is None:
            if self.folder is None:
                raise PhantomError(f"{self.name}: it has no twin; make it with twin=True")
            twin = load_twin(self.folder, self.record, self.playback)
        name = self.name
        if ride.mark:
            name = f"{name}-{_plain(ride.drive.removesuffix('.csv'))[:30]}-{ride.mark}"
        return dataclasses.replace(self, name=name, twin=twin, ride=ride)

    @property
    def text(self) -> str:
        """Return what makes it again: where it is stored, and the hash of its arrays."""
        where = "" if self.folder is None else str(self.folder.resolve())
        told: dict[str, Any] = {"kind": KIND, "name": self.name, "folder": where, "sha256": self.digest}
        if self.ride is not None and self.twin is not None:
            told |= {"form": TWIN, "twin_sha256": self.twin.digest, **self.ride.table()}
        return emit(told)

    @property
    def target(self) -> str:
        """Return the name of the region that is tracked."""
        return TARGET

    @property
    def region_names(self) -> tuple[str, ...]:
        """Return the names of what has a displacement of its own: the target alone."""
        return (TARGET,)

    @property
    def target_center_m(self) -> tuple[float, float]:
        """Return where the target is in the first frame, or in the twin's reference, (x, y), metres."""
        if self.ride is not None and self.twin is not None and len(self.twin.rest_label):
            middle = self.metres(np.argwhere(self.twin.rest_label[0]).mean(axis=0)[None])[0]
            return float(middle[0]), float(middle[1])
        y, x = self.metres(self.playback.path_px[:1])[0, ::-1]
        return float(x), float(y)

    def resting_outline(self) -> Inside | None:
        """Return None: the outline of a cine moves."""
        return None

    @property
    def coil_shift_m(self) -> tuple[float, float]:
        """Return none: the coils are where they are by default."""
        return 0.0, 0.0

    @property
    def beyond_fov(self) -> bool:
        """Return False: there is nothing beyond the cine."""
        return False

    @property
    def tissues(self) -> frozenset[str]:
        """Return none: it is made of images."""
        return frozenset()

    @property
    def anatomy_sha256(self) -> str:
        """Return the SHA-256 of its arrays, hexadecimal."""
        return self.digest

    @property
    def recorded(self) -> Recorded | None:
        """Return the pixels and instants of the cine."""
        (rows, columns), (height, width) = self.playback.images.shape[1:], self.playback.pixel_m
        return Recorded((rows, columns), (rows * height, columns * width), self.playback.t_ns)

    def metres(self, place_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return places (row, column) as (x, y), shape (n, 2), metres from the middle of the image."""
        sides = np.array(self.playback.images.shape[1:])
        placed = (place_px - sides // 2) * np.array(self.playback.pixel_m)
        return np.asarray(placed[:, ::-1], np.float64)


def patient_of(
    series: Series,
    smooth_frames: float = SMOOTH_FRAMES,
    name: str = "patient",
    *,
    twin: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Patient:
    """Make a patient of a cine.

    Parameters
    ----------
    series
        The cine.
    smooth_frames
        Standard deviation of the Gaussian in time, in median frames; 0 keeps the frames as they are.
    name
        Short name.
    twin
        Whether its twin is learnt, too, which takes a second for some frames.
    progress
        Called with the steps of the twin that are done and their number.

    Raises
    ------
    PhantomError
        If the target cannot be followed, or leaves the image.
    """
    from mrsim.anatomy.series.twin.learning import twin_of  # it takes numba, which a replay does not

    playback, realism = playback_of(series, smooth_frames)
    name = _plain(name)[:60].strip("-") or "patient"
    made = {"source": series.source, "smooth_frames": smooth_frames, "version": mrsim.__version__}
    made |= {"orientation": series.orientation, "notes": list(series.notes)}
    made["realism"] = _told(realism)
    learnt, known = twin_of(playback, progress=progress) if twin else (None, None)
    if known is not None:
        told = {k: v if math.isfinite(v) else None for k, v in dataclasses.asdict(known).items()}
        made["twin"] = {"realism": told} | (
            {"refused": known.refused} if learnt is None else {"sha256": learnt.digest}
        )
    return Patient(name, playback, digest_of(playback), None, made, learnt)


def digest_of(playback: Playback) -> str:
    """Return the SHA-256 of what is played back, hexadecimal."""
    hasher = hashlib.sha256(repr(tuple(round(side, 12) for side in playback.pixel_m)).encode())
    for name in ARRAYS:
        array = np.ascontiguousarray(getattr(playback, name))
        hasher.update(f"{name} {array.dtype.str} {array.shape}".encode())
        hasher.update(array.data)
    return hasher.hexdigest()


def _told(realism: Realism) -> dict[str, float | None]:
    return {
        "energy_removed": realism.removed,
        "left_out_nmse": realism.left_out,
        "frame_before_nmse": realism.previous,
        "least_likeness": realism.likeness,
    }


def _plain(name: str) -> str:
    return re.sub("[^A-Za-z0-9_-]+", "-", name)
