"""The Bloch engine against exact matrices, closed forms and direct sums; the same bits however it is run."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import InputError
from mrsim.kernels.grid import Grid
from mrsim.physics.steady_state import bssfp
from mrsim.physics.tissue import tissue
from mrsim.spins.isochromats import BlochSequence, Isochromats, Spins
from mrsim.spins.off_resonance import FieldMap, lorentz_offsets

TR, TE = 2_200_000, 1_100_000
FLIP = math.radians(20)
ONE = Grid((8, 8), (0.4, 0.4))


def at_origin(t1_s, t2_s, shift_hz=0.0) -> Spins:
    """Stack spins at the origin, of weight 1 together."""
    shift = np.atleast_1d(np.asarray(shift_hz, float))
    ones = np.ones(len(shift))
    zero = 0 * ones
    return Spins(
        zero, zero, zero.astype(int), ones / len(ones), t1_s * ones, t2_s * ones, shift, np.zeros((1, 2))
    )


def signals(spins: Spins, sequence: BlochSequence, count: int, field_hz=None) -> np.ndarray:
    lines = Isochromats(spins, sequence, ONE).lines(
        np.zeros(count, int), np.zeros((count, len(spins.centers), 2)), None, field_hz
    )
    assert np.allclose(lines, lines[:, :1], rtol=1e-13)  # a point at the origin is flat in k-space
    return lines[:, 0]


def steady(t1_s, t2_s, shift_hz=0.0, flip=FLIP, te=TE) -> complex:
    return complex(signals(at_origin(t1_s, t2_s, shift_hz), BlochSequence(TR, te, flip, True, 60_000), 1)[0])


def recursion(t1_s, t2_s, df_hz, flip, half_flip, count, te=TE):
    """Alternate the pulses' sign in the laboratory's frame, by 4 x 4 matrices on (Mx, My, Mz, 1)."""

    def free(df, t):
        e1, e2, w = math.exp(-t / t1_s), math.exp(-t / t2_s), 2 * math.pi * df * t
        c, s = e2 * math.cos(w), e2 * math.sin(w)
        return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, e1, 1 - e1], [0, 0, 0, 1]])

    def pulse(angle):
        c, s = math.cos(angle), math.sin(angle)
        return np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])

    m = np.array([0.0, 0.0, 1.0, 1.0])
    if half_flip:
        m = free(df_hz[0], TR * 0.5e-9) @ pulse(-flip / 2) @ m
    out = []
    for n in range(count):
        sign = (-1) ** n
        m = pulse(sign * flip) @ m
        echo = free(df_hz[n], te * 1e-9) @ m
        out.append(1j * sign * (echo[0] + 1j * echo[1]))
        m = free(df_hz[n], TR * 1e-9) @ m
    return np.array(out)


@pytest.mark.parametrize("half_flip", [True, False])
@pytest.mark.parametrize(
    ("t1", "t2", "df", "te"), [(0.9, 0.03, 0.0, TE), (1.9, 0.27, 61.0, TE), (0.3, 0.1, -434.0, 400_000)]
)
def test_transient_equals_the_matrix_recursion(half_flip, t1, t2, df, te):
    exact = recursion(t1, t2, np.full(400, df), FLIP, half_flip, 400, te)
    ours = signals(at_origin(t1, t2, df), BlochSequence(TR, te, FLIP, half_flip), 400)
    assert np.abs(ours - exact).max() < 1e-12
    assert np.ptp(np.abs(exact)) > 0.01  # a transient, not a constant


def test_transient_in_a_field_that_breathes_equals_the_recursion():
    df = 80 + 60 * np.sin(np.arange(500) / 40)
    field = np.zeros((500, 6))
    field[:, 0] = df - 30
    ours = signals(at_origin(0.9, 0.05, 30.0), BlochSequence(TR, TE, FLIP), 500, field)
    assert np.abs(ours - recursion(0.9, 0.05, df, FLIP, True, 500)).max() < 1e-12


@pytest.mark.parametrize("df", [0.0, 20.0, -110.0, 217.0, 227.2, -434.0])
@pytest.mark.parametrize(("t1", "t2"), [(0.9, 0.03), (1.9, 0.27)])
def test_steady_state_is_the_closed_form(t1, t2, df):
    for te in (TE, 700_000):
        assert abs(steady(t1, t2, df, te=te) - bssfp(t1, t2, FLIP, TR * 1e-9, te * 1e-9, df)) < 1e-9


def test_nulls_lie_at_half_a_turn_per_tr():
    null = 0.5 / (TR * 1e-9)
    assert math.isclose(null, 227.27, abs_tol=0.01)
    on = abs(steady(1.2, 0.08))
    for df in (null, -null):
        assert abs(steady(1.2, 0.08, df)) < 0.1 * on
        # Beyond the null the signal is of opposite sign.
        before, beyond = steady(1.2, 0.08, 0.9 * df), steady(1.2, 0.08, 1.1 * df)
        assert before.real > 0 > beyond.real


def test_fat_over_its_resonance_by_field():
    ratio = {}
    for field_t in (0.5, 1.5, 3.0):
        fat = tissue("fat", field_t)
        ratio[field_t] = steady(fat.t1_s, fat.t2_s, fat.shift_hz) / steady(fat.t1_s, fat.t2_s)
    assert ratio[0.5].real > 0.9
    assert math.isclose(abs(ratio[1.5]), 0.47, abs_tol=0.02)
    assert ratio[3.0].real < -0.9


@pytest.mark.parametrize(("name", "tr_s"), [("muscle", 214.5), ("blood", 743.2)])
def test_half_flip_transient_decays_at_the_known_rate(name, tr_s):
    """cos^2(a/2) / T1 + sin^2(a/2) / T2 per second, 20 degrees, 3 T."""
    at = tissue(name, 3.0)
    count = int(1.5 * tr_s)
    run = signals(at_origin(at.t1_s, at.t2_s), BlochSequence(TR, TE, FLIP), count).real
    gone = run - steady(at.t1_s, at.t2_s).real
    measured = -(count - 51) / math.log(gone[-1] / gone[50])
    rate = math.cos(FLIP / 2) ** 2 / at.t1_s + math.sin(FLIP / 2) ** 2 / at.t2_s
    assert math.isclose(measured, 1 / (rate * TR * 1e-9), rel_tol=5e-4)
    assert math.isclose(measured, tr_s, abs_tol=0.1 + 5e-4 * tr_s)


def test_half_flip_quiets_the_transient():
    at = {
        half: signals(at_origin(1.2, 0.08, 40.0), BlochSequence(TR, TE, FLIP, half), 60)
        for half in (True, False)
    }
    jitter = {half: np.abs(np.diff(np.abs(s))).max() for half, s in at.items()}
    assert jitter[True] < 0.1 * jitter[False]


def test_spread_of_t2_prime_is_refocused_at_half_a_tr():
    t2_prime, flip = 0.02, math.radians(60)
    offsets = lorentz_offsets(t2_prime, 32)
    free = np.mean(np.cos(2 * math.pi * offsets * TE * 1e-9))  # what a free decay has lost at TE
    assert math.isclose(free, math.exp(-TE * 1e-9 / t2_prime), rel_tol=0.03)
    kept = steady(0.5, 0.3, offsets, flip) / steady(0.5, 0.3, 0.0, flip)
    assert abs(kept - 1) < 0.2 * (1 - free)
    early, late = (
        abs(steady(0.5, 0.3, offsets, flip, te)) / abs(steady(0.5, 0.3, 0, flip, te))
        for te in (100_000, 2_100_000)
    )
    assert max(early, late) < abs(kept) - 0.5 * (1 - free)  # an echo: less before it, and less after it


def cloud(count=400, regions=3) -> Spins:
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-0.18, 0.18, (2, count))
    x[: count // 2] = rng.choice(x[:12], count // 2)  # columns, and spins that stand alone
    t2 = rng.uniform(0.03, 0.3, count)
    centers = rng.uniform(-0.1, 0.1, (regions, 2))
    weight = rng.normal(size=count)
    return Spins(x, y, rng.integers(0, regions, count), weight, 5 * t2, t2, rng.normal(0, 60, count), centers)


def course(count, regions=3):
    rng = np.random.default_rng(6)
    shift = rng.normal(0, 0.01, (count, regions, 2))
    stretch = rng.uniform(0.9, 1.1, (count, regions, 2))
    field = rng.normal(0, 1, (count, 6)) * [20, 100, 100, 500, 500, 500]
    return rng.integers(-16, 16, count), shift, stretch, field


def test_line_is_the_sum_over_all_spins_where_they_are():
    spins, grid = cloud(), Grid((32, 31), (0.4, 0.38))
    ky, shift, stretch, field = course(40)
    engine = Isochromats(spins, BlochSequence(TR, TE, FLIP), grid)
    lines = engine.lines(ky, shift, stretch, field)
    # Every spin's own course, from the exact matrices, at its own place.
    kx = (np.arange(31) - 15) / 0.38
    expected = np.zeros((40, 31), complex)
    for s in range(0, 400, 9):
        r = spins.region[s]
        at = (
            spins.centers[r]
            + shift[:, r]
            + stretch[:, r] * (np.array([spins.x[s], spins.y[s]]) - spins.centers[r])
        )
        x, y = at.T
        df = spins.shift_hz[s] + (field * np.stack([x * 0 + 1, x, y, x * x, x * y, y * y], axis=1)).sum(
            axis=1
        )
        m = recursion(spins.t1_s[s], spins.t2_s[s], df, FLIP, True, 40)
        phase = np.exp(-2j * math.pi * (np.multiply.outer(x, kx) + (ky / 0.4 * y)[:, None]))
        expected += (spins.weight[s] * stretch[:, r].prod(axis=1) * m)[:, None] * phase
    few = [
        v[::9] for v in (spins.x, spins.y, spins.region, spins.weight, spins.t1_s, spins.t2_s, spins.shift_hz)
    ]
    some = Isochromats(Spins(*few, spins.centers), BlochSequence(TR, TE, FLIP), grid)
    ours = some.lines(ky, shift, stretch, field)
    assert np.abs(ours - expected).max() < 1e-12 * np.abs(spins.weight[::9]).sum()
    # and the lines of all spins are the sum of those of its parts
    rest = [
        np.delete(v, np.s_[::9])
        for v in (spins.x, spins.y, spins.region, spins.weight, spins.t1_s, spins.t2_s, spins.shift_hz)
    ]
    other = Isochromats(Spins(*rest, spins.centers), BlochSequence(TR, TE, FLIP), grid)
    assert np.allclose(lines, ours + other.lines(ky, shift, stretch, field), atol=1e-12)


def filled(shape: Ellipse, side: int) -> Spins:
    at = ((np.arange(side) + 0.5) / side - 0.5) * 0.4
    x, y = (v.ravel() for v in np.meshgrid(at, at))
    x, y = (v[shape.inside(x, y)] for v in (x, y))
    ones = np.ones(len(x))
    return Spins(
        x,
        y,
        0 * x.astype(int),
        ones * (0.4 / side) ** 2,
        1e12 * ones,
        1e12 * ones,
        0 * ones,
        np.array([shape.center]),
    )


@pytest.mark.parametrize("moving", [False, True])
def test_spins_converge_to_the_transform_of_the_ellipse(moving):
    """A grid of N x N aliases at N / FOV, where the transform has fallen as k^-3/2: energy falls as N^-3."""
    grid, sides, rows = Grid((128, 128), (0.4, 0.4)), (128, 256, 512), np.arange(-64, 64, 2)
    kx = grid.k()[0][0]
    rng = np.random.default_rng(7)
    energy, largest = np.zeros(len(sides)), 0.0
    for _ in range(3):
        shape = Ellipse(
            tuple(rng.uniform(-0.02, 0.02, 2)), tuple(rng.uniform(0.05, 0.1, 2)), rng.uniform(0, 3)
        )
        path = rng.uniform(-0.02, 0.02, (len(rows), 1, 2)) * moving
        size = 1 + rng.uniform(-0.1, 0.1, (len(rows), 1, 2)) * moving
        exact = np.empty((len(rows), 128), complex)
        for i, row in enumerate(rows):
            there = shape.stretched(*size[i, 0])
            there = Ellipse(tuple(np.add(shape.center, path[i, 0])), there.semi_axes, there.angle)
            # Without relaxation half a flip leads straight to the signal sin(a / 2) of every TR.
            exact[i] = math.sin(FLIP / 2) * there.transform(kx, np.full(128, row / 0.4))
        for n, side in enumerate(sides):
            engine = Isochromats(filled(shape, side), BlochSequence(TR, TE, FLIP), grid)
            lines = engine.lines(rows, path, size)
            error = np.sum(np.abs(lines - exact) ** 2) / np.sum(np.abs(exact) ** 2)
            energy[n] += error / 3
            largest = max(largest, error if side == 256 else 0.0)
    slope = np.polyfit(np.log(sides), np.log(energy), 1)[0]
    assert -3.7 < slope < -2.3
    assert largest < 0.004  # of the k-space energy, at 256 x 256 spins


@pytest.mark.parametrize("pieces", [[1] * 70, [7] * 10, [3, 65, 2]])
def test_bits_do_not_depend_on_how_the_run_is_cut(pieces):
    course_ = course(70)
    whole = Isochromats(cloud(), BlochSequence(TR, TE, FLIP, True, 5), Grid((32, 32), (0.4, 0.4)))
    lines = whole.lines(*course_)
    engine = Isochromats(cloud(), BlochSequence(TR, TE, FLIP, True, 5), Grid((32, 32), (0.4, 0.4)))
    start, parts = 0, []
    for count in pieces:
        parts.append(engine.lines(*(c[start : start + count] for c in course_)))
        start += count
    assert np.concatenate(parts).tobytes() == lines.tobytes()
    assert engine.magnetization.tobytes() == whole.magnetization.tobytes()
    engine.reset()
    assert engine.lines(*course_).tobytes() == lines.tobytes()


def test_bits_do_not_depend_on_the_threads():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    spins = cloud(9000)
    before, got = numba.get_num_threads(), []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            engine = Isochromats(spins, BlochSequence(TR, TE, FLIP), Grid((32, 32), (0.4, 0.4)))
            assert len(engine._blocks) > 4
            got.append(engine.lines(*course(30)).tobytes())
    finally:
        numba.set_num_threads(before)
    assert got[0] == got[1]


def test_line_returns_one_line():
    one = Isochromats(cloud(), BlochSequence(TR, TE, FLIP), ONE)
    many = Isochromats(cloud(), BlochSequence(TR, TE, FLIP), ONE)
    shift = course(2)[1]
    lines = many.lines(np.array([1, -3]), shift)
    assert np.array_equal(one.line(1, shift[0]), lines[0])
    assert np.array_equal(one.line(-3, shift[1]), lines[1])


def test_field_map_breathes():
    field = FieldMap((10, 0, 0, 0, 0, 0), (0, 0, 500, 0, 0, 0))
    assert np.array_equal(field.at(np.array([0.0, 0.01])), [[10, 0, 0, 0, 0, 0], [10, 0, 5, 0, 0, 0]])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: at_origin(-1.0, 0.1), "positive times"),
        (lambda: at_origin(math.nan, 0.1), "finite"),
        (lambda: BlochSequence(TR, TR, FLIP), "TE < TR"),
        (lambda: BlochSequence(TR, TE, 0.0), "flip"),
        (lambda: BlochSequence(TR, TE, FLIP, True, -1), "dummies"),
        (
            lambda: Isochromats(cloud(), BlochSequence(TR, TE, FLIP), ONE).line(0, np.zeros((2, 2))),
            "displacement",
        ),
        (lambda: signals(at_origin(1, 0.1), BlochSequence(TR, TE, FLIP), 2, np.zeros((2, 3))), "field_hz"),
        (lambda: FieldMap((1.0,)), "six|6"),
    ],
)
def test_wrong_input_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        wrong()
