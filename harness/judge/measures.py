"""Everything that is measured of a run's images and positions, in the order in which one needs the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.judge.outcome import Answer, Outcome
from harness.judge.profiles import Criterion
from harness.judge.scale import FittedScale, fit_scale
from harness.judge.target import QUESTION, Beamed, judge_target
from harness.measure.beam import Beam, load_beam
from harness.measure.breaths import breath_blocks, breath_starts
from harness.measure.delivery import deliver, delivery_intervals
from harness.measure.displayed import Displayed, display
from harness.measure.dose import pixel_of, relative_d98
from harness.measure.failures import silent_failures
from harness.measure.image_quality import FrameJudge, Quality, assess
from harness.measure.margin import Margin, measure_margin
from harness.measure.shown import shown_as
from harness.measure.symptoms import stacked, symptom
from harness.measure.timing import Timing
from harness.measure.waterfall import waterfall_of
from harness.realtime.run import Run
from mrsim.errors import InputError
from mrsim.stream import Stream
from mrsim.stream.fourier import to_image
from recon.convention import AS_IT_IS, Convention
from recon.protocol import UNIFORM

NOT_MEASURED = Answer(QUESTION, None, "images were not measured")
LOOKED_AT = 16  # images
BEAMS = ("linac-trigger", "mlc", "none")
"""Beams that are simulated for every run: gating, leaves that follow, and neither."""


@dataclass(frozen=True)
class Measures:
    """Hold the measures of a run's images.

    Parameters
    ----------
    quality
        Of single images, each against the truth at its own last line; None if no steady image came.
    displayed, margin
        What was on display at each instant; None if it was not measured.
    beams
        What each beam would have done, that of the profile first if it has one.
    target
        Whether the target is where it is shown.
    symptom
        What simple mistake makes images differ from the truth; None if none is seen.
    scale
        By what all images were multiplied; None if by nothing.
    """

    quality: Quality | None = None
    displayed: Displayed | None = None
    margin: Margin | None = None
    beams: tuple[Beamed, ...] = ()
    target: Answer = NOT_MEASURED
    symptom: str | None = None
    scale: FittedScale | None = None


def measure_images(
    stream: Stream,
    run: Run,
    timing: Timing,
    criterion: Criterion,
    spoilt: str | None,
    beam_names: Sequence[str] = BEAMS,
    convention: Convention = AS_IT_IS,
    combination: str = UNIFORM,
) -> Measures:
    """Measure what a run showed: image by image, and at every instant.

    Parameters
    ----------
    stream
        The scan that was played, or a longer one that begins with it, with truth.
    run, timing
        The run, with its pixels, and its times.
    criterion
        What it is judged by.
    spoilt
        What the host did to the run's times; None if they are valid.
    beam_names
        Beams that are simulated beside that of the profile: names of shipped ones, or .toml files.
    convention
        What has been done to the images already; those that ask for it are multiplied by one number first,
        fitted to the truth.
    combination
        How the images show several coils.
    """
    assert stream.truth is not None
    judge = FrameJudge(stream.truth, stream.header, shown_as(stream, combination).shading)
    scale = fit_scale(judge, run, timing) if convention.fit else None
    found = _measured(stream, run, timing, criterion, spoilt, beam_names, judge, convention, combination)
    return dataclasses.replace(found, scale=scale)


def _measured(
    stream: Stream,
    run: Run,
    timing: Timing,
    criterion: Criterion,
    spoilt: str | None,
    beam_names: Sequence[str],
    judge: FrameJudge,
    convention: Convention,
    combination: str,
) -> Measures:
    assert stream.truth is not None
    shading = shown_as(stream, combination).shading
    scores = judge.score_run(run)
    quality = assess(stream, run, timing, scores, combination)
    if not judge.has_target:
        return Measures(quality, target=Answer(QUESTION, None, "the scan has no target"))
    displayed = display(stream, run, timing, scores, judge.window, shading=shading)
    if displayed is None:
        return Measures(quality, target=Answer(QUESTION, None, "the scan ends before an image is due"))
    beams = beams_of(criterion, beam_names)
    judged = tuple(deliver_by(beam, displayed, stream) for beam in beams)
    margin = _margin(displayed, stream, run, quality)
    answer = judge_target(criterion.profile, margin, judged)
    if spoilt is not None and answer.outcome is not Outcome.PASS:
        answer = _despite_host(answer, spoilt, displayed, stream, run, quality, criterion)
    told = _symptom(stream, run, quality, convention, shading)
    return Measures(quality, displayed, margin, judged, answer, told)


def _symptom(
    stream: Stream,
    run: Run,
    quality: Quality | None,
    convention: Convention,
    shading: NDArray[np.float32] | None,
) -> str | None:
    assert stream.truth is not None
    if quality is None or run.images.pixels is None:
        return None
    drawn = quality.frames[run.images.drawn[quality.frames]]
    if not len(drawn):
        return None
    chosen = drawn[np.unique(np.linspace(0, len(drawn) - 1, LOOKED_AT).round().astype(int))]
    shown, true = run.images.pixels[chosen], stream.truth.image[chosen]
    if shading is not None:
        true = true * shading
    if stream.header.lines_per_frame == stream.header.matrix[0]:
        arrived = np.stack([_as_arrived(stream, int(frame)) for frame in chosen])
        if (found := stacked(shown, true, arrived)) is not None:
            return found
    return symptom(shown, true, convention)


def _as_arrived(stream: Stream, frame: int) -> NDArray[np.float64]:
    """Return the magnitude of an image of a frame's lines as they came, one below the other, all coils."""
    lines = stream.header.lines_per_frame
    kspace = np.asarray(stream.samples[frame * lines : (frame + 1) * lines]).swapaxes(0, 1)
    return np.asarray(np.sqrt((np.abs(to_image(kspace)) ** 2).sum(axis=0)), np.float64)


def _despite_host(
    answer: Answer,
    spoilt: str,
    displayed: Displayed,
    stream: Stream,
    run: Run,
    quality: Quality | None,
    criterion: Criterion,
) -> Answer:
    """Return the answer where the host may have made images late.

    What fails although every image comes as soon as its last line is due has failed, whatever the host did.
    """
    early = displayed.coming_at((displayed.emissions.newest + 1) * displayed.tr_ns)
    beams = [deliver_by(beam, early, stream) for beam in beams_of(criterion, ())]
    instantly = judge_target(criterion.profile, _margin(early, stream, run, quality), beams)
    if instantly.outcome is Outcome.FAIL:
        return instantly
    return Answer(answer.question, Outcome.INVALID, f"{answer.reason}; but {spoilt}")


def _margin(displayed: Displayed, stream: Stream, run: Run, quality: Quality | None) -> Margin:
    lag_ns = None if quality is None else quality.lag.claimed_ns
    return measure_margin(
        displayed,
        stream,
        None if quality is None else _offline_m(quality, stream, displayed.misled),
        silent_failures(displayed, stream, run.images.pixels),
        waterfall_of(displayed, stream, lag_ns),
    )


def _offline_m(quality: Quality, stream: Stream, misled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the centre error of each steady image that can be judged; infinite without a target."""
    assert stream.truth is not None
    last = (quality.frames + 1) * stream.header.lines_per_frame - 1
    error = np.hypot(*(quality.centroid_m - np.asarray(stream.truth.centroid)[last]).T)
    return np.where(np.isfinite(error), error, np.inf)[~misled[quality.frames]]


def deliver_by(beam: Beam, displayed: Displayed, stream: Stream) -> Beamed:
    """Return what a beam would have done with what was on display.

    Parameters
    ----------
    beam
        The beam.
    displayed
        What was on display at every TR.
    stream
        The scan that was played, with truth.

    Raises
    ------
    InputError
        If the scan's pixels are of a size that no dose is told for.
    """
    assert stream.truth is not None
    held = displayed.held | displayed.gone
    delivery = deliver(beam, displayed.centre_m, held, displayed.true_m, displayed.tr_ns)
    areas = stream.truth.mask.sum(axis=(1, 2))
    usual = int(np.argsort(areas, kind="stable")[len(areas) // 2])
    pixel_m = pixel_of(stream.header)
    mask = np.asarray(stream.truth.mask[usual])
    d98 = d98_ideal = None
    if mask.any():
        d98 = relative_d98(mask, pixel_m, delivery.error_m, delivery.on_share)
        if beam.kind == "gating":
            d98_ideal = relative_d98(mask, pixel_m, delivery.error_m, delivery.ideal_on_share)
    blocks = breath_blocks(displayed.t_ns, breath_starts(stream.truth, stream.header))
    return Beamed(delivery, d98, d98_ideal, delivery_intervals(delivery, blocks))


def beams_of(criterion: Criterion, names: Sequence[str]) -> list[Beam]:
    """Return the profile's beam, if it has one, and the named ones.

    Parameters
    ----------
    criterion
        The profile, with the delay that the user states.
    names
        Names of shipped beams, or .toml files.
    """
    profile, delay_ms = criterion.profile, criterion.downstream_ms
    own = []
    if profile.beam is not None:
        own = [load_beam(profile.beam)]
        if own[0].end_to_end:
            raise InputError(
                f"profile {profile.name}: beam {own[0].name} counts from the motion, so it judges no "
                "reconstructor: state the delays after the image"
            )
    elif profile.window_mm is not None:
        own = [
            Beam(
                name=f"{profile.name}'s own",
                about=f"gated by a window of {profile.window_mm:g} mm, {delay_ms:g} ms after the image",
                kind="gating",
                window_mm=profile.window_mm,
                on_ms=delay_ms,
                off_ms=delay_ms,
            )
        ]
    return own + [load_beam(name) for name in names]
