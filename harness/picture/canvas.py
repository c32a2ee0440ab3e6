"""What moving pictures are drawn with: greys and a few colours, text, outlines, lamps; by Pillow.

Everything is drawn in full colour. The palette holds the greys and the ramps of the colours that are used, so
that a GIF shows the same to within a few levels.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.plotting import pillow

Rgb = NDArray[np.uint8]
Colour = tuple[int, int, int]

BACK: Colour = (18, 20, 24)
TEXT: Colour = (235, 235, 235)
QUIET: Colour = (150, 154, 160)
TRUE: Colour = (0, 213, 255)
SHOWN: Colour = (255, 158, 40)
GOOD: Colour = (64, 200, 110)
BAD: Colour = (240, 70, 60)
"""Where the target is, where it is shown, and the two states of a lamp: distinct to colour-blind readers."""
GREYS, SHADES = 32, 8
LINE_PX = 1.7
PURPOSE = "drawing a moving picture"


def palette() -> Rgb:
    """Return the colours of a GIF, shape (n, 3), uint8: greys, and ramps from black to each colour."""
    ramps = [np.repeat(np.linspace(0, 255, GREYS)[:, None], 3, axis=1), np.array([BACK])]
    for colour in (TRUE, SHOWN, GOOD, BAD):
        ramps.append(np.linspace(0, 1, SHADES + 1)[1:, None] * np.array([colour]))
    return np.concatenate(ramps).round().astype(np.uint8)


class Canvas:
    """Hold one picture while it is drawn.

    Parameters
    ----------
    width, height
        Its size in pixels.

    Raises
    ------
    MissingExtraError
        If Pillow is not installed.
    """

    def __init__(self, width: int, height: int) -> None:
        self._image = pillow("Image", PURPOSE).new("RGB", (width, height), BACK)
        self._draw = pillow("ImageDraw", PURPOSE).Draw(self._image)

    def copy(self) -> Canvas:
        """Return a copy, to draw what changes on what stays."""
        other = object.__new__(Canvas)
        other._image = self._image.copy()
        other._draw = pillow("ImageDraw", PURPOSE).Draw(other._image)
        return other

    def text(self, x: float, y: float, text: str, colour: Colour = TEXT, size: int = 13) -> None:
        """Write a line of text, its upper left corner at (x, y)."""
        self._draw.text((x, y), text, fill=colour, font=_font(size))

    def line(self, points: NDArray[np.float64], colour: Colour, width: int = 1) -> None:
        """Draw a line through points (x, y), shape (n, 2)."""
        if len(points) > 1:
            self._draw.line([(float(x), float(y)) for x, y in points], fill=colour, width=width)

    def disc(self, x: float, y: float, radius: float, colour: Colour, *, filled: bool = True) -> None:
        """Draw a disc, or the ring of one, around (x, y)."""
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, fill=colour if filled else None, outline=colour, width=2)

    def paste(self, x: int, y: int, picture: Rgb) -> None:
        """Put a picture, shape (rows, columns, 3), with its upper left corner at (x, y)."""
        self._image.paste(pillow("Image", PURPOSE).fromarray(picture), (x, y))

    @property
    def pixels(self) -> Rgb:
        """Return what is drawn, shape (height, width, 3), uint8."""
        return np.asarray(self._image)


def text_width(text: str, size: int = 13) -> float:
    """Return how wide a line of text is, pixels."""
    return float(_font(size).getlength(text))


def shortened(text: str, width: float, size: int = 13) -> str:
    """Return a text that is no wider than so many pixels; what is left out in the middle is told by dots."""
    keep = len(text)
    while keep > 4 and text_width(text, size) > width:
        keep -= 1
        text = f"{text[: keep // 2]}…{text[len(text) - keep // 2 :]}"
    return text


def grey(image: NDArray[np.floating[Any]], white: float, size: tuple[int, int]) -> Rgb:
    """Return a magnitude image as a picture of another size, shape (*size, 3).

    Parameters
    ----------
    image
        Shape (rows, columns).
    white
        What is shown as white.
    size
        Rows and columns of the picture.
    """
    levels = np.nan_to_num(np.clip(np.asarray(image, np.float64) / (white or 1.0), 0, 1)) * 255
    Image = pillow("Image", PURPOSE)
    shown = Image.fromarray(levels.round().astype(np.uint8)).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(shown)[..., None], 3, axis=2)


def outlined(picture: Rgb, mask: NDArray[np.bool_], colour: Colour) -> Rgb:
    """Return a picture with the outline of a mask that covers it.

    Parameters
    ----------
    picture
        Shape (rows, columns, 3).
    mask
        Of any size, stretched over the picture.
    colour
        Colour of the line.
    """
    rows, columns = picture.shape[:2]
    Image, Filter = pillow("Image", PURPOSE), pillow("ImageFilter", PURPOSE)
    inside = Image.fromarray(mask.astype(np.uint8) * 255).resize((columns, rows), Image.Resampling.BILINEAR)
    # Pixels have corners, and a target has none.
    blurred = inside.filter(Filter.GaussianBlur(0.8 * rows / mask.shape[0]))
    level = np.asarray(blurred, np.float64) / 255 - 0.5
    slope = np.hypot(*np.gradient(level))
    away = np.abs(level) / np.maximum(slope, 1e-3)
    cover = np.clip(LINE_PX / 2 + 0.5 - away, 0, 1)[..., None]
    return np.asarray((picture * (1 - cover) + np.array(colour) * cover).round(), np.uint8)


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return pillow("ImageFont", PURPOSE).load_default(size)
