"""Streams of several coils made into what a network takes: prewhitened channels, or one combined channel."""

from __future__ import annotations

import dataclasses

import numpy as np

from mrsim.anatomy.body import Body
from mrsim.errors import Option, ProtocolError
from mrsim.kernels.grid import Grid
from mrsim.reception.channels import combine, prewhiten
from mrsim.scanner.protocol import ScanProtocol
from mrsim.scanner.receiver import Receiver
from mrsim.stream import Header, Stream
from mrsim.stream.fourier import to_image, to_kspace


def combined(stream: Stream, phantom: Body, protocol: ScanProtocol, how: str) -> Stream:
    """Return a stream with its channels prewhitened, or combined into one.

    A combination acts on images and so on whole frames: it is for fully sampled scans alone.

    Parameters
    ----------
    stream
        The scan, of two coils or more.
    phantom, protocol
        What was scanned, and how; they fix the sensitivities and the covariance of the noise.
    how
        "prewhiten": the same channels, their noise independent and of the stream's `noise_std`.
        "sense": one channel, at every pixel the combination of least noise (Roemer et al. 1990,
        10.1002/mrm.1910160203).

    Returns
    -------
    stream
        The scan, its provenance saying what was done.

    Raises
    ------
    ProtocolError
        If `how` is neither, the scan has one coil, or a frame that is to be combined is not whole.
    """
    header = stream.header
    check_combination(header, how)
    header = dataclasses.replace(header, adc_step=0.0)  # what is combined is no whole multiple of a step
    reception = Receiver.around(phantom, protocol)
    assert reception.fitted is not None
    provenance = stream.provenance
    if provenance is not None:
        provenance = dataclasses.replace(provenance, engine=f"{provenance.engine}, {how}")
    if how == "prewhiten":
        white = prewhiten(np.asarray(stream.samples, np.complex128), reception.psi)
        if header.prescan is not None:
            whole = np.asarray(header.prescan, np.complex128).transpose(1, 0, 2)
            middle = prewhiten(whole, reception.psi).transpose(1, 0, 2)
            header = dataclasses.replace(header, prescan=np.ascontiguousarray(middle, np.complex64))
        return dataclasses.replace(
            stream, header=header, samples=white.astype(np.complex64), provenance=provenance, path=None
        )
    ny, nx = header.matrix
    x, y = Grid(header.matrix, header.fov_m).pixels()
    seen = reception.fitted.sensitivity(x, y)
    out = np.empty((len(stream), 1, nx), np.complex64)
    for frame in range(stream.frames):
        part = slice(frame * ny, (frame + 1) * ny)
        place = stream.ky[part] + ny // 2
        if len(np.unique(place)) != ny:
            raise ProtocolError(f"combine = 'sense': frame {frame}: a row is missing")
        kspace = np.empty((header.coils, ny, nx), np.complex128)
        kspace[:, place] = np.moveaxis(stream.samples[part], 0, 1)
        image = combine(to_image(kspace), seen, reception.psi)
        out[part, 0] = to_kspace(image)[place]
    header = dataclasses.replace(header, coils=1, prescan=None)
    return dataclasses.replace(stream, header=header, samples=out, provenance=provenance, path=None)


def check_combination(header: Header, how: str) -> None:
    """Raise an error if scans of a protocol cannot be combined so; see `combined`."""
    ny = header.matrix[0]
    if how not in ("prewhiten", "sense"):
        raise ProtocolError("{}: expected prewhiten or sense", Option("combine", how))
    if header.coils < 2:
        raise ProtocolError(
            "{}: one coil needs no combination; set {}", Option("combine", how), Option("coils")
        )
    if how == "sense" and header.lines_per_frame != ny:
        raise ProtocolError(
            "{}: a frame has {} of {} lines, and an image needs all: scan with acceleration 1, or prewhiten",
            Option("combine", how), header.lines_per_frame, ny,
        )  # fmt: skip
