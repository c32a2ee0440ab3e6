"""The trained opponents of the recurrent cascade: what each carries on, what it sees, and that it learns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from harness.audits.conformance import CHECKS, Candidate
from harness.cli.train import NETWORKS as OF_THE_COMMAND
from mrsim.errors import InputError
from recon.cascade.block import StatefulBlock
from recon.cascade.checkpoint import Checkpoint, load, save
from recon.cascade.engines import accelerated
from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import NETWORKS, Cascade, CascadeConfig, named_config
from recon.cascade.opponents import STATEFUL, CrnnBlock
from recon.cascade.reconstructor import OnlineCascade
from recon.cascade.state import CascadeState
from recon.cascade.unet import ConvGru
from recon.data.examples import Examples, batch_of, examples_of
from recon.fourier import to_image, to_kspace
from recon.training import recurrent
from recon.training import run as training_run
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from tests.recon.cascade.test_coils import noise, random_inputs
from tests.recon.cascade.test_recurrent import cascade_of, one_coil
from tests.recon.classical.opponents import coil_maps
from tests.recon.conftest import run, small_stream
from tests.recon.training.test_resume import interrupted, same, weights

CARRYING = ("unet-gru", "video", "crnn")
ALL = (*CARRYING, "varnet")
PLAN = TrainingPlan((Stage("coarse", 3, 5e-3), Stage("fine", 2, 1e-3)), batch=2, columns=16, seed=3)


def small(name: str, rows: int = 24, coils: int = 1, **changes) -> CascadeConfig:
    """Return a named network with few channels; one with coarse paths does not fold the few pixels."""
    named = named_config(name, rows, coils=coils)
    kind = named.stateful
    deep = kind is not None and kind.coarsest > 1
    own = {"filters": 8, "context": 8 if deep else 0, "fold": 1 if deep else 2} | changes
    return dataclasses.replace(named, **own)


def online(config: CascadeConfig, seed: int = 3, **more) -> OnlineCascade:
    return OnlineCascade(Checkpoint(cascade_of(config, seed), 1.0, {"matrix": [24, 20]}), **more)


def multiplications(cascade: Cascade, inputs: CascadeInputs) -> int:
    """Return the multiplications of the convolutions of an image in the middle of a scan."""
    counted = []

    def look(layer: nn.Conv2d, _, out: torch.Tensor) -> None:
        counted.append(out[0].numel() * layer.weight[0].numel())

    with torch.inference_mode():
        state = cascade.step(inputs, None) if cascade.config.recurrent else None
        hooks = [m.register_forward_hook(look) for m in cascade.modules() if isinstance(m, nn.Conv2d)]
        cascade(inputs) if state is None else cascade.step(inputs, state)
        for hook in hooks:
            hook.remove()
    return sum(counted)


@pytest.mark.parametrize("name", ALL)
def test_an_opponent_has_about_as_many_multiplications(name):
    inputs = random_inputs(1, 2, 128, 128, batch=1)
    own, its = (
        multiplications(Cascade(named_config(n, coils=2)).eval(), inputs) for n in ("recurrent", name)
    )
    assert 0.5 < its / own < 2


def test_the_command_knows_every_network():
    assert sorted(OF_THE_COMMAND) == sorted(NETWORKS)


@pytest.mark.parametrize("name", ALL)
def test_no_image_depends_on_a_later_line(name):
    test = small_stream(frames=30)
    later = 20 * test.header.lines_per_frame
    samples = test.samples.copy()
    samples[later:] *= -0.5
    made = online(small(name))
    true, changed = run(made, test), run(made, dataclasses.replace(test, samples=samples))
    assert len(true) == len(changed) == 30
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(true[:20], changed[:20], strict=True))
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(true[20:], changed[20:], strict=True))


@pytest.mark.parametrize("name", CARRYING)
def test_every_part_of_what_is_carried_on_changes_the_image(name):
    made, inputs = cascade_of(small(name, coils=4), 2), random_inputs(4, 4, 24, 20)
    with torch.inference_mode():
        state = made.step(random_inputs(5, 4, 24, 20), None)
        shown = made.step(inputs, state).image
        assert not torch.allclose(made(inputs), shown, atol=1e-3)
        for at, values in enumerate(state.carried):
            parts = list(state.carried)
            parts[at] = values + 1
            assert not torch.allclose(made.step(inputs, state._replace(carried=tuple(parts))).image, shown)


@pytest.mark.parametrize("name", CARRYING)
def test_the_last_image_itself_is_not_looked_at(name):
    made, inputs = cascade_of(small(name, coils=4), 2), random_inputs(4, 4, 24, 20)
    with torch.inference_mode():
        state = made.step(random_inputs(5, 4, 24, 20), None)
        other = state._replace(image=noise(1, 2, 24, 20))
        assert torch.equal(made.step(inputs, other).image, made.step(inputs, state).image)


def test_the_video_denoiser_uses_five_frames_and_no_more():
    """A line is in the shared views until its row comes again, and in the images of four more frames."""
    test = small_stream(frames=40)
    lines = test.header.lines_per_frame
    struck = 20 * lines + int(np.flatnonzero(test.ky[20 * lines : 21 * lines] != 0)[0])
    again = struck + 1 + int(np.flatnonzero(test.ky[struck + 1 :] == test.ky[struck])[0])
    replaced = again // lines  # the first frame whose shared views do not have it
    assert replaced > 21
    samples = test.samples.copy()
    samples[struck] *= -0.5
    made = online(small("video"))
    true, changed = run(made, test), run(made, dataclasses.replace(test, samples=samples))
    differs = [not np.array_equal(a.pixels, b.pixels) for a, b in zip(true, changed, strict=True)]
    assert differs == [20 <= frame < replaced + 4 for frame in range(40)]


def test_the_video_denoiser_shares_its_first_stage():
    """As published, it makes estimates of three triples with the same weights; ours makes each once."""
    made, views = cascade_of(small("video"), 4), [one_coil(seed, 24, 20, 0.4) for seed in range(5)]
    block, images = made.blocks[0], [to_image(view.shared, (-2,)) for view in views]
    with torch.inference_mode():
        state = None
        for view in views:
            state = made.step(view, state)
        estimates = [block._denoise(block.first, *images[at : at - 3 : -1]) for at in (4, 3)]
        estimates.append(block._denoise(block.first, images[2], images[1], images[0]))
        assert torch.allclose(state.image, block._denoise(block.second, *estimates), atol=1e-5)


def test_a_hidden_layer_is_the_sum_of_three_convolutions():
    """h = relu(W x + Wi h_iteration + Wt h_frame), in the second of two iterations."""
    config = small("crnn", blocks=2, convolutions=2, fold=1)
    made = cascade_of(config, 5)
    first, second = made.blocks
    assert isinstance(second, CrnnBlock)
    image, before = noise(1, 1, 24, 20)[..., None], tuple(noise(n, 2, 8, 24, 20).real[:1] for n in (2, 3))
    with torch.inference_mode():
        _, between = first(image, before)
        _, after = second(image, between)
        assert torch.equal(between[1], before[1])
        assert torch.equal(after[0], between[0])
        layer = second.hidden[0]
        own, frame, iteration = layer.weight.split([2, 8, 8], 1)
        seen = torch.view_as_real(image[..., 0]).permute(0, 3, 1, 2)
        expected = nn.functional.conv2d(seen, own, layer.bias, padding=1)
        expected = expected + nn.functional.conv2d(before[1], frame, padding=1)
        expected = expected + nn.functional.conv2d(between[0], iteration, padding=1)
    assert torch.allclose(after[1], torch.relu(expected), atol=1e-5)


def test_a_gated_unit_keeps_its_state_or_renews_it():
    """With the gate of its update shut the state stays; open, it is the new value, without a reset state."""
    unit, values, state = ConvGru(2), noise(1, 1, 2, 6, 5).real, torch.tanh(noise(2, 1, 2, 6, 5).real)
    nn.init.zeros_(unit.gates.weight)
    with torch.inference_mode():
        unit.gates.bias[:] = torch.tensor([-100.0, -100.0, 0.0, 0.0])
        assert torch.allclose(unit(values, state), state)
        unit.gates.bias[:] = torch.tensor([100.0, 100.0, -100.0, -100.0])
        alone = torch.tanh(unit.new(torch.cat([values, torch.zeros_like(state)], 1)))
        assert torch.allclose(unit(values, state), alone)
        unit.gates.bias[2:] = 100.0
        assert not torch.allclose(unit(values, state), alone, atol=1e-2)


def test_states_of_the_u_net_stay_within_bounds_whatever_comes():
    made, inputs, state = cascade_of(small("unet-gru"), 2), one_coil(4, 24, 20, 0.4), None
    huge = inputs.map(lambda v: v * 1e6 if v.is_complex() else v)
    with torch.inference_mode():
        for _ in range(4):
            state = made.step(huge, state)
    assert max(float(values.abs().max()) for values in state.carried) <= 1


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("name", ["unet-gru", "video"])
def test_a_network_without_data_consistency_sees_the_shared_views_alone(name, coils):
    """Other lines, rows that were sampled, ages and means leave every bit of its images."""
    made = cascade_of(small(name, coils=coils), 2)
    assert made.config.lam == made.weight == 0
    assert not len(made.weights)
    inputs = random_inputs(4, coils, 24, 20, batch=1) if coils > 1 else one_coil(4, 24, 20, 0.4)
    other = dataclasses.replace(
        inputs,
        mask=~inputs.mask,
        ages=inputs.ages + 1,
        mean=-inputs.mean,
        lines=None if inputs.lines is None else -inputs.lines,
    )
    with torch.inference_mode():
        state = made.step(inputs, None)
        assert torch.equal(made.step(other, state).image, made.step(inputs, state).image)


@pytest.mark.parametrize("name", ["crnn", "varnet"])
def test_with_hard_lines_every_sampled_row_is_the_acquired_one(name):
    made, inputs = cascade_of(small(name, learned=False), 6), one_coil(3, 24, 20, 0.4)
    with torch.inference_mode():
        state = made.step(one_coil(8, 24, 20, 0.4), None) if made.config.recurrent else None
        shown = made(inputs) if state is None else made.step(inputs, state).image
        soft = dataclasses.replace(made.config, lam=1.0)
        half = Cascade(soft).eval()
        half.load_state_dict(made.state_dict())
        between = half(inputs) if state is None else half.step(inputs, state).image
    rows, softer = (to_kspace(image, (-2,))[inputs.mask] for image in (shown, between))
    assert torch.allclose(rows, inputs.shared[inputs.mask], atol=1e-4)
    assert not torch.allclose(softer, inputs.shared[inputs.mask], atol=1e-2)


@pytest.mark.parametrize("name", CARRYING)
def test_a_network_at_rest_shows_what_it_starts_from(name):
    """Its last layers begin at zero: the first steps of a training begin beside a good image."""
    config = small(name, coils=4)
    made, inputs = Cascade(config).eval(), random_inputs(4, 4, 24, 20, batch=1)
    expected = to_image(inputs.shared, (-2,))
    with torch.inference_mode():
        shown = made(inputs)
        for number in range(len(made.weights)):
            expected, _ = inputs.consistent(expected, made.weights[number](inputs.ages), False)
    assert torch.allclose(shown, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "steps"), [("unet-gru", {1, 2, 4}), ("video", {1}), ("crnn", {2})], ids=CARRYING
)
def test_a_band_of_the_state_is_its_columns_at_every_resolution(name, steps):
    begun = Cascade(small(name)).blocks[0].begin(torch.zeros(1, 24, 20, dtype=torch.complex64))
    assert {20 // values.shape[-1] for values in begun} == steps
    columns = [torch.arange(0.0, 20, 20 // v.shape[-1]).expand(v.shape) for v in begun]  # of each left edge
    band = CascadeState(torch.arange(20.0).expand(1, 24, 20), tuple(columns)).band(slice(8, 16))
    for whole, values in zip([band.image, *columns], [band.image, *band.carried], strict=True):
        step = round(float(whole[..., 1].max() - whole[..., 0].max()))
        assert torch.equal(values, torch.arange(8.0, 16, step).expand(values.shape))


@pytest.mark.parametrize("name", ALL)
def test_a_band_before_the_whole_image_does_not_change_it(name):
    test, config = small_stream(frames=20), small(name)
    alone, both = run(online(config), test), run(online(config, columns=(4, 12)), test)
    assert [image.columns for image in both[:2]] == [(4, 12), None]
    whole = [image for image in both if image.columns is None]
    assert all(np.allclose(a.pixels, b.pixels, atol=1e-5) for a, b in zip(alone, whole, strict=True))
    bands = [image.pixels for image in both if image.columns is not None]
    assert bands[-1].shape == (24, 8)


def test_a_band_that_cuts_a_coarse_pixel_is_refused():
    with pytest.raises(InputError, match="each a multiple of 4"):
        run(online(small("unet-gru"), columns=(2, 12)), small_stream(frames=12))
    with pytest.raises(InputError, match=r"fold = 1, and 4 again .* does not divide the matrix of 24 x 22"):
        Cascade(small("video")).step(one_coil(1, 24, 22, 0.4), None)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("crnn", {"block": "rnn"}, "block = 'rnn': expected unet-gru, video, crnn, or nothing"),
        ("crnn", {"block": "recurrent"}, "block = 'recurrent': expected"),
        ("crnn", {"start": "previous"}, "the block 'crnn' starts from an image of the present"),
        ("crnn", {"context": 8}, "start is 'previous' or the block is 'unet-gru' or the block is 'video'"),
        ("unet-gru", {"context": 0}, "context = 0: expected 1 to 1024"),
        ("unet-gru", {"features": 4}, "features = 4: expected 1 to 1024 where the start is 'previous', e"),
        ("video", {"blocks": 2}, "blocks = 2, memory = '', innovation = false: expected 1"),
        ("video", {"memory": "mean"}, "memory = 'mean'"),
        ("video", {"innovation": True}, "innovation = true"),
        (
            "crnn", {"start": "subspace", "components": 4, "knots": 3, "columns": 20},
            "blocks that carry something on see no 'subspace'",
        ),
    ],
)  # fmt: skip
def test_impossible_configurations_are_refused(name, changes, said):
    with pytest.raises(InputError) as caught:
        small(name, **changes)
    assert said in str(caught.value)


def test_a_block_that_is_no_text_is_refused():
    with pytest.raises(InputError, match="block"):
        CascadeConfig.from_dict(small("crnn").to_dict() | {"block": ["crnn"]})


@pytest.mark.parametrize("name", ALL)
def test_weights_are_read_as_they_were_written(name, tmp_path):
    made, inputs = cascade_of(small(name, coils=4), 2), random_inputs(4, 4, 24, 20)
    save(tmp_path / "w.npz", Checkpoint(made, 2.0, {"matrix": [24, 20]}))
    again = load(tmp_path / "w.npz")
    assert again.cascade.config == made.config
    assert [type(block) for block in again.cascade.blocks] == [type(block) for block in made.blocks]
    with torch.inference_mode():
        assert torch.equal(again.cascade(inputs), made(inputs))


def test_weights_of_before_the_opponents_show_what_they_showed():
    """Three frames of noise through the shipped recurrent weights, as before there were other blocks."""
    made = load("v2-5x-8coils-recurrent").cascade
    assert made.config == named_config("recurrent", coils=8)
    frames, state = [random_inputs(seed, 8, 128, 32, batch=1) for seed in (1, 2, 3)], None
    with torch.inference_mode():
        for inputs in frames:
            state = made.step(inputs, state)
    assert torch.allclose(
        state.image[0, [3, 40, 70, 90], [5, 20, 8, 30]].abs(), torch.tensor(SHOWN), atol=1e-4
    )


SHOWN = [0.417576, 0.559387, 0.876668, 0.45219]


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_shows_nearly_the_same(name):
    test, config = small_stream(frames=20), small(name)
    exact, rounded = run(online(config), test), run(online(config, engine="bfloat16"), test)
    off = sum(np.sum(np.abs(a.pixels - b.pixels) ** 2) for a, b in zip(exact, rounded, strict=True))
    assert 0 < off < 2e-3 * sum(np.sum(np.abs(image.pixels) ** 2) for image in exact)


@pytest.mark.parametrize("name", CARRYING)
def test_other_engines_are_refused(name):
    for engine in ("int8", "cuda"):
        with pytest.raises(InputError, match="it runs no recurrent cascade; take 'eager' or 'bfloat16'"):
            accelerated(cascade_of(small(name), 1), engine)


def errors(made: Checkpoint, examples: Examples) -> tuple[float, float]:
    """Return the squared error of what a network starts from, and of what it shows, in consecutive frames."""
    cascade, state = made.cascade, None
    wrong = np.zeros(2)
    with torch.inference_mode():
        for frame in range(len(examples)):
            inputs, target = batch_of([examples], np.array([(0, frame)]), made.scale)
            start = to_image(inputs.named(cascade.config.start), (-2,))
            if cascade.config.recurrent:
                state = cascade.step(inputs, state)
            shown = cascade(inputs) if state is None else state.image
            wrong += [float((image - target).abs().square().sum()) for image in (start, shown)]
    return wrong[0], wrong[1]


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("name", ALL)
def test_it_learns(name, coils):
    """Its error in the frames of a tiny scan falls below that of what it starts from."""
    config = small(name, 32, coils, fold=2)
    maps = coil_maps(coils, 32, 32) if coils > 1 else None
    scan = small_stream(40, 32, 32, lines=8, noise=0.01, seed=5, maps=maps)
    stages = (Stage("coarse", 16, 4e-3), Stage("fine", 4, 1e-3))
    plan = TrainingPlan(stages, batch=4 if name == "varnet" else 1, columns=32, seed=3)
    made = train_cascade([scan], config, plan)
    examples = examples_of(scan)
    start, shown = errors(made, examples.part(slice(0, round(len(examples) * (1 - plan.validation)))))
    assert shown < 0.95 * start
    assert made.record["silent_blocks"] == []


@pytest.mark.parametrize("name", ALL)
def test_a_training_that_is_killed_goes_on_to_the_same_weights(name, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(recurrent, "WALK", 8)
    scans, config = [small_stream(frames=30, seed=5)], small(name)
    straight = train_cascade(scans, config, PLAN)
    interrupted(scans, tmp_path / "s", 8, config=config, plan=PLAN)
    steps = []
    resumed = train_cascade(scans, config, PLAN, state=tmp_path / "s", progress=steps.append)
    assert same(weights(resumed), weights(straight))
    assert 0 < len(steps) < steps[-1].total


@pytest.fixture(scope="module", params=CARRYING)
def candidate(request):
    torch.manual_seed(3)
    made = Cascade(small(request.param)).eval()
    with torch.no_grad():
        for value in made.parameters():  # beside rest, so that it shows anatomy, but with a past that counts
            value += 0.01 * torch.randn_like(value)
    weights_near_rest = Checkpoint(made, 1.0, {"matrix": [24, 20]})
    return Candidate(request.param, lambda: OnlineCascade(weights_near_rest), small_stream(24, seed=9))


@pytest.mark.parametrize("check", CHECKS, ids=repr)
def test_it_conforms(check, candidate):
    check(candidate)


def test_every_stateful_block_says_what_is_asked_of_it():
    for kind in STATEFUL.values():
        for duty in ("begin", "layers", "forward"):
            assert getattr(kind, duty) is not getattr(StatefulBlock, duty)
