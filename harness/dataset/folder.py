"""A dataset on disk: a journal while it is made, a manifest when it is complete.

    spec.toml       the specification, as it was given
    journal.jsonl   one line for every item that exists; a killed run continues from it
    subjects/       the definition of every subject
    train/ validation/ test/   the streams
    manifest.json, README.md, contact-sheet.png   when all items exist

One process writes the journal. A line that a kill cut short is ignored when the journal is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harness.dataset.items import Item, Record
from harness.dataset.spec import PARTS, DatasetSpec
from harness.dataset.subjects import Subject
from mrsim.errors import DatasetError, InputError
from mrsim.files.partials import MARK, remove
from mrsim.files.reading import open_file, parse_json, read_json
from mrsim.files.targets import check_folder, check_outside
from mrsim.files.writing import write_json, write_text

try:
    import fcntl
except ImportError:  # without fcntl two runs into one folder are not detected
    fcntl = None  # type: ignore[assignment]

FORMAT = "mrsim-dataset"
FORMAT_VERSION = 2  # 1 spelt the keys of [scan] otherwise: TR_ms, field_T
MAX_JOURNAL_BYTES = 4 << 30
MAX_MANIFEST_BYTES = 4 << 30
HASHED = ("format", "version", "name", "items")
"""Keys of the manifest that its hash covers; those on host and software are not covered."""


@dataclass
class Journal:
    """Record every item that exists, one line each, so that nothing that was made is lost.

    Parameters
    ----------
    path
        The file.
    head
        Specification and versions, which every run into the folder must share.
    records
        Record of every item that exists, by name.
    cpus
        Type of the processor that made each item, by the item's name.
    """

    path: Path
    head: Mapping[str, Any]
    records: dict[str, Record] = field(default_factory=dict)
    cpus: dict[str, str] = field(default_factory=dict)
    _file: IO[str] | None = None

    def open(self) -> None:
        """Read the journal and open it for appending; an incomplete last line is removed.

        Raises
        ------
        DatasetError
            If the folder was begun from another specification, or with other versions.
        """
        complete = self._read()
        if complete == 0:
            write_text(self.path, json.dumps({"head": dict(self.head)}) + "\n")
        else:
            os.truncate(self.path, complete)
        self._file = self.path.open("a", encoding="utf-8")

    def add(self, record: Record, cpu: str) -> None:
        """Write a record; it is on disk when this returns.

        Parameters
        ----------
        record
            Record of the item.
        cpu
            Type of the processor that made it.
        """
        assert self._file is not None
        self.records[record["name"]] = record
        self.cpus[record["name"]] = cpu
        self._file.write(json.dumps({"record": record, "cpu": cpu}, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> int:
        """Read the complete lines and return their size, bytes."""
        if not self.path.is_file():
            return 0
        complete = 0
        with open_file(self.path, MAX_JOURNAL_BYTES, "a dataset's journal") as file:
            for number, line in enumerate(file):
                try:
                    entry = parse_json(line, "journal") if line.endswith(b"\n") else None
                except InputError:
                    entry = None
                if not isinstance(entry, dict):
                    break
                if number == 0:
                    self._check_head(entry.get("head"))
                elif isinstance(entry.get("record"), dict):
                    self.records[entry["record"]["name"]] = entry["record"]
                    self.cpus[entry["record"]["name"]] = str(entry.get("cpu"))
                complete += len(line)
        return complete

    def _check_head(self, found: Any) -> None:
        if found == dict(self.head):
            return
        found = found if isinstance(found, dict) else {}
        if found.get("spec_sha256") != self.head["spec_sha256"]:
            raise DatasetError(
                f"{self.path.parent}: it was begun from another specification, kept there as spec.toml; "
                "nothing was touched: take that one, or another folder"
            )
        raise DatasetError(
            f"{self.path.parent}: it was begun with {found.get('versions')}, and this is "
            f"{self.head['versions']}; nothing was touched: go on with those versions, or take another folder"
        )


@contextlib.contextmanager
def opened(
    folder: Path, spec: DatasetSpec, subjects: Sequence[Subject], head: Mapping[str, Any]
) -> Iterator[Journal]:
    """Open a dataset's folder for writing by this process only, and remove incomplete items.

    Parameters
    ----------
    folder
        The folder; it is made if its parent exists.
    spec, subjects
        Specification and subjects of the dataset.
    head
        Specification and versions, which every run into the folder must share.

    Yields
    ------
    journal
        Record of the items that exist.

    Raises
    ------
    DatasetError
        If the folder is no dataset, another run is writing it, or it has another specification.
    """
    check_folder(folder)
    check_outside(folder)
    strange = folder.is_dir() and any(folder.iterdir()) and not (folder / "journal.jsonl").is_file()
    if strange and not (folder / ".lock").is_file():
        raise DatasetError(f"{folder}: exists and is not a dataset; choose another name")
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DatasetError(f"{folder}: another run is writing it; wait for its end") from None
        journal = Journal(folder / "journal.jsonl", head)
        journal.open()
        try:
            _prepare(folder, spec, subjects)
            yield journal
        finally:
            journal.close()


def _prepare(folder: Path, spec: DatasetSpec, subjects: Sequence[Subject]) -> None:
    for part in PARTS:
        if any(subject.part == part for subject in subjects):
            (folder / part).mkdir(exist_ok=True)
        if (folder / part).is_dir():
            for entry in (folder / part).iterdir():
                if MARK in entry.name:
                    remove(entry)
    write_text(folder / "spec.toml", spec.text)
    (folder / "subjects").mkdir(exist_ok=True)
    for subject in subjects:
        write_text(folder / "subjects" / f"{subject.name}.toml", subject.text)


def head_of(spec: DatasetSpec, subjects: Sequence[Subject], versions: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every run into a folder must share: specification, phantoms and versions.

    Parameters
    ----------
    spec, subjects
        Specification and subjects of the dataset.
    versions
        Versions of the packages, by name.
    """
    whole = hashlib.sha256(spec.text.encode())
    for subject in subjects:
        whole.update(f"{subject.name} {subject.part} {subject.text}".encode())
    return {"format": FORMAT, "version": FORMAT_VERSION, "name": spec.name,
            "spec_sha256": whole.hexdigest(), "versions": dict(versions)}  # fmt: skip


def write_manifest(
    folder: Path, spec: DatasetSpec, items: Sequence[Item], journal: Journal
) -> dict[str, Any]:
    """Write the manifest of a complete dataset.

    Parameters
    ----------
    folder
        Folder of the dataset.
    spec, items
        Specification and items of the dataset.
    journal
        Record of the items.

    Returns
    -------
    manifest
        What was written; `hash` identifies the dataset.
    """
    cpus = [journal.cpus[item.name] for item in items]
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "name": spec.name,
        "items": [journal.records[item.name] for item in items],
    }
    manifest = {
        "hash": manifest_hash(manifest),
        **manifest,
        "title": spec.title,
        "seed": spec.seed,
        "spec_sha256": journal.head["spec_sha256"],
        "versions": journal.head["versions"],
        "cpus": {cpu: cpus.count(cpu) for cpu in sorted(set(cpus))},
    }
    write_json(folder / "manifest.json", manifest)
    return manifest


def manifest_hash(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 that identifies a dataset.

    It covers the parameters, the seed and the content of every item, in order.

    Parameters
    ----------
    manifest
        The manifest.
    """
    named = {key: manifest[key] for key in HASHED}
    return hashlib.sha256(json.dumps(named, sort_keys=True, allow_nan=False).encode()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check a manifest.

    Parameters
    ----------
    folder
        Folder of the dataset.

    Raises
    ------
    DatasetError
        If there is none, it is damaged, or it names a path outside the folder.
    """
    file = folder / "manifest.json"
    if not file.is_file():
        raise DatasetError(
            f"{folder}: not a whole dataset: it has no manifest.json; finish it with `mrsim dataset`"
        )
    manifest = read_json(file, MAX_MANIFEST_BYTES, "a dataset's manifest")
    try:
        if manifest["format"] != FORMAT or manifest["version"] != FORMAT_VERSION:
            raise DatasetError(f"{file}: this mrsim reads {FORMAT} {FORMAT_VERSION}; make the dataset again")
        if manifest_hash(manifest) != manifest["hash"]:
            raise DatasetError(
                f"{file}: its items do not give its hash: it was changed; make the dataset again"
            )
        for item in manifest["items"]:
            part, _, rest = str(item["path"]).partition("/")
            if part not in PARTS or rest != f"{item['name']}.stream" or "/" in rest or "\\" in rest:
                raise DatasetError(f"{file}: {item['path']!r}: a path outside the dataset; make it again")
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise DatasetError(f"{file}: damaged, or not a dataset's manifest: {error!r}") from None
    return dict(manifest)
