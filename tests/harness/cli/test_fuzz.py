"""Whatever is thrown at it, bad input gives one clear error or success: no traceback, no hang, no memory.

With `atheris` installed the same targets are fuzzed by coverage, too. `tracemalloc` holds every target to the
bound that it states.
"""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.cli.main import main
from harness.judge.profiles import load_profile
from harness.realtime.clock import VirtualClock
from harness.realtime.faults import CANDIDATE_KINDS, STREAM_KINDS, apply_faults, format_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.replay import replay
from harness.realtime.samples import How, read_service, write_samples
from harness.realtime.schedule import Policy, Schedule
from harness.realtime.service import ConstantService
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import MrsimError
from mrsim.stream import load, save
from recon.cascade.checkpoint import load as load_weights
from tests.harness.realtime.simulation import Keeper
from tests.harness.synthetic import Blank, make_stream

MEMORY_BYTES = 64 << 20
FUZZ = settings(
    max_examples=150,
    deadline=2000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
STREAM = make_stream(64)
PLAYED = replay(STREAM, Blank(), VirtualClock(), ConstantService(1), keep_images=False)


@contextmanager
def bounded() -> Iterator[None]:
    """Hold what runs within to the memory bound, and to errors of ours."""
    told = "success"
    tracemalloc.start()
    try:
        yield
    except MrsimError as error:
        told = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY_BYTES, peak
    assert "\n" not in told
    assert 0 < len(told) < 2000


KINDS = st.sampled_from([*STREAM_KINDS, *CANDIDATE_KINDS, "drip", ""])
NUMBERS = st.one_of(
    st.integers(-3, 10**9).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["", "1e999", "0x1", "9" * 400, "٣", "1_0", " 1"]),
)
KEYS = st.sampled_from(["p", "every", "at", "burst", "span", "ms", "keep", "level", "bits", "q", ""])
PAIRS = st.lists(st.tuples(KEYS, NUMBERS).map("=".join), max_size=4).map(",".join)
FAULTS = st.lists(st.tuples(KINDS, PAIRS).map(":".join), max_size=4).map(";".join) | st.text(max_size=60)


@FUZZ
@given(FAULTS, st.integers(0, 2**63 - 1))
@example("duplicate:every=1,burst=1048576,span=65536;" * 20, 0)
@example("late:every=1,ms=1000000;reorder:p=1,span=65536;truncate:p=1,keep=0", 0)
def test_fault_strings(text: str, seed: int) -> None:
    with bounded():
        faults = parse_faults(text)
        assert parse_faults(format_faults(faults)) == faults
        feed = apply_faults(Feed.of(STREAM, Schedule.of(STREAM)), faults, seed)
        if len(feed) < 10_000:
            run = replay(STREAM, Keeper(), VirtualClock(), ConstantService(0), feed=feed)
            assert run.failure is None
            assert run.violation is None


@FUZZ
@given(st.text(max_size=40) | st.integers().map("bounded:{}".format))
def test_policies(text: str) -> None:
    with bounded():
        assert Policy.parse(str(Policy.parse(text))) == Policy.parse(text)


TOML_VALUES = st.one_of(
    st.booleans().map(lambda b: str(b).lower()),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=20).map(json.dumps),
    st.sampled_from(["[]", "{}", "1979-05-27", "[[1]]", "nan", "-inf", "9" * 5000]),
)
TOML_KEYS = st.sampled_from(
    [
        "name",
        "about",
        "measure",
        "limit_ms",
        "claim",
        "downstream_ms",
        "window_mm",
        "title",
        "region",
        "motion",
    ]
)
TOML = st.lists(st.tuples(TOML_KEYS, TOML_VALUES).map(" = ".join), max_size=8).map("\n".join)


@FUZZ
@given(TOML.map(str.encode) | st.binary(max_size=200))
def test_profiles_and_phantoms_in_toml(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "fuzzed.toml"
    file.write_bytes(data)
    for read in (load_profile, load_phantom):
        with bounded():
            read(str(file))


def mutate(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Return the data with some pieces cut out and others put in."""
    for at, cut, new in edits:
        at %= len(data) + 1
        data = data[:at] + new + data[at + cut :]
    return data


EDITS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 64), st.binary(max_size=32)), max_size=4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    save(STREAM, folder / "whole.stream")
    return folder


@FUZZ
@given(
    st.sampled_from(
        ["header.json", "ky.npy", "frame.npy", "t_ns.npy", "samples.npy", "mask.npy", "image.npy"]
    ),
    EDITS,
)
def test_stream_folders(whole: Path, name: str, edits: list[tuple[int, int, bytes]]) -> None:
    folder = whole / "damaged.stream"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole / "whole.stream", folder)
    (folder / name).write_bytes(mutate((folder / name).read_bytes(), edits))
    with bounded():
        stream = load(folder)
        stream.check_finite()
        replay(stream, Keeper(), VirtualClock(), ConstantService(0))


HEADER_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.lists(st.integers(), max_size=3),
)


@FUZZ
@given(st.data(), HEADER_VALUES)
def test_headers_that_lie_about_sizes(whole: Path, data: st.DataObject, value: object) -> None:
    folder = whole / "lying.stream"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole / "whole.stream", folder)
    meta = json.loads((folder / "header.json").read_text())
    section = data.draw(st.sampled_from([meta, meta["header"], meta["truth"], meta["provenance"]]))
    section[data.draw(st.sampled_from(sorted(section)))] = value
    (folder / "header.json").write_text(json.dumps(meta))
    with bounded():
        load(folder)


@FUZZ
@given(EDITS, st.booleans())
def test_samples_and_weights_in_npz(whole: Path, edits: list[tuple[int, int, bytes]], packed: bool) -> None:
    file = whole / "fuzzed.npz"
    write_samples(file, [PLAYED], "it", STREAM, How())
    with np.load(file) as samples:
        arrays = dict(samples)
    (np.savez_compressed if packed else np.savez)(file, record=np.zeros(3), **arrays)
    file.write_bytes(mutate(file.read_bytes(), edits))
    readers: tuple[Callable[[str], object], ...] = (
        lambda path: read_service(path, "it", STREAM, 64, How()),
        load_weights,
    )
    for read in readers:
        with bounded():
            read(str(file))


WORDS = st.sampled_from(
    ["replay", "audit", "null", "nowhere", "--clock", "virtual", "--faults", "nan:p=1", "--policy", "latest"]
) | st.text(alphabet="abc-=:;/.0\x00\n", max_size=8)


@FUZZ
@given(words=st.lists(WORDS, max_size=6))
def test_command_lines(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    try:
        code = main(["replay", "nowhere", *words])
    except SystemExit as leaving:  # --help and --version
        code = int(leaving.code or 0)
    assert code in (0, 2)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err.count("\n") <= 1


def test_fault_strings_by_coverage() -> None:
    """Needs atheris; a few thousand inputs that its coverage leads to."""
    atheris = pytest.importorskip("atheris")
    provider = atheris.FuzzedDataProvider
    rng = np.random.default_rng(0)
    for _ in range(3000):
        text = provider(rng.bytes(80)).ConsumeUnicodeNoSurrogates(60)
        with bounded():
            parse_faults(text)
