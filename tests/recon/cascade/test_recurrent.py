"""A cascade that carries its image on from frame to frame: what holds for any weights, and what it learns."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.audits.conformance import CHECKS, Candidate
from mrsim.errors import InputError
from recon.cascade.checkpoint import Checkpoint, load, save
from recon.cascade.engines import accelerated
from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import Cascade, CascadeConfig, named_config
from recon.cascade.reconstructor import OnlineCascade
from recon.cascade.state import CascadeState
from recon.data.examples import batch_of, examples_of
from recon.fourier import to_image, to_kspace
from recon.training import recurrent
from recon.training import run as training_run
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from tests.recon.cascade.test_coils import noise, random_inputs
from tests.recon.conftest import run, small_stream
from tests.recon.training.test_coil_training import coil_stream
from tests.recon.training.test_resume import interrupted, same, weights

SMALL = CascadeConfig(
    1, 2, 6, "previous", "view-shared+mean", math.inf, True, True, 2, 24, features=4, context=6
)
COILED = dataclasses.replace(SMALL, coils=4)
PLAN = TrainingPlan((Stage("coarse", 3, 5e-3), Stage("fine", 2, 1e-3)), batch=2, columns=16, seed=3)


def one_coil(seed: int, ny: int, nx: int, share: float) -> CascadeInputs:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(1, ny, generator=generator) < share
    shared, mean = noise(seed + 1, 1, ny, nx), noise(seed + 2, 1, ny, nx)
    return CascadeInputs(mask, 4 * torch.rand(1, ny, generator=generator), shared, mean)


def cascade_of(config: CascadeConfig, seed: int) -> Cascade:
    """Return a cascade with random weights, those of its last layers and of its lines among them."""
    torch.manual_seed(seed)
    made = Cascade(config)
    with torch.no_grad():
        for value in made.parameters():
            value += 0.1 * torch.randn_like(value)
    return made.eval()


def state_of(seed: int, batch: int, ny: int, nx: int, config: CascadeConfig) -> CascadeState:
    features = noise(seed, batch, config.features, ny // config.fold, nx // config.fold).real
    return CascadeState(noise(seed + 1, batch, ny, nx), (features.contiguous(),))


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 999), st.floats(0, 1))
def test_what_was_acquired_stands_between_prediction_and_line_and_the_rest_is_the_prediction(
    ny, nx, seed, share
):
    """For any weights, size, mask and ages: of a sampled row w of the line, and 1 - w of the prediction."""
    ny, nx = 4 * ny, 4 * nx
    config = dataclasses.replace(SMALL, rows=ny)
    made, inputs, state = cascade_of(config, seed), one_coil(seed, ny, nx, share), None
    state = state_of(seed, 1, ny, nx, config)
    with torch.inference_mode():
        shown = made.step(inputs, state).image
        unsampled = dataclasses.replace(inputs, mask=torch.zeros_like(inputs.mask))
        # The same blocks with no line to be consistent with; what they see of the lines is kept.
        kept = CascadeInputs.consistent

        def seen_with_lines(self, image, weight, innovation):
            return image, kept(inputs, image, 0.0, True)[1] if innovation else None

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CascadeInputs, "consistent", seen_with_lines)
            predicted = made.step(unsampled, state).image
        weight = made.weights[0](inputs.ages)[..., None]
    rows, expected = to_kspace(shown, (-2,)), to_kspace(predicted, (-2,))
    expected = torch.where(inputs.mask[..., None], (1 - weight) * expected + weight * inputs.shared, expected)
    assert torch.allclose(rows, expected, atol=2e-4 * float(1 + expected.abs().max()))
    assert ((weight > 0) & (weight < 1)).all()


@given(st.integers(0, 999))
def test_with_hard_lines_every_sampled_row_is_the_acquired_one(seed):
    config = dataclasses.replace(SMALL, learned=False)
    inputs = one_coil(seed, 24, 20, 0.4)
    with torch.inference_mode():
        shown = cascade_of(config, seed).step(inputs, state_of(seed, 1, 24, 20, config)).image
    rows = to_kspace(shown, (-2,))[inputs.mask]
    assert torch.allclose(rows, inputs.shared[inputs.mask], atol=1e-4)


@given(st.integers(0, 999), st.floats(0.1, 10))
def test_lines_of_another_size_come_out_in_that_size_where_the_blocks_rest(seed, size):
    """Consistency itself is linear: with blocks at rest twice the lines and twice the image give twice."""
    made = Cascade(COILED).eval()  # its last layer begins at zero
    inputs, state = random_inputs(seed, 4, 24, 20), state_of(seed, 2, 24, 20, COILED)
    larger = dataclasses.replace(
        inputs, shared=size * inputs.shared, mean=size * inputs.mean, lines=size * inputs.lines
    )
    with torch.inference_mode():
        once = made.step(inputs, state).image
        twice = made.step(larger, CascadeState(size * state.image, state.carried)).image
    assert torch.allclose(twice, size * once, atol=1e-4 * (1 + size))


@pytest.mark.parametrize("config", [SMALL, COILED], ids=["one coil", "four coils"])
def test_blocks_at_rest_move_the_last_image_towards_the_present_lines(config):
    made = Cascade(config).eval()
    inputs = one_coil(4, 24, 20, 0.4) if config.coils == 1 else random_inputs(4, 4, 24, 20, batch=1)
    state = state_of(4, 1, 24, 20, config)
    with torch.inference_mode():
        shown = made.step(inputs, state).image
        expected, _ = inputs.consistent(state.image, made.weights[0](inputs.ages), False)
    assert torch.allclose(shown, expected, atol=1e-6)
    assert not torch.allclose(shown, state.image, atol=1e-2)


def test_a_scan_begins_from_view_sharing():
    made, inputs = cascade_of(COILED, 2), random_inputs(4, 4, 24, 20)
    begun = CascadeState(to_image(inputs.shared, (-2,)), (torch.zeros(2, 4, 12, 10),))
    with torch.inference_mode():
        assert torch.equal(made(inputs), made.step(inputs, begun).image)


def test_image_and_features_are_each_carried_on():
    made, inputs = cascade_of(COILED, 2), random_inputs(4, 4, 24, 20)
    state, other = state_of(1, 2, 24, 20, COILED), state_of(9, 2, 24, 20, COILED)
    with torch.inference_mode():
        shown = made.step(inputs, state).image
        for changed in (state._replace(image=other.image), state._replace(carried=other.carried)):
            assert not torch.allclose(made.step(inputs, changed).image, shown, atol=1e-3)


def test_features_stay_within_bounds_whatever_comes():
    made, inputs = cascade_of(SMALL, 2), one_coil(4, 24, 20, 0.4)
    huge = inputs.map(lambda v: v * 1e6 if v.is_complex() else v)
    with torch.inference_mode():
        assert float(made.step(huge, None).carried[0].abs().max()) <= 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": 0}, "features = 0: expected 1 to 1024 where the start is 'previous'"),
        ({"context": 0}, "context = 0"),
        ({"start": "mean"}, "features = 4: expected 1 to 1024 where the start is 'previous', else 0"),
        ({"memory": "previous"}, "can only be the start"),
    ],
)
def test_impossible_configurations_are_refused(changes, said):
    with pytest.raises(InputError) as caught:
        dataclasses.replace(SMALL, **changes)
    assert said in str(caught.value)


def test_a_matrix_whose_folded_pixels_do_not_halve_is_refused():
    with pytest.raises(InputError, match="does not divide the matrix of 24 x 22"):
        Cascade(SMALL).step(one_coil(1, 24, 22, 0.4), None)


def test_a_configuration_without_it_is_written_as_it_always_was():
    assert not {"features", "context", "block"} & named_config("population").to_dict().keys()
    named = named_config("recurrent", 24)
    assert "block" not in named.to_dict()
    assert CascadeConfig.from_dict(named.to_dict()) == named


@pytest.fixture(scope="module")
def trained():
    scans = [coil_stream(60, seed) for seed in (5, 6)]
    plan = dataclasses.replace(PLAN, stages=(Stage("coarse", 24, 5e-3), Stage("fine", 8, 1e-3)))
    return train_cascade(scans, COILED, plan)


def error(images, examples, first):
    """Return the NMSE of images against the targets of the same frames, from the sixth on."""
    wanted = {first + at: target for at, target in enumerate(examples.target) if at > 5}
    off = sum(
        np.sum(np.abs(image.pixels - wanted[image.frame]) ** 2) for image in images if image.frame in wanted
    )
    return float(off / sum(np.sum(np.abs(target) ** 2) for target in wanted.values()))


def test_it_beats_view_sharing_in_a_scan_that_it_never_saw(trained):
    test = coil_stream(60, 8)
    examples = examples_of(test)
    first = test.frames - len(examples)
    shown = error(run(OnlineCascade(trained), test), examples, first)
    shared = to_image(torch.from_numpy(examples.shared), (-2,)).numpy()
    late = np.sum(np.abs(shared[6:] - examples.target[6:]) ** 2) / np.sum(np.abs(examples.target[6:]) ** 2)
    assert shown < 0.7 * late


@pytest.mark.parametrize("what", ["image", "features", "innovation", "view-shared"])
def test_each_part_is_worth_something(what, trained, monkeypatch):
    """Without the image, the features, the innovation or the shared views the error grows."""
    test = coil_stream(60, 8)
    examples = examples_of(test)
    first = test.frames - len(examples)
    whole = error(run(OnlineCascade(trained), test), examples, first)
    step, consistent, named = Cascade.step, CascadeInputs.consistent, CascadeInputs.named

    def without(self, inputs, state):
        if state is not None and what == "image":
            state = state._replace(image=to_image(inputs.shared, (-2,)))
        if state is not None and what == "features":
            state = state._replace(carried=(torch.zeros_like(state.carried[0]),))
        return step(self, inputs, state)

    def unmoved(self, image, weight, innovation):
        kept, found = consistent(self, image, weight, innovation)
        return kept, None if found is None else torch.zeros_like(found)

    monkeypatch.setattr(Cascade, "step", without)
    if what == "innovation":
        monkeypatch.setattr(CascadeInputs, "consistent", unmoved)
    if what == "view-shared":
        monkeypatch.setattr(CascadeInputs, "named", lambda self, name: named(self, "mean"))
    assert error(run(OnlineCascade(trained), test), examples, first) > 1.05 * whole


def test_in_the_stream_it_carries_on_what_it_was_trained_to_carry_on(trained):
    """Image by image it is the network on what training would have seen, once all rows have come."""
    test = coil_stream(30, 8)
    examples, state = examples_of(test), None
    images = {image.frame: image.pixels for image in run(OnlineCascade(trained), test)}
    assert len(images) == test.frames
    for at in range(len(examples)):
        inputs, _ = batch_of([examples], np.array([[0, at]]), trained.scale)
        with torch.inference_mode():
            state = trained.cascade.step(inputs, state)
        expected = state.image[0].numpy() * np.float32(trained.scale)
        assert np.allclose(images[test.frames - len(examples) + at], expected, atol=1e-4), at


def test_a_band_before_the_whole_image_does_not_change_it(trained):
    test = coil_stream(20, 8)
    alone = run(OnlineCascade(trained), test)
    both = run(OnlineCascade(trained, columns=(4, 12)), test)
    assert [image.columns for image in both[:2]] == [(4, 12), None]
    for one, other in zip(alone, [image for image in both if image.columns is None], strict=True):
        assert np.allclose(one.pixels, other.pixels, atol=1e-5)


def test_a_band_that_is_no_multiple_of_the_coarse_pixels_is_refused(trained):
    with pytest.raises(InputError, match="each a multiple of 4"):
        run(OnlineCascade(trained, columns=(2, 12)), coil_stream(12, 8))


def test_a_spike_is_gone_with_its_own_line(trained):
    """It counts as a line that was lost: what is carried on has nothing of it."""
    test = coil_stream(40, 8)
    struck = 25 * test.header.lines_per_frame + 3
    samples = test.samples.copy()
    samples[struck] *= 300
    clean = run(OnlineCascade(trained), test)
    hit = run(OnlineCascade(trained), dataclasses.replace(test, samples=samples))
    size = max(float(np.abs(image.pixels).max()) for image in clean)
    for before, after in zip(clean[25:], hit[25:], strict=True):
        assert np.abs(before.pixels - after.pixels).max() < 0.2 * size
    assert np.abs(clean[-1].pixels - hit[-1].pixels).max() < 0.02 * size


def test_a_spike_counts_as_lost_where_no_block_sees_the_mean_either():
    config = dataclasses.replace(SMALL, memory="view-shared")
    made = OnlineCascade(Checkpoint(cascade_of(config, 3), 1.0, {"matrix": [24, 20]}))
    test = small_stream(frames=30)
    samples = test.samples.copy()
    samples[25 * 8 + 3] *= 300
    clean, hit = run(made, test), run(made, dataclasses.replace(test, samples=samples))
    size = max(float(np.abs(image.pixels).max()) for image in clean)
    assert max(np.abs(a.pixels - b.pixels).max() for a, b in zip(clean, hit, strict=True)) < 2 * size


@pytest.fixture(scope="module")
def conforming(trained):
    return Candidate("recurrent cascade", lambda: OnlineCascade(trained), coil_stream(24, 9))


@pytest.mark.parametrize("check", CHECKS, ids=repr)
def test_it_conforms(check, conforming):
    check(conforming)


def test_weights_are_read_as_they_were_written(trained, tmp_path):
    save(tmp_path / "w.npz", trained)
    again, (inputs, _) = (
        load(tmp_path / "w.npz"),
        batch_of([examples_of(coil_stream(20, 9))], np.array([[0, 3]]), 1.0),
    )
    with torch.inference_mode():
        assert torch.equal(again.cascade(inputs), trained.cascade(inputs))


def test_bfloat16_shows_nearly_the_same_and_other_engines_are_refused(trained):
    test = coil_stream(20, 8)
    exact, rounded = run(OnlineCascade(trained), test), run(OnlineCascade(trained, "bfloat16"), test)
    off = sum(np.sum(np.abs(a.pixels - b.pixels) ** 2) for a, b in zip(exact, rounded, strict=True))
    assert off < 1e-3 * sum(np.sum(np.abs(image.pixels) ** 2) for image in exact)
    assert off > 0
    for engine in ("int8", "cuda"):
        with pytest.raises(InputError, match="it runs no recurrent cascade; take 'eager' or 'bfloat16'"):
            accelerated(trained.cascade, engine)


@pytest.mark.parametrize("after", [1, 3, 4, 9])
def test_a_training_that_is_killed_goes_on_to_the_same_weights(after, tmp_path, monkeypatch):
    """Killed within a walk, at its end, at an epoch's end and between stages."""
    monkeypatch.setattr(training_run, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(recurrent, "WALK", 8)
    scans = [small_stream(frames=30, seed=5)]
    straight = train_cascade(scans, SMALL, PLAN)
    interrupted(scans, tmp_path / "s", after, config=SMALL, plan=PLAN)
    steps = []
    resumed = train_cascade(scans, SMALL, PLAN, state=tmp_path / "s", progress=steps.append)
    assert same(weights(resumed), weights(straight))
    assert len(steps) < steps[-1].total or after == 1


def test_an_epoch_walks_through_consecutive_frames_of_every_scan():
    made = recurrent.RecurrentRun(
        Cascade(SMALL), dataclasses.replace(PLAN, batch=3), lambda _: [], [], (1.0, 1.0, 1.0), [95, 50]
    )
    batches = np.array(made._order([95, 50], np.random.default_rng(1)))
    assert batches.shape == (10, 3, 4, 2)
    scans, frames = batches[..., 0], batches[..., 1].transpose(1, 0, 2).reshape(3, 40)
    assert (np.diff(frames, axis=1) == 1).all()
    assert sorted({(int(s), int(f[0])) for s, f in zip(scans[0, :, 0], frames, strict=True)})[0][0] == 0
    assert sorted(scans[0, :, 0]) == [0, 0, 1]
    assert frames[scans[0, :, 0] == 0].max() < 95
    assert frames[scans[0, :, 0] == 1].max() < 50


def test_a_pixel_weighs_by_how_much_it_moves():
    """1 at rest, 4 with the usual change of its scan, and no more than 19 however large the change."""
    run_of = recurrent.RecurrentRun(Cascade(SMALL), PLAN, lambda _: [], [], (1.0, 1.0, 0.28), [25])
    still = np.ones((25, 24, 20), np.complex64)
    moving = still.copy()
    moving[1::2, :12] += 1  # half of the pixels, in turn
    moving[20, 0, 0] = 100
    examples = examples_of(small_stream(frames=30))
    learn = [dataclasses.replace(examples, target=target) for target in (still, moving)]
    run_of._usual = [run_of._usual_change(one) for one in learn]
    weights = run_of._weights_of(learn, np.array([[0, 9], [1, 9], [1, 20]])).numpy()
    assert (weights[0] == 1).all()
    assert (weights[1, 12:] == 1).all()
    usual = float(np.sqrt(np.mean(np.abs(np.diff(moving, axis=0)) ** 2)))
    assert np.allclose(weights[1, :12], 1 + 3 / usual, rtol=1e-5)
    assert weights[2, 0, 0] == weights.max() == 19


@pytest.mark.parametrize(
    ("frames", "changes", "said"),
    [
        (12, {"balanced": True}, "leave --balanced and --augment out"),
        (10, {"validation": 0.9}, "1 frames of a scan to train on"),
    ],
)
def test_what_it_cannot_be_trained_with_is_refused(frames, changes, said):
    with pytest.raises(InputError, match=said):
        train_cascade([small_stream(frames=frames + 4)], SMALL, dataclasses.replace(PLAN, **changes))
