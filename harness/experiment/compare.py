"""The paired comparison of two cells of one scan: better, worse, or a tie, as `mrsim compare` tells them.

Both sides are drawn the same breaths, so that what is hard for both counts for neither. Cells are level where
the 95 % interval of their ratio or difference comes within the margin that matters.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from harness.comparison.order import BY_NAME, Difference, paired
from harness.experiment.single_pass import Series

BETTER, WORSE, TIE, UNTOLD = "better", "worse", "tie", "-"
_SAYS = {"ahead": BETTER, "behind": WORSE, "tie": TIE, "undecided": UNTOLD}
SHOWN = dataclasses.replace(
    BY_NAME["centroid_mm"], about="difference of the p95 of the centroid error when shown, mm"
)
QUANTITIES = {"nmse": BY_NAME["nmse"], "dice": BY_NAME["dice"], "p95": SHOWN}
"""What is compared: ratio of the mean NMSE, differences of the mean Dice and of the centroid error's p95."""


@dataclass(frozen=True)
class Compared:
    """Hold how a subject compares with an opponent.

    Parameters
    ----------
    differences
        Of each of `QUANTITIES`.
    images
        Images that both have.
    """

    differences: dict[str, Difference]
    images: int

    @property
    def outcome(self) -> dict[str, str]:
        """Return, of the subject, better, worse, tie, or "-" where the samples do not tell."""
        return {key: _SAYS[difference.standing] for key, difference in self.differences.items()}


def compare(subject: Series, opponent: Series, seed: int) -> Compared:
    """Compare two cells of one scan on the images that both have.

    Parameters
    ----------
    subject, opponent
        What was measured of each image.
    seed
        Seed of the bootstrap.
    """
    one = subject.part(np.isin(subject.frame, opponent.frame))
    other = opponent.part(np.isin(opponent.frame, subject.frame))
    columns = {"nmse": "nmse", "dice": "dice", "p95": "error_shown_m"}
    seeds = np.random.SeedSequence(seed).spawn(len(columns))
    differences = {}
    for (key, column), child in zip(columns.items(), seeds, strict=True):
        pairs = np.stack([getattr(one, column), getattr(other, column)], axis=-1)
        if key == "p95":
            pairs = pairs * 1e3
        within = ~np.isnan(pairs).any(axis=1)
        differences[key] = paired(QUANTITIES[key], pairs[within], one.block[within], child)
    return Compared(differences, len(one))
