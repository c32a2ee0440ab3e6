"""Real cines through the whole of it: read, played back, moved as twins, scanned, found; how hard they are.

    python scripts/real_cines.py FOLDER                   every cine of a folder, some minutes each
    python scripts/real_cines.py FOLDER --short           as the tests run it
    python scripts/real_cines.py FOLDER --pictures DIR    ten frames of each with the target's outline

Each line says what was measured and what is asked; the exit code is 1 where one falls short. Images are
nobody's but their owners': pictures are written where you say, which is outside of the project.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from harness.hardness.score import Hardness, hardness_of  # noqa: E402
from harness.measure.finding.segmentation import TargetFinder  # noqa: E402
from mrsim.anatomy.series.patient import Patient, patient_of  # noqa: E402
from mrsim.anatomy.series.reading.cine import read_cine  # noqa: E402
from mrsim.anatomy.series.series import Series  # noqa: E402
from mrsim.anatomy.series.twin.course import Course  # noqa: E402
from mrsim.anatomy.series.twin.labels import label_errors, moved_label  # noqa: E402
from mrsim.anatomy.series.twin.moving import State  # noqa: E402
from mrsim.anatomy.series.twin.twin import Twin, stretch  # noqa: E402
from mrsim.errors import InputError  # noqa: E402
from mrsim.scanner.oracle import Oracle  # noqa: E402
from mrsim.scanner.protocol import ScanProtocol  # noqa: E402
from mrsim.scanner.twin_scene import TwinScene  # noqa: E402
from mrsim.simulation import simulate  # noqa: E402

SHORT_FRAMES, MATRIX = 60, (128, 128)
NO_DOME = 0.2  # share of frames without its edge from which on a cine is taken to show none
LOST = 0.05  # as for the methods of the finder itself: what loses more has no error that could be told


class Line(NamedTuple):
    """Hold one thing that was measured; `most` is None where nothing is asked."""

    what: str
    value: float
    most: float | None = None

    @property
    def holds(self) -> bool:
        """Return whether it is as asked."""
        return self.most is None or self.value <= self.most


def main() -> int:
    """Measure every cine of a folder; return 1 where one is not as asked, 2 where there is none."""
    parser = argparse.ArgumentParser(description="Put real cines through the whole of it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--short", action="store_true", help="the first frames alone, as the tests run it")
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="where pictures go, outside of the project"
    )
    args = parser.parse_args()
    if args.pictures is not None and args.pictures.resolve().is_relative_to(ROOT):
        print(f"{args.pictures}: within the project; pictures of persons go elsewhere", file=sys.stderr)
        return 2
    entries = sorted(args.folder.iterdir()) if args.folder.is_dir() else []
    cines = [path for path in entries if path.suffix in (".npz", ".mha", ".nii", ".gz") or path.is_dir()]
    if not cines:
        print(f"{args.folder}: no cine in it", file=sys.stderr)
        return 2
    fell_short = 0
    for path in cines:
        try:
            series = read_cine(path)
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        series = _first(series, SHORT_FRAMES) if args.short else series
        print(series)
        patient = patient_of(series, name=path.stem, twin=True)
        for line in measured(patient, args.short):
            asked = (
                ""
                if line.most is None
                else f"  (at most {line.most:g}{'' if line.holds else ': FALLS SHORT'})"
            )
            print(f"  {line.what:<66} {line.value:10.3g}{asked}", flush=True)
            fell_short += not line.holds
        if args.pictures is not None:
            args.pictures.mkdir(parents=True, exist_ok=True)
            print(f"  {draw(patient, args.pictures / f'{path.stem}.png')}")
    return 1 if fell_short else 0


def measured(patient: Patient, short: bool) -> Iterator[Line]:
    """Yield what is measured of a cine."""
    realism, played = patient.record["realism"], patient.playback
    yield Line("energy that is white in time, taken away", realism["energy_removed"])
    yield Line("left-out frames, met by the cross-fade of two (NMSE)", realism["left_out_nmse"])
    yield Line("the same frames, met by the frame before (NMSE)", realism["frame_before_nmse"])
    if realism["least_likeness"] is not None:
        yield Line(
            "1 - least correlation of the target that was followed", 1 - realism["least_likeness"], 0.7
        )
    recorded = patient.recorded
    assert recorded is not None
    protocol = ScanProtocol(matrix=recorded.matrix, fov_m=recorded.fov_m, acceleration=1, sampler="full")
    oracle = Oracle(patient, protocol.header(), 0)
    some = np.linspace(0, len(played.images) - 1, 5 if short else 25).astype(int)
    met = max(
        float(np.linalg.norm(oracle.image(int(played.t_ns[n])) - played.images[n]))
        / float(np.linalg.norm(played.images[n]))
        for n in some
    )
    yield Line("stored frames, met by the playback at their instants (NRMSE, worst)", met, 1e-6)
    yield Line("k-space against direct summation over pixels (worst of the largest)", _summed(patient), 1e-6)
    found = hardness_of(played.images, float(np.median(np.diff(played.t_ns))) * 1e-9)
    for share, rank in zip(("1e-2", "1e-3", "1e-4"), found.rank, strict=True):
        yield Line(f"rank for {share}", rank)
    yield Line("memory score", found.memory_score)
    yield Line("energy outside 20 components of what was seen before", found.outside)
    yield from _twin(patient, short, found)
    if len(played.labels) and not short:
        yield from _found(patient)


def _twin(patient: Patient, short: bool, playback: Hardness) -> Iterator[Line]:
    """Yield how well the twin meets the cine: in the body, at an edge, by its label, and how hard it is."""
    known, played, twin = patient.record["twin"], patient.playback, patient.twin
    met = known["realism"]
    yield Line("left-out frames, moved reference over the one that stands still",
               met["moved_left_out"] / met["static_left_out"])  # fmt: skip
    if twin is None:
        yield Line(f"twin: {known['refused'][:60]}", 1.0, 0.0)
        return
    yield Line("NMSE of the reference that stands still", met["static"])
    yield Line("NMSE of the frame before", met["previous"])
    yield Line("NMSE of the reference moved by the modes alone", met["moved"], met["static"])
    yield Line("NMSE of the twin", met["twin"], met["static"])
    yield Line("left-out frames, met by the twin between both neighbours (NMSE)", met["twin_left_out"])
    yield Line(
        "k-space of the twin against direct summation (worst of the largest)", _twin_summed(patient), 1e-6
    )
    frames = range(0, len(played.images), 6 if short else 1)
    images = {n: twin.image(twin.frame_state(n)) for n in frames}
    if not short:
        step = float(np.median(np.diff(played.t_ns))) * 1e-9
        hard = hardness_of(np.stack(list(images.values())), step)
        yield Line("rank for 1e-3 of the twin", hard.rank[1])
        yield Line("rank for 1e-3, the playback's over the twin's", playback.rank[1] / hard.rank[1], 1 / 0.7)
        yield Line("memory score of the twin", hard.memory_score)
        score = playback.memory_score / hard.memory_score
        yield Line("memory score, the playback's over the twin's", score, 1 / 0.7)
    yield from _dome(patient, twin, images)
    if (errors := label_errors(played, twin)) is not None:
        yield Line("1 - Dice of the moved label and the given ones", 1 - errors.dice)
        yield Line("moved label's centre to what was followed, median (pixels)", errors.median_px)
        yield Line("moved label's centre to what was followed, p95 (pixels)", errors.p95_px)


def _dome(patient: Patient, twin: Twin, images: dict[int, NDArray[Any]]) -> Iterator[Line]:
    """Yield where the edge of the liver's dome is in the twin's images, beside the stored frames'."""
    played = patient.playback
    dome = Dome(np.abs(played.images))
    here = np.array([dome.row(np.abs(played.images[n])) for n in images])
    lost = float(np.isnan(here).mean())
    yield Line("share of frames in which no edge of a dome is told", lost)
    if lost > NO_DOME:
        return
    alone = dataclasses.replace(twin, states=np.abs(twin.reference)[None, None].astype(np.float32))
    bare = [dome.row(np.abs(alone.image(_first_state(twin, n)))) for n in images]
    for who, moved, asked in (
        ("twin", [dome.row(np.abs(image)) for image in images.values()], (1.0, 2.0, LOST)),
        ("moved reference alone", bare, (None, None, None)),
    ):
        away = np.abs(np.array(moved) - here)
        yield Line(f"edge of the dome, {who}, median (pixels)", float(np.nanmedian(away)), asked[0])
        yield Line(f"edge of the dome, {who}, p95 (pixels)", float(np.nanpercentile(away, 95)), asked[1])
        yield Line(
            f"share of frames in which the {who} shows none",
            float(np.isnan(away[~np.isnan(here)]).mean()),
            asked[2],
        )
    yield Line("the dome's edge goes up and down by (pixels)", float(np.nanmax(here) - np.nanmin(here)))


def _first_state(twin: Twin, frame: int) -> State:
    return dataclasses.replace(twin.frame_state(frame), frames=np.zeros((1, 1), np.int64))


class Dome:
    """Find the upper edge of what is bright below what is dark, in a band of columns; no field is asked.

    Parameters
    ----------
    images
        Magnitudes, shape (frames, ny, nx): their mean says where the steepest such edge is.
    """

    def __init__(self, images: NDArray[np.floating]) -> None:
        mean = images.mean(axis=0, dtype=np.float64)
        rows, columns = mean.shape
        self._reach = reach = max(4, rows // 10)
        rise, dark = np.zeros_like(mean), np.percentile(mean, 45)
        # Dark for long above and brighter for long below, as shares: no thin line, and no vessel.
        for n in range(reach, rows - reach):
            above, below = np.median(mean[n - reach : n], axis=0), np.median(mean[n : n + reach], axis=0)
            rise[n] = np.where(above < dark, (below - above) / (below + above + dark), 0)
        rise[: rows // 6], rise[2 * rows // 3 :] = 0, 0
        rise[:, : columns // 4], rise[:, 3 * columns // 4 :] = 0, 0
        self._at, column = np.unravel_index(rise.argmax(), rise.shape)
        self._columns = slice(int(column) - 2, int(column) + 3)
        profile = mean[:, self._columns].mean(axis=1)
        above = np.median(profile[self._at - reach : self._at])
        self._level = float(above + np.median(profile[self._at : self._at + reach])) / 2

    def row(self, image: NDArray[np.floating]) -> float:
        """Return the row at which the profile passes the middle of dark and bright; NaN where it does not."""
        low, high = max(0, self._at - self._reach), min(len(image), self._at + 2 * self._reach)
        profile = image[low:high, self._columns].mean(axis=1, dtype=np.float64)
        for n in range(1, len(profile) - 5):
            # Where it rises past the middle, and stays there for some rows.
            if profile[n - 1] <= self._level < profile[n : n + 6].min():
                return float(low + n - (profile[n] - self._level) / (profile[n] - profile[n - 1]))
        return float("nan")


def _twin_summed(patient: Patient) -> float:
    """Return how far lines of the twin are from sums over moved pixels, relative to the largest sample."""
    worst = largest = 0.0
    for drive in ("recorded", "breaths"):
        try:
            body = patient.driven(drive)
            scene = TwinScene(body, ScanProtocol(matrix=MATRIX, fov_m=(0.34, 0.34)).header(), 1)
        except InputError:  # no two breaths
            continue
        twin, ride = body.twin, body.ride
        assert twin is not None
        assert ride is not None
        rng = np.random.default_rng(2)
        ky = rng.integers(-40, 40, 8).astype(np.int32)
        t_ns = np.sort(rng.integers(0, patient.playback.stop_ns, 8))
        lines, state = scene.uniform.lines(ky, t_ns)[:, 0], Course(twin, ride, 1, "twin").at(t_ns)
        (rows, columns), (height, width) = twin.sides, twin.pixel_m
        kx = (np.arange(MATRIX[1]) - MATRIX[1] // 2) / 0.34
        inside = np.abs(kx) <= 0.5 / width
        for n, row in enumerate(ky.tolist()):
            field = twin.field(state.values[n])
            mixed = np.einsum(
                "k,kyx->yx", state.shares[n], twin.states[state.frames[n], 0].astype(np.float64)
            )
            weight = mixed * stretch(twin.field(state.weighed[n]))
            y = (np.arange(rows)[:, None] - rows // 2 + field[0]) * height
            x = (np.arange(columns) - columns // 2 + field[1]) * width
            wave = weight * np.exp(-2j * np.pi * row / 0.34 * y)
            total = np.array([(wave * np.exp(-2j * np.pi * k * x)).sum() for k in kx[inside]])
            total *= height * width / 0.34**2 * np.sqrt(np.prod(MATRIX))
            worst = max(worst, float(np.abs(lines[n][inside] - total).max()))
            largest = max(largest, float(np.abs(total).max()))
    return worst / largest


def _summed(patient: Patient) -> float:
    """Return how far lines are from sums over pixels, relative to the largest sample."""
    played, protocol = patient.playback, ScanProtocol(matrix=MATRIX, fov_m=(0.34, 0.34))
    oracle, header = Oracle(patient, protocol.header(), 0), protocol.header()
    rng = np.random.default_rng(1)
    ky = rng.integers(-40, 40, 12).astype(np.int32)
    t_ns = np.sort(rng.integers(0, played.stop_ns, 12))
    lines = oracle.lines(ky, t_ns)
    height, width = played.pixel_m
    rows, columns = played.images.shape[1:]
    y, x = (np.arange(rows) - rows // 2) * height, (np.arange(columns) - columns // 2) * width
    kx = (np.arange(MATRIX[1]) - MATRIX[1] // 2) / header.fov_m[1]
    inside = np.abs(kx) <= 0.5 / width
    worst = largest = 0.0
    for line, row, t in zip(lines, ky, t_ns, strict=True):
        n = min(int(np.searchsorted(played.t_ns, t, side="right")) - 1, len(played.t_ns) - 2)
        part = (t - played.t_ns[n]) / (played.t_ns[n + 1] - played.t_ns[n])
        image = (1 - part) * played.images[n].astype(np.complex128) + part * played.images[n + 1]
        wave = np.exp(-2j * np.pi * (row / header.fov_m[0] * y[:, None] + 0 * x))
        total = np.array([(image * wave * np.exp(-2j * np.pi * k * x)).sum() for k in kx[inside]])
        total *= height * width / np.prod(header.fov_m) * np.sqrt(np.prod(MATRIX))
        worst = max(worst, float(np.abs(line[inside] - total).max()))
        largest = max(largest, float(np.abs(total).max()))
    return worst / largest


def _found(patient: Patient) -> Iterator[Line]:
    """Yield how well the judge finds the target in the noise-free truth of a fully sampled scan."""
    seconds = patient.playback.stop_ns * 1e-9 - 1
    fov = max(
        side * n for side, n in zip(patient.playback.pixel_m, patient.playback.images.shape[1:], strict=True)
    )
    scan = simulate(
        patient, seconds=seconds, acceleration=1, sampler="full", matrix=MATRIX, fov_m=(fov, fov),
        target_snr=np.inf,
    )  # fmt: skip
    truth, lines = scan.truth, scan.header.lines_per_frame
    assert truth is not None
    finder = TargetFinder(truth, scan.header)
    found = [finder.find(np.abs(image)) for image in truth.image]
    true = truth.centroid[lines - 1 :: lines]
    errors = [
        np.hypot(*(np.array(s.centroid_m) - c)) for s, c in zip(found, true, strict=True) if s is not None
    ]
    yield Line("share of noise-free images in which no target is told", 1 - len(errors) / len(found), LOST)
    pixel = fov / MATRIX[0]
    yield Line(f"centre error there, median (pixels of {pixel * 1e3:.1f} mm)", np.median(errors) / pixel, 0.5)
    yield Line("centre error there, p95 (pixels)", np.percentile(errors, 95) / pixel, 1.0)


def draw(patient: Patient, path: Path) -> Path:
    """Draw ten frames with the target's outline as it was followed (red), and the twin's with its own."""
    from matplotlib.figure import Figure

    played = patient.playback
    figure = Figure(figsize=(20, 20), layout="constrained")
    top = float(np.percentile(np.abs(played.images), 99.5))
    grid, twin = figure.subplots(4, 5), patient.twin
    some = np.linspace(0, len(played.images) - 1, 10).astype(int)
    for axes, n in zip(grid[2:].ravel(), some.tolist(), strict=True):
        axes.set_axis_off()
        if twin is not None:
            axes.imshow(np.abs(twin.image(twin.frame_state(n))), cmap="gray", vmax=top)
            if len(twin.rest_label):
                axes.contour(moved_label(twin, n), [0.5], colors="c")
    for axes, n in zip(grid[:2].ravel(), some, strict=True):
        axes.imshow(np.abs(played.images[n]), cmap="gray", vmax=top)
        if len(played.labels):
            label = played.labels[n if len(played.labels) > 1 else 0]
            dy, dx = played.path_px[n] - played.path_px[n if len(played.labels) > 1 else 0]
            axes.contour(
                np.arange(label.shape[1]) + dx, np.arange(label.shape[0]) + dy, label, [0.5], colors="r"
            )
        axes.set_title(f"{played.t_ns[n] * 1e-9:.1f} s")
        axes.set_axis_off()
    figure.savefig(path, dpi=60)
    return path


def _first(series: Series, frames: int) -> Series:
    labels = series.labels[:frames] if len(series.labels) > 1 else series.labels
    return dataclasses.replace(
        series, images=series.images[:frames], t_ns=series.t_ns[:frames], labels=labels
    )


if __name__ == "__main__":
    sys.exit(main())
