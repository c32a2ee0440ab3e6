"""How a stream was made. Whoever holds it can make the stream and its truth again."""

from __future__ import annotations

from dataclasses import dataclass

from mrsim.errors import StreamError
from mrsim.stream.values import MAX_SAMPLE
from mrsim.summary import Summarised, counted


@dataclass(frozen=True, slots=True, repr=False)
class Provenance(Summarised):
    """Record how a stream was made; whoever holds it can make the stream and its truth again.

    Parameters
    ----------
    phantom
        Name of the phantom.
    phantom_text
        Its whole TOML text, all settings applied.
    seed
        Seed that reproduces the scan.
    version
        Version of the software that made it.
    engine
        Name of the scanner's engine.
    noise_std
        Standard deviation of the complex noise in a sample (real and imaginary part together).
    target_snr
        Signal of the target over the noise of a fully sampled image; infinite without noise.
    """

    phantom: str
    phantom_text: str
    seed: int
    version: str
    engine: str
    noise_std: float
    target_snr: float

    def __post_init__(self) -> None:
        for holds, key, expected in (
            (0 <= self.noise_std <= MAX_SAMPLE, "noise_std", f"0 to {MAX_SAMPLE:g}"),
            (self.target_snr > 0, "target_snr", "a positive number"),
            (abs(self.seed) < 1 << 128, "seed", "a number of 128 bits"),
        ):
            if not holds:
                raise StreamError(f"provenance: {key} = {str(getattr(self, key))[:60]}: expected {expected}")

    def _summary(self) -> tuple[str, list[tuple[str, str]]]:
        facts = [
            ("phantom", f"{self.phantom}, {counted(len(self.phantom_text.splitlines()), 'line')} of TOML"),
            ("seed", str(self.seed)),
            ("made by", f"mrsim {self.version}, engine {self.engine}"),
            ("noise", f"std {self.noise_std:.4g}, SNR of the target {self.target_snr:g}"),
        ]
        return "Provenance: how a stream was made", facts
