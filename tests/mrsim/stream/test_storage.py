"""Streams on disk: exact, whole or not at all, and never trusted before they are checked."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mrsim
from mrsim.errors import InputError
from mrsim.scanner.acquisition import scan, scan_to
from mrsim.stream import Stream, Truth, load, save
from mrsim.stream.storage import MAX_HEADER_BYTES, StreamWriter
from recon.classical.zero_filled import ViewSharing
from tests.mrsim.bodies import chest, small

FRAMES, SEED = 5, 6


@pytest.fixture(scope="module")
def stream() -> Stream:
    return scan(chest(), small(), seed=SEED, frames=FRAMES)


@pytest.fixture(scope="module")
def kept(stream: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(stream, tmp_path_factory.mktemp("kept") / "a.stream")


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    """Copy the stored stream, for a test to damage."""
    return Path(shutil.copytree(kept, tmp_path / "a.stream"))


def assert_same(one: Stream, other: Stream) -> None:
    assert one.header == other.header
    assert one.provenance == other.provenance
    for name in Stream.COLUMNS:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    assert (one.truth is None) == (other.truth is None)
    if one.truth is not None and other.truth is not None:
        assert (one.truth.regions, one.truth.target) == (other.truth.regions, other.truth.target)
        for name in Truth.ARRAYS:
            assert getattr(one.truth, name).tobytes() == getattr(other.truth, name).tobytes()


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    meta = json.loads((folder / "header.json").read_text("utf-8"))
    change(meta)
    (folder / "header.json").write_text(json.dumps(meta), "utf-8")


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value) or "header: " in str(error.value)


# What is whole.


def test_a_stored_stream_comes_back_bit_for_bit_mapped_and_read_only(stream, kept):
    back = load(kept)
    assert_same(back, stream)
    assert back.path == kept
    assert isinstance(back.samples, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        back.samples[0] = 0


def test_without_truth_or_provenance_it_comes_back_without(stream, tmp_path):
    bare = dataclasses.replace(stream, truth=None, provenance=None)
    assert_same(load(save(bare, tmp_path / "bare")), bare)


@pytest.mark.parametrize("chunk_frames", [None, 1, 2, 5])
def test_scanning_to_a_folder_is_scanning_to_memory(stream, tmp_path, chunk_frames):
    path = scan_to(
        tmp_path / "b.stream", chest(), small(), seed=SEED, frames=FRAMES, chunk_frames=chunk_frames
    )
    assert_same(load(path), stream)
    without = scan_to(tmp_path / "c.stream", chest(), small(), seed=SEED, frames=FRAMES, truth=False)
    assert_same(load(without), dataclasses.replace(stream, truth=None))


def test_a_scan_that_is_stored_twice_is_the_same_bytes(tmp_path):
    paths = [scan_to(tmp_path / n, chest(), small(), seed=SEED, frames=FRAMES) for n in "ab"]
    names = sorted(p.name for p in paths[0].iterdir())
    assert names == sorted(p.name for p in paths[1].iterdir())
    assert all((paths[0] / n).read_bytes() == (paths[1] / n).read_bytes() for n in names)


def test_a_stream_is_replaced_only_where_that_is_asked_for(stream, folder):
    shorter = stream.first_frames(2)
    with pytest.raises(InputError, match=r"a\.stream: a stream is there already; .* --overwrite"):
        save(shorter, folder)
    with pytest.raises(InputError, match="a stream is there already"):
        scan_to(folder, chest(), small(), seed=SEED, frames=1)
    assert_same(load(folder), stream)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_what_is_no_part_of_a_stream_is_not_lost_with_it(stream, folder):
    (folder / "notes").mkdir()
    (folder / "notes" / "keep.txt").write_text("precious")
    with pytest.raises(InputError, match="it holds 'notes', no part of a stream"):
        save(stream.first_frames(2), folder, overwrite=True)
    assert (folder / "notes" / "keep.txt").read_text() == "precious"
    assert_same(load(folder), stream)


def test_arrays_of_others_and_links_in_a_stream_are_not_lost_with_it(stream, folder):
    np.save(folder / "mine.npy", np.arange(3))
    with pytest.raises(InputError, match=r"it holds 'mine\.npy', no part of a stream"):
        save(stream.first_frames(2), folder, overwrite=True)
    (folder / "mine.npy").rename(folder.parent / "ky.npy")
    (folder / "noise.npy").symlink_to("../ky.npy")
    with pytest.raises(InputError, match=r"it holds 'noise\.npy', no part of a stream"):
        save(stream.first_frames(2), folder, overwrite=True)
    assert (folder / "noise.npy").is_symlink()


def test_a_stream_may_replace_one_even_the_one_it_is_mapped_from(stream, folder):
    assert_same(load(save(load(folder), folder, overwrite=True)), stream)
    shorter = stream.first_frames(2)
    assert_same(load(save(shorter, folder, overwrite=True)), shorter)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


# What is damaged.

ARRAYS = (*Stream.COLUMNS, *Truth.ARRAYS)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("left", [0, 5, 60, -1, -40])
def test_a_truncated_array_is_named(folder, name, left):
    file = folder / f"{name}.npy"
    os.truncate(file, left if left >= 0 else file.stat().st_size + left)
    refused(folder, f"{name}.npy: truncated or not a .npy array")


@pytest.mark.parametrize("name", ARRAYS)
def test_a_missing_array_is_named(folder, name):
    (folder / f"{name}.npy").unlink()
    refused(folder, f"{name}.npy: missing: the stream is incomplete")


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("how", ["dtype", "shape", "bytes"])
def test_an_array_of_another_kind_is_named(folder, name, how):
    array = np.load(folder / f"{name}.npy")
    wrong = {
        "dtype": np.zeros(array.shape, np.float16),
        "shape": array[1:],
        "bytes": np.zeros(
            array.shape, np.dtype(array.dtype if array.itemsize > 1 else "<i2").newbyteorder(">")
        ),
    }
    np.save(folder / f"{name}.npy", wrong[how])
    refused(folder, f"{name}.npy: it is .*, the header says")


class Bomb:
    """Leave a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("how", ["object array", "bare pickle"])
def test_a_pickle_is_refused_and_not_run(folder, tmp_path, how):
    trace, file = tmp_path / "ran", folder / "samples.npy"
    if how == "object array":
        np.save(file, np.array([Bomb(trace)] * 40, object), allow_pickle=True)
    else:
        file.write_bytes(pickle.dumps(Bomb(trace)))
    refused(folder, "samples.npy: truncated or not a .npy array")
    assert not trace.exists()


def test_an_archive_in_the_place_of_an_array_is_refused(folder):
    np.savez(folder / "samples.npz", samples=np.load(folder / "samples.npy"))
    os.replace(folder / "samples.npz", folder / "samples.npy")
    refused(folder, "samples.npy: ")


def test_a_folder_in_the_place_of_an_array_is_refused(folder):
    (folder / "ky.npy").unlink()
    (folder / "ky.npy").mkdir()
    refused(folder, "ky.npy: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"format": "mrsim-stream"', "not valid JSON"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"[" * 200_000, "nested more than 64 deep"),
        (b'{"lines": ' + b"1" * 5000 + b"}", "not valid JSON"),
        (b"[]", "format is not 'mrsim-stream'"),
        (b"{}", "format is not 'mrsim-stream'"),
        (b'{"format": "mrsim-stream", "version": 2}', "version = 2: this mrsim reads 1"),
        (b'{"format": "mrsim-stream"}', "version = None: this mrsim reads 1"),
        (b'{"format": "mrsim-stream", "version": 1}', "header: expected a table"),
        (b" " * (MAX_HEADER_BYTES + 1), "larger than"),
    ],
    ids=lambda v: None if isinstance(v, bytes) else v[:24],
)
def test_a_damaged_header_is_named(folder, text, message):
    (folder / "header.json").write_bytes(text)
    refused(folder, f"header.json: .*{message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(lines=0), "lines = 0: expected"),
        (lambda m: m.update(lines=1 << 40), "lines = 1099511627776: expected"),
        (lambda m: m.update(lines=40.0), "lines = 40.0: expected"),
        (lambda m: m.update(lines=True), "lines = True: expected"),
        (lambda m: m.pop("lines"), "lines = None: expected"),
        (lambda m: m.update(lines=41), "ky.npy: it is .*, the header says"),
        (lambda m: m["header"].update(matrix=[64, 64]), "samples.npy: it is .*, the header says"),
        (lambda m: m["header"].update(coils=2), "samples.npy: it is .*, the header says"),
        (lambda m: m["header"].update(seed=1), "unknown key 'seed'"),
        (lambda m: m["header"].pop("tr_ns"), "missing key 'tr_ns'"),
        (lambda m: m["header"].update(tr_ns="2"), "tr_ns = '2': expected int"),
        (lambda m: m["provenance"].pop("seed"), "provenance: missing key 'seed'"),
        (lambda m: m.update(provenance=[]), "provenance: expected a table"),
        (lambda m: m.update(truth=[]), "truth: expected a table"),
        (lambda m: m["truth"].update(target="ghost"), "truth: expected a list of regions and a target"),
        (lambda m: m["truth"].update(regions="body"), "truth: expected a list of regions and a target"),
        (lambda m: m["truth"].update(regions=["target"]), "displacement.npy: it is .*, the header says"),
        (lambda m: m["truth"].update(regions=["target"] * 5000), "truth: expected a list of regions"),
    ],
)
def test_a_header_that_says_something_else_is_refused(folder, change, message):
    rewrite(folder, change)
    refused(folder, message)


def test_a_row_outside_of_the_matrix_is_named(folder):
    ky = np.load(folder / "ky.npy")
    ky[11] = 99
    np.save(folder / "ky.npy", ky)
    refused(folder, "k-space line 11 \\(frame 1\\): ky = 99 is outside -16 to 15")


def test_what_is_no_folder_of_a_stream_is_refused(tmp_path):
    (tmp_path / "file").write_text("hello")
    for name, told in (
        ("nothing", "not a stream: nothing is there"),
        ("file", "not a stream: it is a file"),
        (".", "not a stream: it has no header"),
    ):
        with pytest.raises(InputError, match=told):
            load(tmp_path / name)
    with pytest.raises(InputError, match="'': an empty name"):
        load("")


def test_a_sample_that_is_no_number_is_named_with_its_file_line_and_frame(folder):
    samples = np.load(folder / "samples.npy")
    samples[19, 0, 3] = np.nan
    np.save(folder / "samples.npy", samples)
    with pytest.raises(InputError, match=r"a\.stream: k-space line 19 \(frame 2\): a sample is not finite"):
        load(folder).check_finite()


# What is half written.


def writer(stream: Stream, path: Path) -> StreamWriter:
    assert stream.truth is not None
    return StreamWriter(
        path,
        stream.header,
        len(stream),
        stream.provenance,
        (stream.truth.regions, stream.truth.target),
        overwrite=True,
    )


def write(
    stream: Stream, path: Path, lines: int, truth_frames: int, error: BaseException | None = None
) -> None:
    """Write some lines and some frames of truth, and perhaps fail then."""
    with writer(stream, path) as file:
        append(file, stream, lines, truth_frames)
        assert [p.name.startswith(f"{path.name}.partial-") for p in path.parent.iterdir() if p != path] == [
            True
        ]
        if error is not None:
            raise error


def append(writer: StreamWriter, stream: Stream, lines: int, truth_frames: int) -> None:
    writer.append(*(getattr(stream, name)[:lines] for name in Stream.COLUMNS))
    told = stream.truth
    assert told is not None
    count = truth_frames * stream.header.lines_per_frame
    writer.append_truth(
        told.displacement[:count], told.centroid[:count], told.image[:truth_frames], told.mask[:truth_frames]
    )


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, InputError])
def test_an_exception_leaves_nothing_behind(stream, tmp_path, kind):
    with pytest.raises(kind, match="stop"):
        write(stream, tmp_path / "a.stream", 16, 2, kind("stop"))
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_an_earlier_stream_alone(stream, folder):
    with pytest.raises(RuntimeError, match="stop"):
        write(stream, folder, 16, 2, RuntimeError("stop"))
    assert_same(load(folder), stream)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("lines", [0, 39])
def test_a_stream_with_lines_missing_never_appears(stream, tmp_path, lines):
    with pytest.raises(InputError, match=f"{lines} of 40 lines were written"):
        write(stream, tmp_path / "a.stream", lines, 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("frames", [0, 4])
def test_a_stream_with_truth_missing_never_appears(stream, tmp_path, frames):
    with pytest.raises(InputError, match=f"the truth of {frames * 8} of 40"):
        write(stream, tmp_path / "a.stream", 40, frames)
    assert list(tmp_path.iterdir()) == []


def test_a_scan_that_is_stopped_leaves_nothing_behind(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_to(tmp_path / "a", chest(), small(), seed=1, frames=5, progress=stop, chunk_frames=1)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_start_leaves_nothing_behind(stream, tmp_path, monkeypatch):
    real = np.lib.format.open_memmap

    def full(file: Path, **keys: object) -> object:
        if Path(file).name == "samples.npy":
            raise OSError(28, "No space left on device")
        return real(file, **keys)

    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    with pytest.raises((InputError, OSError), match="No space left"):
        save(stream, tmp_path / "a.stream")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["file", "folder", "folder with a header.json of its own"])
def test_what_is_no_stream_is_not_overwritten(stream, tmp_path, what):
    path = tmp_path / "precious"
    if what == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "notes.txt").write_text("mine")
        if "header" in what:
            (path / "header.json").write_text('{"title": "of my thesis"}')
    with pytest.raises(InputError, match="precious: exists and is not a stream"):
        save(stream, path)
    assert (path if what == "file" else path / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_a_folder_that_cannot_be_made_is_named(stream, tmp_path):
    with pytest.raises(InputError, match="no such folder; make it first"):
        save(stream, tmp_path / "missing" / "a.stream")


# Where numba is not installed.

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
sys.path.insert(0, {root!r})
import numpy as np
import mrsim, mrsim.stream.storage
import recon.cascade.reconstructor, recon.classical.zero_filled
stream, images = mrsim.load("a.stream"), []
reconstructor = recon.classical.zero_filled.ViewSharing()
reconstructor.open(stream.header, images.append)
for readout in stream:
    reconstructor.push(readout)
reconstructor.close()
np.save("images.npy", np.stack([i.pixels for i in images]))
try:
    mrsim.simulate
except ImportError:
    print("no scanner")
"""


def test_a_stored_stream_is_replayed_where_numba_is_not_installed(stream, folder):
    root = str(Path(mrsim.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_NUMBA.format(root=root)],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "no scanner\n", "")
    images: list = []
    here = ViewSharing()
    here.open(stream.header, images.append)
    for readout in stream:
        here.push(readout)
    there = np.load(folder.parent / "images.npy")
    assert there.shape == (FRAMES, 32, 40)
    expected = np.stack([i.pixels for i in images])
    # Another transform than the compiled one: the same but for the rounding of single precision.
    assert np.abs(there - expected).max() < 1e-6 * np.abs(expected).max()
