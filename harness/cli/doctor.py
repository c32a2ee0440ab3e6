"""What this host can measure: how late it wakes, what the gate costs, which extras are there."""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from harness.candidates import isolation
from harness.candidates.registry import Null
from harness.cli.arguments import add_json
from harness.cli.process.environment import THREADS
from harness.judge.validity import MAX_INJECTOR_SHARE
from harness.measure.exact_statistics import nearest_rank, samples_needed, summarise
from harness.realtime import environment, own_processes
from harness.realtime.clock import SPIN_NS, RealClock, VirtualClock
from harness.realtime.host import HostLog, changes_since, probe, take_snapshot
from harness.realtime.replay import replay
from mrsim.errors import HostError
from mrsim.files.targets import check_target
from mrsim.files.writing import write_json
from mrsim.kernels.compilation import kept_in
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Stream

WAKES = samples_needed(0.99)
EXTRAS = {
    "cli": (("rich",), "tables and bars of progress"),
    "eval": (("skimage",), "image quality and the target"),
    "report": (("matplotlib", "PIL"), "pictures and moving pictures"),
    "video": (("av",), "MP4"),
    "cine": (("SimpleITK", "pydicom"), "MHA, NIfTI and DICOM"),
    "mrd": (("ismrmrd", "h5py"), "MRD and fastMRI files"),
    "onnx": (("onnxruntime", "onnx", "onnxscript"), "ONNX candidates"),
    "pulseq": (("pypulseq",), "sequences as Pulseq"),
    "cluster": (("distributed",), "many machines"),
    "test": (("pytest", "hypothesis", "pytest_benchmark"), "the pytest plugin"),
    "docs": (("sphinx", "myst_parser", "furo", "sphinx_gallery"), "the site"),
}
"""Each extra: what it brings, and what for."""
NEEDED = ("cli", "eval", "report")
"""Extras that a first try takes."""
# Deadlines that people ask about: (name, nanoseconds).
DEADLINES = (
    *((f"{r}x frames", ScanProtocol(acceleration=r).header().frame_ns) for r in (4, 10)),
    (f"one TR of {ScanProtocol.tr_ns / 1e6:g} ms", ScanProtocol.tr_ns),
)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_json(command)


def run(*, json_file: str | None) -> int:
    """Say what this host can measure."""
    check_target(json_file, ".json")
    found = diagnose()
    if json_file is not None:
        write_json(json_file, found.to_json())
    print("\n".join(found.lines()))
    return 0


@dataclass(frozen=True)
class Diagnosis:
    """Hold what was found.

    Parameters
    ----------
    sleep_ns, spin_ns
        Lateness of each wake-up by sleep alone and by sleep and spin, shape (wakes,), int64, nanoseconds.
    gate_ns
        The gate's own time for each line, with the null reconstructor, shape (lines,), int64.
    host
        What the host did while it was measured.
    environment
        Versions and threads.
    extras
        Which extras are installed.
    gpu
        The GPU that torch sees, in words; None for none.
    cache
        Folder in which compiled kernels are kept; None where none can be written.
    cache_bytes
        What it holds.
    isolation
        What holds a candidate's own process here, in words.
    sees_processes
        Whether the system tells of processes that a candidate in process starts, while they live.
    """

    sleep_ns: NDArray[np.int64]
    spin_ns: NDArray[np.int64]
    gate_ns: NDArray[np.int64]
    host: HostLog
    environment: dict[str, Any]
    extras: dict[str, bool]
    gpu: str | None
    cache: Path | None
    cache_bytes: int
    isolation: tuple[str, ...]
    sees_processes: bool

    def lines(self) -> list[str]:
        """Return the findings in plain words, a line each."""
        env = self.environment
        text = [
            f"{env['cpu']}, {env['cores']} cores to use; Python {env['python']}, numpy {env['numpy']}, "
            f"numba {env['numba']}, torch {env['torch']}",
            _wakes("Sleeping alone, it wakes", self.sleep_ns),
            _wakes("Sleeping, then spinning, it wakes", self.spin_ns),
            f"The gate costs {np.median(self.gate_ns) / 1e3:.1f} us a line (median).",
        ]
        causes = self.host.causes()
        if causes:
            text.append(f"While this was measured, {'; '.join(causes)}: expect INVALID runs.")
        else:
            text.append("Nothing else was seen to disturb it while this was measured.")
        load, cores = self.host.load, env["cores"]
        if load is not None and load > cores / 2:
            text.append(f"Over the last minute {load:.1f} processes wanted {cores} cores: wait, and repeat.")
        late_ns = int(nearest_rank(self.spin_ns, 0.99))
        for name, deadline_ns in DEADLINES:
            fit = "can" if late_ns <= MAX_INJECTOR_SHARE * deadline_ns else "cannot"
            text.append(f"In real time it {fit} judge a deadline of {deadline_ns / 1e6:g} ms ({name}).")
        text.append(f"With --isolate a candidate is {isolation.told(self.isolation)}.")
        if not self.sees_processes:
            text.append(
                "This system does not tell of living processes: those of a candidate cost it nothing."
            )
        text += self._installed()
        return [*text, f"next: {self.next_step}"]

    def _installed(self) -> list[str]:
        env = self.environment
        limits = [f"{name}={os.environ[name]}" for name in THREADS if os.environ.get(name)]
        text = [
            f"Threads: {env['threads']} of torch, {env['numba_threads']} of numba, on {env['cores']} cores; "
            f"{', '.join(limits) or 'no variable limits them'}."
        ]
        if self.gpu is None:
            text.append("GPU: none that torch sees, and none is needed.")
        else:
            text.append(f"GPU: {self.gpu}; `mrsim train --device cuda` takes it.")
        if self.cache is None:
            text.append(
                "Cache: no folder can be written, so each process compiles its kernels, up to a minute: "
                "name one in NUMBA_CACHE_DIR"
            )
        else:
            size = f"{self.cache_bytes / 1e6:.1f} MB"
            text.append(f"Cache: {self.cache} ({size} of kernels; without it a minute is lost)")
        for extra, present in self.extras.items():
            state = "installed" if present else f"missing: pip install 'mrsim[{extra}]'"
            text.append(f"mrsim[{extra}]: {state} ({EXTRAS[extra][1]})")
        return text

    @property
    def next_step(self) -> str:
        """Return what to do next, in a line."""
        missing = [extra for extra in NEEDED if not self.extras[extra]]
        if missing:
            return f"pip install 'mrsim[{','.join(missing)}]', which a first try takes"
        if self.cache is None:
            return "name a folder that can be written in NUMBA_CACHE_DIR"
        if self.disturbed:
            return "wait until the host is quiet, or judge on the virtual clock (--clock virtual); mrsim demo"
        return "mrsim demo"

    @property
    def disturbed(self) -> bool:
        """Return whether something else keeps the host from measuring."""
        load = self.host.load
        return bool(self.host.causes()) or (load is not None and load > self.environment["cores"] / 2)

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON values, times in microseconds."""
        times = {"sleep_us": self.sleep_ns, "spin_us": self.spin_ns, "gate_us": self.gate_ns}
        return {
            **{key: _microseconds(values) for key, values in times.items()},
            "load": self.host.load,
            "causes": self.host.causes(),
            "environment": self.environment,
            "extras": self.extras,
            "gpu": self.gpu,
            "cache": None if self.cache is None else str(self.cache),
            "cache_bytes": self.cache_bytes,
            "next": self.next_step,
            "isolation": list(self.isolation),
            "sees_processes": self.sees_processes,
        }


def diagnose(wakes: int = WAKES) -> Diagnosis:
    """Measure this host for a second or two.

    Parameters
    ----------
    wakes
        Wake-ups of each kind; the default is what a 99th percentile needs.
    """
    before = take_snapshot(None)
    sleep_ns, spin_ns = probe(RealClock(spin_ns=0), wakes), probe(RealClock(SPIN_NS), wakes)
    gate_ns, log = gate_cost(), changes_since(before, None)
    gpu = _gpu()  # after all that is timed: torch takes long to load
    cache = kept_in()
    return Diagnosis(
        sleep_ns,
        spin_ns,
        gate_ns,
        log,
        environment.describe() | {"numba_threads": numba.config.NUMBA_NUM_THREADS},
        {extra: all(map(_is_there, modules)) for extra, (modules, _) in EXTRAS.items()},
        gpu,
        cache,
        0 if cache is None else sum(path.stat().st_size for path in cache.glob("*.nbc")),
        _isolation(),
        own_processes.are_seen(),
    )


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _gpu() -> str | None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that is too old is no GPU
        if not torch.cuda.is_available():
            return None
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return ", ".join(names)


def _isolation() -> tuple[str, ...]:
    try:
        return isolation.probe()
    except HostError:  # it is not Linux, or no process can be started
        return ()


def gate_cost(lines: int = 4000) -> NDArray[np.int64]:
    """Return the real time from line to line of a gate that never waits, shape (lines - 1,), nanoseconds."""
    header = ScanProtocol().header()
    line, (ny, nx) = np.arange(lines), header.matrix
    stream = Stream(
        header,
        ky=(line % ny - ny // 2).astype(np.int32),
        frame=(line // header.lines_per_frame).astype(np.int32),
        t_ns=line * header.tr_ns + header.te_ns,
        samples=np.zeros((lines, 1, nx), np.complex64),
    )
    witness = _Witness(lines)
    replay(stream, witness, VirtualClock(), keep_images=False)
    return np.diff(witness.seen_ns)


class _Witness(Null):
    """Note the real time of every push."""

    def __init__(self, lines: int) -> None:
        self.seen_ns = np.zeros(lines, np.int64)

    def push(self, readout: Any) -> None:
        """Take the time, then do as the null reconstructor does."""
        self.seen_ns[readout.index] = time.perf_counter_ns()
        super().push(readout)


def _wakes(what: str, late_ns: NDArray[np.int64]) -> str:
    median, tail, worst = (int(nearest_rank(late_ns, q)) / 1e3 for q in (0.5, 0.99, 1.0))
    return f"{what} {median:.1f} us late (median), {tail:.0f} us (p99), {worst:.0f} us at worst."


def _microseconds(values: NDArray[np.int64]) -> dict[str, float | None]:
    summary = summarise(values)
    named = {"p50": summary.p50, "p99": summary.p99, "max": summary.max}
    return {key: None if value is None else value / 1e3 for key, value in named.items()}
