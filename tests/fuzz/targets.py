"""What is fuzzed: for each kind of input a grammar, and what reads it in the product."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from harness.dataset.spec import load_spec
from harness.judge.profiles import load_profile
from harness.measure.beam import load_beam
from harness.realtime.clock import VirtualClock
from harness.realtime.faults import CANDIDATE_KINDS, STREAM_KINDS, apply_faults, format_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.replay import replay
from harness.realtime.samples import How, read_service, write_samples
from harness.realtime.schedule import Policy, Schedule
from harness.realtime.service import ConstantService
from harness.wire.options import parse_wire
from mrsim.anatomy.phantom import load_phantom
from mrsim.files.toml import parse_toml
from mrsim.motion.trace import read_csv
from mrsim.simulation import simulate
from mrsim.stream import Header, load, save
from tests.fuzz.grammars import (
    BYTES,
    EDITS,
    NUMBERS,
    XML_WORDS,
    changed,
    cut_and_filled,
    documents,
    records,
    tables,
)
from tests.harness.realtime.simulation import Keeper
from tests.harness.synthetic import Blank, make_stream

Reader = Callable[[Path, Any], None]


@dataclasses.dataclass(frozen=True)
class Target:
    """Hold what is drawn, and what reads it.

    Parameters
    ----------
    strategy
        Draws an input.
    read
        Takes a folder of its own and the input; raises nothing but errors of ours.
    share
        How many of a thousand inputs are its.
    whole
        Inputs without damage, read before the others: what is needed is imported and compiled by then.
    """

    strategy: st.SearchStrategy[Any]
    read: Reader
    share: int
    whole: tuple[Any, ...] = ()


STREAM = make_stream(64)
ARRAYS = ("ky.npy", "frame.npy", "t_ns.npy", "samples.npy", "mask.npy", "image.npy", "centroid.npy")


def put(path: Path, data: bytes) -> None:
    """Write a file under another name and rename it: an earlier input may have the old one mapped."""
    partial = path.with_name(f"{path.name}.new")
    partial.write_bytes(data)
    os.replace(partial, path)


# Streams.


@functools.cache
def _stream_files(folder: Path) -> dict[str, bytes]:
    save(STREAM, folder / "a.stream")
    return {path.name: path.read_bytes() for path in (folder / "a.stream").iterdir()}


def _play(folder: Path) -> None:
    stream = load(folder / "a.stream")
    stream.check_finite()
    replay(stream, Keeper(), VirtualClock(), ConstantService(0))


def read_stream_bytes(folder: Path, drawn: tuple[str, Any]) -> None:
    """Read and play a stream of which one file is damaged."""
    name, edits = drawn
    whole = _stream_files(folder)[name]
    put(folder / "a.stream" / name, cut_and_filled(whole, edits))
    try:
        _play(folder)
    finally:
        put(folder / "a.stream" / name, whole)


def read_stream_header(folder: Path, meta: dict[str, Any]) -> None:
    """Read and play a stream whose header says something else."""
    whole = _stream_files(folder)["header.json"]
    put(folder / "a.stream" / "header.json", json.dumps(meta).encode())
    try:
        _play(folder)
    finally:
        put(folder / "a.stream" / "header.json", whole)


@functools.cache
def _stream_meta() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        meta: dict[str, Any] = json.loads((save(STREAM, Path(name) / "a.stream") / "header.json").read_text())
    return meta


# TOML: phantoms, specifications, profiles, beams, and bare text.


def _shipped(name: str) -> str:
    return (resources.files("phantoms") / name).read_text("utf-8")


PROFILE = """name = "mine"
about = "made up"
measure = "total"
limit_ms = 200.0
claim = 0.99
downstream_ms = 20
window_mm = 3.0
beam = "gating"
m95_mm = 3.0
availability = 0.99
silent = 0.01
duty_of_ideal = 0.8
coverage = 0.9
stray_share = 0.05
stray_longest_ms = 300
d98 = 0.95
nmse = 0.01
ssim = 0.9
dice = 0.9
gain = 0.5
"""
BEAM = """name = "mine"
about = "made up"
kind = "gated"
source = "10.1000/182"
window_mm = 3.0
margin_mm = 5.0
on_ms = 50
off_ms = 40
delay_ms = 0.0
leaf_mm_s = 25.0
end_to_end = false
"""
TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from(["a", ".", "=", "[", "]", "{", "}", '"', "'''", '"""', "#", "\n", ",", " ", "1", "\\"]),
    max_size=60,
).map("".join)


def read_file_with(*readers: Callable[[str], object]) -> Reader:
    """Return what writes a text into a `.toml` and gives its name to each reader."""

    def read(folder: Path, text: str) -> None:
        file = folder / "fuzzed.toml"
        put(file, text.encode("utf-8", "surrogatepass"))
        for reader in readers[:-1]:
            _quietly(reader, str(file))
        readers[-1](str(file))

    return read


def _quietly(reader: Callable[[str], object], name: str) -> None:
    from mrsim.errors import MrsimError
    from tests.fuzz.batch import check_told

    try:
        reader(name)
    except MrsimError as error:
        check_told(error)


SCANNED = ("quasar.toml", "nsclc/patient1.toml")


def _phantoms() -> st.SearchStrategy[str]:
    """Return phantoms, once each kind has been scanned, so that what it needs is compiled."""
    with tempfile.TemporaryDirectory() as name:
        for shipped in SCANNED:
            read_phantom(Path(name), _shipped(shipped))
    return st.sampled_from(SCANNED).map(_shipped).flatmap(tables)


def read_phantom(folder: Path, text: str) -> None:
    """Read a phantom and scan it."""
    put(folder / "fuzzed.toml", text.encode("utf-8", "surrogatepass"))
    phantom = load_phantom(str(folder / "fuzzed.toml"))
    simulate(phantom, frames=2, matrix=(16, 16), acceleration=2, seed=1)


# Weights and samples in .npz.


@functools.cache
def _weights() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from recon.cascade.checkpoint import RECORD, Checkpoint
    from recon.cascade.checkpoint import save as save_weights
    from recon.cascade.network import Cascade, CascadeConfig

    config = CascadeConfig(1, 2, 4, "zero-filled", "mean", 1.0, True, False, 1, 16)
    record = {
        "matrix": [16, 16],
        "data": [{"phantom": "test", "seed": 1, "frames": 5, "used_s": [0.0, 0.1], "samples_sha256": "0"}],
    }
    with tempfile.TemporaryDirectory() as name:
        save_weights(Path(name) / "a.npz", Checkpoint(Cascade(config).eval(), 1.0, record))
        with np.load(Path(name) / "a.npz") as arrays:
            found = dict(arrays)
    return json.loads(str(found.pop(RECORD))), found


def _npz(arrays: dict[str, np.ndarray], packed: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_weights(folder: Path, drawn: tuple[dict[str, Any], bool, Any]) -> None:
    """Read weights of which the record or bytes are damaged."""
    from recon.cascade.checkpoint import RECORD
    from recon.cascade.checkpoint import load as load_weights

    record, packed, edits = drawn
    whole = _npz({RECORD: np.array(json.dumps(record)), **_weights()[1]}, packed)
    put(folder / "a.npz", cut_and_filled(whole, edits))
    load_weights(folder / "a.npz")


@functools.cache
def _samples(packed: bool) -> bytes:
    played = replay(STREAM, Blank(), VirtualClock(), ConstantService(1), keep_images=False)
    with tempfile.TemporaryDirectory() as name:
        write_samples(Path(name) / "a.npz", [played], "it", STREAM, How())
        with np.load(Path(name) / "a.npz") as arrays:
            return _npz(dict(arrays), packed)


def read_samples(folder: Path, drawn: tuple[bool, Any]) -> None:
    """Read recorded times of which bytes are damaged."""
    put(folder / "a.npz", cut_and_filled(_samples(drawn[0]), drawn[1]))
    read_service(folder / "a.npz", "it", STREAM, 64, How())


# Strings of the command line.

KINDS = st.sampled_from([*STREAM_KINDS, *CANDIDATE_KINDS, "drip", ""])
KEYS = st.sampled_from(["p", "every", "at", "burst", "span", "ms", "keep", "level", "bits", "q", ""])
PAIRS = st.lists(st.tuples(KEYS, NUMBERS).map("=".join), max_size=4).map(",".join)
FAULTS = st.lists(st.tuples(KINDS, PAIRS).map(":".join), max_size=4).map(";".join) | st.text(max_size=60)


def read_faults(_: Path, drawn: tuple[str, int]) -> None:
    """Read faults, write them as a string again, and play a scan with them."""
    text, seed = drawn
    faults = parse_faults(text)
    assert parse_faults(format_faults(faults)) == faults
    feed = apply_faults(Feed.of(STREAM, Schedule.of(STREAM)), faults, seed)
    if len(feed) < 5_000:
        run = replay(STREAM, Keeper(), VirtualClock(), ConstantService(0), feed=feed)
        assert run.failure is None
        assert run.violation is None


WIRE = st.builds(
    "mrd://{}:{}/{}?{}".format,
    st.sampled_from(["localhost", "127.0.0.1", "[::1]", "[", "", "é", "a b", "u@h", "127.0.0.1#x"]),
    NUMBERS,
    st.sampled_from(["default", "a.xml", "", "%00", "%zz"]),
    st.lists(
        st.tuples(
            st.sampled_from(["wait", "limit_s", "ready_s", "oversampling", "config_file", "x", ""]), NUMBERS
        ).map("=".join),
        max_size=3,
    ).map("&".join),
)


def read_words(_: Path, drawn: tuple[str, str]) -> None:
    """Read what stands for a queue, or for a server."""
    kind, text = drawn
    if kind == "wire":
        parse_wire(text)
    else:
        assert Policy.parse(str(Policy.parse(text))) == Policy.parse(text)


# Files of the field.

HEADER = Header((12, 16), (0.3, 0.4), 3_000_000, 1_500_000, 0.35, 1.5, 2, 4, 3.0, "uniform", "random")


@functools.cache
def _xml() -> str:
    from mrsim.formats.mrd_header import header_to_xml

    return header_to_xml(HEADER).decode()


def read_mrd_header(_: Path, text: str) -> None:
    """Read the XML of an MRD header and make a protocol of it."""
    from mrsim.formats.mrd_header import xml_to_encoding

    xml_to_encoding(text.encode("utf-8", "surrogatepass"), "a.h5").header()


@functools.cache
def _hdf5() -> dict[str, bytes]:
    from mrsim.formats.fastmri import write_fastmri
    from mrsim.formats.mrd_file import write_mrd
    from tests.mrsim.formats.scans import sampled

    whole = dataclasses.replace(HEADER, lines_per_frame=12, acceleration=1.0)
    with tempfile.TemporaryDirectory() as name:
        return {
            "mrd": write_mrd(sampled(HEADER, 3), Path(name) / "a.h5").read_bytes(),
            "fastmri": write_fastmri(sampled(whole, 2), Path(name) / "b.h5").read_bytes(),
        }


def read_hdf5(folder: Path, drawn: tuple[str, Any, Any]) -> None:
    """Make a stream of an HDF5 file of which bytes are damaged, in this process."""
    from mrsim.formats.fastmri import fastmri_to_stream, is_fastmri
    from mrsim.formats.mrd_import import mrd_to_stream

    layout, places, edits = drawn
    put(folder / "a.h5", cut_and_filled(changed(_hdf5()[layout], places), edits))
    convert = fastmri_to_stream if is_fastmri(folder / "a.h5") else mrd_to_stream
    convert(folder / "a.h5", folder / "a.made.stream", overwrite=True)


TRACE = "t_s,y_mm\n" + "".join(f"{i / 10:.1f},{(i % 40) / 4}\n" for i in range(60))
FEW_EDITS = st.just([]) | EDITS

TARGETS: dict[str, Callable[[], Target]] = {
    "stream-bytes": lambda: Target(
        st.tuples(st.sampled_from(ARRAYS), EDITS), read_stream_bytes, 90, (("ky.npy", []),)
    ),
    "stream-header": lambda: Target(records(_stream_meta()), read_stream_header, 90, (_stream_meta(),)),
    "toml": lambda: Target(
        TEXTS | st.sampled_from([PROFILE, BEAM]).flatmap(tables),
        lambda _, text: check_parsed(parse_toml(text, "fuzzed.toml")),
        105,
    ),
    "phantoms": lambda: Target(
        _phantoms(),
        read_phantom,
        5,
    ),
    "specifications": lambda: Target(tables(_shipped("sets/nsclc-v1.toml")), read_file_with(load_spec), 80),
    "profiles": lambda: Target(
        st.sampled_from([PROFILE, BEAM]).flatmap(tables), read_file_with(load_profile, load_beam), 80
    ),
    "weights": lambda: Target(
        st.tuples(records(_weights()[0]), st.booleans(), FEW_EDITS),
        read_weights,
        80,
        ((_weights()[0], False, []),),
    ),
    "samples": lambda: Target(st.tuples(st.booleans(), EDITS), read_samples, 80, ((False, []),)),
    "faults": lambda: Target(
        st.tuples(FAULTS, st.integers(0, 2**63 - 1)), read_faults, 80, (("drop:p=0.1", 1),)
    ),
    "words": lambda: Target(
        st.tuples(st.just("wire"), WIRE)
        | st.tuples(
            st.just("policy"),
            st.text(max_size=20) | NUMBERS.map("bounded:{}".format) | st.sampled_from(["keep-all", "latest"]),
        ),
        read_words,
        60,
    ),
    "traces": lambda: Target(
        documents(TRACE, r"^([^,\n]*),", NUMBERS) | documents(TRACE, r",([^,\n]*)$", NUMBERS),
        lambda _, text: read_trace(text),
        80,
    ),
    "mrd-headers": lambda: Target(
        documents(_xml(), r">([^<>\n]+)<", XML_WORDS), read_mrd_header, 80, (_xml(),)
    ),
    "hdf5": lambda: Target(
        st.tuples(st.sampled_from(["mrd", "fastmri"]), BYTES, st.just([]) | EDITS),
        read_hdf5,
        90,
        (("mrd", [], []), ("fastmri", [], [])),
    ),
}
"""What is fuzzed, by name; each is made when it is asked for, since some need an extra."""


def check_parsed(value: dict[str, Any]) -> None:
    """Hold what was parsed to being a table."""
    assert isinstance(value, dict)


def read_trace(text: str) -> None:
    """Read a recorded trace."""
    times, values = read_csv(text.encode("utf-8", "surrogatepass"), "a.csv")
    assert len(times) == len(values)
