"""Small pictures as PNG data URIs: 8 bits a pixel with a palette, from the standard library alone.

A PNG file is zlib data between four chunks with checksums (ISO/IEC 15948). A few dozen small maps need no
library for that.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LEVELS = 64  # of grey; more levels would only store noise

Palette = NDArray[np.uint8]
"""Colour of each value, shape (values, 3), uint8."""


def grey_palette() -> Palette:
    """Return black to white in `LEVELS` steps."""
    return np.repeat(np.linspace(0, 255, LEVELS).round().astype(np.uint8)[:, None], 3, axis=1)


def error_palette() -> Palette:
    """Return blue through black to orange in `2 LEVELS - 1` steps: too little, right, too much.

    The two ends are also distinct to colour-blind readers.
    """
    up = np.linspace(0, 1, LEVELS)[:, None]
    low = np.array([[86, 180, 255]]) * up[::-1]
    high = np.array([[255, 158, 40]]) * up[1:]
    return np.concatenate([low, high]).round().astype(np.uint8)


def levels_of(values: NDArray[np.floating], low: float, high: float, count: int) -> NDArray[np.uint8]:
    """Return the level of each value on an even scale, clipped to its ends.

    Parameters
    ----------
    values
        Shape (ny, nx), of any float type.
    low, high
        Values of the first and the last level.
    count
        Number of levels.

    Returns
    -------
    levels
        Shape (ny, nx), uint8.
    """
    share = (np.asarray(values, np.float64) - low) / (high - low if high > low else 1.0)
    return np.round(np.clip(np.nan_to_num(share), 0, 1) * (count - 1)).astype(np.uint8)


def png(indices: NDArray[np.uint8], palette: Palette) -> bytes:
    """Return a PNG file of a picture.

    Parameters
    ----------
    indices
        Row of the palette of each pixel, shape (ny, nx), uint8.
    palette
        Colours, at most 256.
    """
    ny, nx = indices.shape
    # Filter 0 before each row: filters that subtract neighbours do not help with a palette.
    rows = np.concatenate([np.zeros((ny, 1), np.uint8), indices], axis=1)
    header = struct.pack(">IIBBBBB", nx, ny, 8, 3, 0, 0, 0)
    chunks = [
        _chunk(b"IHDR", header),
        _chunk(b"PLTE", palette.tobytes()),
        _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
        _chunk(b"IEND", b""),
    ]
    return SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def data_uri(indices: NDArray[np.uint8], palette: Palette) -> str:
    """Return a picture as a `data:` address.

    Parameters
    ----------
    indices
        Row of the palette of each pixel, shape (ny, nx), uint8.
    palette
        Colours, at most 256.
    """
    return "data:image/png;base64," + base64.b64encode(png(indices, palette)).decode("ascii")
