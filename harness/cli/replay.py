"""`mrsim replay`: a stream and a candidate in, figures, a result and a page out, and an exit code."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.cli.arguments import (
    add_allow_seen,
    add_bar,
    add_candidate,
    add_isolate,
    add_json,
    add_seed,
    count,
    one_of,
    tell_seen,
)
from harness.console import figure, print_apart, print_table, progress, significant
from mrsim.errors import InputError

if TYPE_CHECKING:
    from harness.judge.outcome import Verdict
    from harness.judge.result import RunResult
    from harness.judge.search import Peak, ShortestStride
    from harness.session.result import Result
    from mrsim.stream import Stream

SEARCH = "find-peak"
SCENARIOS = ("constant-stream", "burst", SEARCH, "lockstep")
BEAMS = (
    "none", "linac-trigger", "mlc", "0.35t-dual", "0.35t-dual-predicted", "0.35t-slowest", "0.35t-fastest",
    "tg-76", "mlc-trilogy", "radixact",
)  # fmt: skip
"""Names that the help lists; the modules that hold them take longer to load."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_play(command)
    command.add_argument("--report", metavar="FILE", help="write the run as a page, too (.html)")


def add_play(command: argparse.ArgumentParser) -> None:
    """Add what is played, how, and what is written, as `report` takes it, too."""
    command.add_argument("stream", metavar="STREAM", help="folder of a stream")
    add_candidate(command)
    add_bar(command)
    command.add_argument("--frames", type=int, help="replay only so many first frames")
    command.add_argument(
        "--scenario",
        default="constant-stream",
        metavar=one_of(*SCENARIOS),
        help="(%(default)s)",
    )
    command.add_argument(
        "--policy",
        default="keep-all",
        metavar=one_of("keep-all", "latest", "bounded:N"),
        help="which frames to drop where the candidate falls behind: none, all but the newest, or all but N "
        "(%(default)s)",
    )
    command.add_argument("--service", metavar="FILE", help="play the service times of an earlier --samples")
    command.add_argument("--samples", metavar="FILE", help="write every raw stamp, as .npz")
    command.add_argument(
        "--images", metavar="FILE",
        help="write what it showed: .nii, .nii.gz, .mha, .npz, .gif, .mp4, or a folder .dcm/ or .png/",
    )  # fmt: skip
    command.add_argument(
        "--faults", default="", metavar="TEXT", help="such as 'drop:p=0.01,burst=4;nan:every=500'"
    )
    command.add_argument(
        "--beam", dest="beams", action="append", default=[], metavar="BEAM",
        help=f"another beam to run along: {', '.join(BEAMS)}, or a .toml file (docs/beam.md)",
    )  # fmt: skip
    add_isolate(command)
    command.add_argument("--warmup", type=count, help="first images that are reported apart (at most 8)")
    command.add_argument(
        "--stride", type=count, metavar="LINES", help="an image of the newest lines after every so many"
    )
    command.add_argument(
        "--over", choices=("TR", "stride"), default="TR", help="what find-peak shortens (%(default)s)"
    )
    add_allow_seen(command)
    add_seed(command)
    add_json(command)
    command.set_defaults(argv=())


def run(
    *,
    stream: str,
    candidate: str,
    clock: str,
    profile: str,
    downstream_ms: float | None,
    claim: float | None,
    repeat: int,
    no_quality: bool,
    frames: int | None,
    scenario: str,
    policy: str,
    service: str | None,
    samples: str | None,
    images: str | None,
    faults: str,
    isolate: bool,
    limit_s: float | None,
    warmup: int | None,
    stride: int | None,
    over: str,
    seed: int,
    json_file: str | None,
    report: str | None,
    beams: Sequence[str],
    allow_seen: bool,
    argv: Sequence[str],
    audit: bool = False,
) -> int:
    """Replay a stream into a candidate, show what was found and return the exit code.

    Parameters
    ----------
    stream, candidate, clock, profile, downstream_ms, claim, repeat, frames, scenario, policy, service, faults
        As for `harness.replay`.
    beams
        Beams to run along beside the usual ones.
    isolate, limit_s, warmup, stride, seed, allow_seen
        As for `harness.replay`.
    no_quality
        Whether time alone is measured.
    over
        What a search shortens: "TR" or "stride".
    samples, images, json_file, report
        Files to write: every raw stamp, the images, the result, the page.
    argv
        The command as it was typed, for the page.
    audit
        Whether the audits belong to the verdict.

    Raises
    ------
    InputError
        If an option, the stream or the candidate is wrong.
    """
    from harness.judge.measures import BEAMS
    from harness.session.audit import audit as look
    from harness.session.images import images_of
    from harness.session.replay import replay
    from mrsim.files.targets import check_target
    from mrsim.formats.images.files import check_images, write_images
    from mrsim.stream import load

    check_target(json_file, ".json")
    check_target(samples, ".npz")
    check_target(report, ".html", ".htm")
    if images is not None:
        check_images(images)
    if over == "stride" and scenario != SEARCH:
        raise InputError("--over stride goes with --scenario find-peak")
    scan = load(stream)
    given: dict[str, Any] = {
        "clock": clock, "profile": profile, "downstream_ms": downstream_ms, "claim": claim, "frames": frames,
        "policy": policy, "service": service, "isolate": isolate, "limit_s": limit_s, "seed": seed,
        "allow_seen": allow_seen,
    }  # fmt: skip
    if scenario == SEARCH:
        if faults or samples or images or report or repeat != 1 or stride:
            raise InputError(
                "--scenario find-peak takes no --faults, --samples, --images, --repeat, --stride or page"
            )
        return (
            _stride(scan, candidate, json_file, given)
            if over == "stride"
            else _peak(scan, candidate, json_file, {**given, "warmup": warmup})
        )
    if stride is not None:
        if refused := [f"--{name}" for name, asked in (("report", report), ("audit", audit)) if asked]:
            raise InputError(f"--stride goes without {', '.join(refused)}")
        print(
            "images are not measured with --stride: truth is known at the ends of the scan's own frames alone"
        )
    result = replay(
        scan, candidate, repeat=repeat, quality=not no_quality, scenario=scenario, faults=faults,
        warmup=warmup, stride=stride, keep_images=images is not None, beams=(*BEAMS, *beams), **given,
    )  # fmt: skip
    if result.faults is not None:
        for number, found in enumerate(result.faults.broken, 1):
            print(f"broken promise {number}: {found}")
    if audit:
        with progress("audit") as report_to:
            audited = look(
                candidate, scan, seed=seed or None, isolate=isolate, limit_s=limit_s, allow_seen=allow_seen,
                progress=report_to,
            )  # fmt: skip
        result = result.with_audit(audited)
    command = None if report is None else shlex.join(["mrsim", *argv])
    if report is not None:
        result.report(report, command)
    if json_file is not None:
        result.save(json_file, command)
    if samples is not None:
        result.save_samples(samples)
    if images is not None:
        if result.shown.any():
            write_images(images, images_of(result.first))
        else:
            print(f"{images}: not written, for no image came")
    tell_seen([result.overlap])
    _show_all(result)
    print_apart(found.text for found in result.tracebacks)
    return _end(result.verdict)


def _peak(scan: Stream, candidate: str, json_file: str | None, given: dict[str, Any]) -> int:
    from harness.session.search import find_peak

    peak = find_peak(scan, candidate, **given)
    rows = [
        [f"{t.tr_ns / 1e6:.4g}", f"{t.misses} of {t.images}", "holds" if t.holds else "breaks"]
        for t in peak.trials
    ]
    return _searched(peak, json_file, ["TR ms", "missed", "cadence"], rows)


def _stride(scan: Stream, candidate: str, json_file: str | None, given: dict[str, Any]) -> int:
    from harness.session.search import find_stride

    found = find_stride(scan, candidate, **given)
    rows = [[str(stride), f"{misses} of {images}"] for stride, misses, images in found.trials]
    return _searched(found, json_file, ["lines from image to image", "missed"], rows)


def _searched(
    found: Peak | ShortestStride, json_file: str | None, heads: list[str], rows: list[list[str]]
) -> int:
    from mrsim.files.writing import write_json

    if json_file is not None:
        write_json(json_file, found.to_json())
    print_table(f"{found.candidate}: trials", heads, rows)
    return _end(found.verdict)


def _end(verdict: Verdict) -> int:
    for answer in verdict.answers:
        outcome = "not asked" if answer.outcome is None else answer.outcome.name
        print(f"{answer.question:<7}{outcome}: {answer.reason}")
    print(f"{verdict.outcome.name}: {verdict.reason}")
    return int(verdict.outcome.value)


def _show_all(result: Result) -> None:
    from harness.candidates.isolation import told
    from harness.realtime.faults import format_faults

    for number, one in enumerate(result.runs, 1):
        which = "" if len(result.runs) == 1 else f", run {number} of {len(result.runs)}"
        if number == 1 and one.environment["isolation"] is not None:
            print(told(one.environment["isolation"]))
        _show(one, which if result.faults is None else f", faults {format_faults(result.faults.faults)}")


def _show(result: RunResult, which: str = "") -> None:
    """Print the figures of one replay."""
    report = result.to_json()
    latency, deadline, quality = report["latency_ms"], report["deadline"], report["quality"]
    columns = ("response", "service", "injector")
    rows = [
        [name, *(figure(latency[key][name], 2) for key in columns)] for name in ("p50", "p95", "p99", "max")
    ]
    null = report["null_latency_ms"]
    if null is not None:
        rows.append(["null p50", *(figure(null[key]["p50"], 2) for key in columns)])
    times = "" if report["times"] == "measured" else f", times {report['times']}"
    title = (
        f"{result.candidate} on {report['stream']['path'] or 'a stream'} "
        f"({result.run.clock} clock{times}{which})"
    )
    print_table(title, ["ms", *columns], rows)
    if deadline is not None:
        low, high = deadline["miss_share_interval"]
        print(
            f"deadline {deadline['period_ms']:.1f} ms: {deadline['misses']} of {deadline['images']} missed "
            f"(99 % interval {low:.2%} to {high:.2%}), longest run {deadline['longest_run']}"
        )
    warmup, queue = report["warmup"], report["queue"]
    waited_ms = 0.0 if report["transfer"] is None else report["transfer"]["waited_ms"]
    waited = (
        f" ({waited_ms:.0f} of them our own waiting for an mrsim server: ready_s=0)" if waited_ms >= 1 else ""
    )
    print(
        f"apart from these: open {warmup['open_ms']:.1f} ms{waited}, cold {figure(warmup['cold_ms'], 2)} ms, "
        f"the other of {warmup['images']} to warm up {figure(warmup['max_ms'], 2)} ms at most; "
        f"oldest image on show {figure(queue['age_max_ms'], 0)} ms, queue {queue['depth_max']} lines at most"
    )
    if queue["dropped_frames"]:
        print(
            f"queue {report['policy']}: {queue['dropped_frames']} frames dropped, depth {queue['depth_max']}"
        )
    if result.scenario == "burst":
        print(f"burst: {figure(report['lines']['per_second'], 0)} lines a second")
    if quality is not None:
        _show_accuracy(report)
    if result.scale is not None:
        print(result.scale)
    if result.symptom is not None:
        print(result.symptom)
    if report["beams"]:
        _show_beams(report["beams"])
    if result.margin is not None:
        print(f"{result.margin.sentence} ({result.margin.waterfall})")
    if report["band"] is not None:
        band, response = report["band"], report["band"]["response_ms"]
        print(
            f"columns {band['columns'][0]} to {band['columns'][1]} first: response p50 "
            f"{figure(response['p50'], 2)}, p99 {figure(response['p99'], 2)}, max "
            f"{figure(response['max'], 2)} ms, NMSE there {significant(band['nmse'])}, of whole images "
            f"{significant(band['nmse_whole'])}"
        )
    if result.notes:
        print(result.notes)
    if report["transfer"] is not None:
        print(_on_wire(report["transfer"]))


def _on_wire(transfer: dict[str, Any]) -> str:
    parts = [
        f"{name} {figure(times['p50'], 2)} (p99 {figure(times['p99'], 2)})"
        for name, times in ((key, transfer[f"{key}_ms"]) for key in ("readout", "compute", "image", "total"))
        if times is not None
    ]
    return f"on the wire, ms: {', '.join(parts) or 'no image came'}; handshake {transfer['connect_ms']:.2f}"


def _show_accuracy(report: dict[str, Any]) -> None:
    """Print what was on display at each instant above what single images show."""
    quality, margin = report["quality"], report["margin"]
    heads = ["", "M95 mm", "M99 mm", "Dice", "NMSE", "SSIM", "lag ms", "gain"]
    rows = []
    if margin is not None:
        shown = [_length(margin["m95_mm"]), _length(margin["m99_mm"]), figure(margin["dice"], 3)]
        total = figure(quality["total_lag_ms"], 0)
        rows.append(["on display", *shown, significant(margin["nmse"]), "-", total, "-"])
    single = [figure(quality["dice"], 3), significant(quality["nmse"]), figure(quality["ssim"], 3)]
    offline = "-" if margin is None else _length(margin["offline_m95_mm"])
    lag = [figure(quality["lag_ms"], 0), figure(quality["gain"], 2)]
    rows.append(["image by image", offline, "-", *single, *lag])
    if quality["nmse_full"] is not None:
        full = significant(quality["nmse_full"])
        rows.append(["fully sampled in an instant", "-", "-", "-", full, "-", "-", "-"])
    if (ruler := quality["ruler"]) is not None:
        own = [_length(ruler["centroid_p95_mm"]), "-", figure(ruler["dice"], 3), "-", "-"]
        own += [figure(ruler["lag_ms"], 0), figure(ruler["gain"], 2)]
        rows.append(["the judge on the truth", *own])
    print_table(f"accuracy, SNR {figure(report['stream']['target_snr'], 0)}", heads, rows)
    if quality["lag_ms"] is None and quality["lag_reason"]:
        print(f"no lag is told: {quality['lag_reason']}")
    elif (bare := quality["without_ruler"]) is not None:
        print(
            f"with the judge's own error taken out: lag {figure(bare['lag_ms'], 0)} ms, gain "
            f"{figure(bare['gain'], 2)}; Dice with the target in a fully sampled image "
            f"{figure(quality['dice_segmented'], 3)}"
        )
    if margin is not None:
        silent = margin["silent_failures"]
        kinds = ", ".join(f"{kind} {share:.1%}" for kind, share in silent["kinds"].items() if share)
        apart = {
            "held": margin["held_share"],
            "out of the slice": margin["gone_share"],
            "not seen by the judge itself": margin["unseen_share"],
            "lost": margin["lost_share"],
        }
        told = "".join(f", {name} {share:.1%}" for name, share in apart.items() if share)
        print(
            f"target available for {margin['availability']:.1%} of the time{told}, beyond 3 mm for "
            f"{margin['beyond_3mm_share']:.1%} ({margin['beyond_3mm_longest_ms']:.0f} ms at the longest), "
            f"silent failures {silent['share']:.1%}{f' ({kinds})' if kinds else ''}"
        )


def _length(value_mm: float | None) -> str:
    return "infinite" if value_mm is None else f"{value_mm:.1f}"


def _show_beams(beams: list[dict[str, Any]]) -> None:
    def percent(share: float | None) -> str:
        return figure(None if share is None else share * 100, 1)

    print_table(
        "what a beam would have done",
        ["beam", "on %", "ideal %", "covered %", "astray %", "longest ms", "time x", "rel. D98", "ideal"],
        [
            [
                beam["beam"],
                *(percent(beam[key]) for key in ("duty", "ideal_duty", "coverage", "stray_share")),
                figure(beam["stray_longest_ms"], 0),
                figure(beam["treatment_time_factor"], 2),
                figure(beam["relative_d98"], 3),
                figure(beam["relative_d98_ideal"], 3),
            ]
            for beam in beams
        ],
    )
