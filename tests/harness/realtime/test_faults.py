"""Each fault does what it says, where it says, and the same again from the same seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.audits.invariants import INVARIANTS, Evidence, check_invariants
from harness.candidates.misbehaving import Troubled
from harness.realtime.clock import VirtualClock
from harness.realtime.faults import CANDIDATE_KINDS, STREAM_KINDS, apply_faults, format_faults, parse_faults
from harness.realtime.feed import Feed
from harness.realtime.replay import Fate, replay
from harness.realtime.run import Run
from harness.realtime.schedule import Policy, Schedule
from harness.realtime.service import ConstantService
from mrsim.errors import InputError
from mrsim.stream import Readout
from recon.classical.zero_filled import ViewSharing
from tests.harness.realtime.simulation import Keeper
from tests.harness.synthetic import Blank, make_header, make_stream

STREAM = make_stream(400, header=make_header(tr_ns=1_000_000))
SCHEDULE = Schedule.of(STREAM)


def feed_of(text: str, seed: int = 1) -> Feed:
    return apply_faults(Feed.of(STREAM, SCHEDULE), parse_faults(text), seed)


def played(text: str, candidate: object = None, seed: int = 1) -> tuple[Evidence, list[Readout]]:
    """Replay with faults; return the evidence and what was handed out."""
    seen: list[Readout] = []
    feed = feed_of(text, seed)
    run = replay(STREAM, candidate or Blank(seen.append), VirtualClock(), ConstantService(0), feed=feed)  # type: ignore[arg-type]
    return Evidence(feed, run, None), seen


def fates(run: Run) -> dict[str, int]:
    counts = np.bincount(run.fate, minlength=len(Fate))
    return {fate.name: int(counts[fate]) for fate in Fate if counts[fate]}


def test_dropped_lines_leave_gaps_in_bursts() -> None:
    evidence, seen = played("drop:at=10,burst=3")
    assert [r.index for r in seen] == [i for i in range(400) if i not in (10, 11, 12)]
    assert fates(evidence.run) == {"HANDED": 397, "LOST": 3}
    assert (evidence.run.images.shown == (np.arange(100) != 2)).all()  # line 11 completes frame 2


def test_where_a_fault_strikes() -> None:
    lost = {text: feed_of(f"drop:{text}").touched["drop"].tolist() for text in ("every=100", "at=7", "p=1")}
    assert lost == {"every=100": [99, 199, 299, 399], "at=7": [7], "p=1": list(range(400))}
    assert 20 < len(feed_of("drop:p=0.1").touched["drop"]) < 65
    assert len(feed_of("drop:p=0").touched["drop"]) == 0
    assert (
        feed_of("drop:p=0.1", 1).touched["drop"].tolist() != feed_of("drop:p=0.1", 2).touched["drop"].tolist()
    )


def test_a_copy_is_turned_away() -> None:
    evidence, seen = played("duplicate:at=9,span=2")
    assert [r.index for r in seen] == list(range(400))
    assert evidence.run.rejected["duplicate"] == 1
    # A copy that comes after its frame has ended is stale.
    assert played("duplicate:at=11,span=3")[0].run.rejected["stale"] == 1


def test_lines_come_out_of_order_within_a_frame_and_are_stale_after_it() -> None:
    evidence, seen = played("reorder:at=8,span=2")
    assert [r.index for r in seen][6:14] == [6, 7, 9, 10, 8, 11, 12, 13]
    assert evidence.run.delivered_ns[8] == evidence.run.delivered_ns[10]
    evidence, seen = played("reorder:at=8,span=4")
    assert fates(evidence.run) == {"HANDED": 399, "REJECTED": 1}
    assert evidence.run.rejected["stale"] == 1


def test_a_late_line_holds_up_those_behind_it() -> None:
    run = played("late:at=20,ms=3.5")[0].run
    late = run.arrived_ns - run.due_ns
    assert late[18:26].tolist() == [0, 0, 3_500_000, 2_500_000, 1_500_000, 500_000, 0, 0]
    assert (run.delivered_ns == run.arrived_ns).all()


def test_damaged_lines_are_turned_away_and_values_are_not() -> None:
    evidence, seen = played("truncate:at=5,keep=0.25;nan:at=9;saturate:at=14,level=0.5")
    assert evidence.run.rejected["truncated"] == 1
    by_index = {r.index: r.samples for r in seen}
    assert 5 not in by_index
    assert np.isnan(by_index[9]).sum() == 1
    original = STREAM.samples[14].view(np.float32)
    limit = np.abs(original).max() / 2
    assert np.array_equal(by_index[14].view(np.float32), np.clip(original, -limit, limit))
    assert np.isfinite(STREAM.samples).all()  # the scan itself is untouched


def test_every_wrong_header_is_told_from_a_right_one() -> None:
    evidence, seen = played("header:p=1")
    assert (seen, evidence.run.rejected["header"]) == ([], 400)
    evidence, seen = played("wrap:bits=5;header:p=0.5")
    assert evidence.run.rejected["header"] == len(evidence.feed.touched["header"])
    assert all(np.array_equal(r.samples, STREAM.samples[r.index]) for r in seen)


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_a_counter_that_wraps_is_unwrapped(bits: int) -> None:
    evidence, seen = played(f"wrap:bits={bits}")
    assert int(evidence.feed.index.max()) < 1 << bits
    assert [r.index for r in seen] == list(range(400))
    assert check_invariants(evidence, ["wrap"]) == []


def test_a_disconnect_ends_the_scan_and_the_candidate_is_closed() -> None:
    candidate = Blank()
    evidence, _ = played("disconnect:at=101", candidate)
    assert candidate.closed == 1
    assert fates(evidence.run) == {"HANDED": 101, "LOST": 299}
    assert evidence.run.images.shown.sum() == 25
    assert fates(played("disconnect:at=0")[0].run) == {"LOST": 400}


def test_the_same_seed_gives_the_same_feed() -> None:
    text = "drop:p=0.1,burst=2;duplicate:p=0.1;reorder:p=0.1;late:p=0.1;nan:p=0.1;truncate:p=0.1;header:p=0.1"
    one, two, other = feed_of(text), feed_of(text), feed_of(text, 2)
    for name in ("source", "index", "frame", "ky", "t_ns", "offset_ns", "patch"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one.patches, two.patches, strict=True))
    assert not np.array_equal(one.source, other.source)
    assert (np.diff(one.offset_ns) >= 0).all()


def test_faults_are_read_and_told() -> None:
    text = "drop:p=0.012345678901,burst=4;late:at=3,ms=2.5;wrap:bits=12;stall:every=7,ms=400"
    faults = parse_faults(text)
    assert parse_faults(format_faults(faults)) == faults
    assert parse_faults(" ; ") == ()
    assert set(INVARIANTS) == set(STREAM_KINDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drip:p=1", "unknown kind 'drip'; known: drop, duplicate"),
        ("drop", "where\\? add p=0.01"),
        ("drop:p=2", "p = '2': expected a number, 0 to 1"),
        ("drop:p=nan", "p = 'nan'"),
        ("drop:every=0", "every = '0': expected a whole number"),
        ("drop:every=1.5", "every = '1.5'"),
        ("drop:p=0.1,every=3", "'every=3' is not understood"),
        ("drop:p", "'p' is not understood"),
        ("nan:at=3,level=2", "'level=2' is not understood; nan takes"),
        ("late:at=3,ms=-1", "ms = '-1'"),
        ("wrap:p=1", "'p=1' is not understood; wrap takes bits"),
        ("wrap:bits=99", "expected a whole number, 4 to 32"),
        ("drop:at=" + "9" * 5000, "5008 characters"),
        ("drop:at=1;" * 40, "at most 32 faults"),
    ],
)
def test_a_fault_string_that_is_wrong_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_faults(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", STREAM_KINDS)
def test_the_opponents_keep_every_promise(kind: str) -> None:
    text = (
        "wrap:bits=6" if kind == "wrap" else f"{kind}:at=150,burst=5".replace("t:at=150,burst=5", "t:at=300")
    )
    evidence, _ = played(text, ViewSharing())
    clean = replay(STREAM, ViewSharing(), VirtualClock(), ConstantService(0))
    assert check_invariants(dataclasses.replace(evidence, clean=clean), [kind]) == []


def test_promises_can_be_broken() -> None:
    """A candidate that raises at a NaN, one that loses a frame after it, and one that never recovers."""

    class Raises(Keeper):
        def push(self, readout: Readout) -> None:
            if not np.isfinite(readout.samples).all():
                raise ValueError("NaN")
            super().push(readout)

    class Sulks(Keeper):
        sick = False

        def push(self, readout: Readout) -> None:
            self.sick = self.sick or not np.isfinite(readout.samples).all()
            if not self.sick:
                super().push(readout)

    class Scarred(Keeper):
        def push(self, readout: Readout) -> None:
            if not np.isfinite(readout.samples).all():
                self._half = 3
            super().push(readout)

    clean = replay(STREAM, Keeper(), VirtualClock(), ConstantService(0))
    for candidate, promises in (
        (Raises(), ["survives"]),
        (Sulks(), ["contained"]),
        (Scarred(), ["recovers"]),
        (Keeper(), []),
    ):
        evidence, _ = played("nan:at=201", candidate)
        broken = check_invariants(dataclasses.replace(evidence, clean=clean), ["nan"])
        assert [b.invariant for b in broken] == promises


def test_what_shows_next_to_nothing_breaks_a_promise_by_showing_as_little_again() -> None:
    class First(Keeper):
        def push(self, readout: Readout) -> None:
            if readout.frame < 2:
                super().push(readout)

    clean = replay(STREAM, First(), VirtualClock(), ConstantService(0))
    evidence, _ = played("drop:at=300", First())
    (broken,) = check_invariants(dataclasses.replace(evidence, clean=clean), ["drop"])
    assert broken.invariant == "contained"
    assert "half is the least" in broken.message


def test_policy_and_faults_go_together() -> None:
    feed = feed_of("drop:p=0.05,burst=6;reorder:p=0.1;late:p=0.02,ms=30")
    run = replay(
        STREAM,
        Keeper(),
        VirtualClock(),
        ConstantService(2_500_000),
        feed=feed,
        policy=Policy.parse("bounded:2"),
    )
    assert set(fates(run)) >= {"HANDED", "DROPPED", "LOST"}
    assert check_invariants(Evidence(feed, run, None), ["drop", "reorder", "late"]) == []


@pytest.mark.parametrize("where", ["every=100", "at=199,burst=1", "p=0.01,burst=2"])
def test_troubles_strike_where_they_say(where: str) -> None:
    faults = parse_faults(f"raise:{where}")
    assert faults[0].kind in CANDIDATE_KINDS
    seen: list[Readout] = []
    run = replay(STREAM, Troubled(Blank(seen.append), faults, 5), VirtualClock())
    assert run.failure is not None
    assert f"trouble was asked for at k-space line {len(seen)}" in run.failure.error
    if where == "every=100":
        assert len(seen) == 99


def test_a_troubled_candidate_emits_the_wrong_shape() -> None:
    run = replay(STREAM, Troubled(Blank(), parse_faults("shape:at=20"), 0), VirtualClock())
    assert run.violation is not None
    assert (run.violation.kind, run.violation.line) == ("contract", 23)


def test_a_coil_is_lost_and_spikes_are_single_samples() -> None:
    stream = make_stream(40, header=make_header(coils=3))

    def lines(text: str) -> np.ndarray:
        feed = apply_faults(Feed.of(stream, Schedule.of(stream)), parse_faults(text), 1)
        return np.stack([feed.patches[number] for number in feed.patch[5:8]])

    before = np.asarray(stream.samples)[5:8]
    silent = lines("coil-lost:at=5,burst=3,coil=1")
    assert not silent[:, 1].any()
    assert np.array_equal(silent[:, [0, 2]], before[:, [0, 2]])
    assert len({tuple(line.any(axis=1)) for line in lines("coil-lost:at=5,burst=3")}) == 1  # the same coil
    clipped = lines("coil-lost:at=5,burst=3,coil=1,level=0.25")[:, 1]
    assert (
        np.abs(clipped.view(np.float32)).max() == np.abs(before[:, 1].view(np.float32)).max(axis=1).max() / 4
    )
    spiked = lines("spike:at=5,burst=3,samples=2,size=10")
    added = np.abs(spiked - before)
    assert ((added > 0).sum(axis=2) == 2).all()
    assert (np.ptp((added > 0).argmax(axis=2), axis=1) == 0).all()  # in all coils at once
    np.testing.assert_allclose(added.max(axis=(1, 2)), 10 * np.abs(before).max(axis=(1, 2)), rtol=1e-4)
    with pytest.raises(InputError, match="the scan has 3, from 0 to 2"):
        lines("coil-lost:at=5,coil=3")


def test_a_candidate_that_gives_up_a_frame_because_of_a_coil_breaks_a_promise() -> None:
    class Particular(Keeper):
        def push(self, readout: Readout) -> None:
            if readout.samples.any():
                super().push(readout)

    evidence, _ = played("coil-lost:at=199", Particular())
    clean = replay(STREAM, Keeper(), VirtualClock(), ConstantService(0))
    broken = check_invariants(dataclasses.replace(evidence, clean=clean), ["coil-lost"])
    assert [b.invariant for b in broken] == ["goes on"]
