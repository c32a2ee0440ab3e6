"""Write a network as an exported program, which runs without the code that made it.

python examples/export_program.py net.pt2 && mrsim replay my.stream export:net.pt2
"""

import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parent))
from module import build


def main(path: str, rows: int = 128, columns: int = 128) -> None:
    """Export for one matrix: shapes in the file are fixed, as they are in a scan."""
    example = (torch.zeros(1, 2, rows, columns),)  # (kspace, mask) for a network that takes both
    torch.export.save(torch.export.export(build(), example), path)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
