"""Small scans of random samples, over every shape that a stream may have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from mrsim.stream import Header, Provenance, Stream, Truth
from mrsim.stream.header import ky_range

TEXTS = st.text(max_size=12)
NAMES = TEXTS.filter(str.isprintable)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """Draw a protocol: odd and even sizes, several coils, odd numbers in every digit, any text."""
    ny, nx = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    tr_ns = draw(st.integers(1000, 10**11))
    length = st.floats(1e-3, 10.0)
    coils = draw(st.integers(1, 4))
    prescan = None
    if draw(st.booleans()):
        size = draw(st.integers(1, ny)), draw(st.integers(1, nx))
        prescan = complex_noise(np.random.default_rng(1), coils, *size)
    lines_per_frame = draw(st.integers(1, ny))
    return Header(
        matrix=(ny, nx),
        fov_m=(draw(length), draw(length)),
        tr_ns=tr_ns,
        te_ns=draw(st.integers(0, tr_ns - 1)),
        flip_rad=draw(st.floats(1e-3, np.pi)),
        field_t=draw(st.floats(0.01, 20.0)),
        coils=coils,
        lines_per_frame=lines_per_frame,
        acceleration=draw(st.floats(1.0, ny)),
        sampler=draw(NAMES),
        order=draw(NAMES),
        prescan=prescan,
        window=draw(st.just(0) | st.integers(lines_per_frame, ny)),
        adc_step=draw(st.just(0.0) | st.integers(-40, 40).map(lambda power: 2.0**power)),
    )


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Draw a scan whose last frame may be cut short, with truth and provenance or without."""
    header = draw(headers())
    lines = draw(st.integers(1, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low, high = ky_range(header.matrix[0])
    frames = lines // header.lines_per_frame
    made = Provenance(draw(NAMES), draw(TEXTS), 2**62, "0", "none", 0.1, np.inf)
    # Any bits: not-a-number with its payload, infinities and minus zero, too.
    samples = rng.integers(0, 256, (lines, header.coils, header.matrix[1], 8), np.uint8).view(np.complex64)
    truth = Truth(
        regions=("body", "target"),
        target="target",
        displacement=rng.standard_normal((lines, 2, 2)),
        centroid=rng.standard_normal((lines, 2)),
        image=complex_noise(rng, frames, *header.matrix),
        mask=rng.random((frames, *header.matrix)) > 0.5,
    )
    return Stream(
        header,
        ky=rng.integers(low, high + 1, lines).astype(np.int32),
        frame=(np.arange(lines) // header.lines_per_frame).astype(np.int32),
        t_ns=np.cumsum(rng.integers(1, 10**15, lines)),
        samples=samples[..., 0],
        provenance=draw(st.sampled_from([made, None])),
        truth=draw(st.sampled_from([truth, None])),
    )


def complex_noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def sampled(stream_header: Header, frames: int, seed: int = 1) -> Stream:
    """Make a scan of whole frames in which every row comes once, in an order of its own."""
    ny = stream_header.matrix[0]
    rng = np.random.default_rng(seed)
    low, _ = ky_range(ny)
    line = np.arange(frames * stream_header.lines_per_frame)
    ky = np.concatenate([rng.permutation(ny)[: stream_header.lines_per_frame] + low for _ in range(frames)])
    return Stream(
        stream_header,
        ky=ky.astype(np.int32),
        frame=(line // stream_header.lines_per_frame).astype(np.int32),
        t_ns=line * stream_header.tr_ns + stream_header.te_ns,
        samples=complex_noise(rng, len(line), stream_header.coils, stream_header.matrix[1]),
    )


def assert_identical(one: Stream, other: Stream) -> None:
    """Assert that two scans are the same, bit for bit."""
    assert one.header == other.header
    prescans = [s.header.prescan for s in (one, other)]
    assert [None if p is None else (p.shape, p.tobytes()) for p in prescans] == [
        None if p is None else (p.shape, p.tobytes()) for p in reversed(prescans)
    ]
    assert one.provenance == other.provenance
    for name in Stream.COLUMNS:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert (one.truth is None) == (other.truth is None)
    if one.truth is not None and other.truth is not None:
        assert (one.truth.regions, one.truth.target) == (other.truth.regions, other.truth.target)
        for name in Truth.ARRAYS:
            assert getattr(one.truth, name).tobytes() == getattr(other.truth, name).tobytes(), name


def leftovers(folder: Path) -> list[str]:
    """Return what was left half-written in a folder."""
    return [p.name for p in folder.iterdir() if ".partial-" in p.name]
