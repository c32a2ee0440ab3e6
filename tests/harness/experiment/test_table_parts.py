"""The parts of the table: one pass, its references, comparison, guard, time line, changes and claims."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from harness.comparison.on_display import display_of, displayed_of
from harness.comparison.scans import part_of
from harness.comparison.series import Series
from harness.comparison.single_pass import Ground, Pass, play, show
from harness.experiment.cells import Cells, Row
from harness.experiment.claims import claims, compare_cells, compare_images
from harness.experiment.horizon import looking_ahead
from harness.experiment.measures import BEAM, Measures, measure_cell
from harness.experiment.plan import Cell, Entry, ExperimentPlan, cells_of, read_patients
from harness.experiment.scans import Scan, TimeLine
from harness.experiment.training_overlap import refuse_overlap
from harness.experiment.variants import CHANGES, changed
from harness.judge.evaluate import evaluate
from harness.judge.measures import deliver_by
from harness.measure.beam import load_beam
from harness.measure.floor import consistency_floor
from harness.measure.image_quality import assess
from harness.measure.ruler import full_image
from harness.measure.timing import measure
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.realtime.service import ConstantService
from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.phantom import load_phantom
from mrsim.errors import InputError
from mrsim.scanner.acquisition import ScanProtocol, scan
from mrsim.scanner.oracle import truth_of
from mrsim.stream import Header, Readout, Stream
from recon.classical.zero_filled import ViewSharing
from recon.protocol import Emit
from tests.harness.synthetic import Drawn, draw_target, moving_stream

FRAMES = 150


@lru_cache(maxsize=1)
def ground() -> Ground:
    return Ground(moving_stream(FRAMES), 10, FRAMES, 0)


def drawn(late: int = 0, noise: float = 0.0) -> Drawn:
    """Show the truth of some lines ago, drowned in noise of a size."""
    stream = ground().stream
    header, truth = stream.header, stream.truth
    assert truth is not None

    def image(frame: int) -> np.ndarray:
        line = max((frame + 1) * header.lines_per_frame - 1 - late, 0)
        rng = np.random.default_rng(frame)
        return draw_target(header, truth.centroid[line]) + noise * rng.standard_normal(header.matrix)

    return Drawn(image)


@lru_cache(maxsize=8)
def passed(late: int = 0, noise: float = 0.0) -> Pass:
    return play(ground(), drawn(late, noise), "drawn", service_ms=0.5)


def series(late: int = 0, noise: float = 0.0) -> Series:
    return passed(late, noise).series


def test_one_pass_measures_what_a_replay_measures() -> None:
    """Judging as images come gives the very figures of a run that keeps them all."""
    g = ground()
    run = replay(g.stream, drawn(5, 0.05), VirtualClock(), ConstantService(500_000))
    quality = assess(g.stream, run, measure(run, warmup=g.first))
    assert quality is not None
    mine = play(g, drawn(5, 0.05), "drawn", service_ms=0.5).series
    assert np.array_equal(mine.frame, quality.frames)
    for name in ("t_ns", "shown_ns", "nmse", "ssim", "dice"):
        assert np.array_equal(getattr(mine, name), getattr(quality, name)), name
    assert np.array_equal(np.stack([mine.x_m, mine.y_m], -1), quality.centroid_m, equal_nan=True)
    told = measure_cell(g, mine).figures
    assert told["last_p95_mm"][0] == pytest.approx(1e3 * (quality.last_line.p95 or math.nan))
    assert told["shown_max_mm"][0] == pytest.approx(1e3 * (quality.when_shown.max or math.nan))
    assert told["lag_ms"][0] == pytest.approx((quality.lag.claimed_ns or math.nan) * 1e-6)
    assert told["lag_ms"][0] == pytest.approx(5 * g.stream.header.tr_ns * 1e-6, abs=3)
    assert told["total_lag_ms"][0] == pytest.approx((quality.total_lag_ns or math.nan) * 1e-6)


def test_a_cell_has_on_display_what_a_replay_has() -> None:
    """The lead-in before what is judged is on display when judging begins, as in a replay."""
    g, service = ground(), ConstantService(6_000_000)  # a push of every line takes 6 ms, a line comes in 4
    result = evaluate(
        g.stream,
        "it",
        lambda: drawn(5, 0.05),
        clock=VirtualClock(),
        service=service,
        warmup=g.first,
        claim=0.5,
    )
    margin = result.margin
    assert margin is not None
    one = play(g, drawn(5, 0.05), "drawn", service_ms=6.0)
    told = measure_cell(g, one.series, display_of(g, one)).figures
    assert told["m95_mm"][0] == pytest.approx(margin.m95_mm)
    assert told["dice_shown"][0] == pytest.approx(margin.dice)
    assert told["m95_mm"][0] > 5  # type: ignore[operator]  # it falls behind by seconds
    nothing = measure_cell(g, one.series).figures
    assert nothing["m95_mm"] == nothing["dice_shown"] == (None, None)


def test_the_clock_of_what_is_judged_is_that_of_its_scan(tmp_path: Path) -> None:
    plan = ExperimentPlan(
        read_patients(["quasar"], [4.0]), (Entry.parse("view-sharing"),), parts=("main", "horizon"), seed=3,
        scan_s=9.0, matrix=(32, 32), time_line=TimeLine(5.0, 2.0, 2.0),
    )  # fmt: skip
    kept = Cells(tmp_path, plan)
    for cell in [cell for cell in cells_of(plan) if cell.label in ("view-sharing", "plain")]:
        g, whole = kept._prepare(cell, None)
        assert g.start_ns >= 3_000_000_000
        told = truth_of(whole).centroid(g.truth.target, np.asarray(g.stream.t_ns) + g.start_ns)
        assert np.allclose(told, g.truth.centroid, atol=1e-9)


def test_measured_time_leaves_out_the_judging() -> None:
    """A candidate that does nothing answers in far less time than judging its image takes."""
    mine = play(ground(), drawn(), "drawn", service_ms=None)
    draw = ground().stream
    assert draw.truth is not None
    # Drawing the picture itself takes a millisecond or so; SSIM and outlines would come on top, each time.
    quick = np.median(mine.series.response_ns)
    assert 0 < quick < ground().stream.header.tr_ns * ground().stream.header.lines_per_frame

    class Blank(Drawn):
        pass

    still = draw_target(draw.header, draw.truth.centroid[0]).astype(np.complex64)
    none = play(ground(), Blank(lambda frame: still), "blank", service_ms=None).series.response_ns
    assert np.median(none) < 300_000  # judging takes several times as much


def test_a_truth_reaches_no_candidate() -> None:
    """What a candidate is handed leads to no truth: not `emit`, and nothing that `emit` holds."""
    seen: list[object] = []

    class Curious(Drawn):
        def open(self, header: Header, emit: Emit) -> None:
            seen.append(emit)
            super().open(header, emit)

    play(ground(), Curious(drawn().draw), "curious", service_ms=0.5)
    held = list(vars(seen[0].__self__).values())  # type: ignore[attr-defined]
    held += [vars(h.__self__) for h in held if hasattr(h, "__self__")]  # the gate's own `emit`
    assert len(held) > 2
    assert not any(hasattr(h, "truth") or hasattr(h, "_ground") or hasattr(h, "stream") for h in held)


def standings(one: Series, other: Series) -> dict[str, str]:
    return {name: difference.standing for name, difference in compare_images(one, other).items()}


def test_planted_opponents_come_out_as_they_are() -> None:
    fresh, late, noisy = series(0, 0.002), series(12), series(0, 0.3)
    assert set(standings(fresh, late).values()) == {"ahead"}
    assert set(standings(late, fresh).values()) == {"behind"}
    assert standings(noisy, fresh)["nmse"] == "behind"
    assert set(standings(fresh, fresh).values()) == {"tie"}
    few = fresh.part(fresh.frame < 20)
    assert set(standings(few, late).values()) == {"undecided"}


def test_one_that_loses_the_target_is_worse() -> None:
    fresh = series(0, 0.002)
    lost = np.where(np.arange(len(fresh)) % 5 == 0, np.inf, fresh.error_shown_m)
    assert standings(dataclasses.replace(fresh, error_shown_m=lost), fresh)["centroid_shown_mm"] == "behind"


def test_references_are_those_of_reference() -> None:
    stream = scan(load_phantom("quasar"), ScanProtocol(), seed=3, seconds=5)
    first = 20
    g = Ground(stream, first, stream.frames, 7)
    frames = np.arange(first, stream.frames)
    pixels, quality = consistency_floor(stream, frames)
    floor = show(g, "consistency-floor", kept=(g.fastest,))
    for name in ("frames", "t_ns", "shown_ns", "nmse", "ssim", "dice"):
        assert np.array_equal(
            getattr(floor.series, name.removesuffix("s") if name == "frames" else name),
            getattr(quality, name),
        )
    assert np.array_equal(floor.pixels[g.fastest], pixels[g.fastest])
    own = show(g, "truth").series
    assert (own.nmse == 0).all()
    assert quality.ruler is not None
    assert own.dice.mean() == pytest.approx(quality.ruler.dice)
    full = show(g, "fully-sampled").series
    assert (full.dice_full == 1).all()
    assert np.array_equal(full.dice, floor.series.dice_own)
    # Its noise is the scan's: as strong in an image as in a sample, for the transforms are unitary.
    assert stream.truth is not None
    assert stream.provenance is not None
    noise = full_image(stream, first, 7) - stream.truth.image[first]
    assert np.std(noise) == pytest.approx(stream.provenance.noise_std, rel=0.03)
    assert not np.array_equal(noise, full_image(stream, first + 1, 7) - stream.truth.image[first + 1])


def test_a_part_is_a_scan_that_starts_there() -> None:
    stream = moving_stream(40)
    part = part_of(stream, 12, 30)
    lines = 12 * stream.header.lines_per_frame
    assert part.frames == 18
    assert int(part.frame[0]) == 0
    assert int(part.t_ns[0]) == stream.header.te_ns
    assert part.truth is not None
    assert stream.truth is not None
    assert np.array_equal(part.truth.image[0], stream.truth.image[12])
    assert np.array_equal(part.truth.centroid[0], stream.truth.centroid[lines])
    assert np.array_equal(part.samples, stream.samples[lines : 30 * stream.header.lines_per_frame])
    shown: list[tuple[int, int]] = []

    class Watch(ViewSharing):
        def push(self, readout: Readout) -> None:
            shown.append((readout.index, readout.frame))
            super().push(readout)

    play(Ground(part, 2, 18, 0), Watch(), "watch", service_ms=0.1)
    assert shown[0] == (0, 0)  # nothing tells a candidate that there was more before
    with pytest.raises(InputError, match="it has 40"):
        part_of(stream, 12, 41)


def test_the_time_line_keeps_what_is_known_from_what_is_judged() -> None:
    frame_ns = 57_200_000
    line = TimeLine(70, 10, None)
    seen, first, stop = line.judged(3200, frame_ns)
    assert line.known_frames(frame_ns) * frame_ns <= 70e9 <= first * frame_ns
    assert 60e9 <= seen * frame_ns < 60e9 + frame_ns
    assert stop == 3200
    assert line.judged(3200, frame_ns, 12)[2] == first + int(12e9 // frame_ns)
    assert TimeLine(70, 10, 5).judged(3200, frame_ns, 12)[2] == first + int(5e9 // frame_ns)
    with pytest.raises(InputError, match="no frame to judge"):
        line.judged(first, frame_ns)


def test_another_day_is_judged_by_what_the_first_day_tells() -> None:
    """Day two has another seed and nothing of it is known; day one knows its own first part."""
    fields = (("patient1", 0.5), ("", 1.5))
    patients = read_patients(["v2/patient1-day2", "v2/patient1-day1", "v2/patient2-day2"], [5.0])
    plan = ExperimentPlan(
        patients, (Entry.parse("view-sharing"),), time_line=TimeLine(20.0, 4.0, 10.0), scan_s=30.0, seed=3,
        coils=8, fields_t=fields, train_on="day1",
    )  # fmt: skip
    second, first, other = (cell for cell in cells_of(plan) if cell.label == "view-sharing")
    assert second.knowable == first.scan == first.knowable
    assert (first.scan.seed, second.scan.seed) == (3, 4)
    assert (first.scan.seconds, second.scan.seconds) == (30.0, 14.0)
    assert [plan.time_line_of(cell).train_s for cell in (first, second)] == [20.0, 4.0]
    assert [cell.scan.protocol.field_t for cell in (first, second, other)] == [0.5, 0.5, 1.5]
    assert {cell.scan.protocol.coils for cell in (first, second, other)} == {8}
    assert second.describe({}) != dataclasses.replace(second, other_day=None).describe({})
    with pytest.raises(InputError, match=r"day1.*patient1"):
        ExperimentPlan(read_patients(["patient1"], [5.0]), (), train_on="day1")


def test_a_beam_strays_by_what_is_shown_late() -> None:
    """What is shown 80 ms late keeps the beam astray for longer than what is shown at once."""
    astray = []
    for late in (0, 40):
        one = passed(late)
        displayed = displayed_of(ground(), one)
        assert displayed is not None
        beamed = deliver_by(load_beam(BEAM), displayed, ground().stream)
        told = measure_cell(ground(), one.series, display_of(ground(), one), beamed).figures
        share = beamed.delivery.stray_share
        assert share is not None
        assert told["stray_percent"][0] == pytest.approx(100 * share)
        astray.append(share)
    assert astray[0] < astray[1]
    assert measure_cell(ground(), one.series).figures["stray_percent"] == (None, None)


def test_the_fully_sampled_image_stands_beside() -> None:
    """Its mean is that of the images that were made; where none is NaN all count."""
    told = np.full(len(series(0)), np.nan)
    told[::3] = 0.01
    figures = measure_cell(ground(), series(0), nmse_full=told).figures
    assert figures["nmse_full"][0] == pytest.approx(0.01)
    assert measure_cell(ground(), series(0)).figures["nmse_full"] == (None, None)


def record(**data: object) -> dict[str, object]:
    header = ScanProtocol(acceleration=5.0).header().to_dict()
    return {"header": header, "data": [{"phantom": "patient1", "phantom_text": "", "seed": 1, **data}]}


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        ({"used_s": [0.0, 70.0]}, False),
        ({"trained_s": [0.0, 70.0]}, False),
        ({"trained_s": [0.0, 71.0]}, True),
        ({"trained_s": [60.0, 183.0]}, True),
        ({"used_s": [0.0, 183.0], "seed": 2}, False),
        ({"used_s": [0.0, 183.0], "phantom": "patient2"}, True),
        ({"used_s": [0.0, 183.0], "phantom_text": load_phantom("patient2").text}, False),
        ({"frames": 1223}, False),
        ({"frames": 1400}, True),
        ({"frames": 1223, "seed": None}, True),
        ({}, True),
    ],
)
def test_the_guard_knows_what_was_trained_on(told: dict[str, object], refused: bool) -> None:
    phantom = load_phantom("patient1")
    if refused:
        with pytest.raises(InputError, match="net"):
            refuse_overlap(record(**told), phantom, 1, (70.0, 183.0), "net")
    else:
        refuse_overlap(record(**told), phantom, 1, (70.0, 183.0), "net")


def test_the_guard_sees_through_another_name() -> None:
    phantom = load_phantom("patient1")
    told = record(phantom="mine", phantom_text=phantom.text, used_s=[0.0, 100.0])
    with pytest.raises(InputError, match="trained on"):
        refuse_overlap(told, phantom, 1, (70.0, 183.0), "net")
    with pytest.raises(InputError, match="does not say"):
        refuse_overlap({}, phantom, 1, (70.0, 183.0), "net")


@pytest.mark.parametrize("variant", CHANGES)
@pytest.mark.parametrize("patient", ["patient1", "patient3", "patient4", "patient5", "patient6", "quasar"])
def test_changes_move_the_target_as_they_say(patient: str, variant: str) -> None:
    plain, other = load_phantom(patient), changed(load_phantom(patient), variant)
    assert [r.name for r in other.regions] == [r.name for r in plain.regions]
    motions = tomllib.loads(other.text)["motion"]
    drive = motions["breathing"]
    if variant == "amplitude":
        before = tomllib.loads(plain.text)["motion"]["breathing"]
        keys = [k for k in ("amplitude_mm", "deep_amplitude_mm", "scale") if k in before]
        assert keys
        assert [drive[k] for k in keys] == [1.5 * before[k] for k in keys]
        return
    t_ns = np.arange(0, 60_000_000_000, 50_000_000)
    anatomy = Anatomy(other, 1)
    added = anatomy.drives["added"].at(t_ns)
    assert np.allclose(anatomy.drives["breathing"].at(t_ns), anatomy.drives["calm"].at(t_ns) + added)
    if variant == "shift":
        assert np.allclose(added, 0.005)
    else:
        assert added.max() > 0.004
        assert np.mean(np.abs(added) < 1e-4) > 0.7  # between two coughs there is none


def test_a_phantom_without_breathing_is_refused() -> None:
    with pytest.raises(InputError, match="expected one of"):
        changed(load_phantom("quasar"), "sneeze")
    twice = changed(load_phantom("quasar"), "cough")
    with pytest.raises(InputError, match="none named calm"):
        changed(twice, "shift")


def test_looking_ahead_is_the_truth_of_later() -> None:
    stream = scan(load_phantom("quasar"), ScanProtocol(matrix=(32, 32)), seed=3, seconds=1)
    frame_ns = stream.header.frame_ns
    start, first = 10, 4
    part = part_of(stream, start, stream.frames - 12)
    ahead = 3  # frames, so that the scan stores what is to be found
    later = looking_ahead(part, truth_of(stream), start * frame_ns, first, ahead * frame_ns)
    assert later.truth is not None
    assert stream.truth is not None
    assert np.array_equal(later.truth.image[first], stream.truth.image[start + first + ahead])
    assert np.array_equal(later.truth.mask[-1], stream.truth.mask[stream.frames - 12 + ahead - 1])
    lines = stream.header.lines_per_frame
    assert np.allclose(later.truth.centroid[0], stream.truth.centroid[(start + ahead) * lines])
    assert np.array_equal(later.samples, part.samples)


def row(label: str, one: Pass, folder: Path, candidate: str = "", causal: bool = True) -> Row:
    """Return a row as if its cell had been judged."""
    shown = display_of(ground(), one)
    assert shown is not None
    cell = Cell("main", Scan("patient1", 5.0), label, "fine" if candidate else "", candidate or label, 5.0)
    file = folder / label
    arrays = {f.name: getattr(one.series, f.name) for f in dataclasses.fields(one.series)}
    arrays |= {f"display_{name}": values for name, values in shown.arrays.items()}
    np.savez(file.with_name(f"{label}.npz"), picture=np.empty((0, 0), np.float32), **arrays)
    return Row(cell, measure_cell(ground(), one.series, shown), "", causal, file)


def outcomes(rows: list[Row], words: str) -> list[bool | None]:
    return [c.holds for c in claims(rows, compare_cells(rows)) if words in c.claim]


def test_claims_hold_and_fall_short(tmp_path: Path) -> None:
    good = row("cascade", passed(0, 0.002), tmp_path, "cascade:x")
    late = row("view-sharing", passed(12), tmp_path)
    assert outcomes([good, late], "behind in all four") == [True]
    assert outcomes([good, late], "is ahead in the centroid") == [True]
    assert outcomes([good, late], "total lag") == [True]
    assert outcomes([good, late], "centroid p95") == [True]
    assert outcomes([good, late], "M95 on display") == [True]
    # The same with the places changed: the network is the late one, and the table says so.
    bad = row("cascade", passed(60), tmp_path, "cascade:x")
    fresh = row("view-sharing", passed(0, 0.002), tmp_path)
    assert outcomes([bad, fresh], "behind in all four") == [False]
    assert outcomes([bad, fresh], "is ahead in the centroid") == [False]
    assert outcomes([bad, fresh], "centroid p95") == [False]
    assert outcomes([bad, fresh], "M95 on display") == [False]
    # One that needs later lines is no rival.
    offline = row("low-rank-sparse", passed(0, 0.002), tmp_path, causal=False)
    assert outcomes([bad, offline], "is ahead in the centroid") == []
    # A cell that could not be judged is not dropped.
    missing = Row(bad.cell, None, "no weights", True, tmp_path / "none")
    assert outcomes([missing], "can be judged") == [False]
    assert outcomes([missing], "Dice at least") == [None]


def test_a_slow_cell_is_compared_over_the_time_that_both_are_judged(tmp_path: Path) -> None:
    short = play(ground(), drawn(12), "drawn", service_ms=0.5, stop=FRAMES - 30)
    (found,) = compare_cells(
        [row("cascade", passed(0, 0.002), tmp_path, "cascade:x"), row("view-sharing", short, tmp_path)]
    )
    assert found.images == FRAMES - 30 - 10
    assert found.standing["m95_mm"] == "ahead"


def test_measures_survive_their_file() -> None:
    measures: Measures = measure_cell(ground(), series(12))
    assert Measures.from_json(measures.to_json()) == measures


def test_a_stream_without_truth_is_refused() -> None:
    stream: Stream = dataclasses.replace(moving_stream(20), truth=None)
    with pytest.raises(InputError, match="truth"):
        Ground(stream, 2, 20, 0)
