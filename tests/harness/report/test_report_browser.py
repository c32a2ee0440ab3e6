"""The page as people see it: a real browser, a telephone and a desk, light and dark, and on paper.

Skipped, and counted as such, where there is no Chromium.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from harness.judge.evaluate import evaluate
from harness.judge.profiles import SHIPPED, Criterion
from harness.judge.repetitions import Repetitions
from harness.measure.intervals import MarginBounds
from harness.realtime.clock import VirtualClock
from harness.realtime.service import TableService
from harness.report.beside import Moving
from harness.report.report import write_page
from tests.harness.report.browser import Browser, find_browser
from tests.harness.synthetic import Drawn, draw_target, moving_stream

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium here: apt-get install chromium")

LONG = "python:some/very/long/folder/with_a_name_that_never_ends_" + "and_goes_on_" * 8 + ".py:build"

# Every piece of text must lie within the page; cells and tiles must hold theirs.
OVERFLOW = """(() => {
  const width = document.documentElement.clientWidth, told = [];
  if (document.documentElement.scrollWidth > width) told.push("the page is wider than its window");
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || parent.closest("script, style") || !parent.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = parent.closest("td, th, li, figcaption, section, header, footer") || document.body;
    const room = box.getBoundingClientRect();
    for (const rect of range.getClientRects()) {
      const beyond = rect.right > Math.min(width, room.right) + 1 || rect.left < Math.max(0, room.left) - 1;
      if (rect.width && beyond) told.push(parent.tagName + ": " + node.data.trim().slice(0, 60));
    }
  }
  return told;
})()"""

# Contrast of text with what lies behind it (WCAG 2.2: 4.5 to 1).
CONTRAST = """(() => {
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const told = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || element.closest("script, style") || !element.checkVisibility()) continue;
    const [a, b] = [parse(getComputedStyle(element).color), behind(element)].map(light).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) told.push(element.tagName + " " + element.className + " " + ratio.toFixed(2));
  }
  return told;
})()"""


# The text beside a bar must lie within the drawing, and on no bar.
COVERED = """(() => {
  const told = [];
  for (const area of document.querySelectorAll("#waterfall .area")) {
    const room = area.getBoundingClientRect();
    const bars = [...area.querySelectorAll("path.bars")].map(p => p.getBoundingClientRect());
    for (const label of area.querySelectorAll(".label")) {
      const box = label.getBoundingClientRect(), middle = (box.top + box.bottom) / 2;
      const on = b => b.top < middle && middle < b.bottom && b.left < box.right && box.left < b.right;
      if (bars.some(on)) told.push("on a bar: " + label.textContent);
      if (box.right > room.right + 1) told.push("beyond: " + label.textContent);
    }
  }
  return told;
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page that has everything: misses, an audit, faults, runs, a long name, a lost target."""
    scan = moving_stream(100)
    assert scan.truth is not None
    centroid = scan.truth.centroid[15::16]
    service = np.zeros(len(scan), np.int64)
    service[16 * 20 + 15 :: 160] = 96_000_000

    def draw(frame: int) -> np.ndarray:
        return np.zeros((64, 64)) if frame == 77 else draw_target(scan.header, centroid[frame])

    run = evaluate(
        scan, LONG, lambda: Drawn(draw), clock=VirtualClock(), service=TableService(service), claim=0.5
    )
    assert run.margin is not None
    bounds = MarginBounds(low_m=1.2e-3, high_m=13.4e-3, upper_m=14e-3)
    run = dataclasses.replace(run, margin=dataclasses.replace(run.margin, bounds=bounds))
    told = {
        **Repetitions((run, run), True).to_json(),
        "command": f"mrsim report {LONG} -o page.html",
        "faults": "drop:p=0.01,burst=4",
        "touched": {"drop": 12},
        "broken": [{"promise": "finite", "line": 111, "message": "an image of frame 6 " * 6}],
        "audit": {
            "audits": [
                {
                    "audit": "no write into the input",
                    "kept": True,
                    "evidence": "lines were compared " * 3,
                },
                {
                    "audit": "recovery after a bad line",
                    "kept": False,
                    "state": "broken",
                    "evidence": "nan:at=208: " * 9,
                },
            ]
        },
    }
    told["try"] = {
        "next": "make it faster",
        "difference_mm": {"value": 1.5, "interval": [0.5, 2.5]},
        "beside": [
            {
                "candidate": name,
                "m95_mm": None,
                "availability": 0.9,
                "lag_ms": 160,
                "response_p50_ms": 1.5,
                "dice": 0.5,
                "nmse": 0.2,
            }
            for name in (LONG, "view-sharing")
        ],
    }
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, told, run, moving())
    return path


def moving() -> Moving:
    """Return three frames of one colour each, 720 pixels wide."""
    frames = [Picture.new("RGB", (720, 200), colour) for colour in ("red", "green", "blue")]
    gif, still = io.BytesIO(), io.BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], duration=100, loop=0)
    frames[0].save(still, "PNG")
    return Moving(gif.getvalue(), still.getvalue(), ("mine", "view sharing"))


@pytest.fixture(scope="module")
def lost_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page with everything that only a lost target brings, and a scan long enough for all charts."""
    scan = moving_stream(420)
    assert scan.truth is not None
    centroid = scan.truth.centroid[15::16]

    def draw(frame: int) -> np.ndarray:
        return np.zeros((64, 64)) if frame % 8 == 0 else draw_target(scan.header, centroid[frame])

    criterion = Criterion.of(SHIPPED["gating"], 150.0)  # a fourth beam
    run = evaluate(scan, "it", lambda: Drawn(draw), clock=VirtualClock(), criterion=criterion)
    path = tmp_path_factory.mktemp("lost") / "page.html"
    write_page(path, Repetitions((run,), True).to_json(), run)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_browser()
    assert path is not None
    with Browser(path) as one:
        yield one


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280, 1400])
def test_nothing_is_complained_of_asked_for_or_cut_off(
    browser: Browser, page: Path, lost_page: Path, width: int, dark: bool
) -> None:
    for one in (lost_page, page):
        browser.open(one, width, dark=dark)
        assert browser.complaints() == []
        assert browser.requests() == []
        assert browser.value(OVERFLOW) == []
        assert browser.value(CONTRAST) == []
        assert browser.value(COVERED) == []
    assert browser.value("document.querySelector('.badge').getBoundingClientRect().bottom") < 120
    back = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(v) for v in back[4:-1].split(",")) < 200) == dark


def test_the_checks_see_what_they_are_for(browser: Browser, tmp_path: Path) -> None:
    """A page with every defect at once: each check must say so."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><body style='background:#fff'><section style='width:90px'><p style='color:#999'>"
        "verylongwordthatnobodycanbreakanywhere</p></section><div style='width:3000px'>wide</div>"
        "<div id='waterfall'><div class='area' style='position:relative;width:60px'>"
        "<svg><path class='bars' d='M0 0H99V99H0z'/></svg><span class='label' "
        "style='position:absolute;top:20px;left:0;white-space:nowrap'>on a bar, too long</span></div></div>"
        "<script>console.error('planted'); fetch('http://127.0.0.1:9/x').catch(() => 0)</script></body>"
    )
    browser.open(bad, 400)
    assert any("planted" in one for one in browser.complaints())
    assert browser.requests() == ["http://127.0.0.1:9/x"]
    overflow = browser.value(OVERFLOW)
    assert "the page is wider than its window" in overflow
    assert any("verylongword" in one for one in overflow)
    assert any(one.startswith("P ") for one in browser.value(CONTRAST))
    assert {one.partition(":")[0] for one in browser.value(COVERED)} == {"on a bar", "beyond"}


def test_our_own_policy_stops_a_script_that_is_not_ours(browser: Browser, page: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted.html"
    html = page.read_text()
    planted.write_text(html.replace("<main>", "<main><script>window.planted = 1</script>", 1))
    browser.open(planted, 400)
    assert browser.value("window.planted") is None
    assert any("Content Security Policy" in one for one in browser.complaints())


def test_the_slider_goes_by_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page, 1280)
    shown = (
        "[document.getElementById('frame-text').textContent, document.querySelector('#map-image img').src]"
    )
    before = browser.value(shown)
    browser.value("document.getElementById('frame').focus()")
    browser.key("ArrowRight", 39)
    after = browser.value(shown)
    assert after[0] != before[0]
    assert after[1] != before[1]
    browser.key("Home", 36)
    first, source = browser.value(shown)
    told = browser.value("JSON.parse(document.getElementById('frames').textContent)[0]")
    assert (first, source) == (told["text"], told["image"])
    assert browser.value("document.getElementById('frame').getAttribute('aria-valuetext')") == first
    browser.key("End", 35)
    last = browser.value("JSON.parse(document.getElementById('frames').textContent).at(-1)")
    assert browser.value(shown) == [last["text"], last["image"]]
    assert browser.value("document.querySelector('#map-truth .outline').getAttribute('d')") == last["outline"]
    assert browser.value("document.querySelector('#map-image img').naturalWidth") == 64


def test_it_can_be_read_without_a_script(browser: Browser, page: Path, tmp_path: Path) -> None:
    html = page.read_text()
    (tmp_path / "still.html").write_text(html[: html.rindex("<script>")] + "</body></html>")
    browser.open(tmp_path / "still.html", 1280)
    assert "NMSE" in browser.value("document.getElementById('frame-text').textContent")
    assert browser.value("document.querySelector('#map-image img').naturalWidth") == 64
    assert browser.value("document.querySelectorAll('#time-line path').length") > 4


def test_on_paper_it_is_black_on_white_whatever_the_screen_is(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    browser.open(page, 760, dark=True, media="print")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value(CONTRAST) == []
    assert browser.value(OVERFLOW) == []
    assert browser.value("document.getElementById('frame').checkVisibility()") is False
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


TIPS = """(() => {
  const told = [], width = document.documentElement.clientWidth;
  for (const one of document.querySelectorAll(".explained")) {
    const tip = one.querySelector(".tip"), id = one.getAttribute("aria-describedby");
    if (tip.checkVisibility()) told.push("shown before: " + id);
    if (tip.id !== id || one.tabIndex !== 0) told.push("not tied: " + id);
    one.focus();
    if (!tip.checkVisibility()) told.push("not shown: " + id);
    const box = tip.getBoundingClientRect();
    if (box.left < 0 || box.right > width || box.width < 100) told.push("cut off: " + id);
    document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"}));
    if (tip.checkVisibility()) told.push("stays: " + id);
  }
  return told;
})()"""


@pytest.mark.parametrize("width", [400, 1280])
def test_every_headline_figure_and_chart_is_explained_by_keyboard(
    browser: Browser, page: Path, width: int
) -> None:
    browser.open(page, width)
    assert browser.value(TIPS) == []
    named = browser.value(
        "[...document.querySelectorAll('.tiles li, .chart figcaption, .moving figcaption')]"
        ".map(e => e.classList.contains('explained'))"
    )
    assert len(named) > 10
    assert all(named)
    names = "new Set([...document.querySelectorAll('.tip')].map(e => e.id)).size"
    assert browser.value(names) == len(named)


def test_the_frames_play_and_stop(browser: Browser, page: Path) -> None:
    browser.open(page, 1280)
    at = "Number(document.getElementById('frame').value)"
    press = "document.getElementById('play').click(), document.getElementById('play').textContent"
    first = browser.value(at)
    assert browser.value(press) == "Stop"
    browser.wait(f"{at} >= {first} + 3")
    shown = browser.value("document.querySelector('#map-image img').src")
    assert shown == browser.value(f"JSON.parse(document.getElementById('frames').textContent)[{at}].image")
    assert browser.value(press) == "Play"
    stopped = browser.value(at)
    browser.value("new Promise(done => setTimeout(done, 900))")
    assert browser.value(at) == stopped


def test_the_moving_picture_stands_still_until_it_is_played(browser: Browser, page: Path) -> None:
    browser.open(page, 1280)
    kind = "document.getElementById('moving').src.slice(5, 14)"
    press = "document.getElementById('play-moving').click()"
    assert browser.value(kind) == "image/png"
    browser.value(press)
    assert browser.value(kind) == "image/gif"
    browser.wait("document.getElementById('moving').naturalWidth === 720")
    browser.value(press)
    assert browser.value(kind) == "image/png"


def test_the_page_leads_with_the_answers_and_what_the_margin_is_made_of(browser: Browser, page: Path) -> None:
    browser.open(page, 1280)
    tops = browser.value(
        "['.answers', '#waterfall', '.tiles', '#beside', '#target'].map("
        "q => document.querySelector(q).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)
