"""What a scan, weights and results look like when Python or a notebook prints them: a few lines."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from harness.audits.finding import AuditReport, Finding, Seen, State
from harness.comparison.guard import Guarded
from harness.judge.evaluate import evaluate
from harness.judge.outcome import Outcome, Verdict
from harness.judge.repetitions import Repetitions
from harness.measure.timing import Latency
from harness.realtime.clock import VirtualClock
from mrsim.anatomy.phantom import load_phantom
from mrsim.stream import Provenance, Stream
from mrsim.summary import Summarised, listed
from recon.cascade.checkpoint import load
from tests.harness.synthetic import Blank, moving_stream

HOSTILE = "<script>alert('1')</script> & co"
FOUND = Finding("causality", State.BROKEN, HOSTILE, Seen(3, 6, "pair", HOSTILE))


@pytest.fixture(scope="module")
def scan() -> Stream:
    return moving_stream(60)


def shown(scan: Stream) -> dict[str, Summarised]:
    run = evaluate(scan, HOSTILE, Blank, clock=VirtualClock(), claim=0.9)
    assert scan.truth is not None
    return {
        "Stream": scan,
        "Truth": scan.truth,
        "Readout": scan.readout(3),
        "Run": run,
        "3 runs": Repetitions((run,) * 3, exact=False),
        "Verdict": Verdict(Outcome.FAIL, HOSTILE),
        "Audit": AuditReport(HOSTILE, 0, (FOUND,)),
        "Checkpoint": load("patient1-5x"),
        "Quality": run.quality,
        "Provenance": Provenance("quasar", "a = 1\n" * 5000, 3, "1.2", HOSTILE, 0.01, 20.0),
        "Phantom": load_phantom("patient1"),
        "Guard": Guarded(
            HOSTILE,
            "new",
            1.15,
            np.full(80, 2_000_000),
            np.full(80, 3_000_000),
            1.5,
            1.49,
            1.51,
            "",
            False,
            0,
        ),
    }


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_all_are_printed_in_a_few_lines_and_as_a_small_escaped_table(scan: Stream) -> None:
    for name, thing in shown(scan).items():
        text = repr(thing)
        assert text.startswith(name), text
        assert 1 < len(text.splitlines()) <= 12, text
        assert len(text) < 1200, text
        table = Reader(thing._repr_html_())
        assert table.tags == {"table", "caption", "tbody", "tr", "th", "td"}, name
        for line in text.splitlines():
            for part in re.split(r"\s{2,}", line.strip()):
                assert part in table.text, name
        assert table.text.count(HOSTILE) == text.count(HOSTILE)


def test_a_repr_has_the_figures_of_what_it_shows(scan: Stream) -> None:
    things = shown(scan)
    assert "60 frames of 16 lines" in repr(scan)
    assert "(960, 1, 64) complex64" in repr(scan)
    run = things["Run"]
    assert f"{run.verdict.outcome.name}: {run.verdict.reason}" in repr(run)  # type: ignore[attr-defined]
    assert "NMSE 1, " in repr(run)  # a blank image
    assert "p95 of the error - at the last line" in repr(things["Quality"])
    assert "medians     base 2.000 ms, new 3.000 ms" in repr(things["Guard"])
    assert "1.500, 95 % bounds 1.490 to 1.510, 1.15 allowed" in repr(things["Guard"])
    assert "quasar, 5,000 lines of TOML" in repr(things["Provenance"])


def test_a_long_list_ends_in_an_ellipsis_not_within_a_word() -> None:
    names = [f"region-{number}" for number in range(20)]
    assert listed(names, 40) == "region-0, region-1, region-2, ..."
    assert listed(names[:3], 40) == "region-0, region-1, region-2"
    assert listed([], 40) == ""
    truth = load_phantom("patient1").region_names
    assert repr(load_phantom("patient1")).count("...") == (len(", ".join(truth)) > 80)


def test_latency_is_none_where_the_images_do_not_carry_it_and_pools_runs(scan: Stream) -> None:
    run = evaluate(scan, "it", Blank, clock=VirtualClock(), claim=0.9, quality=False)
    one, three = run.latency, Repetitions((run,) * 3, exact=False).latency
    assert (one.images, three.images) == (52, 156)
    assert one.p50_ms is not None
    assert one.p95_ms is None
    assert three.p95_ms is not None
    assert three.p99_ms is None
    assert one.max_ms == three.max_ms == run.timing.response_ns[8:].max() / 1e6
    late = dataclasses.replace(run.timing, missed=~run.timing.missed)
    assert Latency.of([run.timing, late]).misses == 52
