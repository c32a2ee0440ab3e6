"""One item of a dataset: its definition, how a worker makes it, and the hash of its content.

An item depends on the specification and on its own name alone. Its values are drawn from seeds of that name,
so the order and the machine on which items are made do not matter.
"""

from __future__ import annotations

import dataclasses
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

from harness.dataset.content import content_sha256
from harness.dataset.draws import Draw, Each, Plain, draw_all, seed_of
from harness.dataset.spec import SCAN_DEFAULTS, DatasetSpec, label_of, protocol_of
from harness.dataset.subjects import MAX_ATTEMPTS, Subject
from harness.realtime.environment import cpu_name, version_of
from mrsim.anatomy.body import Body
from mrsim.errors import DatasetError, InputError
from mrsim.scanner.acquisition import scan_to
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.quantised import Release
from mrsim.scanner.scenes import body_of, scene_of
from mrsim.stream import load
from mrsim.stream.layout import expected_arrays, expected_truth

MAX_ITEMS = 1_000_000
Record = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """Name one item.

    Parameters
    ----------
    name
        Its unique name.
    key
        Name that its seeds are derived from; paired items share it.
    subject
        Its subject.
    breathing
        Name of the breathing.
    scan
        Number of the scan among those that differ only in their seeds.
    axes
        The item's values of the swept keys of [scan].
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
class ItemTask:
    """Hold all that a worker needs to make an item, or to check one that exists.

    Parameters
    ----------
    folder
        Folder of the dataset.
    item
        The item.
    seed, seconds
        Seed of the dataset, and length of a scan, seconds.
    scan, breathing
        Values to draw, by key.
    known
        Record of the item if it was made before; else None.
    versions
        Versions of the packages; a worker with others refuses.
    adc_step
        Step of the receiver; 0 for none.
    release
        What was released of the item, if it is quantised and there is a release.
    field_t
        Field that the specification states for its phantom alone, tesla; None for that of [scan].
    """

    folder: str
    item: Item
    seed: int
    seconds: float
    scan: Mapping[str, Draw]
    breathing: Mapping[str, Draw]
    known: Record | None
    versions: Mapping[str, str | None]
    adc_step: float = 0.0
    release: Release | None = None
    field_t: float | None = None


@dataclass(frozen=True)
class ItemResult:
    """Hold what a worker did with an item.

    Parameters
    ----------
    record
        The item's record.
    kept
        Whether the item existed and was intact.
    repaired
        What was wrong with an existing item; empty if nothing was.
    cpu
        Type of the worker's processor.
    """

    record: Record
    kept: bool
    repaired: str
    cpu: str


def items_of(spec: DatasetSpec, subjects: list[Subject]) -> list[Item]:
    """Return all items of a specification, in the order of the manifest.

    Parameters
    ----------
    spec
        The specification.
    subjects
        Its subjects.

    Raises
    ------
    DatasetError
        If there are too many, or two have one name.
    """
    axes = spec.axes
    each = math.prod(len(values) for values in axes.values()) * len(spec.breathing) * spec.scans
    if each * len(subjects) > MAX_ITEMS:
        raise DatasetError(f"{spec.where}: {each * len(subjects)} items: expected at most {MAX_ITEMS}")
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
        raise DatasetError(f"{spec.where}: two items are called {twice!r}; write their values apart")
    return items


def _label(key: str, value: Plain) -> str:
    if key == "acceleration":
        return f"{value:g}x"
    if isinstance(value, str):
        return value
    text = "x".join(f"{v:g}" for v in value) if isinstance(value, list) else f"{value:g}"
    return re.sub("[^A-Za-z0-9.+-]", "-", f"{key}{text}")


def task_of(
    spec: DatasetSpec, folder: Path, item: Item, known: Record | None, release: Release | None = None
) -> ItemTask:
    """Return what a worker needs to make an item.

    Parameters
    ----------
    spec
        The specification.
    folder
        Folder of the dataset.
    item
        The item.
    known
        Record of the item if it was made before; else None.
    release
        What was released of it, if anything.
    """
    scan = {key: value for key, value in spec.scan.items() if not isinstance(value, Each)}
    return ItemTask(
        str(folder),
        item,
        spec.seed,
        spec.seconds,
        scan,
        spec.breathing[item.breathing],
        known,
        versions(),
        spec.adc_step,
        release,
        spec.field_t_of.get(label_of(item.subject.phantom)),
    )


def versions() -> dict[str, str | None]:
    """Return the versions on which the bytes of an item may depend."""
    python = ".".join(map(str, sys.version_info[:2]))
    return {name: version_of(name) for name in ("mrsim", "numpy", "numba")} | {"python": python}


def stored_bytes(protocol: ScanProtocol, seconds: float, regions: int) -> int:
    """Return the size of an item on disk, bytes.

    Parameters
    ----------
    protocol
        Protocol of its scan.
    seconds
        Length of the scan, seconds.
    regions
        Number of regions of its phantom.
    """
    header = protocol.header()
    lines = math.ceil(seconds * 1e9 / header.frame_ns - 1e-9) * header.lines_per_frame
    layout = expected_arrays(header, lines) | expected_truth(header, lines, regions)
    return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in layout.values())


def make_item(task: ItemTask) -> ItemResult:
    """Make an item, or check that it exists and is intact; this runs in a worker.

    Parameters
    ----------
    task
        The item and what it is made from.

    Raises
    ------
    DatasetError
        If it cannot be made; the error names it.
    """
    _hold_to_one_thread()
    item = task.item
    own = versions()
    if dict(task.versions) != own:
        raise DatasetError(
            f"{item.name}: a worker has {own}, this dataset is made with {dict(task.versions)}; install "
            "the same versions everywhere"
        )
    target = Path(task.folder) / item.path
    repaired = ""
    if task.known is not None:
        repaired = damage_of(target, task.known)
        if not repaired:
            return ItemResult(task.known, True, "", cpu_name())
    if target.exists():
        shutil.rmtree(target)  # it has no record, or differs from it
    record = _drawn(task)
    try:
        scan_item(record, item.subject.text, target, task.release)
    except (InputError, OSError) as error:
        raise DatasetError(f"{item.name}: {error}") from None
    record["sha256"] = content_sha256(target)
    # What is kept near edges may differ from processor to processor, and is no part of the item.
    beside = {f"{name}.npy" for name in Release.NAMES}
    record["bytes"] = sum(file.stat().st_size for file in target.iterdir() if file.name not in beside)
    return ItemResult(record, False, repaired, cpu_name())


def scan_item(record: Record, text: str, target: Path, release: Release | None = None) -> None:
    """Scan an item according to its record.

    Parameters
    ----------
    record
        The item's record.
    text
        The subject's definition.
    target
        Folder to write.
    release
        What was released of it, if anything.
    """
    parameters = record["parameters"]
    protocol = protocol_of({key: _from_json(value) for key, value in parameters["scan"].items()})
    scan_to(
        target,
        _phantom(text, parameters["breathing"], record["subject"]),
        dataclasses.replace(protocol, adc_step=parameters.get("adc_step", 0.0)),
        seed=record["seed"],
        seconds=parameters["seconds"],
        release=release,
    )


def damage_of(target: Path, record: Record) -> str:
    """Return what is wrong with a stored item.

    Parameters
    ----------
    target
        Folder of the item.
    record
        Its record.

    Returns
    -------
    damage
        Empty if the content agrees with the record.
    """
    if not target.exists():
        return "missing"
    try:
        load(target)
        found = content_sha256(target)
    except (InputError, OSError, KeyError, ValueError) as error:
        return f"corrupt: {error}"
    return "" if found == record["sha256"] else "corrupt: its content has another SHA-256 than the record's"


def _drawn(task: ItemTask) -> Record:
    """Draw the item's values: the first draw whose anatomy stays within itself for the whole scan."""
    item, last = task.item, None
    for attempt in range(MAX_ATTEMPTS):
        path = ("item", item.key, attempt)
        scan = {**SCAN_DEFAULTS, **draw_all(dict(task.scan), task.seed, *path, "scan"), **item.axes}
        scan |= {} if task.field_t is None else {"field_t": task.field_t}
        breathing = draw_all(dict(task.breathing), task.seed, *path, "breathing")
        seed = int(seed_of(task.seed, *path).generate_state(1, np.uint64)[0] >> 1)
        try:
            protocol = protocol_of(scan)
            phantom = _phantom(item.subject.text, breathing, item.subject.name)
            stop_ns = round(task.seconds * 1e9) + protocol.header().frame_ns
            scene_of(phantom, protocol.header(), seed).check(stop_ns)
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
                "seconds": task.seconds,
                "scan": {key: _to_json(value) for key, value in sorted(scan.items())},
                "subject": dict(item.subject.values),
                "way_to_breathe": item.breathing,
                "breathing": breathing,
                **({"adc_step": task.adc_step} if task.adc_step else {}),
            },
            "scan": item.scan,
            "seed": seed,
            "attempt": attempt,
        }
    raise DatasetError(f"{item.name}: none of {MAX_ATTEMPTS} drawings fits; the last: {last}")


def _phantom(text: str, breathing: Mapping[str, Plain], name: str) -> Body:
    return body_of(text, name, name, {f"motion.breathing.{k}": v for k, v in breathing.items()})


def _to_json(value: Plain) -> Plain:
    return "infinite" if value == math.inf else value


def _from_json(value: Plain) -> Plain:
    return math.inf if value == "infinite" else value


def _hold_to_one_thread() -> None:
    """Limit loaded libraries to one thread; a local worker starts with this limit."""
    for name in ("numba", "torch"):
        module = sys.modules.get(name)
        if module is not None and os.environ.get("OMP_NUM_THREADS") != "1":
            module.set_num_threads(1)
