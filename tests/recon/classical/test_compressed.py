"""Compressed sensing and the low-rank oracle: consistent, exact where they can be, free of units."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mrsim.errors import InputError
from recon.classical.compressed import CompressedSensing, Sparsity
from recon.classical.low_rank import Decomposition, LowRankSparse, decompose, interpolated
from recon.classical.zero_filled import ViewSharing, ZeroFilled
from recon.fourier import to_image, to_kspace
from tests.recon.classical.opponents import body, coil_maps, nmse, still_scan
from tests.recon.conftest import run, small_stream

NY, NX = 32, 24
LIGHT = Sparsity("tv", 1e-3, 30)


def residual(image, stream) -> float:
    """Return how far an image is from the lines of its frame, as a share of them."""
    centre, kspace = stream.header.matrix[0] // 2, to_kspace(image.pixels)
    lines = [(r.ky + centre, r.samples[0]) for r in stream if r.frame == image.frame]
    far = sum(np.sum(np.abs(kspace[row] - samples) ** 2) for row, samples in lines)
    return float(far / sum(np.sum(np.abs(samples) ** 2) for _, samples in lines))


@pytest.mark.parametrize(
    "sparsity",
    [Sparsity("tv", 1e-4, 60), Sparsity("daubechies", 1e-4, 60), Sparsity("tv", 1e-4, 60, prior=0.1)],
)
def test_the_image_agrees_with_the_lines_and_the_less_the_more_the_weight(sparsity):
    scan = still_scan(body(NY, NX), 12, frames=3, sampler="random", noise=0.01)
    light = residual(run(CompressedSensing(sparsity), scan)[-1], scan)
    heavy = residual(run(CompressedSensing(dataclasses.replace(sparsity, weight=0.3)), scan)[-1], scan)
    assert light < 1e-3
    assert heavy > 5 * light


def test_sparsity_finds_what_a_frame_alone_does_not_hold():
    image = body(NY, NX)
    scan = still_scan(image, 16, frames=1, sampler="random")
    shown = run(CompressedSensing(), scan)[0].pixels
    assert nmse(shown, image) < 0.6 * nmse(run(ZeroFilled(), scan)[0].pixels, image)


def test_a_prior_of_full_weight_and_no_sparsity_is_view_sharing(stream):
    """With mu = 1 and lambda = 0 nothing but the newest value of each row is left."""
    ours = run(CompressedSensing(Sparsity("tv", 0.0, 60, prior=1.0)), stream)
    for image, shared in zip(ours, run(ViewSharing(), stream), strict=True):
        assert np.allclose(image.pixels, shared.pixels, atol=1e-4)


def test_the_weight_is_a_share_of_the_data_so_that_units_do_not_matter(stream):
    other = dataclasses.replace(stream, samples=stream.samples * np.complex64(1000))
    for one, two in zip(
        run(CompressedSensing(LIGHT), stream, 32), run(CompressedSensing(LIGHT), other, 32), strict=True
    ):
        assert np.allclose(two.pixels, 1000 * one.pixels, atol=1000 * 2e-3 * np.abs(one.pixels).max())


def test_several_coils_serve_compressed_sensing_too():
    image = body(NY, NX)
    scan = still_scan(image, 16, frames=6, maps=coil_maps(6, NY, NX))
    assert nmse(run(CompressedSensing(LIGHT), scan)[-1].pixels, image) < 5e-3


def test_torch_has_its_threads_back(stream):
    before = torch.get_num_threads()
    run(CompressedSensing(Sparsity("tv", 0.01, 1)), stream)
    assert torch.get_num_threads() == before


def test_a_series_of_low_rank_is_found_again_from_half_of_its_rows():
    """A still part and one that comes and goes: rank two, and sparse over time."""
    frames, time = 24, np.arange(24)
    pulsing = (1 + np.cos(2 * np.pi * time / 8)) / 2
    series = body(NY, NX)[None] + pulsing[:, None, None] * body(NY, NX, 5.0)[None]
    sampled = np.random.default_rng(1).random((frames, NY)) < 0.5
    rows = (to_kspace(series.astype(np.complex64), (-2,)) * sampled[:, :, None]).astype(np.complex64)
    low, sparse = decompose(
        torch.from_numpy(rows), torch.from_numpy(sampled), to_image(torch.from_numpy(rows), (-2,)),
        Decomposition(0.1, 0.05, 60),
    )  # fmt: skip
    found = (low + sparse).numpy()
    assert nmse(found, series) < 0.02 * nmse(to_image(rows, (-2,)), series)
    again = to_kspace(found, (-2,)) * sampled[:, :, None]
    assert np.abs(again - rows).max() < 1e-4  # the last step is the data


def test_rows_are_interpolated_between_their_visits_and_held_at_the_ends():
    rows = np.zeros((6, 2, 1), np.complex64)
    sampled = np.zeros((6, 2), np.bool_)
    for frame, value in ((1, 2.0), (4, 8.0)):
        rows[frame, 0], sampled[frame, 0] = value, True
    assert np.allclose(interpolated(rows, sampled)[:, 0, 0], [2, 2, 4, 6, 8, 8])
    assert not interpolated(rows, sampled)[:, 1].any()


def test_the_oracle_shows_nothing_before_the_end_and_says_what_went_into_it():
    stream = small_stream(frames=6)
    oracle, images = LowRankSparse(), []
    assert oracle.causal is False
    oracle.open(stream.header, images.append)
    for readout in stream:
        oracle.push(readout)
    assert not images
    oracle.close()
    assert [i.frame for i in images] == list(range(6))
    assert {i.last_line for i in images} == {len(stream) - 1}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sparsity("curvelets"), "'curvelets': expected one of tv"),
        (lambda: Sparsity(weight=-1), "lambda = -1"),
        (lambda: Sparsity(iterations=0), "0 iterations"),
        (lambda: Sparsity(prior=1.5), "prior = 1.5"),
        (lambda: Decomposition(low_rank=2), "expected shares"),
        (lambda: Decomposition(iterations=0), "0 iterations"),
    ],
)
def test_values_out_of_range_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_a_scan_that_is_too_long_for_the_oracle_is_refused(monkeypatch):
    monkeypatch.setattr("recon.classical.low_rank.MAX_SCAN_BYTES", 3000)
    with pytest.raises(InputError, match="replay fewer"):
        run(LowRankSparse(), small_stream(frames=6))
