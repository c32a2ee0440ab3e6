"""`mrsim patient`: make a patient of a cine, to be scanned like a phantom."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.arguments import add_overwrite
from harness.console import print_table, progress

if TYPE_CHECKING:
    from mrsim.anatomy.series.patient import Patient


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "series", metavar="SERIES",
        help="folder (TrackRAD's layout, a DICOM series, NIfTI files) or file (.mha, .nii, .dcm, .npz, .npy)",
    )  # fmt: skip
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to make")
    command.add_argument(
        "--smooth-frames", type=float, default=1.0, metavar="FRAMES",
        help="width of the Gaussian in time that takes away what is white in time (%(default)s); 0 for none",
    )  # fmt: skip
    command.add_argument(
        "--phase-deg", type=float, default=0.0, metavar="DEG",
        help="smooth synthetic phase that magnitudes get, within DEG either way (%(default)g: none)",
    )  # fmt: skip
    asked = command.add_argument_group("of what the files do not say")
    asked.add_argument("--label", metavar="FILE", help="the target's label, of the first frame or of all")
    asked.add_argument("--frame-ms", type=float, metavar="MS", help="time from frame to frame")
    asked.add_argument(
        "--pixel-mm", type=float, nargs=2, metavar=("Y", "X"), help="height and width of a pixel"
    )
    asked.add_argument(
        "--time-axis", choices=("fastest", "slowest"), help="which axis of a stored volume is time"
    )
    asked.add_argument(
        "--part",
        type=int,
        metavar="N",
        help="which of several series or slices in DICOM files is meant, from 1",
    )
    asked.add_argument("--structure", metavar="NAME", help="which structure of a label's file is the target")
    command.add_argument(
        "--no-twin", dest="twin", action="store_false",
        help="leave the twin out, which other days and longer scans need: it takes a second for some frames",
    )  # fmt: skip
    add_overwrite(command)


def run(
    *,
    series: str,
    output: str,
    smooth_frames: float,
    phase_deg: float,
    label: str | None,
    frame_ms: float | None,
    pixel_mm: list[float] | None,
    time_axis: str | None,
    part: int | None,
    structure: str | None,
    twin: bool,
    overwrite: bool,
) -> int:
    """Make a patient, store it in a folder and say how it differs from what was recorded.

    Raises
    ------
    InputError
        If the series is wrong, its target cannot be followed, or the folder cannot be made.
    MissingExtraError
        If matplotlib, or what reads such files, is not installed.
    """
    from harness.picture.patient import draw_patient
    from mrsim.anatomy.series.phase import with_phase
    from mrsim.anatomy.series.reading.cine import read_cine
    from mrsim.anatomy.series.stored import check_new_patient, store_patient
    from mrsim.anatomy.series.twin.breaths import breaths_of
    from mrsim.plotting import plotting

    plotting()  # before a folder is made whose picture cannot be drawn
    pixel = None if pixel_mm is None else (pixel_mm[0], pixel_mm[1])
    check_new_patient(Path(output), overwrite)
    cine = read_cine(
        series, label=label, frame_ms=frame_ms, pixel_mm=pixel, time_axis=time_axis, part=part,
        structure=structure,
    )  # fmt: skip
    cine = with_phase(cine, phase_deg)
    print(cine)
    with progress("fitting the twin" if twin else "smoothing") as report:
        drawn = Path(output) / "picture.png"
        patient = store_patient(
            cine,
            Path(output),
            smooth_frames,
            twin=twin,
            overwrite=overwrite,
            progress=report,
            beside=lambda room, made: draw_patient(room / drawn.name, made),
        )
    realism, likeness = patient.record["realism"], patient.record["realism"]["least_likeness"]
    rows = [
        ["energy that is white in time, taken away", f"{realism['energy_removed']:.1e}"],
        [
            "left-out frames, met by the cross-fade of two (NMSE)",
            f"{realism['left_out_nmse']:.1e}",
        ],
        ["the same frames, met by the frame before (NMSE)", f"{realism['frame_before_nmse']:.1e}"],
        ["least correlation of the target that was followed", "-" if likeness is None else f"{likeness:.2f}"],
    ]
    print_table("in the body", ["", ""], rows)
    if twin:
        _tell_twin(patient)
    print(f"{output}: a patient of {patient.playback.stop_ns * 1e-9:.1f} s; look at {drawn}")
    # No more than was recorded: the command is to be copied.
    seconds = min(30.0, int(patient.playback.stop_ns * 1e-8) / 10)
    print(f"scan it with: mrsim simulate {output} -o mine.stream --seconds {seconds:g} --seed 1")
    if "sha256" in patient.record.get("twin", {}):
        twin_made = patient.driven().twin
        several = twin_made is not None and len(breaths_of(twin_made.values[:, 0])) > 1
        # Of one breath no other days can be drawn: the recorded one is scaled.
        drive = "drive=breaths" if several else "drive=recorded --set scale=0.8"
        print(f"another day of it: mrsim simulate {output} -o day2.stream --seconds 60 --set {drive}")
    return 0


def _tell_twin(patient: Patient) -> None:
    """Print how well the twin meets the cine, or why there is none."""
    from harness.hardness.subject import hardness_of_body
    from mrsim.anatomy.series.twin.labels import label_errors

    known = patient.record["twin"]
    met = known["realism"]
    if "refused" in known:
        print(f"no twin: {known['refused']}")
        return
    still, moved = met["static_left_out"], met["moved_left_out"]
    rows = [
        ["left-out frames: the reference that stands still", _share(still)],
        [f"the same, moved by both neighbours' fields (smoothness {met['strength']:g})", _share(moved)],
        ["all frames: the reference that stands still", _share(met["static"])],
        ["all frames: the frame before", _share(met["previous"])],
        ["all frames: the reference, moved by the modes alone", _share(met["moved"])],
        ["all frames: the twin", _share(met["twin"])],
        ["left-out frames: the twin between both neighbours", _share(met["twin_left_out"])],
        ["left-out frames: the cross-fade of both neighbours", _share(met["faded_left_out"])],
        ["least size that tissue is pressed to in a frame", f"{met['least_stretch']:.2f}"],
    ]
    twin = patient.driven()
    assert twin.twin is not None
    if (errors := label_errors(patient.playback, twin.twin)) is not None:
        rows += [
            ["moved label against given ones: Dice, mean", f"{errors.dice:.3f}"],
            ["moved label's centre against the path, median and p95 (pixels)",
             f"{errors.median_px:.2f}, {errors.p95_px:.2f}"],
        ]  # fmt: skip
    print_table("the twin, NMSE in the body", ["", ""], rows)
    with progress("how hard they are") as report:
        hard = [hardness_of_body(body, patient.name, progress=report) for body in (patient, twin)]
    print_table(
        "how hard they are",
        ["", "rank for 1e-2, 1e-3, 1e-4", "memory score"],
        [
            [name, ", ".join(map(str, one.rank)), f"{one.memory_score:.2f}"]
            for name, one in zip(("playback", "twin, as recorded"), hard, strict=True)
        ],
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"
