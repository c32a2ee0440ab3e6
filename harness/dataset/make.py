"""Datasets: as many streams as a specification asks for, the same bytes wherever and however they are made.

What is made stays: a run that is killed, a disk that is full or an item that fails costs what was under way,
and the same command goes on from there.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.console import Report
from harness.dataset.draws import seed_of
from harness.dataset.folder import Journal, head_of, opened, read_manifest, write_manifest
from harness.dataset.items import (
    Item,
    Made,
    Order,
    Record,
    content_sha256,
    items_of,
    make_item,
    order_of,
    room_bytes,
    scan_item,
    versions,
    wrong_with,
)
from harness.dataset.sheet import write_sheet
from harness.dataset.spec import SCAN_DEFAULTS, DatasetSpec, protocol_of
from harness.dataset.subjects import Subject, make_subjects
from harness.realtime.environment import cpu_name
from harness.workers.executors import Engine, Outcome, run_all
from harness.workers.remote import check_seen
from mrsim.errors import InputError
from mrsim.files.reading import read_text
from mrsim.physics.tissue import tissue

SPARE_BYTES = 64 << 20
"""Room that is left free on the disk."""
MAX_TOLD = 5
MAX_SUBJECT_BYTES = 64 << 20  # the tables of a recorded trace are written into it


@dataclass(frozen=True)
class Plan:
    """Hold what a specification comes to, before any work starts.

    Parameters
    ----------
    spec, subjects, items
        The specification, its subjects and its items.
    bytes_
        Size on disk of the items at their largest.
    """

    spec: DatasetSpec
    subjects: list[Subject]
    items: list[Item]
    bytes_: int

    def __str__(self) -> str:
        counts: dict[str, int] = {}
        for item in self.items:
            counts[item.subject.part] = counts.get(item.subject.part, 0) + 1
        parts = ", ".join(f"{count} {part}" for part, count in counts.items())
        return (
            f"{self.spec.name}: {len(self.items)} items ({parts}) of {len(self.subjects)} subjects, "
            f"{self.spec.seconds:g} s each, {self.bytes_ / 1e9:.2f} GB"
        )


@dataclass(frozen=True)
class Summary:
    """Tell what a run did.

    Parameters
    ----------
    manifest
        The manifest of the whole dataset.
    made, kept
        Items that were made, and that were there already.
    repaired
        What was wrong with items that had to be made again, by name.
    """

    manifest: dict[str, Any]
    made: int
    kept: int
    repaired: Mapping[str, str]


@dataclass(frozen=True)
class Verification:
    """Tell what was found in a dataset.

    Parameters
    ----------
    items, remade
        Stored items that were looked at, and items that were made again and compared.
    wrong
        What is wrong, by the item's name.
    other_cpu
        Whether this processor's type is none of those that made the dataset.
    """

    items: int
    remade: int
    wrong: Mapping[str, str]
    other_cpu: bool


def plan(spec: DatasetSpec) -> Plan:
    """Work out subjects and items, and refuse what cannot be made.

    Raises
    ------
    InputError
        If a phantom, a value or the split is wrong.
    """
    subjects = make_subjects(spec)
    _check_tissues(spec, subjects)
    items = items_of(spec, subjects)
    return Plan(spec, subjects, items, sum(_largest(spec, items)))


def build(planned: Plan, folder: Path, engine: Engine, report: Report | None = None) -> Summary:
    """Make a dataset, or go on with one.

    Parameters
    ----------
    planned
        What is to be made.
    folder
        Where; it must not exist, or hold an earlier part of the same dataset.
    engine
        Who makes it.
    report
        Called with the items that are there, their number, and the rate and time left.

    Returns
    -------
    summary
        What was done.

    Raises
    ------
    InputError
        If the folder is another dataset's, the disk is full, or items could not be made: those that were
        made are kept, and the same command goes on.
    """
    spec, items = planned.spec, planned.items
    head = head_of(spec, planned.subjects, versions())
    with opened(folder, spec, planned.subjects, head) as journal:
        _check_room(folder, planned, journal)
        check_seen(engine, folder / "journal.jsonl")
        failed: dict[str, str] = {}
        repaired: dict[str, str] = {}
        kept = 0
        orders = (order_of(spec, folder.absolute(), i, journal.records.get(i.name)) for i in items)
        started = time.monotonic()
        made = 0
        for outcome in run_all(engine, make_item, orders, lambda: _full(folder, failed)):
            if outcome.result is None:
                failed[outcome.task.item.name] = _told(outcome)
            else:
                kept += outcome.result.kept
                made += not outcome.result.kept
                if outcome.result.repaired:
                    repaired[outcome.task.item.name] = outcome.result.repaired
                if not outcome.result.kept:
                    journal.add(outcome.result.record, outcome.result.cpu)
            if report is not None:
                done = kept + made + len(failed)
                report(
                    done, len(items), _pace(spec.name, made, len(items) - done, time.monotonic() - started)
                )
        _complain(failed, made + kept, len(items), folder)
        manifest = write_manifest(folder, spec, items, journal)
        write_sheet(folder, spec, planned.subjects, manifest)
    return Summary(manifest, made, kept, repaired)


def verify(folder: Path, count: int, seed: int = 0, report: Report | None = None) -> Verification:
    """Compare every stored item with the manifest, and make some again and compare those, too.

    Parameters
    ----------
    folder
        A whole dataset.
    count
        Items that are made again; at most all.
    seed
        Draws which.
    report
        Called with the items that were looked at and their number.

    Raises
    ------
    InputError
        If the folder is not a whole dataset.
    """
    manifest = read_manifest(folder)
    records: list[Record] = manifest["items"]
    if count < 0:
        raise InputError(f"--verify {count}: expected the number of items to make again")
    chosen = np.random.default_rng(seed_of(seed, "verify")).permutation(len(records))[:count]
    wrong: dict[str, str] = {}
    total = len(records) + len(chosen)
    for done, record in enumerate(records, 1):
        found = wrong_with(folder / record["path"], record)
        if found:
            wrong[record["name"]] = found
        if report is not None:
            report(done, total)
    for done, number in enumerate(chosen, len(records) + 1):
        record = records[number]
        if _made_again(folder, record) != record["sha256"]:
            wrong.setdefault(record["name"], "made again, it has another SHA-256")
        if report is not None:
            report(done, total)
    return Verification(len(records), len(chosen), wrong, cpu_name() not in manifest["cpus"])


def _made_again(folder: Path, record: Record) -> str:
    subject = folder / "subjects" / f"{record['subject']}.toml"
    if not subject.is_file():
        raise InputError(f"{subject}: missing; the dataset is incomplete, make it again")
    with tempfile.TemporaryDirectory(prefix="verify-", dir=folder) as place:
        target = Path(place) / "again.stream"
        scan_item(record, read_text(subject, MAX_SUBJECT_BYTES, "a phantom"), target)
        return content_sha256(target)


def _largest(spec: DatasetSpec, items: Sequence[Item]) -> Iterator[int]:
    """Yield the largest size of every item on disk."""
    # Whatever is drawn, most coils and the longest matrix make the most bytes.
    drawn = {
        key: max(value.ends(), key=_extent)
        for key, value in spec.scan.items()
        if key in ("coils", "matrix", "acceleration")
    }
    known: dict[tuple[str, int], int] = {}
    for item in items:
        values = {**SCAN_DEFAULTS, **drawn, **{k: v for k, v in item.axes.items() if k in SCAN_DEFAULTS}}
        key = repr(sorted(values.items())), item.subject.regions
        if key not in known:
            known[key] = room_bytes(protocol_of(values), spec.seconds, key[1])
        yield known[key]


def _check_tissues(spec: DatasetSpec, subjects: Sequence[Subject]) -> None:
    """Refuse a field at which a tissue has no values."""
    fields = spec.scan["field_t"].ends() if "field_t" in spec.scan else (SCAN_DEFAULTS["field_t"],)
    for subject in subjects:
        for name in sorted(subject.tissues):
            for field in fields:
                assert isinstance(field, int | float)
                try:
                    tissue(name, field)
                except InputError as error:
                    raise InputError(f"{spec.where}: [scan]: field_t: {subject.name}: {error}") from None


def _extent(value: Any) -> float:
    return float(np.prod(value))


def _check_room(folder: Path, planned: Plan, journal: Journal) -> None:
    sizes = _largest(planned.spec, planned.items)
    pairs = zip(planned.items, sizes, strict=True)
    needed = sum(size for item, size in pairs if item.name not in journal.records)
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise InputError(
            f"{folder}: {needed / 1e9:.2f} GB are to be written, and {free / 1e9:.2f} GB are free; make "
            "room, or take another disk"
        )


def _full(folder: Path, failed: Mapping[str, str]) -> bool:
    """Return whether items fail because the disk is full: no other is begun then."""
    return bool(failed) and shutil.disk_usage(folder).free < SPARE_BYTES


def _told(outcome: Outcome[Order, Made]) -> str:
    error = outcome.error
    name = outcome.task.item.name
    text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return text if name in text else f"{name}: {text}"


def _pace(name: str, made: int, left: int, seconds: float) -> str:
    if not made:
        return name
    rate = made / seconds
    remaining = round(left / rate)
    return (
        f"{name}: {rate:.2g} items/s, {remaining // 3600}:{remaining // 60 % 60:02}:{remaining % 60:02} left"
    )


def _complain(failed: Mapping[str, str], there: int, total: int, folder: Path) -> None:
    if there == total:
        return
    told = "; ".join(list(failed.values())[:MAX_TOLD])
    raise InputError(
        f"{folder}: {total - there} of {total} items are missing, {len(failed)} failed: {told}. The other "
        f"{there} are kept: put it right and run the same command again"
    )
