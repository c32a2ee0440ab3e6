"""Networks as reconstructors: a `torch.nn.Module`, an exported program or an ONNX file.

A network takes one of two forms, and how many tensors it takes says which:

- one tensor, *image*: the zero-filled image of the frame, shape (1, 2 coils, ny, nx);
- two tensors, *kspace*: the frame's k-space, shape (1, 2 coils, ny, nx), zero where nothing was sampled, with
  k = 0 at (ny // 2, nx // 2), and the mask of its rows, shape (1, 1, ny, 1), 1 where a row was sampled.

All are float32, with the real and the imaginary part of each coil one after the other. The network returns
the image, shape (1, 2, ny, nx), or its magnitude, shape (1, 1, ny, nx). It does its own scaling, so that a
file is complete. A network that uses earlier frames needs an object with open, push and close.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mrsim.argument_types import checked
from mrsim.errors import CandidateError, MissingExtraError, MrsimError
from mrsim.stream import Header
from recon.exported import load_program
from recon.fourier import to_image
from recon.protocol import UNIFORM, Emit, FrameAdapter

MAX_ONNX_BYTES = 2 << 30
FORMS = {1: "image", 2: "kspace"}

Network = Callable[..., NDArray[np.float32]]
"""Takes float32 arrays and returns one."""


class NetworkAdapter(FrameAdapter):
    """Run a network on each frame.

    Parameters
    ----------
    network
        The network.
    form
        "image" or "kspace": what it takes (see the module).
    name
        Its name in errors.

    Raises
    ------
    CandidateError
        If there is no such form.
    """

    def __init__(self, network: Network, form: str, name: str = "network") -> None:
        if form not in FORMS.values():
            raise CandidateError(f"{name}: form {form!r}: expected image or kspace")
        super().__init__(self._reconstruct)
        self._network, self._form, self._name = network, form, name

    def fresh(self) -> NetworkAdapter:
        """Return another reconstructor of the same network."""
        other = NetworkAdapter(self._network, self._form, self._name)
        other.combination = self.combination
        return other

    def open(self, header: Header, emit: Emit) -> None:
        """Prepare for a scan, and run the network once to warm it up.

        Raises
        ------
        CandidateError
            If the network cannot take the scan's matrix and coils, or returns something else than an image.
        """
        super().open(header, emit)
        ny, nx = header.matrix
        try:
            self._reconstruct(np.zeros((header.coils, ny, nx), np.complex64), np.zeros(ny, np.bool_))
        except MrsimError:
            raise
        except (Exception, SystemExit) as error:
            message = " ".join(str(error).split())[:200]
            raise CandidateError(
                f"{self._name}: it cannot take a scan of {ny} x {nx} and {header.coils} coil(s), as a tensor "
                f"{(1, 2 * header.coils, ny, nx)} ({self._form}): {type(error).__name__}: {message}"
            ) from None

    def _reconstruct(self, kspace: NDArray[np.complex64], mask: NDArray[np.bool_]) -> NDArray[np.complex64]:
        if self._form == "image":
            out = self._network(to_channels(to_image(kspace)))
        else:
            rows = mask.astype(np.float32).reshape(1, 1, -1, 1)
            out = self._network(to_channels(kspace), rows)
        return self._pixels(np.asarray(out), kspace.shape[1:])

    def _pixels(self, out: NDArray[Any], matrix: tuple[int, ...]) -> NDArray[np.complex64]:
        if out.dtype.kind != "f" or out.shape not in ((1, 1, *matrix), (1, 2, *matrix)):
            raise CandidateError(
                f"{self._name}: it returned {out.dtype} {out.shape}, expected float32 {(1, 2, *matrix)} "
                f"(real, imaginary) or {(1, 1, *matrix)} (magnitude)"
            )
        pixels = np.zeros(matrix, np.complex64)
        pixels.real = out[0, 0]
        if out.shape[1] == 2:
            pixels.imag = out[0, 1]
        return pixels


def to_channels(values: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Return complex values, shape (coils, ny, nx), as float32 of shape (1, 2 coils, ny, nx)."""
    parts = np.ascontiguousarray(values).view(np.float32).reshape(*values.shape, 2)
    return np.ascontiguousarray(parts.transpose(0, 3, 1, 2)).reshape(1, -1, *values.shape[1:])


@checked
def from_module(module: torch.nn.Module, form: str | None = None, name: str | None = None) -> NetworkAdapter:
    """Make a reconstructor of a network in PyTorch; it is put into evaluation mode.

    Parameters
    ----------
    module
        The network, on any device; its attribute `combination`, if it has one, says how it combines coils.
    form
        "image" or "kspace"; None to go by how many arguments its `forward` needs.
    name
        Its name in errors.

    Raises
    ------
    CandidateError
        If its `forward` needs neither one nor two arguments and no form is given.
    """
    name = name or type(module).__name__
    if form is None:
        needed = [
            p for p in inspect.signature(module.forward).parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]  # fmt: skip
        form = _form(len(needed), name)
    module.eval()
    device = next((p.device for p in module.parameters()), torch.device("cpu"))

    def network(*inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            out = module(*(torch.from_numpy(values).to(device) for values in inputs))
            return np.asarray(out.cpu().numpy())

    adapter = NetworkAdapter(network, form, name)
    adapter.combination = str(getattr(module, "combination", UNIFORM))
    return adapter


@checked
def from_export(path: str | Path) -> NetworkAdapter:
    """Make a reconstructor of an exported program (`torch.export.save`, .pt2).

    Raises
    ------
    CandidateError
        If the file is none, could do more than compute, or takes neither one nor two tensors.
    """
    module, inputs = load_program(path)

    def network(*values: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(module(*(torch.from_numpy(v) for v in values)).numpy())

    return NetworkAdapter(network, _form(inputs, str(path)), str(path))


@checked
def from_onnx(path: str | Path) -> NetworkAdapter:
    """Make a reconstructor of an ONNX file, run on the processor by onnxruntime.

    Raises
    ------
    CandidateError
        If the file is none, or takes neither one nor two tensors of float32.
    MissingExtraError
        If onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "onnx", "running an ONNX file") from None
    path = Path(path)
    if not path.is_file():
        raise CandidateError(f"{path}: there is no such file")
    if path.stat().st_size > MAX_ONNX_BYTES:
        raise CandidateError(f"{path}: larger than {MAX_ONNX_BYTES >> 30} GiB")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin between two images would take the cores from all else.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common root
        raise CandidateError(
            f"{path}: not an ONNX file that runs: {' '.join(str(error).split())[:200]}"
        ) from None
    inputs = session.get_inputs()
    if any(value.type != "tensor(float)" for value in inputs):
        raise CandidateError(f"{path}: it takes {', '.join(v.type for v in inputs)}, expected tensor(float)")
    names = [value.name for value in inputs]

    def network(*values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, dict(zip(names, values, strict=True)))[0])

    return NetworkAdapter(network, _form(len(names), str(path)), str(path))


def _form(inputs: int, name: str) -> str:
    if inputs not in FORMS:
        raise CandidateError(f"{name}: it takes {inputs} tensors, expected 1 (image) or 2 (k-space and mask)")
    return FORMS[inputs]
