"""A .seq file that is read back has our timing, our phases, balanced gradients and our k-space."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
import warnings

import numpy as np
import pytest

from mrsim.errors import InputError, MissingExtraError
from mrsim.formats.pulseq import write_seq
from mrsim.sampling import Sampler
from mrsim.stream import Header

HEADER = Header(
    (128, 128),
    (0.4, 0.4),
    2_200_000,
    1_100_000,
    math.radians(20),
    3.0,
    1,
    32,
    4.0,
    "variable-density",
    "random",
)
OTHERS = {
    "default": HEADER,
    "off-centre echo": dataclasses.replace(HEADER, tr_ns=3_000_000, te_ns=1_300_000),
    "odd rows, uneven field of view": dataclasses.replace(
        HEADER, matrix=(95, 64), fov_m=(0.37, 0.29), tr_ns=2_500_000, te_ns=1_250_000
    ),
}


@pytest.fixture(scope="module")
def pp():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pypulseq")


def read_back(pp, path):
    sequence = pp.Sequence()
    sequence.read(str(path))
    return sequence


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("prepared", [False, True])
def test_file_is_the_scan(pp, name, prepared, tmp_path):
    header = OTHERS[name]
    ny, nx = header.matrix
    rows = Sampler("variable-density", ny, 4.0, seed=5).rows(0, 1)
    dummies = 3 if prepared else 0
    path = write_seq(header, rows, tmp_path / "scan.seq", half_flip=prepared, dummies=dummies)
    sequence = read_back(pp, path)
    holds, report = sequence.check_timing()
    assert holds, report[:3]
    k, _, t_excite, _, t_adc = sequence.calculate_kspace()
    k = k.reshape(3, len(rows), nx)
    kx = (np.arange(nx) - nx // 2) / header.fov_m[1]
    largest = max(abs(kx).max(), abs(rows).max() / header.fov_m[0])
    if name.startswith("odd"):
        largest *= 5  # six digits do not hold every field of view better
    assert np.abs(-k[0] - kx).max() < 1e-6 * largest  # the conjugate of our lines is received
    assert np.abs(-k[1] - rows[:, None] / header.fov_m[0]).max() < 1e-6 * largest
    assert np.abs(k[2]).max() < 1e-6 * largest
    pulses = np.asarray(t_excite)[1 if prepared else 0 :]
    assert np.allclose(np.diff(pulses), header.tr_ns * 1e-9, rtol=0, atol=1e-9)
    echoes = np.asarray(t_adc).reshape(len(rows), nx)[:, nx // 2]
    assert np.allclose(echoes - pulses[dummies:], header.te_ns * 1e-9, rtol=0, atol=1e-9)
    if prepared:
        assert math.isclose(t_excite[1] - t_excite[0], header.tr_ns * 0.5e-9, abs_tol=1e-9)


def test_phases_alternate_and_gradients_are_balanced(pp, tmp_path):
    rows = np.array([-64, 63, 0, 5, -17])
    sequence = read_back(pp, write_seq(HEADER, rows, tmp_path / "a.seq", half_flip=True, dummies=2))
    blocks = [sequence.get_block(b) for b in sequence.block_events]
    pulses = [b.rf for b in blocks if b.rf is not None]
    phases = np.array([p.phase_offset for p in pulses])
    assert np.allclose(np.exp(1j * phases), -np.exp(1j * math.pi * np.arange(len(phases))), atol=1e-5)
    flips = [2 * math.pi * abs(np.trapezoid(p.signal, p.t)) for p in pulses]
    assert np.allclose(flips[1:], HEADER.flip_rad, rtol=1e-2)
    assert math.isclose(flips[0], HEADER.flip_rad / 2, rel_tol=1e-2)
    received = np.array([b.adc.phase_offset for b in blocks if b.adc is not None])
    assert np.allclose(received, phases[3:])
    labels = [
        b.label[0].value if hasattr(b.label, "__getitem__") else b.label.value
        for b in blocks
        if b.adc is not None
    ]
    assert labels == [int(r) + 64 for r in rows]
    # From the middle of one pulse to the middle of the next nothing is left on any axis.
    area = {
        axis: [getattr(b, axis).area if getattr(b, axis) is not None else 0.0 for b in blocks]
        for axis in ("gx", "gy", "gz")
    }
    starts = [n for n, b in enumerate(blocks) if b.rf is not None]
    for start, stop in itertools.pairwise(starts[1:]):
        for axis, of in area.items():
            ends = (of[start] + of[stop]) / 2
            assert abs(ends + sum(of[start + 1 : stop])) < 1e-3, axis  # of 320 cycles per metre
    assert abs(sum(area["gz"][starts[0] + 1 : starts[1]]) + area["gz"][starts[1]]) < 1e-3


def test_definitions_and_no_leftovers(pp, tmp_path):
    path = write_seq(HEADER, np.array([0, 1]), tmp_path / "a.seq", slice_m=0.02)
    write_seq(HEADER, np.array([0, 1]), path)  # written again, in place
    assert [p.name for p in tmp_path.iterdir()] == ["a.seq"]
    sequence = read_back(pp, path)
    assert np.allclose(sequence.get_definition("FOV"), [0.4, 0.4, 0.02])
    assert math.isclose(float(np.ravel(sequence.get_definition("TR"))[0]), 2.2e-3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tr_ns": 2_205_000}, "tr_ns"),
        ({"te_ns": 1_101_000}, "te_ns"),
        ({"tr_ns": 1_200_000, "te_ns": 600_000}, "no timing holds"),
        ({"fov_m": (0.02, 0.02)}, "no timing holds"),
        ({"matrix": (128, 127)}, "multiple of 4"),
    ],
)
def test_what_gradients_cannot_do_is_refused(change, says, tmp_path):
    with pytest.raises(InputError, match=says):
        write_seq(dataclasses.replace(HEADER, **change), np.array([0]), tmp_path / "a.seq")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rows", "name", "more", "says"),
    [
        ([64], "a.seq", {}, "line 0: ky = 64"),
        ([], "a.seq", {}, "lines"),
        ([0], "a.txt", {}, "ends in .seq"),
        ([0], "a.seq", {"slice_m": math.nan}, "thickness_m"),
        ([0], "a.seq", {"slice_m": 1e-4}, "take a thicker slice"),
        ([0], "a.seq", {"slice_m": 0.006}, "no timing holds"),
        ([0], "a.seq", {"time_bandwidth": 0.5}, "time_bandwidth"),
        ([0], "a.seq", {"dummies": -1}, "dummies"),
    ],
)
def test_wrong_input_is_refused(rows, name, more, says, tmp_path):
    with pytest.raises(InputError, match=says):
        write_seq(HEADER, np.array(rows, int), tmp_path / name, **more)


def test_a_folder_that_is_not_there_is_named(pp, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        write_seq(HEADER, np.array([0]), tmp_path / "nowhere" / "a.seq")


def test_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pypulseq", None)
    with pytest.raises(MissingExtraError, match=r"mrsim\[pulseq\]"):
        write_seq(HEADER, np.array([0]), tmp_path / "a.seq")
