"""Whoever plays an exported sequence on spins receives the conjugate of our lines, fat included.

The player here is no part of the exporter: it takes the blocks of the file as they stand. Both a gradient
and an off-resonance turn spins by exp(-2 pi i f t) in it, as in a scanner. MRzeroCore plays the same file
where it is installed, which is best done in an environment of its own (docs/physics.md says how).
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from mrsim.formats.pulseq import write_seq
from mrsim.kernels.grid import Grid
from mrsim.physics.slices import Slice
from mrsim.sampling import Sampler
from mrsim.spins.isochromats import BlochSequence, Isochromats, Spins
from mrsim.stream import Header

SIDE, DUMMIES, FAT_HZ = 32, 40, -434.3
HEADER = Header(
    (SIDE, SIDE), (0.4, 0.4), 2_200_000, 1_100_000, math.radians(20), 3.0, 1, SIDE, 1.0, "full", "random"
)
ROWS = Sampler("full", SIDE, 1.0, seed=5).rows(0, 1)


@pytest.fixture(scope="module")
def pp():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pypulseq")


def some_spins() -> Spins:
    """Fill an ellipse of muscle with a lump of fat and a spot of water, spins 10 mm apart."""
    at = np.arange(-16, 16) * 10e-3
    x, y = (v.ravel() for v in np.meshgrid(at, at))
    body = (x / 0.11) ** 2 + (y / 0.08) ** 2 < 1
    x, y = x[body] + 8e-3, y[body] - 6e-3
    kind = np.where(np.hypot(x - 0.05, y + 0.02) < 0.03, 2, np.where(np.hypot(x + 0.04, y) < 0.03, 0, 1))
    t1, t2 = np.array([2.8, 1.4, 0.35])[kind], np.array([2.0, 0.04, 0.1])[kind]
    shift = np.array([0, 0, FAT_HZ])[kind]
    return Spins(x, y, 0 * kind, np.ones(len(x)), t1, t2, shift, np.zeros((1, 2)))


def ours(spins: Spins, dwell_s: float) -> np.ndarray:
    """Return the engine's lines; fat also precesses along the readout, which the engine leaves out."""
    total = np.zeros((SIDE, SIDE), complex)
    for shift in np.unique(spins.shift_hz):
        m = spins.shift_hz == shift
        columns = (getattr(spins, n)[m] for n in ("x", "y", "region", "weight", "t1_s", "t2_s", "shift_hz"))
        engine = Isochromats(
            Spins(*columns, spins.centers),
            BlochSequence(HEADER.tr_ns, HEADER.te_ns, HEADER.flip_rad, False, DUMMIES),
            Grid(HEADER.matrix, HEADER.fov_m),
        )
        turn = 2j * math.pi * shift * (np.arange(SIDE) - SIDE // 2) * dwell_s
        total += engine.lines(ROWS, np.zeros((SIDE, 1, 2))) * np.exp(turn)
    return total


def nrmse(found: np.ndarray, true: np.ndarray) -> float:
    """Return the error after the best complex factor: a receiver has a gain and a phase of its own."""
    factor = np.vdot(found, true) / np.vdot(found, found)
    return float(np.linalg.norm(factor * found - true) / np.linalg.norm(true))


def corners(gradient) -> tuple[list[float], list[float]]:
    """Return a trapezoid as times and amplitudes."""
    if gradient is None:
        return [0.0], [0.0]
    ends = np.cumsum([gradient.delay, gradient.rise_time, gradient.flat_time, gradient.fall_time])
    return ends.tolist(), [0.0, gradient.amplitude, gradient.amplitude, 0.0]


def area(gradient, until: float) -> float:
    """Return the area of a trapezoid from its block's start to an instant."""
    t, g = corners(gradient)
    at = np.unique(np.r_[0, np.array(t)[np.array(t) < until], until])
    return float(np.trapezoid(np.interp(at, t, g, left=0, right=0), at))


def play(sequence, spins: Spins) -> np.ndarray:
    """Play a file block by block: pulses in an instant, in their middle; every sample at its own time."""
    t1, t2, shift = spins.t1_s, spins.t2_s, spins.shift_hz
    m, z = np.zeros(len(spins), complex), np.ones(len(spins))
    lines = []

    def free(m, z, seconds, kx, ky):
        turn = np.exp(-2j * math.pi * (shift * seconds + kx * spins.x + ky * spins.y) - seconds / t2)
        return m * turn, 1 + (z - 1) * np.exp(-seconds / t1)

    for number in sequence.block_events:
        block, length = sequence.get_block(number), sequence.block_durations[number]
        done = [0.0, 0.0, 0.0]
        if block.rf is not None:
            rf = block.rf
            middle = rf.delay + rf.shape_dur / 2
            m, z = free(m, z, middle, 0, 0)
            flip = 2 * math.pi * float(np.trapezoid(rf.signal.real, rf.t))
            axis = np.exp(1j * (rf.phase_offset + 2 * math.pi * rf.freq_offset * rf.shape_dur / 2))
            along = (m * axis.conjugate()).real * axis  # turned about the axis, by the left hand
            across = (m * axis.conjugate()).imag
            across, z = (
                across * math.cos(flip) + z * math.sin(flip),
                z * math.cos(flip) - across * math.sin(flip),
            )
            m = along + 1j * across * axis
            done[2] = middle
        if block.adc is not None:
            adc = block.adc
            at = adc.delay + (np.arange(int(adc.num_samples))[:, None] + 0.5) * adc.dwell
            k = [[[area(gradient, t)] for t in at[:, 0]] for gradient in (block.gx, block.gy)]
            seen, _ = free(m, z, at, *map(np.array, k))
            lines.append((seen * spins.weight).sum(axis=1) * np.exp(-1j * adc.phase_offset))
        left = length - done[2]
        m, z = free(m, z, left, area(block.gx, length), area(block.gy, length))
    return np.array(lines)


def test_spins_that_the_file_plays_give_the_conjugate_of_our_lines_with_fat(pp, tmp_path):
    spins = some_spins()
    path = write_seq(HEADER, ROWS, tmp_path / "a.seq", half_flip=False, dummies=DUMMIES)
    sequence = pp.Sequence()
    sequence.read(str(path))
    received = play(sequence, spins)
    adc = next(b.adc for b in map(sequence.get_block, sequence.block_events) if b.adc is not None)
    assert nrmse(received.conj(), ours(spins, adc.dwell)) < 3e-3  # what is left is T2 along the readout
    assert nrmse(received, ours(spins, adc.dwell)) > 0.5
    # Fat's precession along the readout is all that the scanner leaves out.
    assert 0.01 < nrmse(received.conj(), ours(spins, 0.0)) < 0.1


@pytest.mark.parametrize(("slice_m", "time_bandwidth", "z_m"), [(0.02, 4.0, 0.0), (0.03, 2.5, 0.012)])
def test_the_pulse_excites_the_slice_of_the_phantom(pp, slice_m, time_bandwidth, z_m, tmp_path):
    """Hard pulses of a microsecond at 301 heights give the profile that a phantom's signals are made with."""
    path = write_seq(
        HEADER, ROWS[:1], tmp_path / "a.seq", half_flip=False,
        slice_m=slice_m, time_bandwidth=time_bandwidth, slice_z_m=z_m,
    )  # fmt: skip
    sequence = pp.Sequence()
    sequence.read(str(path))
    block = next(b for b in map(sequence.get_block, sequence.block_events) if b.rf is not None)
    rf, z = block.rf, np.linspace(z_m - 1.5 * slice_m, z_m + 1.5 * slice_m, 301)
    dt = rf.shape_dur / len(rf.t)
    b1 = rf.signal * np.exp(1j * (rf.phase_offset + 2 * math.pi * rf.freq_offset * rf.t))
    # In the scanner's sense off-resonance turns by exp(-2 pi i f t), and so does a carrier of that frequency.
    turn = np.exp(-2j * math.pi * block.gz.amplitude * np.multiply.outer(z, rf.shape_dur - rf.t))
    excited = 2 * math.pi * dt * (turn @ b1.conj())  # small tip
    excited *= np.exp(2j * math.pi * block.gz.amplitude * z * rf.shape_dur / 2)  # rephased
    share = Slice(slice_m, "sinc", z_m, time_bandwidth).flip_share(z)
    assert np.abs(excited / HEADER.flip_rad - share).max() < 0.01
    assert np.ptp(share) > 0.9


def test_mrzero_agrees_with_fat(pp, tmp_path):
    """NRMSE 0.1 at most as it comes; 0.003 once fat's precession along the readout is counted."""
    mr0 = pytest.importorskip("MRzeroCore")
    torch = pytest.importorskip("torch")
    spins = some_spins()
    path = write_seq(HEADER, ROWS, tmp_path / "a.seq", half_flip=False, dummies=DUMMIES)
    sequence = pp.Sequence()
    sequence.read(str(path))
    adc = next(b.adc for b in map(sequence.get_block, sequence.block_events) if b.adc is not None)
    as_tensor = lambda v: torch.tensor(np.asarray(v, np.float32))  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = mr0.CustomVoxelPhantom(
            pos=np.stack([spins.x, spins.y, 0 * spins.x], 1).astype(np.float32).tolist(),
            PD=as_tensor(spins.weight), T1=as_tensor(spins.t1_s), T2=as_tensor(spins.t2_s), T2dash=1e9, D=0.0,
            B0=as_tensor(spins.shift_hz), B1=1.0, voxel_size=1e-9, voxel_shape="box",
        ).build()  # fmt: skip
        read = mr0.Sequence.import_file(str(path), exact_trajectories=False)
        graph = mr0.compute_graph(read, body, 2000, 1e-7)
        received = mr0.execute_graph(graph, read, body, 1e-6, 1e-6, print_progress=False)
    received = received.numpy().reshape(SIDE, SIDE)
    assert nrmse(received.conj(), ours(spins, 0.0)) < 0.1
    assert nrmse(received.conj(), ours(spins, adc.dwell)) < 3e-3
