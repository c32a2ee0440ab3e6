"""Scans of several coils begin with a prescan: the middle of k-space, kept on disk and told."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import mrsim
from mrsim.errors import StreamError
from mrsim.scanner.channels import channels_of
from mrsim.stream import Header, Stream, load, save
from recon.coils.sensitivities import Autocalibration, prescan_sensitivities
from recon.line_memory import LineMemory


def scan(snr: float = 20.0, coils: int = 4, **more) -> Stream:
    """Scan the motion phantom, the whole of its first frame at its first instant."""
    return mrsim.simulate(
        "quasar", frames=1, acceleration=1, sampler="full", order="ascending", timing="retrospective",
        matrix=(64, 48), coils=coils, target_snr=snr, seed=2, overrides={"motion.breathing.amplitude_mm": 0},
        **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def noisy() -> Stream:
    return scan()


def test_it_is_the_middle_of_k_space_with_noise_of_its_own(noisy: Stream) -> None:
    """Nothing moves, so that without noise it is what the first frame has there, bit for bit."""
    still = scan(float("inf"))
    prescan = still.header.prescan
    assert prescan is not None
    assert prescan.shape == (4, 32, 32)
    middle = still.samples[16:48, :, 8:40].transpose(1, 0, 2)  # rows ascend from -32, columns from -24
    assert prescan.tobytes() == np.ascontiguousarray(middle).tobytes()
    own = np.asarray(noisy.header.prescan) - prescan
    lines = noisy.samples[16:48, :, 8:40].transpose(1, 0, 2) - middle
    assert np.std(own) == pytest.approx(np.std(lines), rel=0.05)
    assert abs(np.vdot(own, lines)) < 0.1 * np.linalg.norm(own) * np.linalg.norm(lines)
    assert scan(coils=1).header.prescan is None


def test_it_tells_the_sensitivities_before_the_first_line(noisy: Stream) -> None:
    """Where there is signal half of them agree with the true ones, but for a phase, to 0.98."""
    maps = prescan_sensitivities(noisy.header)
    assert maps is not None
    assert noisy.provenance is not None
    assert noisy.truth is not None
    true = channels_of(noisy.header, noisy.provenance)
    bright = np.abs(noisy.truth.image[0]) > 0.3 * np.abs(noisy.truth.image[0]).max()
    alike = np.abs((maps.conj() * true.sensitivity).sum(axis=0) / true.shading)[bright]
    assert np.median(alike) > 0.98
    memory, calibration = LineMemory(noisy.header), Autocalibration(noisy.header)
    first = calibration.maps(memory)
    assert first is not None
    assert np.array_equal(first.numpy(), maps)
    for readout in noisy:
        memory.push(readout)
    later = calibration.maps(memory)
    assert later is not None
    assert not np.array_equal(later.numpy(), maps)  # every row has come: the lines tell more


def test_a_stream_keeps_it_and_an_older_one_has_none(noisy: Stream, tmp_path) -> None:
    folder = save(noisy, tmp_path / "a.stream")
    found = load(folder)
    assert found.header.prescan is not None
    assert found.header == noisy.header
    assert found.header.prescan.tobytes() == np.asarray(noisy.header.prescan).tobytes()
    assert "prescan" in repr(found)
    file = folder / "header.json"
    meta = json.loads(file.read_text())
    assert meta["prescan"] == [32, 32]
    meta["prescan"] = [16, 32]
    file.write_text(json.dumps(meta))
    with pytest.raises(StreamError, match=r"prescan\.npy"):
        load(folder)
    meta["prescan"] = [1 << 40, -1]
    file.write_text(json.dumps(meta))
    with pytest.raises(StreamError, match="expected rows and columns"):
        load(folder)
    del meta["prescan"]
    file.write_text(json.dumps(meta))
    assert load(folder).header.prescan is None


def test_a_copy_of_a_header_shares_nothing_and_compares_alike(noisy: Stream) -> None:
    copy = noisy.header.private()
    assert copy == noisy.header
    assert hash(copy) == hash(noisy.header)
    assert copy.prescan is not None
    copy.prescan[:] = 0
    assert np.any(noisy.header.prescan)
    assert Header.from_dict(json.loads(json.dumps(copy.to_dict()))).prescan is None


@pytest.mark.parametrize(
    "prescan",
    [
        np.zeros((4, 8, 8), np.complex128),
        np.zeros((3, 8, 8), np.complex64),
        np.zeros((4, 65, 8), np.complex64),
        np.zeros((4, 8), np.complex64),
        np.full((4, 8, 8), np.nan, np.complex64),
    ],
)
def test_one_that_does_not_fit_is_refused(noisy: Stream, prescan: np.ndarray) -> None:
    with pytest.raises(StreamError, match="prescan"):
        dataclasses.replace(noisy.header, prescan=prescan)


def test_whitened_and_combined_scans_have_one_that_fits(noisy: Stream) -> None:
    """Its noise is white then, too; one channel needs none."""
    white = scan(combine="prewhiten")
    true = channels_of(white.header, white.provenance)  # type: ignore[arg-type]
    assert np.array_equal(true.psi, np.eye(4))
    noise = np.asarray(white.header.prescan) - np.asarray(
        scan(float("inf"), combine="prewhiten").header.prescan
    )
    covariance = np.einsum("iab,jab->ij", noise, noise.conj())
    power = np.diag(covariance).real
    assert np.abs(covariance - np.diag(power)).max() < 0.12 * power.mean()
    assert scan(combine="sense").header.prescan is None
