"""Which scene renders which body: the only place where the scanner knows kinds."""

from __future__ import annotations

from mrsim.anatomy.body import Body
from mrsim.anatomy.phantom import Phantom
from mrsim.scanner.region_scene import RegionScene
from mrsim.scanner.scene import Scene
from mrsim.stream import Header


def scene_of(body: Body, header: Header, seed: int) -> Scene:
    """Return the scene of a body under a protocol.

    Parameters
    ----------
    body
        What is scanned.
    header
        The protocol.
    seed
        Seed of the scan.

    Raises
    ------
    InputError
        If the body cannot be scanned so.
    """
    if isinstance(body, Phantom):
        return RegionScene(body, header, seed)
    raise TypeError(f"{type(body).__name__} is no body that the scanner knows")


def body_of(text: str, name: str, where: str) -> Body:
    """Return the body that a scan's provenance describes.

    Parameters
    ----------
    text
        The text that the body gave.
    name
        Its short name, where the text does not say one.
    where
        How errors name the text.

    Raises
    ------
    InputError
        If it describes no body, or what it names is not there.
    """
    return Phantom.from_text(text, name=name, where=where)
