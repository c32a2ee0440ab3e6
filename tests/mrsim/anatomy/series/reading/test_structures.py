"""Labels of planning systems: contours and segments lie where they were drawn, or one line says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrsim.anatomy.series.reading.cine import read_cine
from mrsim.anatomy.series.reading.structures import STRUCTURES
from mrsim.errors import InputError
from tests.mrsim.anatomy.series.reading.dicoms import SAGITTAL, dataset, group, save, write_series
from tests.mrsim.anatomy.series.reading.files import IMAGES, LABEL

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("SimpleITK")

ORIGIN, STEP_Y, STEP_X, COUNT = np.array([20.0, -45.0, 60.0]), 3.0, 2.5, len(IMAGES)
CLASS = "1.2.840.10008.5.1.4.1.1.66.4"


def cine(folder: Path, **tags: Any) -> Path:
    """Write a series whose images have identifiers 1.2.840.1 to 1.2.840.12."""
    known = {"ImagePositionPatient": ORIGIN.tolist(), "SliceThickness": 4}
    return write_series(folder, IMAGES, lambda n: {"SOPInstanceUID": f"1.2.840.{n + 1}"}, **known | tags)


def outline(label: NDArray[Any] = LABEL, down: int = 0, off_mm: float = 0.0) -> list[float]:
    """Return the corners, (left, back, head), of a box that the label's pixels span."""
    rows, columns = (np.flatnonzero(label.any(axis=axis)) for axis in (1, 0))
    corners = []
    for row, column in ((0, 0), (0, 1), (1, 1), (1, 0)):
        y = (rows[-1] + 0.5 if row else rows[0] - 0.5) + down
        x = columns[-1] + 0.5 if column else columns[0] - 0.5
        corners += np.add(ORIGIN, [off_mm, x * STEP_X, -y * STEP_Y]).tolist()
    return corners


def item(**tags: Any) -> Any:
    made = pydicom.Dataset()
    for key, value in tags.items():
        setattr(made, key, value)
    return made


def contours(path: Path, **structures: list[tuple[int | None, list[float]]]) -> Path:
    """Write a structure set: of each structure, pairs of a frame, or none, and corners."""
    made = dataset(IMAGES[0], STRUCTURES, Modality="RTSTRUCT", PixelData=None)
    del made.Rows, made.Columns
    made.StructureSetROISequence = [item(ROINumber=n, ROIName=name) for n, name in enumerate(structures, 1)]
    made.ROIContourSequence = []
    for number, drawn in enumerate(structures.values(), 1):
        found = []
        for frame, corners in drawn:
            one = item(ContourGeometricType="CLOSED_PLANAR", ContourData=corners)
            if frame is not None:
                one.ContourImageSequence = [item(ReferencedSOPInstanceUID=f"1.2.840.{frame + 1}")]
            found.append(one)
        made.ROIContourSequence.append(item(ReferencedROINumber=number, ContourSequence=found))
    return save(made, path)


def box(down: int = 0) -> NDArray[np.bool_]:
    rows, columns = (np.flatnonzero(LABEL.any(axis=axis)) for axis in (1, 0))
    mask = np.zeros(LABEL.shape, np.bool_)
    mask[rows[0] + down : rows[-1] + 1 + down, columns[0] : columns[-1] + 1] = True
    return mask


def test_contours_are_where_they_were_drawn(tmp_path: Path) -> None:
    series = cine(tmp_path / "c")
    one = contours(tmp_path / "one.dcm", GTV=[(None, outline(off_mm=1.5))])
    labelled = read_cine(series, label=one)
    np.testing.assert_array_equal(labelled.labels, box()[None])
    assert "the label is GTV of one.dcm" in labelled.notes
    frames: list[tuple[int | None, list[float]]] = [(n, outline(down=n % 3)) for n in range(COUNT)]
    every = contours(tmp_path / "every.dcm", body=[(0, outline(down=5))], GTV=frames[::-1])
    labels = read_cine(series, label=every, structure="GTV").labels
    np.testing.assert_array_equal(labels, [box(n % 3) for n in range(COUNT)])
    hole = contours(tmp_path / "hole.dcm", GTV=[(0, outline()), (0, outline(np.pad(LABEL, 2)[4:, 4:]))])
    with_hole = read_cine(series, label=hole).labels[0]
    assert 0 < with_hole.sum() < box().sum()


def test_contours_turn_with_the_images(tmp_path: Path) -> None:
    """The same images, stored upside down: the contour, which is in the patient, is on the same anatomy."""
    feet = ORIGIN - [0, 0, (IMAGES.shape[1] - 1) * STEP_Y]
    upside = write_series(
        tmp_path / "c", IMAGES[:, ::-1], ImagePositionPatient=feet.tolist(),
        ImageOrientationPatient=[0, 1, 0, 0, 0, 1],
    )  # fmt: skip
    one = contours(tmp_path / "one.dcm", GTV=[(None, outline())])
    np.testing.assert_array_equal(read_cine(upside, label=one).labels[0], box())


def segments(path: Path, *masks: tuple[int, NDArray[Any]], **tags: Any) -> Path:
    """Write a segmentation: a number and a mask for each of its frames."""
    packed = np.packbits(np.array([mask for _, mask in masks], np.uint8).ravel(), bitorder="little")
    numbers = sorted({number for number, _ in masks})
    known = {
        "Modality": "SEG", "SegmentationType": "BINARY", "BitsAllocated": 1, "BitsStored": 1, "HighBit": 0,
        "SegmentSequence": [item(SegmentNumber=n, SegmentLabel=f"part {n}") for n in numbers],
        "PixelData": packed.tobytes() + bytes(len(packed) % 2),
        "SharedFunctionalGroupsSequence": [
            group(PlaneOrientationSequence={"ImageOrientationPatient": SAGITTAL})
        ],
        "PerFrameFunctionalGroupsSequence": [
            group(
                PlanePositionSequence={"ImagePositionPatient": ORIGIN.tolist()},
                SegmentIdentificationSequence={"ReferencedSegmentNumber": number},
            )
            for number, _ in masks
        ],
    }  # fmt: skip
    return save(dataset(np.array([mask for _, mask in masks]), CLASS, **known | tags), path)


def test_a_segment_is_a_label(tmp_path: Path) -> None:
    series = cine(tmp_path / "c")
    other = np.zeros_like(LABEL)
    other[5:9, 5:11] = 1
    both = segments(tmp_path / "both.dcm", (1, other), (2, LABEL))
    with pytest.raises(
        InputError, match=r"several structures \(part 1, part 2\); give structure and the name"
    ):
        read_cine(series, label=both)
    for name, mask in (("part 1", other), ("part 2", LABEL)):
        np.testing.assert_array_equal(read_cine(series, label=both, structure=name).labels[0], mask)
    shares = np.array([200 * LABEL + 20 * other], np.uint8)
    fractional = segments(
        tmp_path / "share.dcm", (1, LABEL), SegmentationType="FRACTIONAL", MaximumFractionalValue=255,
        BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=shares.tobytes(),
    )  # fmt: skip
    np.testing.assert_array_equal(read_cine(series, label=fractional).labels[0], LABEL)


def test_structures_beside_the_images_are_told_of_and_no_part(tmp_path: Path) -> None:
    folder = cine(tmp_path / "c")
    segments(folder / "seg", (1, LABEL), (2, LABEL))
    contours(folder / "rts", GTV=[(0, outline())])
    series = read_cine(folder)
    assert len(series.images) == COUNT
    assert "structures lie beside the images (rts, seg): one may be given as the label" in series.notes
    assert len(read_cine(folder, label=folder / "rts").labels) == 1


@pytest.mark.parametrize(
    ("drawn", "tags", "told"),
    [
        (
            [(None, outline(off_mm=9))],
            {},
            r"GTV is nowhere in the cine's slice: its contours are 9\.0 mm off",
        ),
        ([(3, outline())], {}, "GTV is drawn on image 4 of the cine; draw it on the first, or on all"),
        ([], {}, "no structure is drawn in it"),
        ([(0, [1.0, 2.0])], {}, "damaged contours or segments"),
        ([(0, outline(down=500))], {}, "no pixel in frame 0"),
        ([(0, outline())], {"ImagePositionPatient": None}, "does not say where its slice is.*give a mask"),
    ],
)
def test_contours_that_cannot_be_taken_are_one_line(
    tmp_path: Path, drawn: Any, tags: dict[str, Any], told: str
) -> None:
    path = contours(tmp_path / "r.dcm", GTV=drawn)
    with pytest.raises(InputError, match=told) as raised:
        read_cine(cine(tmp_path / "c", **tags), label=path)
    assert "\n" not in str(raised.value)


def test_labels_of_other_kinds_than_the_cine_are_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", images=IMAGES, seconds=np.arange(COUNT) / 4, pixel_mm=(3.0, 2.5))
    drawn = contours(tmp_path / "r.dcm", GTV=[(0, outline())])
    with pytest.raises(InputError, match="the cine does not say where its slice is, and contours do"):
        read_cine(tmp_path / "c.npz", label=drawn)
    away = np.add(ORIGIN, [30, 0, 0]).tolist()
    elsewhere = segments(
        tmp_path / "s.dcm", (1, LABEL),
        PerFrameFunctionalGroupsSequence=[
            group(
                PlanePositionSequence={"ImagePositionPatient": away},
                SegmentIdentificationSequence={"ReferencedSegmentNumber": 1},
            )
        ],
    )  # fmt: skip
    folder = cine(tmp_path / "d")
    with pytest.raises(InputError, match="another plane than the cine"):
        read_cine(folder, label=elsewhere)
    with pytest.raises(InputError, match="structure = 'x' is none of part 1"):
        read_cine(folder, label=segments(tmp_path / "t.dcm", (1, LABEL)), structure="x")
    report = dataset(IMAGES[0], "1.2.840.10008.5.1.4.1.1.88.11", PixelData=None)
    del report.Rows
    with pytest.raises(InputError, match="no image, no contours and no segmentation"):
        read_cine(folder, label=save(report, tmp_path / "report.dcm"))
