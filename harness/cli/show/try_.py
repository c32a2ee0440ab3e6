"""`mrsim try`: from somebody's file to one page, one moving picture and one sentence in millimetres."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.arguments import (
    add_allow_seen,
    add_changes,
    add_isolate,
    add_overwrite,
    add_seed,
    settings,
    tell_seen,
)
from harness.console import print_apart, progress
from mrsim.errors import InputError

if TYPE_CHECKING:
    from mrsim.anatomy.body import Body
    from mrsim.anatomy.series.patient import Patient
    from mrsim.scanner.protocol import ScanProtocol

BODY = "patient1"
CLAIM = 0.95
"""Share of images that are to be in time: what a minute of them carries."""
SECONDS = 60.0
"""Enough breaths for an answer on the target, where a breath takes no more than four seconds."""
WRITTEN = ("report.html", "behind.gif", "result.json")


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    from harness.candidates.registry import known

    command.add_argument("candidate", metavar="CANDIDATE", help=", ".join(known()))
    command.add_argument(
        "body", nargs="?", default=BODY, metavar="PATIENT|CINE",
        help="a phantom, a patient's folder, or a cine: folder or file, as for `mrsim patient` (%(default)s)",
    )  # fmt: skip
    command.add_argument("-o", "--output", default="try", metavar="DIR", help="folder to write (%(default)s)")
    command.add_argument(
        "--seconds", type=float, metavar="S", help=f"length of the scan ({SECONDS:g}, or all of a cine)"
    )
    command.add_argument("--acceleration", type=float, default=5.0, help="undersampling (%(default)s)")
    command.add_argument("--coils", type=int, default=1, help="loops around the body (%(default)s)")
    command.add_argument(
        "--clock", choices=("virtual", "real"), default="virtual",
        help="real: at the scanner's pace, which takes as long as the scan (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--claim", type=float, default=CLAIM, help="share of images that must meet the deadline (%(default)s)"
    )
    reading = command.add_argument_group("of a cine, where it does not say so itself")
    reading.add_argument("--label", metavar="FILE", help="the target's label, of the first frame or of all")
    reading.add_argument("--frame-ms", type=float, metavar="MS", help="time from frame to frame")
    reading.add_argument("--pixel-mm", type=float, nargs=2, metavar=("Y", "X"), help="size of a pixel")
    reading.add_argument("--time-axis", choices=("fastest", "slowest"), help="which axis of a volume is time")
    reading.add_argument(
        "--part", type=int, metavar="N", help="which series or slice of several in DICOM files"
    )
    reading.add_argument(
        "--structure", metavar="NAME", help="which structure of a label's file is the target"
    )
    add_changes(command)
    add_isolate(command)
    add_allow_seen(command)
    add_overwrite(command)
    add_seed(command)
    command.set_defaults(argv=())


def run(
    *,
    candidate: str,
    body: str,
    output: str,
    seconds: float | None,
    acceleration: float,
    coils: int,
    clock: str,
    claim: float,
    label: str | None,
    frame_ms: float | None,
    pixel_mm: list[float] | None,
    time_axis: str | None,
    part: int | None,
    structure: str | None,
    changes: list[str],
    isolate: bool,
    limit_s: float | None,
    allow_seen: bool,
    overwrite: bool,
    seed: int,
    argv: Sequence[str],
) -> int:
    """Scan, replay, judge, audit, compare with view sharing, and write a page and a moving picture.

    Returns
    -------
    code
        That of the verdict.

    Raises
    ------
    InputError
        If an option, the body or the candidate is wrong, or the folder cannot be written.
    MissingExtraError
        If what measures or draws is not installed.
    """
    from harness.candidates.build import candidate_builder
    from harness.candidates.isolation import probe, told
    from harness.cli.show.scans import own_scan
    from harness.measure.finding.plan import eval_library
    from harness.picture.behind import write_behind
    from harness.session.trial import try_out
    from mrsim.files.partials import discard_stale
    from mrsim.files.targets import check_outside, check_target
    from mrsim.files.writing import write_json
    from mrsim.plotting import pillow
    from mrsim.scanner.protocol import ScanProtocol

    room = Path(output)
    if room.exists() and not room.is_dir():
        raise InputError(f"{output}: it is not a folder; choose another with -o")
    pillow("Image", "drawing a moving picture")  # here, and not after the scan
    eval_library("skimage", "measuring the quality of images")
    candidate_builder(candidate, isolate, limit_s, (), 0)
    protocol = ScanProtocol.from_file_values({"acceleration": acceleration, "coils": coils})
    check_outside(room / "scan.stream")
    room.mkdir(parents=True, exist_ok=True)
    discard_stale(room)
    for name in WRITTEN:
        check_target(room / name)
    given = {
        "label": label, "frame_ms": frame_ms, "pixel_mm": pixel_mm, "time_axis": time_axis, "part": part,
        "structure": structure,
    }  # fmt: skip
    scanned = _body(body, room, given, changes)
    length = _length(scanned, seconds, protocol)
    scan = own_scan(
        room / "scan.stream", scanned, protocol, seed=seed, seconds=length,
        what=f"{length:.0f} s of {scanned.name}", overwrite=overwrite, replace=True,
    )  # fmt: skip
    pace = "at the scanner's pace" if clock == "real" else "on the virtual clock, computing time measured"
    print(
        f"replaying {length:.1f} s of {scanned.name}, {pace}; then audits, and view sharing ...", flush=True
    )
    if isolate:
        print(told(probe()))
    with progress("audits") as report:
        found = try_out(
            scan, candidate, clock=clock, claim=claim, seed=seed, isolate=isolate, limit_s=limit_s,
            allow_seen=allow_seen, progress=report,
        )  # fmt: skip
    result = found.result
    tell_seen([result.overlap])
    write_json(room / "result.json", found.to_json())
    picture = room / "behind.gif" if found.panels else None
    if picture is not None:
        write_behind(picture, found.panels)
    found.report(room / "report.html", shlex.join(["mrsim", *argv]), picture)
    print_apart(one.text for one in result.tracebacks)
    for answer in result.verdict.answers:
        outcome = "not asked" if answer.outcome is None else answer.outcome.name
        print(f"{answer.question:<7}{outcome}: {answer.reason}")
    if result.audit is not None:
        print(f"audits {result.audit.verdict.outcome.name}: {result.audit.verdict.reason}")
    print(f"{output}: report.html has every figure, behind.gif shows it moving, result.json is for programs")
    print(f"{result.verdict.outcome.name}: {found.sentence}")
    print(f"next: {found.next_step}")
    return int(result.verdict.outcome.value)


def _body(name: str, room: Path, given: dict[str, Any], changes: list[str]) -> Body:
    """Return what is scanned: a phantom or a patient, or a patient that is made of a cine."""
    from mrsim.scanner.scenes import load_body

    path = Path(name)
    is_cine = path.exists() and path.suffix.lower() != ".toml" and not (path / "patient.json").exists()
    if is_cine:
        if changes:
            raise InputError(f"--set: {name} is a cine, which is played as it was recorded")
        return _patient(path, room / "patient", given)
    if wrong := [f"--{key.replace('_', '-')}" for key, value in given.items() if value is not None]:
        raise InputError(f"{', '.join(wrong)}: {name} is no cine")
    return load_body(name, settings(changes))


def _patient(path: Path, room: Path, given: dict[str, Any]) -> Patient:
    from mrsim.anatomy.series.reading.cine import read_cine
    from mrsim.anatomy.series.stored import prepare_patient
    from mrsim.files.targets import is_stream

    if is_stream(path):
        raise InputError(f"{path}: a scan already; play it with: mrsim replay {path} CANDIDATE")
    pixel = given["pixel_mm"]
    series = read_cine(path, **{**given, "pixel_mm": tuple(pixel) if isinstance(pixel, list) else None})
    with progress(f"making a patient of {path.name}") as report:
        # Played as it was recorded, so it needs no twin.
        patient = prepare_patient(series, room, twin=False, overwrite=True, progress=report)
    if not len(patient.playback.labels):
        raise InputError(f"{path}: it has no label, so nothing tells where the target is; give --label FILE")
    return patient


def _length(body: Body, seconds: float | None, protocol: ScanProtocol) -> float:
    """Return the length of the scan, seconds: whole frames, and no more than was recorded."""
    frame_s = protocol.header().frame_ns * 1e-9
    recorded = getattr(body, "playback", None) if getattr(body, "ride", None) is None else None
    most = SECONDS if recorded is None else min(SECONDS, recorded.stop_ns * 1e-9)
    return int(most / frame_s) * frame_s if seconds is None else seconds
