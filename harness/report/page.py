"""The page on one run: the verdict, then its basis, in one file without network access or libraries."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from harness.report.beside import Moving, beside
from harness.report.charts import Chart
from harness.report.sections import behaviour, host_and_provenance, latency, raised, reproduce
from harness.report.target import beams, made_of, margin_of, target
from harness.report.text import Figures, data, tile

SIGNS = {
    "PASS": "M3 12.5L9.5 19L21 6",
    "FAIL": "M5 5L19 19M19 5L5 19",
    "INVALID": "M12 3V14M12 20V20.1",
    "INSUFFICIENT": "M4 12H4.1M12 12H12.1M20 12H20.1",
}
"""For each verdict its sign, as an SVG path in a square of 24."""
MEANING = {
    "PASS": "Every answer that was asked for is yes.",
    "FAIL": "At least one answer is no.",
    "INVALID": "No answer: the host was too busy, or an audit is broken. Below stands which.",
    "INSUFFICIENT": "Too few images or breaths for an answer.",
}
UNDER_FAULTS = {
    **MEANING,
    "PASS": "It kept every promise under the faults.",
    "FAIL": "It broke a promise under the faults, or broke off.",
    "INSUFFICIENT": "No image came that could have broken a promise.",
}
"""What each verdict means, without and with faults."""
QUESTIONS = {
    "time": "Do images come in time?",
    "target": "Is the target where it is shown?",
    "image": "Are the images good?",
}


def page(
    values: dict[str, Any],
    charts: dict[str, list[Chart]],
    frames: list[dict[str, Any]],
    moving: Moving | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    values
        The result as JSON values; every figure on the page is one of these.
    charts
        Charts, under "margin", "latency" and "target".
    frames
        Frames to show, as `harness.report.frames.pictures` makes them.
    moving
        The moving picture of it and of who is set beside it; None for none.

    Returns
    -------
    html
        A complete page that forbids itself all network access.
    """
    figures = Figures(values)
    resources = files("harness.report") / "page"
    style = (resources / "report.css").read_text(encoding="utf-8")
    script = (resources / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    frames = [{**frame, "text": frame_text(frame)} for frame in frames]
    lead = made_of(figures, charts["margin"][0] if charts["margin"] else None)
    if lead:  # before all else but the answers
        lead = f'<section id="margin"><h2>Where the millimetres come from</h2>{lead}</section>'
    sections = [
        ("beside", "Side by side", beside(figures, moving)),
        ("raised", "What the candidate raised", raised(figures)),
        ("target", "Target", target(figures, charts["target"])),
        ("beams", "What a beam would have done", beams(figures)),
        ("latency", "Latency", latency(figures, charts["latency"])),
        ("images", "Images", _images(figures, frames)),
        ("behaviour", "Faults and audits", behaviour(figures)),
        ("host", "Host and provenance", host_and_provenance(figures)),
        ("reproduce", "Reproduce", reproduce(figures)),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections)
    body = "".join(
        f'<section id="{name}"><h2>{escape(title)}</h2>{html}</section>' for name, title, html in sections
    )
    title = f"{values['verdict']}: {values['candidate']}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style></head>\n'
        f"<body>{_header(figures)}<main>{lead}<ul class='tiles'>{''.join(_tiles(figures))}</ul>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>{body}</main>'
        f"<footer>mrsim {figures.at('environment/mrsim')}. Every figure is in the JSON inside this file "
        '(script element "result"); a dash means that too few samples carry it.</footer>'
        f"{data('result', values)}{data('frames', frames)}<script>{script}</script></body></html>\n"
    )


def _header(figures: Figures) -> str:
    verdict = str(figures.values["verdict"])
    meaning = (UNDER_FAULTS if figures.get("faults") else MEANING)[verdict]
    phantom = figures.get("stream/phantom")
    of = f" of phantom {figures.at('stream/phantom')}" if phantom else ""
    cost = "" if figures.get("margin") is None else f'<p class="cost">{figures.at("margin/sentence")}.</p>'
    return (
        '<header><div class="verdict">'
        f'<span class="badge {escape(verdict)}"><svg viewBox="0 0 24 24" aria-hidden="true">'
        f'<path d="{SIGNS[verdict]}"/></svg>{figures.at("verdict")}</span>'
        f'<p class="means">{escape(meaning)}</p></div>{cost}{_answers(figures, verdict)}'
        f'<h1>{figures.at("candidate")}</h1><p class="soft">on {figures.at("stream/frames")} frames{of}, '
        f"{figures.at('stream/header/acceleration', 1)}x, "
        f"TR {figures.at('stream/header/tr_ns', 1, 1e-6)} ms; {figures.at('scenario')}, "
        f"{figures.at('clock')} clock, profile {figures.at('profile/name')}</p></header>"
    )


def _answers(figures: Figures, verdict: str) -> str:
    """Return the answers, and the reason of the verdict where they are not all of it."""
    answers: dict[str, dict[str, str | None]] = figures.get("answers")
    worst = [f"{name}: {one['reason']}" for name, one in answers.items() if one["verdict"] == verdict]
    html = "" if figures.get("reason") == "; ".join(worst) else f"<p>{figures.at('reason')}</p>"
    if figures.get("faults"):
        html += '<p class="note">Under faults the answers are told and do not judge.</p>'
    rows = []
    for name, one in answers.items():
        sign = SIGNS.get(str(one["verdict"]), "M5 12H19")
        rows.append(
            f'<li><span class="answer {escape(one["verdict"] or "unasked")}"><svg viewBox="0 0 24 24" '
            f'aria-hidden="true"><path d="{sign}"/></svg>'
            f"{figures.at(f'answers/{name}/verdict', null='not asked')}</span>"
            f'<span class="question">{escape(QUESTIONS[name])}</span>'
            f'<span class="why">{figures.at(f"answers/{name}/reason")}</span></li>'
        )
    return f'{html}<ul class="answers">{"".join(rows)}</ul>'


def _tiles(figures: Figures) -> list[str]:
    at = figures.at
    judged = figures.get("deadline") is not None
    times = [
        tile(
            "response, median",
            f"{at('latency_ms/response/p50', 1)} ms",
            f"p99 {at('latency_ms/response/p99', 1)}, max {at('latency_ms/response/max', 1)} ms"
            + (f"; deadline {at('deadline/period_ms', 1)} ms" if judged else ""),
        )
    ]
    if judged:
        times.append(
            tile(
                "missed",
                f"{at('deadline/misses')} of {at('deadline/images')}",
                f"99 % interval {at('deadline/miss_share_interval/0', 2, 100)} to "
                f"{at('deadline/miss_share_interval/1', 2, 100)} %",
            )
        )
    shown = []
    if figures.get("margin") is not None:
        shown = [
            tile(
                "M95 on display",
                margin_of(figures, "margin/m95_mm"),
                f"M99 {margin_of(figures, 'margin/m99_mm')}; beyond 3 mm for "
                f"{at('margin/beyond_3mm_share', 1, 100)} % of the time",
            ),
            tile(
                "target available",
                f"{at('margin/availability', 1, 100)} %",
                f"held {at('margin/held_share', 1, 100)} %, out of the slice "
                f"{at('margin/gone_share', 1, 100)} %",
            ),
            tile(
                "silent failures",
                f"{at('margin/silent_failures/share', 1, 100)} %",
                f"of the time; {at('margin/silent_failures/longest_ms', 0)} ms at the longest",
            ),
        ]
    if figures.get("quality") is None:
        return [*shown, *times]
    if figures.get("quality/lag_ms") is None:
        lag = tile("apparent lag", "none", at("quality/lag_reason"))
    else:
        lag = tile(
            "apparent lag",
            f"{at('quality/lag_ms', 0)} ms",
            f"gain {at('quality/gain')}, residual {at('quality/residual_mm')} mm; "
            f"{at('quality/total_lag_ms', 0)} ms with the response",
        )
    if shown:
        return [*shown, *times, lag]
    images = f"NMSE {at('quality/nmse', 6)}, SSIM {at('quality/ssim', 3)}"
    return [*times, lag, tile("Dice", at("quality/dice", 3), images)]


def _images(figures: Figures, frames: Sequence[dict[str, Any]]) -> str:
    if not frames:
        # What was measured without any image are positions.
        none = "The images were not measured, or none came."
        if figures.get("quality") is not None:
            none = "There are no images to show: this reconstructor gave positions."
        return f'<p class="note">{none}</p>'
    start = len(frames) // 2
    first = frames[start]
    maps = [
        ("truth", "Truth at the last line", "truth, with the target's true outline"),
        ("image", "Reconstructed image", "image; the cross is the target found in it"),
        ("error", "Error of the image", "error: blue too dark, orange too bright, full at 10 % of white"),
    ]
    shown = "".join(
        f'<figure id="map-{name}" data-alt="{alt}"><div class="map"><img src="{first[name]}" '
        f'alt="{alt}, frame {first["frame"]}"><svg viewBox="{_box(first)}" aria-hidden="true">'
        f'<path class="outline" d="{first["outline"]}"/>'
        + (f'<path class="found" d="{first["found"]}"/>' if name == "image" else "")
        + f"</svg></div><figcaption>{caption}</figcaption></figure>"
        for name, alt, caption in maps
    )
    return (
        f'<p class="note">{len(frames)} frames, spread evenly, and the worst in NMSE, Dice and response. '
        "Magnitudes, unscaled: black is 0, white the 99.8th percentile of the truth.</p>"
        f'<div class="maps">{shown}</div><div class="slider"><label for="frame">Time</label>'
        f'<input type="range" id="frame" min="0" max="{len(frames) - 1}" step="1" value="{start}">'
        f'<button type="button" id="play" hidden>Play</button>'
        f'<output id="frame-text" for="frame">{escape(first["text"])}</output></div>'
    )


def _box(frame: dict[str, Any]) -> str:
    ny, nx = frame["matrix"]
    return f"0 0 {nx} {ny}"


def frame_text(frame: dict[str, Any]) -> str:
    """Return the figures of one frame in a line.

    Parameters
    ----------
    frame
        The frame, as `harness.report.frames.pictures` makes it.
    """
    error = frame["centroid_error_mm"]
    where = "no target found" if error is None else f"centroid error when shown {error:.2f} mm"
    dice = "no target to find" if frame["dice"] is None else f"Dice {frame['dice']:.3f}"
    return (
        f"frame {frame['frame']}, {frame['t_s']:.2f} s: NMSE {frame['nmse']:.2g}, {dice}, "
        f"{where}, response {frame['response_ms']:.1f} ms"
    )
