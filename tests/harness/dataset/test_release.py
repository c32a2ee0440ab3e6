"""A quantised set has one hash: whatever the last bits, the threads and the processor's instructions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli.main import main
from harness.dataset.content import content_sha256
from harness.dataset.make import build, plan
from harness.dataset.release import load_release, released_item, write_release
from harness.dataset.spec import load_spec, read_spec
from harness.workers.executors import Engine
from mrsim.errors import DatasetError, InputError
from mrsim.scanner import quantised
from mrsim.scanner.quantised import Quantiser

SPEC = """
name = "frozen"
title = "a small frozen set"
seed = 3
phantoms = ["quasar", "patient4"]
adc_step = 0.00048828125
[scan]
seconds = 0.05
matrix = [32, 32]
coils = 2
[field_t_of]
patient4 = 0.35
"""
HERE = """
import sys
from pathlib import Path
from tests.harness.dataset.test_release import made
print(made(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def made(spec: Path, folder: Path) -> str:
    """Make a set in this process and return its hash."""
    with ThreadPoolExecutor(1) as pool:
        return str(build(plan(load_spec(spec)), folder, Engine(pool, 1, False)).manifest["hash"])


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "frozen.toml"
    path.write_text(SPEC)
    return path


def test_the_release_of_one_gives_every_other_the_same_hash(spec: Path, tmp_path: Path, monkeypatch) -> None:
    """Last bits and edges are made 1e4 times wider, so that codes would be others without a release."""
    monkeypatch.setattr(quantised, "EDGE", 1e-2)
    first = made(spec, tmp_path / "one")
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    fields = [item["parameters"]["scan"]["field_t"] for item in manifest["items"]]
    assert fields == [3.0, 0.35]
    edges = write_release(tmp_path / "one", tmp_path / "frozen.release.npz")
    assert edges > 20
    released = load_release(load_spec(spec), manifest["spec_sha256"])
    assert set(released) == {item["name"] for item in manifest["items"]}
    assert all(one.filters is not None for one in released.values())
    plain = Quantiser.values
    for change in (1e-13, 3e-8, -3e-8):

        def moved(self: Quantiser, name: str, n: int, exact: Any, change: float = change) -> Any:
            return plain(self, name, n, exact * (1 + change))

        monkeypatch.setattr(Quantiser, "values", moved)
        assert made(spec, tmp_path / f"moved{change}") == first
    (tmp_path / "frozen.release.npz").unlink()
    assert made(spec, tmp_path / "without") != first
    item = tmp_path / "one" / manifest["items"][0]["path"]
    assert released_item(item) is not None
    # What differs between processors is not in the hash; a sample of another code is.
    digest = content_sha256(item)
    for name in ("centroid", "displacement"):
        array = np.lib.format.open_memmap(item / f"{name}.npy", mode="r+")
        array[0] += 1e-12
        array.flush()
    assert content_sha256(item) == digest
    samples = np.lib.format.open_memmap(item / "samples.npy", mode="r+")
    samples[0, 0, 0] += np.float32(2.0**-11)
    samples.flush()
    assert content_sha256(item) != digest


@pytest.mark.slow
def test_threads_and_instructions_of_the_processor_change_nothing(spec: Path, tmp_path: Path) -> None:
    """Two processes: one thread with the least that numpy needs, two with all that the processor has."""
    least = subprocess.run(
        [sys.executable, "-c", "import numpy._core._multiarray_umath as m; print(*m.__cpu_dispatch__)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = []
    for number, (threads, disabled) in enumerate((("1", least.stdout.strip()), ("2", ""))):
        more = {"NPY_DISABLE_CPU_FEATURES": disabled} if disabled else {}
        names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        env = {
            **os.environ,
            **dict.fromkeys(names, threads),
            **more,
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", HERE, str(spec), str(tmp_path / f"set{number}")],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(done.stdout.strip())
    assert found[0] == found[1]


@pytest.mark.slow
def test_the_command_ships_a_release_and_verifies_by_it(spec: Path, tmp_path: Path, capsys) -> None:
    folder, release = str(tmp_path / "set"), str(tmp_path / "out.npz")
    assert main(["dataset", str(spec), "-o", folder, "--workers", "1", "--release", release]) == 0
    assert "codes near an edge" in capsys.readouterr().out
    assert Path(release).is_file()
    assert main(["dataset", str(spec), "-o", folder, "--verify", "2"]) == 0
    assert "2 made again, 0 wrong" in capsys.readouterr().out


def test_what_is_wrong_is_told(spec: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "frozen.release.npz", spec_sha256=np.array("another"))
    with pytest.raises(DatasetError, match="of another specification"):
        made(spec, tmp_path / "set")
    (tmp_path / "frozen.release.npz").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match=r"frozen\.release\.npz"):
        made(spec, tmp_path / "set2")
    for old, new, told in (
        ("adc_step = 0.00048828125", "adc_step = 0.001", "expected 0, or a power of two"),
        ("adc_step = 0.00048828125", "adc_step = true", "expected 0, or a power of two"),
        ("patient4 = 0.35", "patient9 = 0.35", "unknown phantom 'patient9'"),
        ("patient4 = 0.35", "patient4 = 0.4", "field"),
        ("patient4 = 0.35", "patient4 = 'x'", "expected a number"),
    ):
        with pytest.raises(InputError, match=told):
            plan(read_spec(SPEC.replace(old, new), tmp_path, "frozen.toml"))
    plain = SPEC.replace("adc_step = 0.00048828125", "")
    assert load_release(read_spec(plain, tmp_path, "frozen.toml"), "") == {}


def test_the_shipped_set_is_quantised_and_has_a_part_for_each_day() -> None:
    planned = plan(load_spec("nsclc-v2"))
    assert planned.spec.adc_step == 2.0**-11
    assert {(item.subject.part, item.subject.name[-4:]) for item in planned.items} == {
        ("train", "day1"),
        ("test", "day2"),
    }
    assert sorted(set(planned.spec.field_t_of.values())) == [0.35, 0.5, 1.5, 3.0]
