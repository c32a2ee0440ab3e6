"""The section that sets a candidate beside another one: the moving picture, and the figures of both."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape

from harness.report.text import DASH, INFINITE, Figures, table
from harness.report.words import explained


@dataclass(frozen=True)
class Moving:
    """Hold a moving picture for a page.

    Parameters
    ----------
    gif
        All of it.
    still
        Its first frame, as PNG, which stands there until it is played, and on paper.
    names
        Who is shown, from left to right.
    """

    gif: bytes
    still: bytes
    names: tuple[str, ...]


def beside(figures: Figures, moving: Moving | None) -> str:
    """Return the section; empty where nothing was set beside the candidate.

    Parameters
    ----------
    figures
        The figures of the run.
    moving
        The moving picture; None for none.
    """
    rows = figures.get("try/beside") or []
    html = "" if moving is None else _moving(moving)
    if len(rows) < 2:
        return html
    cells = []
    for number in range(len(rows)):
        path = f"try/beside/{number}"
        null = INFINITE if figures.get(f"{path}/availability") else DASH  # the JSON has null for both
        cells.append(
            [
                figures.at(f"{path}/candidate"),
                figures.at(f"{path}/m95_mm", 1, null=null),
                figures.at(f"{path}/lag_ms", 0),
                figures.at(f"{path}/response_p50_ms", 1),
                figures.at(f"{path}/dice", 3),
                figures.at(f"{path}/nmse", 4),
            ]
        )
    heads = ["candidate", "M95, mm", "lag, ms", "p50, ms", "Dice", "NMSE"]
    apart = ""
    if figures.get("try/difference_mm/value") is not None:
        within = "" if figures.get("try/difference_mm/interval") is None else (
            f" (95 % interval {figures.at('try/difference_mm/interval/0', 1)} to "
            f"{figures.at('try/difference_mm/interval/1', 1)} mm)"
        )  # fmt: skip
        apart = (
            f"<p>M95 of the first minus that of the second, at the same instants: "
            f"{figures.at('try/difference_mm/value', 1, unit=' mm')}{within}.</p>"
        )
    both = f'<div class="beside">{table(heads, cells, numbers=True)}</div>'
    return html + both + apart + f"<p>Next: {figures.at('try/next')}.</p>"


def _moving(moving: Moving) -> str:
    still, gif = (base64.b64encode(data).decode("ascii") for data in (moving.still, moving.gif))
    attributes, tip = explained("moving")
    names = " and ".join(moving.names)
    return (
        f'<figure class="moving"><div class="stage"><img id="moving" src="data:image/png;base64,{still}" '
        f'data-moving="data:image/gif;base64,{gif}" alt="{escape(names)}: the target where it is, and where '
        'each shows it"></div><button type="button" id="play-moving" hidden>Play</button>'
        f"<figcaption{attributes}>Where the target is (blue), and where each shows it (orange), in real time"
        f"{tip}</figcaption></figure>"
    )
