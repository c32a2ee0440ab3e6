"""The scan that is shipped is the one that the scanner makes, bit by bit."""

from __future__ import annotations

import dataclasses
import importlib.resources
from pathlib import Path

import numpy as np
import pytest

import mrsim
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import StreamError
from mrsim.scanner.acquisition import scan
from mrsim.scanner.example import ADC_STEP, BREATHING, FILE, SECONDS, SEED, example_scan, pack, unpack
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Stream

LINES = 32


def made(**settings: float) -> Stream:
    protocol = ScanProtocol(**{"adc_step": ADC_STEP, **settings})  # type: ignore[arg-type]
    return scan(load_phantom("quasar", BREATHING), protocol, seed=SEED, frames=20)


def test_shipped_scan_is_the_one_that_the_scanner_makes() -> None:
    """It holds for frames at its beginning, which no processor rounds otherwise, and for the whole's size."""
    shipped, here = example_scan(), made()
    assert shipped.header == here.header
    assert shipped.frames == int(np.ceil(SECONDS * 1e9 / here.header.frame_ns))
    lines = len(here)
    for name in ("ky", "frame", "t_ns", "samples"):
        assert np.array_equal(getattr(shipped, name)[:lines], getattr(here, name)), name
    assert shipped.truth is not None
    assert here.truth is not None
    for name in ("image", "mask"):
        assert np.array_equal(getattr(shipped.truth, name)[:20], getattr(here.truth, name)), name
    for name in ("centroid", "displacement"):
        found, expected = getattr(shipped.truth, name)[:lines], getattr(here.truth, name)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert shipped.provenance == here.provenance, "pack it again: python -m scripts.pack_example"


def test_what_is_packed_comes_out_as_it_went_in(tmp_path: Path) -> None:
    here = made()
    pack(here, tmp_path / "a.npz")
    found = unpack(tmp_path / "a.npz")
    assert found.header == here.header
    assert found.provenance == here.provenance
    for whole, other in ((found, here), (found.truth, here.truth)):
        for field in dataclasses.fields(whole):  # type: ignore[arg-type]
            ours, theirs = getattr(whole, field.name), getattr(other, field.name)
            if isinstance(theirs, np.ndarray):
                assert ours.dtype == theirs.dtype
                assert np.array_equal(ours, theirs), field.name
    pack(here, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("settings", [{"adc_step": 0.0}, {"coils": 2, "adc_step": 2.0**-11}])
def test_what_would_lose_something_is_not_packed(tmp_path: Path, settings: dict[str, float]) -> None:
    with pytest.raises(StreamError, match="quantised, of one coil, with truth"):
        pack(made(**settings), tmp_path / "a.npz")
    with pytest.raises(StreamError, match="with truth"):
        pack(dataclasses.replace(made(), truth=None), tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_told_in_a_line(tmp_path: Path) -> None:
    whole = (importlib.resources.files("phantoms") / FILE).read_bytes()
    assert len(whole) < 7_000_000
    path = tmp_path / "a.npz"
    for data in (b"", b"PK", whole[:1000], whole[: len(whole) // 2], whole[:5000] + bytes(64) + whole[5064:]):
        path.write_bytes(data)
        with pytest.raises(StreamError, match=r"a\.npz: .*; install mrsim again"):
            unpack(path)
    with pytest.raises(StreamError, match=r"none\.npz: no such file; install"):
        unpack(tmp_path / "none.npz")


def test_it_is_at_the_front_door() -> None:
    stream = mrsim.example_scan()
    assert stream.header.lines_per_frame == LINES
