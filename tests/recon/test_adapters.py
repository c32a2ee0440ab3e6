"""Networks as reconstructors: what goes in and comes out, and what a file may not do."""

from __future__ import annotations

import io
import json
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mrsim.errors import InputError, MissingExtraError
from mrsim.stream import Stream
from recon.adapters import from_export, from_module, from_onnx, to_channels
from recon.fourier import to_image, to_kspace
from recon.protocol import ROOT_SUM, UNIFORM, FrameAdapter, Reconstructor
from tests.recon.conftest import run, small_stream

NY, NX = 24, 20


class Identity(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * 1.0


class Magnitude(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image * image).sum(dim=1, keepdim=True).sqrt()


class FromKspace(torch.nn.Module):
    """The transform itself, of the rows that the mask names; what is elsewhere counts for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        kspace = kspace * mask * self.scale
        values = torch.fft.ifftshift(torch.complex(kspace[:, 0], kspace[:, 1]), dim=(-2, -1))
        image = torch.fft.fftshift(torch.fft.ifft2(values, norm="ortho"), dim=(-2, -1))
        return torch.stack([image.real, image.imag], dim=1)


class Smooth(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5),
            torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3, padding=1),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = image + self.layers(image)
        return out


def zero_filled(kspace: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return to_image(kspace)[0]


def pixels(reconstructor: Reconstructor, stream: Stream) -> np.ndarray:
    return np.stack([image.pixels for image in run(reconstructor, stream)])


@pytest.fixture
def short(stream: Stream) -> Stream:
    return stream.first_frames(6)


def export(module: torch.nn.Module, path: Path, *shapes: tuple[int, ...], **options: Any) -> Path:
    example = tuple(torch.zeros(shape) for shape in shapes)
    torch.export.save(torch.export.export(module.eval(), example, **options), path)
    return path


def test_channels_are_the_real_and_imaginary_part_of_each_coil() -> None:
    rng = np.random.default_rng(2)
    values = (rng.normal(size=(3, 4, 5)) + 1j * rng.normal(size=(3, 4, 5))).astype(np.complex64)
    channels = to_channels(values)
    assert (channels.shape, channels.dtype) == ((1, 6, 4, 5), np.float32)
    for coil in range(3):
        assert np.array_equal(channels[0, 2 * coil], values[coil].real)
        assert np.array_equal(channels[0, 2 * coil + 1], values[coil].imag)


@pytest.mark.parametrize("module", [Identity(), FromKspace()])
def test_both_forms_are_given_the_same_frame(module: torch.nn.Module, short: Stream) -> None:
    expected = pixels(FrameAdapter(zero_filled), short)
    assert np.allclose(pixels(from_module(module), short), expected, atol=1e-5 * np.abs(expected).max())


def test_a_magnitude_is_an_image_too(short: Stream) -> None:
    expected = np.abs(pixels(FrameAdapter(zero_filled), short))
    made = pixels(from_module(Magnitude()), short)
    assert np.allclose(made, expected, atol=1e-5 * expected.max())
    assert not made.imag.any()


def test_the_mask_marks_the_rows_that_were_sampled(short: Stream) -> None:
    seen: list[np.ndarray] = []

    class Keeps(torch.nn.Module):
        def forward(self, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            seen.append(mask.numpy().copy())
            return kspace[:, :2]

    run(from_module(Keeps()), short)
    assert seen[0].shape == (1, 1, NY, 1)
    rows = np.flatnonzero(seen[-1].ravel())
    lines = short.ky[-short.header.lines_per_frame :] + NY // 2
    assert np.array_equal(rows, np.sort(lines))


def test_a_network_left_in_training_is_put_into_evaluation(short: Stream) -> None:
    module = Smooth().train()
    first, second = (pixels(from_module(module), short) for _ in range(2))
    assert np.array_equal(first, second)  # dropout would differ
    assert not module.training


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_file_shows_what_its_module_shows(kind: str, tmp_path: Path, short: Stream) -> None:
    module = Smooth().eval()
    expected = pixels(from_module(module), short)
    path = tmp_path / f"net.{kind}"
    if kind == "pt2":
        made = from_export(export(module, path, (1, 2, NY, NX)))
    else:
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
        example = (torch.zeros(1, 2, NY, NX),)
        torch.onnx.export(module, example, path, dynamo=True, external_data=False, verbose=False)
        made = from_onnx(path)
    got = pixels(made, short)
    assert np.allclose(got, expected, atol=1e-5 * np.abs(expected).max())
    assert np.array_equal(pixels(made.fresh(), short), got)
    other = small_stream(frames=2, ny=32, lines=8)
    with pytest.raises(InputError, match="cannot take a scan of 32 x 20 and 1 coil") as caught:
        run(made, other)
    assert "\n" not in str(caught.value)


def test_an_exported_program_may_take_kspace_and_mask(tmp_path: Path, short: Stream) -> None:
    path = export(FromKspace(), tmp_path / "net.pt2", (1, 2, NY, NX), (1, 1, NY, 1))
    expected = pixels(FrameAdapter(zero_filled), short)
    assert np.allclose(pixels(from_export(path), short), expected, atol=1e-5 * np.abs(expected).max())


class Three(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return a + b + c


class WrongShape(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :, :5]


class Complex(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.complex(image[:, :1], image[:, 1:])


def test_what_is_no_network_of_ours_is_told(short: Stream, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"takes 3 tensors, expected 1 \(image\) or 2"):
        from_module(Three())
    with pytest.raises(InputError, match="takes 3 tensors"):
        from_export(export(Three(), tmp_path / "three.pt2", *[(1, 2, NY, NX)] * 3))
    with pytest.raises(InputError, match="form 'magic'"):
        from_module(Identity(), "magic")
    with pytest.raises(
        InputError, match=r"returned float32 \(1, 2, 5, 20\), expected float32 \(1, 2, 24, 20\)"
    ):
        run(from_module(WrongShape()), short)
    with pytest.raises(InputError, match="returned complex64"):
        run(from_module(Complex()), short)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mrsim\[onnx\]'"):
        from_onnx(tmp_path / "net.onnx")


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    for make, suffix in ((from_export, "pt2"), (from_onnx, "onnx")):
        if make is from_onnx:
            pytest.importorskip("onnxruntime")
        path = tmp_path / f"net.{suffix}"
        with pytest.raises(InputError, match="there is no such file"):
            make(path)
        for content in (b"", b"garbage" * 100, b"PK\x03\x04" + bytes(200)):
            path.write_bytes(content)
            with pytest.raises(InputError, match=str(path)) as caught:
                make(path)
            assert "\n" not in str(caught.value)


Change = Callable[[str, bytes], bytes | None]


def altered(path: Path, out: Path, change: Change, more: dict[str, bytes] | None = None) -> Path:
    """Write the archive again with its entries changed; None leaves one out."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out, "w") as new:
        root = archive.namelist()[0].partition("/")[0]
        for name in archive.namelist():
            content = change(name.partition("/")[2], archive.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in (more or {}).items():
            new.writestr(f"{root}/{name}", content)
    return out


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def in_json(name: str, edit: Callable[[Any], None]) -> Change:
    def change(entry: str, content: bytes) -> bytes:
        if entry != name:
            return content
        values = json.loads(content)
        edit(values)
        return json.dumps(values).encode()

    return change


def _pickled(values: Any) -> None:
    for payload in values["config"].values():
        payload["use_pickle"] = True


def _calls_the_system(values: Any) -> None:
    values["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def _loads_a_library(values: Any) -> None:
    values["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.load_library"


def _reads_a_file(values: Any) -> None:
    values["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def _guards(values: Any) -> None:
    values["guards_code"] = ["__import__('os').system('true')"]


def _argument(values: Any) -> None:
    call = values["graph_module"]["module_call_graph"][0]["signature"]
    call["forward_arg_names"] = ["x=__import__('os').system('true')"]


def _expression(values: Any) -> None:
    sizes = values["graph_module"]["graph"]["tensor_values"]
    next(iter(sizes.values()))["sizes"][0] = {"as_expr": {"expr_str": "open('x','w')", "hint": None}}


def _factory(values: Any) -> None:
    call = values["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = call["in_spec"].replace("builtins.dict", "collections.defaultdict")


def _weight_name(values: Any) -> None:
    values["config"]["a');open('x"] = next(iter(values["config"].values()))


@pytest.mark.parametrize(
    ("entry", "edit", "message"),
    [
        ("data/weights/model_weights_config.json", _pickled, "pickled tensors"),
        ("data/weights/model_weights_config.json", _weight_name, "not a name"),
        ("models/model.json", _calls_the_system, "operator 'torch.os.system'"),
        ("models/model.json", _loads_a_library, "operator 'torch.ops.load_library'"),
        ("models/model.json", _reads_a_file, "operator 'torch.ops.aten.from_file.default'"),
        ("models/model.json", _guards, "guards_code"),
        ("models/model.json", _argument, "not a name"),
        ("models/model.json", _expression, "fixed shapes"),
        ("models/model.json", _factory, "arguments other than tensors"),
    ],
)
def test_a_program_that_could_run_code_is_refused(
    entry: str, edit: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    path = export(Smooth(), tmp_path / "net.pt2", (1, 2, NY, NX))
    bad = altered(path, tmp_path / "bad.pt2", in_json(entry, edit))
    with pytest.raises(InputError, match=message) as caught:
        from_export(bad)
    assert str(caught.value).startswith(str(bad))
    assert "\n" not in str(caught.value)


def test_pickles_in_a_file_are_never_opened(tmp_path: Path) -> None:
    """Torch itself would open what is marked as an object of its own kind."""
    path, witness = export(Smooth(), tmp_path / "net.pt2", (1, 2, NY, NX)), tmp_path / "witness"
    bomb = pickle.dumps(Bomb(witness))

    def add(values: Any) -> None:
        values["config"]["secret"] = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True,
                                      "tensor_meta": None}  # fmt: skip

    config = "data/constants/model_constants_config.json"
    bad = altered(path, tmp_path / "bad.pt2", in_json(config, add), {"data/constants/opaque_obj_0": bomb})
    with pytest.raises(InputError):
        from_export(bad)
    assert not witness.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.export.load(io.BytesIO(bad.read_bytes()))
        except Exception as error:  # what is asserted is that it ran, not how it ended
            print(error)
    assert witness.exists()  # the bomb is a real one


def test_a_program_of_free_shape_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    rows = torch.export.Dim("rows", min=8, max=512)
    path = export(Smooth(), tmp_path / "net.pt2", (1, 2, NY, NX), dynamic_shapes=({2: rows},))
    with pytest.raises(InputError, match="export it with fixed shapes"):
        from_export(path)


def test_zero_filled_of_the_test_is_the_transform(short: Stream) -> None:
    image = pixels(FrameAdapter(zero_filled), short)[0]
    lines = short.header.lines_per_frame
    rows = short.ky[:lines] + NY // 2
    assert np.allclose(to_kspace(image)[rows], short.samples[:lines, 0], atol=1e-4)


def test_a_function_and_a_network_say_how_they_combine_coils() -> None:
    def function(kspace, mask):
        return kspace[0]

    assert FrameAdapter(function).combination == UNIFORM
    function.combination = ROOT_SUM  # type: ignore[attr-defined]
    assert FrameAdapter(function).combination == ROOT_SUM
    network = Identity()
    assert from_module(network).fresh().combination == UNIFORM
    network.combination = ROOT_SUM  # type: ignore[assignment]
    assert from_module(network).fresh().combination == ROOT_SUM


def test_a_function_that_returns_nothing_is_told_so() -> None:
    with pytest.raises(TypeError, match="the function returned None: expected an image of shape"):
        run(FrameAdapter(lambda kspace, mask: None), small_stream())  # type: ignore[arg-type, return-value]
