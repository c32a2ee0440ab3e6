"""The tutorials are run while the site is built, and what each block prints is shown under it.

Blocks are read and run as the tests do it (`scripts/blocks.py`): in order, in one folder, and the build fails
where one ends otherwise than it should. `-D executed=short` runs them shortened, `-D executed=no` shows the
pages without what they print.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))
from blocks import Block, read_blocks  # noqa: E402

HOW = ("full", "short", "no")
LIMIT_S = 1800
MOST_LINES = 60
VERDICTS = {
    "replay",
    "compare",
    "report",
    "guard",
    "try",
}  # what a busy host says of itself is an answer, too
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Tutorial:
    """Run the blocks of a page.

    Parameters
    ----------
    page
        The page.
    folder
        Empty folder to work in.
    short
        Whether to run it as the tests do.
    pictures
        Folder for the pictures that its blocks make.
    """

    def __init__(self, page: Path, folder: Path, short: bool, pictures: Path) -> None:
        self._page, self._folder, self._short, self._pictures = page, folder, short, pictures
        self._names: dict[str, Any] = {"__name__": "page"}
        (folder / "examples").symlink_to(ROOT / "examples")

    def run(self) -> str:
        """Return the page with what its blocks print.

        Raises
        ------
        ExtensionError
            If a block fails.
        """
        lines = self._page.read_text(encoding="utf-8").splitlines()
        told: dict[int, list[str]] = {}
        for block in read_blocks(self._page):
            end = block.line + len(block.text.splitlines()) + 1  # the line of its last fence
            told[end] = self._told(block)
        return "\n".join(line for n, text in enumerate(lines, 1) for line in (text, *told.get(n, ())))

    def _told(self, block: Block) -> list[str]:
        if block.file:
            (self._folder / block.file).write_text(block.text, encoding="utf-8")
            return []
        if block.not_run or block.language not in ("sh", "python"):
            return []
        printed = self._python(block) if block.language == "python" else self._commands(block)
        lines = _COLOUR.sub("", printed).replace(str(self._folder), "~/work").rstrip().splitlines()
        if len(lines) > MOST_LINES:
            lines = [*lines[:MOST_LINES], "..."]
        shown = [
            "",
            '<div class="printed">',
            "",
            "```text",
            *(line.rstrip() for line in lines),
            "```",
            "</div>",
        ]
        return [
            *(shown if lines else []),
            *(line for name in block.shows for line in self._picture(block, name)),
        ]

    def _python(self, block: Block) -> str:
        out, here = io.StringIO(), Path.cwd()
        try:
            os.chdir(self._folder)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                exec(compile(block.short() if self._short else block.text, str(block), "exec"), self._names)
        except Exception as error:
            raise ExtensionError(f"{block}: {type(error).__name__}: {error}\n{out.getvalue()}") from error
        finally:
            os.chdir(here)
        return out.getvalue()

    def _commands(self, block: Block) -> str:
        printed = ""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        for words in block.commands(self._short):
            done = subprocess.run(
                words, cwd=self._folder, env={**os.environ, "PATH": path, "COLUMNS": "100"}, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S,
            )  # fmt: skip
            judged = words[0] == "mrsim" and words[1] in VERDICTS
            if done.returncode not in {0, *block.exits, *((1, 3, 4) if judged else ())}:
                raise ExtensionError(f"{block}: {' '.join(words)}: exit {done.returncode}\n{done.stdout}")
            printed += done.stdout
        return printed

    def _picture(self, block: Block, name: str) -> list[str]:
        made = self._folder / name
        if not made.is_file():
            raise ExtensionError(f"{block}: it shows {name}, which it does not make")
        kept = f"{self._page.stem}-{made.name}"
        self._pictures.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, self._pictures / kept)
        return ["", f"![What the code above draws](made/{kept})"]


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Put what its blocks print into a tutorial."""
    if not name.startswith("tutorials/") or name.endswith("README") or app.config.executed == "no":
        return
    page = Path(app.srcdir) / f"{name}.md"
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        short = app.config.executed == "short"
        source[0] = Tutorial(page, Path(folder), short, page.parent / "made").run()


def check(app: Sphinx, config: Any) -> None:
    """Refuse a way to run that there is none of."""
    if config.executed not in HOW:
        raise ExtensionError(f"executed = {config.executed!r}: expected {', '.join(HOW)}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Enter it into Sphinx."""
    app.add_config_value("executed", "full", "env", str)
    app.connect("config-inited", check)
    app.connect("source-read", read)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
