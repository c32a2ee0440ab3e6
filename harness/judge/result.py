"""The result of a run: everything measured, as one strict JSON object."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dataset.name import dataset_of
from harness.judge.columns import Band, band_of
from harness.judge.misses import Misses
from harness.judge.outcome import Verdict
from harness.judge.profiles import Criterion
from harness.judge.scale import FittedScale
from harness.judge.target import Beamed
from harness.measure.displayed import Displayed
from harness.measure.exact_statistics import CONFIDENCE, Summary
from harness.measure.image_quality import Quality
from harness.measure.lag import Lag
from harness.measure.margin import Margin
from harness.measure.ruler import Ruler
from harness.measure.timing import Latency, Timing
from harness.realtime.host import HostLog
from harness.realtime.raised import traceback_json
from harness.realtime.run import Fate, Run
from harness.realtime.scenarios import LOCKSTEP, lines_per_second
from harness.wire.transfer import Transfer
from mrsim.stream import Stream
from mrsim.summary import Summarised
from recon.protocol import UNIFORM

SCHEMA = "mrsim-replay/2"
EXACT, STORED = "exact", "stored, moved by whole pixels"


@dataclass(frozen=True, repr=False)
class RunResult(Summarised):
    """Hold a replay with its measures and its verdict.

    Parameters
    ----------
    candidate
        Name of the candidate.
    stream
        The scan that was played.
    run, timing, quality, verdict
        Raw stamps, times, measures of the images (None without truth or images), and the verdict.
    null
        Times of the null reconstructor: the shortest times that the bench can measure on this host.
    claim
        Share of images that must meet the deadline.
    environment
        Host, processor and versions (`harness.realtime.environment`).
    scenario
        How the scan was played.
    criterion
        Profile that the run was judged by.
    displayed, margin
        What was on display at each TR, and what is measured of it; None if it was not measured.
    symptom
        What simple mistake makes images differ from the truth, such as axes that are exchanged; None if none.
    scale
        By what all images were multiplied, where the candidate asks for it; None if by nothing.
    beams
        What each beam would have done, that of the profile first if it has one.
    transfer
        Times on the wire; None if the candidate is not behind a socket.
    notes
        What the candidate states about itself once it is open, such as its method of computation.
    combination
        How its images show several coils, as it says: "uniform" or "root-sum-of-squares".
    """

    candidate: str
    stream: Stream
    run: Run
    timing: Timing
    quality: Quality | None
    verdict: Verdict
    null: Timing | None
    claim: float
    environment: dict[str, Any]
    scenario: str
    criterion: Criterion
    displayed: Displayed | None
    margin: Margin | None
    symptom: str | None
    scale: FittedScale | None
    beams: tuple[Beamed, ...]
    transfer: Transfer | None = None
    notes: str = ""
    combination: str = UNIFORM

    @property
    def latency(self) -> Latency:
        """Return the percentiles of the response and the misses."""
        return Latency.of([self.timing])

    @property
    def images(self) -> NDArray[np.complex64] | None:
        """Return the images, shape (images, ny, nx), complex64, zero where none came; None if not kept."""
        return self.run.images.pixels

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        facts = [
            ("verdict", f"{self.verdict.outcome.name}: {self.verdict.reason}"),
            ("played", played(self)),
            ("latency", str(self.latency)),
        ]
        if self.margin is not None:
            facts.append(("margin", self.margin.sentence))
        facts += [(f"beam {beam.delivery.beam.name}", beam.sentence) for beam in self.beams]
        if self.quality is not None:
            facts.append(("quality", quality_line(self.quality)))
        return f"Run of {self.candidate}", facts

    @property
    def exit_code(self) -> int:
        """Return the command line's exit code."""
        return int(self.verdict.outcome.value)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values; a figure for which there are too few samples is null."""
        timing = self.timing
        # The first image is cold; the next ones warm up.
        warm = timing.response_ns[1 : timing.warmup][timing.shown[1 : timing.warmup]]
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.outcome.name,
            "reason": self.verdict.reason,
            "answers": answers_json(self.verdict),
            **traceback_json(self.run.traceback),
            "clock": self.run.clock,
            "times": self.run.times,
            "scenario": self.scenario,
            "policy": str(self.run.policy),
            "profile": {
                **{key: _finite(value) for key, value in dataclasses.asdict(self.criterion.profile).items()},
                "downstream_ms": self.criterion.downstream_ms,
            },
            "lines": _lines(self.run),
            "latency_ms": {key: _summary(timing.summary(key)) for key in ("response", "service", "injector")},
            "null_latency_ms": None
            if self.null is None
            else {key: _summary(self.null.summary(key)) for key in ("response", "service", "injector")},
            "deadline": None if self.scenario == LOCKSTEP else _deadline(timing, self.claim),
            "warmup": {
                "images": timing.warmup,
                "open_ms": self.run.open_ns / 1e6,
                "cold_ms": float(timing.response_ns[0]) / 1e6 if timing.shown[0] else None,
                "max_ms": float(warm.max()) / 1e6 if len(warm) else None,
            },
            "queue": {
                "depth_max": int(timing.depth.max()),
                "dropped_frames": self.run.dropped_frames,
                "age_mean_ms": _ms(timing.age_mean_ns),
                "age_max_ms": _ms(timing.age_max_ns),
            },
            "images": {
                key: getattr(self.run.images, key) for key in ("extra", "early", "bands", "nonfinite")
            },
            "band": None
            if self.run.images.band is None
            else _band(band_of(self.stream, self.run, timing, self.combination)),
            "host": None if self.run.host is None else _host(self.run.host, self.run.clock != "virtual"),
            "margin": None
            if self.margin is None or self.displayed is None
            else {**margin_json(self.margin), "masks": EXACT if self.displayed.exact else STORED},
            "symptom": self.symptom,
            "scale": None if self.scale is None else dataclasses.asdict(self.scale),
            "beams": [beam.to_json() for beam in self.beams],
            "notes": self.notes,
            "combination": self.combination,
            "transfer": None if self.transfer is None else self.transfer.to_json(),
            "gc": {"count": self.run.pauses.count, "longest_ms": self.run.pauses.longest_ns / 1e6},
            "quality": None if self.quality is None else quality_json(self.quality),
            "stream": _stream(self.stream),
            "candidate": self.candidate,
            "environment": self.environment,
        }


def played(result: RunResult) -> str:
    """Return in one line what was played, how, and against which deadline, if any.

    Parameters
    ----------
    result
        The result.
    """
    deadline = f", deadline {result.timing.deadline_ns / 1e6:.1f} ms" if result.scenario != LOCKSTEP else ""
    times = f", times {result.run.times}" if result.run.times.startswith("played") else ""
    return (
        f"{result.stream.path or 'a stream'}, {result.stream.frames} frames, {result.run.clock} clock, "
        f"{result.scenario}{deadline}{times}"
    )


def quality_line(quality: Quality) -> str:
    """Return the measures of images in one line.

    Parameters
    ----------
    quality
        The measures.
    """
    lag_ms = _ms(quality.lag.claimed_ns)
    facts = [
        f"{name} {value:.{digits}}"
        for name, digits in (("NMSE", "2g"), ("SSIM", "3f"), ("Dice", "3f"))
        if math.isfinite(value := float(getattr(quality, name.lower()).mean()))
    ]
    # A position has no image, and perhaps no mask.
    if quality.nmse_full is not None and facts and facts[0].startswith("NMSE"):
        facts[0] += f" (fully sampled {quality.nmse_full:.2g})"
    return ", ".join([*facts, f"lag {'-' if lag_ms is None else f'{lag_ms:.0f} ms'}"])


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6


def _mm(metres: float | None) -> float | None:
    return None if metres is None or not math.isfinite(metres) else metres * 1e3


def _finite(value: Any) -> Any:
    """Return a value as JSON has it: without infinite numbers and NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scaled(interval: tuple[float, float] | None, factor: float) -> list[float | None] | None:
    return None if interval is None else [_finite(bound * factor) for bound in interval]


def _summary(summary: Summary) -> dict[str, float | int | None]:
    return {
        "p50": _ms(summary.p50),
        "p95": _ms(summary.p95),
        "p99": _ms(summary.p99),
        "max": _ms(summary.max),
        "count": summary.count,
    }


def _band(band: Band) -> dict[str, Any]:
    return {
        "columns": list(band.columns),
        "images": band.images,
        "response_ms": _summary(band.response),
        "nmse": band.nmse,
        "nmse_whole": band.nmse_whole,
    }


def quality_json(quality: Quality) -> dict[str, Any]:
    """Return the measures of images as JSON values.

    Parameters
    ----------
    quality
        The measures.
    """
    lag = quality.lag
    return {
        "nmse": _finite(float(quality.nmse.mean())),
        "nmse_full": quality.nmse_full,
        "ssim": _finite(float(quality.ssim.mean())),
        "dice": _finite(float(quality.dice.mean())),
        "lag_ms": _ms(lag.claimed_ns),
        "gain": lag.gain,
        "residual_mm": _mm(lag.residual_m),
        "centroid_mm": quality.when_shown.to_json(),
        "centroid_last_line_mm": quality.last_line.to_json(),
        "total_lag_ms": _ms(quality.total_lag_ns),
        "lag_reason": lag.reason,
        "images": len(quality.frames),
        "breaths": quality.breaths,
        "intervals": {
            **{key: _scaled(interval, 1.0) for key, interval in quality.intervals.items()},
            "lag_ms": _scaled(lag.interval_ns, 1e-6),
        },
        "dice_segmented": _mean(quality.dice_segmented),
        "ruler": None if quality.ruler is None else ruler_json(quality.ruler),
        "without_ruler": _lag_json(quality.lag_without_ruler),
        "trackrad": None if quality.trackrad is None else dataclasses.asdict(quality.trackrad),
    }


def ruler_json(ruler: Ruler) -> dict[str, Any]:
    """Return the judge's own error as JSON values.

    Parameters
    ----------
    ruler
        The error.
    """
    return {
        "method": ruler.method,
        "planned_error_mm": _mm(ruler.planned_m),
        "dice": ruler.dice,
        "area_ratio": _finite(ruler.area_ratio),
        "centroid_p95_mm": _mm(ruler.p95_m),
        "lag_ms": _ms(ruler.lag.tau_ns),
        "gain": ruler.lag.gain,
        "images": ruler.images,
        "not_found": ruler.not_found,
    }


def _lag_json(lag: Lag | None) -> dict[str, Any] | None:
    if lag is None:
        return None
    return {
        "lag_ms": _ms(lag.claimed_ns),
        "lag_interval_ms": _scaled(lag.interval_ns, 1e-6),
        "gain": lag.gain,
        "gain_interval": _scaled(lag.gain_interval, 1.0),
    }


def _deadline(timing: Timing, claim: float) -> dict[str, Any]:
    return {
        "period_ms": timing.deadline_ns / 1e6,
        "claim": claim,
        "images": timing.images,
        "misses": timing.misses,
        "longest_run": timing.longest_run,
        "episodes": len(timing.episodes),
        "miss_share_interval": list(Misses.of([timing.steady_missed]).interval),
        "confidence": CONFIDENCE,
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of the values that there are; None if there are none."""
    told = values[~np.isnan(values)]
    return float(told.mean()) if len(told) else None


def _lines(run: Run) -> dict[str, Any]:
    counts = np.bincount(run.fate, minlength=len(Fate))
    return {
        **{fate.name.lower(): int(counts[fate]) for fate in Fate},
        "rejected_events": dict(run.rejected),
        "per_second": lines_per_second(run),
    }


def _host(host: HostLog, charged: bool) -> dict[str, Any]:
    return {
        "others_cores": host.others,
        "waited_ms": _ms(host.waited_ns),
        "helpers_waited_ms": _ms(host.helpers_ns),
        "stolen_ms": _ms(host.stolen_ns),
        "throttled_ms": _ms(host.throttled_ns),
        "probe_ms": _ms(host.probe_ns),
        "wakes": host.wakes,
        "longest_stall_ms": _ms(host.longest_stall_ns),
        "load": host.load,
        "causes": host.causes(charged),
    }


def answers_json(verdict: Verdict) -> dict[str, Any]:
    """Return the answer to each question as JSON values; the outcome of one that was not asked is null.

    Parameters
    ----------
    verdict
        The verdict.
    """
    return {
        answer.question: {
            "verdict": None if answer.outcome is None else answer.outcome.name,
            "reason": answer.reason,
        }
        for answer in verdict.answers
    }


def margin_json(margin: Margin) -> dict[str, Any]:
    """Return what was on display as JSON values; an infinite length is null, as one that cannot be told.

    Parameters
    ----------
    margin
        The margin.
    """
    bounds, silent, fall = margin.bounds, margin.silent, margin.waterfall
    return {
        "m95_mm": _mm(margin.m95_m),
        "m99_mm": _mm(margin.m99_m),
        "m95_interval_mm": None if bounds is None else [_mm(bounds.low_m), _mm(bounds.high_m)],
        "m95_upper_mm": None if bounds is None else _mm(bounds.upper_m),
        "offline_m95_mm": _mm(margin.offline_m95_m),
        "gap_mm": _mm(margin.gap_m),
        "rms_mm": _mm(margin.rms_m),
        "availability": margin.availability,
        "held_share": margin.held_share,
        "gone_share": margin.gone_share,
        "unseen_share": margin.unseen_share,
        "lost_share": margin.lost_share,
        "beyond_3mm_share": margin.beyond_share,
        "beyond_3mm_longest_ms": margin.beyond_longest_ns / 1e6,
        "dice": margin.dice,
        "nmse": margin.nmse,
        "breaths": margin.breaths,
        "silent_failures": {
            "share": silent.share,
            "longest_ms": silent.longest_ns / 1e6,
            "kinds": silent.kinds,
            "count": silent.count,
            "unflagged": silent.unflagged,
            "first_sign_ms": _ms(silent.first_sign_ns),
        },
        "waterfall_mm": {
            "cadence": _mm(fall.cadence_m),
            "age_of_lines": _mm(fall.sharing_m),
            "computing": _mm(fall.computing_m),
            "image": _mm(fall.image_m),
            "at_half_the_compute": _mm(fall.half_compute_m),
            "at_10x": _mm(fall.tenfold_m),
        },
        "sentence": margin.sentence,
    }


def _stream(stream: Stream) -> dict[str, Any]:
    made = stream.provenance
    # JSON has no infinite number, so an SNR without noise is null.
    snr = None if made is None or not math.isfinite(made.target_snr) else made.target_snr
    return {
        "path": None if stream.path is None else str(stream.path),
        "dataset": dataset_of(stream.path),
        "phantom": None if made is None else made.phantom,
        "seed": None if made is None else made.seed,
        "target_snr": snr,
        "lines": len(stream),
        "frames": stream.frames,
        "header": stream.header.to_dict(),
    }
