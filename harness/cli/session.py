"""One command's worth of replays: options in, verdict printed and written, exit code out."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.audits.invariants import Breach, Evidence, check_invariants
from harness.candidates.build import candidate_builder
from harness.candidates.isolation import MAX_LIMIT_S
from harness.console import figure, print_table, significant
from harness.judge.evaluate import MakeFeed, evaluate
from harness.judge.profiles import Criterion, load_profile
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.judge.search import ShortestStride, find_peak, find_stride
from harness.judge.verdict import Outcome, Verdict
from harness.realtime.clock import RealClock, VirtualClock
from harness.realtime.faults import CANDIDATE_KINDS, Fault, apply_faults, format_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.replay import replay
from harness.realtime.samples import read_service, write_samples
from harness.realtime.scenarios import Pace
from harness.realtime.schedule import Policy, Schedule
from harness.realtime.service import ConstantService, ServiceModel
from harness.realtime.sliding import slide, warmup_of
from mrsim.errors import InputError
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json
from mrsim.stream import Stream
from recon.protocol import Builder

if TYPE_CHECKING:
    from harness.audits.audits import AuditReport

MAX_REPEAT = 100


@dataclass(frozen=True)
class Options:
    """Hold the options of a session, read and checked.

    Parameters
    ----------
    candidate
        Its name.
    build
        Makes a fresh one, with its troubles and in its own process where that is asked for.
    policy, criterion, faults
        What becomes of frames that pile up, what it is judged by, and what goes wrong.
    services
        Service times of an earlier run, a table for each of its repetitions; empty for none.
    repeat
        Number of replays.
    limit_ns
        Real time that one replay may take, nanoseconds.
    """

    candidate: str
    build: Builder
    policy: Policy
    criterion: Criterion
    faults: tuple[Fault, ...]
    services: tuple[ServiceModel, ...]
    repeat: int
    limit_ns: int | None

    @classmethod
    def of(cls, args: argparse.Namespace, lines: int) -> Options:
        """Read the options.

        Raises
        ------
        InputError
            If one of them is wrong, or they do not go together.
        """
        faults = parse_faults(args.faults)
        policy = Policy.parse(args.policy)
        criterion = Criterion.of(load_profile(args.profile), args.downstream_ms)
        if not 1 <= args.repeat <= MAX_REPEAT:
            raise InputError(f"--repeat {args.repeat}: expected 1 to {MAX_REPEAT}")
        limit_s = args.limit_s
        if limit_s is not None and not 0 < limit_s <= MAX_LIMIT_S:
            raise InputError(f"--limit-s {limit_s}: expected seconds, above 0 to {MAX_LIMIT_S:g}")
        services = tuple(read_service(args.service, lines)) if args.service else ()
        if services and args.clock == "real":
            raise InputError("--service plays measured times on the virtual clock: add --clock virtual")
        return cls(
            args.candidate,
            candidate_builder(args.candidate, args.isolate, limit_s, faults, args.seed),
            policy,
            criterion,
            faults,
            services,
            args.repeat,
            None if limit_s is None or args.isolate else round(limit_s * 1e9),
        )


def play(args: argparse.Namespace, stream: Stream) -> int:
    """Replay a stream into a candidate as the options say, show the verdict and return the exit code.

    Raises
    ------
    InputError
        If an option, the stream or the candidate is wrong.
    """
    check_target(args.json)
    check_target(args.samples, ".npz")
    check_target(args.report)
    frames = stream.frames if args.frames is None else args.frames
    options = Options.of(args, frames * stream.header.lines_per_frame)
    if args.over == "stride" and args.scenario != "find-peak":
        raise InputError("--over stride goes with --scenario find-peak")
    if args.scenario == "find-peak":
        return _peak(args, stream, options)
    if args.stride is not None:
        stream = _slid(args, stream)
    if options.faults:
        return _faulty(args, stream, options)
    results = replayed(args, stream, options)
    exact = args.scenario == "lockstep" or bool(options.services)
    session = Repetitions(tuple(results), exact)
    verdict = _publish(args, stream, session.to_json(), session.verdict, results[0])
    if args.samples:
        write_samples(args.samples, [result.run for result in results])
    for number, result in enumerate(results, 1):
        show(result, "" if len(results) == 1 else f", run {number} of {len(results)}")
    return _end(verdict)


def _publish(
    args: argparse.Namespace, stream: Stream, told: dict[str, Any], verdict: Verdict, result: RunResult
) -> Verdict:
    """Audit where that is asked for, write the JSON and the page, and return the verdict on all of it."""
    if args.audit:
        found = audited(args, stream)
        told = {**told, "audit": found.to_json()}
        if found.broken:
            verdict = Verdict(Outcome.INVALID, f"audit {found.verdict.reason}")
        told |= {"verdict": verdict.outcome.name, "reason": verdict.reason}
    if args.report:
        from harness.report.report import write_page

        told = {**told, "command": shlex.join(["mrsim", *args.argv])}
        write_page(args.report, told, result)
    if args.json:
        write_json(args.json, told)
    return verdict


def replayed(args: argparse.Namespace, stream: Stream, options: Options) -> list[RunResult]:
    """Replay a stream as often as the options say, each time into a fresh candidate."""
    return [_once(args, stream, options, number) for number in range(options.repeat)]


def _once(
    args: argparse.Namespace,
    stream: Stream,
    options: Options,
    number: int,
    make_feed: MakeFeed | None = None,
) -> RunResult:
    services = options.services
    return evaluate(
        stream,
        options.candidate,
        options.build,
        clock=RealClock() if args.clock == "real" else VirtualClock(),
        service=services[number % len(services)] if services else None,
        frames=args.frames,
        claim=args.claim,
        warmup=args.warmup,
        seed=args.seed,
        quality=not args.no_quality,
        scenario=args.scenario,
        policy=options.policy,
        criterion=options.criterion,
        make_feed=make_feed,
        limit_ns=options.limit_ns,
    )


def _end(verdict: Verdict) -> int:
    print(f"{verdict.outcome.name}: {verdict.reason}")
    return int(verdict.outcome.value)


def _slid(args: argparse.Namespace, stream: Stream) -> Stream:
    """Return the scan with sliding frames, and set the options that follow from it."""
    if refused := [f"--{name}" for name in ("faults", "report", "audit") if getattr(args, name)]:
        raise InputError(f"--stride goes without {', '.join(refused)}")
    played = stream if args.frames is None else stream.first_frames(args.frames)
    args.frames, args.no_quality = None, True
    args.warmup = warmup_of(played, args.stride) if args.warmup is None else args.warmup
    print("images are not measured with --stride: truth is known at the ends of the scan's own frames alone")
    return slide(played, args.stride)


def _peak(args: argparse.Namespace, stream: Stream, options: Options) -> int:
    if options.faults or args.samples or args.report or options.repeat != 1 or args.stride:
        raise InputError("--scenario find-peak takes no --faults, --samples, --repeat, --stride or page")
    played = stream if args.frames is None else stream.first_frames(args.frames)
    played.check_finite()
    claim = options.criterion.profile.claim if args.claim is None else args.claim
    service = options.services[0] if options.services else None

    def pace() -> Pace:
        return Pace.of("find-peak", RealClock() if args.clock == "real" else VirtualClock(), service)

    if args.over == "stride":
        return _shortest_stride(
            args, find_stride(played, options.build, pace, claim, options.policy, options.candidate)
        )
    peak = find_peak(played, options.build, pace, claim, args.warmup, options.policy, options.candidate)
    verdict = peak.verdict
    if args.json:
        write_json(args.json, peak.to_json())
    rows = [
        [f"{t.tr_ns / 1e6:.4g}", f"{t.misses} of {t.images}", "holds" if t.holds else "breaks"]
        for t in peak.trials
    ]
    print_table(f"{options.candidate}: trials", ["TR ms", "missed", "cadence"], rows)
    return _end(verdict)


def _shortest_stride(args: argparse.Namespace, found: ShortestStride) -> int:
    verdict = found.verdict
    if args.json:
        write_json(args.json, found.to_json())
    rows = [[str(stride), f"{misses} of {images}"] for stride, misses, images in found.trials]
    print_table(f"{args.candidate}: trials", ["lines from image to image", "missed"], rows)
    return _end(verdict)


def _faulty(args: argparse.Namespace, stream: Stream, options: Options) -> int:
    """Replay with faults: the verdict is on the promises, for a fault takes images by itself."""
    if options.repeat != 1:
        raise InputError("--faults takes no --repeat: the same seed gives the same faults")
    feeds: list[Feed] = []

    def make_feed(played: Stream, schedule: Schedule) -> Feed:
        feeds.append(apply_faults(Feed.of(played, schedule), options.faults, args.seed))
        return feeds[-1]

    result = _once(args, stream, options, 0, make_feed)
    clean = None
    if not {fault.kind for fault in options.faults} & set(CANDIDATE_KINDS):
        clean = replay(result.stream, options.build(), VirtualClock(), ConstantService(0))
    kinds = [fault.kind for fault in options.faults]
    broken = check_invariants(Evidence(feeds[0], result.run, clean), kinds)
    verdict = _on_promises(args, result, broken, kinds)
    report = {
        **result.to_json(),
        "verdict": verdict.outcome.name,
        "reason": verdict.reason,
        "faults": format_faults(options.faults),
        "touched": {kind: len(lines) for kind, lines in feeds[0].touched.items()},
        "broken": [b.to_json() for b in broken],
    }
    verdict = _publish(args, stream, report, verdict, result)
    if args.samples:
        write_samples(args.samples, [result.run])
    show(result, f", faults {format_faults(options.faults)}")
    return _end(verdict)


def _on_promises(
    args: argparse.Namespace, result: RunResult, broken: list[Breach], kinds: list[str]
) -> Verdict:
    if broken:
        for number, found in enumerate(broken):
            where = f" at line {found.line}" if found.line >= 0 else ""
            print(f"broken promise {number + 1}: {found.invariant}{where}: {found.message}")
        return Verdict(Outcome.FAIL, f"{len(broken)} promises broken; again: {reproduce(args)}")
    if set(kinds) & set(CANDIDATE_KINDS) and result.verdict.outcome is not Outcome.PASS:
        return result.verdict
    lost = [f"{name.lower()} {count}" for name, count in _fates(result) if name != "HANDED" and count]
    return Verdict(
        Outcome.PASS,
        f"every promise was kept under {len(kinds)} faults; lines {', '.join(lost) or 'all used'}",
    )


def _fates(result: RunResult) -> list[tuple[str, int]]:
    lines = result.to_json()["lines"]
    return [(name, lines[name.lower()]) for name in ("HANDED", "DROPPED", "REJECTED", "LOST")]


def reproduce(args: argparse.Namespace) -> str:
    """Return the one command that does the same again, on the virtual clock where that is exact."""
    words = ["mrsim", "replay", str(args.stream), args.candidate, "--faults", args.faults]
    words += ["--seed", str(args.seed), "--policy", args.policy, "--clock", args.clock]
    if args.frames is not None:
        words += ["--frames", str(args.frames)]
    if args.service:
        words += ["--service", args.service]
    if args.isolate:
        words.append("--isolate")
    if args.limit_s is not None:
        words += ["--limit-s", f"{args.limit_s:g}"]
    if args.no_quality:
        words.append("--no-quality")
    return shlex.join(words)


def show(result: RunResult, which: str = "") -> None:
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
    title = (
        f"{result.candidate} on {report['stream']['path'] or 'a stream'} ({result.run.clock} clock{which})"
    )
    print_table(title, ["ms", *columns], rows)
    low, high = deadline["miss_share_interval"]
    print(
        f"deadline {deadline['period_ms']:.1f} ms: {deadline['misses']} of {deadline['images']} missed "
        f"(99 % interval {low:.2%} to {high:.2%}), longest run {deadline['longest_run']}"
    )
    warmup, queue = report["warmup"], report["queue"]
    print(
        f"apart from these: open {warmup['open_ms']:.1f} ms, cold {figure(warmup['cold_ms'], 2)} ms, "
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
        centroid = quality["centroid_mm"]
        print(
            f"NMSE {significant(quality['nmse'])}, SSIM {quality['ssim']:.3f}, Dice {quality['dice']:.3f}, "
            f"lag {figure(quality['lag_ms'], 0)} ms (gain {figure(quality['gain'], 2)}), centroid when shown "
            f"p95 {figure(centroid['p95'], 2)} mm, max {figure(centroid['max'], 2)} mm; "
            f"SNR {figure(report['stream']['target_snr'], 0)}"
        )
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
    gating = report["gating"]
    if gating is not None:
        print(_gated(gating))


def _on_wire(transfer: dict[str, Any]) -> str:
    told = [
        f"{name} {figure(times['p50'], 2)} (p99 {figure(times['p99'], 2)})"
        for name, times in ((key, transfer[f"{key}_ms"]) for key in ("readout", "compute", "image", "total"))
        if times is not None
    ]
    return f"on the wire, ms: {', '.join(told) or 'no image came'}; handshake {transfer['connect_ms']:.2f}"


def _gated(gating: dict[str, Any]) -> str:
    share = gating["outside_share"]
    outside = figure(None if share is None else share * 100, 1)
    return (
        f"gating, {gating['window_mm']:g} mm window, {gating['downstream_ms']:g} ms downstream: duty "
        f"{gating['duty']:.0%} ({gating['ideal_duty']:.0%} without delay or error), on a target outside for "
        f"{outside} % of the beam's time, {gating['outside_longest_ms']:.0f} ms at most"
    )


def audit(args: argparse.Namespace, stream: Stream | None) -> int:
    """Audit a candidate, print what was found and return the exit code.

    Raises
    ------
    InputError
        If the candidate or the stream is wrong.
    """
    check_target(args.json)
    report = audited(args, stream)
    if args.json:
        write_json(args.json, report.to_json())
    rows = [[f.audit, "kept" if f.kept else "BROKEN", f.evidence] for f in report.findings]
    print_table(f"audit of {args.candidate} (seed {args.seed})", ["audit", "", "evidence"], rows)
    return _end(report.verdict)


def audited(args: argparse.Namespace, stream: Stream | None) -> AuditReport:
    """Audit a candidate on a stream, or on the audit's own scan."""
    from harness.audits.audits import audit_candidate, default_stream

    build: Callable[[], Any] = candidate_builder(args.candidate, args.isolate, args.limit_s, (), args.seed)
    scan = default_stream(args.seed) if stream is None else stream
    try:
        return audit_candidate(scan, build, args.candidate, seed=args.seed)
    except InputError as error:
        if stream is not None:
            raise
        (ny, nx), coils = scan.header.matrix, scan.header.coils
        raise InputError(
            f"{error}; if it needs another scan than the audit's own ({ny} x {nx} at 4x in {coils} coil), "
            "name a STREAM that it takes (`mrsim simulate`)"
        ) from None
