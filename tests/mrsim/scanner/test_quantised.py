"""Quantised scans are one scan on every processor: last bits change no code, given those near an edge."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import mrsim
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import ProtocolError, StreamError
from mrsim.scanner import quantised
from mrsim.scanner.acquisition import Scanner
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.quantised import EDGES, MOST, Quantiser, Release, codes_of, step_of
from mrsim.stream import load

STEP = 2.0**-11
FORM = ScanProtocol(matrix=(32, 32), acceleration=4, coils=2, adc_step=STEP)


def scan(**more) -> mrsim.Stream:
    return mrsim.simulate(
        "quasar", frames=2, matrix=(32, 32), acceleration=4, coils=2, seed=4, adc_step=STEP, **more
    )


def test_samples_prescan_and_truth_are_whole_multiples_within_half_a_step() -> None:
    rounded, plain = (
        scan(),
        mrsim.simulate("quasar", frames=2, matrix=(32, 32), acceleration=4, coils=2, seed=4),
    )
    assert rounded.truth is not None
    assert plain.truth is not None
    pairs = {
        "samples": (rounded.samples, plain.samples),
        "prescan": (rounded.header.prescan, plain.header.prescan),
        "image": (rounded.truth.image, plain.truth.image),
    }
    for name, (values, exact) in pairs.items():
        step = step_of(name, STEP)
        codes = codes_of(name, np.asarray(values), STEP)
        back = (codes.astype(np.float32) * np.float32(step)).reshape(*np.shape(values), 2)
        assert np.array_equal(back, np.ascontiguousarray(values).view(np.float32).reshape(back.shape))
        error = np.abs(np.asarray(values) - np.asarray(exact)).max()
        assert step / 4 < error < 0.5 * 2**0.5 * step * (1 + 1e-3), name
        assert np.abs(codes).max() <= MOST[name]
    assert rounded.header.adc_step == STEP
    assert step_of("image", STEP) == STEP / 256


def test_last_bits_change_no_code_given_the_codes_near_an_edge() -> None:
    """Every tenth value is laid on an edge, where the last bits decide; the notes of one decide for all."""
    rng = np.random.default_rng(1)
    exact = (rng.standard_normal((40, 2, 64)) + 1j * rng.standard_normal((40, 2, 64))).view(np.float64)
    edge = rng.random(exact.shape) < 0.1
    exact[edge] = (np.floor(exact[edge] / STEP) + 0.5) * STEP
    first = Quantiser(STEP)
    codes = first.values("samples", 0, exact.view(np.complex128))
    assert len(first.edges) == edge.sum()
    release = Release(first.edges)
    differ = 0
    for sign in (1, -1):
        moved = np.ascontiguousarray(exact * (1 + sign * 1e-13)).view(np.complex128)
        alone = Quantiser(STEP).values("samples", 0, moved)
        differ += int((alone != codes).sum())
        parts = [Quantiser(STEP, release).values("samples", n, moved[n : n + 10]) for n in range(0, 40, 10)]
        assert np.concatenate(parts).tobytes() == codes.tobytes()
    assert differ > 100  # without the notes they would be other codes


def test_a_scan_with_its_release_is_the_same_although_every_value_moves(monkeypatch, tmp_path) -> None:
    """Values times 1 +- 1e-13 before they are rounded; edges made wide, so that there are notes."""
    monkeypatch.setattr(quantised, "EDGE", 1e-3)
    here = Scanner(load_phantom("quasar"), FORM, 4, 2)
    one, prescan, release = here.chunk(0, 2, True), here.header.prescan, here.release
    assert release is not None
    assert release.filters is not None
    assert {0, 2} <= set(release.edges["array"].tolist())
    plain = Quantiser.values

    def moved(self: Quantiser, name: str, first: int, exact: np.ndarray) -> np.ndarray:
        return plain(self, name, first, exact * (1 + 1e-13 * (-1) ** first))

    monkeypatch.setattr(Quantiser, "values", moved)
    there = Scanner(load_phantom("quasar"), FORM, 4, 2, release)
    for first in (0, 1):
        other = there.chunk(first, 1, True)
        lines = slice(first * 8, first * 8 + 8)
        assert other.samples.tobytes() == one.samples[lines].tobytes()
        assert other.truth is not None
        assert one.truth is not None
        assert other.truth.image[0].tobytes() == one.truth.image[first].tobytes()
    assert np.array_equal(np.asarray(there.header.prescan), np.asarray(prescan))


def test_a_folder_keeps_step_edges_and_filters(tmp_path) -> None:
    folder = tmp_path / "a.stream"
    stream = scan(output=folder)
    assert load(folder).header.adc_step == STEP
    assert np.load(folder / "edges.npy").dtype == EDGES
    assert np.load(folder / "filters.npy").shape == (2, 7, 7)
    assert scan().samples.tobytes() == stream.samples.tobytes()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"adc_step = 1e-06: expected 0, or a power of two"):
        ScanProtocol(adc_step=1e-6)
    with pytest.raises(ProtocolError, match="beyond code 32767: take a larger step"):
        mrsim.simulate("quasar", frames=1, adc_step=2.0**-20)
    with pytest.raises(ProtocolError, match="isochromat engine has no ADC"):
        mrsim.simulate("quasar", frames=1, adc_step=STEP, engine="isochromats")
    with pytest.raises(ProtocolError, match="filters of 3 coils, and the scan has 2"):
        Scanner(load_phantom("quasar"), FORM, 4, 1, Release(np.zeros(0, EDGES), np.ones((3, 7, 7), complex)))
    for wrong in (np.zeros(0, np.int64), np.zeros((2, 2), EDGES)):
        with pytest.raises(ProtocolError, match="release: edges"):
            Release(wrong)
    with pytest.raises(ProtocolError, match="release: filters"):
        Release(np.zeros(0, EDGES), np.ones((3, 6, 6), complex))
    other = np.array([(0, 0, 77)], EDGES)
    with pytest.raises(ProtocolError, match="another scan"):
        Quantiser(STEP, Release(other)).values("samples", 0, np.array([[0.5 * STEP + 0j]]))
    with pytest.raises(StreamError, match="adc_step"):
        dataclasses.replace(FORM.header(), adc_step=3.0)
    assert scan(combine="prewhiten").header.adc_step == 0
