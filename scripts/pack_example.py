"""Scan and pack the example that is shipped: `python -m scripts.pack_example [FILE]`.

It is made anew with each version, whose number it holds; a test says when that was forgotten.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mrsim.anatomy.phantom import load_phantom
from mrsim.scanner.acquisition import scan
from mrsim.scanner.example import ADC_STEP, BREATHING, FILE, SECONDS, SEED, pack
from mrsim.scanner.protocol import ScanProtocol

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Scan, pack, and say how large it is."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "phantoms" / FILE
    made = scan(
        load_phantom("quasar", BREATHING), ScanProtocol(adc_step=ADC_STEP), seed=SEED, seconds=SECONDS
    )
    pack(made, path)
    print(f"{path}: {made.frames} frames, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
