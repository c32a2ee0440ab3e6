"""The page of a run: its figures are the JSON's, its charts the stamps', and no name can harm it."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from harness.cli.main import main
from harness.judge.evaluate import evaluate
from harness.judge.repetitions import Repetitions
from harness.judge.result import RunResult
from harness.realtime.clock import VirtualClock
from harness.realtime.service import TableService
from harness.report.charts import Axis, Chart
from harness.report.frames import MOST, choose, outline, pictures, reduced
from harness.report.png import data_uri, error_palette, grey_palette, levels_of, png
from harness.report.report import render
from mrsim.stream import Stream, save
from tests.harness.report.reading import Page
from tests.harness.synthetic import Drawn, draw_target, moving_stream

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'
MS = 1_000_000


@pytest.fixture(scope="module")
def scan() -> Stream:
    return moving_stream(150)


@pytest.fixture
def folder(tmp_path: Path, scan: Stream, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(scan, tmp_path / "a.stream")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return tmp_path


@pytest.fixture(scope="module")
def run(scan: Stream) -> RunResult:
    """Return a run: every tenth image from the 20th on is half a deadline late, and one target is lost."""
    truth = scan.truth
    assert truth is not None
    head, centroid = scan.header, truth.centroid[15::16]
    blank = np.zeros(head.matrix, np.complex64)

    def draw(frame: int) -> np.ndarray:
        return blank if frame == 77 else draw_target(head, centroid[frame])

    service = np.zeros(len(scan), np.int64)
    service[16 * 20 + 15 :: 160] = 96 * MS
    return evaluate(
        scan, "it", lambda: Drawn(draw), clock=VirtualClock(), service=TableService(service), claim=0.5
    )


@pytest.fixture(scope="module")
def page(run: RunResult) -> Page:
    return Page.of(render({**Repetitions((run,), True).to_json(), "command": "mrsim replay x"}, run))


def test_every_figure_is_the_one_in_the_json(page: Page, run: RunResult) -> None:
    told = json.loads(json.dumps(Repetitions((run,), True).to_json()))
    assert page.result == {**told, "command": "mrsim replay x"}
    assert len(page.figures) > 70
    assert page.wrong(page.result) == []
    places = {place for place, *_ in page.figures}
    for place in (
        "verdict",
        "answers/time/verdict",
        "answers/target/reason",
        "candidate",
        "latency_ms/response/p95",
        "deadline/misses",
        "command",
        "margin/sentence",
        "margin/m95_mm",
        "margin/m99_mm",
        "margin/offline_m95_mm",
        "margin/beyond_3mm_share",
        "margin/availability",
        "margin/waterfall_mm/image",
        "margin/silent_failures/share",
        "beams/2/stray_share",
    ):
        assert place in places
    for name in ("nmse", "dice", "ssim", "lag_ms"):
        assert f"quality/{name}" in places


def test_the_page_is_well_formed_and_says_what_was_planted(page: Page) -> None:
    assert page.unclosed == []
    assert page.result["deadline"]["misses"] == 13  # frames 20, 30, ... 140
    assert "13 of 142" in page.text
    assert "1 of 142 images" in page.text  # one target is lost


def dots_of(html: str, chart: str, kind: str) -> int:
    figure = html[html.index(f'id="{chart}"') :]
    area = figure[figure.index('class="area"') : figure.index('class="notes"')]
    return sum(d.count("h.01") for d in re.findall(rf'class="dots {kind}" d="([^"]*)"', area))


def test_charts_have_a_dot_for_every_image(run: RunResult) -> None:
    html = render(Repetitions((run,), True).to_json(), run)
    timing = run.timing
    assert dots_of(html, "time-line", "warm") == timing.warmup == 8
    assert dots_of(html, "time-line", "late") == timing.misses == 13
    assert dots_of(html, "time-line", "fast") == timing.images - timing.misses


def test_a_dot_lies_where_its_value_says() -> None:
    chart = Chart("c", "t", "a", Axis(0, 10, "x"), Axis(-5, 5, "y"))
    chart.dots(np.array([0.0, 5.0, 10.0]), np.array([-5.0, 0.0, np.nan]), "fast", "dots")
    assert chart.shapes == ['<path class="dots fast" d="M0.0 1000.0h.01M500.0 500.0h.01"/>']
    chart.line(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, np.nan, 5.0, 5.0]), "seen")
    assert chart.shapes[-1] == '<path class="line seen" d="M0.0 500.0M200.0 0.0L300.0 0.0"/>'
    log = Axis(1, 1000, "x", log=True)
    assert log.share(np.array([1, 10, 1000, 5000])).tolist() == pytest.approx([0, 1 / 3, 1, 1])
    assert log.ticks() == [1, 10, 100, 1000]
    assert Axis(0, 70.4, "x").ticks(4) == [0, 20, 40, 60]


def decoded(uri: str) -> np.ndarray:
    head, _, text = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Picture.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def test_pictures_are_png_that_others_read() -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(-0.2, 1.2, (13, 7))
    grey = grey_palette()
    indices = levels_of(values, 0, 1, len(grey))
    read = np.asarray(Picture.open(io.BytesIO(png(indices, grey))).convert("L"))
    assert read.shape == (13, 7)
    assert np.abs(read / 255 - np.clip(values, 0, 1)).max() < 1 / len(grey)
    error = error_palette()
    none, low, high = (decoded(data_uri(levels_of(np.full((1, 1), v), -1, 1, len(error)), error))[0, 0]
                       for v in (0, -9, 9))  # fmt: skip
    assert none.tolist() == [0, 0, 0]
    assert low[2] == 255 > low[0]
    assert high[0] == 255 > high[2]


def test_frames_show_truth_image_and_error(page: Page, run: RunResult) -> None:
    frames, truth = page.frames, run.stream.truth
    assert truth is not None
    assert run.quality is not None
    assert len(frames) >= 20
    shown = [f["frame"] for f in frames]
    assert shown == sorted(set(shown))
    assert 77 in shown  # the worst
    lost = frames[shown.index(77)]
    assert lost["found"] == ""
    assert "no target found" in lost["text"]
    assert decoded(lost["image"]).max() == 0
    one = frames[3]
    true = np.abs(truth.image[one["frame"]])
    grey = decoded(one["truth"])[..., 0].astype(float)
    assert np.corrcoef(grey.ravel(), true.ravel())[0, 1] > 0.99
    row = int(np.flatnonzero(run.quality.frames == one["frame"])[0])
    assert one["nmse"] == run.quality.nmse[row]
    x, y = (float(v) for v in re.findall(r"M([\d.]+) ([\d.]+)h", one["found"])[0])
    arm = 64 / 50
    column, line = truth.centroid[16 * one["frame"] + 15] / (0.4 / 64) + 32.5
    assert (x + arm, y) == pytest.approx((column, line), abs=0.5)


def test_an_outline_runs_along_the_edges_of_its_mask() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    assert sorted(re.findall(r"M[^M]+", outline(mask))) == ["M2 1h3", "M2 1v2", "M2 3h3", "M5 1v2"]
    mask[:] = True
    assert sorted(re.findall(r"M[^M]+", outline(mask))) == ["M0 0h6", "M0 0v5", "M0 5h6", "M6 0v5"]


def test_noise_at_128_in_every_map_stays_in_its_budget(run: RunResult) -> None:
    """Noise is what compresses least: with it in all maps a page is still under 5 MB."""
    rng = np.random.default_rng(3)
    grey = grey_palette()
    noise = len(data_uri(levels_of(rng.random((128, 128)), 0, 1, len(grey)), grey))
    assert 3 * (MOST + 3) * noise < 4_200_000
    assert run.quality is not None
    assert len(choose(run, run.quality)) <= MOST + 3
    assert reduced(rng.random((512, 300))).shape == (256, 150)
    assert len(pictures(run, run.quality)) == len(choose(run, run.quality))


def test_a_long_scan_is_under_five_megabytes() -> None:
    """60 s at 10x and TR 2.2 ms have 2,100 images; twice as many dots are still small."""
    x = np.linspace(0, 60, 4200)
    chart = Chart("c", "t", "a", Axis(0, 60, "x"), Axis(-1, 1, "y"))
    chart.dots(x, np.sin(x), "fast")
    chart.line(x, np.sin(x), "seen")
    assert len(chart.html()) < 200_000


def test_nothing_is_asked_of_the_network_and_only_our_script_may_run(run: RunResult) -> None:
    html = render(Repetitions((run,), True).to_json(), run)
    found = Page.of(html)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r'"data:[^"]*"', "", html))
    for tag, attributes in found.tags:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    (policy,) = [a["content"] for t, a in found.tags if t == "meta" and a.get("http-equiv")]
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(found.scripts[""].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def harmless(html: str) -> Page:
    found = Page.of(html)
    assert found.unclosed == []
    assert [t for t, _ in found.tags].count("script") == 3
    assert len(found.scripts) == 3
    assert all((a.get("id") or "").startswith("map") or "alt" in a for t, a in found.tags if t == "img")
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    return found


def test_a_name_cannot_become_part_of_the_page(folder: Path, scan: Stream) -> None:
    save(scan.first_frames(40), folder / "<b>&amp;'\".stream")
    name = '"><script>alert(1)<!--<img src=x onerror=alert(1)>.py'
    (folder / name).write_text(
        "import numpy as np\n"
        "def build(): return lambda kspace, mask: np.ones(kspace.shape[1:], np.complex64)\n"
    )
    argv = ["replay", "<b>&amp;'\".stream", f"python:{name}:build", "--clock", "virtual"]
    assert main([*argv, "--report", "r.html", "--claim", "0.5"]) == 1  # the target is never there
    found = harmless((folder / "r.html").read_text())
    assert f"python:{name}:build" in found.text
    assert found.result["candidate"] == f"python:{name}:build"
    assert "<b>&amp;'\".stream" in found.text


def test_a_candidate_that_breaks_off_has_its_page_too(folder: Path) -> None:
    (folder / "bad.py").write_text(
        "def build():\n"
        "    def image(kspace, mask): raise RuntimeError(" + repr("</script>" + EVIL) + ")\n"
        "    return image\n"
    )
    argv = ["replay", "a.stream", "python:bad.py:build", "--clock", "virtual", "--report", "r.html"]
    assert main(argv) == 1
    found = harmless((folder / "r.html").read_text())
    assert "FAIL" in found.text
    assert "</script>" + EVIL in found.text
    assert "The images were not measured, or none came." in found.text
    assert found.frames == []


@pytest.mark.slow
def test_report_replays_audits_and_writes_both(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["report", "a.stream", "zero-filled", "-o", "r.html", "--json", "r.json", "--clock", "virtual"]
    code = main([*argv, "--claim", "0.9"])
    out = capsys.readouterr().out
    found = Page.of((folder / "r.html").read_text())
    told = json.loads((folder / "r.json").read_text())
    assert found.result == told
    assert told["schema"] == "mrsim-replay/2"
    assert len(told["audit"]["audits"]) == 10
    assert told["command"] == "mrsim " + " ".join([*argv, "--claim", "0.9"])
    names = [a["audit"] for a in told["audit"]["audits"]]
    assert all(name in found.text for name in names)
    assert found.wrong(told) == []
    outcome = {"PASS": 0, "FAIL": 1, "INVALID": 3, "INSUFFICIENT": 4}[told["verdict"]]
    assert code == outcome
    assert out.rstrip().endswith(f"{told['verdict']}: {told['reason']}")
    assert not list(folder.glob("*.partial*"))


def test_a_broken_audit_makes_the_page_invalid(folder: Path) -> None:
    (folder / "dice.py").write_text(
        "import numpy as np\n"
        "rng = np.random.default_rng()\n"
        "def build(): return lambda kspace, mask: rng.random(kspace.shape[1:])\n"
    )
    argv = ["report", "a.stream", "python:dice.py:build", "-o", "r.html", "--clock", "virtual"]
    assert main([*argv, "--claim", "0.5", "--frames", "40"]) == 3
    found = Page.of((folder / "r.html").read_text())
    assert found.result["verdict"] == "INVALID"
    assert found.result["reason"].startswith("audit broken: ")
    assert "determinism" in found.result["reason"]
    assert found.text.count("BROKEN") == sum(not a["kept"] for a in found.result["audit"]["audits"]) > 0


def test_faults_are_told_with_the_lines_they_touched(folder: Path) -> None:
    argv = ["replay", "a.stream", "zero-filled", "--clock", "virtual", "--report", "r.html", "--frames", "60"]
    main([*argv, "--faults", "drop:p=0.02", "--seed", "4"])
    found = Page.of((folder / "r.html").read_text())
    assert found.result["touched"]["drop"] > 0
    assert "Every promise was kept." in found.text
    assert found.result["verdict"] == "PASS"
    assert "It kept every promise under the faults." in found.text
    assert "Under faults the answers are told and do not judge." in found.text
    assert ("touched/drop", 2, 1.0, str(found.result["touched"]["drop"])) in found.figures


def test_several_runs_are_told_apart(folder: Path) -> None:
    argv = ["replay", "a.stream", "zero-filled", "--clock", "virtual", "--no-quality", "--repeat", "2"]
    main([*argv, "--report", "r.html", "--frames", "40", "--claim", "0.5"])
    found = Page.of((folder / "r.html").read_text())
    assert "run 2" in found.text
    assert len(found.result["repetitions"]["runs"]) == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["report", "a.stream", "zero-filled"], "-o"),
        (["report", "a.stream", "zero-filled", "-o", "no/r.html"], "no such folder"),
        (["report", "a.stream", "zero-filled", "-o", "a.stream"], "it is a folder"),
        (["report", "a.stream", "zero-filled", "-o", "r.html", "--scenario", "find-peak"], "find-peak"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert not list(folder.glob("r.html*"))


def test_headings_descend_and_pictures_have_words(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes.get("alt")
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    assert ("label", {"for": "frame"}) in page.tags
