"""The XML header of MRD: our protocol in the field's words, and back.

What the schema has a place for stands there, where any reader looks. What it has no place for, or holds with
fewer digits (lengths in millimetres, angles in degrees, times in milliseconds), is repeated exactly among the
user parameters, under names that begin with `mrsim_`; such a copy counts only while it agrees with the place
itself, so that a header that was edited elsewhere means what it says there.

Inati et al. 2017, 10.1002/mrm.26089.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from mrsim.argument_types import MAX_WHOLE
from mrsim.errors import FormatError
from mrsim.formats import require_ismrmrd
from mrsim.formats.mrd_xml import PURPOSE, parsed_header
from mrsim.formats.oversampling import Oversampling
from mrsim.physics.tissue import GYROMAGNETIC_HZ_PER_T
from mrsim.stream import Header
from mrsim.stream.header import MAX_COILS, MAX_MATRIX
from mrsim.stream.units import option_of

NOMINAL_SLICE_MM = 5.0  # a stream knows no thickness, and the schema asks for one
_OWN = "mrsim_"
_SEQUENCE = {"tr_ns": "TR", "te_ns": "TE", "flip_rad": "flipAngle_deg"}
_AGREES = 1e-6  # relative: what single precision, which other writers keep, may cost a length or an angle


@dataclass(frozen=True, slots=True)
class Encoding:
    """State what an MRD header says of a Cartesian 2-D scan; None where it says nothing.

    Parameters
    ----------
    matrix
        Rows (phase encode) and columns (readout) of the image, readout oversampling taken off.
    fov_m
        Field of view along y and x, metres, readout oversampling taken off.
    encoded_nx
        Columns of the encoded space, as it is reported.
    center_step
        The phase-encode step that is ky = 0.
    tr_ns, te_ns
        Repetition time and echo time, nanoseconds.
    flip_rad
        Flip angle, radians.
    field_t
        Static field, tesla.
    coils
        Number of receive channels.
    lines_per_frame
        Phase-encode lines that make one frame.
    acceleration
        Undersampling factor.
    sampler, order
        Sampling pattern, and order of the lines within a frame.
    noise_bandwidth
        Relative noise bandwidth of the receiver.
    exact
        Whether mrsim wrote it: then the readouts carry their exact times and frames.
    slice_m
        Thickness of the slice, metres.
    window
        Lines of an image that is made of a window of lines; 0 for frames.
    adc_step
        The receiver's step; 0 where samples are not rounded.
    several
        Keys of this class whose values the header states more than one of, with all of them as it has them.
    """

    matrix: tuple[int, int]
    fov_m: tuple[float, float]
    encoded_nx: int
    center_step: int
    tr_ns: int | None
    te_ns: int | None
    flip_rad: float | None
    field_t: float | None
    coils: int | None
    lines_per_frame: int | None
    acceleration: float
    sampler: str
    order: str
    noise_bandwidth: float | None
    exact: bool
    slice_m: float = NOMINAL_SLICE_MM * 1e-3
    window: int = 0
    adc_step: float = 0.0
    several: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def likely_lines_per_frame(self) -> int:
        """Return the lines of a frame: as stated, else the rows over the acceleration, rounded up."""
        return self.lines_per_frame or max(1, math.ceil(self.matrix[0] / self.acceleration))

    def header(self, **known: Any) -> Header:
        """Return the protocol, with what is known from elsewhere put in.

        Parameters
        ----------
        known
            Fields of `Header` that override what the file says; None leaves it as it is.

        Raises
        ------
        FormatError
            If something is said by neither, or is out of range.
        """
        values: dict[str, Any] = {
            "matrix": self.matrix,
            "fov_m": self.fov_m,
            "tr_ns": self.tr_ns,
            "te_ns": self.te_ns,
            "flip_rad": self.flip_rad,
            "field_t": self.field_t,
            "coils": self.coils,
            "lines_per_frame": self.likely_lines_per_frame,
            "acceleration": self.acceleration,
            "sampler": self.sampler,
            "order": self.order,
            "window": self.window,
            "adc_step": self.adc_step,
        } | {key: value for key, value in known.items() if value is not None}
        for key, place in _PLACES.items():
            if values[key] is None:
                option = option_of(key)
                how = key if option is None else f"{option}, or {key} in Python"
                raise FormatError(f"MRD header: it has no {place}; say it ({how})")
        return Header(**values)


_PLACES = {
    "tr_ns": "sequenceParameters/TR",
    "te_ns": "sequenceParameters/TE",
    "flip_rad": "sequenceParameters/flipAngle_deg",
    "field_t": "acquisitionSystemInformation/systemFieldStrength_T",
    "coils": "acquisitionSystemInformation/receiverChannels",
}


def header_to_xml(
    header: Header, oversampling: Oversampling = Oversampling.NONE, frames: int | None = None
) -> bytes:
    """Write a protocol as an MRD header.

    Parameters
    ----------
    header
        The protocol.
    oversampling
        Convention of readout oversampling.
    frames
        Number of frames, where it is known, for the limits of the repetition.

    Returns
    -------
    document
        XML, ASCII.

    Raises
    ------
    MissingExtraError
        If `ismrmrd` is not installed.
    """
    xsd = require_ismrmrd(PURPOSE).xsd
    (ny, nx), (fov_y, fov_x) = header.matrix, header.fov_m
    factor = oversampling.factor
    wide = factor if oversampling is Oversampling.REPORTED else 1

    def space(times: int) -> Any:
        fov = xsd.fieldOfViewMm(x=fov_x * 1e3 * times, y=fov_y * 1e3, z=NOMINAL_SLICE_MM)
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=nx * times, y=ny, z=1), fieldOfView_mm=fov
        )

    def limit(size: int, center: int = 0) -> Any:
        return xsd.limitType(minimum=0, maximum=min(size, 1 << 16) - 1, center=center)

    limits = xsd.encodingLimitsType(
        kspace_encoding_step_0=limit(nx * factor, nx * factor // 2),
        kspace_encoding_step_1=limit(ny, ny // 2),
        kspace_encoding_step_2=limit(1),
        slice=limit(1),
        repetition=limit(max(frames or 1, 1)),
    )
    reduction = min(max(round(header.acceleration), 1), (1 << 16) - 1)
    parallel = xsd.parallelImagingType(
        accelerationFactor=xsd.accelerationFactorType(
            kspace_encoding_step_1=reduction, kspace_encoding_step_2=1
        ),
        calibrationMode=xsd.calibrationModeType.OTHER,
    )
    encoding = xsd.encodingType(
        encodedSpace=space(wide),
        reconSpace=space(1),
        encodingLimits=limits,
        trajectory=xsd.trajectoryType.CARTESIAN,
        parallelImaging=parallel,
    )
    document = xsd.ismrmrdHeader(
        measurementInformation=xsd.measurementInformationType(
            patientPosition=xsd.patientPositionType.HFS, protocolName="mrsim"
        ),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor="mrsim",
            systemFieldStrength_T=header.field_t,
            relativeReceiverNoiseBandwidth=1.0,
            receiverChannels=header.coils,
        ),
        experimentalConditions=xsd.experimentalConditionsType(
            H1resonanceFrequency_Hz=round(header.field_t * GYROMAGNETIC_HZ_PER_T)
        ),
        encoding=[encoding],
        sequenceParameters=xsd.sequenceParametersType(
            TR=[header.tr_ns / 1e6],
            TE=[header.te_ns / 1e6],
            flipAngle_deg=[math.degrees(header.flip_rad)],
            sequence_type="bSSFP",
        ),
        userParameters=_user_parameters(xsd, header, oversampling),
    )
    text: str = xsd.ToXML(document)
    return text.encode("ascii", "xmlcharrefreplace")


def _user_parameters(xsd: Any, header: Header, oversampling: Oversampling) -> Any:
    whole = {"lines_per_frame": header.lines_per_frame, "tr_ns": header.tr_ns, "te_ns": header.te_ns}
    whole |= {"window": header.window} if header.window else {}
    real = {
        "fov_y_m": header.fov_m[0],
        "fov_x_m": header.fov_m[1],
        "flip_rad": header.flip_rad,
        "acceleration": header.acceleration,
    }
    if header.adc_step and oversampling is Oversampling.NONE:  # what is interpolated is no multiple of it
        real["adc_step"] = header.adc_step
    text = {"sampler": header.sampler, "order": header.order}
    return xsd.userParametersType(
        userParameterLong=[xsd.userParameterLongType(name=_OWN + k, value=v) for k, v in whole.items()],
        userParameterDouble=[xsd.userParameterDoubleType(name=_OWN + k, value=v) for k, v in real.items()],
        # As JSON, for XML has no place for control characters and trims spaces.
        userParameterString=[
            xsd.userParameterStringType(name=_OWN + k, value=json.dumps(v)) for k, v in text.items()
        ],
    )


def xml_to_encoding(document: bytes | str, where: str = "MRD header") -> Encoding:
    """Read an MRD header of a Cartesian 2-D scan, ours or from elsewhere; nothing in it is trusted.

    Parameters
    ----------
    document
        XML.
    where
        What it was read from, for errors.

    Raises
    ------
    FormatError
        If it is not an MRD header, not one of a Cartesian 2-D scan, or a value is out of range.
    MissingExtraError
        If `ismrmrd` is not installed.
    """
    parsed = parsed_header(document, where)
    if len(parsed.encoding) != 1:
        raise FormatError(f"{where}: it has {len(parsed.encoding)} encodings: expected one")
    encoding = parsed.encoding[0]
    trajectory = str(getattr(encoding.trajectory, "value", encoding.trajectory))
    if trajectory != "cartesian":
        raise FormatError(f"{where}: trajectory {trajectory[:40]!r}: only cartesian scans can be taken")
    encoded, recon = encoding.encodedSpace, encoding.reconSpace
    sizes = [
        _whole(getattr(space.matrixSize, axis), 1, 2 * MAX_MATRIX, f"{where}: {name} matrixSize {axis}")
        for name, space, axis in (
            ("encodedSpace", encoded, "x"),
            ("encodedSpace", encoded, "y"),
            ("encodedSpace", encoded, "z"),
            ("reconSpace", recon, "x"),
        )
    ]
    lengths = [
        _real(getattr(space.fieldOfView_mm, axis), 1e-3, 1e5, f"{where}: {name} fieldOfView_mm {axis}")
        for name, space, axis in (
            ("encodedSpace", encoded, "x"),
            ("encodedSpace", encoded, "y"),
            ("reconSpace", recon, "x"),
            ("reconSpace", recon, "z"),
        )
    ]
    encoded_nx, ny, nz, _ = sizes
    if nz != 1:
        raise FormatError(f"{where}: encodedSpace has {nz} partitions: only 2-D scans can be taken")
    nx, fov_x = encoded_nx, lengths[0]
    # The field of view tells, for the matrices differ by interpolation, too.
    if 1.9 < lengths[0] / lengths[2] < 2.1 and encoded_nx % 2 == 0:
        nx, fov_x = encoded_nx // 2, lengths[0] / 2
    own = _own_parameters(parsed.userParameters, where)
    sequence = _sequence(parsed.sequenceParameters, own, where)
    return Encoding(
        matrix=(ny, nx),
        fov_m=(
            _exact(own, "fov_y_m", lengths[1] * 1e-3, where),
            _exact(own, "fov_x_m", fov_x * 1e-3, where),
        ),
        encoded_nx=encoded_nx,
        center_step=_center(encoding.encodingLimits, ny, where),
        lines_per_frame=_optional_whole(own.get("lines_per_frame"), ny, f"{where}: {_OWN}lines_per_frame"),
        acceleration=_acceleration(encoding.parallelImaging, own, where),
        sampler=_text(own, "sampler", "unknown", where),
        order=_text(own, "order", "unknown", where),
        # Lines have times of their own only while the header's are those that they were written with.
        exact="lines_per_frame" in own and all(own.get(key) == sequence[key] for key in ("tr_ns", "te_ns")),
        slice_m=lengths[3] * 1e-3,
        window=_optional_whole(own.get("window"), ny, f"{where}: {_OWN}window") or 0,
        adc_step=_real(own.get("adc_step", 0.0), 0.0, 2.0**40, f"{where}: {_OWN}adc_step"),
        **sequence,
        **_system(parsed, where),
    )


def _own_parameters(parameters: Any, where: str) -> dict[str, Any]:
    if parameters is None:
        return {}
    every = (*parameters.userParameterLong, *parameters.userParameterDouble, *parameters.userParameterString)
    return {p.name.removeprefix(_OWN): p.value for p in every if p.name.startswith(_OWN)}


def _sequence(parameters: Any, own: dict[str, Any], where: str) -> dict[str, Any]:
    def first(name: str, low: float, high: float) -> float | None:
        values = [] if parameters is None else getattr(parameters, name)
        # Zero is how some converters write "not known".
        if not values or values[0] == 0:
            return None
        return _real(values[0], low, high, f"{where}: sequenceParameters {name}")

    tr_ms, te_ms, flip = first("TR", 1e-6, 1e6), first("TE", 1e-6, 1e6), first("flipAngle_deg", 1e-9, 180.0)
    several = {
        key: tuple(map(float, dict.fromkeys(values)))
        for key, name in _SEQUENCE.items()
        if parameters is not None and len(set(values := getattr(parameters, name))) > 1
    }
    te_stated = 0 if te_ms is None and "te_ns" in own else te_ms  # an echo time of zero is ours to state
    return {
        "tr_ns": None if tr_ms is None else round(_exact(own, "tr_ns", tr_ms * 1e6, where)),
        "te_ns": None if te_stated is None else round(_exact(own, "te_ns", te_stated * 1e6, where)),
        "flip_rad": None if flip is None else _exact(own, "flip_rad", math.radians(flip), where),
        "several": several,
    }


def _system(parsed: Any, where: str) -> dict[str, Any]:
    system = parsed.acquisitionSystemInformation
    field_t = None if system is None else system.systemFieldStrength_T
    if field_t is None or field_t == 0:
        hertz = parsed.experimentalConditions.H1resonanceFrequency_Hz
        field_t = None if not hertz else _real(hertz, 1, 1e11, f"{where}: H1resonanceFrequency_Hz")
        field_t = None if field_t is None else field_t / GYROMAGNETIC_HZ_PER_T
    else:
        field_t = _real(field_t, 1e-6, 100.0, f"{where}: systemFieldStrength_T")
    coils = None if system is None else system.receiverChannels
    width = None if system is None else system.relativeReceiverNoiseBandwidth
    return {
        "field_t": field_t,
        "coils": _optional_whole(coils or None, MAX_COILS, f"{where}: receiverChannels"),
        "noise_bandwidth": None
        if not width
        else _real(width, 1e-3, 1e3, f"{where}: relativeReceiverNoiseBandwidth"),
    }


def _center(limits: Any, ny: int, where: str) -> int:
    limit = None if limits is None else limits.kspace_encoding_step_1
    if limit is None:
        return ny // 2
    return _whole(limit.center, 0, 2 * MAX_MATRIX, f"{where}: kspace_encoding_step_1 center")


def _acceleration(parallel: Any, own: dict[str, Any], where: str) -> float:
    stated = 1.0
    if parallel is not None:
        factor = parallel.accelerationFactor.kspace_encoding_step_1
        stated = float(_whole(factor, 1, (1 << 16) - 1, f"{where}: accelerationFactor"))
    if "acceleration" not in own:
        return stated
    exact = _real(own["acceleration"], 1.0, math.inf, f"{where}: {_OWN}acceleration")
    return exact if min(max(round(exact), 1), (1 << 16) - 1) == stated else stated


def _exact(own: dict[str, Any], name: str, stated: float, where: str) -> float:
    """Return our own copy of a number, unless the place itself says otherwise."""
    if name not in own:
        return stated
    exact = own[name]
    # Compared alone: a whole number may be greater than any float.
    if isinstance(exact, bool) or not isinstance(exact, int | float) or not abs(exact) <= MAX_WHOLE:
        raise FormatError(f"{where}: {_OWN}{name} = {str(exact)[:40]!r}: expected a number")
    return exact if math.isclose(exact, stated, rel_tol=_AGREES, abs_tol=1e-12) else stated


def _text(own: dict[str, Any], name: str, default: str, where: str) -> str:
    if name not in own:
        return default
    try:
        value = json.loads(own[name])
    except (ValueError, TypeError, RecursionError):
        value = None
    if not isinstance(value, str):
        raise FormatError(f"{where}: {_OWN}{name}: expected a text as JSON")
    return value


def _whole(value: Any, low: int, high: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FormatError(f"{where} = {str(value)[:40]}: expected {low} to {high}")
    return value


def _optional_whole(value: Any, high: int, where: str) -> int | None:
    return None if value is None else _whole(value, 1, high, where)


def _real(value: Any, low: float, high: float, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= min(high, MAX_WHOLE):
        raise FormatError(f"{where} = {str(value)[:40]}: expected a number from {low:g} to {high:g}")
    return float(value)
