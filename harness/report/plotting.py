"""matplotlib where it is installed, and what to install where it is not: asked for before the work."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from mrsim.errors import HostError, MissingExtraError


def plotting() -> tuple[Any, Any]:
    """Return matplotlib's `Figure` and the canvas that draws one without a display.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    HostError
        If it is set up in a way that it does not take.
    """
    # It speaks of folders that it may not write and of fonts that it looks for; none of that is an error.
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        figure = importlib.import_module("matplotlib.figure").Figure
        canvas = importlib.import_module("matplotlib.backends.backend_agg").FigureCanvasAgg
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "drawing a picture") from None
    except ValueError as error:
        said = " ".join(str(error).split())[:160]
        raise HostError(f"matplotlib cannot be set up: {said}; mend MPLBACKEND or the matplotlibrc") from None
    finally:
        log.setLevel(level)
    return figure, canvas
