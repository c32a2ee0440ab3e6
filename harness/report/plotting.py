"""matplotlib where it is installed, and what to install where it is not: asked for before the work."""

from __future__ import annotations

import importlib
from typing import Any

from mrsim.errors import MissingExtraError


def plotting() -> tuple[Any, Any]:
    """Return matplotlib's `Figure` and the canvas that draws one without a display.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        figure = importlib.import_module("matplotlib.figure").Figure
        canvas = importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "drawing a picture") from None
    return figure, canvas
