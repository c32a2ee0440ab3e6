"""The page on one run: the verdict, then its basis, in one file without network access or libraries."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from harness.report.charts import Chart
from harness.report.sections import behaviour, host_and_provenance, latency, reproduce
from harness.report.text import Figures, data, tile

MEANING = {
    "PASS": ("M3 12.5L9.5 19L21 6", "It kept its deadline."),
    "FAIL": ("M5 5L19 19M19 5L5 19", "It did not keep its deadline, or it broke off."),
    "INVALID": ("M12 3V14M12 20V20.1", "This run says nothing about the reconstructor."),
    "INSUFFICIENT": ("M4 12H4.1M12 12H12.1M20 12H20.1", "Too few images for the claim."),
}
"""For each verdict its sign, as an SVG path in a square of 24, and its meaning."""


def page(values: dict[str, Any], charts: dict[str, list[Chart]], frames: list[dict[str, Any]]) -> str:
    """Return the page.

    Parameters
    ----------
    values
        The result as JSON values; every figure on the page is one of these.
    charts
        Charts, under "latency" and "trace".
    frames
        Frames to show, as `harness.report.frames.pictures` makes them.

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
    sections = [
        ("latency", "Latency", latency(figures, charts["latency"])),
        ("target", "Where the target appears", _traces(figures, charts["trace"])),
        ("images", "Images", _images(frames)),
        ("behaviour", "Faults and audits", behaviour(figures)),
        ("host", "Host and provenance", host_and_provenance(figures)),
        ("reproduce", "Reproduce", reproduce(figures)),
    ]
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
        f"<body>{_header(figures)}<main><ul class='tiles'>{''.join(_tiles(figures))}</ul>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>{body}</main>'
        f"<footer>mrsim {figures.at('environment/mrsim')}. Every figure is in the JSON inside this file "
        '(script element "result"); a dash means that too few samples carry it.</footer>'
        f"{data('result', values)}{data('frames', frames)}<script>{script}</script></body></html>\n"
    )


def _header(figures: Figures) -> str:
    verdict = str(figures.values["verdict"])
    sign, meaning = MEANING[verdict]
    phantom = figures.get("stream/phantom")
    of = f" of phantom {figures.at('stream/phantom')}" if phantom else ""
    return (
        '<header><div class="verdict">'
        f'<span class="badge {escape(verdict)}"><svg viewBox="0 0 24 24" aria-hidden="true">'
        f'<path d="{sign}"/></svg>{figures.at("verdict")}</span>'
        f'<p class="means">{escape(meaning)}</p></div><p>{figures.at("reason")}</p>'
        f'<h1>{figures.at("candidate")}</h1><p class="soft">on {figures.at("stream/frames")} frames{of}, '
        f"{figures.at('stream/header/acceleration', 1)}x, "
        f"TR {figures.at('stream/header/tr_ns', 1, 1e-6)} ms; {figures.at('scenario')}, "
        f"{figures.at('clock')} clock, profile {figures.at('profile/name')}</p></header>"
    )


def _tiles(figures: Figures) -> list[str]:
    at = figures.at
    tiles = [
        tile(
            "response, median",
            f"{at('latency_ms/response/p50', 1)} ms",
            f"p99 {at('latency_ms/response/p99', 1)}, max {at('latency_ms/response/max', 1)} ms; "
            f"deadline {at('deadline/period_ms', 1)} ms",
        ),
        tile(
            "missed",
            f"{at('deadline/misses')} of {at('deadline/images')}",
            f"99 % interval {at('deadline/miss_share_interval/0', 2, 100)} to "
            f"{at('deadline/miss_share_interval/1', 2, 100)} %",
        ),
    ]
    if figures.get("quality") is None:
        return tiles
    if figures.get("quality/lag_ms") is None:
        lag = tile("apparent lag", "none", at("quality/lag_reason"))
    else:
        lag = tile(
            "apparent lag",
            f"{at('quality/lag_ms', 0)} ms",
            f"gain {at('quality/gain')}, residual {at('quality/residual_mm')} mm; "
            f"{at('quality/total_lag_ms', 0)} ms with the response",
        )
    lost = figures.get("quality/centroid_mm/not_found")
    return [
        *tiles,
        lag,
        tile(
            "centroid error when shown, p95",
            f"{at('quality/centroid_mm/p95')} mm",
            f"rms {at('quality/centroid_mm/rms')}, max {at('quality/centroid_mm/max')} mm"
            + (f"; not found in {at('quality/centroid_mm/not_found')}" if lost else ""),
        ),
        tile(
            "Dice",
            at("quality/dice", 3),
            f"NMSE {at('quality/nmse', 6)}, SSIM {at('quality/ssim', 3)}",
        ),
    ]


def _traces(figures: Figures, charts: Sequence[Chart]) -> str:
    if not charts:
        return '<p class="note">The images were not measured, or none came.</p>'
    at = figures.at
    note = (
        f'<p class="note">The target as it is segmented in {at("quality/images")} steady images, held '
        "against where it truly was when each image was shown. Against the truth at the image's own last "
        f"line the error is {at('quality/centroid_last_line_mm/rms')} mm rms, "
        f"{at('quality/centroid_last_line_mm/max')} mm at most.</p>"
    )
    return note + "".join(chart.html() for chart in charts)


def _images(frames: Sequence[dict[str, Any]]) -> str:
    if not frames:
        return '<p class="note">The images were not measured, or none came.</p>'
    start = len(frames) // 2
    first = frames[start]
    maps = [
        ("truth", "Truth at the last line", "truth, with the target's true outline"),
        ("image", "Reconstructed image", "image; the cross is the target found in it"),
        ("error", "Error of the image", "error: blue too dark, orange too bright, full at 10 % of white"),
    ]
    figures = "".join(
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
        f'<div class="maps">{figures}</div><div class="slider"><label for="frame">Time</label>'
        f'<input type="range" id="frame" min="0" max="{len(frames) - 1}" step="1" value="{start}">'
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
    return (
        f"frame {frame['frame']}, {frame['t_s']:.2f} s: NMSE {frame['nmse']:.2g}, Dice {frame['dice']:.3f}, "
        f"{where}, response {frame['response_ms']:.1f} ms"
    )
