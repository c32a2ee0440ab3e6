"""Samples and true images as whole multiples of a step, as an ADC gives them: one scan on every processor.

Processors and libraries differ in the last bits of what they compute, about 1e-13 of it. Rounded to a step,
two of them agree everywhere but at a value that lies on the edge between two codes. Such values are few: what
lies within 1e-6 of a step of an edge is noted with its code. Whoever makes the scan anew with these notes and
the coils' filters as stored numbers has the same codes everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.errors import ProtocolError

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

EDGE = 1e-6
"""Distance from a rounding edge, in steps, within which a code is noted."""
TRUTH_STEPS = 256
"""Steps of the true images in one of the samples: images have fewer and larger errors of rounding to bear."""
MOST = {"samples": (1 << 15) - 1, "prescan": (1 << 15) - 1, "image": (1 << 23) - 1}
"""Largest code of each array: 16 bits of the receiver, and what single precision holds of the truth."""
ARRAYS = tuple(MOST)
MAX_EDGES = 1 << 22
EDGES = np.dtype([("array", "u1"), ("at", "<i8"), ("code", "<i4")])


def step_of(name: str, adc_step: float) -> float:
    """Return the step of an array: that of the receiver, or the finer one of the true images."""
    return adc_step / TRUTH_STEPS if name == "image" else adc_step


def codes_of(name: str, values: NDArray[np.complex64], adc_step: float) -> NDArray[np.int32]:
    """Return the codes of quantised values.

    Parameters
    ----------
    name
        Which array: "samples", "prescan" or "image".
    values
        Whole multiples of its step, any shape, complex64.
    adc_step
        The receiver's step.

    Returns
    -------
    codes
        Real and imaginary parts, shape (..., 2), int32.
    """
    parts = np.ascontiguousarray(values).view(np.float32).reshape(*values.shape, 2)
    codes: NDArray[np.int32] = np.rint(parts / np.float32(step_of(name, adc_step))).astype(np.int32)
    return codes


@dataclass(frozen=True)
class Release:
    """Hold what a release ships of a scan.

    Parameters
    ----------
    edges
        The codes of values near an edge: the array by its place in `ARRAYS`, the place of the number in it
        (real and imaginary parts one after the other), and its code; of the type `EDGES`, in this order.
    filters
        Filters of the coils, shape (coils, taps, taps), complex128; None for one coil.

    Raises
    ------
    ProtocolError
        If they are of another type or shape.
    """

    edges: NDArray[Any]
    filters: Complex | None = None

    NAMES = ("edges", "filters")

    def __post_init__(self) -> None:
        if self.edges.dtype != EDGES or self.edges.ndim != 1 or len(self.edges) > MAX_EDGES:
            raise ProtocolError(f"release: edges are {self.edges.dtype} {self.edges.shape}: expected {EDGES}")
        given = self.filters
        if given is not None and not (
            given.dtype == np.complex128
            and given.ndim == 3
            and given.shape[1] == given.shape[2]
            and given.shape[1] % 2 == 1
            and bool(np.isfinite(given).all())
        ):
            raise ProtocolError(f"release: filters are {given.dtype} {given.shape}: expected (coils, n, n)")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Release:
        """Return one of its arrays, `edges` and perhaps `filters`."""
        return cls(arrays.get("edges", np.zeros(0, EDGES)), arrays.get("filters"))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return its arrays by name."""
        filters = {} if self.filters is None else {"filters": self.filters}
        return {"edges": self.edges, **filters}


@dataclass
class Quantiser:
    """Round values to codes, and note those near an edge.

    Parameters
    ----------
    adc_step
        The receiver's step; a power of two, so that single precision holds its multiples exactly.
    release
        What was released of the scan; None to round by oneself.
    """

    adc_step: float
    release: Release | None = None
    _found: list[NDArray[Any]] = field(default_factory=list)

    def values(self, name: str, first: int, exact: Complex) -> NDArray[np.complex64]:
        """Return values rounded to their step.

        Parameters
        ----------
        name
            Which array: "samples", "prescan" or "image".
        first
            Place of the first of them along the array's first axis.
        exact
            The values, shape (n, ...), complex128.

        Returns
        -------
        values
            Multiples of the step, same shape, complex64.

        Raises
        ------
        ProtocolError
            If a value is beyond the largest code, or a released code is not next to its value.
        """
        step, parts = step_of(name, self.adc_step), np.ascontiguousarray(exact).view(np.float64).ravel()
        scaled = parts / step
        codes = np.rint(scaled)
        if codes.size and np.abs(codes).max() > MOST[name]:
            raise ProtocolError(
                f"adc_step = {self.adc_step!r}: {name} reach {np.abs(parts).max():.3g}, beyond code "
                f"{MOST[name]}: take a larger step"
            )
        near = np.flatnonzero(np.abs(np.abs(scaled - np.floor(scaled)) - 0.5) < EDGE)
        if near.size:
            kind, at = ARRAYS.index(name), near + first * (parts.size // len(exact))
            if self.release is not None:
                codes[near] = self._released(kind, at, scaled[near], codes[near])
            found = np.empty(len(near), EDGES)
            found["array"], found["at"], found["code"] = kind, at, codes[near]
            self._found.append(found)
        whole = codes.astype(np.int32)  # so that there is no -0
        rounded = whole.astype(np.float32) * np.float32(step)
        return np.ascontiguousarray(rounded).view(np.complex64).reshape(exact.shape)

    def _released(self, kind: int, at: NDArray[np.int64], scaled: Array, own: Array) -> Array:
        assert self.release is not None
        known = self.release.edges[self.release.edges["array"] == kind]
        place = np.minimum(np.searchsorted(known["at"], at), max(len(known) - 1, 0))
        told = known["at"][place] == at if len(known) else np.zeros(len(at), np.bool_)
        codes = own.copy()
        codes[told] = known["code"][place[told]]
        if (np.abs(codes - scaled) > 0.5 + 2 * EDGE).any():
            raise ProtocolError("release: a code is not next to its value: it is of another scan")
        return codes

    @property
    def edges(self) -> NDArray[Any]:
        """Return what was noted so far, each number once, in the order of `EDGES`."""
        return np.unique(np.concatenate([np.zeros(0, EDGES), *self._found]))
