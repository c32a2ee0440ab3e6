"""Impossible quality: the truth itself is found out, and what is made of lines is not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome
from harness.measure.floor import least_nmse
from harness.realtime.clock import VirtualClock
from harness.realtime.service import ConstantService
from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Stream
from recon.classical.zero_filled import ViewSharing, ZeroFilled
from recon.protocol import Builder
from tests.harness.synthetic import Drawn


@pytest.fixture(scope="module")
def noisy() -> Stream:
    return scan(load_phantom("quasar"), ScanProtocol(matrix=(64, 64)), seed=3, frames=48)


def image_answer(stream: Stream, build: Builder) -> tuple[Outcome | None, str]:
    result = evaluate(stream, "it", build, clock=VirtualClock(), service=ConstantService(0), claim=0.5)
    answer = result.verdict.answer("image")
    assert answer is not None
    return answer.outcome, answer.reason


def test_the_bound_is_what_averaged_noise_leaves_of_one_number(noisy: Stream) -> None:
    """The mean of V visits of a still object has the noise that the bound begins with."""
    assert noisy.provenance is not None
    assert noisy.truth is not None
    rng, visits = np.random.default_rng(0), len(noisy) / 64
    true = np.abs(noisy.truth.image[5]) + 1.0  # strong everywhere, as the bound takes it
    std = noisy.provenance.noise_std / np.sqrt(visits)
    errors = []
    for _ in range(20):
        noise = rng.normal(0, std / np.sqrt(2), (64, 64, 2)) @ [1, 1j]
        errors.append(np.sum((np.abs(true + noise) - true) ** 2))
    energy = float(np.sum(np.abs(noisy.truth.image[5].astype(np.complex128)) ** 2))
    bound = least_nmse(noisy, np.array([5]))[0]
    assert bound * 64 * 64 == pytest.approx(np.mean(errors) / energy, rel=0.02)


@pytest.mark.parametrize("off", [0.0, 1e-7, 1e-4])
def test_the_truth_is_found_out_also_with_a_little_added(noisy: Stream, off: float) -> None:
    truth = noisy.truth
    assert truth is not None
    rng = np.random.default_rng(1)

    def draw(frame: int) -> np.ndarray:
        return truth.image[frame] * (1 + off * rng.normal(size=(64, 64)))

    outcome, reason = image_answer(noisy, lambda: Drawn(draw))
    assert outcome is Outcome.INVALID
    assert reason.startswith("impossible quality: ")


@pytest.mark.parametrize("build", [ZeroFilled, ViewSharing])
def test_what_is_made_of_lines_raises_no_alarm(noisy: Stream, build: Builder) -> None:
    assert image_answer(noisy, build)[0] is None


def test_a_scan_without_noise_bounds_nothing(noisy: Stream) -> None:
    assert noisy.provenance is not None
    assert noisy.truth is not None
    still = dataclasses.replace(noisy, provenance=dataclasses.replace(noisy.provenance, noise_std=0.0))
    images = noisy.truth.image
    assert image_answer(still, lambda: Drawn(lambda frame: images[frame]))[0] is None
    assert not least_nmse(still, np.arange(4)).any()
