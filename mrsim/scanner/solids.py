"""Solids that are cut anew on every line: their sections, summed in k-space."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.bessel import jinc
from mrsim.kernels.compilation import kernel
from mrsim.kernels.fma import fma
from mrsim.kernels.lagrange import interpolated
from mrsim.kernels.rows import phase_row

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Rows = NDArray[np.int32]

TWO_PI = 2 * math.pi
Q_STEP = 0.25  # radians; of the table in q = 2 pi |L^T k|


@kernel(nogil=True)
def add_solid(
    ky: Rows,
    taps: int,
    centers: Array,
    axes: Array,
    scales: Array,
    weights: Complex,
    dky: float,
    dkx: float,
    out: Complex,
) -> None:
    """Add a solid of elliptic sections to rows of k-space, `taps` in a row of one instant.

    `ky` and `out` have a row for each; `centers` (n, 2), `axes` (n, 2, 2), `scales` and `weights`
    (n, sections) for each instant. The sum over sections depends on q = 2 pi |L^T k| alone, so where rows
    are many it is tabulated in q and interpolated (eight points, 2e-8 of its largest value).
    """
    columns = out.shape[1]
    re, im, q = np.empty(columns), np.empty(columns), np.empty(columns)
    form_re, form_im = np.empty(columns), np.empty(columns)
    k_first = -(columns // 2) * dkx
    for line in range(len(centers)):
        a, b = TWO_PI * axes[line, 0, 0], TWO_PI * axes[line, 0, 1]
        c, d = TWO_PI * axes[line, 1, 0], TWO_PI * axes[line, 1, 1]
        area = abs(axes[line, 0, 0] * axes[line, 1, 1] - axes[line, 0, 1] * axes[line, 1, 0])
        least, most = np.inf, 0.0
        for row in range(line * taps, (line + 1) * taps):
            for k_x in (k_first, k_first + (columns - 1) * dkx):
                u, v = a * k_x + c * ky[row] * dky, b * k_x + d * ky[row] * dky
                most = max(most, u * u + v * v)
            # |L^T k| along a row is least where its derivative is 0.
            at = -(a * c + b * d) * ky[row] * dky / (a * a + b * b)
            at = min(max(at, k_first), k_first + (columns - 1) * dkx)
            u, v = a * at + c * ky[row] * dky, b * at + d * ky[row] * dky
            least = min(least, u * u + v * v)
        first = np.sqrt(least) - 5.0 * Q_STEP
        nodes = int((np.sqrt(most) - first) / Q_STEP) + 8
        tabulated = 2 * nodes < taps * columns
        count = nodes if tabulated else 0
        table_re, table_im, table_q = np.zeros(count), np.zeros(count), np.empty(count)
        for i in range(count):
            table_q[i] = abs(first + i * Q_STEP)  # even in q
        if tabulated:
            _sum_sections(scales[line], weights[line], table_q, table_re, table_im)
        for row in range(line * taps, (line + 1) * taps):
            k_y = ky[row] * dky
            for i in range(columns):
                k_x = fma(i, dkx, k_first)
                u, v = fma(a, k_x, c * k_y), fma(b, k_x, d * k_y)
                q[i] = np.sqrt(fma(u, u, v * v))
            form_re[:] = 0.0
            form_im[:] = 0.0
            if tabulated:
                for i in range(columns):
                    place = (q[i] - first) / Q_STEP
                    below = int(place)
                    form_re[i], form_im[i] = interpolated(table_re, table_im, below, place - below)
            else:
                _sum_sections(scales[line], weights[line], q, form_re, form_im)
            phase_row(
                complex(TWO_PI * area, 0.0), centers[line, 0], centers[line, 1], k_first, k_y, dkx, re, im
            )
            for i in range(columns):
                out[row, i] += complex(
                    fma(form_re[i], re[i], -(form_im[i] * im[i])), fma(form_re[i], im[i], form_im[i] * re[i])
                )


@kernel(nogil=True)
def _sum_sections(scales: Array, weights: Complex, q: Array, re: Array, im: Array) -> None:
    """Add the sections of a solid at each q, relative to 2 pi times the area of the widest."""
    for n in range(len(scales)):
        s = scales[n]
        w_re, w_im = weights[n].real * s * s, weights[n].imag * s * s
        if w_re == 0.0 and w_im == 0.0:
            continue
        for i in range(q.size):
            j = jinc(s * q[i])
            re[i] = fma(w_re, j, re[i])
            im[i] = fma(w_im, j, im[i])
