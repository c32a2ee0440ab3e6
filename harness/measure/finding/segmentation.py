"""The target in a magnitude image, found with the prior knowledge of a planning system.

The prior knowledge is the same for every candidate: what the truth of the first breaths shows. Two methods
are planned from it, an outline and a registration. The one whose centres are nearer to the true ones, in
noise-free images of the same breaths, is used for the whole scan. So the scan chooses the method, and no
candidate does.
"""

from __future__ import annotations

import math
import weakref

import numpy as np
from numpy.typing import NDArray

from harness.measure.exact_statistics import nearest_rank
from harness.measure.finding.outline import Outline
from harness.measure.finding.plan import Plan, Segment, make_plan
from harness.measure.finding.registration import Registration
from mrsim.errors import Option, OptionError
from mrsim.stream import Header, Truth

METHODS = (Outline.name, Registration.name)
KEPT = 8
"""Finders of so many scans are kept."""


class TargetFinder:
    """Find one target in every image of a stream.

    Parameters
    ----------
    truth
        Truth of the stream; what comes after the planning breaths has no say.
    header
        The protocol.
    method
        "outline" or "registration"; None for the better one.

    Attributes
    ----------
    window
        Rows and columns in which the target is looked for.
    area_px
        Its mean area, pixels.
    bright
        Whether it is brighter than what is around it.
    planned_frames
        Frames from the start of the stream to the end of the planning breaths.
    method
        The method that is used.
    error_mm
        95th percentile of its centre error in noise-free images of the planning breaths, millimetres;
        infinite if it loses the target in more than 5 % of them.
    errors_mm
        The same of each method that was tried.

    Raises
    ------
    InputError
        If no frame contains the target.
    OptionError
        If the method is unknown.
    MissingExtraError
        If scikit-image is not installed.
    """

    def __init__(self, truth: Truth, header: Header, method: str | None = None) -> None:
        if method not in (None, *METHODS):
            raise OptionError("{}: expected one of " + ", ".join(METHODS), Option("method", method))
        plan = make_plan(truth, header)
        self.window, self.area_px, self.bright = plan.window, plan.area_px, plan.bright
        self.planned_frames = plan.stop
        tried = [kind(plan) for kind in (Outline, Registration) if method in (None, kind.name)]
        self.errors_mm = {one.name: _error_mm(one, truth, plan) for one in tried}
        self._finder = min(tried, key=lambda one: self.errors_mm[one.name])
        self.method = self._finder.name
        self.error_mm = self.errors_mm[self.method]

    def find(self, magnitude: NDArray[np.floating]) -> Segment | None:
        """Find the target in one image.

        Parameters
        ----------
        magnitude
            Shape (ny, nx).

        Returns
        -------
        segment
            None if it is not there.
        """
        return self._finder.find(magnitude)


def _error_mm(method: Outline | Registration, truth: Truth, plan: Plan) -> float:
    """Return the 95th percentile of the centre error in noise-free images of the planning breaths."""
    errors = []
    for frame in map(int, plan.others):
        true = truth.centroid[(frame + 1) * plan.header.lines_per_frame - 1]
        segment = method.find(np.abs(truth.image[frame]))
        errors.append(math.inf if segment is None else math.dist(segment.centroid_m, true) * 1e3)
    return float(nearest_rank(np.array(errors), 0.95))


_kept: dict[tuple[int, Header], tuple[weakref.ref[Truth], TargetFinder]] = {}


def finder_of(truth: Truth, header: Header) -> TargetFinder:
    """Return the finder of a stream, planned once for as long as its truth lives.

    Parameters
    ----------
    truth
        Truth of the stream, which is not to be written to meanwhile.
    header
        The protocol.

    Raises
    ------
    InputError
        If no frame contains the target.
    MissingExtraError
        If scikit-image is not installed.
    """
    key = (id(truth), header)
    known = _kept.get(key)
    if known is not None and known[0]() is truth:  # an id may be given out again
        return known[1]
    finder = TargetFinder(truth, header)
    _kept[key] = (weakref.ref(truth), finder)
    while len(_kept) > KEPT:
        del _kept[next(iter(_kept))]
    return finder
