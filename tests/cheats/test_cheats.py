"""Every cheat is caught by the audits and the plugin, the page says by what, and honest ones pass."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
import mrsim
from harness.audits import memory
from harness.audits.audits import audit_candidate
from harness.candidates.build import as_builder
from harness.judge.outcome import Outcome
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.seeds import fresh_seed
from mrsim.stream import Readout, Stream
from recon.classical.zero_filled import ViewSharing
from scripts.blocks import read_blocks
from tests.cheats.table import (
    CHEATS,
    COLUMNS,
    IN_VAIN,
    MODES,
    OF_TIME,
    OF_TRUST,
    OPEN,
    WEIGHED_FRAMES,
    about,
    cells_of,
    cheats_scan,
    is_in_vain,
    page,
    played,
    written_on,
)

pytestmark = pytest.mark.slow
ROOT = Path(mrsim.__file__).parents[1]
ALL = os.environ.get("MRSIM_CHEATS") == "all"
"""By hand, with MRSIM_CHEATS=all: every cheat, and honest ones three times; else a share, and once."""
SHARES = 20
"""Each day plays another share of the rows, so that all of them are played within so many days."""
PAGE = (ROOT / "docs" / "cheats.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def settled_heap() -> None:
    """Hide nothing from a cheat that looks through the heap."""
    gc.unfreeze()


@pytest.fixture(scope="module")
def stream() -> Stream:
    return cheats_scan()


WRITTEN = written_on(PAGE)
ROWS = [(mode, name) for mode in MODES for name in played(mode)]
PLAYED = ROWS if ALL else ROWS[date.today().toordinal() % SHARES :: SHARES]


@pytest.mark.parametrize(("mode", "name"), PLAYED)
def test_a_cheat_is_caught_by_what_the_page_says(mode: str, name: str, stream: Stream) -> None:
    if set(WRITTEN[mode, name]) == {IN_VAIN} and not ALL:  # every audit and check would be played to the end
        assert is_in_vain(name, stream)
    else:
        assert cells_of(name, mode, stream) == WRITTEN[mode, name]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_passes_without_saying_why(mode: str) -> None:
    for name in played(mode):
        cells = dict(zip(COLUMNS, WRITTEN[mode, name], strict=True))
        if mode == "isolated" and set(cells.values()) == {IN_VAIN}:
            continue
        passed = {column for column, cell in cells.items() if not cell.startswith("caught")}
        if name in OF_TIME:
            assert ("replay" in passed) == (mode not in OF_TIME[name]), name
        elif name in OF_TRUST and mode == "in process":
            assert passed == set(COLUMNS) - {"replay"}, name
        else:
            assert passed <= set(OPEN), name


def test_the_page_has_every_cheat_and_nothing_else() -> None:
    files = {file.stem for file in Path(__file__).parent.glob("*.py")}
    assert files - {"__init__", "table", "test_cheats"} == set(CHEATS)
    assert len(CHEATS) >= 60
    assert page({mode: [(name, WRITTEN[mode, name]) for name in played(mode)] for mode in MODES}) == PAGE
    assert len({about(name) for name in CHEATS}) == len(CHEATS)


@pytest.mark.parametrize("mode", MODES)
def test_the_broken_example_of_the_docs_is_found(
    mode: str, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay sees its images alone, and fails them; that it remembers the scan before is for the audit."""
    block = next(one for one in read_blocks(ROOT / "docs" / "first-hour.md") if one.file == "mynet.py")
    (tmp_path / "mynet.py").write_text(block.text)
    monkeypatch.chdir(tmp_path)
    fine = scan(load_phantom("quasar"), ScanProtocol(acceleration=4.0), seed=1, frames=64)
    broken, isolate = "python:mynet.py:build", mode == "isolated"
    verdict = harness.replay(fine, broken, scenario="lockstep", isolate=isolate).verdict
    assert verdict.outcome is Outcome.FAIL
    assert "silent failures (no target" in verdict.reason
    assert harness.replay(fine, "view-sharing", scenario="lockstep").verdict.outcome is not Outcome.FAIL
    report = harness.audit(broken, stream, isolate=isolate)
    assert (report.verdict.outcome, report.broken) == (Outcome.INVALID, ("determinism",))


def zero_filled(kspace: np.ndarray, mask: np.ndarray) -> np.ndarray:
    centred = np.fft.ifftshift(kspace, axes=(-2, -1))
    return np.fft.fftshift(np.fft.ifft2(centred, norm="ortho"), axes=(-2, -1))[0]


def module() -> Any:
    torch = pytest.importorskip("torch")

    class Network(torch.nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, kspace: Any, mask: Any) -> Any:
            centred = torch.fft.ifftshift(torch.complex(kspace[:, 0], kspace[:, 1]), dim=(-2, -1))
            image = torch.fft.fftshift(torch.fft.ifft2(centred, norm="ortho"), dim=(-2, -1))
            return torch.stack([image.real, image.imag], dim=1)

    return Network()


class Threaded(ViewSharing):
    """Make each image on a thread of its own, and wait for it before the next line is taken."""

    def push(self, readout: Readout) -> None:
        worker = threading.Thread(target=super().push, args=(readout,))
        worker.start()
        worker.join()


HONEST: dict[str, Callable[[], Any]] = {
    "a string": lambda: "view-sharing",
    "zero-filled": lambda: "zero-filled",
    "sliding window": lambda: "sliding-window:3",
    "keyhole": lambda: "keyhole",
    "a class": lambda: ViewSharing,
    "an object": ViewSharing,
    "a function": lambda: zero_filled,
    "a module": module,
    "a thread": lambda: Threaded,
}


@pytest.mark.parametrize("form", HONEST)
def test_honest_candidates_pass_audits_of_fresh_seeds(
    form: str, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "FRAMES", WEIGHED_FRAMES)
    name, build = as_builder(HONEST[form]())
    for _ in range(3 if ALL else 1):
        report = audit_candidate(stream, build, name, fresh_seed())
        assert report.verdict.outcome is Outcome.PASS, report
