"""A target whose surroundings change in more ways than the plan has modes is found nevertheless."""

from __future__ import annotations

import numpy as np

import mrsim
from harness.measure.finding.segmentation import TargetFinder
from mrsim.anatomy.series.patient import patient_of
from mrsim.anatomy.series.series import series_from_arrays
from tests.mrsim.anatomy.series.cines import breathing, cine, moved, smooth_image


def test_a_fit_that_goes_to_and_fro_lands_in_between() -> None:
    frames = 120
    given = cine(frames)
    # Something else appears in every frame: no few modes hold it, and the fit swings between two places.
    image, shifts = smooth_image(), breathing(frames)
    others = [0.3 * smooth_image(100 + n) for n in range(frames)]
    images = [moved(image, *shift) + other for shift, other in zip(shifts, others, strict=True)]
    labels = np.stack([np.roll(given["first_label"], np.rint(shift).astype(int), (0, 1)) for shift in shifts])
    series = series_from_arrays(np.stack(images), given["seconds"], given["pixel_mm"], labels=labels)
    scan = mrsim.simulate(
        patient_of(series, 0.0), seconds=17, matrix=(48, 48), fov_m=(0.144, 0.12), acceleration=1,
        sampler="full", target_snr=np.inf, seed=1,
    )  # fmt: skip
    truth, lines = scan.truth, scan.header.lines_per_frame
    assert truth is not None
    finder = TargetFinder(truth, scan.header, "registration")
    found = [finder.find(np.abs(image)) for image in truth.image]
    lost = sum(one is None for one in found)
    assert lost <= len(found) // 100
    errors = [
        np.hypot(*(np.array(one.centroid_m) - true)) * 1e3
        for one, true in zip(found, truth.centroid[lines - 1 :: lines], strict=True)
        if one is not None
    ]
    # A pixel has 3 mm, and the labels here stand on whole ones.
    assert np.percentile(errors, 95) < 3.0
