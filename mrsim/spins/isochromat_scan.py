"""Scan a phantom by the Bloch engine: stream and truth as ever, with transients and off-resonance."""

from __future__ import annotations

import dataclasses

import numpy as np

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.phantom import Phantom
from mrsim.errors import ProtocolError
from mrsim.kernels.grid import Grid
from mrsim.reception.noise import LineNoise
from mrsim.scanner.acquisition import Scanner
from mrsim.scanner.protocol import CATALYSATION, SPINS_PER_SIDE, ScanProtocol
from mrsim.spins.filling import spins_of
from mrsim.spins.isochromats import BlochSequence, Isochromats
from mrsim.spins.off_resonance import FieldMap
from mrsim.stream import Header, Stream

ENGINE = "isochromats"
_CHUNK_LINES = 2048


def catalysed(header: Header, catalysation: str | int) -> BlochSequence:
    """Return the sequence of a scan.

    Parameters
    ----------
    header
        The protocol.
    catalysation
        What comes before the first line: "alpha/2" for a pulse of half the flip angle, "none", or a number of
        dummy TRs.

    Raises
    ------
    ProtocolError
        If it is none of these.
    """
    known = catalysation in ("alpha/2", "none")
    if isinstance(catalysation, bool) or not (known or isinstance(catalysation, int)):
        raise ProtocolError(f"catalysation = {catalysation!r}: expected 'alpha/2', 'none' or a number of TRs")
    dummies = catalysation if isinstance(catalysation, int) else 0
    return BlochSequence(header.tr_ns, header.te_ns, header.flip_rad, catalysation == "alpha/2", dummies)


def scan_isochromats(
    phantom: Phantom,
    protocol: ScanProtocol | None = None,
    *,
    seed: int,
    frames: int,
    spins: int = SPINS_PER_SIDE,
    catalysation: str | int = CATALYSATION,
    field: FieldMap | None = None,
    t2_prime_s: float | None = None,
    truth: bool = True,
) -> Stream:
    """Scan a phantom into memory, spin by spin.

    Motion, sampling and noise are those of `mrsim.scanner.acquisition.scan` with the same seed.
    So is truth: it shows the steady state, with every tissue on its own resonance.

    Parameters
    ----------
    phantom
        What is scanned.
    protocol
        How; the default is `ScanProtocol()`. One coil.
    seed
        Reproduces everything.
    frames
        Length of the scan.
    spins
        Spins across the field of view, each way.
    catalysation
        What comes before the first line; see `catalysed`.
    field
        Off-resonance of the place; its breathing part follows the motion of the target.
    t2_prime_s
        T2' of all tissues, seconds; None for none.
    truth
        Whether to store what was true, too.

    Returns
    -------
    stream
        The scan, with its provenance.

    Raises
    ------
    ProtocolError
        If something does not fit together.
    """
    protocol = protocol or ScanProtocol()
    if protocol.coils != 1:
        raise ProtocolError(f"coils = {protocol.coils!r}: the isochromat engine has one coil; set 1")
    if protocol.adc_step:
        raise ProtocolError(f"adc_step = {protocol.adc_step!r}: the isochromat engine has no ADC; set 0")
    scanner = Scanner(phantom, protocol, seed, frames)
    header, anatomy = scanner.header, Anatomy(phantom, seed)
    engine = Isochromats(
        spins_of(phantom, protocol, spins, t2_prime_s=t2_prime_s),
        catalysed(header, catalysation),
        Grid(header.matrix, header.fov_m),
    )
    line = np.arange(scanner.lines, dtype=np.int64)
    t_ns = line * header.tr_ns + header.te_ns
    ky = protocol.sampling(seed).rows(0, scanner.frames)
    provenance = dataclasses.replace(scanner.provenance, engine=ENGINE)
    noise = LineNoise(seed, provenance.noise_std, 1, header.matrix[1])
    samples = np.empty((len(line), 1, header.matrix[1]), np.complex64)
    for start in range(0, len(line), _CHUNK_LINES):
        part = slice(start, start + _CHUNK_LINES)
        place = None
        if field is not None:
            place = field.at(anatomy.values(t_ns[part])[:, phantom.index(phantom.target)])
        lines = engine.lines(
            ky[part], anatomy.displacement(t_ns[part]), anatomy.stretch(t_ns[part])[..., :2], place
        )
        samples[part] = lines[:, None, :] + noise.lines(start, len(lines))
    stored = scanner.oracle.truth(0, len(line)) if truth else None
    frame = (line // header.lines_per_frame).astype(np.int32)
    return Stream(header, ky, frame, t_ns, samples, provenance=provenance, truth=stored)
