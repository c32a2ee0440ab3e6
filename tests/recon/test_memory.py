"""What a reconstructor remembers, against sums done by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recon.fourier import to_image
from recon.line_memory import MEAN_VISITS, NEVER, LineMemory
from tests.recon.conftest import small_stream


def test_columns_after_every_frame(stream):
    memory = LineMemory(stream.header)
    for readout in stream:
        complete = memory.push(readout)
        assert complete == ((readout.index + 1) % stream.header.lines_per_frame == 0)
        if not complete:
            continue
        past = [r for r in stream if r.index <= readout.index]
        now = {r.ky + 12 for r in past if r.frame == readout.frame}
        assert set(np.flatnonzero(memory.mask)) == now
        for row in range(24):
            lines = [r for r in past if r.ky + 12 == row]
            if not lines:
                assert memory.newest[row] == -1
                assert not memory.shared[0, row].any()
                continue
            newest = to_image(lines[-1].samples, (-1,))
            assert memory.newest[row] == lines[-1].index
            assert np.allclose(memory.shared[:, row], newest, atol=1e-6)
            assert np.allclose(memory.acquired[:, row], newest if row in now else 0, atol=1e-6)


def test_mean_is_the_plain_mean_at_first_and_forgets_later():
    stream = small_stream(frames=3 * MEAN_VISITS)
    memory, values, follow = LineMemory(stream.header), [], None
    for readout in stream:
        complete = memory.push(readout)
        if readout.ky == 0:
            line = to_image(readout.samples, (-1,))[0]
            values.append(line)
            if len(values) <= MEAN_VISITS:
                follow = np.mean(values, axis=0)
            else:
                follow = follow + (line - follow) / MEAN_VISITS
        if complete:
            assert np.allclose(memory.mean[0, 12], follow, atol=1e-5)


def test_a_frame_whose_last_line_never_came_still_leaves_its_lines_behind(stream):
    """Lines that wait for a transform when the next frame begins are remembered, and not of that frame."""
    memory = LineMemory(stream.header)
    lost = 3 * stream.header.lines_per_frame - 1
    for readout in list(stream)[: lost + 1 + stream.header.lines_per_frame]:
        if readout.index != lost:
            memory.push(readout)
    row = int(stream.ky[lost - 1]) + 12
    later = [i for i in range(lost + 1, lost + 1 + 8) if stream.ky[i] + 12 == row]
    newest = later[-1] if later else lost - 1
    assert memory.newest[row] == newest
    assert np.allclose(memory.shared[:, row], to_image(stream.samples[newest], (-1,)), atol=1e-6)
    assert set(np.flatnonzero(memory.mask)) == {int(k) + 12 for k in stream.ky[lost + 1 : lost + 9]}


def test_ages_count_frames_since_a_row_was_taken(stream):
    memory = LineMemory(stream.header)
    for readout in stream:
        memory.push(readout)
    last = len(stream) - 1
    for row in range(24):
        taken = np.flatnonzero(stream.ky + 12 == row)[-1]
        assert memory.ages(last)[row] == np.float32((last - taken) / 8)


def test_a_row_that_has_not_come_yet_is_of_no_age(stream):
    memory, first = LineMemory(stream.header), stream.header.lines_per_frame
    for readout in list(stream)[:first]:
        memory.push(readout)
    come = np.isin(np.arange(24), stream.ky[:first] + 12)
    assert not come.all()
    assert np.array_equal(memory.ages(first - 1) == NEVER, ~come)
    assert memory.ages(first - 1)[come].max() < 1


def test_of_a_row_that_comes_twice_the_later_line_stays(stream):
    memory = LineMemory(stream.header)
    first, second = stream.readout(0), dataclasses.replace(stream.readout(1), ky=int(stream.ky[0]))
    memory.push(first)
    memory.push(second)
    for readout in list(stream)[2:8]:
        if readout.ky != first.ky:
            memory.push(readout)
    row = first.ky + 12
    assert memory.newest[row] == second.index
    assert np.allclose(memory.shared[:, row], to_image(second.samples, (-1,)), atol=1e-6)
    both = (to_image(first.samples, (-1,)) + to_image(second.samples, (-1,))) / 2
    assert np.allclose(memory.mean[:, row], both, atol=1e-6)


def test_a_spike_stays_out_of_the_mean_and_a_larger_scan_does_not(stream):
    """One line a hundred times as large is left out; two in turn are what the row now is."""
    row = int(stream.ky[0]) + stream.header.matrix[0] // 2
    own = dataclasses.replace(stream.readout(0), frame=0)

    def mean_after(*sizes):
        memory = LineMemory(stream.header)
        for size in sizes:
            memory.push(dataclasses.replace(own, samples=own.samples * np.float32(size)))
            memory._take()
        return np.abs(memory.mean[:, row]).max() / np.abs(to_image(own.samples, (-1,))).max()

    assert mean_after(1, 1, 1, 100, 1) == pytest.approx(1, rel=1e-5)
    assert mean_after(1, 1, 1, 9, 1) == pytest.approx(13 / 5, rel=1e-5)
    assert mean_after(1, 1, 100, 100, 100) == pytest.approx(202 / 4, rel=1e-5)
    assert mean_after(100, 1, 1) == pytest.approx(1, rel=1e-4)
    assert mean_after(1, 100, 1) == pytest.approx(1, rel=1e-4)


def test_a_spike_counts_as_lost_where_it_is_not_to_be_kept(stream):
    """The row keeps the line before it, and its age; the second in turn is what the row now is."""
    row, own = int(stream.ky[0]) + stream.header.matrix[0] // 2, stream.readout(0)
    usual = to_image(own.samples, (-1,))

    def after(*sizes, spikes):
        memory = LineMemory(stream.header, spikes=spikes)
        for n, size in enumerate(sizes):
            memory.push(dataclasses.replace(own, index=n, frame=n, samples=own.samples * np.float32(size)))
            memory._take()
        share = np.abs(memory.shared[:, row]).max() / np.abs(usual).max()
        return pytest.approx(share, rel=1e-5), bool(memory.mask[row]), int(memory.newest[row])

    assert after(1, 1, 1, 100, spikes=True) == (100, True, 3)
    assert after(1, 1, 1, 100, spikes=False) == (1, False, 2)
    assert after(1, 1, 1, 100, 100, spikes=False) == (100, True, 4)


def test_a_spike_that_was_taken_for_a_line_is_told_when_its_row_comes_again(stream):
    own, memory = dataclasses.replace(stream.readout(0), frame=0), LineMemory(stream.header)
    told = []
    for size in (100, 1, 1, 1):
        memory.push(dataclasses.replace(own, samples=own.samples * np.float32(size)))
        memory._take()
        told.append(memory.mistaken)
    assert told == [0, 1, 1, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, complex(0, np.inf), complex(1e38, -1e38)])
@pytest.mark.parametrize("lost", [(), (1, 2, 3, 4, 5, 6, 7)])
def test_a_line_that_is_not_finite_leaves_no_trace_and_no_warning(stream, value, lost):
    """It is as if it had never come, and of a frame of nothing else nothing is left; warnings are errors."""
    memory, other = LineMemory(stream.header), LineMemory(stream.header)
    bad = {3 * 8, *(3 * 8 + n for n in lost)}
    for readout in list(stream)[: 4 * 8]:
        if readout.index in bad:
            samples = readout.samples.copy()
            samples[0, 5] = value
            memory.push(dataclasses.replace(readout, samples=samples))
        else:
            memory.push(readout)
            other.push(readout)
    if lost:  # a memory that saw nothing of the frame still shows the one before
        assert not memory.mask.any()
    else:
        assert np.array_equal(memory.mask, other.mask)
        assert np.array_equal(memory.acquired, other.acquired)
    for name in ("shared", "mean", "newest"):
        assert np.array_equal(getattr(memory, name), getattr(other, name))
