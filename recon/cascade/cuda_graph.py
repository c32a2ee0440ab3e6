"""The cascade on a GPU, as one graph between buffers that stay where they are.

A GPU computes a layer faster than a CPU launches it. So the hundreds of kernels of an image are recorded
once, and launched together from then on. A recorded kernel reads and writes fixed addresses. So an image's
inputs are copied into pinned memory, from which the graph reads them, and its pixels are copied out of the
pinned memory to which the graph writes them. An image that was returned is never written to again.

On the CPU the same buffers work without a graph, so that tests check the copies without a GPU.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor, nn

from recon.cascade.inputs import CascadeInputs
from recon.cascade.network import Cascade

MAX_SHAPES = 4
"""Shapes of input whose buffers are kept: the whole image, a band of it, and two more."""

WARM_RUNS = 3
"""Runs before the recording, in which libraries choose kernels and allocate workspaces."""


class GraphedCascade(Cascade):
    """Run a cascade on a device, from host memory to host memory.

    Parameters
    ----------
    cascade
        The cascade; it is left as it is.
    device
        `cuda`, or `cpu`, where nothing is recorded.
    """

    def __init__(self, cascade: Cascade, device: str = "cuda") -> None:
        nn.Module.__init__(self)
        self.config, self.weight = cascade.config, cascade.weight
        self.blocks, self.weights, self.subspace = cascade.blocks, cascade.weights, cascade.subspace
        moved = copy.copy(cascade)
        # Without the subspace: its estimate is made on the host, while lines come.
        moved._modules = {
            name: copy.deepcopy(part) for name, part in cascade._modules.items() if name != "subspace"
        }
        moved.subspace = None
        self._device = torch.device(device)
        self._moved = (moved.to(self._device).eval(),)  # in a tuple, so that it is no part of this module
        self._graphs: dict[tuple[object, ...], _GraphBuffers] = {}

    def forward(self, inputs: CascadeInputs) -> Tensor:
        """Reconstruct a batch of frames, in host memory; the first of every shape is recorded.

        Parameters
        ----------
        inputs
            Lines and memory, in host memory.

        Returns
        -------
        images
            Shape (batch, ny, nx), complex64, of their own memory.
        """
        shape = tuple(
            None if values is None else (tuple(values.shape), values.dtype)
            for values in (getattr(inputs, field.name) for field in dataclasses.fields(inputs))
        )
        buffers = self._graphs.get(shape)
        if buffers is None:
            if len(self._graphs) == MAX_SHAPES:
                del self._graphs[next(iter(self._graphs))]
            buffers = self._graphs[shape] = _GraphBuffers(self._moved[0], inputs, self._device)
        return buffers(inputs)


class _GraphBuffers:
    """Hold the buffers of one shape of input, and the graph between them.

    Parameters
    ----------
    cascade
        The cascade on its device.
    like
        Inputs of this shape.
    device
        That device.
    """

    @torch.inference_mode()
    def __init__(self, cascade: Cascade, like: CascadeInputs, device: torch.device) -> None:
        self._cascade, self._device = cascade, device
        pinned = device.type == "cuda"
        self._host = like.map(lambda v: torch.empty(v.shape, dtype=v.dtype, pin_memory=pinned))
        self._inputs = like.map(lambda v: torch.empty(v.shape, dtype=v.dtype, device=device))
        shape = like.shared.shape
        self._image = torch.empty(shape, dtype=torch.complex64, pin_memory=pinned)
        self._graph: torch.cuda.CUDAGraph | None = None
        if pinned:
            self._fill(like)
            self._record()

    @torch.inference_mode()
    def __call__(self, inputs: CascadeInputs) -> Tensor:
        """Return the images of inputs."""
        self._fill(inputs)
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()
            torch.cuda.current_stream(self._device).synchronize()
        return self._image.clone()

    def _record(self) -> None:
        present = torch.cuda.current_stream(self._device)
        aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(present)
        with torch.cuda.stream(aside), torch.backends.cudnn.flags(benchmark=True):
            for _ in range(WARM_RUNS):
                self._step()
        present.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph), torch.backends.cudnn.flags(benchmark=True):
            self._step()
        self._graph = graph

    def _fill(self, inputs: CascadeInputs) -> None:
        for field in dataclasses.fields(inputs):
            held, values = getattr(self._host, field.name), getattr(inputs, field.name)
            if held is not None:
                held.copy_(values)

    def _step(self) -> None:
        """Bring the inputs to the device, and the images back."""
        for field in dataclasses.fields(self._host):
            held = getattr(self._host, field.name)
            if held is not None:
                getattr(self._inputs, field.name).copy_(held, non_blocking=True)
        self._image.copy_(self._cascade(self._inputs), non_blocking=True)
