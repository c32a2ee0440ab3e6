"""What the name of a file of images may end in."""

from __future__ import annotations

from mrsim.errors import FileError

ENDINGS = (".nii", ".nii.gz", ".mha", ".npz", ".gif", ".mp4", ".dcm/", ".png/")
"""One that ends in / is a folder with a file for each image."""


def ending_of(path: str) -> str:
    """Return which of `ENDINGS` a name has.

    Raises
    ------
    FileError
        If it has none.
    """
    lowered = path.lower()
    found = next((e for e in sorted(ENDINGS, key=len, reverse=True) if lowered.endswith(e)), None)
    if found is None:
        single = lowered.endswith((".png", ".dcm"))
        told = f"; a series of single files is a folder: {path}/" if single else ""
        raise FileError(
            f"{path}: expected a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}{told}"
        )
    return found
