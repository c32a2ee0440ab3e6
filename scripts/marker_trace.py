"""Make a breathing trace of a recorded marker: python scripts/marker_trace.py FILE.csv OUT.csv

The recordings are those of Krilavicius et al. (2013, arXiv:1508.00749): markers on the chest and abdomen of
persons lying still, 10 Hz, CC BY 4.0. The longest part without a dropout is kept, along the axis on which
the marker moves most, from its median, and so turned that it rests low.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from mrsim.anatomy.series.twin.breaths import upright

LONGEST_STEP_MS = 250.0


def trace_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return instants in seconds and values in millimetres of a recording."""
    rows = list(csv.reader(path.read_text().splitlines(), delimiter=";"))[1:]
    # A row of zeros stands where the camera lost the marker.
    read = np.array([[float(cell.replace(",", ".")) for cell in row] for row in rows])
    read = read[(read[:, 2:] != 0).any(axis=1)]
    step = np.diff(read[:, 1])
    parts = np.split(read, np.flatnonzero((step > LONGEST_STEP_MS) | (step <= 0)) + 1)
    kept = max(parts, key=len)
    place = kept[:, 2:] - np.median(kept[:, 2:], axis=0)
    _, _, axes = np.linalg.svd(place, full_matrices=False)
    value = place @ axes[0]
    return (kept[:, 1] - kept[0, 1]) * 1e-3, upright(value) * value


def text(path: Path) -> str:
    """Return the CSV, with its record."""
    t, value = trace_of(path)
    lines = [
        "# A recorded breathing trace: a marker on the abdomen of a person lying still.",
        "# T. Krilavicius, I. Zliobaite, H. Simonavicius, L. Jarusevicius: Predicting respiratory motion for",
        "# controlling radiotherapy treatment: an algorithmic approach, 2013 (arXiv:1508.00749); CC BY 4.0.",
        "# Published at github.com/pohl-michel/2D-MR-image-prediction, in its folder of original data,",
        f"# as {path.name}; changed by scripts/marker_trace.py: its longest part without a",
        "# dropout, along the main axis, from the median, low at rest.",
        "t_s,value_mm",
    ]
    lines += [f"{a:.3f},{b:.2f}" for a, b in zip(t, value, strict=True)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the trace."""
    Path(sys.argv[2]).write_text(text(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
