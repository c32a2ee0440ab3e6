"""Every cheat is caught by the audits and the plugin, the page says by what, and honest ones pass."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrsim
from harness.audits import memory
from harness.audits.audits import audit_candidate
from harness.candidates.build import as_builder
from harness.judge.outcome import Outcome
from mrsim.seeds import fresh_seed
from mrsim.stream import Readout, Stream
from recon.classical.zero_filled import ViewSharing
from tests.cheats.table import CHEATS, COLUMNS, OPEN, WEIGHED_FRAMES, about, cells_of, cheats_scan, page

pytestmark = pytest.mark.slow
ROOT = Path(mrsim.__file__).parents[1]
ALL = os.environ.get("MRSIM_CHEATS") == "all"
"""By hand, with MRSIM_CHEATS=all: every cheat, and honest ones three times; else every fifth, and once."""
PAGE = (ROOT / "docs" / "cheats.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def stream() -> Stream:
    return cheats_scan()


def written(name: str) -> list[str]:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | ")]
    return row.strip("| ").split(" | ")[2:]


@pytest.mark.parametrize("name", CHEATS if ALL else tuple(CHEATS)[::5])
def test_a_cheat_is_caught_by_what_the_page_says(name: str, stream: Stream) -> None:
    cells = cells_of(name, stream)
    assert cells == written(name)
    passed = {column for column, cell in zip(COLUMNS, cells, strict=True) if not cell.startswith("caught")}
    assert passed <= set(OPEN)  # no column lets anything through without saying why


def test_the_page_has_every_cheat_and_nothing_else() -> None:
    files = {file.stem for file in Path(__file__).parent.glob("*.py")}
    assert files - {"__init__", "table", "test_cheats"} == set(CHEATS)
    assert len(CHEATS) >= 25
    assert page([(name, written(name)) for name in CHEATS]) == PAGE
    assert len({about(name) for name in CHEATS}) == len(CHEATS)


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
