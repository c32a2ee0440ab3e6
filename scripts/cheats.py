"""Write docs/cheats.md: what catches each cheat of tests/cheats."""

from __future__ import annotations

from pathlib import Path

from tests.cheats.table import CHEATS, cells_of, cheats_scan, page


def main() -> None:
    """Play every cheat in every column and write the page."""
    found, stream = [], cheats_scan()
    for name in CHEATS:
        cells = cells_of(name, stream)
        print(name, *cells, sep=" | ", flush=True)
        found.append((name, cells))
    Path("docs/cheats.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
