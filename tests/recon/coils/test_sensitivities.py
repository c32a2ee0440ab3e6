"""Sensitivities follow the scan: anew in each early frame, then once in so many, and never from later."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mrsim.stream import Readout, Stream
from recon.classical.cg_sense import CgSense
from recon.classical.compressed import CompressedSensing, Sparsity
from recon.classical.grappa import RENEW_FRAMES, Tgrappa, calibrate
from recon.coils.sensitivities import REFRESH_FRAMES, Autocalibration, sensitivities
from recon.fourier import to_kspace
from recon.line_memory import MEAN_VISITS, LineMemory
from tests.recon.classical.opponents import body, coil_maps, nmse, still_scan
from tests.recon.conftest import run

NY, NX, COILS = 16, 12, 4
FRAMES = 4 * REFRESH_FRAMES


def scan(frames: int = FRAMES, noise: float = 0.02) -> Stream:
    """Return a scan with noise, so that its running mean changes in every frame."""
    return still_scan(body(NY, NX), NY // 2, frames, coil_maps(COILS, NY, NX), noise=noise)


def maps_by_frame(stream: Stream) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the sensitivities that are used for every frame, and those of the mean at that moment."""
    memory, calibration = LineMemory(stream.header), Autocalibration(stream.header)
    used, newest = [], []
    for readout in stream:
        if memory.push(readout):
            maps = calibration.maps(memory)
            assert maps is not None
            used.append(maps.numpy().copy())
            newest.append(sensitivities(memory.mean))
    return used, newest


def test_coil_maps_are_refreshed_in_every_early_frame_and_every_so_many_later() -> None:
    used, newest = maps_by_frame(scan())
    for frame in range(FRAMES):
        source = frame if frame < REFRESH_FRAMES else frame - frame % REFRESH_FRAMES
        assert np.array_equal(used[frame], newest[source]), frame
        if frame and source == frame:
            assert not np.array_equal(used[frame], used[frame - 1]), frame


def moved_coils() -> tuple[Stream, np.ndarray, int]:
    """Return a scan whose coils change places, its image, and the frame of the change."""
    image, change = body(NY, NX), 3 * REFRESH_FRAMES
    maps = coil_maps(COILS, NY, NX)
    before = still_scan(image, NY // 2, 20 * REFRESH_FRAMES, maps)
    after = still_scan(image, NY // 2, 20 * REFRESH_FRAMES, np.roll(maps, 1, axis=0))
    lines = change * before.header.lines_per_frame
    samples = np.concatenate([before.samples[:lines], after.samples[lines:]])
    return dataclasses.replace(before, samples=samples), image, change


@pytest.mark.parametrize("build", [CgSense, Tgrappa, lambda: CompressedSensing(Sparsity(iterations=10))])
def test_a_reconstructor_recovers_from_coils_that_move(build) -> None:
    """Maps and weights that were kept for ever would leave the later images wrong for good."""
    stream, image, change = moved_coils()
    errors = [nmse(i.pixels, image) for i in run(build(), stream)]
    worst = max(errors[change : change + REFRESH_FRAMES])
    assert worst > 3 * errors[change - 1]
    assert errors[-1] < 0.1 * worst


def test_weights_of_tgrappa_are_renewed_one_pattern_at_a_time_and_all_in_the_end() -> None:
    stream = scan()
    candidate = Tgrappa()
    candidate.open(stream.header, lambda image: None)
    learnt: dict = {}
    for readout in stream:
        candidate.push(readout)
        if (readout.index + 1) % stream.header.lines_per_frame:
            continue
        weights = candidate._weights
        renewed = [p for p, (frame, _) in weights.items() if p in learnt and learnt[p][0] != frame]
        assert len(renewed) <= 1
        for pattern in renewed:
            assert readout.frame - learnt[pattern][0] >= RENEW_FRAMES
            now = calibrate(to_kspace(candidate._memory.mean, (-1,)), pattern)
            assert np.array_equal(weights[pattern][1], now)
            assert not np.array_equal(weights[pattern][1], learnt[pattern][1])
        learnt = dict(weights)
    assert learnt
    oldest = min(frame for frame, _ in learnt.values())
    assert oldest >= FRAMES - 1 - RENEW_FRAMES - len(learnt)


def test_the_running_mean_forgets_after_so_many_visits() -> None:
    """Of ones, zeros leave (1 - 1/N)^n after n visits, where the mean reaches N visits back."""
    header, ones, zeros = scan(1).header, 2 * MEAN_VISITS, 48
    memory = LineMemory(header)
    for index in range(ones + zeros):
        samples = np.full((COILS, NX), index < ones, np.complex64)
        memory.push(Readout(index, index // header.lines_per_frame, 0, index, samples))
        if index == ones - 1:
            full = np.abs(memory.mean[:, NY // 2]).max()
    assert memory.settled
    left = np.abs(memory.mean[:, NY // 2]).max() / full
    assert left == pytest.approx((1 - 1 / MEAN_VISITS) ** zeros, rel=1e-3)
