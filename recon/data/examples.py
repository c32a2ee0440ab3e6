"""Training examples: the inputs of a cascade at the frames of a scan, and the target images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mrsim.errors import TrainingError
from mrsim.stream import Stream
from recon.cascade.coil_inputs import CoilLines, CoilRecorder, combined_rows
from recon.cascade.inputs import CascadeInputs
from recon.coils.combination import combine
from recon.coils.sensitivities import Autocalibration
from recon.coils.waves import maps_of, unit_maps
from recon.data.coil_targets import SeenSensitivities
from recon.data.later import LaterLines, later_of
from recon.fourier import to_image
from recon.line_memory import LineMemory

MIN_FRAMES = 10


@dataclass(frozen=True)
class Examples:
    """Hold the inputs of a cascade at the frames of one scan, with their targets.

    Parameters
    ----------
    mask, ages
        Shape (frames, ny), bool and float32.
    shared, mean, target
        Shape (frames, ny, nx), complex64: newest value and running mean of every row in the hybrid
        space, with several coils those of their combination, and the target image.
    coils
        Lines and sensitivities of each coil; None with a single one.
    later
        The lines after each frame, where a network is held to them instead of the targets.
    """

    mask: NDArray[np.bool_]
    ages: NDArray[np.float32]
    shared: NDArray[np.complex64]
    mean: NDArray[np.complex64]
    target: NDArray[np.complex64]
    coils: CoilLines | None = None
    later: LaterLines | None = None

    def __len__(self) -> int:
        return len(self.mask)

    def part(self, frames: slice) -> Examples:
        """Return some of the frames."""
        columns = {n: getattr(self, n)[frames] for n in ("mask", "ages", "shared", "mean", "target")}
        coils = None if self.coils is None else self.coils.part(frames)
        later = None if self.later is None else self.later.part(frames)
        return Examples(**columns, coils=coils, later=later)


def examples_of(
    stream: Stream,
    target: NDArray[np.complex64] | None = None,
    waves: NDArray[np.complex64] | None = None,
    foretell: bool = False,
    full: NDArray[np.complex64] | None = None,
) -> Examples:
    """Replay a scan through the memory of a reconstructor and keep its inputs at each frame's end.

    The first frames, in which some row was never sampled yet, are left out.

    Parameters
    ----------
    stream
        A scan with truth.
    target
        Image to show at the end of every frame, shape (frames, ny, nx), complex64; None for the true image
        at the echo of its last line. With several coils it is shaded as their combination is.
    waves
        With several coils of known sensitivities their waves (`true_waves`); None to estimate the
        sensitivities from the lines so far.
    foretell
        Keep the lines after each frame, to be held to instead of targets. No truth is looked at: the targets
        are view sharing's images, whose size alone is meant.
    full
        All rows of the scan's last frames, in the hybrid space (ky, x), shape (frames, coils, ny, nx),
        complex64: the targets are their images. None without.

    Raises
    ------
    TrainingError
        If the scan has no truth where it is needed, or too few frames.
    """
    where = str(stream.path or "the training stream")
    header = stream.header
    if target is None and full is None and not foretell:
        if stream.truth is None:
            raise TrainingError(
                f"{where}: it stores no truth, and training needs the images that it should show; "
                "--learn-from lines needs none"
            )
        target = stream.truth.image
    memory, calibration, recorder = LineMemory(header), Autocalibration(header), CoilRecorder()
    known = None if waves is None else torch.from_numpy(unit_maps(maps_of(waves, header.matrix))[0])
    shades = header.coils > 1 and waves is None and full is None and not foretell
    found = SeenSensitivities(stream) if shades else None
    seen: list[int] = []
    kept: list[tuple[Any, ...]] = []
    for line in range(stream.frames * header.lines_per_frame):
        readout = stream.readout(line)
        if not memory.push(readout):
            continue
        # At every frame's end, as in the stream.
        maps = calibration.maps(memory) if known is None else known
        if not (memory.newest >= 0).all():
            continue
        seen.append(readout.frame)
        if maps is None:
            shared, mean = memory.shared[0].copy(), memory.mean[0].copy()
        else:
            shared, mean = (combined_rows(rows, maps).numpy() for rows in (memory.shared, memory.mean))
            recorder.take(memory, maps)
            if found is not None:
                found.take(memory)
        kept.append((memory.mask.copy(), memory.ages(readout.index), shared, mean))
    if len(kept) < MIN_FRAMES:
        raise TrainingError(
            f"{where}: {len(kept)} frames to train on; at least {MIN_FRAMES} are needed, scan for longer"
        )
    mask, ages, shared, mean = (np.stack(column) for column in zip(*kept, strict=True))
    coils = recorder.lines() if header.coils > 1 else None
    if foretell:
        shown = to_image(torch.from_numpy(shared), (-2,)).numpy()
        later = later_of(ages, shared if coils is None else coils, header)
        followed = Examples(mask, ages, shared, mean, shown, coils).part(slice(0, -1))  # the last is not
        return dataclasses.replace(followed, later=later)
    if full is not None:
        of = slice(len(kept) - len(full), None)
        whole = Examples(mask, ages, shared, mean, shared, coils).part(of)
        return dataclasses.replace(whole, target=_images_of(full, whole.coils))
    assert target is not None
    shown = np.asarray(target[seen])
    if coils is None:
        return Examples(mask, ages, shared, mean, shown)
    true = maps_of(waves, header.matrix) if waves is not None else cast(SeenSensitivities, found).found()
    shading = (coils.maps.conj() * true).sum(1)
    return Examples(mask, ages, shared, mean, shown * shading[coils.version], coils)


def _images_of(rows: NDArray[np.complex64], coils: CoilLines | None) -> NDArray[np.complex64]:
    """Return the images of whole frames, as the combination of the coils shows them."""
    if coils is None:
        return np.asarray(to_image(np.ascontiguousarray(rows[:, 0]), (-2,)))
    pairs = ((torch.from_numpy(every), torch.from_numpy(coils.maps_of(n))) for n, every in enumerate(rows))
    return np.stack([combine(every, maps).numpy() for every, maps in pairs])


def batch_of(sets: Sequence[Examples], rows: NDArray[np.int64], scale: float) -> tuple[CascadeInputs, Tensor]:
    """Make a batch of some frames.

    Parameters
    ----------
    sets
        Scans.
    rows
        Number of the scan and of the frame in it, shape (batch, 2), int64.
    scale
        Value by which samples and targets are divided.

    Returns
    -------
    inputs, target
        `target` has the shape (batch, ny, nx), complex64.
    """

    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(sets[s], name)[f] for s, f in rows]))

    inputs = CascadeInputs(stack("mask"), stack("ages"), stack("shared") / scale, stack("mean") / scale)
    scans = [examples.coils for examples in sets]
    held = [(coils, f) for s, f in rows if (coils := scans[s]) is not None]
    if held:
        lines = torch.from_numpy(np.stack([coils.shared(f) for coils, f in held]))
        maps = torch.from_numpy(np.stack([coils.maps_of(f) for coils, f in held]))
        inputs = dataclasses.replace(inputs, lines=lines / scale, maps=maps)
    return inputs, stack("target") / scale


def in_order(sets: Sequence[Examples], batch: int = 8) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of batches of all frames in their order."""
    for s, examples in enumerate(sets):
        for start in range(0, len(examples), batch):
            yield np.array([(s, f) for f in range(start, min(start + batch, len(examples)))])
