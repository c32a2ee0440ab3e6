"""The XML header: our protocol survives it, the field's readers understand it, nothing in it is trusted."""

from __future__ import annotations

import dataclasses
import re
import tracemalloc

import ismrmrd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrsim.errors import InputError, MissingExtraError, MrsimError
from mrsim.formats.mrd_header import header_to_xml, xml_to_encoding
from mrsim.formats.mrd_xml import MAX_XML_BYTES
from mrsim.formats.oversampling import Oversampling
from mrsim.stream import Header
from tests.mrsim.formats.scans import headers

HEADER = Header((96, 128), (0.3, 0.4), 2_200_000, 1_100_000, 0.35, 1.5, 8, 24, 4.0, "uniform", "random")
CONVENTIONS = st.sampled_from(Oversampling)


@given(headers(), CONVENTIONS)
@settings(max_examples=40)
def test_a_protocol_comes_back_exactly_in_every_convention(header, convention):
    encoding = xml_to_encoding(header_to_xml(header, convention, frames=3))
    assert encoding.exact
    kept = header if convention is Oversampling.NONE else dataclasses.replace(header, adc_step=0.0)
    assert encoding.header() == kept


@pytest.mark.parametrize(
    ("convention", "columns", "fov_mm"),
    [
        (Oversampling.NONE, 128, 400.0),
        (Oversampling.REPORTED, 256, 800.0),
        (Oversampling.UNREPORTED, 128, 400.0),
    ],
)
def test_the_packages_own_reader_finds_every_quantity_in_its_place(convention, columns, fov_mm):
    found = ismrmrd.xsd.CreateFromDocument(header_to_xml(HEADER, convention, frames=7))
    (encoding,) = found.encoding
    space, limits = encoding.encodedSpace, encoding.encodingLimits
    assert (space.matrixSize.x, space.matrixSize.y, space.matrixSize.z) == (columns, 96, 1)
    assert (space.fieldOfView_mm.x, space.fieldOfView_mm.y) == pytest.approx((fov_mm, 300.0))
    assert (encoding.reconSpace.matrixSize.x, encoding.reconSpace.fieldOfView_mm.x) == (
        128,
        pytest.approx(400.0),
    )
    step = limits.kspace_encoding_step_1
    assert (step.minimum, step.maximum, step.center) == (0, 95, 48)
    assert limits.kspace_encoding_step_0.maximum == 128 * convention.factor - 1
    assert limits.repetition.maximum == 6
    assert encoding.trajectory.value == "cartesian"
    assert encoding.parallelImaging.accelerationFactor.kspace_encoding_step_1 == 4
    assert found.sequenceParameters.TR == [2.2]
    assert found.sequenceParameters.TE == [1.1]
    assert found.sequenceParameters.flipAngle_deg == pytest.approx([20.0535], abs=1e-3)
    assert found.acquisitionSystemInformation.systemFieldStrength_T == 1.5
    assert found.acquisitionSystemInformation.receiverChannels == 8
    # Gyromagnetic ratio of the proton times the field.
    assert found.experimentalConditions.H1resonanceFrequency_Hz == pytest.approx(63_866_218, abs=1)
    assert found.measurementInformation.patientPosition.value == "HFS"


def test_what_was_edited_elsewhere_counts_and_our_exact_copy_does_not():
    text = header_to_xml(HEADER).decode()
    edited = text.replace("<TR>2.2</TR>", "<TR>3.0</TR>").replace("<y>300.0</y>", "<y>250.0</y>")
    assert edited.count("250.0") == 2
    header = xml_to_encoding(edited).header()
    assert header == dataclasses.replace(HEADER, tr_ns=3_000_000, fov_m=(0.25, 0.4))


@pytest.mark.parametrize("key", ["tr_ns", "fov_y_m", "flip_rad", "acceleration", "adc_step", "window"])
def test_our_own_copy_of_a_number_that_no_float_holds_is_refused(key):
    text = header_to_xml(dataclasses.replace(HEADER, window=30, adc_step=0.5)).decode()
    huge, count = re.subn(rf"(<name>mrsim_{key}</name>\s*<value>)[^<]*", rf"\g<1>{'9' * 400}", text)
    huge = huge.replace("userParameterDouble>", "userParameterLong>")
    assert count == 1
    with pytest.raises(InputError, match=f"mrsim_{key}|{key}|is not an MRD header|userParameter"):
        xml_to_encoding(huge)


def test_a_header_written_in_single_precision_still_gives_our_exact_numbers():
    header = dataclasses.replace(HEADER, fov_m=(1 / 3, 0.1 + 0.2))
    text = re.sub(
        r"(<[xy]>)([0-9]+\.[0-9]+)", lambda m: f"{m[1]}{float(m[2]):.7g}", header_to_xml(header).decode()
    )
    assert "333.3333333" not in text
    assert xml_to_encoding(text).header() == header


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("cartesian", "radial", "only cartesian"),
        ("<z>1</z>", "<z>24</z>", "2-D"),
        ("<x>128</x>", "<x>65535</x>", "matrixSize x"),
        ("<x>128</x>", "<x>0</x>", "matrixSize x"),
        ("<x>128</x>", "<x>1e9</x>", "not a valid"),
        ("<y>300.0</y>", "<y>nan</y>", "fieldOfView_mm y"),
        ("<y>300.0</y>", "<y>-1</y>", "fieldOfView_mm y"),
        ("<TR>2.2</TR>", "<TR>INF</TR>", "TR"),
        ("<receiverChannels>8", "<receiverChannels>65535", "receiverChannels"),
        ("<value>24</value>", "<value>97</value>", "lines_per_frame"),
        ('"uniform"', "[1]", "sampler"),
        ("</ismrmrdHeader>", "", "not an MRD header"),
        ("<encoding>", "<encoding></encoding><encoding>", "encodingType"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(before, after, told):
    text = header_to_xml(HEADER).decode()
    assert before in text
    with pytest.raises(InputError, match=re.escape(told)) as error:
        xml_to_encoding(text.replace(before, after), "a.h5").header()
    assert "\n" not in str(error.value)


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
)


@pytest.mark.parametrize(
    "document",
    [
        (BOMB + "]><ismrmrdHeader>&j;</ismrmrdHeader>").encode(),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        # In another encoding, which hides the declaration from whoever looks at bytes.
        b"<?xml version='1.0' encoding='cp037'?>" + (BOMB + "]><a>&j;</a>").encode("cp037"),
        (BOMB + "]><a>&j;</a>").encode("utf-16"),
        b"<a>" * 100_000,
        b" " * (MAX_XML_BYTES + 1),
    ],
    ids=["entities", "external", "hidden encoding", "utf-16", "deep", "long"],
)
def test_bombs_are_refused_before_they_grow(document):
    tracemalloc.start()
    with pytest.raises(InputError) as error:
        xml_to_encoding(document)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(error.value)
    assert peak < 64 << 20


@pytest.mark.parametrize(
    "inside",
    [
        "<a>" * 100_000 + "</a>" * 100_000,
        "<a>" * 32 + "</a>" * 32,
        "<a/>" * 250_000,
        "<a>x</a>" * 100_000,
        "<a b='>'><!-- <c> -->" * 40_000,
    ],
    ids=["deep", "just too deep", "many", "many with text", "hidden in comments"],
)
def test_a_header_of_too_many_elements_is_refused_before_it_is_built(inside, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the schema's parser was asked")

    monkeypatch.setattr("xsdata.formats.dataclass.parsers.XmlParser.from_bytes", never)
    with pytest.raises(InputError, match="more than 20000 elements, or nested more than 32 deep"):
        xml_to_encoding(f"<ismrmrdHeader>{inside}</ismrmrdHeader>".encode())


WORDS = st.sampled_from(["", "0", "-1", "65536", "9" * 40, "nan", "INF", "1e308", "abc", "<x>", "é", "\0"])


@given(st.data())
@settings(max_examples=150)
def test_fuzzed_headers_give_an_encoding_or_one_line(data):
    text = header_to_xml(HEADER).decode()
    for _ in range(data.draw(st.integers(1, 3))):
        spans = [m.span(1) for m in re.finditer(r">([^<>\n]+)<", text)]
        if not spans:
            break
        low, high = data.draw(st.sampled_from(spans))
        text = text[:low] + data.draw(WORDS) + text[high:]
        cut = data.draw(st.integers(0, 40))
        text = text if cut > 3 else text[: len(text) * cut // 3]
    try:
        xml_to_encoding(text).header()
    except MrsimError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert len(str(error)) < 400  # noqa: PT017


@given(st.binary(max_size=200))
@settings(max_examples=40)
def test_fuzzed_bytes_give_one_line(document):
    with pytest.raises(InputError):
        xml_to_encoding(document)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ismrmrd", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'mrsim[mrd]'")):
        header_to_xml(HEADER)
