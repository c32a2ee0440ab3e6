"""The subspace of an anatomy: the estimate, its prior and what happens outside of it."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest
import torch

from mrsim.errors import InputError
from recon.cascade import checkpoint
from recon.cascade.network import Cascade, CascadeInputs, named_config
from recon.cascade.reconstructor import OnlineCascade
from recon.classical.zero_filled import ViewSharing
from recon.data.augmentation import Augmentation
from recon.data.examples import batch_of, examples_of
from recon.fourier import to_image, to_kspace
from recon.subspace.subspace import EXPLAINED_MISFIT, Subspace
from recon.training.plan import Stage, TrainingPlan
from recon.training.subspace import learn_subspace
from recon.training.train import train_cascade
from recon.training.wanted import squared_error
from tests.recon.conftest import blob, run, small_stream

FRAME_S = 8 * 2.2e-3
NY, NX = 24, 20


@pytest.fixture(scope="module")
def learnt():
    return learn_subspace([examples_of(small_stream(frames=160, seed=5))], 8, 6, FRAME_S, 1.0)


def estimates(subspace, examples):
    kspace, _ = subspace(torch.from_numpy(examples.ages) * FRAME_S, torch.from_numpy(examples.shared))
    return to_image(kspace, (-2,)).numpy()


def relative(images, truth):
    return float(np.mean(np.sum(np.abs(images - truth) ** 2, (1, 2)) / np.sum(np.abs(truth) ** 2, (1, 2))))


def test_the_estimate_of_a_scan_never_seen_is_far_better_than_its_lines(learnt):
    unseen = examples_of(small_stream(frames=60, seed=77))
    shared = to_image(unseen.shared, (-2,))
    assert relative(estimates(learnt, unseen), unseen.target) < 0.05 * relative(shared, unseen.target)


def kron(weights, components):
    return torch.kron(weights.contiguous()[None], components.double().T.contiguous())


def test_the_state_is_the_posterior_mean(learnt):
    """Against the textbook formula, with every sample of every used row written out."""
    examples = examples_of(small_stream(frames=40, seed=9)).part(slice(20, 22))
    ages_s = torch.from_numpy(examples.ages) * FRAME_S
    state, _, _ = learnt.fit(ages_s, torch.from_numpy(examples.shared))
    used, weights = learnt.knot_weights(ages_s)
    mean, basis, _ = learnt.hybrid()
    prior = (learnt.prior_root @ learnt.prior_root.T).double()
    for f in range(2):
        rows = torch.nonzero(used[f]).flatten()
        seen = torch.cat([kron(weights[:, f, r], basis[:, r].reshape(learnt.components, -1)) for r in rows])
        lines = torch.view_as_real(torch.from_numpy(examples.shared[f])) - mean
        innovation = torch.cat([lines[r].reshape(-1).double() for r in rows])
        left = innovation - seen @ state[f]
        noise = max(float(learnt.noise_variance), float(left.square().mean()))
        gain = prior @ seen.T @ torch.linalg.inv(seen @ prior @ seen.T + noise * torch.eye(len(innovation)))
        assert torch.allclose(gain @ innovation, state[f], rtol=2e-2, atol=2e-3 * float(state[f].abs().max()))


def test_between_knots_a_parabola_is_met_exactly():
    subspace = Subspace((NY, NX), 2, 6)
    subspace.knot_spacing_s.fill_(0.05)
    ages_s = torch.linspace(0, 0.3, NY)[None]
    used, weights = subspace.knot_weights(ages_s)
    assert torch.equal(used[0] > 0, ages_s[0] <= 0.25 + 1e-6)
    at = -0.05 * torch.arange(6, dtype=torch.float64)
    path = 1.0 + 3.0 * at - 40.0 * at**2
    wanted = 1.0 - 3.0 * ages_s[0].double() - 40.0 * ages_s[0].double() ** 2
    assert torch.allclose(path @ weights[:, 0], wanted * used[0], atol=1e-6)


def test_the_lines_times_matter(learnt):
    """Were all lines taken for lines of the last instant, the estimate would run late."""
    unseen = examples_of(small_stream(frames=60, seed=77))
    timeless = dataclasses.replace(unseen, ages=unseen.ages * 0)
    assert relative(estimates(learnt, unseen), unseen.target) < 0.3 * relative(
        estimates(learnt, timeless), unseen.target
    )


def test_what_was_never_seen_falls_back_on_the_newest_lines(learnt):
    """A body that lies elsewhere is not drawn where the training time had it."""
    strange = torch.from_numpy(np.rot90(blob(NX, NY, 3.0), 1).copy()[:NY, :NX])[None]
    lines = to_kspace(strange, (-2,))
    shown = to_image(learnt(torch.zeros(1, NY), lines)[0], (-2,))
    assert float((shown - strange).abs().square().sum() / strange.abs().square().sum()) < 1e-3


def test_a_training_with_a_subspace_survives_its_file_and_beats_view_sharing(tmp_path):
    config = dataclasses.replace(named_config("compact", NY, NX), blocks=1, convolutions=2, filters=4)
    plan = TrainingPlan((Stage("coarse", 2, 1e-3),), columns=16, seed=1, balanced=True)
    result = train_cascade([small_stream(frames=120, seed=5)], config, plan)
    assert result.cascade.config.components <= 20
    checkpoint.save(tmp_path / "w.npz", result)
    test = small_stream(frames=40, seed=77)
    ours, read, shared = (
        np.stack([i.pixels for i in run(r, test)[12:]])
        for r in (OnlineCascade(result), OnlineCascade(tmp_path / "w.npz"), ViewSharing())
    )
    assert np.array_equal(ours, read)
    assert relative(ours, test.truth.image[12:]) < 0.2 * relative(shared, test.truth.image[12:])


def test_an_untrained_cascade_starts_from_the_subspace(learnt):
    """Its blocks add nothing yet, and without lambda the lines change nothing."""
    config = dataclasses.replace(
        named_config("compact", NY, NX),
        components=learnt.components,
        knots=6,
        positions=0,
        lam=0.0,
        learned=False,
    )
    cascade = Cascade(config)
    cascade.subspace.load_state_dict(learnt.state_dict())
    examples = examples_of(small_stream(frames=30, seed=9)).part(slice(10, 12))
    from recon.data.examples import batch_of

    inputs, _ = batch_of([examples], np.array([[0, 0], [0, 1]]), 1.0)
    with torch.no_grad():
        shown = cascade(cascade.prepare(inputs, FRAME_S)).numpy()
    assert np.allclose(shown, estimates(learnt, examples), atol=1e-5)


def test_a_subspace_that_cannot_be_learnt_is_refused():
    examples = examples_of(small_stream(frames=30))
    with pytest.raises(InputError, match="training frames"):
        learn_subspace([examples], 20, 6, FRAME_S, 1.0)
    with pytest.raises(InputError, match="knots"):
        learn_subspace([examples], 4, 2, FRAME_S, 1.0)
    with pytest.raises(InputError, match="components"):
        dataclasses.replace(named_config("compact", NY, NX), components=0)
    with pytest.raises(InputError, match="columns"):
        train_cascade([small_stream(frames=60)], named_config("compact", NY, 16))


@pytest.mark.parametrize("nx", [24, 96])
def test_more_noise_does_not_count_as_other_anatomy(nx: int):
    """The air beside the body shows the noise, little air as well: known anatomy is still explained."""
    wide = {"nx": nx, "lines": 8}
    learnt = learn_subspace([examples_of(small_stream(frames=160, seed=5, **wide))], 8, 6, FRAME_S, 1.0)
    noisy = examples_of(small_stream(frames=40, seed=9, noise=0.06, **wide)).part(slice(8, None))
    ages_s, lines = torch.from_numpy(noisy.ages) * FRAME_S, torch.from_numpy(noisy.shared)
    _, _, misfit = learnt.fit(ages_s, lines)
    assert misfit.median() == pytest.approx(1.0, abs=0.15)
    ramp = torch.polar(torch.ones(NY), -2 * torch.pi * 6 / NY * (torch.arange(NY) - NY // 2))
    other = lines * ramp[:, None]  # the body 6 rows further, with the same noise
    assert learnt.fit(ages_s, other)[2].min() > 1.4


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "without numba"])
def test_blocks_are_left_out_only_where_they_have_nothing_to_mend(compiled, monkeypatch):
    config = dataclasses.replace(named_config("compact", NY, NX), blocks=1, convolutions=2, filters=4)
    result = train_cascade(
        [small_stream(frames=160, seed=5)], config, TrainingPlan((Stage("coarse", 1, 1e-3),), columns=16)
    )
    cascade = result.cascade
    for block in cascade.blocks:  # a block that cannot be overlooked
        torch.nn.init.constant_(block.convolutions[-1].bias, 0.5)
    test = small_stream(frames=40, seed=77)
    examples = examples_of(test)
    inputs = CascadeInputs(
        *(torch.from_numpy(getattr(examples, k)) for k in ("mask", "ages")),
        torch.from_numpy(examples.shared) / np.float32(result.scale),
        torch.from_numpy(examples.mean),
    )
    with torch.no_grad():
        prepared = cascade.prepare(inputs, FRAME_S)
        estimate = to_image(prepared.subspace, (-2,)).numpy() * result.scale
    if not compiled:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        monkeypatch.setitem(sys.modules, "recon.subspace.tracker", None)
    images = run(OnlineCascade(result, columns=(4, 12)), test)[-2 * len(examples) :]
    assert [i.columns for i in images[:2]] == [(4, 12), None]
    bands, shown = (np.stack([i.pixels for i in images[start::2]]) for start in (0, 1))
    alike = np.abs(shown - estimate).max((1, 2)) < 1e-3 * np.abs(estimate).max()
    assert np.array_equal(alike, prepared.misfit.numpy() < EXPLAINED_MISFIT)
    assert alike.any()
    assert not alike.all()
    assert bands[alike] == pytest.approx(shown[alike][:, :, 4:12], abs=1e-6 * float(np.abs(estimate).max()))


def test_weights_that_aim_elsewhere_are_no_start_for_a_subspace():
    """The map to the instant that is shown is learnt with the subspace, and would be kept unseen."""
    config = dataclasses.replace(named_config("compact", NY, NX), blocks=1, convolutions=2, filters=4)
    plan = TrainingPlan((Stage("coarse", 1, 1e-3),), columns=16)
    scans = [small_stream(frames=120, seed=5)]
    first = train_cascade(scans, config, plan)
    ahead = dataclasses.replace(plan, target_instant="last+50")
    with pytest.raises(InputError, match=r"aim at 'last', and so would their subspace, not at 'last\+50'"):
        train_cascade(scans, first.cascade.config, ahead, first=first)
    assert train_cascade(scans, first.cascade.config, plan, first=first).record["target_instant"] == "last"


def test_a_block_that_adds_the_same_to_every_image_is_named():
    config = dataclasses.replace(named_config("compact", NY, NX), blocks=2, convolutions=3, filters=4)
    plan = TrainingPlan((Stage("coarse", 1, 1e-4),), columns=16)
    born = train_cascade([small_stream(frames=160, seed=5)], config, plan)
    assert born.record["silent_blocks"] == []
    deaf = born.cascade.blocks[1].convolutions[1]
    torch.nn.init.constant_(deaf.bias, -100.0)
    again = train_cascade([small_stream(frames=160, seed=5)], born.cascade.config, plan, first=born)
    assert again.record["silent_blocks"] == [1]


def test_blocks_learn_to_mend_what_the_subspace_does_not_explain():
    """Of the patients' first recipe every block fell silent; what they were to mend was left as it was."""
    config = dataclasses.replace(named_config("compact", NY, NX), blocks=1, convolutions=3, filters=8)
    plan = TrainingPlan(
        (Stage("coarse", 16, 3e-3),), columns=20, balanced=True, augmentation=Augmentation(3.0, 2.0)
    )
    stream = small_stream(frames=160, seed=5)
    trained = train_cascade([stream], config, plan)
    assert trained.record["silent_blocks"] == []
    examples = examples_of(small_stream(frames=40, seed=77)).part(slice(8, None))
    inputs, target = batch_of([examples], np.array([(0, n) for n in range(len(examples))]), trained.scale)
    moved, target = Augmentation(3.0, 2.0, 1.0)(inputs, target, np.random.default_rng(0))
    cascade = trained.cascade
    with torch.no_grad():
        shown = cascade(cascade.prepare(moved, FRAME_S))
        for block in cascade.blocks:
            block.begin_at_zero()
        start = cascade(cascade.prepare(moved, FRAME_S))
    assert squared_error(shown, target).mean() < 0.95 * squared_error(start, target).mean()
