"""`mrsim info`: what a file or folder of mrsim holds, in a few lines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mrsim.errors import InputError

MAX_BYTES = 64 << 20
KINDS = "a stream's folder, a patient's folder, a result (.json), weights or images (.npz)"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("file", metavar="FILE", help=KINDS)


def run(*, file: str) -> int:
    """Print what a file or folder holds.

    Raises
    ------
    InputError
        If it is none that is known, or is damaged.
    """
    path = Path(file)
    if not path.exists():
        from recon.cascade.checkpoint import shipped

        if file not in shipped():
            raise InputError(f"{file}: no such file or folder; expected {KINDS}")
        _weights(file)
    elif path.is_dir():
        _folder(path)
    elif path.suffix.lower() == ".json":
        _result(path)
    elif path.suffix.lower() == ".npz":
        _archive(path)
    else:
        raise InputError(f"{file}: expected {KINDS}")
    return 0


def _folder(path: Path) -> None:
    from mrsim.files.targets import is_stream

    if is_stream(path):
        from mrsim.stream import load

        print(load(path))
    elif (path / "patient.json").exists():
        from mrsim.anatomy.series.stored import load_patient

        print(load_patient(path))
    else:
        raise InputError(f"{path}: neither a stream nor a patient; a cine is read by mrsim patient")


def _result(path: Path) -> None:
    from mrsim.files.reading import read_json

    found = read_json(path, MAX_BYTES, "a result of mrsim")
    schema = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(schema, str) or not schema.startswith("mrsim-"):
        raise InputError(f"{path}: no result of mrsim: it has no schema that begins with mrsim-")
    print(f"{schema[:60]}: {_text(found, 'candidate')}")
    for key in ("verdict", "reason", "clock", "scenario", "command"):
        if isinstance(found.get(key), str):
            print(f"  {key:<9}{found[key][:400]}")
    answers = found.get("answers")
    for question, answer in answers.items() if isinstance(answers, dict) else ():
        if isinstance(answer, dict):
            print(
                f"  {str(question)[:20]:<9}{answer.get('verdict') or 'not asked'}: {_text(answer, 'reason')}"
            )
    margin = found.get("margin")
    if isinstance(margin, dict):
        print(f"  {'margin':<9}{_text(margin, 'sentence')}")
    stream = found.get("stream")
    if isinstance(stream, dict):
        told = f"{_text(stream, 'path')}, {stream.get('frames')} frames of {_text(stream, 'phantom')}"
        print(f"  {'stream':<9}{told}")


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    return value[:400] if isinstance(value, str) else "-"


def _archive(path: Path) -> None:
    from mrsim.formats.images.files import is_stored, read_stored

    if not is_stored(path):
        _weights(str(path))
        return
    series = read_stored(path)
    count, (ny, nx) = len(series.images), series.images.shape[1:]
    height, width = (side * 1e3 for side in series.pixel_m)
    print(f"Images: {count} {series.about}")
    print(f"  image    {ny} x {nx}, pixels of {height:.4g} x {width:.4g} mm")
    print(f"  time     {count * series.frame_ns / 1e9:.1f} s, {series.frame_ns / 1e6:.4g} ms an image")
    print(f"  came     {int(series.shown.sum())} of {count}")


def _weights(name: str) -> None:
    from recon.cascade.checkpoint import load

    print(load(name))
