"""The code blocks of a Markdown page, as a reader would run them: in order, in one folder.

A comment on the lines above a block says how it is run:

    <!-- file: mynet.py -->                            it is saved under this name
    <!-- run with: --seconds 60 -> --seconds 2 -->     a test runs it shortened, so
    <!-- exits: 1 -->                                  its commands may end with this code, too
    <!-- not run: why -->                              it is not run, for this reason
    <!-- shows: trace.png -->                          it makes this picture, which the site shows under it

`sh` blocks are commands, a line each; `python` blocks share their names down the page; `text` is only shown.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

_COMMENT = re.compile(r"<!--\s*(file|run with|exits|not run|shows):\s*(.*?)\s*-->\s*$")
_FENCE = re.compile(r"(\s*)```(\w*)\s*$")


@dataclass
class Block:
    """Hold one block.

    Parameters
    ----------
    page
        File that it stands in.
    line
        Line of its first fence.
    language
        What stands after the fence.
    text
        What is in it.
    section
        The heading above it.
    file
        Name that it is saved under; empty for none.
    shortened
        Texts that a test puts in the place of others.
    exits
        Codes beside 0 that its commands may end with.
    not_run
        Why it is not run; empty where it is.
    shows
        Pictures that it makes and the site shows.
    """

    page: Path
    line: int
    language: str
    text: str
    section: str = ""
    file: str = ""
    shortened: list[tuple[str, str]] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    not_run: str = ""
    shows: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    def short(self) -> str:
        """Return its text as a test runs it.

        Raises
        ------
        ValueError
            If a text that is to be replaced is not in it.
        """
        text = self.text
        for long, short in self.shortened:
            if long not in text:
                raise ValueError(f"{self}: 'run with: {long} -> {short}': it holds no {long!r}")
            text = text.replace(long, short)
        return text

    def commands(self, short: bool = False) -> list[list[str]]:
        """Return the commands of a block of shell, each as its words, comments left out."""
        text = (self.short() if short else self.text).replace("\\\n", " ")
        lines = (shlex.split(line, comments=True) for line in text.splitlines())
        return [words for words in lines if words]


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order.

    Raises
    ------
    ValueError
        If a fence is not closed, or a comment says what no block can do.
    """
    blocks: list[Block] = []
    told: list[tuple[str, str]] = []
    section, open_block, body = "", None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence, comment = _FENCE.match(line), _COMMENT.match(line.strip())
        if open_block is not None:
            if fence and not fence[2]:
                open_block.text = "\n".join(body) + "\n"
                blocks.append(open_block)
                open_block, body = None, []
            else:
                body.append(line)
        elif fence:
            open_block = Block(page, number, fence[2], "", section)
            for key, value in told:
                _apply(open_block, key, value)
            told = []
        elif comment:
            told.append((comment[1], comment[2]))
        elif line.strip():
            if told:
                raise ValueError(f"{page.name}:{number}: a comment on how to run a block stands above none")
            section = line.lstrip("# ") if line.startswith("#") else section
    if open_block is not None:
        raise ValueError(f"{page.name}:{open_block.line}: the block is not closed")
    return blocks


def _apply(block: Block, key: str, value: str) -> None:
    if key == "file":
        block.file = value
    elif key == "not run":
        if len(value) < 10:
            raise ValueError(f"{block}: not run, without a reason")
        block.not_run = value
    elif key == "exits":
        block.exits = [int(code) for code in value.split()]
    elif key == "shows":
        block.shows.append(value)
    else:
        long, arrow, short = value.partition(" -> ")
        if not arrow or not long:
            raise ValueError(f"{block}: 'run with: {value}': expected LONG -> SHORT")
        block.shortened.append((long, short))
