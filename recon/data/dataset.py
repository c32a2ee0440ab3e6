"""Scans as items for training: by frame or window of frames, mapped from disk, undersampled on demand.

`FrameDataset` is a `torch.utils.data.Dataset` of the frames of scans, or of a dataset's folder. It opens
streams on demand and keeps few of them open, so that a worker of a `DataLoader` needs little memory. It works
with a `DistributedSampler`. `ShuffledFrames` orders the frames: each by itself, or stream after stream, which
a disk reads faster. It needs numpy and torch alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torch.utils.data import Sampler as IndexSampler

from mrsim.errors import DatasetError, InputError
from mrsim.files.reading import read_json
from mrsim.sampling import Sampler
from mrsim.stream import Stream, load
from recon.data.frame_lines import FrameLines, SharedRows
from recon.data.items import USUAL, Item, check_keys
from recon.data.undersampled import pattern_of, row_mask
from recon.fourier import to_image

PARTS = ("train", "validation", "test")
ORDERS = ("frame", "stream")
MAX_OPEN = 16
"""Streams that stay mapped at a time."""
MAX_MANIFEST_BYTES = 4 << 30
MAX_WINDOW = 4096
"""Frames of a window at most."""


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


class FrameDataset(Dataset[Item]):
    """Give the frames of scans, one by one or as windows of consecutive frames.

    Parameters
    ----------
    scans
        A scan with truth, several of them, or a folder that `mrsim simulate` or `mrsim dataset` made.
    part
        "train", "validation" or "test" of a dataset; None for all.
    keys
        What an item holds: names out of `recon.data.KEYS`, which says the shape and dtype of each.
    window
        Consecutive frames T of an item, all of one scan, for networks with a memory: every array gets an
        axis of T in front. None for single frames without that axis.
    where
        Keeps the items of a dataset for which it returns true, given an item's entry in the manifest.
    undersampling
        Leaves rows out of items that are fully sampled; None to give frames as they were scanned.

    Raises
    ------
    DatasetError
        If a key is unknown, the folder is not whole, no item is left, a scan has no truth or is shorter than
        the window, items differ in matrix, coils or lines, or cannot be undersampled so.
    """

    def __init__(
        self,
        scans: Stream | Sequence[Stream] | str | Path,
        part: str | None = None,
        *,
        keys: Sequence[str] = USUAL,
        window: int | None = None,
        where: Callable[[Mapping[str, Any]], bool] | None = None,
        undersampling: Undersampling | None = None,
    ) -> None:
        self._given: tuple[Stream, ...] = ()
        self.hash, self.folder = "", Path()
        if isinstance(scans, str | Path) and not (Path(scans) / "header.json").is_file():
            self.folder = Path(scans)
            if part is not None and part not in PARTS:
                raise DatasetError(f"{self.folder}: part = {part!r}: expected {', '.join(PARTS)}")
            self.hash, every = _read(self.folder)
            self.items = [
                item for item in every if part in (None, item["part"]) and (where is None or where(item))
            ]
            if not self.items:
                raise DatasetError(f"{self.folder}: no item of part {part!r} is left to train on")
        else:
            self._given = _scans(scans)
            self.items = [
                {"name": str(scan.path or f"scan {number}")} for number, scan in enumerate(self._given)
            ]
            if part is not None or where is not None:
                raise DatasetError(f"{self._where}: part and where choose items of a dataset, not of scans")
        self.keys = check_keys(keys, self._where)
        if window is not None and not 1 <= window <= MAX_WINDOW:
            raise DatasetError(
                f"{self._where}: window = {window}: expected 1 to {MAX_WINDOW} frames, or None"
            )
        self.window, self.undersampling = window, undersampling
        self.epoch = 0
        self._open: OrderedDict[int, Stream] = OrderedDict()
        self.starts = np.concatenate([[0], np.cumsum(self._lengths())])

    @property
    def _where(self) -> str:
        return str(self.items[0]["name"]) if self._given else str(self.folder)

    def _lengths(self) -> list[int]:
        """Return the items that each scan gives, once all are known to have one shape."""
        first = self.stream(0).header
        if self.undersampling is not None:
            self.undersampling.pattern(first.matrix[0], 0, 0)  # refuses what no frame could be sampled with
        lengths = []
        for number, item in enumerate(self.items):
            stream = self.stream(number)
            header, name = stream.header, item["name"]
            if (header.matrix, header.coils) != (first.matrix, first.coils):
                raise DatasetError(
                    f"{self._where}: {name} has {header.coils} coils, a matrix of {header.matrix}, "
                    f"{self.items[0]['name']} {first.coils} and {first.matrix}; choose some with `where`"
                )
            if self.undersampling is not None and header.lines_per_frame != header.matrix[0]:
                raise DatasetError(
                    f"{self._where}: {name} holds {header.lines_per_frame} of {header.matrix[0]} "
                    "rows a frame; only fully sampled items (acceleration 1) can be undersampled"
                )
            if header.lines_per_frame != first.lines_per_frame and {"lines", "ky", "t_ns"} & {*self.keys}:
                raise DatasetError(
                    f"{self._where}: {name} has {header.lines_per_frame} lines a frame, "
                    f"{self.items[0]['name']} {first.lines_per_frame}: as lines they make no batch; choose "
                    "some with `where`, or ask for kspace"
                )
            if self.window is not None and stream.frames < self.window:
                raise DatasetError(
                    f"{self._where}: {name} has {stream.frames} frames: too few for a window of {self.window}"
                )
            lengths.append(stream.frames - (self.window or 1) + 1)
        return lengths

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        item = int(np.searchsorted(self.starts, index, side="right")) - 1
        frame = index - int(self.starts[item])
        if self.window is None:
            (one,) = self._frames(item, range(frame, frame + 1))
            return Item((key, _tensor(one[key])) for key in self.keys)
        every = self._frames(item, range(frame, frame + self.window))
        return Item((key, torch.from_numpy(np.stack([one[key] for one in every]))) for key in self.keys)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}  # a worker maps what it reads itself

    def set_epoch(self, epoch: int) -> None:
        """Draw other rows from now on, where rows are left out; see `ShuffledFrames.set_epoch`.

        Workers that a `DataLoader` keeps from epoch to epoch (`persistent_workers`) do not hear of it.
        """
        self.epoch = epoch

    def stream(self, item: int) -> Stream:
        """Return an item's stream: the scan that was given, or a mapped one; the last `MAX_OPEN` stay so."""
        if self._given:
            return self._given[item]
        if item not in self._open:
            stream = load(self.folder / self.items[item]["path"])
            if stream.truth is None:
                raise DatasetError(f"{stream.path}: it stores no truth; training needs what it should show")
            self._open[item] = stream
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(item)
        return self._open[item]

    def _frames(self, item: int, frames: range) -> list[dict[str, Any]]:
        """Return what the keys ask for of consecutive frames of a scan."""
        stream = self.stream(item)
        truth, ny, per_frame = stream.truth, stream.header.matrix[0], stream.header.lines_per_frame
        assert truth is not None
        shared: SharedRows | None = None
        found: list[dict[str, Any]] = []
        for frame in frames:
            lines, last = self._lines(item, frame), (frame + 1) * per_frame - 1
            at_ns = int(stream.t_ns[last])
            makers: dict[str, Callable[[], Any]] = {
                "kspace": partial(lines.kspace, ny),
                "mask": partial(lines.mask, ny),
                "image": partial(_image_of, lines, ny),
                "lines": partial(np.array, lines.samples),
                "ky": partial(np.subtract, lines.rows, ny // 2),
                "t_ns": partial(np.array, lines.t_ns),
                "target": partial(np.array, truth.image[frame]),
                "target_mask": partial(np.array, truth.mask[frame]),
                "target_m": partial(np.array, truth.centroid[last]),
                "target_t_ns": partial(int, at_ns),
                "item": partial(int, item),
                "frame": partial(int, frame),
            }
            if {"shared", "age_s"} & {*self.keys}:
                if shared is None:
                    shared = SharedRows(partial(self._lines, item), frame, ny)
                else:
                    shared.step()
                makers["shared"] = partial(to_image, shared.kspace)
                makers["age_s"] = partial(shared.ages_s, at_ns)
            found.append({key: makers[key]() for key in self.keys})
        return found

    def _lines(self, item: int, frame: int) -> FrameLines:
        stream = self.stream(item)
        header = stream.header
        ny, lines = (
            header.matrix[0],
            slice(frame * header.lines_per_frame, (frame + 1) * header.lines_per_frame),
        )
        rows = np.asarray(stream.ky[lines], np.int64) + ny // 2
        t_ns, samples = np.asarray(stream.t_ns[lines]), np.asarray(stream.samples[lines])
        if self.undersampling is not None:
            kept = row_mask(self.undersampling.pattern(ny, self.epoch, item), frame)[rows]
            rows, t_ns, samples = rows[kept], t_ns[kept], samples[kept]
        return FrameLines(rows, t_ns, samples)


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


def _image_of(lines: FrameLines, ny: int) -> NDArray[np.complex64]:
    return to_image(lines.kspace(ny))


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _scans(scans: Stream | Sequence[Stream] | str | Path) -> tuple[Stream, ...]:
    """Return the scans that were given, each with its truth."""
    if isinstance(scans, str | Path):
        scans = load(scans)
    every = (scans,) if isinstance(scans, Stream) else tuple(scans)
    if not every:
        raise DatasetError("scans: there is none to train on")
    for number, scan in enumerate(every):
        if not isinstance(scan, Stream):
            raise DatasetError(f"scans: number {number} is a {type(scan).__name__}; expected a Stream")
        if scan.truth is None:
            name = scan.path or f"scan {number}"
            raise DatasetError(f"{name}: it stores no truth; training needs what it should show")
    return every


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
