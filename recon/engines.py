"""Several ways to run the same weights: what differs is how a block's convolutions are computed.

Transforms and data consistency stay in single precision in all of them, so an engine may round what the
network believes, but never what was acquired.

- `eager`: single precision, channels last. The reference.
- `bfloat16`: convolutions in bfloat16, where the processor has it.
- `int8`: activations in 8 bits without a sign (they follow a ReLU) and weights in 8 bits with one scale for
  each filter, summed in 32 bits; a block's first layer sees single precision and its last returns it. Ranges
  are those of the scan's own first images, which run in single precision.
- `auto`: the fastest of them on this host, as measured when a scan is opened.

Quantisation by one scale for each filter: Jacob 2018, 10.1109/CVPR.2018.00286.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mrsim.errors import InputError
from recon.cascade import Cascade, ConvolutionBlock

ENGINES = ("eager", "bfloat16", "int8", "auto")

CALIBRATION = 3
"""Images in single precision from which the ranges of activations are taken."""

HEADROOM = 1.25
"""By how much a range is wider than what was seen in those."""

CODES = 255


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
    InputError
        If there is no such engine, or not on this processor.
    """
    if engine == "eager":
        return cascade
    makers: dict[str, Callable[[ConvolutionBlock], nn.Module]] = {
        "bfloat16": HalvedBlock,
        "int8": QuantisedBlock,
    }
    if engine not in makers:
        raise InputError(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if engine == "int8" and not can_quantise():
        raise InputError("engine 'int8': this build of torch has no 8-bit convolutions here; take 'eager'")
    made = copy.copy(cascade)
    made._modules = dict(cascade._modules)
    blocks = [makers[engine](cast(ConvolutionBlock, block)) for block in cascade.blocks]
    made.blocks = nn.ModuleList(blocks)
    return made


def fastest(
    cascade: Cascade, run: Callable[[Cascade], object], rounds: int = 3
) -> tuple[str, Cascade, dict[str, float]]:
    """Return the engine that runs fastest here, the cascade on it, and the time of each, milliseconds.

    Parameters
    ----------
    cascade
        The cascade.
    run
        Runs a cascade once.
    rounds
        Timed runs of each, in turns; the least counts.
    """
    found: dict[str, Cascade] = {}
    for engine in ENGINES[:-1]:
        try:
            found[engine] = accelerated(cascade, engine)
        except InputError:
            continue
    for made in found.values():
        for _ in range(CALIBRATION + 1):
            run(made)
    taken = dict.fromkeys(found, float("inf"))
    for _ in range(rounds):
        for engine, made in found.items():
            start = time.perf_counter_ns()
            run(made)
            taken[engine] = min(taken[engine], (time.perf_counter_ns() - start) / 1e6)
    best = min(taken, key=lambda engine: taken[engine])
    return best, found[best], taken


def can_quantise() -> bool:
    """Return whether 8-bit convolutions can be had."""
    return bool(hasattr(torch.ops.onednn, "qconv2d_pointwise") and torch.backends.mkldnn.is_available())


class HalvedBlock(ConvolutionBlock):
    """Convolve in bfloat16.

    Parameters
    ----------
    block
        The block in single precision.
    """

    def __init__(self, block: ConvolutionBlock) -> None:
        nn.Module.__init__(self)
        self.fold = block.fold
        self.convolutions = copy.deepcopy(block.convolutions).bfloat16()

    def convolve(self, values: Tensor) -> Tensor:
        """Return the block's channels, float32."""
        return super().convolve(values.bfloat16())


class QuantisedBlock(ConvolutionBlock):
    """Convolve in 8 bits, but for the first layer's input and the last one's output.

    One layer is looked at in every image, in turn: if its largest code is taken, its range is doubled.

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
        """Take the ranges anew, from the next images."""
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
        # Half a code more, and what is cut off at the next line is rounded.
        codes = functional.conv2d(values, weight, bias, padding=1).clamp_(0, CODES).to(torch.uint8)
        looked_at, full = self._images % len(self._ranges), False
        for number, (layer, packed) in enumerate(zip(self.convolutions[1:], self._packed, strict=True)):
            if number == looked_at:
                full = int(codes.max()) == CODES
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
        if full:  # of the present image what lies beyond is cut off
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
        """Lay the weights out as the kernels want them, for the present ranges."""
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
