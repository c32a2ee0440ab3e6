"""A scan as data: what a header may say, what a stream checks, and what a candidate is never told."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrsim.errors import InputError
from mrsim.scanner.acquisition import scan
from mrsim.stream import Header, Readout, Stream
from mrsim.stream.header import ky_range
from tests.mrsim.bodies import chest, small

GOOD = Header((32, 40), (0.3, 0.4), 2_200_000, 1_100_000, 0.35, 3.0, 1, 8, 4.0, "uniform", "random")


@pytest.fixture(scope="module")
def stream() -> Stream:
    return scan(chest(), small(), seed=6, frames=5)


headers = st.builds(
    lambda ny, nx, fov, tr, part, flip, field, coils, lines, r: Header(
        (ny, nx), fov, tr, tr * part // 100, flip, field, coils, min(lines, ny), min(r, ny), "any", "random"
    ),
    st.integers(1, 4096),
    st.integers(1, 4096),
    st.tuples(st.floats(1e-3, 10), st.floats(1e-3, 10)),
    st.integers(1, 10**11),
    st.integers(0, 99),
    st.floats(1e-6, math.pi),
    st.floats(0.01, 99),
    st.integers(1, 256),
    st.integers(1, 4096),
    st.floats(1, 4096),
)


@given(headers)
def test_a_header_survives_json_exactly(header):
    assert Header.from_dict(json.loads(json.dumps(header.to_dict()))) == header


def test_a_header_has_no_field_from_which_the_scan_could_be_made_again():
    names = {f.name for f in dataclasses.fields(Header)}
    assert not [n for n in names if any(w in n for w in ("seed", "phantom", "path", "noise", "version"))]
    assert not hasattr(GOOD, "__dict__")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("matrix", (0, 40)),
        ("matrix", (32, 4097)),
        ("fov_m", (0.3, 0.0)),
        ("fov_m", (math.nan, 0.3)),
        ("tr_ns", 0),
        ("tr_ns", 10**12),
        ("te_ns", -1),
        ("te_ns", 2_200_000),
        ("flip_rad", 0.0),
        ("flip_rad", 3.2),
        ("flip_rad", math.nan),
        ("field_t", 0.0),
        ("coils", 0),
        ("coils", 257),
        ("lines_per_frame", 33),
        ("lines_per_frame", 0),
        ("acceleration", 0.9),
        ("acceleration", math.inf),
    ],
)
def test_a_header_names_what_is_out_of_range(key, value):
    with pytest.raises(InputError, match=f"header: {key} = .*: expected"):
        dataclasses.replace(GOOD, **{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("matrix", [32]),
        ("matrix", 32),
        ("matrix", [32, 40.0]),
        ("fov_m", [0.3, "0.4"]),
        ("tr_ns", 2.2e6),
        ("tr_ns", True),
        ("flip_rad", "20"),
        ("flip_rad", None),
        pytest.param("flip_rad", 10**400, id="huge"),
        ("sampler", 4),
    ],
)
def test_json_of_the_wrong_type_is_named(key, value):
    with pytest.raises(InputError, match=f"header: {key}"):
        Header.from_dict(GOOD.to_dict() | {key: value})


def test_missing_and_unknown_keys_are_named():
    values = GOOD.to_dict()
    with pytest.raises(InputError, match="unknown key 'seed'; known: matrix"):
        Header.from_dict(values | {"seed": 1})
    del values["order"]
    with pytest.raises(InputError, match="missing key 'order'"):
        Header.from_dict(values)


def test_echoes_and_frames_lie_on_the_clock_in_whole_nanoseconds(stream):
    header = stream.header
    assert (header.frame_ns, header.echo_ns(0)) == (8 * 2_200_000, 1_100_000)
    assert stream.t_ns.tolist() == [header.echo_ns(i) for i in range(len(stream))]
    assert stream.frame.tolist() == [i // 8 for i in range(len(stream))]


@pytest.mark.parametrize(("ny", "ends"), [(128, (-64, 63)), (127, (-63, 63)), (1, (0, 0)), (2, (-1, 0))])
def test_rows_are_centred(ny, ends):
    assert ky_range(ny) == ends


def test_iterating_yields_views_of_the_columns(stream):
    readouts = list(stream)
    assert len(readouts) == len(stream) == 40
    assert [r.index for r in readouts] == list(range(40))
    for r in (readouts[0], readouts[17]):
        assert isinstance(r, Readout)
        assert r.samples.shape == (1, 40)
        assert r.samples.base is stream.samples
        assert (r.ky, r.frame, r.t_ns) == (
            stream.ky[r.index],
            stream.frame[r.index],
            stream.t_ns[r.index],
        )
        assert type(r.ky) is type(r.t_ns) is int


def test_the_first_frames_are_the_head_of_every_column(stream):
    head = stream.first_frames(2)
    assert (head.frames, len(head)) == (2, 16)
    assert np.shares_memory(head.samples, stream.samples)
    for name in Stream.COLUMNS:
        assert getattr(head, name).tobytes() == getattr(stream, name)[:16].tobytes()
    assert head.truth.displacement.shape == (16, 5, 2)
    assert head.truth.image.tobytes() == stream.truth.image[:2].tobytes()
    for frames in (0, 6):
        with pytest.raises(InputError, match=f"frames = {frames}: this stream has 1 to 5"):
            stream.first_frames(frames)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("ky", np.zeros(40, np.int64)),
        ("frame", np.zeros(39, np.int32)),
        ("t_ns", np.zeros(40)),
        ("samples", np.zeros((40, 1, 41), np.complex64)),
        ("samples", np.zeros((40, 40), np.complex64)),
        ("samples", np.zeros((40, 1, 40), np.complex128)),
    ],
)
def test_columns_of_another_shape_or_dtype_are_refused_by_name(stream, name, array):
    with pytest.raises(InputError, match=f"{name}: it is .*, the header says"):
        dataclasses.replace(stream, **{name: array})


def test_rows_outside_the_matrix_and_empty_streams_are_refused(stream):
    for wrong in (-17, 16):
        ky = stream.ky.copy()
        ky[7] = wrong
        with pytest.raises(
            InputError, match=rf"k-space line 7 \(frame \d+\): ky = {wrong} is outside -16 to 15"
        ):
            dataclasses.replace(stream, ky=ky)
    with pytest.raises(InputError, match="no lines"):
        dataclasses.replace(stream, truth=None, **{n: getattr(stream, n)[:0] for n in Stream.COLUMNS})


@pytest.mark.parametrize("value", [math.nan, math.inf, complex(0, math.nan), complex(0, -math.inf)])
@pytest.mark.parametrize("line", [0, 21, 39])
def test_a_sample_that_is_no_number_is_found_with_its_line_and_frame(stream, line, value):
    stream.check_finite()
    samples = stream.samples.copy()
    samples[line:, 0, 5] = value
    with pytest.raises(InputError, match=rf"line {line} \(frame {line // 8}\): a sample is not finite"):
        dataclasses.replace(stream, samples=samples).check_finite()


def test_the_search_goes_beyond_its_first_piece():
    lines = 4096 + 64
    header = Header((4, 2), (0.3, 0.3), 10, 5, 0.3, 3.0, 1, 4, 1.0, "full", "ascending")
    columns = {
        "ky": np.zeros(lines, np.int32),
        "frame": np.arange(lines, dtype=np.int32) // 4,
        "t_ns": np.arange(lines, dtype=np.int64),
        "samples": np.zeros((lines, 1, 2), np.complex64),
    }
    columns["samples"][4100] = np.nan
    with pytest.raises(InputError, match=r"k-space line 4100 \(frame 1025\)"):
        Stream(header, **columns).check_finite()


def test_the_centroid_between_echoes_lies_between_them_and_is_held_at_the_ends(stream):
    truth, header = stream.truth, stream.header
    t_ns = header.echo_ns(3) + header.tr_ns // 4
    expected = 0.75 * truth.centroid[3] + 0.25 * truth.centroid[4]
    np.testing.assert_allclose(truth.centroid_at(t_ns, header), expected, rtol=1e-12)
    np.testing.assert_array_equal(truth.centroid_at(header.echo_ns(9), header), truth.centroid[9])
    np.testing.assert_array_equal(truth.centroid_at(np.array([0, 10**12]), header), truth.centroid[[0, -1]])
