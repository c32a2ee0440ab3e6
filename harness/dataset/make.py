"""Datasets: all streams of a specification, with the same bytes however and wherever they are made.

What is made is kept. If a run is killed, a disk is full or an item fails, only the work in progress is lost,
and the same command continues from there.
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
from harness.dataset.content import content_sha256
from harness.dataset.draws import seed_of
from harness.dataset.folder import Journal, head_of, opened, read_manifest, write_manifest
from harness.dataset.items import (
    Item,
    ItemResult,
    ItemTask,
    Record,
    damage_of,
    items_of,
    make_item,
    scan_item,
    stored_bytes,
    task_of,
    versions,
)
from harness.dataset.release import load_release, released_item
from harness.dataset.sheet import write_sheet
from harness.dataset.spec import SCAN_DEFAULTS, DatasetSpec, label_of, protocol_of
from harness.dataset.subjects import Subject, make_subjects
from harness.realtime.environment import cpu_name
from harness.workers.executors import Engine, TaskResult, run_all
from harness.workers.remote import check_shared_file
from mrsim.errors import DatasetError, InputError
from mrsim.files.reading import read_text
from mrsim.physics.tissue import tissue

SPARE_BYTES = 64 << 20
"""Bytes that are left free on the disk."""
MAX_LISTED = 5
MAX_SUBJECT_BYTES = 64 << 20  # the tables of a recorded trace are written into it


@dataclass(frozen=True)
class DatasetPlan:
    """Hold the subjects and items of a specification, before any work starts.

    Parameters
    ----------
    spec, subjects, items
        The specification, its subjects and its items.
    bytes_
        Greatest size of all items on disk, bytes.
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
class BuildSummary:
    """Hold the result of a run that makes a dataset.

    Parameters
    ----------
    manifest
        Manifest of the whole dataset.
    made, kept
        Number of items that were made, and that existed already.
    repaired
        What was wrong with items that were made again, by name.
    """

    manifest: dict[str, Any]
    made: int
    kept: int
    repaired: Mapping[str, str]


@dataclass(frozen=True)
class Verification:
    """Hold the result of a verification.

    Parameters
    ----------
    items, remade
        Number of stored items that were checked, and that were made again and compared.
    wrong
        What is wrong, by the item's name.
    other_cpu
        Whether the dataset was made on other types of processor than this one.
    """

    items: int
    remade: int
    wrong: Mapping[str, str]
    other_cpu: bool


def plan(spec: DatasetSpec) -> DatasetPlan:
    """Determine subjects and items, and refuse what cannot be made.

    Parameters
    ----------
    spec
        The specification.

    Raises
    ------
    DatasetError
        If a phantom, a value or the split is wrong.
    """
    subjects = make_subjects(spec)
    _check_tissues(spec, subjects)
    items = items_of(spec, subjects)
    return DatasetPlan(spec, subjects, items, sum(_largest(spec, items)))


def build(planned: DatasetPlan, folder: Path, engine: Engine, report: Report | None = None) -> BuildSummary:
    """Make a dataset, or continue one.

    Parameters
    ----------
    planned
        What to make.
    folder
        Folder of the dataset; it must not exist, or hold an earlier part of the same dataset.
    engine
        Workers that make it.
    report
        Called with the number of items done, the number of all, and the rate and time left.

    Returns
    -------
    summary
        What was made and kept.

    Raises
    ------
    DatasetError
        If the folder is another dataset's, the disk is full, or items could not be made. Those that were made
        are kept, and the same command continues.
    """
    spec, items = planned.spec, planned.items
    head = head_of(spec, planned.subjects, versions())
    with opened(folder, spec, planned.subjects, head) as journal:
        _check_disk_space(folder, planned, journal)
        check_shared_file(engine, folder / "journal.jsonl")
        failed: dict[str, str] = {}
        repaired: dict[str, str] = {}
        kept = 0
        releases = load_release(spec, head["spec_sha256"])
        tasks = (
            task_of(spec, folder.absolute(), i, journal.records.get(i.name), releases.get(i.name))
            for i in items
        )
        started = time.monotonic()
        made = 0
        for ended in run_all(engine, make_item, tasks, lambda: _full(folder, failed)):
            if ended.result is None:
                failed[ended.task.item.name] = _message(ended)
            else:
                kept += ended.result.kept
                made += not ended.result.kept
                if ended.result.repaired:
                    repaired[ended.task.item.name] = ended.result.repaired
                if not ended.result.kept:
                    journal.add(ended.result.record, ended.result.cpu)
            if report is not None:
                done = kept + made + len(failed)
                report(
                    done,
                    len(items),
                    _progress_text(spec.name, made, len(items) - done, time.monotonic() - started),
                )
        _check_complete(failed, made + kept, len(items), folder)
        manifest = write_manifest(folder, spec, items, journal)
        write_sheet(folder, spec, planned.subjects, manifest)
    return BuildSummary(manifest, made, kept, repaired)


def verify(folder: Path, count: int, seed: int = 0, report: Report | None = None) -> Verification:
    """Compare every stored item with the manifest, then make some again and compare them too.

    Parameters
    ----------
    folder
        A whole dataset.
    count
        Number of items to make again.
    seed
        Seed that draws them.
    report
        Called with the number of items checked and the number of all.

    Returns
    -------
    verification
        What is wrong, by item.

    Raises
    ------
    DatasetError
        If the folder is not a whole dataset.
    """
    manifest = read_manifest(folder)
    records: list[Record] = manifest["items"]
    if count < 0:
        raise DatasetError(f"--verify {count}: expected the number of items to make again")
    chosen = np.random.default_rng(seed_of(seed, "verify")).permutation(len(records))[:count]
    wrong: dict[str, str] = {}
    total = len(records) + len(chosen)
    for done, record in enumerate(records, 1):
        found = damage_of(folder / record["path"], record)
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
        raise DatasetError(f"{subject}: missing; the dataset is incomplete, make it again")
    with tempfile.TemporaryDirectory(prefix="verify-", dir=folder) as temporary:
        target = Path(temporary) / "again.stream"
        text = read_text(subject, MAX_SUBJECT_BYTES, "a phantom")
        scan_item(record, text, target, released_item(folder / record["path"]))
        return content_sha256(target)


def _largest(spec: DatasetSpec, items: Sequence[Item]) -> Iterator[int]:
    """Yield the greatest size on disk of every item, bytes."""
    # The size grows with the coils and the matrix, so their greatest values give an upper bound.
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
            known[key] = stored_bytes(protocol_of(values), spec.seconds, key[1])
        yield known[key]


def _check_tissues(spec: DatasetSpec, subjects: Sequence[Subject]) -> None:
    """Raise an error if a tissue has no values at one of the fields."""
    fields = spec.scan["field_t"].ends() if "field_t" in spec.scan else (SCAN_DEFAULTS["field_t"],)
    for subject in subjects:
        own = spec.field_t_of.get(label_of(subject.phantom))
        for name in sorted(subject.tissues):
            for field in fields if own is None else (own,):
                assert isinstance(field, int | float)
                try:
                    tissue(name, field)
                except InputError as error:
                    raise DatasetError(f"{spec.where}: [scan]: field_t: {subject.name}: {error}") from None


def _extent(value: Any) -> float:
    return float(np.prod(value))


def _check_disk_space(folder: Path, planned: DatasetPlan, journal: Journal) -> None:
    sizes = _largest(planned.spec, planned.items)
    pairs = zip(planned.items, sizes, strict=True)
    needed = sum(size for item, size in pairs if item.name not in journal.records)
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise DatasetError(
            f"{folder}: {needed / 1e9:.2f} GB are to be written, and {free / 1e9:.2f} GB are free; make "
            "room, or take another disk"
        )


def _full(folder: Path, failed: Mapping[str, str]) -> bool:
    """Return whether items fail because the disk is full, so that no other is begun."""
    return bool(failed) and shutil.disk_usage(folder).free < SPARE_BYTES


def _message(ended: TaskResult[ItemTask, ItemResult]) -> str:
    error = ended.error
    name = ended.task.item.name
    text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return text if name in text else f"{name}: {text}"


def _progress_text(name: str, made: int, left: int, seconds: float) -> str:
    if not made:
        return name
    rate = made / seconds
    remaining = round(left / rate)
    return (
        f"{name}: {rate:.2g} items/s, {remaining // 3600}:{remaining // 60 % 60:02}:{remaining % 60:02} left"
    )


def _check_complete(failed: Mapping[str, str], present: int, total: int, folder: Path) -> None:
    if present == total:
        return
    listed = "; ".join(list(failed.values())[:MAX_LISTED])
    raise DatasetError(
        f"{folder}: {total - present} of {total} items are missing, {len(failed)} failed: {listed}. The "
        f"other {present} are kept: put it right and run the same command again"
    )
