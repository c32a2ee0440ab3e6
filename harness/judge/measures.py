"""Everything that is measured of a run's images and positions, in the order in which one needs the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.judge.outcome import Answer, Outcome
from harness.judge.profiles import Criterion
from harness.judge.target import judge_target
from harness.measure.beam import Beam, load_beam
from harness.measure.delivery import Delivery, deliver
from harness.measure.displayed import Displayed, display
from harness.measure.failures import silent_failures
from harness.measure.image_quality import FrameJudge, Quality, assess
from harness.measure.margin import Margin, measure_margin
from harness.measure.timing import Timing
from harness.measure.waterfall import waterfall_of
from harness.realtime.run import Run
from mrsim.stream import Stream


@dataclass(frozen=True)
class Measures:
    """Hold the measures of a run's images.

    Parameters
    ----------
    quality
        Of single images, each against the truth at its own last line; None if no steady image came.
    displayed, margin
        What was on display at each instant; None if it was not measured.
    delivery
        What the profile's beam would have done; None if it has none.
    instantly
        The answer on the target if every image had come as soon as its last line was due.
    why_not
        Why `margin` is None; empty if it is not.
    """

    quality: Quality | None = None
    displayed: Displayed | None = None
    margin: Margin | None = None
    delivery: Delivery | None = None
    instantly: Answer | None = None
    why_not: str = ""

    def target(self, criterion: Criterion, spoilt: str | None) -> Answer:
        """Answer whether the target is where it is shown.

        Parameters
        ----------
        criterion
            The bars.
        spoilt
            What the host did to the run's times; None if they are valid.
        """
        answer = judge_target(criterion.profile, self.margin, self.delivery, self.why_not)
        if spoilt is None or answer.outcome in (None, Outcome.PASS):
            return answer
        # What fails without any time to compute has failed, whatever the host did.
        if self.instantly is not None and self.instantly.outcome is Outcome.FAIL:
            return self.instantly
        return Answer(answer.question, Outcome.INVALID, f"{answer.reason}; but {spoilt}")


def measure_images(stream: Stream, run: Run, timing: Timing, criterion: Criterion, seed: int) -> Measures:
    """Measure what a run showed: image by image, and at every instant.

    Parameters
    ----------
    stream
        The scan that was played, or a longer one that begins with it, with truth.
    run, timing
        The run, with its pixels, and its times.
    criterion
        What it is judged by.
    seed
        Seed of the bootstrap.
    """
    assert stream.truth is not None
    judge = FrameJudge(stream.truth, stream.header)
    scores = judge.score_run(run)
    quality = assess(stream, run, timing, seed, scores)
    if not judge.has_target:
        return Measures(quality, why_not="the scan has no target")
    displayed = display(stream, run, timing, scores, judge.window)
    if displayed is None:
        return Measures(quality, why_not="the scan ends before an image could be judged")
    margin = _margin(displayed, stream, run, quality)
    delivery = _delivery(displayed, criterion)
    due_ns = (displayed.emissions.newest + 1) * displayed.tr_ns
    early = displayed.coming_at(due_ns)
    instantly = judge_target(
        criterion.profile, _margin(early, stream, run, quality), _delivery(early, criterion), ""
    )
    return Measures(quality, displayed, margin, delivery, instantly)


def _margin(displayed: Displayed, stream: Stream, run: Run, quality: Quality | None) -> Margin:
    lag_ns = None if quality is None else quality.lag.claimed_ns
    return measure_margin(
        displayed,
        stream,
        None if quality is None else _offline_m(quality, stream),
        silent_failures(displayed, stream, run.images.pixels),
        waterfall_of(displayed, stream, lag_ns),
    )


def _offline_m(quality: Quality, stream: Stream) -> NDArray[np.float64]:
    """Return the centre error of each steady image at its own last line; infinite without a target."""
    assert stream.truth is not None
    last = (quality.frames + 1) * stream.header.lines_per_frame - 1
    error = np.hypot(*(quality.centroid_m - np.asarray(stream.truth.centroid)[last]).T)
    return np.where(np.isfinite(error), error, np.inf)


def _delivery(displayed: Displayed, criterion: Criterion) -> Delivery | None:
    beam = beam_of(criterion)
    return None if beam is None else deliver_by(beam, displayed)


def deliver_by(beam: Beam, displayed: Displayed) -> Delivery:
    """Return what a beam would have done with what was on display.

    Parameters
    ----------
    beam
        The beam.
    displayed
        What was on display at every TR.
    """
    held = displayed.held | displayed.gone
    return deliver(beam, displayed.centre_m, held, displayed.true_m, displayed.tr_ns)


def beam_of(criterion: Criterion) -> Beam | None:
    """Return the beam of a profile: a named one, or one that is gated by the profile's own window."""
    profile = criterion.profile
    if profile.beam is not None:
        return load_beam(profile.beam)
    if profile.window_mm is None:
        return None
    delay_ms = criterion.downstream_ms
    return Beam(
        name=f"{profile.name}'s own",
        about=f"gated by a window of {profile.window_mm:g} mm, {delay_ms:g} ms after the image",
        kind="gating",
        window_mm=profile.window_mm,
        on_ms=delay_ms,
        off_ms=delay_ms,
    )
