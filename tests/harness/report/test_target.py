"""The target on the page: its tables, the waterfall, the course of time, a lost target, and positions."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.judge.evaluate import evaluate
from harness.judge.profiles import SHIPPED, Criterion
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.measure.beam import KINDS as BEAM_KINDS
from harness.measure.displayed import Displayed
from harness.measure.failures import KINDS
from harness.measure.intervals import MarginBounds
from harness.realtime.clock import VirtualClock
from harness.realtime.service import TableService
from harness.report.course import course, states, worst_stretch
from harness.report.report import render
from harness.report.target import KIND_WORDS, SILENT_WORDS
from harness.report.text import Figures
from harness.report.waterfall import PARTS, waterfall
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Emit, Image, Position
from tests.harness.report.reading import DASH, Page, plain, rows, section
from tests.harness.synthetic import Drawn, draw_target, moving_stream

MS = 1_000_000
PROFILE = Criterion.of(SHIPPED["keep-up"], None)
Draw = Callable[[int], np.ndarray]


@pytest.fixture(scope="module")
def scan() -> Stream:
    return moving_stream(420)  # 27 s


def centre(scan: Stream, line: int) -> np.ndarray:
    assert scan.truth is not None
    place: np.ndarray = scan.truth.centroid[max(line, 0)]
    return place


def played(scan: Stream, draw: Draw, took_ns: int = 20 * MS) -> RunResult:
    """Return a run that shows pictures, each some time after its last line."""
    service = np.zeros(len(scan), np.int64)
    service[15::16] = took_ns
    return evaluate(
        scan, "it", lambda: Drawn(draw), clock=VirtualClock(), service=TableService(service), claim=0.5
    )


@pytest.fixture(scope="module")
def run(scan: Stream) -> RunResult:
    """Return a run whose pictures are two frames old, and of which some have no target."""
    blank = np.zeros(scan.header.matrix)

    def draw(frame: int) -> np.ndarray:
        return blank if frame in (60, 61, 77) else draw_target(scan.header, centre(scan, 16 * frame - 17))

    found = played(scan, draw)
    assert found.margin is not None
    bounds = MarginBounds(low_m=2.1e-3, high_m=6.4e-3, upper_m=6.9e-3)
    return dataclasses.replace(found, margin=dataclasses.replace(found.margin, bounds=bounds))


@pytest.fixture(scope="module")
def html(run: RunResult) -> str:
    return written(run)


def written(run: RunResult) -> str:
    told = Repetitions((run,), True).to_json()
    page = render(told, run)
    found = Page.of(page)
    assert found.unclosed == []
    assert found.wrong(json.loads(json.dumps(told))) == []
    return page


def test_each_row_of_the_table_shows_the_figures_of_its_name(run: RunResult, html: str) -> None:
    """From the run itself, not from its JSON: a path to another figure is found."""
    margin, quality = run.margin, run.quality
    assert margin is not None
    assert quality is not None
    assert None not in (margin.m95_mm, margin.m99_mm, margin.rms_m, margin.dice, margin.nmse)
    assert margin.m95_mm is not None
    assert margin.offline_m95_m is not None
    told = rows(section(html, "target"))
    assert told["M95"] == [f"{margin.m95_mm:.1f} mm (2.1 to 6.4)", f"{margin.offline_m95_m * 1e3:.1f} mm"]
    assert told["M99"] == [f"{margin.m99_mm:.1f} mm", ""]
    assert quality.last_line.rms is not None
    assert margin.rms_m is not None
    assert told["distance, rms"] == [f"{margin.rms_m * 1e3:.2f} mm", f"{quality.last_line.rms * 1e3:.2f} mm"]
    assert told["beyond 3 mm"] == [f"{margin.beyond_share * 100:.1f} %", ""]
    assert told["longest time beyond 3 mm"] == [f"{margin.beyond_longest_ns / MS:.0f} ms", ""]
    assert told["target available"] == ["100.0 %", ""]
    assert told["no target, while available"] == [f"{margin.lost_share * 100:.1f} %", "3 of 412 images"]
    assert told["Dice"] == [f"{margin.dice:.3f}", f"{quality.dice.mean():.3f}"]
    assert told["NMSE"] == [f"{margin.nmse:.6f}", f"{quality.nmse.mean():.6f}"]
    assert told["SSIM"] == ["", f"{quality.ssim.mean():.3f}"]
    assert len({cell for cells in told.values() for cell in cells}) > 14  # no two figures are alike


def test_silent_failures_are_told_by_kind(run: RunResult, html: str) -> None:
    assert run.margin is not None
    silent, part = run.margin.silent, section(html, "target")
    told = rows(part)
    assert silent.kinds["blank"] > 0
    for kind in KINDS:
        assert (kind in told) == (silent.kinds[kind] > 0)
    assert told["blank"] == [SILENT_WORDS["blank"], f"{silent.kinds['blank'] * 100:.1f} %"]
    text = plain(part)
    assert f"Failures: {silent.count}; none was ever flagged" in text
    assert f"{silent.share * 100:.1f} % of the time, {silent.longest_ns / MS:.0f} ms at the longest" in text


def test_the_first_sign_of_a_flagged_failure_is_told(scan: Stream) -> None:
    class Late:
        """Show nothing for five frames, and say hold from the third on; blanks of one frame go unflagged."""

        def open(self, header: Header, emit: Emit) -> None:
            self.header, self.emit = header, emit

        def push(self, readout: Readout) -> None:
            if (readout.index + 1) % 16:
                return
            frame = readout.frame
            bad = frame in (300, 320) or 100 <= frame < 105
            image = np.zeros((64, 64)) if bad else draw_target(self.header, centre(scan, readout.index))
            self.emit(Image(image.astype(np.complex64), frame, readout.index, hold=102 <= frame < 105))

        def close(self) -> None:
            pass

    found = evaluate(
        scan, "it", Late, clock=VirtualClock(), service=TableService(np.zeros(len(scan), np.int64))
    )
    text = plain(section(written(found), "target"))
    # Two frames of 64 ms went by before the first HOLD.
    assert "Failures: 3; 2 never flagged, the others by a first HOLD after 128 ms at the latest" in text


def test_words_are_there_for_every_kind() -> None:
    assert set(SILENT_WORDS) == set(KINDS)
    assert set(KIND_WORDS) == set(BEAM_KINDS)


def test_each_beam_has_its_figures_and_a_word_on_the_dose(run: RunResult, html: str) -> None:
    part = section(html, "beams")
    told = rows(part)
    names = [plain(name) for name in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', part)]
    assert names == ["", *(beam.delivery.beam.name for beam in run.beams)]

    def row(start: str) -> list[str]:
        (found,) = [cells for name, cells in told.items() if name.startswith(start)]
        return found

    done = [(beam, beam.delivery) for beam in run.beams]
    assert len(done) == 3
    assert row("on,") == [f"{d.duty * 100:.1f}" for _, d in done]
    assert row("ideal") == [f"{d.ideal_duty * 100:.1f}" for _, d in done]
    assert row("covered") == [f"{(d.coverage or 0) * 100:.1f}" for _, d in done]
    assert row("longest") == [f"{d.stray_longest_ns / MS:.0f}" for _, d in done]
    assert row("time factor") == [f"{d.treatment_time_factor:.2f}" for _, d in done]
    assert row("relative D98") == [f"{beam.d98:.3f}" for beam, _ in done]
    for cell, (beam, delivery) in zip(row("astray"), done, strict=True):
        bounds = beam.intervals["stray_share"]
        assert bounds is not None
        assert delivery.stray_share is not None
        low, high = (f"{bound * 100:.1f}" for bound in bounds)
        assert cell == f"{delivery.stray_share * 100:.1f}({low} to {high})"
    assert row("kind") == [KIND_WORDS[delivery.beam.kind] for _, delivery in done]
    text = plain(part)
    assert "Relative D98 hardly sees lags below 160 ms." in text
    assert "docs/beam.md" in text
    assert "<a " not in part


def millimetres(figure: str) -> Callable[[float], float]:
    """Return what turns a coordinate of a chart's drawing into a value, from the labels of its axis."""
    part = figure[figure.index('<div class="x">') :]
    ticks = [
        (10 * float(left), float(text.replace("−", "-")))
        for left, text in re.findall(r'style="left:([\d.]+)%">([^<]+)</span>', part)
    ]
    (at, value), (to, last) = ticks[0], ticks[-1]
    assert to > at
    return lambda x: value + (x - at) * (last - value) / (to - at)


def drawing(figure: str) -> str:
    """Return the drawing of a chart without its legend."""
    return figure[figure.index('class="area"') : figure.index('class="notes"')]


def bars(figure: str) -> list[tuple[str, float, float, float]]:
    """Return class, begin, end (millimetres) and middle (from the top) of every bar of a waterfall."""
    value = millimetres(figure)
    found = re.findall(r'class="bars ([^"]+)" d="M([-\d.]+) ([-\d.]+)H([-\d.]+)V([-\d.]+)H', drawing(figure))
    return [(k, value(float(a)), value(float(b)), (float(y) + float(v)) / 2) for k, a, y, b, v in found]


def add_up(figure: str, parts: list[float], whole: float) -> None:
    """Check that each bar begins where the last one ends, and that they end at the whole."""
    *drawn, total = bars(figure)
    assert [kind.split()[0] for kind, *_ in [*drawn, total]] == ["time", "time", "time", "image", "whole"]
    assert [end - begin for _, begin, end, _ in drawn] == pytest.approx(parts, abs=0.02)
    assert [begin for _, begin, _, _ in drawn] == pytest.approx([0, *np.cumsum(parts)[:-1]], abs=0.02)
    assert drawn[-1][2] == pytest.approx(whole, abs=0.02)
    assert total[1:3] == pytest.approx((0, whole), abs=0.02)
    assert sum(end - begin for _, begin, end, _ in drawn) == pytest.approx(total[2] - total[1], abs=0.02)
    assert all(a[3] < b[3] for a, b in itertools.pairwise([*drawn, total]))  # downwards
    assert [("less" in kind) for kind, *_ in drawn] == [part < -0.05 for part in parts]


def test_the_bars_of_the_waterfall_add_up_to_m95(run: RunResult, html: str) -> None:
    margin = run.margin
    assert margin is not None
    assert margin.m95_mm is not None
    fall, figure = margin.waterfall, section(html, "waterfall")
    assert fall.sharing_m is not None
    parts = [1e3 * part for part in (fall.cadence_m, fall.sharing_m, fall.computing_m, fall.image_m)]
    assert min(parts) > 0.05  # each can be seen
    add_up(figure, parts, margin.m95_mm)
    value = millimetres(figure)
    ((low, high),) = re.findall(r'class="line interval" d="M([\d.]+) [\d.]+H([\d.]+)M', figure)
    assert (value(float(low)), value(float(high))) == pytest.approx((2.1, 6.4), abs=0.02)
    (limit,) = re.findall(r'class="line deadline" d="M([\d.]+) 0V', figure)
    assert value(float(limit)) == pytest.approx(PROFILE.profile.m95_mm, abs=0.02)
    labels = re.findall(r'<span class="label"[^>]*>(.*?</span>[^<]*)</span>', figure)
    assert [plain(one) for one in labels] == [f"{value:.1f} mm" for value in (*parts, margin.m95_mm)]
    places = re.findall(r'<span class="label" style="left:([\d.]+)%', figure)
    beside = [*np.cumsum(parts), 6.4]  # at the ends of the bars, and beyond the interval
    assert [value(10 * float(place)) for place in places] == pytest.approx(beside, abs=0.02)
    text = plain(section(html, "target"))
    assert fall.tenfold_m is not None
    half, ten = fall.half_compute_m * 1e3, fall.tenfold_m * 1e3
    assert f"would cost {half:.1f} mm at half the compute, and at 10x {ten:.1f} mm" in text


@pytest.mark.parametrize("seed", range(5))
def test_parts_that_take_something_off_add_up_too(seed: int, run: RunResult) -> None:
    rng = np.random.default_rng(seed)
    parts = [*rng.uniform(0.5, 3, 1), *rng.uniform(-1, 3, 3)]
    told = json.loads(json.dumps(run.to_json()))
    told["margin"]["waterfall_mm"] |= {key: value for (key, *_), value in zip(PARTS, parts, strict=True)}
    told["margin"]["m95_mm"] = sum(parts)
    chart = waterfall(Figures(told))
    assert chart is not None
    add_up(chart.html(), parts, sum(parts))
    assert ("takes from it" in chart.html()) == (min(parts) < -0.05)


def test_an_image_without_a_lag_has_no_bar_for_its_lines(run: RunResult) -> None:
    told = json.loads(json.dumps(run.to_json()))
    told["margin"]["waterfall_mm"] |= {"cadence": 1.0, "age_of_lines": None, "computing": 0.5, "image": 2.5}
    told["margin"]["m95_mm"] = 4.0
    told["profile"]["m95_mm"] = None
    chart = waterfall(Figures(told))
    assert chart is not None
    figure = chart.html()
    assert [(kind, round(end - begin, 1)) for kind, begin, end, _ in bars(figure)] == [
        ("time", 1.0), ("time", 0.5), ("image", 2.5), ("whole", 4.0),
    ]  # fmt: skip
    assert "no lag can be told" in figure
    assert "limit" not in plain(figure)


def test_a_lost_target_is_said_in_words(scan: Stream) -> None:
    blank = np.zeros(scan.header.matrix)
    found = played(
        scan, lambda f: blank if f % 8 == 0 else draw_target(scan.header, centre(scan, 16 * f + 15))
    )
    margin = found.margin
    assert margin is not None
    assert margin.m95_mm == np.inf
    assert margin.lost_share > 0.1
    html = written(found)
    head, target = plain(html[html.index("<header>") : html.index("<main>")]), section(html, "target")
    share = f"{margin.lost_share:.0%}"
    assert f"no margin that holds the target: it is lost for {share} of the time" in head
    assert margin.bounds == MarginBounds(np.inf, np.inf, np.inf)
    assert rows(target)["M95"] == ["infinite", "infinite"]
    assert rows(target)["M99"][0] == "infinite"
    figure = section(html, "waterfall")
    assert {kind for kind, *_ in bars(figure)} == {"time"}
    assert f"lost for {margin.lost_share * 100:.1f} % of the time" in plain(figure)
    ends = re.findall(r'class="line endless" d="M([\d.]+) [\d.]+H([\d.]+)"', figure)
    assert [end for _, end in ends] == ["1000.0", "1000.0"]
    assert 'class="bars lost"' in section(html, "trace")


def test_the_upper_end_of_an_interval_may_be_infinite(run: RunResult) -> None:
    assert run.margin is not None
    bounds = MarginBounds(low_m=2.1e-3, high_m=np.inf, upper_m=np.inf)
    html = written(dataclasses.replace(run, margin=dataclasses.replace(run.margin, bounds=bounds)))
    assert rows(section(html, "target"))["M95"][0].endswith("mm (2.1 to infinite)")


class Tracker:
    """Emit positions every 8 lines, from a truth of some lines ago, and say hold for the first lines."""

    def __init__(self, scan: Stream, held_lines: int = 0, images_from: int | None = None) -> None:
        self.scan, self.held, self.images_from = scan, held_lines, images_from

    def open(self, header: Header, emit: Emit) -> None:
        self.header, self.emit = header, emit

    def push(self, readout: Readout) -> None:
        if (readout.index + 1) % 8:
            return
        place = centre(self.scan, readout.index - 20)
        if self.images_from is not None and readout.frame >= self.images_from:
            if (readout.index + 1) % 16 == 0:
                image = draw_target(self.header, place).astype(np.complex64)
                self.emit(Image(image, readout.frame, readout.index))
            return
        x, y = place * 1e3
        hold = readout.index < self.held
        self.emit(Position(float(x), float(y), readout.frame, readout.index, hold=hold))

    def close(self) -> None:
        pass


def tracked(scan: Stream, **options: Any) -> RunResult:
    return evaluate(
        scan,
        "tracker",
        lambda: Tracker(scan, **options),
        clock=VirtualClock(),
        service=TableService(np.zeros(len(scan), np.int64)),
    )


def test_positions_without_images_have_a_page(scan: Stream) -> None:
    found = tracked(scan, held_lines=1600)
    html = written(found)
    told = rows(section(html, "target"))
    assert told["NMSE"] == [DASH, DASH]
    assert told["SSIM"] == ["", DASH]
    assert re.match(r"\d\.\d mm", told["M95"][0])
    assert found.margin is not None
    assert found.margin.held_share > 0.2
    assert told["held"] == [f"{found.margin.held_share * 100:.1f} %", ""]
    assert Page.of(html).frames == []
    assert "this reconstructor gave positions" in section(html, "images")
    assert "<img" not in html
    assert section(html, "waterfall")
    assert "held: it says that nobody should follow" in section(html, "whole")


def test_frames_are_shown_where_positions_and_images_mix(scan: Stream) -> None:
    html = written(tracked(scan, images_from=300))
    frames = [frame["frame"] for frame in Page.of(html).frames]
    assert len(frames) > 10
    assert min(frames) >= 300


def test_a_target_that_nobody_may_ever_follow_has_no_margin(scan: Stream) -> None:
    html = written(tracked(scan, held_lines=len(scan)))
    target = section(html, "target")
    assert rows(target)["M95"][0] == DASH
    assert rows(target)["M99"][0] == DASH
    assert "could never be followed, so there is no margin" in plain(target)
    assert 'id="waterfall"' not in html
    assert "never had a target that could be followed" in plain(html)
    beams = rows(section(html, "beams"))
    (covered,) = [cells for name, cells in beams.items() if name.startswith("covered")]
    assert covered[:2] == ["never on", "never on"]
    assert beams["time factor"][:2] == ["infinite", "infinite"]


def test_a_stream_without_truth_has_a_page(scan: Stream) -> None:
    bare = dataclasses.replace(scan, truth=None)
    found = played(bare, lambda frame: np.ones(scan.header.matrix))
    assert found.displayed is None
    html = written(found)
    assert "the stream has no truth, so time alone can be judged" in plain(section(html, "target"))
    assert 'id="trace"' not in html
    assert 'id="beams"' not in html
    assert section(html, "latency")


def test_a_scan_without_a_target_has_a_page(scan: Stream) -> None:
    assert scan.truth is not None
    nothing = dataclasses.replace(scan.truth, mask=np.zeros_like(scan.truth.mask))
    found = played(dataclasses.replace(scan, truth=nothing), lambda f: nothing.image[f])
    html = written(found)
    assert "the scan has no target" in plain(section(html, "target"))
    assert "no target to find" in Page.of(html).frames[0]["text"]


def points(figure: str, kind: str) -> np.ndarray:
    """Return the corners of a line of a chart, shape (n, 2), as shares of its axes from the lower left."""
    (path,) = re.findall(rf'class="line {kind}" d="([^"]*)"', drawing(figure))
    found = np.array(re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path), np.float64)
    return found / 1000 * [1, -1] + [0, 1]


def test_the_course_shows_what_was_on_display_at_each_tr(run: RunResult) -> None:
    displayed = run.displayed
    assert displayed is not None
    part = worst_stretch(displayed)
    where, apart, _ = course(run)
    t_s = displayed.t_ns[part] / 1e9
    shown = 1e3 * displayed.centre_m[part, 1]

    line = points(where.html(), "shown")
    x = where.x.low + line[:, 0] * (where.x.high - where.x.low)
    y = where.y.low + line[:, 1] * (where.y.high - where.y.low)
    changes = np.flatnonzero(np.diff(shown)) + 1
    for at in (*changes[:40], *(changes[:40] + 3)):
        near = np.searchsorted(x, t_s[at] + 1e-3, side="right") - 1
        assert y[near] == pytest.approx(shown[at], abs=0.05)

    line = points(where.html(), "true")
    y = where.y.low + line[:, 1] * (where.y.high - where.y.low)
    x = where.x.low + line[:, 0] * (where.x.high - where.x.low)
    assert np.abs(np.interp(t_s, x, y) - 1e3 * displayed.true_m[part, 1]).max() < 0.1

    line = points(apart.html(), "shown")
    x = apart.x.low + line[:, 0] * (apart.x.high - apart.x.low)
    y = apart.y.high * line[:, 1]
    error = 1e3 * displayed.error_m[part]
    for at in (*changes[:40], *(changes[:40] - 1)):
        (near,) = np.flatnonzero(np.abs(x - t_s[at]) < 1.9e-3)[:1]
        assert y[near] == pytest.approx(error[at], abs=0.05)


def boxes(figure: str, kind: str) -> list[tuple[float, float]]:
    """Return where each box of a chart begins and ends, as shares of its width."""
    (path,) = re.findall(rf'class="bars {kind}" d="([^"]*)"', drawing(figure))
    return [(float(a) / 1000, float(b) / 1000) for a, b in re.findall(r"M([\d.]+) [\d.]+H([\d.]+)V", path)]


def test_three_millimetres_are_marked(run: RunResult) -> None:
    where, apart, _ = course(run)
    (path,) = re.findall(r'class="bars near" d="M0.0 1000.0H1000.0V([\d.]+)H0.0z"', apart.html())
    assert apart.y.high * (1 - float(path) / 1000) == pytest.approx(3, abs=0.01)
    (path,) = re.findall(r'class="bars near" d="M([^"]*)z"', drawing(where.html()))
    y = np.array([float(p.split()[1]) for p in path.split("L")])
    half = len(y) // 2
    height = (y[:half] - y[half:][::-1]) / 1000 * (where.y.high - where.y.low)
    assert height == pytest.approx(np.full(half, 6.0), abs=0.02)


def test_time_that_nobody_can_follow_is_shaded_as_what_it_is(run: RunResult) -> None:
    displayed = run.displayed
    assert displayed is not None
    count = len(displayed.t_ns)
    held, gone = np.zeros(count, bool), np.zeros(count, bool)
    held[100:400], gone[300:500] = True, True
    centred = displayed.centre_m.copy()
    centred[450:700] = np.nan
    short = dataclasses.replace(displayed, held=held, gone=gone, centre_m=centred)
    found = states(short)
    assert {kind: flags[:800].nonzero()[0][[0, -1]].tolist() for kind, flags in found.items()} == {
        "held": [100, 299], "gone": [300, 499], "lost": [500, 699],
    }  # fmt: skip
    assert np.stack(list(found.values())).sum(axis=0).max() == 1
    charts = course(dataclasses.replace(run, displayed=short))
    whole = charts[-1]
    seconds = whole.x.high - whole.x.low
    first = displayed.t_ns[0] / 1e9
    for kind, (begin, end) in (("held", (100, 300)), ("gone", (300, 500)), ("lost", (500, 700))):
        (a, b) = boxes(whole.html(), kind)[0]
        assert first + a * seconds == pytest.approx(displayed.t_ns[begin] / 1e9, abs=0.01)
        assert first + b * seconds == pytest.approx(displayed.t_ns[end] / 1e9, abs=0.01)


def displayed_with(run: RunResult, wrong: slice, metres: float) -> Displayed:
    assert run.displayed is not None
    centre_m = run.displayed.true_m + 1e-3
    centre_m[wrong] += metres
    return dataclasses.replace(
        run.displayed,
        centre_m=centre_m,
        held=np.zeros(len(centre_m), bool),
        gone=np.zeros(len(centre_m), bool),
    )


@pytest.mark.parametrize("metres", [0.01, np.nan])
def test_the_stretch_is_the_one_with_the_greatest_errors(run: RunResult, metres: float) -> None:
    assert run.displayed is not None
    count, second = len(run.displayed.t_ns), 250  # TR 4 ms
    assert count > 6500
    last = slice(count - 40, count - 30)
    part = worst_stretch(displayed_with(run, last, metres))
    assert part.stop - part.start == 20 * second
    assert part.stop == count  # else it begins at a whole second
    assert part.start <= last.start
    assert part.stop >= last.start
    assert worst_stretch(displayed_with(run, slice(40, 50), metres)).start == 0
    assert worst_stretch(displayed_with(run, slice(second + 10, count), metres)).start == 2 * second


def test_a_short_scan_is_shown_whole(run: RunResult) -> None:
    found = played(moving_stream(150), lambda frame: draw_target(run.stream.header, np.zeros(2)))
    assert [chart.name for chart in course(found)] == ["trace", "error"]
    html = written(found)
    assert "the greatest mean distance" not in html
    assert "the greatest mean distance" in written(run)
