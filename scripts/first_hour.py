"""A stranger's first hour: the ten minutes of README.md and the page after them, step by step, with times.

    python scripts/first_hour.py            as the pages have it: some minutes
    python scripts/first_hour.py --short    as the tests run it
    python scripts/first_hour.py --train    the README's commands with a network that examples/train.py trains

Files, code and commands are read from the pages themselves, so that what is timed is what is written there.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
from blocks import Block, read_blocks

ROOT = Path(__file__).parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "first-hour.md"
SECTION = "Ten minutes"
EXAMPLE = ROOT / "examples" / "train.py"
BRIEF = ("--phantom", "patient1", "--seconds", "4", "--epochs", "1")
LIMIT_S = 1800
# A verdict is an answer, too: what a busy host says of itself is no failure of the hour.
VERDICTS = {"replay", "compare", "report"}
ANSWERS = {0, 1, 3, 4}


def main() -> int:
    """Run the hour; return 0 where every command ended as the pages have it."""
    parser = argparse.ArgumentParser(description="Run a stranger's first hour, and time each step.")
    parser.add_argument("--short", action="store_true", help="shortened, as the tests run it")
    parser.add_argument("--train", action="store_true", help="the README's commands with a trained network")
    parser.add_argument("--keep", metavar="DIR", help="folder to work in; default: one that is removed")
    args = parser.parse_args()
    readme = [block for block in read_blocks(README) if block.section == SECTION]
    blocks = trained(readme, args.short) if args.train else readme + read_blocks(PAGE)
    with tempfile.TemporaryDirectory(prefix="first-hour-") as fresh:
        folder = Path(args.keep or fresh)
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        wrong = [what for block in blocks for what in run_block(block, folder, args.short)]
        print(f"{time.perf_counter() - began:7.1f} s  in all")
    for what in wrong:
        print(what, file=sys.stderr)
    return 1 if wrong else 0


def trained(blocks: list[Block], short: bool) -> list[Block]:
    """Return a training, and then the blocks with its network in the place of view sharing."""
    words = [sys.executable, str(EXAMPLE), *(BRIEF if short else ())]
    candidate = f"python:{EXAMPLE}:build"
    ours = [dataclasses.replace(b, text=b.text.replace("view-sharing", candidate)) for b in blocks]
    return [Block(EXAMPLE, 1, "sh", shlex.join(words)), *ours]


def run_block(block: Block, folder: Path, short: bool) -> list[str]:
    """Save a file or run commands; return what did not end as it should."""
    if block.not_run:
        return []
    if block.file:
        (folder / block.file).write_text(block.text, encoding="utf-8")
        print(f"      -    {block.file}: {len(block.text.splitlines())} lines saved", flush=True)
        return []
    wrong = []
    if block.language == "python":
        commands = [[sys.executable, "-c", block.short() if short else block.text]]
    else:
        commands = block.commands(short)
    for words in commands:
        began = time.perf_counter()
        done = run(words, folder)
        told = done.stdout.strip().splitlines()
        shown = "the block of Python" if block.language == "python" else " ".join(words)
        print(f"{time.perf_counter() - began:7.1f} s  {shown}", flush=True)
        print(f"           exit {done.returncode}: {told[-1] if told else ''}", flush=True)
        allowed = ANSWERS if len(words) > 1 and words[1] in VERDICTS else {0, *block.exits}
        if done.returncode not in allowed:
            wrong.append(f"{block}: {shown}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return wrong


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one command with the programs of this Python on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return subprocess.run(
        words, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
