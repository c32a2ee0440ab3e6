"""What a release ships of a quantised dataset: for every item the codes near an edge, and the coils' filters.

With it whoever makes the dataset anew, on whatever processor, has the same codes and so the same hash. It
stands as NAME.release.npz beside the specification.
"""

from __future__ import annotations

import contextlib
import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.dataset.folder import read_manifest
from harness.dataset.spec import DatasetSpec
from mrsim.errors import DatasetError, InputError
from mrsim.files.arrays import read_arrays
from mrsim.files.targets import check_target
from mrsim.files.writing import write_arrays
from mrsim.scanner.quantised import Release
from mrsim.stream.storage import attached

MAX_BYTES = 256 << 20
_SPEC = "spec_sha256"


def released_item(folder: Path) -> Release | None:
    """Return what stands beside a stored quantised scan to make it again; None beside another one.

    Raises
    ------
    InputError
        If it is damaged.
    """
    found = {name: attached(folder, name) for name in ("edges", "filters")}
    if found["edges"] is None:
        return None
    return Release.from_arrays({name: np.array(array) for name, array in found.items() if array is not None})


def write_release(folder: Path, path: Path) -> int:
    """Write what a release ships of a whole quantised dataset.

    Parameters
    ----------
    folder
        The dataset.
    path
        File to write; it ends in .npz.

    Returns
    -------
    edges
        Number of codes that are shipped.

    Raises
    ------
    DatasetError
        If the dataset is not whole, or not quantised.
    """
    check_target(path, ".npz")
    manifest, arrays, edges = read_manifest(folder), dict[str, NDArray[Any]](), 0
    arrays[_SPEC] = np.array(manifest["spec_sha256"])
    for item in manifest["items"]:
        found = released_item(folder / item["path"])
        if found is None:
            raise DatasetError(f"{folder}: {item['name']} is not quantised: give its specification adc_step")
        edges += len(found.edges)
        arrays |= {f"{item['name']}/{name}": array for name, array in found.to_arrays().items()}
    write_arrays(path, arrays, compressed=True)
    return edges


def load_release(spec: DatasetSpec, spec_sha256: str) -> Mapping[str, Release]:
    """Return what was released of a dataset, by item; nothing where there is no release, or no step.

    Parameters
    ----------
    spec
        The specification.
    spec_sha256
        Hash of the specification and its subjects.

    Raises
    ------
    DatasetError
        If the release is damaged, or of another specification.
    """
    if not spec.adc_step:
        return {}
    with contextlib.ExitStack() as stack:
        file = f"{spec.name}.release.npz"
        if spec.folder is None:
            shipped = importlib.resources.files("phantoms") / "sets" / file
            path = stack.enter_context(importlib.resources.as_file(shipped))
        else:
            path = spec.folder / file
        if not path.exists():
            return {}
        try:
            arrays = read_arrays(path, MAX_BYTES, "the release of a dataset")
            if str(arrays.pop(_SPEC, "")) != spec_sha256:
                raise DatasetError(f"{path}: it is of another specification than {spec.where}; take it away")
            by_item: dict[str, dict[str, NDArray[Any]]] = {}
            for key, array in arrays.items():
                item, _, name = key.rpartition("/")
                by_item.setdefault(item, {})[name] = array
            return {item: Release.from_arrays(found) for item, found in by_item.items()}
        except InputError as error:
            raise DatasetError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
