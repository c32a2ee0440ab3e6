"""The environment of a measurement: host, processor, versions and threads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

import mrsim


def describe() -> dict[str, Any]:
    """Return host, processor, versions and threads as JSON values; a missing library is null."""
    return {
        "host": platform.node(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "system": platform.platform(),
        "mrsim": mrsim.__version__,
        "python": platform.python_version(),
        "numpy": version_of("numpy"),
        "numba": version_of("numba"),
        "torch": version_of("torch"),
        "threads": torch_threads(),
    }


def version_of(package: str) -> str | None:
    """Return the version of an installed package, without importing it.

    Parameters
    ----------
    package
        Name of the distribution.

    Returns
    -------
    version
        None if it is not installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def torch_threads() -> int | None:
    """Return the number of threads that torch uses; None if nothing has imported torch."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def cpu_name() -> str:
    """Return the processor's name, as far as the system states it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for _, line in zip(range(64), file, strict=False):
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
