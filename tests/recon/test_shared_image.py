"""The image that is kept up to date is that of all rows transformed anew, whatever lines came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.stream import Header, Readout
from recon.fourier import to_image
from recon.memory import LineMemory
from recon.shared_image import MOST_CHANGE, SharedImage


def header(coils: int, ny: int, nx: int, lines: int) -> Header:
    return Header((ny, nx), (0.4, 0.4), 2_200_000, 1_100_000, 0.35, 3.0, coils, lines, 4.0, "test", "random")


def play(seed: int, coils: int, shape: tuple[int, int], lines: int, count: int, sizes: list[float]):
    """Follow random lines, and yield the kept and the transformed images of every frame."""
    rng, (ny, nx) = np.random.default_rng(seed), shape
    of = header(coils, ny, nx, lines)
    memory, image = LineMemory(of, mean=False), SharedImage(of)
    for index in range(count):
        values = rng.normal(size=(coils, 2 * nx)) * sizes[int(rng.integers(len(sizes)))]
        samples = values.astype(np.float32).view(np.complex64)
        row = int(rng.integers(ny))  # a row may come twice in a frame
        complete = memory.push(Readout(index, index // lines, row - ny // 2, index * 2_200_000, samples))
        image.follow(memory)
        if complete:
            yield image.images(), to_image(memory.shared, (-2,))


def apart(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**31),
    st.integers(1, 3),
    st.sampled_from([(16, 12), (15, 9), (24, 20)]),
    st.integers(1, 12),
    st.sampled_from([[1.0], [1.0, 1e-3], [1.0, float("nan")], [1.0, float("inf")]]),
)
def test_it_is_the_transform_of_the_newest_lines(seed, coils, shape, lines, sizes) -> None:
    for found, wanted in play(seed, coils, shape, lines, 30 * lines, sizes):
        assert apart(found, wanted) < 2e-6 if np.abs(wanted).max() > 0 else not found.any()


@pytest.mark.parametrize("bright", [1e6, 1e15, 1e30])
def test_a_line_that_was_far_brighter_leaves_nothing_behind(bright: float) -> None:
    seen = list(play(3, 1, (16, 12), 8, 3000, [1.0] * 100 + [bright]))
    gone = [(f, w) for f, w in seen if 0 < np.abs(w).max() < 100]
    assert 10 < len(gone) < len(seen)
    assert max(apart(f, w) for f, w in gone) < 1e-6 * MOST_CHANGE


def test_an_image_that_was_shown_does_not_change_after_it() -> None:
    shown = [(found, found.copy()) for found, _ in play(1, 1, (16, 12), 8, 400, [1.0])]
    assert all(np.array_equal(now, then) for now, then in shown)
