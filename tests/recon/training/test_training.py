"""Training, the checkpoint that it writes and the cascade in the stream that reads it."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile

import numpy as np
import pytest
import torch

from mrsim.errors import InputError
from recon.cascade import checkpoint
from recon.cascade.network import CascadeConfig
from recon.cascade.reconstructor import OnlineCascade
from recon.classical.zero_filled import ViewSharing
from recon.data.examples import examples_of
from recon.training.plan import Stage, TrainingPlan
from recon.training.train import train_cascade
from tests.recon.conftest import run, small_stream

SMALL = CascadeConfig(2, 3, 8, "mean", "zero-filled+view-shared", math.inf, True, True, 2, 24)
PLAN = TrainingPlan((Stage("coarse", 30, 5e-3), Stage("fine", 6, 1e-3)), columns=16, seed=3)


@pytest.fixture(scope="module")
def trained():
    steps = []
    scans = [small_stream(frames=60, seed=5), small_stream(frames=60, seed=6)]
    return train_cascade(scans, SMALL, PLAN, command="make it", progress=steps.append), steps


def nmse(image, truth):
    return float(np.sum((np.abs(image) - np.abs(truth)) ** 2) / np.sum(np.abs(truth) ** 2))


def test_training_lowers_the_error_and_beats_view_sharing_on_a_scan_it_never_saw(trained):
    result, _ = trained
    losses = result.record["losses"]
    assert losses[-1]["train"] < 0.5 * losses[0]["train"]
    test = small_stream(frames=40, seed=77)
    ours, shared = (
        np.mean([nmse(i.pixels, test.truth.image[i.frame]) for i in run(r, test)[10:]])
        for r in (OnlineCascade(result), ViewSharing())
    )
    assert ours < 0.7 * shared


def test_stages_are_coarse_then_fine_and_progress_ends_at_the_end(trained):
    result, steps = trained
    names = [entry["stage"] for entry in result.record["losses"]]
    assert names == ["coarse"] * 30 + ["fine"] * 6
    assert [s.done for s in steps] == list(range(1, steps[-1].total + 1))


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    plan = TrainingPlan((Stage("coarse", 1, 1e-3),), columns=16, seed=9)
    scans = [small_stream(frames=20)]
    first, second, other = (
        train_cascade(scans, SMALL, p).cascade.state_dict()
        for p in (plan, plan, dataclasses.replace(plan, seed=10))
    )
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


def test_validation_is_the_last_part_of_each_scan_and_never_trained_on(monkeypatch):
    from recon.training import run as training_run

    seen = []
    real = training_run.TrainingRun._batch

    def spy(self, learn, rows, *which):
        seen.extend((int(s), int(f)) for s, f in rows)
        return real(self, learn, rows, *which)

    monkeypatch.setattr(training_run.TrainingRun, "_batch", spy)
    scan = small_stream(frames=30)
    record = train_cascade(
        [scan], SMALL, TrainingPlan((Stage("coarse", 1, 1e-3),), validation=0.3, columns=8)
    ).record
    usable = len(examples_of(scan))
    assert record["split"] == {"train": [round(usable * 0.7)], "validation": [usable - round(usable * 0.7)]}
    assert sorted(seen) == [(0, f) for f in range(round(usable * 0.7))]


def test_examples_are_what_the_stream_has_shown_by_then(stream):
    examples = examples_of(stream)
    images = run(ViewSharing(), stream)
    from recon.fourier import to_image

    late = to_image(examples.shared[-1], (-2,))
    assert np.allclose(late, images[-1].pixels, atol=1e-5)
    assert np.array_equal(examples.target[-1], stream.truth.image[-1])


def test_checkpoint_round_trip_gives_the_same_images(trained, tmp_path):
    result, _ = trained
    checkpoint.save(tmp_path / "w.npz", result)
    test = small_stream(frames=12, seed=8)
    for a, b in zip(
        run(OnlineCascade(result), test), run(OnlineCascade(tmp_path / "w.npz"), test), strict=True
    ):
        assert np.array_equal(a.pixels, b.pixels)
    record = checkpoint.load(tmp_path / "w.npz").record
    assert record["command"] == "make it"
    assert record["data"][0]["samples_sha256"] != record["data"][1]["samples_sha256"]
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]


def test_the_image_is_causal_and_not_carried_over(trained):
    """Later lines do not change an image already shown, nor is its memory used again."""
    test = small_stream(frames=14, seed=8)
    early = run(OnlineCascade(trained[0]), test, lines=80)
    whole = run(OnlineCascade(trained[0]), test)
    for a, b in zip(early, whole, strict=False):
        assert np.array_equal(a.pixels, b.pixels)


def rewrite(source, target, **arrays):
    with np.load(source) as archive:
        np.savez(target, **({k: archive[k] for k in archive.files} | arrays))


def changed_record(source, **changes):
    with np.load(source) as archive:
        record = json.loads(str(archive["record"]))
    return np.array(json.dumps(record | changes))


def damage(kind, good, bad):
    if kind == "truncated":
        bad.write_bytes(good.read_bytes()[:1500])
    elif kind == "text":
        bad.write_text("weights")
    elif kind == "no record":
        np.savez(bad, a=np.zeros(3))
    elif kind == "pickle":
        np.savez(bad, record=np.array({"a": 1}, dtype=object))
    elif kind == "format":
        rewrite(good, bad, record=changed_record(good, format="other"))
    elif kind == "version":
        rewrite(good, bad, record=changed_record(good, version=99))
    elif kind == "config":
        rewrite(good, bad, record=changed_record(good, config={"blocks": 1}))
    elif kind == "shape":
        rewrite(good, bad, **{"blocks.0.convolutions.0.weight": np.zeros((1, 2, 3, 3), np.float32)})
    elif kind == "nan":
        with np.load(good) as archive:
            rewrite(
                good,
                bad,
                **{
                    "blocks.0.convolutions.0.bias": archive["blocks.0.convolutions.0.bias"]
                    * np.float32(np.nan)
                },
            )
    elif kind == "bomb":
        with zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as archive:
            buffer = io.BytesIO()
            np.save(buffer, np.zeros(40 << 20, np.int8))
            for i in range(8):
                archive.writestr(f"{i}.npy", buffer.getvalue())


@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "text",
        "no record",
        "pickle",
        "format",
        "version",
        "config",
        "shape",
        "nan",
        "bomb",
        "missing",
    ],
)
def test_damaged_weights_are_refused_with_the_file_named(kind, trained, tmp_path):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    checkpoint.save(good, trained[0])
    damage(kind, good, bad)
    with pytest.raises(InputError, match=r"bad\.npz"):
        checkpoint.load(bad)


def test_another_matrix_is_refused_with_both_named(trained):
    with pytest.raises(InputError, match=r"\(24, 20\).*\(16, 20\)"):
        run(OnlineCascade(trained[0]), small_stream(ny=16, lines=4))


def test_streams_that_cannot_be_trained_on_are_refused(stream):
    with pytest.raises(InputError, match="no truth"):
        train_cascade([dataclasses.replace(stream, truth=None)], SMALL)
    with pytest.raises(InputError, match="at least 10"):
        train_cascade([stream.first_frames(9)], SMALL)
    with pytest.raises(InputError, match="protocol differs"):
        train_cascade([stream, small_stream(lines=6)], SMALL)
    with pytest.raises(InputError, match="rows"):
        train_cascade([stream], dataclasses.replace(SMALL, rows=20))


def test_persons_at_other_fields_are_trained_on_together(stream):
    """Each scan's own field is in the record; a subspace is one person's, who has one field."""
    low = dataclasses.replace(stream, header=dataclasses.replace(stream.header, field_t=0.5))
    plan = TrainingPlan((Stage("coarse", 1, 1e-3),), batch=8)
    record = train_cascade([stream, low], SMALL, plan).record
    assert [scan["field_t"] for scan in record["data"]] == [3.0, 0.5]
    compact = dataclasses.replace(SMALL, start="subspace", columns=20, components=4, knots=6)
    with pytest.raises(InputError, match="protocol differs"):
        train_cascade([stream, low], compact, plan)
