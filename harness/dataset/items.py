"""One item of a dataset: what it is, how it is made on whatever machine, and what its bytes are.

An item depends on the specification and its own name alone. Whoever makes it draws its values from seeds of
that name, so that neither the order nor the place in which items are made has a part in it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from harness.dataset.draws import Draw, Each, Plain, draw_all, seed_of
from harness.dataset.spec import SCAN_DEFAULTS, DatasetSpec, protocol_of
from harness.dataset.subjects import MAX_ATTEMPTS, Subject
from harness.realtime.environment import cpu_name, version_of
from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.containment import check_containment
from mrsim.anatomy.phantom import Phantom
from mrsim.anatomy.phantom_file import apply_overrides, emit, parse
from mrsim.errors import InputError
from mrsim.files.reading import open_file, read_json
from mrsim.scanner.acquisition import scan_to
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Stream, Truth, load
from mrsim.stream.layout import expected_arrays, expected_truth
from mrsim.stream.storage import MAX_HEADER_BYTES

MAX_ITEMS = 1_000_000
ARRAYS = (*Stream.COLUMNS, *Truth.ARRAYS)
Record = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """Name one item.

    Parameters
    ----------
    name
        Its name, which no other item has.
    key
        Name that its seeds come from; the items of a pair share it.
    subject
        Its subject.
    breathing
        The way to breathe.
    scan
        Number of the scan among those that differ in nothing else.
    axes
        Values of [scan] that are gone through.
    """

    name: str
    key: str
    subject: Subject
    breathing: str
    scan: int
    axes: Mapping[str, Plain]

    @property
    def path(self) -> str:
        """Return its folder, relative to the dataset's."""
        return f"{self.subject.part}/{self.name}.stream"


@dataclass(frozen=True)
class Order:
    """Carry all that a worker needs to make an item, or to see that it is there already.

    Parameters
    ----------
    folder
        The dataset's.
    item
        Which.
    seed, seconds
        Of the dataset, and the length of a scan.
    scan, breathing
        What is drawn, by key.
    known
        Its record, if it was made before.
    versions
        Versions of what makes it; a worker with others refuses.
    """

    folder: str
    item: Item
    seed: int
    seconds: float
    scan: Mapping[str, Draw]
    breathing: Mapping[str, Draw]
    known: Record | None
    versions: Mapping[str, str | None]


@dataclass(frozen=True)
class Made:
    """Tell what a worker did: the item's record, whether it was there, and what was wrong with it."""

    record: Record
    kept: bool
    repaired: str
    cpu: str


def items_of(spec: DatasetSpec, subjects: list[Subject]) -> list[Item]:
    """Return all items of a specification, in the order of the manifest.

    Raises
    ------
    InputError
        If there are too many.
    """
    axes = spec.axes
    each = math.prod(len(values) for values in axes.values()) * len(spec.breathing) * spec.scans
    if each * len(subjects) > MAX_ITEMS:
        raise InputError(f"{spec.where}: {each * len(subjects)} items: expected at most {MAX_ITEMS}")
    items: list[Item] = []
    combinations = product(subjects, product(*axes.values()), spec.breathing, range(spec.scans))
    for subject, values, breathing, scan in combinations:
        chosen = dict(zip(axes, values, strict=True))
        labels = [_label(key, value) for key, value in chosen.items()]
        labels += [breathing] if len(spec.breathing) > 1 else []
        name = "_".join([subject.name, *labels, f"s{scan}"])
        key = f"{subject.name}/{breathing}/{scan}" if spec.paired else name
        items.append(Item(name, key, subject, breathing, scan, chosen))
    names = [item.name for item in items]
    if len(set(names)) < len(names):
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        raise InputError(f"{spec.where}: two items are called {twice!r}; write their values apart")
    return items


def _label(key: str, value: Plain) -> str:
    if key == "acceleration":
        return f"{value:g}x"
    if isinstance(value, str):
        return value
    text = "x".join(f"{v:g}" for v in value) if isinstance(value, list) else f"{value:g}"
    return re.sub("[^A-Za-z0-9.+-]", "-", f"{key}{text}")


def order_of(spec: DatasetSpec, folder: Path, item: Item, known: Record | None) -> Order:
    """Return what a worker is told about an item."""
    scan = {key: value for key, value in spec.scan.items() if not isinstance(value, Each)}
    return Order(
        str(folder), item, spec.seed, spec.seconds, scan, spec.breathing[item.breathing], known, versions()
    )


def versions() -> dict[str, str | None]:
    """Return the versions on which the bytes of an item may depend."""
    python = ".".join(map(str, sys.version_info[:2]))
    return {name: version_of(name) for name in ("mrsim", "numpy", "numba")} | {"python": python}


def room_bytes(protocol: ScanProtocol, seconds: float, regions: int) -> int:
    """Return the size of an item on disk."""
    header = protocol.header()
    lines = math.ceil(seconds * 1e9 / header.frame_ns - 1e-9) * header.lines_per_frame
    layout = expected_arrays(header, lines) | expected_truth(header, lines, regions)
    return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in layout.values())


def make_item(order: Order) -> Made:
    """Make an item in its place, or see that it is there and whole; this runs in a worker.

    Raises
    ------
    InputError
        If it cannot be made: the error names it.
    """
    _hold_to_one_thread()
    item = order.item
    here = versions()
    if dict(order.versions) != here:
        raise InputError(
            f"{item.name}: a worker has {here}, this dataset is made with {dict(order.versions)}; install "
            "the same versions everywhere"
        )
    target = Path(order.folder) / item.path
    repaired = ""
    if order.known is not None:
        repaired = wrong_with(target, order.known)
        if not repaired:
            return Made(order.known, True, "", cpu_name())
    if target.exists():
        shutil.rmtree(target)  # not on record, or not what the record says
    record = _drawn(order)
    try:
        scan_item(record, item.subject.text, target)
    except (InputError, OSError) as error:
        raise InputError(f"{item.name}: {error}") from None
    record["sha256"] = content_sha256(target)
    record["bytes"] = sum(file.stat().st_size for file in target.iterdir())
    return Made(record, False, repaired, cpu_name())


def scan_item(record: Record, text: str, target: Path) -> None:
    """Scan what a record says.

    Parameters
    ----------
    record
        The item's record.
    text
        The subject's definition.
    target
        Folder to make.
    """
    parameters = record["parameters"]
    scan_to(
        target,
        _phantom(text, parameters["breathing"], record["subject"]),
        protocol_of({key: _from_json(value) for key, value in parameters["scan"].items()}),
        seed=record["seed"],
        seconds=parameters["seconds"],
    )


def content_sha256(folder: Path) -> str:
    """Return the SHA-256 of what a stored stream says: its arrays, its header and how it was made.

    The version of the software is left out, so that a new one which makes the same bytes does not rename
    them. Files are read piece by piece.
    """
    whole = hashlib.sha256()
    for name in sorted(ARRAYS):
        with open_file(folder / f"{name}.npy") as file:
            whole.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    meta = read_json(folder / "header.json", MAX_HEADER_BYTES, "a stream's header")
    meta["provenance"].pop("version")
    whole.update(json.dumps(meta, sort_keys=True).encode())
    return whole.hexdigest()


def wrong_with(target: Path, record: Record) -> str:
    """Return what is wrong with a stored item; nothing, if its content is what its record says."""
    if not target.exists():
        return "missing"
    try:
        load(target)
        found = content_sha256(target)
    except (InputError, OSError, KeyError, ValueError) as error:
        return f"corrupt: {error}"
    return "" if found == record["sha256"] else "corrupt: its content has another SHA-256 than the record's"


def _drawn(order: Order) -> Record:
    """Draw the item's values: the first drawing whose anatomy stays inside itself for the whole scan."""
    item, last = order.item, None
    for attempt in range(MAX_ATTEMPTS):
        path = ("item", item.key, attempt)
        scan = {**SCAN_DEFAULTS, **draw_all(dict(order.scan), order.seed, *path, "scan"), **item.axes}
        breathing = draw_all(dict(order.breathing), order.seed, *path, "breathing")
        seed = int(seed_of(order.seed, *path).generate_state(1, np.uint64)[0] >> 1)
        try:
            protocol = protocol_of(scan)
            phantom = _phantom(item.subject.text, breathing, item.subject.name)
            stop_ns = round(order.seconds * 1e9) + protocol.header().frame_ns
            check_containment(Anatomy(phantom, seed), protocol.fov_m, stop_ns, phantom.name)
        except InputError as error:
            last = error
            continue
        return {
            "name": item.name,
            "path": item.path,
            "part": item.subject.part,
            "subject": item.subject.name,
            "phantom": item.subject.phantom,
            "parameters": {
                "seconds": order.seconds,
                "scan": {key: _to_json(value) for key, value in sorted(scan.items())},
                "subject": dict(item.subject.values),
                "way_to_breathe": item.breathing,
                "breathing": breathing,
            },
            "scan": item.scan,
            "seed": seed,
            "attempt": attempt,
        }
    raise InputError(f"{item.name}: none of {MAX_ATTEMPTS} drawings fits; the last: {last}")


def _phantom(text: str, breathing: Mapping[str, Plain], name: str) -> Phantom:
    table = parse(text, name)
    moved = apply_overrides(table, {f"motion.breathing.{k}": v for k, v in breathing.items()}, name)
    return Phantom.from_text(emit(moved), name=name, where=name)


def _to_json(value: Plain) -> Plain:
    return "infinite" if value == math.inf else value


def _from_json(value: Plain) -> Plain:
    return math.inf if value == "infinite" else value


def _hold_to_one_thread() -> None:
    """Keep libraries that are loaded here to one thread; a local worker was born with it."""
    for name in ("numba", "torch"):
        module = sys.modules.get(name)
        if module is not None and os.environ.get("OMP_NUM_THREADS") != "1":
            module.set_num_threads(1)
