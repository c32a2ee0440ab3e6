"""The estimate made while lines arrive is that of all lines at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon.data.examples import examples_of
from recon.fourier import to_kspace
from recon.line_memory import LineMemory
from recon.subspace.subspace import Subspace, side_by_side
from recon.subspace.tracker import Tracker
from recon.training.subspace import learn_subspace
from tests.recon.classical.opponents import coil_maps
from tests.recon.conftest import small_stream

SCALE = 3.0


def subspace_of(
    seed: int,
    matrix: tuple[int, int] = (12, 10),
    components: int = 3,
    knots: int = 5,
    positions: int = 0,
    apart: float = 5.0,
    coils: int = 1,
) -> Subspace:
    """Return a subspace of random numbers: what holds for it holds for any."""
    made, rng = Subspace(matrix, components, knots, positions, coils), np.random.default_rng(seed)

    def fill(buffer: torch.Tensor, size: float) -> None:
        buffer.copy_(torch.from_numpy(size * rng.normal(size=tuple(buffer.shape))))

    fill(made.mean, 1.0)
    fill(made.basis, 0.1)
    fill(made.prior_root, 1.0)
    fill(made.prediction, 0.5)
    made.noise_variance.fill_(float(rng.uniform(1e-3, 1e-1)))
    made.knot_spacing_s.fill_(8 * 2.2e-3)
    if coils > 1:
        fill(made.waves, 0.3)
    if positions:
        fill(made.positions, apart)
        made.kernel_root.copy_(torch.eye(components) + 0.3 * torch.ones(components, components).tril(-1))
        made.prediction_covariance.copy_(0.1 * made.kernel_root @ made.kernel_root.T)
    made.forget()
    return made


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_line_by_line_it_is_the_fit_of_all_lines_at_once(seed: int, coils: int) -> None:
    """At every frame's end, in any subspace, whatever came before."""
    maps = coil_maps(coils, 24, 20) if coils > 1 else None
    stream = small_stream(frames=14, seed=seed, noise=0.3 if seed % 2 else 0.02, maps=maps)
    header, subspace = stream.header, subspace_of(seed, stream.header.matrix, coils=coils)
    tr_s = header.tr_ns / 1e9
    memory, tracker, misfits = LineMemory(header, mean=False), Tracker(subspace, SCALE, tr_s), []
    for readout in stream:
        complete = memory.push(readout)
        tracker.follow(memory)
        if not complete:
            continue
        found = tracker.estimate(readout.index)
        ages_s = torch.from_numpy(memory.ages(readout.index))[None] * (header.lines_per_frame * tr_s)
        lines = torch.from_numpy(memory.shared / np.float32(SCALE))
        state, _, misfit = subspace.fit(ages_s, side_by_side(lines[None]))
        assert found.misfit == pytest.approx(float(misfit), rel=1e-3)
        misfits.append(found.misfit)
        position = (subspace.prediction.double() @ torch.cat([state[0], torch.ones(1).double()])).float()
        assert torch.allclose(found.position, position, rtol=1e-3, atol=1e-3 * float(position.abs().max()))
        image = torch.view_as_complex(torch.einsum("k,kyxc->yxc", position, subspace.basis) + subspace.mean)
        kspace, wanted = to_kspace(image, (-2,)), image.numpy() * SCALE
        assert np.abs(tracker.image(found) - wanted).max() < 1e-3 * np.abs(wanted).max()
        assert np.abs(tracker.hybrid(found)[0].numpy() - kspace.numpy()).max() < 1e-3 * float(
            kspace.abs().max()
        )
    assert len(misfits) == 14


@pytest.mark.parametrize(
    ("components", "positions", "apart"),
    [(1, 40, 5.0), (5, 600, 5.0), (8, 256, 5.0), (11, 257, 5.0), (3, 9, 5e3)],
)
def test_line_by_line_known_positions_correct_as_for_all_lines_at_once(
    components: int, positions: int, apart: float
) -> None:
    """Whatever their number, as many as are compared at a time, fewer and more; and however far they are."""
    stream = small_stream(frames=14, seed=positions, noise=0.3)
    header = stream.header
    subspace = subspace_of(positions, header.matrix, components, positions=positions, apart=apart)
    tr_s = header.tr_ns / 1e9
    memory, tracker = LineMemory(header, mean=False), Tracker(subspace, SCALE, tr_s)
    moved = []
    for readout in stream:
        if not memory.push(readout):
            continue
        tracker.follow(memory)
        ages_s = torch.from_numpy(memory.ages(readout.index))[None] * (header.lines_per_frame * tr_s)
        state, covariance, misfit = subspace.fit(ages_s, torch.from_numpy(memory.shared / np.float32(SCALE)))
        wide = (subspace.prediction.double() @ torch.cat([state[0], torch.ones(1).double()])).numpy()
        known = subspace.known_positions()
        assert known is not None
        wanted = known.posterior_mean(wide, covariance[0].numpy())
        found = tracker.estimate(readout.index)
        assert found.misfit == pytest.approx(float(misfit), rel=1e-3)
        size = np.abs(wanted).max()
        assert found.position.numpy() == pytest.approx(wanted, rel=1e-3, abs=1e-3 * size)
        moved.append(np.abs(wanted - wide).max() / size)
    assert (max(moved) > 0.05) == (apart < 1e3)  # else there was nothing to correct, or too much


def test_the_first_frames_lines_place_the_anatomy() -> None:
    """Rows that have not come yet say nothing: they are no zeros."""
    train, test = (small_stream(frames=n, seed=s, nx=96) for n, s in ((160, 5), (24, 77)))
    learnt = learn_subspace([examples_of(train)], 8, 6, 8 * 2.2e-3, 1.0)
    memory, tracker = LineMemory(test.header, mean=False), Tracker(learnt, 1.0, test.header.tr_ns / 1e9)
    errors, misfits = [], []
    assert test.truth is not None
    for readout in test:
        if memory.push(readout):
            tracker.follow(memory)
            found, truth = tracker.estimate(readout.index), test.truth.image[readout.frame]
            errors.append(
                float(np.square(np.abs(tracker.image(found) - truth)).sum() / np.square(np.abs(truth)).sum())
            )
            misfits.append(found.misfit)
            ages_s = torch.from_numpy(memory.ages(readout.index))[None] * (8 * 2.2e-3)
            all_at_once = learnt.fit(ages_s, torch.from_numpy(memory.shared))[2]
            assert found.misfit == pytest.approx(float(all_at_once), rel=1e-3)
    assert max(misfits[:4]) < 1.5
    assert max(errors[1:4]) < 5 * np.median(errors)


@pytest.mark.parametrize("nx", [24, 96])
def test_more_noise_does_not_count_as_other_anatomy_either(nx: int) -> None:
    stream = small_stream(frames=40, seed=9, noise=0.06, nx=nx)
    header = stream.header
    learnt = learn_subspace([examples_of(small_stream(frames=160, seed=5, nx=nx))], 8, 6, 8 * 2.2e-3, 1.0)
    memory, tracker = LineMemory(header, mean=False), Tracker(learnt, 1.0, header.tr_ns / 1e9)
    misfits = []
    for readout in stream:
        if memory.push(readout):
            tracker.follow(memory)
            misfits.append(tracker.estimate(readout.index).misfit)
    assert np.median(misfits[8:]) == pytest.approx(1.0, abs=0.15)


def test_an_image_is_never_changed_by_what_comes_later() -> None:
    """An emitted image may be looked at for as long as one likes."""
    stream = small_stream(frames=6)
    subspace = subspace_of(1, stream.header.matrix)
    memory, tracker = LineMemory(stream.header, mean=False), Tracker(subspace, SCALE, 2.2e-3)
    shown, copies = [], []
    for readout in stream:
        if memory.push(readout):
            tracker.follow(memory)
            shown.append(tracker.image(tracker.estimate(readout.index)))
            copies.append(shown[-1].copy())
    assert all(np.array_equal(a, b) for a, b in zip(shown, copies, strict=True))
    assert not np.array_equal(shown[-1], shown[-2])
