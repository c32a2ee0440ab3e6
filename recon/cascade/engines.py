"""Engines: several ways to compute the convolutions of a block with the same weights.

Transforms and data consistency stay in single precision in all of them. So an engine rounds what the network
predicts, and never what was acquired.

- `eager`: single precision, channels last. The reference.
- `bfloat16`: convolutions in bfloat16, where the processor has it.
- `int8`: activations in 8 bits without a sign (they follow a ReLU) and weights in 8 bits with one scale for
  each filter, summed in 32 bits. The input of a block's first layer and the output of its last are in single
  precision. The ranges come from the scan's first images, which run in single precision.
- `cuda`: convolutions in half precision on a GPU, the whole cascade as one CUDA graph (`cuda_graph`).
- `auto`: the fastest of them on this host, as measured when a scan is opened.

Quantisation by one scale for each filter: Jacob 2018, 10.1109/CVPR.2018.00286.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mrsim.cache_folder import user_cache_folder
from mrsim.errors import CandidateError, HostError, MrsimError
from mrsim.files.reading import read_json
from mrsim.files.writing import write_json
from recon.cascade.block import ConvolutionBlock, StatefulBlock
from recon.cascade.cuda_graph import GraphedCascade
from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import Cascade

ENGINES = ("eager", "bfloat16", "int8", "cuda", "auto")

CALIBRATION = 3
"""Images in single precision from which the ranges of activations are taken."""

HEADROOM = 1.25
"""Factor from the largest activation in those images to the range."""

CODES = 255

ROUNDS = 3
MAX_CHOICES_BYTES = 1 << 20


def accelerated(cascade: Cascade, engine: str) -> Cascade:
    """Return a cascade with the same weights that runs its convolutions in another way.

    Parameters
    ----------
    cascade
        The cascade; it is left as it is.
    engine
        One of `ENGINES`, but for `auto`.

    Raises
    ------
    CandidateError
        If there is no such engine, or not on this processor.
    """
    if engine == "eager":
        return cascade
    halved = HalvedStatefulBlock if cascade.config.recurrent else HalvedBlock
    makers: dict[str, Callable[[Any], nn.Module]] = {
        "bfloat16": halved,
        "int8": QuantisedBlock,
        "cuda": lambda block: HalvedBlock(block, torch.float16),
    }
    if engine not in makers:
        raise CandidateError(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if cascade.config.recurrent and engine in ("int8", "cuda"):
        raise CandidateError(f"engine {engine!r}: it runs no recurrent cascade; take 'eager' or 'bfloat16'")
    if engine == "int8" and not can_quantise():
        raise HostError("engine 'int8': this build of torch has no 8-bit convolutions here; take 'eager'")
    if engine == "cuda" and not torch.cuda.is_available():
        raise HostError("engine 'cuda': torch finds no GPU here; take 'auto', the fastest of the others")
    made = copy.copy(cascade)
    made._modules = dict(cascade._modules)
    blocks = [makers[engine](block) for block in cascade.blocks]
    made.blocks = nn.ModuleList(blocks)
    return GraphedCascade(made, "cuda") if engine == "cuda" else made


def choose(cascade: Cascade, inputs: CascadeInputs) -> tuple[Cascade, str]:
    """Return the cascade on the engine that runs fastest here, and a sentence that names it.

    The choice is kept in a file in the user's cache, for each processor and GPU, build of torch, number of
    threads, and size of network and image. Without such a file the engines are measured each time.

    Parameters
    ----------
    cascade
        The cascade.
    inputs
        The inputs of the timed runs.
    """
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    host = {"machine": platform.machine(), "processor": _processor(), "gpu": gpu, "torch": torch.__version__}
    size = {"threads": torch.get_num_threads(), "matrix": list(inputs.shared.shape[-2:])}
    key = json.dumps(host | size | cascade.config.to_dict(), sort_keys=True)
    known = _read_choices()
    try:
        if key in known:
            return accelerated(cascade, known[key]), f"engine {known[key]}, as measured here before"
    except MrsimError:  # the file names an engine that is not here: measure
        pass
    found: dict[str, Cascade] = {}
    for engine in ENGINES[:-1]:
        with contextlib.suppress(MrsimError):
            found[engine] = accelerated(cascade, engine)
    taken = dict.fromkeys(found, math.inf)
    for made in found.values():
        warm_up(made, inputs)
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for engine, made in found.items():
                start = time.perf_counter_ns()
                made(inputs)
                taken[engine] = min(taken[engine], (time.perf_counter_ns() - start) / 1e6)
    best = min(taken, key=lambda engine: taken[engine])
    _write_choices(known | {key: best})
    timings = ", ".join(f"{engine} {ms:.3g} ms" for engine, ms in taken.items())
    return found[best], f"engine {best}: {timings}"


def warm_up(cascade: Cascade, inputs: CascadeInputs) -> None:
    """Run a cascade until its runs take their final form."""
    with torch.inference_mode():
        for _ in range(1 + CALIBRATION * any(isinstance(b, QuantisedBlock) for b in cascade.blocks)):
            cascade(inputs)


def forget_ranges(cascade: Cascade) -> None:
    """Let an engine take the ranges of activations from the next images."""
    for block in cascade.blocks:
        if isinstance(block, QuantisedBlock):
            block.forget()


def _choices_file() -> Path:
    folder = user_cache_folder()
    if folder is None:
        raise FileNotFoundError("the user has no home")
    return folder / "engines.json"


def _read_choices() -> dict[str, str]:
    try:
        read = read_json(_choices_file(), MAX_CHOICES_BYTES)
    except (OSError, MrsimError):
        return {}
    if not isinstance(read, dict):
        return {}
    return {key: value for key, value in read.items() if value in ENGINES[:-1]}


def _write_choices(choices: dict[str, str]) -> None:
    # A home that cannot be written to only costs time.
    with contextlib.suppress(OSError, MrsimError):
        path = _choices_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, choices)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def can_quantise() -> bool:
    """Return whether this build of torch has 8-bit convolutions here."""
    has_library: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_library and hasattr(torch.ops.onednn, "qconv2d_pointwise")


class HalvedBlock(ConvolutionBlock):
    """Convolve in 16 bits.

    Parameters
    ----------
    block
        The block in single precision.
    dtype
        `torch.bfloat16`, or `torch.float16`, which has eight times the precision and ends at 65504.
    """

    def __init__(self, block: ConvolutionBlock, dtype: torch.dtype = torch.bfloat16) -> None:
        nn.Module.__init__(self)
        self.fold, self._dtype = block.fold, dtype
        self.convolutions = copy.deepcopy(block.convolutions).to(dtype)

    def convolve(self, values: Tensor) -> Tensor:
        """Return the block's channels, float32."""
        return super().convolve(values.to(self._dtype))


class HalvedStatefulBlock(nn.Module):
    """Convolve a block that carries something on in bfloat16; what it carries stays in single precision.

    Parameters
    ----------
    block
        The block in single precision.
    """

    def __init__(self, block: StatefulBlock) -> None:
        super().__init__()
        self.block = copy.deepcopy(block)
        for layer in self.block.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(torch.bfloat16)

    def begin(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return what is carried before a scan's first frame."""
        with torch.autocast(image.device.type, torch.bfloat16):
            return self.block.begin(image)

    def forward(self, images: Tensor, carried: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return a change of the first image, and what is carried on."""
        with torch.autocast(images.device.type, torch.bfloat16):  # it rounds what a convolution is given
            found: tuple[Tensor, tuple[Tensor, ...]] = self.block(images, carried)
        return found


class QuantisedBlock(ConvolutionBlock):
    """Convolve in 8 bits, but for the first layer's input and the last one's output.

    Each image checks one layer, in turn. If the layer uses the largest code, its range is doubled.

    Parameters
    ----------
    block
        The block in single precision.
    """

    def __init__(self, block: ConvolutionBlock) -> None:
        nn.Module.__init__(self)
        self.fold = block.fold
        self.convolutions = block.convolutions
        self.forget()

    def forget(self) -> None:
        """Take the ranges from the next images."""
        self._ranges = [0.0] * (len(self.convolutions) - 1)
        self._images = 0
        self._packed: list[Any] = []

    def convolve(self, values: Tensor) -> Tensor:
        """Return the block's channels, float32."""
        self._images += 1
        if self._images <= CALIBRATION:
            return self._calibrate(values)
        if not self._packed:
            self._pack()
        weight, bias = self._first
        # The bias has half a code more, so that the conversion below rounds. The kernel is named because
        # torch would choose one of twice the time for so few channels, and another pass to limit the range.
        first = torch.ops.mkldnn._convolution_pointwise(
            values, weight, bias, [1, 1], [1, 1], [1, 1], 1, "hardtanh", [0.0, float(CODES)], ""
        )
        # numpy converts in two thirds of torch's time, and finds the largest code in a fifth.
        codes = torch.from_numpy(_channels_last(first).astype(np.uint8)).permute(0, 3, 1, 2)
        looked_at, full = self._images % len(self._ranges), False
        for number, (layer, packed) in enumerate(zip(self.convolutions[1:], self._packed, strict=True)):
            if number == looked_at:
                full = int(_channels_last(codes).max()) == CODES
            last = number == len(self._packed) - 1
            codes = torch.ops.onednn.qconv2d_pointwise(
                codes,
                self._ranges[number] / CODES,
                0,
                *packed,
                cast(nn.Conv2d, layer).bias,
                [1, 1],
                [1, 1],
                [1, 1],
                1,
                1.0 if last else self._ranges[number + 1] / CODES,
                0,
                torch.float32 if last else torch.uint8,
                "none" if last else "relu",
                [],
                "",
            )
        if full:  # the present image is clipped; the next one is not
            self._ranges[looked_at] *= 2
            self._packed = []
        return codes

    def _calibrate(self, values: Tensor) -> Tensor:
        *inner, last = (cast(nn.Conv2d, module) for module in self.convolutions)
        for number, convolution in enumerate(inner):
            values = torch.relu_(convolution(values))
            self._ranges[number] = max(self._ranges[number], HEADROOM * float(values.max()), 1e-6)
        out: Tensor = last(values)
        return out

    def _pack(self) -> None:
        """Prepare the weights for the kernels, with the present ranges."""
        first, *rest = (cast(nn.Conv2d, module) for module in self.convolutions)
        assert first.bias is not None
        scale = CODES / self._ranges[0]
        weight = (first.weight.detach() * scale).contiguous(memory_format=torch.channels_last)
        self._first = weight, first.bias.detach() * scale + 0.5
        self._packed = []
        for layer, reach in zip(rest, self._ranges, strict=True):
            scales = layer.weight.detach().abs().amax((1, 2, 3)).clamp(min=1e-12) / 127
            codes = (layer.weight.detach() / scales[:, None, None, None]).round().to(torch.int8)
            packed = torch.ops.onednn.qconv_prepack(
                codes, scales, reach / CODES, 0, [1, 1], [1, 1], [1, 1], 1, None
            )
            self._packed.append((packed, scales, torch.zeros(len(scales), dtype=torch.int64)))


def _channels_last(values: Tensor) -> NDArray[Any]:
    return values.detach().permute(0, 2, 3, 1).numpy()
