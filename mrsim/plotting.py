"""matplotlib and Pillow where they are installed, and what to install where they are not."""

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


def pillow(module: str, purpose: str) -> Any:
    """Return a module of Pillow, such as "Image".

    Parameters
    ----------
    module
        Its name.
    purpose
        What it is needed for, as the error states it.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError:
        raise MissingExtraError("Pillow", "report", purpose) from None
