"""MRD files as others write them: by the package, one readout at a time, without what is ours."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import ismrmrd
import numpy as np

from mrsim.formats.mrd_acquisition import Marks, to_acquisition
from mrsim.formats.mrd_header import header_to_xml
from mrsim.formats.mrd_import import Given
from mrsim.formats.oversampling import Oversampling
from mrsim.stream import Header, Stream

HEADER = Header((12, 16), (0.3, 0.4), 3_000_000, 1_500_000, 0.35, 1.5, 3, 4, 3.0, "uniform", "random")
FOREIGN = Given(tr_ns=4_000_000, field_t=3.0)


def foreign(
    path: Path,
    acquisitions: Iterable[ismrmrd.Acquisition],
    header: Header = HEADER,
    **convention: Oversampling,
) -> Path:
    """Write a file as others do: by the package, one readout at a time, without what is ours."""
    xml = ismrmrd.xsd.CreateFromDocument(header_to_xml(header, **convention))
    xml.userParameters = xml.sequenceParameters = None
    with ismrmrd.Dataset(str(path)) as file:
        file.write_xml_header(xml.toXML().encode())
        for acquisition in acquisitions:
            for place in range(8):
                acquisition.user_int[place] = 0
            file.append_acquisition(acquisition)
    return path


def sent(stream: Stream, *convention: Oversampling) -> list[ismrmrd.Acquisition]:
    marks = Marks(lines=len(stream))
    return [to_acquisition(r, stream.header, *convention, marks=marks) for r in stream]


def assert_same_lines(found: Stream, stream: Stream, tolerance: float = 0.0) -> None:
    assert found.ky.tolist() == stream.ky.tolist()
    assert found.frame.tolist() == stream.frame.tolist()
    np.testing.assert_allclose(found.samples, stream.samples, rtol=0, atol=tolerance)
