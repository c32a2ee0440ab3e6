"""A dataset's folder as torch examples: the right frames, in every order, in any process."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from mrsim.errors import InputError
from mrsim.stream import load, save
from recon.data.dataset import MAX_OPEN, FrameDataset, ShuffledFrames, Undersampling
from tests.harness.synthetic import make_header, make_stream

FRAMES = 6


def write(folder: Path, items: dict[str, int], lines_per_frame: int = 8) -> Path:
    """Write a dataset of random streams, some frames in each; the value says which part and seed."""
    entries = []
    for seed, (name, frames) in enumerate(items.items()):
        part = name.partition("-")[0]
        (folder / part).mkdir(parents=True, exist_ok=True)
        header = make_header(lines_per_frame)
        stream = make_stream(frames * lines_per_frame, seed, header)
        save(stream, folder / part / f"{name}.stream")
        entries.append({"name": name, "part": part, "path": f"{part}/{name}.stream"})
    (folder / "manifest.json").write_text(json.dumps({"hash": "0" * 64, "items": entries}))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "set", {"train-a": FRAMES, "train-b": FRAMES + 2, "test-c": 4, "train-d": 5})


def test_a_frame_is_what_the_stream_holds(folder: Path) -> None:
    frames = FrameDataset(folder, "train")
    assert len(frames) == FRAMES + FRAMES + 2 + 5
    stream = load(folder / "train" / "train-b.stream")
    example = frames[FRAMES + 3]
    assert (example["item"], example["frame"]) == (1, 3)
    lines = slice(3 * 8, 4 * 8)
    rows = stream.ky[lines] + 4
    np.testing.assert_array_equal(example["kspace"][:, rows].numpy(), stream.samples[lines].swapaxes(0, 1))
    assert stream.truth is not None
    np.testing.assert_array_equal(example["target"].numpy(), stream.truth.image[3])
    np.testing.assert_array_equal(example["target_mask"].numpy(), stream.truth.mask[3])
    with pytest.raises(IndexError):
        frames[len(frames)]


def test_rows_that_were_not_sampled_are_zero_and_say_so(tmp_path: Path) -> None:
    example = FrameDataset(write(tmp_path / "set", {"train-a": 4}, lines_per_frame=4))[1]
    assert int(example["mask"].sum()) == 4
    assert not example["kspace"][:, ~example["mask"]].any()
    assert (example["kspace"][:, example["mask"]].abs() > 0).all()


def test_full_frames_are_undersampled_on_the_way(folder: Path) -> None:
    plain = FrameDataset(folder, "train")
    frames = FrameDataset(folder, "train", undersampling=Undersampling(2, seed=4))
    seen = []
    for index in range(len(frames)):
        example, full = frames[index], plain[index]
        mask = example["mask"]
        assert int(mask.sum()) == 4
        assert mask[4]  # the centre
        assert torch.equal(example["kspace"][:, mask], full["kspace"][:, mask])
        assert not example["kspace"][:, ~mask].any()
        assert torch.equal(example["target"], full["target"])
        seen.append(tuple(mask.tolist()))
    assert len(set(seen)) > 5
    assert tuple(frames[0]["mask"].tolist()) == seen[0]
    frames.set_epoch(1)
    assert [tuple(frames[i]["mask"].tolist()) for i in range(len(frames))] != seen


def test_frames_that_lack_rows_cannot_be_undersampled_again(tmp_path: Path) -> None:
    made = write(tmp_path / "set", {"train-a": 4}, lines_per_frame=4)
    with pytest.raises(InputError, match="train-a holds 4 of 8 rows"):
        FrameDataset(made, undersampling=Undersampling(2))


def test_the_patterns_are_the_scanners(folder: Path) -> None:
    """Rows are dealt from a deck: within an item none waits longer than the sampler promises."""
    undersampling = Undersampling(2, seed=4)
    frames = FrameDataset(folder, "train", undersampling=undersampling)
    pattern = undersampling.pattern(8, 0, 1)
    for frame in range(FRAMES + 2):
        example = frames[FRAMES + frame]
        assert (example["item"], example["frame"]) == (1, frame)
        assert set(np.flatnonzero(example["mask"].numpy()) - 4) == set(pattern.frame(frame).tolist())
    assert undersampling.pattern(8, 0, 0) != pattern != undersampling.pattern(8, 1, 1)


@pytest.mark.parametrize("acceleration", [0.5, float("nan"), 20.0])
def test_an_acceleration_that_no_frame_allows_is_refused(folder: Path, acceleration: float) -> None:
    with pytest.raises(InputError, match="variable-density sampling of 8 rows gives 1 to 7"):
        FrameDataset(folder, "train", undersampling=Undersampling(acceleration))


def test_workers_give_what_one_process_gives(folder: Path) -> None:
    frames = FrameDataset(folder, "train", undersampling=Undersampling(2))
    alone = [frames[i] for i in range(len(frames))]
    loader = DataLoader(frames, batch_size=4, num_workers=2, multiprocessing_context="spawn")
    batches = list(loader)
    for key in ("kspace", "mask", "target", "target_mask", "item", "frame"):
        got = torch.cat([batch[key] for batch in batches])
        assert torch.equal(got, torch.stack([torch.as_tensor(example[key]) for example in alone]))


def test_what_a_worker_is_sent_holds_no_stream(folder: Path) -> None:
    frames = FrameDataset(folder, "train")
    assert len(pickle.dumps(frames)) < 5000
    assert len(pickle.loads(pickle.dumps(frames))) == len(frames)


def test_few_streams_stay_open(tmp_path: Path) -> None:
    made = write(tmp_path / "set", {f"train-{n}": 2 for n in range(MAX_OPEN + 5)})
    frames = FrameDataset(made)
    for index in range(len(frames)):
        frames[index]
    assert len(frames._open) == MAX_OPEN


def test_a_distributed_sampler_deals_every_frame_once(folder: Path) -> None:
    frames = FrameDataset(folder, "train")
    shares = [list(DistributedSampler(frames, 3, rank, shuffle=True, seed=1)) for rank in range(3)]
    assert set().union(*shares) == set(range(len(frames)))


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("by", ["frame", "stream"])
def test_every_process_gets_as_much_and_frames_are_not_lost(folder: Path, by: str, processes: int) -> None:
    frames = FrameDataset(folder, "train")
    shares = []
    for rank in range(processes):
        sampler = ShuffledFrames(frames, by, seed=2, rank=rank, processes=processes)
        shares.append(list(sampler))
        assert len(shares[-1]) == len(sampler)
    together = [index for share in shares for index in share]
    if by == "frame" or processes == 1:
        assert set(together) == set(range(len(frames)))
        assert len(together) - len(frames) < processes
    first = list(ShuffledFrames(frames, by, seed=2, processes=processes))
    assert first == shares[0]


def test_by_stream_frames_stand_in_time_and_epochs_differ(folder: Path) -> None:
    frames = FrameDataset(folder, "train")
    sampler = ShuffledFrames(frames, "stream", seed=2)
    orders = []
    for epoch in range(8):
        sampler.set_epoch(epoch)
        order = [(frames[i]["item"], frames[i]["frame"]) for i in sampler]
        changes = sum(a[0] != b[0] for a, b in itertools.pairwise(order))
        assert changes == 2  # three streams, each in one piece
        assert all(b[1] == a[1] + 1 for a, b in itertools.pairwise(order) if a[0] == b[0])
        orders.append(tuple(order))
    assert len(set(orders)) > 2
    by_frame = [frames[i]["item"] for i in ShuffledFrames(frames, "frame", seed=2)]
    assert sum(a != b for a, b in itertools.pairwise(by_frame)) > 2


def test_what_cannot_be_read_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a whole dataset"):
        FrameDataset(tmp_path)
    with pytest.raises(InputError, match="expected train, validation, test"):
        FrameDataset(folder, "holdout")
    with pytest.raises(InputError, match="no item of part 'validation'"):
        FrameDataset(folder, "validation")
    with pytest.raises(InputError, match="no item"):
        FrameDataset(folder, where=lambda item: False)
    assert len(FrameDataset(folder, where=lambda item: item["name"] == "test-c")) == 4
    with pytest.raises(InputError, match="expected frame or stream"):
        ShuffledFrames(FrameDataset(folder), "item")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["items"][0]["path"] = "../elsewhere.stream"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="outside the dataset"):
        FrameDataset(folder)


def test_items_of_several_shapes_are_not_mixed(folder: Path) -> None:
    other = dataclasses.replace(make_header(8), coils=2)
    save(make_stream(32, 9, other), folder / "train" / "train-d.stream", overwrite=True)
    with pytest.raises(InputError, match="train-d has 2 coils"):
        FrameDataset(folder, "train")
