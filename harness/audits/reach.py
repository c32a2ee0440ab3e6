"""What an image may and must be made of: no line that is to come, and every line that came."""

from __future__ import annotations

import dataclasses

import numpy as np

from harness.audits.bench import SHORT, Bench, differing
from harness.audits.finding import Seen
from harness.audits.probes import RevealingProbe

# Lines probed in a frame drawn from the whole scan; the others are in one of its first frames, for speed.
FAR_LINES = 4
CUTS = 3


def audit_causality(bench: Bench) -> Seen:
    """Check that no image changes with lines that come after it.

    The scan is cut at random frames, from which on it is another one. Then it is played once from a memory in
    which each line appears only when its time has come.

    Parameters
    ----------
    bench
        The bench.
    """
    what, least, pairs = "pairs of images", SHORT // 2, 0
    if differing(bench.base, bench.again, range(SHORT)) is not None:
        fault = "cannot be told: its images are not the same from run to run"
        return Seen(0, least, what, fault)
    stream, per_frame = bench.stream, bench.stream.header.lines_per_frame
    rng = bench.rng("cuts")
    cuts = {int(rng.integers(1, SHORT)), *rng.integers(1, stream.frames, CUTS - 1).tolist()}
    for cut in sorted(cuts):
        later = np.arange(cut * per_frame, (cut + 1) * per_frame)
        part = bench.altered(later, "causality", cut, of=stream.first_frames(cut + 1))
        run = bench.images(part)
        frame = differing(bench.whole, run, range(cut))
        if frame is not None:
            line = bench.base.named(int(later[0]))
            return Seen(pairs, least, what, f"frame {frame} changed when {line} and later ones did")
        # Where nothing at all came of the change, nothing was to be seen before it.
        if differing(bench.whole, run, range(cut, cut + 1)) is not None:
            pairs += bench.pairs(bench.whole, run) - 1
    every = np.arange(len(stream))
    hidden = np.array(bench.altered(every, "hidden", of=stream).samples)
    played = dataclasses.replace(stream, samples=hidden)
    probe = RevealingProbe(bench.build(), hidden, np.asarray(stream.samples))
    run = bench.images(played, probe)
    frame = differing(bench.whole, run, range(stream.frames))
    if frame is not None:
        return Seen(pairs, least, what, f"frame {frame} changed when the lines after it were hidden")
    return Seen(pairs + bench.pairs(bench.whole, run), least, what)


def audit_consumption(bench: Bench) -> Seen:
    """Check that each line of a frame changes the image of its frame.

    Every place in a frame is probed, in an order and in frames that are drawn. A line whose row comes again
    in the same frame is left out: a reconstructor may go by the newer one. How much of a line an image takes
    is not asked: a subspace may honestly take next to nothing of a line far from the centre.

    Parameters
    ----------
    bench
        The bench.
    """
    stream, per_frame = bench.stream, bench.stream.header.lines_per_frame
    rng, ky = bench.rng("consumption"), np.asarray(bench.stream.ky)
    near = np.flatnonzero(bench.telling(bench.base)).tolist()
    far = np.flatnonzero(bench.telling(bench.whole)).tolist() if near else []
    probed, left_out = 0, 0
    for number, place in enumerate(rng.permutation(per_frame).tolist()):
        frames = far if number < FAR_LINES else near
        # Of a candidate that shows nothing any frame will do: it may still emit what never changes.
        frame = int(rng.choice(frames)) if frames else int(rng.integers(SHORT))
        line, last = frame * per_frame + place, (frame + 1) * per_frame
        if (ky[line + 1 : last] == ky[line]).any():
            left_out += 1
            continue
        altered = bench.altered(np.array([line]), "consumption", line, of=stream.first_frames(frame + 1))
        run = bench.images(altered)
        base = bench.base if frame < SHORT else bench.whole
        if not (base.images.shown[frame] and run.images.shown[frame]):
            continue
        probed += 1
        if differing(base, run, range(frame, frame + 1)) is None:
            fault = f"{base.named(line)}: the image of its frame is the same whatever it holds"
            return Seen(probed, per_frame - left_out, "lines", fault)
    return Seen(probed, max(1, per_frame - left_out), "lines")
