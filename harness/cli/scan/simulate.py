"""`mrsim simulate`: a phantom, an engine and a protocol in, a stream and perhaps a sequence out."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.arguments import add_changes, add_overwrite, add_seed, one_of, settings
from harness.console import progress
from mrsim.errors import InputError
from mrsim.sampling import ORDERS, SAMPLERS
from mrsim.scanner.protocol import (
    CATALYSATION,
    COMBINATIONS,
    ENGINES,
    RENDERINGS,
    SPINS_PER_SIDE,
    TIMINGS,
    ScanProtocol,
)

if TYPE_CHECKING:
    from mrsim.anatomy.body import Body
    from mrsim.spins.off_resonance import FieldMap
    from mrsim.stream import Stream


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument(
        "phantom", metavar="PHANTOM", help="name of a shipped phantom, a .toml file, or a patient's folder"
    )
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the stream")
    add_overwrite(command)
    length = command.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="length of the scan")
    length.add_argument("--frames", type=int, help="length of the scan in frames")
    default = ScanProtocol().file_values()
    for option, kind, what in (
        ("acceleration", float, "undersampling"),
        ("sampler", one_of(*SAMPLERS), "pattern"),
        ("order", one_of(*ORDERS), "order of a frame's lines"),
        ("snr", float, "SNR of the target, inf for no noise"),
        ("tr_ms", float, "repetition time"),
        ("te_ms", float, "echo time"),
        ("flip_deg", float, "flip angle"),
        ("field_t", float, "0.5, 1.5 or 3"),
        ("coils", int, "loops around the body, 1 to 32"),
        ("timing", one_of(*TIMINGS), "retrospective: lines of a frame at one instant"),
        ("rendering", one_of(*RENDERINGS), "raster: the inverse crime"),
        ("adc_step", float, "step of the receiver's 16 bits, a power of two; 0 for none"),
    ):
        name = "--" + option.replace("_", "-")
        names = kind if isinstance(kind, str) else None
        command.add_argument(
            name, type=str if isinstance(kind, str) else kind, default=default[option], metavar=names,
            help=f"{what} (%(default)s)",
        )  # fmt: skip
    for name, kind, pair, metavar in (
        ("--matrix", int, default["matrix"], ("NY", "NX")),
        ("--fov-mm", float, default["fov_mm"], ("Y", "X")),
    ):
        shown = " ".join(f"{value:g}" for value in pair)
        command.add_argument(name, type=kind, nargs=2, default=pair, metavar=metavar, help=f"({shown})")
    command.add_argument(
        "--engine",
        default=ENGINES[0],
        metavar=one_of(*ENGINES),
        help="isochromats: spin by spin (%(default)s)",
    )
    command.add_argument(
        "--spins",
        type=int,
        metavar="N",
        help=f"isochromats: across the field of view, each way ({SPINS_PER_SIDE})",
    )
    command.add_argument(
        "--catalysation",
        metavar=one_of("alpha/2", "none", "TRS"),
        help=f"isochromats, --pulseq: how the steady state is begun; TRS: so many dummy TRs ({CATALYSATION})",
    )
    command.add_argument("--t2-prime-ms", type=float, metavar="MS", help="isochromats: T2' of all tissues")
    command.add_argument(
        "--field-hz", type=float, nargs=6, metavar="C",
        help="isochromats: off-resonance, coefficients of 1, x, y, x^2, xy, y^2 (metres)",
    )  # fmt: skip
    command.add_argument(
        "--breathing-field-hz-per-m", type=float, nargs=6, metavar="C",
        help="isochromats: the same for each metre that the target moves",
    )  # fmt: skip
    command.add_argument(
        "--combine", default=COMBINATIONS[0], metavar=one_of(*COMBINATIONS),
        help="prewhiten: the coils' noise; sense: combine whole frames into one channel (%(default)s)",
    )  # fmt: skip
    command.add_argument("--pulseq", metavar="FILE.seq", help="write the sequence of the scan, too")
    add_changes(command)
    add_seed(command)


def run(
    *,
    phantom: str,
    output: str,
    overwrite: bool,
    seconds: float | None,
    frames: int | None,
    acceleration: float,
    sampler: str,
    order: str,
    snr: float,
    matrix: Sequence[int],
    fov_mm: Sequence[float],
    tr_ms: float,
    te_ms: float,
    flip_deg: float,
    field_t: float,
    coils: int,
    timing: str,
    rendering: str,
    adc_step: float,
    engine: str,
    spins: int | None,
    catalysation: str | None,
    t2_prime_ms: float | None,
    field_hz: Sequence[float] | None,
    breathing_field_hz_per_m: Sequence[float] | None,
    combine: str,
    pulseq: str | None,
    changes: list[str],
    seed: int,
) -> int:
    """Scan a phantom into a folder.

    Raises
    ------
    InputError
        If an option is wrong, or the stream or the sequence cannot be written there.
    """
    from mrsim.files.targets import check_target
    from mrsim.scanner.scenes import load_body
    from mrsim.simulation import simulate

    how = _catalysation(catalysation)
    check_target(pulseq, ".seq")
    if engine == ENGINES[0] and how not in (None, CATALYSATION) and pulseq is None:
        raise InputError("--catalysation: for --engine isochromats or --pulseq; analytic is the steady state")
    protocol = ScanProtocol.from_file_values(
        {
            "matrix": tuple(matrix), "fov_mm": tuple(fov_mm), "tr_ms": tr_ms, "te_ms": te_ms,
            "flip_deg": flip_deg, "field_t": field_t, "acceleration": acceleration, "sampler": sampler,
            "order": order, "snr": snr, "coils": coils, "timing": timing, "rendering": rendering,
            "adc_step": adc_step,
        }
    )  # fmt: skip
    body = load_body(phantom, settings(changes))
    if pulseq is not None:
        _check_sequence(pulseq, CATALYSATION if how is None else how, body, protocol)
    with progress(f"scanning {body.name}") as report:
        stream = simulate(
            body,
            seconds=seconds,
            frames=frames,
            seed=seed,
            combine=combine,
            engine=engine,
            spins=spins,
            catalysation=None if engine == ENGINES[0] else how,
            field=_field(field_hz, breathing_field_hz_per_m),
            t2_prime_s=None if t2_prime_ms is None else t2_prime_ms * 1e-3,
            output=output,
            overwrite=overwrite,
            progress=report,
            **{field.name: getattr(protocol, field.name) for field in dataclasses.fields(protocol)},
        )
    header, length_s = stream.header, len(stream) * stream.header.tr_ns / 1e9
    print(
        f"{output}: {stream.frames} frames of {header.lines_per_frame} lines, {length_s:.1f} s, "
        f"SNR of the target {protocol.target_snr:g}, seed {seed}"
    )
    if pulseq is not None:
        _write_sequence(Path(pulseq), CATALYSATION if how is None else how, body, stream)
    return 0


def _field(static: Sequence[float] | None, breathing: Sequence[float] | None) -> FieldMap | None:
    from mrsim.spins.off_resonance import FieldMap

    none = (0.0,) * 6
    return None if static is breathing is None else FieldMap(tuple(static or none), tuple(breathing or none))


def _catalysation(text: str | None) -> str | int | None:
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _check_sequence(path: str, how: str | int, body: Body, protocol: ScanProtocol) -> None:
    from mrsim.formats.pulseq import check_seq

    if isinstance(how, str) and how not in ("alpha/2", "none"):
        raise InputError(f"--catalysation {how}: expected alpha/2, none or a number of TRs")
    check_seq(protocol.header(), path, dummies=how if isinstance(how, int) else 0, **_slice(body))


def _write_sequence(path: Path, how: str | int, body: Body, stream: Stream) -> None:
    from mrsim.formats.pulseq import write_seq

    dummies = how if isinstance(how, int) else 0
    written = write_seq(
        stream.header, stream.ky, path, half_flip=how == "alpha/2", dummies=dummies, **_slice(body)
    )
    print(f"{written}: the sequence of {len(stream)} lines")


def _slice(body: Body) -> dict[str, float]:
    slice_ = getattr(body, "slice_", None)
    if slice_ is None:
        return {}
    shape = {"slice_m": slice_.thickness_m, "slice_z_m": slice_.z_m}
    return shape | {"time_bandwidth": slice_.time_bandwidth}
