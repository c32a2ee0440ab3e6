"""Scan a phantom in one call, by either engine, into memory or into a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mrsim.anatomy.body import Body
from mrsim.anatomy.phantom import Phantom
from mrsim.anatomy.series.patient import Patient
from mrsim.argument_types import checked
from mrsim.errors import Option, ProtocolError
from mrsim.files.targets import check_outside
from mrsim.files.writing import scratch_folder
from mrsim.scanner.acquisition import frames_of, scan, scan_to
from mrsim.scanner.combination import check_combination, combined
from mrsim.scanner.protocol import CATALYSATION, COMBINATIONS, ENGINES, SPINS_PER_SIDE, ScanProtocol
from mrsim.scanner.scenes import load_body
from mrsim.spins.isochromat_scan import scan_isochromats
from mrsim.spins.off_resonance import FieldMap
from mrsim.stream import Stream, load, save
from mrsim.stream.storage import check_new_stream


@checked
def simulate(
    phantom: str | Path | Phantom | Patient = "quasar",
    *,
    seconds: float | None = None,
    frames: int | None = None,
    seed: int = 0,
    acceleration: float = ScanProtocol.acceleration,
    coils: int = ScanProtocol.coils,
    target_snr: float = ScanProtocol.target_snr,
    matrix: tuple[int, int] = ScanProtocol.matrix,
    fov_m: tuple[float, float] = ScanProtocol.fov_m,
    tr_ns: int = ScanProtocol.tr_ns,
    te_ns: int = ScanProtocol.te_ns,
    flip_rad: float = ScanProtocol.flip_rad,
    field_t: float = ScanProtocol.field_t,
    sampler: str = ScanProtocol.sampler,
    order: str = ScanProtocol.order,
    timing: str = ScanProtocol.timing,
    rendering: str = ScanProtocol.rendering,
    supersampling: int = ScanProtocol.supersampling,
    adc_step: float = ScanProtocol.adc_step,
    overrides: Mapping[str, Any] | None = None,
    combine: str = COMBINATIONS[0],
    engine: str = ENGINES[0],
    spins: int | None = None,
    catalysation: str | int | None = None,
    field: FieldMap | None = None,
    t2_prime_s: float | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Stream:
    """Scan a phantom and return the stream with its truth.

    Parameters
    ----------
    phantom
        Name of a shipped phantom (`mrsim.phantom_names()`), path of a .toml file, folder of a patient, or a
        loaded phantom or patient.
    seconds, frames
        Length of the scan, one of the two: seconds, rounded up to whole frames, or frames.
    seed
        Reproduces everything: motion, sampling and noise.
    acceleration, coils, target_snr, matrix, fov_m, tr_ns, te_ns, flip_rad, field_t
        What the operator sets; see `mrsim.ScanProtocol` for units and bounds.
    sampler, order, timing, rendering, supersampling, adc_step
        How lines are chosen and made; see `mrsim.ScanProtocol`.
    overrides
        Changes of the phantom by dotted key, such as `{"motion.breathing.amplitude_mm": 20}`.
    combine
        "prewhiten" or "sense": what is done with several coils afterwards; "none" leaves them.
    engine
        "analytic": closed forms in the steady state. "isochromats": spin by spin, with transients.
    spins, catalysation, field, t2_prime_s
        For isochromats alone: spins across the field of view; what comes before the first line; its field;
        T2' of all tissues, seconds.
    output
        Folder to write, for scans that do not fit into memory; the stream that is returned is then mapped.
    overwrite
        Whether an earlier stream that stands there is replaced.
    progress
        Called with the frames that are done and their total.

    Returns
    -------
    stream
        The scan, its truth and its provenance.

    Raises
    ------
    MrsimError
        If something does not fit together, or the folder cannot be made.

    Examples
    --------
    >>> stream = simulate("quasar", frames=2, acceleration=4, seed=1)
    >>> stream.samples.shape
    (64, 1, 128)
    """
    for name, value, known in (("engine", engine, ENGINES), ("combine", combine, COMBINATIONS)):
        if value not in known:
            raise ProtocolError("{}: expected one of {}", Option(name, value), ", ".join(known))
    of_spins = {"spins": spins, "catalysation": catalysation, "field": field, "t2_prime_s": t2_prime_s}
    if engine == "analytic" and (given := [name for name, value in of_spins.items() if value is not None]):
        raise ProtocolError("{}: for {} alone", Option(given[0]), Option("engine", ENGINES[1]))
    if engine == "isochromats" and (timing != "prospective" or rendering != "exact"):
        raise ProtocolError(
            "{}: it is prospective and exact; leave {} and {}",
            Option("engine", engine), Option("timing"), Option("rendering"),
        )  # fmt: skip
    if output is not None:
        check_new_stream(output, overwrite=overwrite)
        check_outside(output)
    protocol = ScanProtocol(
        matrix=matrix, fov_m=fov_m, tr_ns=tr_ns, te_ns=te_ns, flip_rad=flip_rad, field_t=field_t,
        acceleration=acceleration, sampler=sampler, order=order, target_snr=target_snr, coils=coils,
        timing=timing, rendering=rendering, supersampling=supersampling, adc_step=adc_step,
    )  # fmt: skip
    if combine != "none":
        check_combination(protocol.header(), combine)  # before the scan, which may be long
    body: Body
    if isinstance(phantom, Phantom | Patient):
        if overrides:
            raise ProtocolError(
                "{}: for a phantom by its name or file; this one is loaded already", Option("overrides")
            )
        body = phantom
    else:
        body = load_body(phantom, dict(overrides or {}))
    if engine == "isochromats":
        if not isinstance(body, Phantom):
            raise ProtocolError("{}: a cine has no spins; leave it out", Option("engine", engine))
        stream = scan_isochromats(
            body,
            protocol,
            seed=seed,
            frames=frames_of(protocol.header(), seconds, frames),
            spins=SPINS_PER_SIDE if spins is None else spins,
            catalysation=CATALYSATION if catalysation is None else catalysation,
            field=field,
            t2_prime_s=t2_prime_s,
        )
        if combine != "none":
            stream = combined(stream, body, protocol, combine)
        return stream if output is None else load(save(stream, output, overwrite=overwrite))
    length: dict[str, Any] = {"seconds": seconds, "frames": frames}
    if output is None:
        stream = scan(body, protocol, seed=seed, progress=progress, **length)
        return stream if combine == "none" else combined(stream, body, protocol, combine)
    if combine == "none":
        return load(
            scan_to(output, body, protocol, seed=seed, progress=progress, overwrite=overwrite, **length)
        )
    with scratch_folder(beside=output) as room:
        whole = scan_to(room / "all.stream", body, protocol, seed=seed, progress=progress, **length)
        stream = combined(load(whole), body, protocol, combine)
        return load(save(stream, output, overwrite=overwrite))
