"""A batch of inputs in a child, watched from outside: seconds that an input may take, and bytes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")
"""Files lie here, where it can be written: to replace one on a disk takes longer than all else."""
SECONDS = 5.0
BYTES = 1 << 30
STARTING_S = 240.0  # until the first input: imports, and kernels that are compiled
STALLED_S = 300.0  # of a wait without work, which a busy host makes longer
_POLL_S = 0.2
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass
class Batch:
    """Hold what became of a batch.

    Parameters
    ----------
    name, seed
        What was fuzzed, and the seed.
    inputs
        How many were begun.
    peak
        The most memory that the child had, bytes.
    longest_s
        The most processor time that one input was seen to take, seconds; to the clock's tick and poll.
    failures
        What broke a promise.
    """

    name: str
    seed: int
    inputs: int = 0
    peak: int = 0
    longest_s: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)


def watched(
    name: str,
    seed: int,
    count: int,
    *,
    seconds: float = SECONDS,
    most: int = BYTES,
    module: str = "tests.fuzz.batch",
) -> Batch:
    """Run a batch in a child and end it where an input takes too long or too much.

    Parameters
    ----------
    name, seed, count
        What is fuzzed, the seed, and how many inputs.
    seconds
        Processor time that an input may take; without work it may take twelve times as long.
    most
        Bytes that the child may have at any time.
    module
        What the child runs.
    """
    batch = Batch(name, seed)
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        file = Path(folder) / "failures.json"
        child = subprocess.Popen(
            [sys.executable, "-m", module, name, str(seed), str(count), str(writing), str(file)],
            pass_fds=(writing,),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": folder},
        )
        os.close(writing)
        try:
            ended = _watch(child, reading, batch, seconds, most)
        finally:
            os.close(reading)
            if child.poll() is None:
                child.kill()
        said = child.communicate()[0].decode(errors="replace")
        if ended:
            batch.failures.append({"input": batch.inputs, "drawn": "", "raised": ended})
        elif file.exists():
            batch.failures += json.loads(file.read_text())
        else:
            code = child.returncode
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            batch.failures.append({"input": batch.inputs, "drawn": "", "raised": f"{how}: {said[-3000:]}"})
        if said.strip() and not batch.failures:
            batch.failures.append(
                {"input": batch.inputs, "drawn": "", "raised": f"it printed: {said[-3000:]}"}
            )
    return batch


def _watch(child: subprocess.Popen[bytes], reading: int, batch: Batch, seconds: float, most: int) -> str:
    begun_s, begun_cpu, warm = time.monotonic(), 0.0, False
    while True:
        ready = select.select([reading], [], [], _POLL_S)[0]
        told = os.read(reading, 1 << 16) if ready else None
        cpu, memory = _state(child.pid)
        batch.peak = max(batch.peak, memory)
        if told == b"":
            return ""
        if memory > most:
            return f"{memory >> 20} MiB, more than {most >> 20}"
        now = time.monotonic()
        if told:
            batch.inputs += told.count(b".")
            warm = told.endswith(b".")
            begun_s, begun_cpu = now, cpu
            continue
        took = cpu - begun_cpu
        if batch.inputs == 0:
            if now - begun_s > STARTING_S:
                return f"nothing began within {STARTING_S:g} s"
            continue
        batch.longest_s = max(batch.longest_s, took if warm else 0.0)
        allowed = seconds if warm else 20 * seconds  # it imports, and compiles
        if took > allowed or now - begun_s > (STALLED_S if warm else STARTING_S):
            return (
                f"{took:.1f} s of a processor and {now - begun_s:.1f} s for one input, more than {seconds:g}"
            )


def _state(pid: int) -> tuple[float, int]:
    """Return the processor time of a process, seconds, and its memory, bytes; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE
