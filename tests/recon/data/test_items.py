"""What an item holds: the keys that are asked for, as `KEYS` says, and windows of consecutive frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mrsim.errors import InputError
from mrsim.stream import Stream, save
from recon.data import KEYS, FrameDataset, Item, Undersampling
from recon.fourier import to_image, to_kspace
from recon.line_memory import LineMemory
from tests.harness.synthetic import make_header, make_stream

NY, PER_FRAME, FRAMES = 8, 4, 9


def scan_of(seed: int = 1, frames: int = FRAMES, lines_per_frame: int = PER_FRAME) -> Stream:
    return make_stream(frames * lines_per_frame, seed, make_header(lines_per_frame))


@pytest.fixture
def scan() -> Stream:
    return scan_of()


def test_every_key_has_the_shape_and_dtype_that_the_table_says(scan: Stream) -> None:
    header = scan.header
    sizes = {
        "coils": header.coils, "ny": header.matrix[0], "nx": header.matrix[1], "lines": PER_FRAME, "2": 2,
    }  # fmt: skip
    for window in (None, 3):
        item = FrameDataset(scan, keys=tuple(KEYS), window=window)[2]
        assert list(item) == list(KEYS)
        for key, (shape, dtype, _) in KEYS.items():
            value = torch.as_tensor(item[key])
            in_front = () if window is None else (window,)
            assert tuple(value.shape) == (*in_front, *(sizes[axis] for axis in shape)), key
            assert str(value.dtype) == f"torch.{dtype}", key


def test_lines_come_with_their_rows_and_times(scan: Stream) -> None:
    item = FrameDataset(scan, keys=("lines", "ky", "t_ns", "target_t_ns", "target_m"))[5]
    lines = slice(5 * PER_FRAME, 6 * PER_FRAME)
    np.testing.assert_array_equal(item["lines"].numpy(), scan.samples[lines])
    np.testing.assert_array_equal(item["ky"].numpy(), scan.ky[lines])
    np.testing.assert_array_equal(item["t_ns"].numpy(), scan.t_ns[lines])
    assert item["target_t_ns"] == scan.t_ns[lines][-1]
    assert scan.truth is not None
    np.testing.assert_array_equal(item["target_m"].numpy(), scan.truth.centroid[lines][-1])


def test_the_zero_filled_image_has_the_lines_of_its_frame_and_no_others(scan: Stream) -> None:
    item = FrameDataset(scan, keys=("image", "kspace"))[3]
    assert torch.allclose(to_kspace(item["image"]), item["kspace"], atol=1e-6)


def test_view_shared_rows_are_those_of_the_reconstructors_memory(scan: Stream) -> None:
    """Asked for frame by frame, as a window, or line by line as in a scan: the rows and ages are the same."""
    header = scan.header
    single = FrameDataset(scan, keys=("shared", "age_s"))
    whole = FrameDataset(scan, keys=("shared", "age_s"), window=FRAMES)[0]
    memory, came = LineMemory(header, mean=False), []
    for readout in scan:
        if not memory.push(readout):
            continue
        frame = readout.frame
        expected = to_image(memory.shared, (-2,))
        ages = np.where(memory.newest < 0, 1e6, (readout.index - memory.newest) * header.tr_ns / 1e9)
        for item in (single[frame], {key: value[frame] for key, value in whole.items()}):
            np.testing.assert_allclose(item["shared"].numpy(), expected, atol=1e-5)
            np.testing.assert_allclose(item["age_s"].numpy(), ages, rtol=1e-5)
        came.append(int((memory.newest >= 0).sum()))
    assert came[0] < NY  # some rows had to be looked for in earlier frames, or had not come


def test_rows_that_are_left_out_are_not_shared_either() -> None:
    frames = FrameDataset(
        scan_of(lines_per_frame=NY),
        keys=("kspace", "mask", "shared", "age_s"),
        undersampling=Undersampling(2),
    )
    newest = torch.zeros_like(frames[0]["kspace"])
    for index in range(len(frames)):
        item = frames[index]
        newest[:, item["mask"]] = item["kspace"][:, item["mask"]]
        assert torch.allclose(to_kspace(item["shared"]), newest, atol=1e-5)
        assert bool(((item["age_s"] < NY * 1e-2) >= item["mask"]).all())


def test_a_window_is_consecutive_frames_of_one_scan() -> None:
    scans = [scan_of(1), scan_of(2, frames=5)]
    single = FrameDataset(scans, keys=("kspace", "target", "item", "frame"))
    windows = FrameDataset(scans, keys=("kspace", "target", "item", "frame"), window=4)
    assert len(windows) == (FRAMES - 3) + (5 - 3)
    for index in range(len(windows)):
        window = windows[index]
        assert len(set(window["item"].tolist())) == 1
        assert np.diff(window["frame"].tolist()).tolist() == [1, 1, 1]
        for t in range(4):
            at = int(single.starts[int(window["item"][t])]) + int(window["frame"][t])
            for key in ("kspace", "target"):
                assert torch.equal(window[key][t], single[at][key])


def test_batches_keep_the_keys_and_their_errors(scan: Stream) -> None:
    batch = next(iter(DataLoader(FrameDataset(scan, keys=("shared", "target"), window=3), batch_size=2)))
    assert isinstance(batch, Item)
    assert batch["target"].shape == (2, 3, *scan.header.matrix)
    with pytest.raises(InputError, match=r"no 'kspace': add it to keys .* here are shared, target"):
        batch["kspace"]
    with pytest.raises(InputError, match=r"no key 'targets'; did you mean 'target'\?"):
        batch["targets"]


def test_a_folder_of_a_scan_is_a_scan(scan: Stream, tmp_path: Path) -> None:
    save(scan, tmp_path / "one.stream")
    from_disk, given = FrameDataset(tmp_path / "one.stream"), FrameDataset(scan)
    assert len(from_disk) == len(given) == FRAMES
    assert torch.equal(from_disk[4]["kspace"], given[4]["kspace"])


def test_what_cannot_be_given_is_refused_before_training(scan: Stream, tmp_path: Path) -> None:
    for keys, told in (
        (("kspaces",), "'kspaces' is unknown; did you mean 'kspace'?"),
        ((), "keys is empty"),
        (("mask", "mask"), "one comes twice"),
    ):
        with pytest.raises(InputError) as error:
            FrameDataset(scan, keys=keys)
        assert told in str(error.value)
    assert list(FrameDataset(scan, keys="mask")[0]) == ["mask"]
    with pytest.raises(InputError, match="9 frames: too few for a window of 10"):
        FrameDataset(scan, window=10)
    with pytest.raises(InputError, match="window = 0: expected 1 to"):
        FrameDataset(scan, window=0)
    with pytest.raises(InputError, match="scan 1: it stores no truth"):
        FrameDataset([scan, dataclasses.replace(scan, truth=None)])
    with pytest.raises(InputError, match="none to train on"):
        FrameDataset([])
    with pytest.raises(InputError, match="number 0 is a str"):
        FrameDataset(["my.stream"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="part and where choose items of a dataset"):
        FrameDataset(scan, "train")
    other = scan_of(lines_per_frame=NY)
    with pytest.raises(InputError, match="8 lines a frame, scan 0 4: as lines they make no batch"):
        FrameDataset([scan, other], keys=("lines",))
    assert FrameDataset([scan, other], keys=("kspace",))[FRAMES]["kspace"].abs().min() > 0
