"""`harness.guard`: does new code take longer than the old?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from harness.audits.bench import default_stream
from harness.candidates.build import candidate_builder
from harness.candidates.objects import Given, name_of
from harness.candidates.seen import check_seen
from harness.comparison import guard as guarding
from harness.comparison.guard import FACTOR, IMAGES, LIMIT_S, SITTING, WARMUP, Guarded
from harness.console import Report
from harness.realtime.copies import OneProcess
from harness.session.given import opened
from mrsim.argument_types import checked
from mrsim.errors import InputError
from mrsim.seeds import check_seed
from mrsim.stream import Stream
from recon.protocol import Reconstructor


@checked
@OneProcess()
def guard(
    base: Given,
    new: Given,
    scan: Stream | str | Path | None = None,
    *,
    factor: float = FACTOR,
    images: int = IMAGES,
    seed: int = 0,
    isolate: bool = False,
    limit_s: float = LIMIT_S,
    allow_seen: bool = False,
    names: tuple[str, str] | None = None,
    progress: Report | None = None,
) -> Guarded:
    """Run two candidates in turns on this host and judge the ratio of their times.

    Parameters
    ----------
    base, new
        Candidates, as for `harness.replay`: the one that is there, and the one that is to replace it.
    scan
        A stream of 12 frames or more, or the folder of one; None for one that is made.
    factor
        New may take this many times as long, above 1.
    images
        Pairs of images.
    seed
        Seed of who goes first.
    isolate
        Whether each candidate, which is then a string, runs in a process of its own.
    limit_s
        How long to wait for an image, seconds.
    allow_seen
        Whether a candidate may be judged on lines that it was made from.
    names
        Names of both in the result; None for their own.
    progress
        Told how many pairs are done.

    Returns
    -------
    guarded
        The ratio with its 95 % bounds, every pair, and a verdict.

    Raises
    ------
    InputError
        If a candidate, the scan or an option is wrong.
    """
    check_seed(seed)
    if isinstance(base, str) and isinstance(new, str) and not isolate:
        guarding.refuse_shared_helpers(base, new)
    if base is new and isinstance(base, Reconstructor) and not isinstance(base, type):
        raise InputError(
            f"guard: base and new are one {name_of(base)}, and one object cannot be in two scans at once: "
            "give its class"
        )
    stream = default_stream(seed, WARMUP + SITTING) if scan is None else opened(scan)
    both = () if scan is None else (base, new)
    overlaps = tuple(check_seen(given, stream, allow=allow_seen) for given in both)
    builds = [candidate_builder(given, isolate, limit_s, (), seed) for given in (base, new)]
    found = guarding.guard(
        builds[0], builds[1], stream, names=names or (name_of(base), name_of(new)), factor=factor,
        images=images, seed=seed, limit_s=limit_s, progress=progress,
    )  # fmt: skip
    return dataclasses.replace(found, overlaps=overlaps)
