"""Write a network as an ONNX file, which runs without torch.

pip install 'mrsim[onnx]'
python examples/export_onnx.py net.onnx && mrsim replay my.stream onnx:net.onnx
"""

import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parent))
from module import build


def main(path: str, rows: int = 128, columns: int = 128) -> None:
    """Export for one matrix, weights and all in one file."""
    example = (torch.zeros(1, 2, rows, columns),)  # (kspace, mask) for a network that takes both
    torch.onnx.export(build(), example, path, dynamo=True, external_data=False, verbose=False)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
