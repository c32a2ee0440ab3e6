"""Every command and every piece of code in README and docs is run, in order, in a folder of its own.

How a block is run is said by a comment above it (`scripts/blocks.py`); what is not run says why.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_mrsim
from harness.cli.arguments import parser
from harness.cli.main import main

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))
from blocks import Block, read_blocks  # type: ignore[import-not-found]  # noqa: E402
from first_hour import PAGE, README, SECTION  # type: ignore[import-not-found]  # noqa: E402

PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]
# What ends in a verdict on this host at this moment: each is an answer, on a virtual clock, too.
JUDGED = {"replay", "compare", "report", "guard"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of its own, with the programs of this Python on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if name.startswith("mrsim_candidate_"):
            del sys.modules[name]


def allowed(block: Block, words: list[str]) -> set[int]:
    judged = words[0] == "mrsim" and words[1] in JUDGED
    return {0, *block.exits} | ({1, 3, 4} if judged else set())


def play(block: Block, names: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Run one block."""
    if block.file:
        Path(block.file).write_text(block.text, encoding="utf-8")
    if block.not_run or block.file:
        return
    if block.language == "python":
        exec(compile(block.short(), str(block), "exec"), names)
        return
    for words in block.commands(short=True):
        if words[0] == "mrsim":  # in this process: starting Python anew costs more than most commands
            code = main(words[1:])
        else:
            code = subprocess.run(shlex.join(words), shell=True, check=False, timeout=900).returncode
        told = capfd.readouterr()
        assert code in allowed(block, words), f"{block}: {shlex.join(words)}: {code}\n{told.out}{told.err}"


def of_the_hour(page: Path, block: Block) -> bool:
    return page == PAGE or (page == README and block.section == SECTION)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's own, while it exports a program
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_runs(page: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    if page == PAGE:  # it and the README's ten minutes by the script that times them
        hour = [sys.executable, str(ROOT / "scripts" / "first_hour.py"), "--short", "--keep", "."]
        done = subprocess.run(hour, check=False, timeout=1800)
        told = capfd.readouterr()
        assert done.returncode == 0, told.out + told.err
        assert len(re.findall(r"^ *\d+\.\d s  (mrsim|pytest) ", told.out, re.M)) >= 8, told.out
        assert "report" in told.out
        assert (folder / "report.html").stat().st_size > 10_000
    (folder / "examples").mkdir()
    for example in (ROOT / "examples").iterdir():
        if not example.name.startswith("test_"):  # pytest would collect it with the page's own
            (folder / "examples" / example.name).symlink_to(example)
    for block in read_blocks(page):
        if not of_the_hour(page, block):
            play(block, names, capfd)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    for block in read_blocks(page):
        runs = block.language in ("sh", "python") or block.file
        assert runs or block.not_run or block.language == "text", (
            f"{block}: ```{block.language}: how is it run?"
        )


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    anchored = re.findall(r"\]\(([^)#\s:]*\.md)?#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for target, anchor in anchored:
        text = (page.parent / target if target else page).read_text(encoding="utf-8")
        anchors = {anchor_of(title) for title in re.findall(r"^#+ (.+)$", text, re.M)}
        assert anchor in anchors, f"{page.name}: {target}#{anchor}"


def anchor_of(title: str) -> str:
    """Return the anchor of a heading on the web: lower case, words joined by hyphens, no other signs."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def test_a_wrong_command_or_line_of_code_is_found(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = folder / "page.md"
    page.write_text("# A\n```sh\nmrsim phantoms   # fine\nmrsim audits null\n```\n")
    (block,) = read_blocks(page)
    with pytest.raises(AssertionError, match=r"page.md:2: mrsim audits null: 2"):
        play(block, {}, capfd)
    page.write_text("```python\nassert 1 + 1 == 3\n```\n")
    with pytest.raises(AssertionError):
        play(read_blocks(page)[0], {}, capfd)


def test_comments_on_how_to_run_are_read_and_checked(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "## First\ntext\n<!-- run with: 60 -> 2 -->\n<!-- exits: 1 4 -->\n```sh\nscan 60 # a\n\n```\n"
        "<!-- file: a.py -->\n```python\nx = 1\n```\n"
        "<!-- not run: it takes a whole night -->\n```sh\nbig\n```\n"
    )
    first, second, third = read_blocks(page)
    assert (first.commands(), first.commands(short=True)) == ([["scan", "60"]], [["scan", "2"]])
    assert (first.section, first.exits, first.line) == ("First", [1, 4], 5)
    assert (second.file, second.text, third.not_run) == ("a.py", "x = 1\n", "it takes a whole night")
    for wrong, told in (
        ("<!-- run with: 7 -> 2 -->\n```sh\nscan 60\n```\n", "holds no '7'"),
        ("<!-- not run: x -->\n```sh\nscan 60\n```\n", "without a reason"),
        ("```sh\nscan 60\n", "not closed"),
        ("<!-- exits: 1 -->\ntext\n", "stands above none"),
    ):
        page.write_text(wrong)
        with pytest.raises(ValueError, match=told):
            read_blocks(page)[0].commands(short=True)


def test_the_workflow_to_copy_is_the_one_that_is_shown_and_its_commands_are_ours() -> None:
    workflow = (ROOT / "examples" / "ci.yml").read_text(encoding="utf-8")
    shown = [block.text for block in read_blocks(ROOT / "docs" / "guard.md") if block.file == "ci.yml"]
    assert shown == [workflow]
    commands = [shlex.split(line) for line in re.findall(r"- run: (.*)", workflow)]
    assert [words[0] for words in commands] == ["pip", "pytest", "mrsim", "mrsim"]
    for words in commands[2:]:
        words = words[: words.index("||")] if "||" in words else words
        assert parser().parse_args(words[1:])
    known = set(re.findall(r'"(--[a-z-]+)"', Path(pytest_mrsim.__file__).read_text(encoding="utf-8")))
    assert {word for word in commands[1] if word.startswith("--")} - {"--ignore"} <= known
