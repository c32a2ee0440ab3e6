"""Make a breathing trace such as a recording would give: python scripts/make_trace.py --seed 11 OUT.csv

It is synthetic. A phase runs at a rate that wanders (an Ornstein-Uhlenbeck process), the depth of a breath
and the baseline wander more slowly, and the samples carry the noise of a sensor. It is not the model that the
simulator breathes by, so that something else than Lujan's formula is met.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

STEP_S = 0.04
SECONDS = 190.0


def make(seed: int, amplitude_mm: float = 15.0, period_s: float = 4.1) -> tuple[NDArray, NDArray]:
    """Return instants in seconds and values in millimetres, both of shape (samples,)."""
    rng = np.random.default_rng(seed)
    count = round(SECONDS / STEP_S) + 1

    def wander(correlation_s: float, sd: float) -> NDArray:
        keep = math.exp(-STEP_S / correlation_s)
        kicks = rng.standard_normal(count) * sd * math.sqrt(1 - keep * keep)
        out = np.empty(count)
        value = 0.0
        for i in range(count):
            value = keep * value + kicks[i]
            out[i] = value
        return out

    rate = np.clip(1 + wander(6.0, 0.18), 0.5, 1.7) / period_s
    phase = np.cumsum(rate) * STEP_S
    depth = np.clip(1 + wander(8.0, 0.2), 0.45, 1.5)
    baseline = wander(30.0, 0.8)
    # Exhale is longer than inhale: the phase is bent before the cosine.
    bent = phase + 0.09 * np.sin(2 * math.pi * phase)
    value = amplitude_mm * depth * (0.5 - 0.5 * np.cos(2 * math.pi * bent)) ** 1.5 + baseline
    value += rng.standard_normal(count) * 0.05
    return np.arange(count) * STEP_S, value


def text(seed: int) -> str:
    """Return the CSV, with its record."""
    t, value = make(seed)
    lines = [
        "# A breathing trace, synthetic: no patient's data.",
        f"# made by: python scripts/make_trace.py --seed {seed}",
        f"# {len(t)} samples every {STEP_S * 1e3:.0f} ms; nominal amplitude 15 mm, period 4.1 s",
        "t_s,value_mm",
    ]
    lines += [f"{a:.2f},{b:.3f}" for a, b in zip(t, value, strict=True)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write a trace."""
    parser = argparse.ArgumentParser(description="Make a synthetic breathing trace.")
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    args.output.write_text(text(args.seed), encoding="utf-8")


if __name__ == "__main__":
    main()
