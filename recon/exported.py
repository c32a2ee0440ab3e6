"""Exported programs (`torch.export`, .pt2), read so that a file can compute but cannot run its own code.

Torch resolves any dotted name under `torch` that a file gives as an operator. It unpickles entries that are
marked as pickled, and compiles guards and argument names as Python. So every file is checked before torch
reads it, and all but plain arithmetic on plain tensors is refused.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from mrsim.errors import CandidateError, InputError
from mrsim.files.arrays import open_archive
from mrsim.files.reading import check_host, open_file

MAX_BYTES = 2 << 30
MAX_TEXT_BYTES = 256 << 20
MAX_DEPTH = 64

_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file\b)(?!_*load)[A-Za-z_]\w*\.\w+"
    r"|_operator\.(add|sub|mul|neg|truediv|floordiv|mod|pow|getitem|eq|ne|lt|le|gt|ge)"
)
_WORD = re.compile(r"[\w.\-]{0,400}")
_SPECS = {None, "builtins.tuple", "builtins.list", "builtins.dict"}
# Text that torch only prints, and entries with a check of their own.
_UNCHECKED = {"metadata", "torch_version", "in_spec", "out_spec"}


def load_program(path: str | Path) -> tuple[torch.nn.Module, int]:
    """Read an exported program.

    Parameters
    ----------
    path
        A `.pt2` file of `torch.export.save`, with fixed shapes and without custom operators.

    Returns
    -------
    module
        The program.
    inputs
        How many tensors it takes.

    Raises
    ------
    CandidateError
        If the file is none, is damaged, or holds more than plain arithmetic on plain tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CandidateError(f"{path}: there is no such file")
    try:
        _check_archive(path)
        program = torch.export.load(path)
        module = program.module()
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever torch makes of a damaged file
        raise CandidateError(f"{path}: not a program that torch can load: {_first_line(error)}") from None
    return module, len(program.graph_signature.user_inputs)


def _check_archive(path: Path) -> None:
    try:
        with open_file(path) as file, open_archive(file) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise CandidateError(f"{path}: it unfolds to more than {MAX_BYTES >> 30} GiB")
            # Torch puts everything under one folder, whatever its name.
            names = [entry.filename.partition("/")[2] for entry in entries]
            if len(set(names)) != len(names) or len({e.filename.partition("/")[0] for e in entries}) != 1:
                raise CandidateError(
                    f"{path}: not a .pt2 of torch.export.save: names twice, or no one folder"
                )
            if "archive_format" not in names:
                raise CandidateError(f"{path}: not a .pt2 of torch.export.save: it names no archive format")
            for entry, name in zip(entries, names, strict=True):
                _check_file(path, archive, entry, name)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        check_host(error, path)
        raise CandidateError(f"{path}: not a .pt2 of torch.export.save: {_first_line(error)}") from None


def _check_file(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> None:
    """Refuse an entry that holds more than numbers and names of arithmetic."""
    if name.endswith(".json"):
        if entry.file_size > MAX_TEXT_BYTES:
            raise CandidateError(f"{path}: {name}: {entry.file_size} bytes of text: no program of ours")
        try:
            values = json.loads(archive.read(entry))
        except (ValueError, RecursionError):
            raise CandidateError(f"{path}: {name}: not JSON") from None
        _check(values, f"{path}: {name}", 0)
    elif name.startswith("data/sample_inputs/"):
        pass  # torch reads these as tensors alone (weights_only)
    elif name.startswith("data/") and name.endswith((".pt", ".pkl")):
        raise CandidateError(f"{path}: {name}: pickled weights: save it anew with this torch")
    elif name.startswith(("data/constants/custom_obj", "data/constants/opaque_obj", "data/aotinductor")):
        raise CandidateError(
            f"{path}: {name}: an object or a library, which could run code: export tensors alone"
        )


def _check(value: Any, where: str, depth: int) -> None:
    """Refuse JSON values that torch would run or unpickle."""
    if depth > MAX_DEPTH:
        raise CandidateError(f"{where}: nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, list):
        for item in value:
            _check(item, where, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, where)
            if key in ("in_spec", "out_spec"):
                _check_spec(json.loads(item)[1], where, depth + 1)
            elif key not in _UNCHECKED:
                _check_entry(key, item, where)
                _check(item, where, depth + 1)


def _check_entry(key: str, item: Any, where: str) -> None:
    if key == "use_pickle" and item is not False:
        raise CandidateError(f"{where}: pickled tensors, which could run code: export plain tensors alone")
    if key in ("guards_code", "treespec_namedtuple_fields") and item:
        raise CandidateError(
            f"{where}: {key}: Python code, or more than tensors: export it with fixed shapes"
        )
    if key == "expr_str":
        raise CandidateError(f"{where}: a shape that is not fixed: export it with fixed shapes")
    if key == "forward_arg_names" and not all(str(name).isidentifier() for name in item or ()):
        raise CandidateError(f"{where}: the name of an argument is not a name")
    if key == "nodes":
        for node in item:
            target = node.get("target") if isinstance(node, dict) else node
            if not isinstance(target, str) or "__" in target or not _OPERATOR.fullmatch(target):
                raise CandidateError(
                    f"{where}: operator {str(target)[:80]!r}: only plain arithmetic is run (aten)"
                )


def _check_spec(spec: Any, where: str, depth: int) -> None:
    """Refuse arguments that are more than tuples, lists and dictionaries of tensors."""
    if depth > MAX_DEPTH or not isinstance(spec, dict) or spec.get("type") not in _SPECS:
        raise CandidateError(f"{where}: arguments other than tensors, tuples, lists and dictionaries")
    for child in spec.get("children_spec") or ():
        _check_spec(child, where, depth + 1)


def _check_text(text: str, where: str) -> None:
    if not _WORD.fullmatch(text):
        raise CandidateError(f"{where}: {text[:60]!r}: not a name that torch.export writes")


def _first_line(error: BaseException) -> str:
    message = str(error).strip()
    return message.splitlines()[0][:200] if message else type(error).__name__
