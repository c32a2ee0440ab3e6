"""How a stream was made. Whoever holds it can make the stream and its truth again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provenance:
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
