"""Write docs/cheats.md: what catches each cheat of tests/cheats.

`python -m scripts.cheats [NAME ...]`: with names, of these alone; the rows of all others stay as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.cheats.table import MODES, cells_of, cheats_scan, page, played, written_on

PAGE = Path("docs/cheats.md")


def main() -> None:
    """Play cheats in every column and both modes, and write the page."""
    stream, only = cheats_scan(), sys.argv[1:]
    known = written_on(PAGE.read_text(encoding="utf-8")) if only else {}
    found: dict[str, list[tuple[str, list[str]]]] = {mode: [] for mode in MODES}
    for mode in MODES:
        for name in played(mode):
            cells = known.get((mode, name))
            if cells is None or name in only:
                cells = cells_of(name, mode, stream)
                print(name, mode, *cells, sep=" | ", flush=True)
            found[mode].append((name, cells))
    PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
