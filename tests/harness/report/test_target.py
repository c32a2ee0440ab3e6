"""The target on the page: its tables, a lost target, positions without images, and nothing to show."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from harness.judge.evaluate import evaluate
from harness.judge.result import RunResult
from harness.measure.beam import KINDS as BEAM_KINDS
from harness.measure.failures import KINDS
from harness.measure.intervals import MarginBounds
from harness.realtime.clock import VirtualClock
from harness.realtime.service import TableService
from harness.report.target import KIND_WORDS, SILENT_WORDS
from mrsim.stream import Header, Readout, Stream
from recon.protocol import Emit, Image, Position
from tests.harness.report.reading import DASH, Page, bars, plain, rows, section
from tests.harness.report.shown import MS, centre, played, written
from tests.harness.synthetic import draw_target


def test_each_row_of_the_table_shows_the_figures_of_its_name(late_run: RunResult, late_page: str) -> None:
    """From the run itself, not from its JSON: a path to another figure is found."""
    margin, quality = late_run.margin, late_run.quality
    assert margin is not None
    assert quality is not None
    assert None not in (margin.m95_mm, margin.m99_mm, margin.rms_m, margin.dice, margin.nmse)
    assert margin.m95_mm is not None
    assert margin.offline_m95_m is not None
    told = rows(section(late_page, "target"))
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


def test_silent_failures_are_told_by_kind(late_run: RunResult, late_page: str) -> None:
    assert late_run.margin is not None
    silent, part = late_run.margin.silent, section(late_page, "target")
    told = rows(part)
    assert silent.kinds["blank"] > 0
    for kind in KINDS:
        assert (kind in told) == (silent.kinds[kind] > 0)
    assert told["blank"] == [SILENT_WORDS["blank"], f"{silent.kinds['blank'] * 100:.1f} %"]
    text = plain(part)
    assert f"Failures: {silent.count}; none was ever flagged" in text
    assert f"{silent.share * 100:.1f} % of the time, {silent.longest_ns / MS:.0f} ms at the longest" in text


def test_the_first_sign_of_a_flagged_failure_is_told(long_scan: Stream) -> None:
    class Late:
        """Show nothing for five frames, and say hold from the third on; blanks of one frame go unflagged."""

        def open(self, header: Header, emit: Emit) -> None:
            self.header, self.emit = header, emit

        def push(self, readout: Readout) -> None:
            if (readout.index + 1) % 16:
                return
            frame = readout.frame
            bad = frame in (300, 320) or 100 <= frame < 105
            image = np.zeros((64, 64)) if bad else draw_target(self.header, centre(long_scan, readout.index))
            self.emit(Image(image.astype(np.complex64), frame, readout.index, hold=102 <= frame < 105))

        def close(self) -> None:
            pass

    found = evaluate(
        long_scan, "it", Late, clock=VirtualClock(), service=TableService(np.zeros(len(long_scan), np.int64))
    )
    text = plain(section(written(found), "target"))
    # Two frames of 64 ms went by before the first HOLD.
    assert "Failures: 3; 2 never flagged, the others by a first HOLD after 128 ms at the latest" in text


def test_words_are_there_for_every_kind() -> None:
    assert set(SILENT_WORDS) == set(KINDS)
    assert set(KIND_WORDS) == set(BEAM_KINDS)


def test_each_beam_has_its_figures_and_a_word_on_the_dose(late_run: RunResult, late_page: str) -> None:
    part = section(late_page, "beams")
    told = rows(part)
    names = [plain(name) for name in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', part)]
    assert names == ["", *(beam.delivery.beam.name for beam in late_run.beams)]

    def row(start: str) -> list[str]:
        (found,) = [cells for name, cells in told.items() if name.startswith(start)]
        return found

    done = [(beam, beam.delivery) for beam in late_run.beams]
    assert len(done) == 3
    assert row("on,") == [f"{d.duty * 100:.1f}" for _, d in done]
    assert row("ideal,") == [f"{d.ideal_duty * 100:.1f}" for _, d in done]
    assert row("covered") == [f"{(d.coverage or 0) * 100:.1f}" for _, d in done]
    assert row("longest") == [f"{d.stray_longest_ns / MS:.0f}" for _, d in done]
    assert row("time factor") == [f"{d.treatment_time_factor:.2f}" for _, d in done]
    assert row("relative D98") == [f"{beam.d98:.3f}" for beam, _ in done]
    assert row("ideal D98") == ["–" if b.d98_ideal is None else f"{b.d98_ideal:.3f}" for b, _ in done]
    # A gate without delay costs what its window costs; the other beams have none.
    assert [b.d98_ideal is not None for b, _ in done] == [d.beam.kind == "gating" for _, d in done]
    assert all(b.d98_ideal is None or 0.5 < b.d98_ideal <= 1 for b, _ in done)
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


def test_a_lost_target_is_said_in_words(long_scan: Stream) -> None:
    blank = np.zeros(long_scan.header.matrix)
    found = played(
        long_scan,
        lambda f: blank if f % 8 == 0 else draw_target(long_scan.header, centre(long_scan, 16 * f + 15)),
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


def test_the_upper_end_of_an_interval_may_be_infinite(late_run: RunResult) -> None:
    assert late_run.margin is not None
    bounds = MarginBounds(low_m=2.1e-3, high_m=np.inf, upper_m=np.inf)
    html = written(dataclasses.replace(late_run, margin=dataclasses.replace(late_run.margin, bounds=bounds)))
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


def tracked(long_scan: Stream, **options: Any) -> RunResult:
    return evaluate(
        long_scan,
        "tracker",
        lambda: Tracker(long_scan, **options),
        clock=VirtualClock(),
        service=TableService(np.zeros(len(long_scan), np.int64)),
    )


def test_positions_without_images_have_a_page(long_scan: Stream) -> None:
    found = tracked(long_scan, held_lines=1600)
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


def test_frames_are_shown_where_positions_and_images_mix(long_scan: Stream) -> None:
    html = written(tracked(long_scan, images_from=300))
    frames = [frame["frame"] for frame in Page.of(html).frames]
    assert len(frames) > 10
    assert min(frames) >= 300


def test_a_target_that_nobody_may_ever_follow_has_no_margin(long_scan: Stream) -> None:
    html = written(tracked(long_scan, held_lines=len(long_scan)))
    target = section(html, "target")
    assert rows(target)["M95"][0] == DASH
    assert rows(target)["M99"][0] == DASH
    assert "could never be followed, so there is no margin" in plain(html)
    assert 'id="waterfall"' not in html
    assert "never had a target that could be followed" in plain(html)
    beams = rows(section(html, "beams"))
    (covered,) = [cells for name, cells in beams.items() if name.startswith("covered")]
    assert covered[:2] == ["never on", "never on"]
    assert beams["time factor"][:2] == ["infinite", "infinite"]


def test_a_stream_without_truth_has_a_page(long_scan: Stream) -> None:
    bare = dataclasses.replace(long_scan, truth=None)
    found = played(bare, lambda frame: np.ones(long_scan.header.matrix))
    assert found.displayed is None
    html = written(found)
    assert "the stream has no truth, so time alone can be judged" in plain(section(html, "target"))
    assert 'id="trace"' not in html
    assert 'id="beams"' not in html
    assert section(html, "latency")


def test_a_scan_without_a_target_has_a_page(long_scan: Stream) -> None:
    assert long_scan.truth is not None
    nothing = dataclasses.replace(long_scan.truth, mask=np.zeros_like(long_scan.truth.mask))
    found = played(dataclasses.replace(long_scan, truth=nothing), lambda f: nothing.image[f])
    html = written(found)
    assert "the scan has no target" in plain(section(html, "target"))
    assert "no target to find" in Page.of(html).frames[0]["text"]
