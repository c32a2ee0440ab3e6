"""The columns around the target first: as exact as the whole, and judged by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.cli.main import main
from mrsim.errors import InputError
from mrsim.stream import save
from recon.cascade import checkpoint
from recon.cascade.checkpoint import Checkpoint
from recon.cascade.network import Cascade, CascadeConfig
from recon.cascade.reconstructor import OnlineCascade
from recon.fourier import to_image, to_kspace
from tests.recon.conftest import run, small_stream, small_weights

BAND = (4, 12)


def blocks_alone(lam: float = float("inf"), blocks: int = 2, convolutions: int = 3) -> Checkpoint:
    torch.manual_seed(1)
    config = CascadeConfig(blocks, convolutions, 8, "view-shared", "", lam, False, False, 1, 24)
    return Checkpoint(Cascade(config).eval(), 1.0, {"matrix": [24, 40]})


def pairs(reconstructor: OnlineCascade, stream) -> tuple[np.ndarray, np.ndarray]:
    """Return bands and whole images, having seen that they come in turn."""
    images = run(reconstructor, stream)
    assert [image.columns for image in images] == [BAND, None] * stream.frames
    return np.stack([i.pixels for i in images[::2]]), np.stack([i.pixels for i in images[1::2]])


def test_columns_beyond_the_sight_of_the_cut_are_those_of_the_whole() -> None:
    """Two blocks of three 3 x 3 convolutions see six columns to each side; at the field's edge is no cut."""
    stream = small_stream(frames=6, nx=40)
    global_band = (0, 20)
    images = run(OnlineCascade(blocks_alone(), columns=global_band), stream)
    bands = np.stack([i.pixels for i in images[::2]])
    whole = np.stack([i.pixels for i in images[1::2]])[:, :, :20]
    apart = np.abs(bands - whole).max(axis=(0, 1)) / np.abs(whole).max()
    assert apart[:14].max() < 1e-5
    assert apart[14:].max() > 1e-4  # the cut is seen where it can be


def test_in_a_band_acquired_lines_are_kept_too() -> None:
    stream = small_stream(frames=4, nx=40)
    bands, _ = pairs(OnlineCascade(blocks_alone(), columns=BAND), stream)
    for frame in range(stream.frames):
        lines = slice(8 * frame, 8 * frame + 8)
        acquired = to_image(stream.samples[lines, 0], (-1,))[:, slice(*BAND)]
        kept = to_kspace(bands[frame], (-2,))[stream.ky[lines] + 12]
        assert np.abs(kept - acquired).max() < 1e-5 * np.abs(acquired).max()


@pytest.fixture(scope="module")
def explained() -> Checkpoint:
    return small_weights()


def test_of_explained_lines_the_band_is_cut_out_of_the_whole(explained: Checkpoint) -> None:
    bands, whole = pairs(OnlineCascade(explained, columns=BAND), small_stream(frames=30, seed=9))
    assert np.abs(bands - whole[:, :, slice(*BAND)])[10:].max() < 1e-5 * np.abs(whole).max()


def test_the_verdict_has_the_bands_own_time_and_error(explained: Checkpoint, tmp_path: Path) -> None:
    save(small_stream(frames=60, seed=9), tmp_path / "s.stream")
    checkpoint.save(tmp_path / "w.npz", explained)
    told = tmp_path / "r.json"
    asked = ["replay", str(tmp_path / "s.stream"), f"cascade:{tmp_path}/w.npz,eager,4-12"]
    main([*asked, "--clock", "virtual", "--json", str(told), "--claim", "0.9"])
    result = json.loads(told.read_text())
    band = result["band"]
    assert (band["columns"], band["images"]) == ([4, 12], 52)
    assert band["response_ms"]["p50"] <= result["latency_ms"]["response"]["p50"]
    assert band["nmse"] == pytest.approx(band["nmse_whole"], rel=0.05)
    main([*asked[:2], "view-sharing", "--clock", "virtual", "--json", str(told), "--claim", "0.9"])
    assert json.loads(told.read_text())["band"] is None


@pytest.mark.parametrize("columns", [(4, 4), (8, 4), (0, 22), (3, 8), (4, 9)])
def test_a_band_that_is_none_is_refused(columns: tuple[int, int], explained: Checkpoint) -> None:
    with pytest.raises(InputError, match="each a multiple of 2"):
        OnlineCascade(explained, columns=columns).open(small_stream(frames=2).header, lambda image: None)
