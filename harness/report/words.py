"""What each figure and chart of a page means, in a sentence or two that come up on hover and by keyboard."""

from __future__ import annotations

from html import escape

MEANT = {
    "M95 on display": "The smallest distance within which the target shown is from the true one, at the same "
    "instant, for 95 % of the time. It holds the age of the image, computing, and the image's own error.",
    "target available": "The share of the time in which the target can be followed at all: it is in the "
    "slice, and the beam is not held.",
    "silent failures": "The share of the time in which what is shown is wrong and nothing in the image says "
    "so: a frozen, blank, stale or averaged image, or a target that is not there.",
    "response, median": "From the instant at which the last line of an image was due to the image. Half of "
    "all images took less. 99 of 100 took less than p99.",
    "missed": "Images that came after their deadline, or never. The interval is where the true share lies "
    "with 99 % certainty.",
    "apparent lag": "How far behind the true path the path in the images runs. Gain is how much of the "
    "movement is left, and the residual is what no lag explains.",
    "Dice": "How far the outline found in the image covers the true one: 1 is all of it, 0 is nothing.",
    "waterfall": "Each bar begins where the one above it ends, and together they are M95. Blue is time, "
    "which faster computing or more frequent images would save. Orange is the image.",
    "trace": "The true path of the target, and the one that a viewer of the images sees at the same instant. "
    "Where the second runs to the right of the first, it is behind.",
    "error": "The distance between both paths at each instant. What lies above 3 mm would miss a margin of "
    "3 mm.",
    "whole": "The largest distance in each short stretch of the whole scan, so that no rare error is hidden.",
    "distribution": "How many images took how long. Bars beyond the dashed line came too late.",
    "time-line": "Each dot is an image: when it was due, and how long it took. Lines of violet are times in "
    "which the host stood still.",
    "moving": "Blue is the target's outline at that instant, orange the one found in the image that is on "
    "display then. The lamp says whether a gated beam would be on, and whether it would meet the target.",
}
"""For the name of a headline figure, or of a chart."""


def explained(name: str) -> tuple[str, str]:
    """Return what an explained element takes, and its explanation; both are empty where there is none.

    Parameters
    ----------
    name
        Of the figure or chart.

    Returns
    -------
    attributes
        Of the element, which the keyboard reaches.
    tip
        HTML to put at its end.
    """
    if name not in MEANT:
        return "", ""
    key = "tip-" + "".join(c if c.isalnum() else "-" for c in name)
    tip = f'<span class="tip" role="tooltip" id="{key}">{escape(MEANT[name])}</span>'
    return f' class="explained" tabindex="0" aria-describedby="{key}"', tip
