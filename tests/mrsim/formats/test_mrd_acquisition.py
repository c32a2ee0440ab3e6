"""Single readouts: fields as the package has them, counters that wrap, oversampling that keeps the image."""

from __future__ import annotations

import dataclasses
import io

import ismrmrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError
from mrsim.formats.mrd_acquisition import (
    Counter,
    Flag,
    Marks,
    from_acquisition,
    make_heads,
    noise_acquisition,
    to_acquisition,
    unwrap,
)
from mrsim.formats.mrd_header import header_to_xml, xml_to_encoding
from mrsim.formats.oversampling import Oversampling, crop_oversampling, oversample
from mrsim.stream import Header, Readout
from recon.fourier import to_image
from tests.mrsim.formats.scans import complex_noise, streams

HEADER = Header((8, 16), (0.4, 0.4), 2_200_000, 1_100_000, 0.35, 3.0, 2, 4, 2.0, "uniform", "ascending")
ENCODING = xml_to_encoding(header_to_xml(HEADER))


def line(index: int = 0, frame: int = 0, ky: int = 0, coils: int = 2, nx: int = 16) -> Readout:
    samples = complex_noise(np.random.default_rng(index), coils, nx)
    return Readout(index, frame, ky, HEADER.echo_ns(index), samples)


@given(streams())
@settings(max_examples=40)
def test_a_readout_survives_the_packages_own_serialisation(stream):
    encoding = xml_to_encoding(header_to_xml(stream.header))
    for readout in list(stream)[:4]:
        sent = to_acquisition(readout, stream.header, marks=Marks(lines=len(stream)))
        back = ismrmrd.Acquisition.deserialize_from(io.BytesIO(sent.to_bytes()).read)
        assert back.getHead() == sent.getHead()
        got = from_acquisition(back, encoding, stream.header, readout.index, Counter())
        assert (got.index, got.frame, got.ky, got.t_ns) == (
            readout.index, readout.frame, readout.ky, readout.t_ns,
        )  # fmt: skip
        assert got.samples.tobytes() == readout.samples.tobytes()


def test_every_field_that_others_read_stands_in_its_place():
    head = to_acquisition(line(index=5, frame=70_000, ky=-3), HEADER).getHead()
    assert head.idx.kspace_encode_step_1 == 1  # ky -4 is step 0
    assert head.idx.repetition == 70_000 - 65_536
    assert (head.number_of_samples, head.active_channels, head.center_sample) == (16, 2, 8)
    assert head.scan_counter == 5
    assert head.acquisition_time_stamp == HEADER.echo_ns(5) // 2_500_000
    assert (head.version, head.trajectory_dimensions, head.encoding_space_ref) == (1, 0, 0)
    assert list(head.read_dir) == [1, 0, 0]
    assert list(head.phase_dir) == [0, 1, 0]


def test_flags_stand_at_the_bits_that_the_package_names():
    heads = make_heads(HEADER, np.arange(8), 0, 0, 0, marks=Marks(lines=8, real_time=True))
    read = [ismrmrd.Acquisition(head.tobytes()) for head in heads]

    def marked(flag: int) -> list[int]:
        return [i for i, acquisition in enumerate(read) if acquisition.is_flag_set(flag)]

    assert marked(ismrmrd.ACQ_FIRST_IN_SLICE) == marked(ismrmrd.ACQ_FIRST_IN_REPETITION) == [0, 4]
    assert marked(ismrmrd.ACQ_LAST_IN_SLICE) == marked(ismrmrd.ACQ_LAST_IN_REPETITION) == [3, 7]
    assert marked(ismrmrd.ACQ_LAST_IN_MEASUREMENT) == [7]
    assert marked(ismrmrd.ACQ_IS_RTFEEDBACK_DATA) == list(range(8))
    assert noise_acquisition(line().samples, 5.0).is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    for flag in Flag:
        assert flag in {1 << (getattr(ismrmrd, n) - 1) for n in dir(ismrmrd) if n.startswith("ACQ_")}


@pytest.mark.parametrize("coils", [1, 63, 64, 65, 256])
def test_the_channel_mask_names_the_channels(coils):
    header = dataclasses.replace(HEADER, coils=coils)
    acquisition = to_acquisition(line(coils=coils), header)
    assert [acquisition.isChannelActive(c) for c in range(300)] == [c < coils for c in range(300)]


@given(st.integers(0, 65_535), st.lists(st.integers(-32_767, 32_767), max_size=60))
def test_a_wrapping_counter_is_unwrapped_at_once_and_as_it_arrives(first, steps):
    true = first + np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    counter = Counter()
    assert unwrap(true % 65_536).tolist() == true.tolist()
    assert [counter.unwrap(int(value)) for value in true % 65_536] == true.tolist()


@pytest.mark.parametrize("nx", [8, 9])
def test_oversampled_lines_show_the_same_image_in_a_wider_field(nx):
    samples = complex_noise(np.random.default_rng(3), 4, nx)
    wide = oversample(samples, 2 * nx)
    image, wider = to_image(samples, axes=(-1,)), to_image(wide, axes=(-1,))
    start = nx - nx // 2
    np.testing.assert_allclose(wider[:, start : start + nx], image, atol=1e-6)
    np.testing.assert_allclose(np.delete(wider, np.s_[start : start + nx], axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(crop_oversampling(wide, nx), samples, atol=1e-6)


def test_taking_oversampling_off_leaves_out_what_lies_beyond_the_field():
    """A point outside of the field of view folds in where every second sample is merely dropped."""
    nx = 16
    image = np.zeros(2 * nx, complex)
    image[2] = 1.0
    wide = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(image), norm="ortho")).astype(np.complex64)
    np.testing.assert_allclose(crop_oversampling(wide, nx), 0, atol=1e-7)
    assert np.abs(wide[::2]).max() > 0.1


@pytest.mark.parametrize("convention", [Oversampling.REPORTED, Oversampling.UNREPORTED])
def test_both_conventions_of_oversampling_are_understood(convention):
    encoding = xml_to_encoding(header_to_xml(HEADER, convention))
    sent = to_acquisition(line(), HEADER, convention)
    assert sent.number_of_samples == 32
    assert sent.center_sample == 16
    got = from_acquisition(sent, encoding, encoding.header(), 0, Counter())
    np.testing.assert_allclose(got.samples, line().samples, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"center_sample": 5}, "partial echo"),
        ({"discard_pre": 1}, "discarded"),
        ({"encoding_space_ref": 1}, "encoding space"),
        ({"flags": int(Flag.REVERSE)}, "reversed"),
        ({"idx.kspace_encode_step_2": 1}, "partition"),
        ({"idx.kspace_encode_step_1": 8}, "phase-encode step 8"),
    ],
)
def test_lines_that_are_not_cartesian_are_refused_by_name(change, told):
    acquisition = to_acquisition(line(), HEADER)
    for name, value in change.items():
        owner, _, field = name.rpartition(".")
        setattr(acquisition.idx if owner else acquisition, field, value)
    with pytest.raises(InputError, match=told):
        from_acquisition(acquisition, ENCODING, HEADER, 0, Counter())


@pytest.mark.parametrize(("coils", "nx"), [(1, 16), (2, 24), (2, 0), (3, 32)])
def test_a_readout_of_another_shape_is_refused(coils, nx):
    acquisition = ismrmrd.Acquisition.from_array(np.zeros((coils, nx), np.complex64))
    with pytest.raises(InputError, match=r"samples|channels"):
        from_acquisition(acquisition, ENCODING, HEADER, 0, Counter())
