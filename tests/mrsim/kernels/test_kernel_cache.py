"""A kept kernel is used only while nothing that it was made from has changed, and is never needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from mrsim.kernels.compilation import KEPT, key_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
KERNELS = """
from mrsim.kernels.compilation import kernel
from pack.constants import FACTOR

@kernel()
def scaled(x):
    return FACTOR * x
"""
SCAN = ["simulate", "quasar", "--matrix", "32", "32", "--frames", "6", "--seed", "1"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a package whose kernel takes a constant from another file."""
    folder = tmp_path / "site" / "pack"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "kernels.py").write_text(KERNELS)
    (folder / "constants.py").write_text("FACTOR = 2.0\n")
    return folder


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which no cache can be had: below a file there is no folder, even for root."""
    (tmp_path / "file").touch()
    told = {"XDG_CACHE_HOME": str(tmp_path / "file" / "cache"), "LOCALAPPDATA": ""}
    return {k: v for k, v in environment().items() if k != "HOME"} | told


def environment(**more: str) -> dict[str, str]:
    left_out = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)} | more


def start(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=env, text=True, stdout=pipe, stderr=pipe
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def run(folder: Path, env: dict[str, str], *arguments: str) -> tuple[str, str]:
    return finish(start(folder, env, *arguments))


def called(package: Path, env: dict[str, str], call: str = "scaled(3.0)") -> tuple[str, str]:
    """Return what a call gives, and how often the kernel was compiled; and what was told."""
    code = f"from pack.kernels import scaled; print({call}, sum(scaled.stats.cache_misses.values()))"
    return run(package.parent, env, "-c", code)


def test_a_constant_of_another_file_makes_another_kernel(package: Path, tmp_path: Path) -> None:
    env = environment(XDG_CACHE_HOME=str(tmp_path))
    assert called(package, env) == ("6.0 1\n", "")
    assert called(package, env) == ("6.0 0\n", "")
    (package / "constants.py").write_text("FACTOR = 5.0\n")
    assert called(package, env) == ("15.0 1\n", "")
    (package / "constants.py").write_text("FACTOR = 2.0\n")
    assert called(package, env) == ("6.0 0\n", "")
    assert not list(package.rglob("*.nb*"))


def test_a_kernel_of_sources_changed_since_import_is_not_kept(package: Path, tmp_path: Path) -> None:
    env = environment(XDG_CACHE_HOME=str(tmp_path))
    upgraded = "open('pack/constants.py', 'w').write('FACTOR = 5.0') and scaled(3.0)"
    assert called(package, env, upgraded) == ("6.0 1\n", "")
    assert called(package, env) == ("15.0 1\n", "")
    (package / "constants.py").write_text("FACTOR = 2.0\n")
    assert called(package, env) == ("6.0 1\n", "")


def test_the_key_knows_every_source_and_is_none_without_any(package: Path) -> None:
    before = key_of(package)
    assert key_of(package) == before is not None
    (package / "deeper").mkdir()
    (package / "deeper" / "more.py").touch()
    assert key_of(package) != before
    assert key_of(package / "nothing") is None
    assert key_of(ROOT / "mrsim") != key_of(ROOT / "recon")


@pytest.mark.parametrize("left", [0, 100, 1000])
def test_a_file_cut_short_is_compiled_and_written_anew(package: Path, tmp_path: Path, left: int) -> None:
    env = environment(NUMBA_CACHE_DIR=str(tmp_path))
    assert called(package, env) == ("6.0 1\n", "")
    (kept,) = tmp_path.glob("mrsim-kernels/*/pack.kernels.scaled-*.nbc")
    os.truncate(kept, left)
    assert called(package, env) == ("6.0 1\n", "")
    assert called(package, env) == ("6.0 0\n", "")


def test_without_a_folder_it_compiles_and_says_so_once(package: Path, nowhere: dict[str, str]) -> None:
    out, err = called(package, nowhere, "scaled(3.0), scaled(3)")
    assert out == "6.0 6.0 2\n"
    assert err.count("\n") == 1
    assert "NUMBA_CACHE_DIR" in err
    assert called(package, nowhere, "0") == ("0 0\n", "")


def test_processes_that_compile_at_once_do_not_mix_up_their_types(package: Path, tmp_path: Path) -> None:
    env = environment(XDG_CACHE_HOME=str(tmp_path))
    values = ["3.0", "3", "3j", "True"]
    ran = [start(package.parent, env, "-c", f"from pack.kernels import scaled; scaled({v})") for v in values]
    assert [finish(process) for process in ran] == [("", "")] * len(values)
    together = ", ".join(f"scaled({value})" for value in values)
    assert called(package, env, together) == ("6.0 6.0 6j 2.0 0\n", "")


def test_only_the_keys_used_last_are_kept(package: Path, tmp_path: Path) -> None:
    base = tmp_path / "mrsim" / "kernels"
    for number in range(20):
        (base / f"{number:032x}").mkdir(parents=True)
        (base / f"{number:032x}" / "a.nbc").touch()
        os.utime(base / f"{number:032x}", (number, number))
    (base / "notes").mkdir()
    called(package, environment(XDG_CACHE_HOME=str(tmp_path)))
    assert (base / "notes").is_dir()
    left = sorted(path.name for path in base.iterdir() if path.name != "notes")
    old = [name for name in left if name.startswith("0" * 20)]
    assert len(left) == KEPT
    assert old == [f"{number:032x}" for number in range(20 - KEPT + 1, 20)]


def installed(folder: Path) -> Path:
    """Return a folder with the packages as an installation holds them."""
    ignore = shutil.ignore_patterns("__pycache__", "*.nb*")
    for name in ("mrsim", "recon", "harness", "phantoms"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pytest_mrsim.py", folder)
    return folder


def scanned(tree: Path, env: dict[str, str], stream: Path) -> float:
    """Return a number that any change of the samples changes."""
    code = f"import sys, mrsim; assert mrsim.__file__.startswith({str(tree)!r})\n"
    code += "from harness.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    run(tree, env, "-c", code, *SCAN, "-o", str(stream))
    return float(np.abs(np.load(stream / "samples.npy")).sum())


@pytest.mark.slow
def test_two_installations_that_differ_in_a_constant_share_a_cache_and_no_kernel(tmp_path: Path) -> None:
    one, two = installed(tmp_path / "one"), installed(tmp_path / "two")
    env = environment(XDG_CACHE_HOME=str(tmp_path), PYTHONPATH="")
    source = (two / "mrsim" / "kernels" / "bessel.py").read_text()
    changed = source.replace(
        "\n_SMALL = _powers(lambda z: _poisson(", "\n_SMALL = _powers(lambda z: 2 * _poisson("
    )
    assert changed != source
    (two / "mrsim" / "kernels" / "bessel.py").write_text(changed)
    first = scanned(one, env, tmp_path / "a.stream")
    assert scanned(two, env, tmp_path / "b.stream") != first
    second = scanned(two, env, tmp_path / "c.stream")
    assert scanned(one, env, tmp_path / "d.stream") == first
    (one / "mrsim" / "kernels" / "bessel.py").write_text(changed)  # the first is upgraded
    assert scanned(one, env, tmp_path / "e.stream") == second


@pytest.mark.slow
def test_an_installation_that_cannot_be_written_works_without_a_home(
    tmp_path: Path, nowhere: dict[str, str]
) -> None:
    tree = installed(tmp_path / "tree")
    before = sorted(tree.rglob("*"))
    env, own = nowhere | {"PYTHONPATH": str(tree)}, tmp_path / "own"
    own.mkdir()
    main = ("-c", "import sys; from harness.cli.main import main; sys.exit(main(sys.argv[1:]))")
    for path in [tree, *before]:
        path.chmod(path.stat().st_mode & ~0o222)
    stream = str(tmp_path / "a.stream")
    _, err = run(own, env, *main, *SCAN, "-o", stream)
    assert err.count("NUMBA_CACHE_DIR") == 1
    replay = start(own, env, *main, "replay", stream, "view-sharing", "--clock", "virtual")
    out, err = replay.communicate(timeout=300)
    assert replay.returncode in (1, 4), err  # too short a scan for an answer
    assert err.count("Traceback") == 0, err
    assert "INSUFFICIENT" in out
    run(own, env, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reconstructor", "view-sharing")
    assert sorted(tree.rglob("*")) == before
