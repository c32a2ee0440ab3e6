"""The wheel, built from a copy of the sources, and environments that have it and never see the checkout."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("mrsim", "recon", "harness", "phantoms")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def build_wheel(folder: Path) -> Path:
    """Build the wheel in a folder, with no network, and return its path."""
    source = folder / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.nb*")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "pytest_mrsim.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder / "wheels"), str(source)]
    subprocess.run([*PIP, *build], check=True, capture_output=True, timeout=300)
    (wheel,) = (folder / "wheels").glob("mrsim-*.whl")
    return wheel


def environment_with(wheel: Path, folder: Path) -> tuple[Path, Path]:
    """Make an environment that has the wheel and nothing else; return its Python and its packages' folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    python = folder / "bin" / "python"
    pip = [*PIP[:3], "--python", str(python), *PIP[3:]]
    install = [*pip, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    (packages,) = folder.glob("lib/python*/site-packages")
    return python, packages


def required(name: str) -> set[str]:
    """Return the names of the distributions that one needs without its extras, and that those need."""
    found, waiting = set[str](), [name]
    while waiting:
        for text in importlib.metadata.requires(waiting.pop()) or ():
            need = Requirement(text)
            key = re.sub(r"[-_.]+", "-", need.name).lower()
            if key not in found and (need.marker is None or need.marker.evaluate({"extra": ""})):
                try:
                    importlib.metadata.distribution(key)
                except importlib.metadata.PackageNotFoundError:
                    continue  # of another build, as CUDA's parts of torch's CPU build are
                found.add(key)
                waiting.append(key)
    return found


def lend(distributions: set[str], packages: Path) -> None:
    """Let an environment see some of the distributions that are installed here, and no others."""
    for name in distributions:
        for file in importlib.metadata.files(name) or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
