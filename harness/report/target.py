"""The sections on the target: what was on display, what failed silently, what a beam would have done."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from harness.report.charts import Chart
from harness.report.text import DASH, INFINITE, Figures, table

KIND_WORDS = {
    "gating": "gated",
    "tracking": "leaves follow",
    "none": "always on",
}
"""What each kind of beam does."""
SILENT_WORDS = {
    "blank": "nothing can be seen in the image",
    "frozen": "the same image again, while the anatomy moved",
    "stale": "an image too old to be followed",
    "another anatomy": "an image of something that was not scanned",
    "average anatomy": "an average in place of the image",
    "no target": "an image in which no target is found",
    "target gone": "a target, while it is out of the slice",
}
"""What was on display in each kind of silent failure."""


def target(figures: Figures, charts: Sequence[Chart]) -> str:
    """Return the section on what was on display.

    Parameters
    ----------
    figures
        The figures of the run.
    charts
        Charts over time.
    """
    if figures.get("margin") is None:
        reason = figures.at("answers/target/reason")
        return f'<p class="note">What was on display was not measured: {reason}.</p>'
    return (
        '<p class="note">On display: the newest image that was complete, at each TR, against where the '
        "target was at that TR. Image by image: each image against the target at the image's own last "
        "line, as if it took no time to compute. M95 is the distance that holds the target for 95 % of the "
        "time.</p>"
        + _accuracy(figures)
        + _convention(figures)
        + "".join(chart.html() for chart in charts)
        + _stretch_note(charts)
        + _silent(figures)
    )


def made_of(figures: Figures, waterfall: Chart | None) -> str:
    """Return the section on what the margin is made of, which the page leads with; empty without a margin.

    Parameters
    ----------
    figures
        The figures of the run.
    waterfall
        Its picture; None where the target could never be followed.
    """
    if figures.get("margin") is None:
        return ""
    return ("" if waterfall is None else waterfall.html()) + _faster(figures)


def margin_of(figures: Figures, path: str, digits: int = 1) -> str:
    """Return a margin as HTML: a length, or that it is infinite, or a dash if the target was never followed.

    Parameters
    ----------
    figures
        The figures of the run.
    path
        Its place in the JSON.
    digits
        Number of decimals.
    """
    null = INFINITE if figures.get("margin/availability") else DASH
    return figures.at(path, digits, unit=" mm", null=null)


def _accuracy(figures: Figures) -> str:
    at = figures.at
    # The JSON has null for both what is infinite and what no image tells.
    offline = INFINITE if figures.get("quality") is not None else DASH
    rows = [
        ["M95", margin_of(figures, "margin/m95_mm") + _interval(figures),
         at("margin/offline_m95_mm", 1, unit=" mm", null=offline)],
        ["M99", margin_of(figures, "margin/m99_mm"), ""],
        ["distance, rms", at("margin/rms_mm", 2, unit=" mm"),
         at("quality/centroid_last_line_mm/rms", 2, unit=" mm")],
        ["beyond 3 mm", f"{at('margin/beyond_3mm_share', 1, 100)} %", ""],
        ["longest time beyond 3 mm", f"{at('margin/beyond_3mm_longest_ms', 0)} ms", ""],
        ["target available", f"{at('margin/availability', 1, 100)} %", ""],
        *([label, f"{at(place, 1, 100)} %", ""] for label, place in (
            ("held", "margin/held_share"), ("out of the slice", "margin/gone_share"),
            ("not seen by the judge itself", "margin/unseen_share"),
        ) if figures.get(place)),
        ["no target, while available", f"{at('margin/lost_share', 1, 100)} %",
         f"{at('quality/centroid_last_line_mm/not_found')} of {at('quality/images', unit=' images')}"],
        ["Dice", at("margin/dice", 3), at("quality/dice", 3)],
        ["NMSE", at("margin/nmse", 6), at("quality/nmse", 6)],
        *([["NMSE of a fully sampled image", "", at("quality/nmse_full", 6)]]
          if figures.get("quality/nmse_full") is not None else []),
        ["SSIM", "", at("quality/ssim", 3)],
    ]  # fmt: skip
    return table(["", "on display", "image by image"], rows, numbers=True)


def _convention(figures: Figures) -> str:
    """Return what is wrong with the images in a simple way, and by what they were multiplied."""
    said = ""
    if figures.get("symptom"):
        said += f'<p class="note">What is seen: {figures.at("symptom")}.</p>'
    if figures.get("scale") is not None:
        said += (
            f'<p class="note">All images were multiplied by {figures.at("scale/gain", 6)}, fitted once over '
            f"the run. Without it the NMSE is {figures.at('scale/nmse', 6)} and the SSIM "
            f"{figures.at('scale/ssim', 3)}.</p>"
        )
    return said


def _interval(figures: Figures) -> str:
    # Without a finite end it says no more than the figure.
    if figures.get("margin/m95_interval_mm/0") is None:
        return ""
    low, high = (figures.at(f"margin/m95_interval_mm/{end}", 1, null=INFINITE) for end in (0, 1))
    return f" ({low} to {high})"


def _faster(figures: Figures) -> str:
    """Return what the same images would cost, had they come sooner or more often."""
    if not figures.get("margin/availability"):
        return "<p>The target could never be followed, so there is no margin.</p>"
    at = figures.at
    half, tenfold = (
        at(f"margin/waterfall_mm/{place}", 1, unit=" mm")
        if figures.get(f"margin/waterfall_mm/{place}") is not None
        else ""
        for place in ("at_half_the_compute", "at_10x")
    )
    told = [
        text for text in (half and f"{half} at half the compute", tenfold and f"{tenfold} at 10x") if text
    ]
    instead = f"The same images would cost {', and '.join(told)}." if told else ""
    return (
        '<p class="note">Cadence: an image stays until the next one comes. Age of lines: an image shows what '
        "was when its lines were measured. Computing: from the last line to the image. "
        f"{instead}</p>"
    )


def _stretch_note(charts: Sequence[Chart]) -> str:
    if not any(chart.name == "whole" for chart in charts):
        return ""
    return '<p class="note">The first two charts show the 20 s with the greatest mean distance.</p>'


def _silent(figures: Figures) -> str:
    at, place = figures.at, "margin/silent_failures"
    head = "<h3>Silent failures</h3>"
    if not figures.get("margin/silent_failures/count"):
        return (
            f"{head}<p>None ({at('margin/silent_failures/share', 1, 100)} % of the time): nothing was on "
            "display that nobody should follow.</p>"
        )
    kinds = [kind for kind, share in figures.get("margin/silent_failures/kinds").items() if share]
    rows = [[kind, SILENT_WORDS[kind], f"{at(f'{place}/kinds/{kind}', 1, 100)} %"] for kind in kinds]
    listed = table(["shown without HOLD", "what was on display", "of the time"], rows) if rows else ""
    if figures.get("margin/silent_failures/first_sign_ms") is None:
        sign = "none was ever flagged"
    else:
        sign = (
            f"{at('margin/silent_failures/unflagged')} never flagged, the others by a first HOLD after "
            f"{at('margin/silent_failures/first_sign_ms', 0)} ms at the latest"
        )
    return (
        f"{head}{listed}<p>Failures: {at('margin/silent_failures/count')}; {sign}. Without HOLD they were on "
        f"display for {at('margin/silent_failures/share', 1, 100)} % of the time, "
        f"{at('margin/silent_failures/longest_ms', 0)} ms at the longest.</p>"
    )


def beams(figures: Figures) -> str:
    """Return the section on what a beam would have done; empty if none was simulated.

    Parameters
    ----------
    figures
        The figures of the run.
    """
    found = figures.get("beams")
    if not found:
        return ""
    places = [f"beams/{number}" for number in range(len(found))]
    never = "never on"
    rows = [
        ["kind", *(escape(KIND_WORDS[beam["kind"]]) for beam in found)],
        *(
            [label, *(figures.at(f"{place}/{key}", digits, scale, null=null) for place in places)]
            for label, key, digits, scale, null in (
                ("on, %", "duty", 1, 100, DASH),
                ("ideal, %", "ideal_duty", 1, 100, DASH),
                ("covered, %", "coverage", 1, 100, never),
                ("astray, %", "stray_share", 1, 100, never),
                ("longest astray, ms", "stray_longest_ms", 0, 1, DASH),
                ("time factor", "treatment_time_factor", 2, 1, INFINITE),
                ("relative D98", "relative_d98", 3, 1, DASH),
                ("ideal D98", "relative_d98_ideal", 3, 1, DASH),
            )
        ),
    ]
    astray = next(row for row in rows if row[0].startswith("astray"))
    astray[1:] = [cell + _bounds(figures, place) for cell, place in zip(astray[1:], places, strict=True)]
    return (
        table(["", *(beam["beam"] for beam in found)], rows, numbers=True)
        + '<p class="note">On: share of the time with beam. Ideal: that of a beam without delay or error. '
        "Covered: share of the beam's time with the target within the margin of where it aims. Astray: share "
        "with the target outside the window of a gate, or outside the margin where there is no window; in "
        "brackets its 95 % interval over whole breaths. Time factor: how much longer a treatment takes than "
        "with a beam that is always on. Relative D98: dose that 98 % of the target get, as a share of that "
        "without error. Ideal D98: that of a gate without delay, which is what its window costs.</p>"
        '<p class="note"><strong>Relative D98 hardly sees lags below 160 ms.</strong> A good D98 is no '
        "verdict on a lag: read what is astray. What each beam is, and where its delays come from, stands in "
        "<code>docs/beam.md</code>.</p>"
    )


def _bounds(figures: Figures, place: str) -> str:
    if figures.get(f"{place}/intervals/stray_share") is None:
        return ""
    low, high = (figures.at(f"{place}/intervals/stray_share/{end}", 1, 100) for end in (0, 1))
    return f'<span class="bounds">({low} to {high})</span>'
