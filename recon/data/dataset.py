"""A dataset's folder as examples for training: mapped from disk, by frame or stream, undersampled on demand.

`FrameDataset` is a `torch.utils.data.Dataset` of single frames. It opens streams on demand and keeps
few of them open, so that a worker of a `DataLoader` needs little memory. It works with a
`DistributedSampler`. `ShuffledFrames` orders the frames: each by itself, or stream after stream, which a disk
reads faster. It needs numpy and torch alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data import Sampler as IndexSampler

from mrsim.errors import DatasetError, InputError
from mrsim.files.reading import read_json
from mrsim.sampling import Sampler
from mrsim.stream import Stream, load
from recon.data.undersampled import pattern_of, row_mask

PARTS = ("train", "validation", "test")
ORDERS = ("frame", "stream")
MAX_OPEN = 16
"""Streams that stay mapped at a time."""
MAX_MANIFEST_BYTES = 4 << 30

Example = dict[str, Any]


@dataclass(frozen=True)
class Undersampling:
    """Leave rows out of fully sampled frames, with the scanner's variable-density pattern.

    Parameters
    ----------
    acceleration
        Undersampling factor R; ceil(ny / R) rows are kept.
    seed
        Draws the patterns, for every item, frame and epoch anew.
    """

    acceleration: float
    seed: int = 0

    def pattern(self, ny: int, epoch: int, item: int) -> Sampler:
        """Return the pattern of an item's frames in an epoch; see `pattern_of`.

        Raises
        ------
        DatasetError
            If the sampler cannot give this acceleration.
        """
        return pattern_of(ny, self.acceleration, self.seed, "item", epoch, item)


class FrameDataset(Dataset[Example]):
    """Give the frames of a dataset's streams, one by one.

    An example holds `kspace` (coils, ny, nx) complex64, zero where nothing was sampled; `mask` (ny,) bool;
    `target` (ny, nx) complex64, the true image at the frame's last line; `target_mask` (ny, nx) bool, the
    pixels of the tracked region; and the numbers `item` and `frame`. k = 0 is at N // 2.

    Parameters
    ----------
    folder
        A dataset that `mrsim dataset` made.
    part
        "train", "validation" or "test"; None for all.
    where
        Keeps the items for which it returns true, given an item's entry in the manifest.
    undersampling
        Leaves rows out of items that are fully sampled; None to give frames as they were scanned.

    Raises
    ------
    DatasetError
        If the folder is not a whole dataset, no item is left, items differ in matrix or coils, or cannot be
        undersampled so.
    """

    def __init__(
        self,
        folder: str | Path,
        part: str | None = None,
        *,
        where: Callable[[Mapping[str, Any]], bool] | None = None,
        undersampling: Undersampling | None = None,
    ) -> None:
        self.folder = Path(folder)
        if part is not None and part not in PARTS:
            raise DatasetError(f"{self.folder}: part = {part!r}: expected {', '.join(PARTS)}")
        self.hash, every = _read(self.folder)
        self.items = [
            item for item in every if part in (None, item["part"]) and (where is None or where(item))
        ]
        if not self.items:
            raise DatasetError(f"{self.folder}: no item of part {part!r} is left to train on")
        self.undersampling = undersampling
        self.epoch = 0
        self._open: OrderedDict[int, Stream] = OrderedDict()
        frames = []
        first = self.stream(0).header
        if undersampling is not None:
            undersampling.pattern(first.matrix[0], 0, 0)  # refuses what no frame could be sampled with
        for number, item in enumerate(self.items):
            header = self.stream(number).header
            if (header.matrix, header.coils) != (first.matrix, first.coils):
                raise DatasetError(
                    f"{self.folder}: {item['name']} has {header.coils} coils, a matrix of {header.matrix}, "
                    f"{self.items[0]['name']} {first.coils} and {first.matrix}; choose some with `where`"
                )
            if undersampling is not None and header.lines_per_frame != header.matrix[0]:
                raise DatasetError(
                    f"{self.folder}: {item['name']} holds {header.lines_per_frame} of {header.matrix[0]} "
                    "rows a frame; only fully sampled items (acceleration 1) can be undersampled"
                )
            frames.append(self.stream(number).frames)
        self.starts = np.concatenate([[0], np.cumsum(frames)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        item = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self._frame(item, index - int(self.starts[item]))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}  # a worker maps what it reads itself

    def set_epoch(self, epoch: int) -> None:
        """Draw other rows from now on, where rows are left out; see `ShuffledFrames.set_epoch`.

        Workers that a `DataLoader` keeps from epoch to epoch (`persistent_workers`) do not hear of it.
        """
        self.epoch = epoch

    def stream(self, item: int) -> Stream:
        """Return an item's stream, mapped; the last `MAX_OPEN` stay so."""
        if item not in self._open:
            stream = load(self.folder / self.items[item]["path"])
            if stream.truth is None:
                raise DatasetError(f"{stream.path}: it stores no truth; training needs what it should show")
            self._open[item] = stream
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(item)
        return self._open[item]

    def _frame(self, item: int, frame: int) -> Example:
        stream = self.stream(item)
        header, truth = stream.header, stream.truth
        assert truth is not None
        ny, nx = header.matrix
        lines = slice(frame * header.lines_per_frame, (frame + 1) * header.lines_per_frame)
        rows = np.asarray(stream.ky[lines]) + ny // 2
        samples = np.asarray(stream.samples[lines])
        if self.undersampling is not None:
            kept = row_mask(self.undersampling.pattern(ny, self.epoch, item), frame)[rows]
            rows, samples = rows[kept], samples[kept]
        kspace = np.zeros((header.coils, ny, nx), np.complex64)
        kspace[:, rows] = samples.swapaxes(0, 1)
        mask = np.zeros(ny, np.bool_)
        mask[rows] = True
        return {
            "kspace": torch.from_numpy(kspace),
            "mask": torch.from_numpy(mask),
            "target": _copied(truth.image[frame]),
            "target_mask": _copied(truth.mask[frame]),
            "item": item,
            "frame": frame,
        }


class ShuffledFrames(IndexSampler[int]):
    """Order the frames of a dataset anew in every epoch, and deal them out to the processes of a training.

    Parameters
    ----------
    dataset
        The frames.
    by
        "frame": every frame by itself. "stream": the frames of a stream one after the other, in time, and
        the streams in an order that is drawn; a process has whole streams then.
    seed
        Draws the orders.
    rank, processes
        Which of how many processes this is. Each gets as many frames as the others; by "frame" a few
        frames, by "stream" a few streams come twice where it does not divide.
    """

    def __init__(
        self, dataset: FrameDataset, by: str = "frame", *, seed: int = 0, rank: int = 0, processes: int = 1
    ) -> None:
        if by not in ORDERS:
            raise DatasetError(f"shuffling: by = {by!r}: expected {' or '.join(ORDERS)}")
        if not 0 <= rank < processes:
            raise DatasetError(
                f"shuffling: rank = {rank} of {processes} processes: expected 0 to {processes - 1}"
            )
        self._dataset, self._by, self._seed, self._rank, self._processes = dataset, by, seed, rank, processes
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw another order from now on, the same in every process."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._dataset) // self._processes)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        length = len(self)
        if self._by == "frame":
            order = rng.permutation(len(self._dataset))
            return iter(np.resize(order, length * self._processes)[self._rank :: self._processes].tolist())
        starts = self._dataset.starts
        streams = np.resize(
            rng.permutation(len(starts) - 1), -(-(len(starts) - 1) // self._processes) * self._processes
        )
        mine = [np.arange(starts[s], starts[s + 1]) for s in streams[self._rank :: self._processes]]
        return iter(np.resize(np.concatenate(mine), length).tolist())


def _copied(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))


def _read(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    file = folder / "manifest.json"
    if not file.is_file():
        raise DatasetError(
            f"{folder}: not a whole dataset: it has no manifest.json; make it with `mrsim dataset`"
        )
    manifest = read_json(file, MAX_MANIFEST_BYTES, "a dataset's manifest")
    try:
        items = [dict(item) for item in manifest["items"]]
        for item in items:
            path = Path(item["path"])
            if path.is_absolute() or ".." in path.parts or item["part"] not in PARTS:
                raise DatasetError(f"{file}: {item['path']!r}: a path outside the dataset; make it again")
        return str(manifest["hash"]), items
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise DatasetError(f"{file}: damaged, or not a dataset's manifest: {error!r}") from None
