"""`mrsim patient`: make a patient of a cine, to be scanned like a phantom."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.arguments import add_overwrite
from harness.console import print_table


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
    asked = command.add_argument_group("of what the files do not say")
    asked.add_argument("--label", metavar="FILE", help="the target's label, of the first frame or of all")
    asked.add_argument("--frame-ms", type=float, metavar="MS", help="time from frame to frame")
    asked.add_argument(
        "--pixel-mm", type=float, nargs=2, metavar=("Y", "X"), help="height and width of a pixel"
    )
    asked.add_argument(
        "--time-axis", choices=("fastest", "slowest"), help="which axis of a stored volume is time"
    )
    add_overwrite(command)


def run(
    *,
    series: str,
    output: str,
    smooth_frames: float,
    label: str | None,
    frame_ms: float | None,
    pixel_mm: list[float] | None,
    time_axis: str | None,
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
    from harness.report.cine import draw_patient
    from harness.report.plotting import plotting
    from mrsim.anatomy.series.reading.cine import read_cine
    from mrsim.anatomy.series.stored import prepare_patient

    plotting()  # before a folder is made whose picture cannot be drawn
    pixel = None if pixel_mm is None else (pixel_mm[0], pixel_mm[1])
    cine = read_cine(series, label=label, frame_ms=frame_ms, pixel_mm=pixel, time_axis=time_axis)
    print(cine)
    patient = prepare_patient(cine, output, smooth_frames=smooth_frames, overwrite=overwrite)
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
    drawn = draw_patient(Path(output) / "picture.png", patient)
    print(f"{output}: a patient of {patient.playback.stop_ns * 1e-9:.1f} s; look at {drawn}")
    print(f"scan it with: mrsim simulate {output} -o mine.stream --seconds 30 --seed 1")
    return 0
