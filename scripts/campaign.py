"""Play every command under every fault, and write the table of docs/reliability.md.

    python scripts/campaign.py --moments 20 --log campaign.json

It goes on where it was broken off. An hour or two on two cores; `--only` plays single commands.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.campaign.commands import COMMANDS, make_inputs  # noqa: E402
from tests.campaign.faults import FAULTS, Bench  # noqa: E402

BEGIN, END = "<!-- the campaign's table -->\n", "<!-- its end -->\n"


def table(cells: dict[str, dict[str, str]]) -> str:
    """Return the table: a line a command, a column a fault."""
    lines = ["| command | " + " | ".join(FAULTS) + " |", "|---" * (len(FAULTS) + 1) + "|"]
    for name in COMMANDS:
        row = cells.get(name, {})
        lines.append(f"| {name} | " + " | ".join(row.get(fault, "") for fault in FAULTS) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Play what is not in the log yet, and return 1 where something is broken."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--moments", type=int, default=20, help="at which each command is killed")
    command.add_argument("--only", action="append", default=[], choices=list(COMMANDS))
    command.add_argument("--log", default="campaign.json", help="what was found so far")
    command.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    asked = command.parse_args()
    log = Path(asked.log)
    found = json.loads(log.read_text()) if log.exists() else {"cells": {}, "wrong": []}
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name) / "in"
        inputs.mkdir()
        make_inputs(inputs)
        for one in asked.only or COMMANDS:
            done = found["cells"].setdefault(one, {})
            if all(fault in done for fault in FAULTS):
                continue
            bench = Bench(COMMANDS[one], inputs, Path(name) / "work", asked.moments)
            for fault in FAULTS:
                if fault in done:
                    continue
                done[fault] = bench.play(fault)
                print(f"{one}: {fault}: {done[fault]}", *bench.wrong, sep="\n    ", flush=True)
                found["wrong"] += [f"{one}: {wrong}" for wrong in bench.wrong]
                bench.wrong.clear()
                partial = log.with_suffix(".new")
                partial.write_text(json.dumps(found, indent=1))
                os.replace(partial, log)
    text = table(found["cells"])
    print(text)
    if asked.write:
        page = ROOT / "docs" / "reliability.md"
        head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        page.write_text(head + BEGIN + text + END + rest.partition(END)[2], encoding="utf-8")
    return int(any(cell in ("broken", "") for row in found["cells"].values() for cell in row.values()))


if __name__ == "__main__":
    sys.exit(main())
