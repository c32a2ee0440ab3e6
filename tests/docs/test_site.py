"""The site: it is built without a warning, finds its way and asks nothing of a network.

Skipped, and counted so, where the docs extra or Chromium is not there. Tutorials are run by `test_pages`,
and pictures by `make docs`, so that this build takes its pages as they are.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from tests.harness.report.browser import Browser, find_browser

pytest.importorskip("sphinx", reason="no docs extra here: pip install 'mrsim[docs]'")
pytest.importorskip("furo", reason="no docs extra here: pip install 'mrsim[docs]'")

ROOT = Path(__file__).parents[2]
DOORS = {"mrsim": "mrsim", "recon": "recon", "recon.data": "recon", "harness": "harness"}
IN_BROWSER = (
    "index.html", "quickstart.html", "tutorials/first-scan.html", "pictures/index.html", "verdict.html",
    "reference/mrsim.html",
)  # fmt: skip
browsed = pytest.mark.skipif(find_browser() is None, reason="no Chromium here: apt-get install chromium")
pytestmark = pytest.mark.slow


def build(source: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build a copy of the pages as `make docs` does."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", str(source / "site")]
    return subprocess.run(
        [*command, *options, "-b", "html", str(source), str(output)],
        capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip


def copied(folder: Path) -> Path:
    """Copy what the site is made of, and link the rest."""
    ignored = shutil.ignore_patterns("pictures", "made", "__pycache__")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=ignored)
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "examples",
        "scripts",
        "mrsim",
        "recon",
        "harness",
    ):
        (folder / name).symlink_to(ROOT / name)
    return folder / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(copied(folder), folder / "html", "-D", "executed=no", "-D", "plot_gallery=0")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_browser()
    assert path is not None
    with Browser(path) as one:
        yield one


def test_every_link_and_anchor_leads_somewhere(site: Path) -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 35
    for page, text in pages.items():
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:", link):
                continue
            path, anchor = urldefrag(link)
            target = (page.parent / unquote(path.partition("?")[0])).resolve() if path else page
            assert target.is_file(), f"{page.name}: {link}"
            if anchor and target in pages:
                assert f'id="{anchor}"' in pages[target], f"{page.name}: {link}"


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    for door, page in DOORS.items():
        text = (site / "reference" / f"{page}.html").read_text(encoding="utf-8")
        for name in importlib.import_module(door).__all__:
            if name not in ("__version__", "KEYS"):
                thing = getattr(importlib.import_module(door), name)
                places = {f"{door}.{name}", f"{thing.__module__}.{getattr(thing, '__name__', name)}"}
                assert any(f'id="{place}"' in text for place in places), f"{door}.{name}"


def test_nothing_is_asked_of_a_network(site: Path) -> None:
    """No page, style or script loads from elsewhere; a link that a reader may follow is no request."""
    for file in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = file.read_text(encoding="utf-8")
        loads = re.findall(r'(?:src|<link[^>]+href)="(https?:[^"]+)"|url\(["\']?(https?:[^)]+)\)', text)
        assert not loads, f"{file.name}: {loads}"


def test_a_search_finds_a_page_by_its_words(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert "tutorials/read-a-verdict" in index
    assert '"insuffici' in index  # the stem of a word that stands in some pages


def test_a_page_with_a_broken_link_or_block_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs" / "tutorials").mkdir(parents=True)
    shutil.copytree(ROOT / "docs" / "site", tmp_path / "docs" / "site")
    for name in ("scripts", "examples", "mrsim"):
        (tmp_path / name).symlink_to(ROOT / name)
    source, index = tmp_path / "docs", tmp_path / "docs" / "index.md"
    plain = ("-D", "extensions=myst_parser,sphinx.ext.autodoc,executed,linked")
    index.write_text("# A\n[b](tutorials/b.md)\n```{toctree}\ntutorials/b\n```\n")
    page = source / "tutorials" / "b.md"
    page.write_text('# B\n```python\nprint("a" + "b")\n```\n')
    done = build(source, tmp_path / "html", *plain)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ab\n" in (tmp_path / "html" / "tutorials" / "b.html").read_text()
    page.write_text("# B\n```python\n1 / 0\n```\n")
    done = build(source, tmp_path / "html", *plain)
    assert done.returncode != 0
    assert "b.md:2: ZeroDivisionError" in done.stdout + done.stderr
    page.write_text("# B\n[c](c.md)\n")
    done = build(source, tmp_path / "html", *plain)
    assert done.returncode != 0
    assert "c.md" in done.stdout + done.stderr


@browsed
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_their_window_and_complain_of_nothing(
    site: Path, browser: Browser, width: int, dark: bool
) -> None:
    for name in IN_BROWSER:
        browser.open(site / name, width, dark=dark)
        assert browser.value("document.documentElement.scrollWidth <= innerWidth"), name
        assert browser.complaints() == [], name
        assert [url for url in browser.requests() if not url.startswith("file:")] == [], name
        shade = browser.value("getComputedStyle(document.body).backgroundColor")
        red = int(re.findall(r"\d+", shade)[0])
        assert (red < 64) == dark, f"{name}: {shade}"


@browsed
def test_the_keyboard_reaches_search_and_content(site: Path, browser: Browser) -> None:
    browser.open(site / "index.html", 1280)
    reached = set()
    for _ in range(60):
        browser.key("Tab", 9)
        reached.add(
            browser.value("document.activeElement.closest('form, article, nav, a')?.outerHTML.slice(0, 80)")
        )
        reached.add(browser.value("document.activeElement.name"))
        reached.add(browser.value("document.activeElement.closest('article') ? 'article' : ''"))
    assert {"q", "article"} <= reached


@browsed
def test_the_search_page_finds_by_words_without_a_server(site: Path, browser: Browser) -> None:
    browser.open(site / "index.html", 1280)
    browser.call("Page.navigate", url=(site / "search.html").as_uri() + "?q=insufficient")
    for _ in range(200):
        if (found := browser.value("document.querySelectorAll('#search-results li a').length")) > 2:
            break
        time.sleep(0.1)
    assert found > 2
    assert browser.complaints() == []
