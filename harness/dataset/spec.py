"""The specification of a dataset in TOML, read and checked before any work starts."""

from __future__ import annotations

import importlib.resources
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

from harness.dataset.draws import Draw, Each, Fixed, Plain, Range, is_draw, read_draw, read_value
from mrsim.anatomy.phantom_file import MAX_TEXT_BYTES, parse, phantom_names
from mrsim.errors import DatasetError, InputError
from mrsim.files.reading import read_text
from mrsim.scanner.protocol import ScanProtocol
from mrsim.seeds import MAX_SEED
from mrsim.toml_tables import Keys, is_name

PARTS = ("train", "validation", "test")
MAX_SUBJECTS = 100_000
MAX_SCANS = 100_000
MAX_PHANTOMS = 1000

# Keys of [scan], in addition to the length.
SCAN_KEYS = (
    "acceleration", "sampler", "order", "matrix", "fov_mm", "tr_ms", "te_ms", "flip_deg", "field_t", "coils",
    "snr", "timing",
)  # fmt: skip
SCAN_DEFAULTS: Mapping[str, Plain] = {key: ScanProtocol().file_values()[key] for key in SCAN_KEYS}
WHOLE = ("coils",)
TARGET_KEYS = ("target_scale", "target_shift_x_mm", "target_shift_y_mm")
TARGET_DEFAULTS = dict(zip(TARGET_KEYS, (1.0, 0.0, 0.0), strict=True))


@dataclass(frozen=True)
class DatasetSpec:
    """Hold a checked specification, from which subjects and items are made.

    Parameters
    ----------
    name, title
        Short name, and a description in one line.
    seed
        Seed of everything random.
    phantoms
        Names of shipped phantoms, or paths of .toml files or of patients' folders within `folder`.
    subjects
        Number of subjects that are made from each phantom.
    scans
        Number of scans of every subject at each combination of swept values.
    paired
        Whether the scans of a subject at different accelerations and samplers share their breathing.
    seconds
        Length of a scan, seconds.
    scan
        Values of the protocol, by key.
    subject
        Values drawn once for each subject, by dotted key of the phantom, or one of `TARGET_KEYS`.
    breathing
        For each name of a breathing, values of the phantom's [motion.breathing], by key.
    split
        Share of the subjects, or names of phantoms and subjects, for each part.
    adc_step
        Step of the receiver, a power of two, for a set that is one set on every processor; 0 for none.
    field_t_of
        Field of single phantoms, tesla, by the name that their subjects begin with; of others that of [scan].
    folder
        Folder that paths are relative to; None for a shipped specification.
    text, where
        Text of the specification, and its name in errors.
    """

    name: str
    title: str
    seed: int
    phantoms: tuple[str, ...]
    subjects: int
    scans: int
    paired: bool
    seconds: float
    scan: Mapping[str, Draw | Each]
    subject: Mapping[str, Draw]
    breathing: Mapping[str, Mapping[str, Draw]]
    split: Mapping[str, float | tuple[str, ...]]
    adc_step: float
    field_t_of: Mapping[str, float]
    folder: Path | None
    text: str
    where: str

    @property
    def axes(self) -> dict[str, tuple[Plain, ...]]:
        """Return the swept values of [scan], by key."""
        return {key: value.values for key, value in self.scan.items() if isinstance(value, Each)}


def spec_names() -> tuple[str, ...]:
    """Return the names of the shipped specifications."""
    sets = importlib.resources.files("phantoms") / "sets"
    return tuple(sorted(entry.name[:-5] for entry in sets.iterdir() if entry.name.endswith(".toml")))


def load_spec(name_or_path: str | Path) -> DatasetSpec:
    """Load and check a specification.

    Parameters
    ----------
    name_or_path
        Name of a shipped specification such as "nsclc-v1", or path of a .toml file.

    Raises
    ------
    DatasetError
        If there is none, or a key is wrong. The error names the file, the key and what is expected.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        text = read_text(path, MAX_TEXT_BYTES, "a dataset's specification")
        return read_spec(text, path.absolute().parent, str(path))
    if str(name_or_path) not in spec_names():
        raise DatasetError(
            f"dataset {str(name_or_path)!r} is not known; known: {', '.join(spec_names())}, "
            "or the path of a .toml file"
        )
    where = f"phantoms/sets/{name_or_path}.toml"
    text = (importlib.resources.files("phantoms") / "sets" / f"{name_or_path}.toml").read_text("utf-8")
    return read_spec(text, None, where)


def read_spec(text: str, folder: Path | None, where: str) -> DatasetSpec:
    """Read a specification from its text; see `load_spec`.

    Parameters
    ----------
    text
        TOML.
    folder
        Folder that paths of phantoms are relative to; None to allow shipped phantoms only.
    where
        Name of the specification in errors.
    """
    keys = Keys(parse(text, where), where)
    name, title = keys.name("name"), keys.text("title")
    seed = _whole(keys.take("seed", 0), f"{where}: seed", 0, MAX_SEED)
    phantoms = _phantoms(keys.take("phantoms", []), folder, where)
    subjects = _whole(keys.take("subjects", 1), f"{where}: subjects", 1, MAX_SUBJECTS)
    scans = _whole(keys.take("scans", 1), f"{where}: scans", 1, MAX_SCANS)
    paired = keys.flag("paired", False)
    scan_table = keys.take("scan", {})
    subject = _subject(keys.take("subject", {}), f"{where}: [subject]")
    breathing = _breathing(keys.take("breathing", {}), f"{where}: [breathing")
    split = _split(keys.take("split", {"train": 1.0}), f"{where}: [split]")
    adc_step = _adc_step(keys.take("adc_step", 0.0), where)
    field_t_of = _field_t_of(keys.take("field_t_of", {}), phantoms, f"{where}: field_t_of")
    keys.done()
    seconds, scan = _scan(scan_table, f"{where}: [scan]")
    return DatasetSpec(
        name, title, seed, phantoms, subjects, scans, paired, seconds, scan, subject, breathing, split,
        adc_step, field_t_of, folder, text, where,
    )  # fmt: skip


def protocol_of(values: Mapping[str, Plain]) -> ScanProtocol:
    """Make the protocol of a scan from the values of [scan].

    Parameters
    ----------
    values
        Values by key; keys that are missing have their defaults.

    Raises
    ------
    DatasetError
        If a value is of the wrong type or out of range.
    """
    v = {**SCAN_DEFAULTS, **values}
    for key in v:
        _check_type(key, v[key])
    return ScanProtocol.from_file_values(v)


def _check_type(key: str, value: Plain) -> None:
    default = SCAN_DEFAULTS[key]
    if isinstance(default, list):
        kind: Any = int if key == "matrix" else (int, float)
        holds = isinstance(value, list) and len(value) == 2
        holds = holds and all(isinstance(v, kind) and not isinstance(v, bool) for v in value)  # type: ignore[union-attr]
        expected = "two whole numbers" if key == "matrix" else "two numbers"
    elif isinstance(default, str):
        holds, expected = isinstance(value, str), "a name"
    elif key in WHOLE:
        holds, expected = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        holds = isinstance(value, int | float) and not isinstance(value, bool)
        holds = holds and (key == "snr" or abs(value) < 1e6)  # type: ignore[arg-type]
        expected = "a number"
    if not holds:
        raise DatasetError(f"{key} = {short(value)}: expected {expected}")


def _whole(value: Any, where: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DatasetError(f"{where} = {short(value)}: expected a whole number from {low} to {high}")
    return value


def _adc_step(value: Any, where: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DatasetError("expected a number")
        return ScanProtocol(adc_step=float(value)).adc_step
    except (InputError, OverflowError):
        raise DatasetError(f"{where}: adc_step = {short(value)}: expected 0, or a power of two") from None


def _field_t_of(value: Any, phantoms: tuple[str, ...], where: str) -> dict[str, float]:
    known = [label_of(phantom) for phantom in phantoms]
    if not isinstance(value, dict):
        raise DatasetError(f"{where} = {short(value)}: expected a table, such as {{ {known[0]} = 1.5 }}")
    for label, field_t in value.items():
        if label not in known:
            raise DatasetError(f"{where}: unknown phantom {short(label)}; known: {', '.join(known)}")
        try:
            protocol_of({"field_t": field_t})
        except InputError as error:
            raise DatasetError(f"{where}: {label}: {error}") from None
    return {label: float(field_t) for label, field_t in value.items()}


def _phantoms(value: Any, folder: Path | None, where: str) -> tuple[str, ...]:
    key = f"{where}: phantoms"
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_PHANTOMS:
        raise DatasetError(f"{key} = {short(value)}: expected a list of 1 to {MAX_PHANTOMS} names or files")
    known = phantom_names()
    labels: list[str] = []
    for entry in value:
        if not isinstance(entry, str) or not entry or "\0" in entry:
            raise DatasetError(f"{key}: {short(entry)}: expected the name of a phantom, or a .toml file")
        if entry.endswith(".toml"):
            _check_within(entry, folder, key)
            if not (folder or Path()).joinpath(entry).is_file():
                raise DatasetError(f"{key}: {(folder or Path()) / entry}: no such file")
        elif patient_folder(entry, folder) is not None:
            _check_within(entry, folder, key)
        elif not any(entry in (n, n.rpartition("/")[2]) for n in known):
            raise DatasetError(
                f"{key}: {short(entry)} is not known; known: {', '.join(known)}, or a .toml file or a "
                "patient's folder beside the specification"
            )
        label = label_of(entry)
        if label in labels:
            raise DatasetError(f"{key}: {label!r} stands there twice; a phantom is named once")
        labels.append(label)
    return tuple(value)


def patient_folder(entry: str, folder: Path | None) -> Path | None:
    """Return the folder of a patient that is no shipped phantom; None if it is none.

    Parameters
    ----------
    entry
        As the specification names it.
    folder
        Folder of the specification.
    """
    if folder is None or any(entry in (n, n.rpartition("/")[2]) for n in phantom_names()):
        return None
    return folder / entry if (folder / entry).is_dir() else None


def label_of(phantom: str) -> str:
    """Return the name that a phantom's subjects begin with.

    Parameters
    ----------
    phantom
        Name of a phantom, or path of a .toml file.
    """
    return re.sub("[^A-Za-z0-9_-]+", "-", Path(phantom).stem if phantom.endswith(".toml") else
                  phantom.rpartition("/")[2])[:40] or "phantom"  # fmt: skip


def _check_within(entry: str, folder: Path | None, key: str) -> None:
    if folder is None:
        raise DatasetError(f"{key}: {entry!r}: a shipped specification names shipped phantoms alone")
    root = folder.resolve()
    if Path(entry).is_absolute() or not (root / entry).resolve().is_relative_to(root):
        raise DatasetError(f"{key}: {entry!r}: outside the folder of the specification; copy it beside it")


def _scan(table: Any, where: str) -> tuple[float, dict[str, Draw | Each]]:
    if not isinstance(table, dict):
        raise DatasetError(f"{where}: expected a table")
    known = ("seconds", *SCAN_DEFAULTS)
    for key in table:
        if key not in known:
            raise DatasetError(f"{where}: unknown key {short(key)}; known: {', '.join(known)}")
    seconds = table.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 86400:
        raise DatasetError(f"{where}: seconds = {short(seconds)}: expected the length of a scan, up to 86400")
    scan = {
        key: read_value(value, f"{where}: {key}", whole=key in WHOLE)
        for key, value in table.items()
        if key != "seconds"
    }
    if isinstance(scan.get("field_t"), Range):
        raise DatasetError(f"{where}: field_t: tissues have values at single fields; write choice or each")
    first = {key: value.ends()[0] for key, value in scan.items()}
    for key, value in scan.items():
        for end in value.ends():
            try:
                protocol_of({**first, key: end})
            except InputError as error:
                raise DatasetError(f"{where}: {key} = {short(end)}: {error}") from None
    if not scan:
        protocol_of({})
    return float(seconds), scan


def _subject(table: Any, where: str) -> dict[str, Draw]:
    """Read the values that are drawn for a subject, tables within tables as in a phantom's file."""
    draws: dict[str, Draw] = {}
    for dotted, value in _flat(table, where):
        known = dotted in TARGET_KEYS or dotted.partition(".")[0] in ("region", "motion", "slice")
        if not known or dotted == "slice":
            raise DatasetError(
                f"{where}: unknown key {dotted!r}; known: {', '.join(TARGET_KEYS)}, region.NAME.KEY, "
                "motion.NAME.KEY, slice.KEY"
            )
        draws[dotted] = read_draw(value, f"{where}: {dotted}")
    scale = draws.get("target_scale", Fixed(1.0))
    for end in scale.ends():
        if not isinstance(end, int | float) or isinstance(end, bool) or not 0.1 <= end <= 10:
            raise DatasetError(f"{where}: target_scale = {short(end)}: expected a factor from 0.1 to 10")
    for key in TARGET_KEYS[1:]:
        for end in draws.get(key, Fixed(0.0)).ends():
            if not isinstance(end, int | float) or isinstance(end, bool) or not abs(end) <= 1000:
                raise DatasetError(f"{where}: {key} = {short(end)}: expected millimetres")
    return draws


def _flat(table: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(table, dict):
        raise DatasetError(f"{where}: expected a table")
    flat: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, dict) and not is_draw(value):
            flat += [(f"{key}.{inner}", v) for inner, v in _flat(value, f"{where}: {key}")]
        else:
            flat.append((key, value))
    return flat


def _breathing(table: Any, where: str) -> dict[str, dict[str, Draw]]:
    if not isinstance(table, dict) or not all(isinstance(t, dict) for t in table.values()):
        raise DatasetError(f"{where}.NAME]: expected tables")
    ways: dict[str, dict[str, Draw]] = {}
    for name, values in table.items():
        if not is_name(name):
            raise DatasetError(f"{where}.{short(name)}]: expected a name of letters, digits, - and _")
        ways[name] = {key: read_draw(v, f"{where}.{name}]: {key}") for key, v in values.items()}
    return ways or {"own": {}}


def _split(table: Any, where: str) -> dict[str, float | tuple[str, ...]]:
    if not isinstance(table, dict) or not table:
        raise DatasetError(f"{where}: expected a table with {', '.join(PARTS)}")
    for key in table:
        if key not in PARTS:
            raise DatasetError(f"{where}: unknown key {short(key)}; known: {', '.join(PARTS)}")
    shares = [v for v in table.values() if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(shares) == len(table):
        if not all(0 < v <= 1 for v in shares) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise DatasetError(f"{where}: shares {shares}: expected positive ones that add up to 1")
        return {key: float(v) for key, v in table.items()}
    lists: dict[str, float | tuple[str, ...]] = {}
    for key, value in table.items():
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise DatasetError(
                f"{where}: {key} = {short(value)}: expected shares of the subjects in all parts, or lists "
                "of phantoms or subjects in all"
            )
        lists[key] = tuple(value)
    return lists
