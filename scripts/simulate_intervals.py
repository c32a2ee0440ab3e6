"""Simulate what the intervals cover, and print the tables of docs/intervals.md.

    python scripts/simulate_intervals.py --simulations 2000 --seed 1 --page docs/intervals.md

Scans are simulated of four kinds of breathing, and hosts whose images miss their deadline singly or in runs.
It is counted how often an interval holds what is true in the long run. It takes half an hour on one core.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from harness.judge.misses import Misses  # noqa: E402
from harness.measure import intervals  # noqa: E402
from harness.measure.exact_statistics import nearest_rank, t_quantile  # noqa: E402
from harness.measure.intervals import (  # noqa: E402
    Interval,
    MarginBounds,
    mean_interval,
    quantile_interval,
    statistic_interval,
)
from scripts.simulated_scans import KINDS, Kind, Scan, breathe, scans  # noqa: E402

Array = NDArray[np.float64]
LONG = 60_000  # breaths of the long run
NUMBERS = (4, 6, 8, 12, 16, 24, 32)
LONGER = (48, 64, 96, 128, 192)
ENOUGH = 0.93
RESAMPLES = 500


@dataclass(frozen=True)
class Statistic:
    """Say what is estimated and by which interval, None where there is none, and of how many breaths.

    Parameters
    ----------
    name, of, interval
        Its name, the value of a scan, and its interval.
    numbers
        Numbers of breaths for which it is simulated.
    enough
        Coverage that the fewest breaths have; 0 of what mrsim does not use.
    """

    name: str
    of: Callable[[Scan], float]
    interval: Callable[[Scan], Interval | None]
    numbers: tuple[int, ...] = NUMBERS
    enough: float = ENOUGH


def mean(scan: Scan) -> float:
    """Return the mean error of the images."""
    return float(np.mean(scan.images[0]))


def rms(values: Array) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def ratio_of_means(pairs: Array) -> float:
    """Return the mean of the first over that of the second."""
    first, second = pairs.mean(axis=0)
    return float(first / second)


def difference_of_p95(pairs: Array) -> float:
    """Return the 95th percentile of the first less that of the second; NaN where both are infinite."""
    first, second = (float(nearest_rank(pairs[:, i], 0.95)) for i in (0, 1))
    return math.nan if math.isinf(second) else first - second


def students_t(scan: Scan) -> Interval:
    """Return the interval of the mean that takes breaths for independent."""
    sums, lengths = scan.breaths
    value, count = sums.sum() / lengths.sum(), len(sums)
    error = math.sqrt(np.sum((sums - value * lengths) ** 2) * count / (count - 1)) / lengths.sum()
    half = t_quantile(0.975, count - 1) * error
    return float(value - half), float(value + half)


def percentile_bootstrap(scan: Scan) -> Interval:
    """Return the interval of the mean by the percentile bootstrap over breaths."""
    sums, lengths = scan.breaths
    rng = np.random.default_rng(len(scan.block))
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ lengths), [0.025, 0.975])
    return float(low), float(high)


def two_sided(bounds: MarginBounds | None) -> Interval | None:
    """Return the two-sided interval of a margin."""
    return None if bounds is None else (bounds.low_m, bounds.high_m)


def one_sided(bounds: MarginBounds | None) -> Interval | None:
    """Return what lies below the one-sided bound of a margin."""
    return None if bounds is None else (0.0, bounds.upper_m)


def quantile(share: float) -> Callable[[Scan], float]:
    """Return the quantile of the errors as a function of a scan."""
    return lambda scan: float(nearest_rank(scan.error_m, share))


STATISTICS = (
    Statistic("mean", mean, lambda s: mean_interval(*s.images)),
    Statistic("rms", lambda s: rms(s.images[0]), lambda s: statistic_interval(*s.images, rms)),
    Statistic(
        "ratio of two means",
        lambda s: ratio_of_means(s.found_pairs[0]),
        lambda s: statistic_interval(*s.found_pairs, ratio_of_means),
    ),
    Statistic(
        "difference of two p95",
        lambda s: difference_of_p95(s.pairs[0]),
        lambda s: statistic_interval(*s.pairs, difference_of_p95),
    ),
    Statistic("median", quantile(0.5), lambda s: quantile_interval(s.error_m, s.block, 0.5)),
    Statistic("M95", quantile(0.95), lambda s: two_sided(s.m95)),
    Statistic("M99", quantile(0.99), lambda s: two_sided(s.m99), NUMBERS + LONGER),
    Statistic("M95, bound of 99 %", quantile(0.95), lambda s: one_sided(s.m95), enough=0.98),
    Statistic("M99, bound of 99 %", quantile(0.99), lambda s: one_sided(s.m99), NUMBERS + LONGER, 0.98),
    Statistic("mean, Student's t", mean, students_t, enough=0),
    Statistic("mean, percentile bootstrap", mean, percentile_bootstrap, enough=0),
)


@dataclass(frozen=True)
class Host:
    """Describe a host whose images miss in runs of a fixed length, or of a mean length."""

    name: str
    run: int
    fixed: bool


HOSTS = (
    Host("independent", 1, True),
    Host("runs of 3", 3, True),
    Host("runs of 3 in the mean", 3, False),
    Host("runs of 10", 10, True),
    Host("runs of 10 in the mean", 10, False),
)
SHARES = (0.0101, 0.03, 0.0501, 0.12, 0.4, 0.9)
IMAGES = (20, 100, 900, 4600, 10_000)


def play(host: Host, share: float, images: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which images of a host miss, of which so many do in the long run, shape (images,), bool."""
    between = host.run * (1 - share) / share
    total = images + 20 * host.run
    count = int(2 * total / (host.run + between)) + 50
    runs = np.full(count, host.run) if host.fixed else rng.geometric(1 / host.run, count)
    gaps = rng.geometric(1 / (1 + between), count) - 1
    # Where in its course a host is met is a matter of chance.
    begin = np.cumsum(gaps + runs) - runs - rng.integers(10 * host.run, 20 * host.run)
    edges = np.zeros(images + 1, np.int64)
    np.add.at(edges, np.clip(begin, 0, images), 1)
    np.add.at(edges, np.clip(begin + runs, 0, images), -1)
    return np.cumsum(edges)[:images] > 0


def cover(
    kind: Kind, simulations: int, seed: int, tell: Callable[[str], None]
) -> dict[str, dict[int, float]]:
    """Return how often each interval holds the long run's value, by number of breaths; NaN of no interval."""
    place = KINDS.index(kind)
    error, other, _ = breathe(kind, LONG, np.random.default_rng([seed, place]))
    long = Scan(error, other, np.zeros(len(error), np.int64))
    true = {statistic.name: statistic.of(long) for statistic in STATISTICS}
    found: dict[str, dict[int, float]] = {statistic.name: {} for statistic in STATISTICS}
    for number in NUMBERS + LONGER:
        tell(f"{kind.name}, {number} breaths")
        used = [statistic for statistic in STATISTICS if number in statistic.numbers]
        held: dict[str, list[bool]] = {statistic.name: [] for statistic in used}
        for scan in scans(kind, number, simulations, np.random.SeedSequence([seed, place, number])):
            for statistic in used:
                interval = statistic.interval(scan)
                if interval is not None:
                    held[statistic.name].append(interval[0] <= true[statistic.name] <= interval[1])
        for name, hits in held.items():
            found[name][number] = sum(hits) / len(hits) if hits else math.nan
    return found


def violate(host: Host, images: int, simulations: int, seed: int) -> tuple[float, float]:
    """Return how often the upper and the lower bound of misses are wrong, each at its worst share."""
    rng = np.random.default_rng([seed, host.run, host.fixed, images])
    worst = [0.0, 0.0]
    for share in SHARES:
        wrong = [0, 0]
        for _ in range(simulations):
            found = Misses.of([play(host, share, images, rng)])
            wrong[0] += found.at_most() < share
            wrong[1] += found.at_least() > share
        worst = [max(one, count / simulations) for one, count in zip(worst, wrong, strict=True)]
    return worst[0], worst[1]


def coverage_table(
    found: Sequence[dict[str, dict[int, float]]], numbers: Sequence[int], names: Sequence[str]
) -> list[str]:
    """Return the coverage of some intervals as a Markdown table, a row for each kind of breathing."""
    lines = [f"| interval | breathing | {' | '.join(map(str, numbers))} |", "|---" * (2 + len(numbers)) + "|"]
    for name in names:
        for place, kind in enumerate(KINDS):
            cells = [f"{found[place][name][number]:.3f}" for number in numbers]
            lines.append(f"| {name if not place else ''} | {kind.name} | {' | '.join(cells)} |")
    return lines


def fewest(statistic: Statistic, found: Sequence[dict[str, dict[int, float]]]) -> int | None:
    """Return the fewest breaths from which on a statistic has enough coverage in every kind."""
    least = None
    for number in reversed(statistic.numbers):
        if min(one[statistic.name][number] for one in found) < statistic.enough:
            break
        least = number
    return least


def tables(simulations: int, seed: int, tell: Callable[[str], None]) -> str:
    """Return all tables as Markdown.

    Parameters
    ----------
    simulations
        Scans of each kind and number of breaths, and hosts of each kind, share and number of images.
    seed
        Seed of all that is drawn.
    tell
        Told what is being simulated.
    """
    # Below the numbers that are used, to see what they would cover.
    intervals.MIN_BREATHS = 2
    intervals.MIN_BREATHS_OF_SHARE = dict.fromkeys(intervals.MIN_BREATHS_OF_SHARE, 2)
    found = [cover(kind, simulations, seed, tell) for kind in KINDS]
    used = [statistic for statistic in STATISTICS if statistic.enough]
    lines = [
        f"Coverage in {simulations} scans, seed {seed}, of intervals that promise 95 % (a bound: 99 %):",
        "",
    ]
    lines += coverage_table(found, NUMBERS, [statistic.name for statistic in used])
    lines += ["", "M99 takes longer scans:", ""]
    lines += coverage_table(found, LONGER, [s.name for s in used if s.numbers != NUMBERS])
    lines += ["", "What mrsim does not use, and why:", ""]
    lines += coverage_table(found, NUMBERS, [s.name for s in STATISTICS if not s.enough])
    lines += ["", "| interval | coverage in every kind | from so many breaths on |", "|---|---|---|"]
    for statistic in used:
        lines.append(f"| {statistic.name} | {statistic.enough:g} | {fewest(statistic, found) or 'none'} |")
    lines += [
        "",
        f"Violations of the 99 % bounds of misses in {simulations} hosts, in per cent: upper / lower,",
        "",
    ]
    lines[-2] += f" each at the worst of {len(SHARES)} shares of misses:"
    lines += [f"| host | {' | '.join(f'{n:,} images' for n in IMAGES)} |", "|---" * (1 + len(IMAGES)) + "|"]
    for host in HOSTS:
        cells = []
        for images in IMAGES:
            tell(f"{host.name}, {images} images")
            cells.append(
                " / ".join(f"{100 * share:.1f}" for share in violate(host, images, simulations, seed))
            )
        lines.append(f"| {host.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


MARKED = re.compile(r"(<!-- simulated -->\n).*(<!-- end -->\n)", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, help="page whose tables are replaced")
    args = parser.parse_args(argv)
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    text = tables(args.simulations, args.seed, tell)
    print(text, end="")
    if args.page is not None:
        page = args.page.read_text(encoding="utf-8")
        args.page.write_text(MARKED.sub(lambda at: f"{at[1]}{text}{at[2]}", page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
