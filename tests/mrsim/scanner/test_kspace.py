"""The line kernels: still, shifting and deforming regions give the same k-space, each line for itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import InputError
from mrsim.kernels.grid import Grid
from mrsim.scanner.render import Renderer

COUNT = 4
KINDS = ("still", "shifting", "deforming")


def bodies(seed: int = 3) -> list[Ellipse]:
    rng = np.random.default_rng(seed)
    return [
        Ellipse(tuple(rng.uniform(-0.1, 0.1, 2)), tuple(rng.uniform(0.01, 0.06, 2)), rng.uniform(0, 3))
        for _ in range(COUNT)
    ]


CONTRAST = np.array([1.0, -0.4 + 0.2j, 0.3j, 2.0])


class Bench:
    """Render the bodies with some of them still, shifting or deforming."""

    def __init__(self, grid: Grid, kinds: list[str], contrast: np.ndarray = CONTRAST) -> None:
        self.shapes = bodies()
        of = np.array(kinds)
        self.renderer = Renderer(grid, self.shapes, contrast, of != "still", of == "deforming")
        self.axes = np.array([self.shapes[i].axes for i in self.renderer.deforming]).reshape(-1, 2, 2)
        self.centers = np.array([s.center for s in self.shapes])

    def lines(self, ky: np.ndarray) -> np.ndarray:
        n = len(ky)
        return self.renderer.render(
            ky.astype(np.int32),
            np.broadcast_to(self.centers, (n, COUNT, 2)),
            np.broadcast_to(self.axes, (n, *self.axes.shape)),
        )


def rows(grid: Grid) -> np.ndarray:
    return np.arange(grid.matrix[0]) - grid.matrix[0] // 2


grids = st.builds(
    Grid,
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.floats(0.25, 0.5), st.floats(0.25, 0.5)),
)


@given(grids, st.lists(st.sampled_from(KINDS), min_size=COUNT, max_size=COUNT))
def test_every_way_to_render_gives_the_sum_of_the_closed_forms(grid: Grid, kinds: list[str]) -> None:
    kx, ky = grid.k()
    expected = grid.scale * sum(c * s.transform(kx, ky) for c, s in zip(CONTRAST, bodies(), strict=True))
    got = Bench(grid, kinds).lines(rows(grid))
    assert got.shape == grid.matrix
    assert np.abs(got - expected).max() < 1e-12 * np.abs(expected).max()


@settings(max_examples=30)
@given(grids, st.lists(st.sampled_from(KINDS), min_size=COUNT, max_size=COUNT), st.randoms())
def test_a_line_is_the_same_bits_alone_and_in_any_company(grid: Grid, kinds: list[str], random) -> None:
    bench = Bench(grid, kinds)
    order = rows(grid)
    random.shuffle(order)
    together = bench.lines(order)
    for i in random.sample(range(len(order)), min(5, len(order))):
        assert bench.lines(order[i : i + 1]).tobytes() == together[i : i + 1].tobytes()


def test_a_form_that_is_stored_and_one_that_is_evaluated_anew_agree_where_they_stand() -> None:
    grid = Grid((32, 33), (0.4, 0.3))
    shifting, deforming = (Bench(grid, [kind] * COUNT).lines(rows(grid)) for kind in KINDS[1:])
    assert np.abs(shifting - deforming).max() < 1e-13 * np.abs(shifting).max()


def test_it_is_linear_in_the_contrast() -> None:
    grid, other = Grid((16, 20), (0.4, 0.3)), np.array([0.2j, 1.0, -1.0, 0.5])
    a, b, both = (
        Bench(grid, ["still", "shifting", "deforming", "shifting"], contrast).lines(rows(grid))
        for contrast in (CONTRAST, other, 2 * CONTRAST - 3j * other)
    )
    assert np.abs(both - (2 * a - 3j * b)).max() < 1e-12 * np.abs(both).max()


def test_real_contrast_gives_hermitian_k_space() -> None:
    grid = Grid((17, 21), (0.4, 0.3))  # odd sizes: every sample has its mirror image
    kspace = Bench(grid, ["shifting"] * COUNT, np.array([1.0, -0.5, 0.2, 2.0])).lines(rows(grid))
    assert np.abs(kspace - kspace[::-1, ::-1].conj()).max() < 1e-12 * np.abs(kspace).max()


def test_the_scale_makes_pixels_of_the_density() -> None:
    # A body that fills the field of view has, at k = 0, the sum of its pixels over sqrt(ny nx).
    grid = Grid((8, 12), (0.4, 0.3))
    assert grid.scale * 0.4 * 0.3 == pytest.approx(8 * 12 / np.sqrt(8 * 12))


def test_the_grid_is_centred_as_the_conventions_say() -> None:
    grid = Grid((4, 5), (0.4, 0.5))
    kx, ky = grid.k()
    x, y = grid.pixels()
    assert kx.ravel().tolist() == pytest.approx([-4, -2, 0, 2, 4])
    assert ky.ravel().tolist() == pytest.approx([-5, -2.5, 0, 2.5])
    assert x.ravel().tolist() == pytest.approx([-0.2, -0.1, 0, 0.1, 0.2])
    assert y.ravel().tolist() == pytest.approx([-0.2, -0.1, 0, 0.1])
    assert (kx.shape, ky.shape, x.shape, y.shape) == ((1, 5), (4, 1), (1, 5), (4, 1))


def test_tables_that_would_fill_the_memory_are_refused_before_they_are_made() -> None:
    grid, many = Grid((4096, 4096), (0.4, 0.4)), 64
    shapes, every = [bodies()[0]] * many, np.ones(many, np.bool_)
    with pytest.raises(InputError, match="64 moving regions needs 8448 MiB"):
        Renderer(grid, shapes, np.ones(many, np.complex128), every, ~every)
