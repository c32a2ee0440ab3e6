"""The front doors: small, frozen, typed, and cheap to open."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DOORS = ("mrsim", "recon", "harness")
FROZEN = Path(__file__).parent / "doors.txt"
UNTYPED = re.compile(r'"(Any|(builtins\.)?object)"|-> Any"')
"""What a name that a type checker does not know is told to be."""


def names_of(door: str) -> list[str]:
    return list(importlib.import_module(door).__all__)


def signature_of(door: str, name: str) -> str:
    """Return what a name promises: the parameters of a function or class, in a line."""
    thing = getattr(importlib.import_module(door), name)
    if isinstance(thing, str):
        return f"{door}.{name}: str"
    if isinstance(thing, enum.EnumMeta):
        return f"class {door}.{name}: {', '.join(thing.__members__)}"
    kind = "class " if isinstance(thing, type) else ""
    try:
        parameters = str(inspect.signature(thing))
    except ValueError:  # an exception may have none that can be read
        parameters = ""
    return f"{kind}{door}.{name}{parameters}"


def test_the_doors_are_as_they_were() -> None:
    """Names and signatures are promises: a change is made on purpose, here and in the changelog."""
    found = [signature_of(door, name) for door in DOORS for name in names_of(door)]
    kept = FROZEN.read_text("utf-8").splitlines()
    assert found == kept, "\n".join(["the doors have changed; now they are:", *found])


@pytest.mark.parametrize("door", DOORS)
def test_a_door_shows_its_names_and_no_more(door: str) -> None:
    module = importlib.import_module(door)
    assert dir(module) == sorted(set(module.__all__))
    assert len(module.__all__) <= 32
    with pytest.raises(AttributeError, match=f"module '{door}' has no attribute 'nonsense'"):
        _ = module.nonsense
    for name in module.__all__:
        assert getattr(module, name) is getattr(module, name)


def test_importing_the_doors_loads_nothing_of_what_is_behind_them() -> None:
    heavy = ("numpy", "torch", "numba")
    code = f"import sys, mrsim, recon, harness; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_name_is_any_for_a_type_checker(tmp_path: Path) -> None:
    """By mypy, as in a project that has mrsim installed: every name is real, and wrong calls are errors."""
    api = pytest.importorskip("mypy.api")
    lines = ["import harness", "import mrsim", "import recon"]
    asked = [f"{door}.{name}" for door in DOORS for name in names_of(door)]
    lines += [f"reveal_type({name})" for name in asked]
    wrong = {
        "mrsim.simulate(1, 2, nonsense=4)": "Unexpected keyword argument",
        "harness.replay(1)": "Missing positional argument",
        "harness.replay('a', 'b', clocks='real')": "Unexpected keyword argument",
        "harness.replay('a', 'b').latency.p98_ms": "has no attribute",
        "recon.train(1, networks='compact')": "Unexpected keyword argument",
    }
    lines += list(wrong)
    lines += ["reveal_type(harness.replay('a', 'b').images)", "reveal_type(mrsim.simulate().truth)"]
    file = tmp_path / "user.py"
    file.write_text("\n".join(lines) + "\n")
    root = Path(importlib.import_module("mrsim").__file__ or "").parents[1]
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = true\nfollow_imports = silent\nmypy_path = {root}\n")
    out, err, _ = api.run(["--config-file", str(config), "--cache-dir", str(tmp_path / "cache"), str(file)])
    told = dict(re.findall(r"^[^\n]*user\.py:(\d+): (?:note|error): (.*)$", out, re.M)[::-1])
    assert told, out + err
    for number, line in enumerate(lines, 1):
        answer = told.get(str(number), "")
        if line.startswith("reveal_type"):
            assert answer.startswith("Revealed type is "), (line, answer)
            assert not UNTYPED.search(answer), (line, answer)
        elif line in wrong:
            assert wrong[line] in answer, (line, answer)
    images, truth = (told[str(len(lines) + offset)] for offset in (-1, 0))
    assert "ndarray" in images
    assert "complex64" in images or "complexfloating" in images
    assert "Truth" in truth


def test_a_plain_lazy_import_would_be_found_out(tmp_path: Path) -> None:
    """The check above can fail: a door without its typed imports reveals what `__getattr__` returns."""
    api = pytest.importorskip("mypy.api")
    (tmp_path / "door.py").write_text("def __getattr__(name: str) -> object: ...\n")
    (tmp_path / "user.py").write_text("import door\nreveal_type(door.replay)\n")
    out, _, _ = api.run(["--no-incremental", "--config-file=", str(tmp_path / "user.py")])
    assert "Revealed type is " in out
    assert UNTYPED.search(out)
