"""What every opponent has in common: still truth, no future, no memory of another scan, no traceback."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.audits import memory
from harness.audits.audits import AUDITS, audit_candidate
from harness.audits.bench import SHORT, Bench
from mrsim.seeds import fresh_seed
from recon.classical.cg_sense import CgSense
from recon.classical.compressed import CompressedSensing, Sparsity
from recon.classical.grappa import Tgrappa
from recon.classical.low_rank import Decomposition, LowRankSparse
from recon.classical.sharing import Keyhole, SlidingWindow
from recon.classical.zero_filled import ViewSharing, ZeroFilled
from recon.protocol import Reconstructor
from tests.recon.classical.opponents import body, coil_maps, nmse, still_scan, with_lines
from tests.recon.conftest import run

NY, NX = 32, 24
ONE_COIL = {
    "zero-filled": ZeroFilled,
    "view-sharing": ViewSharing,
    "sliding-window": SlidingWindow,
    "keyhole": Keyhole,
    "keyhole:first": lambda: Keyhole("first"),
    "cs-tv": lambda: CompressedSensing(Sparsity("tv", 1e-3, 8)),
    "cs-wavelet": lambda: CompressedSensing(Sparsity("daubechies", 1e-4, 8)),
    "pdacs": lambda: CompressedSensing(Sparsity("tv", 1e-3, 8, prior=0.1)),
}
COILS = {"cg-sense": CgSense, "tgrappa": Tgrappa, "cs-tv of coils": ONE_COIL["cs-tv"]}
CAUSAL = {**ONE_COIL, **COILS}
ALL = {**CAUSAL, "low-rank-sparse": lambda: LowRankSparse(Decomposition(0.003, 0.01, 3))}


def scan_for(name, lines=8, frames=SHORT, noise=0.02):
    maps = coil_maps(4, NY, NX) if name in COILS else None
    return still_scan(body(NY, NX), lines, frames, maps, noise=noise)


@pytest.mark.parametrize("name", ALL)
def test_a_still_body_that_is_fully_sampled_without_noise_is_shown_as_it_is(name):
    image = body(NY, NX)
    scan = scan_for(name, lines=NY, frames=3, noise=0.0)
    # Sparsity and damping shrink a little; what only sorts lines is exact.
    bound = 1e-9 if name in ("zero-filled", "view-sharing", "sliding-window") or "keyhole" in name else 1e-3
    shown = run(ALL[name](), scan)
    assert [i.frame for i in shown] == [0, 1, 2]
    for i in shown:
        assert nmse(i.pixels, image) < bound


@pytest.mark.parametrize("name", CAUSAL)
def test_later_lines_leave_earlier_images_as_they_are_bit_for_bit(name):
    scan = scan_for(name)
    before = run(CAUSAL[name](), scan)
    for frame in (1, 5, 11):
        after = run(CAUSAL[name](), with_lines(scan, frame * 8))
        for one, two in zip(before[:frame], after[:frame], strict=True):
            assert np.array_equal(one.pixels, two.pixels)
        assert not np.array_equal(before[frame].pixels, after[frame].pixels)


@pytest.mark.parametrize("name", [*CAUSAL])
def test_the_audits_of_what_it_may_know_find_nothing(name):
    bench = Bench(scan_for(name), CAUSAL[name], seed=1)
    for audit in ("conformance", "determinism", "causality", "no write into the input"):
        assert AUDITS[audit](bench).complaint is None, audit


def test_the_audits_find_that_the_oracle_is_not_causal_and_nothing_else(monkeypatch):
    """Three promises are broken by whoever sees a whole scan before it shows a frame; it keeps the others."""
    monkeypatch.setattr(memory, "FRAMES", 96)
    report = audit_candidate(
        scan_for("low-rank-sparse", frames=48), ALL["low-rank-sparse"], "it", fresh_seed()
    )
    found = {one.audit: one.evidence for one in report.findings if not one.kept}
    assert set(found) == {"conformance", "causality", "flat memory"}
    assert "it says that its newest is" in found["conformance"]
    assert "later ones did" in found["causality"]
    assert "bytes grow by" in found["flat memory"]


@pytest.mark.parametrize("name", ALL)
def test_it_remembers_nothing_of_a_scan_before(name):
    scan, used = scan_for(name), ALL[name]()
    assert isinstance(used, Reconstructor)
    run(used, with_lines(scan, 0))
    for one, two in zip(run(used, scan), run(ALL[name](), scan), strict=True):
        assert np.array_equal(one.pixels, two.pixels)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_line_that_is_not_finite_reaches_no_image(name, bad):
    scan = scan_for(name)
    samples = scan.samples.copy()
    samples[3, 0, 5] = samples[37, -1, 2] = bad  # one before anything is known of its row
    with np.errstate(invalid="ignore"):  # the transform of an infinite sample, before it is left out
        shown = run(ALL[name](), dataclasses.replace(scan, samples=samples))
    assert len(shown) == SHORT
    assert all(np.isfinite(i.pixels).all() for i in shown)


@pytest.mark.parametrize("name", ALL)
def test_a_scan_of_nothing_gives_images_of_nothing(name):
    scan = scan_for(name, frames=3)
    shown = run(ALL[name](), dataclasses.replace(scan, samples=np.zeros_like(scan.samples)))
    assert len(shown) == 3
    assert not any(i.pixels.any() for i in shown)
