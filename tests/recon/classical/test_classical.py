"""The opponents against the definitions of what they do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mrsim.errors import InputError
from recon.classical.zero_filled import NearestFrame, ViewSharing, ZeroFilled, combine_coils
from recon.fourier import to_image, to_kspace
from recon.protocol import FrameAdapter, Reconstructor
from tests.recon.classical.opponents import coil_maps
from tests.recon.conftest import run, small_stream


def dense(stream, frame, remember):
    """Fill k-space by hand with the lines of one frame, or of all frames up to it."""
    kspace = np.zeros(stream.header.matrix, np.complex64)
    for readout in stream:
        if readout.frame == frame or (remember and readout.frame < frame):
            kspace[readout.ky + stream.header.matrix[0] // 2] = readout.samples[0]
    return kspace


@pytest.mark.parametrize(
    "build", [ZeroFilled, ViewSharing, lambda: FrameAdapter(lambda k, m: to_image(k)[0])]
)
def test_each_is_a_reconstructor_and_shows_every_frame_once(build, stream):
    assert isinstance(build(), Reconstructor)
    images = run(build(), stream)
    assert [i.frame for i in images] == list(range(stream.frames))
    assert [i.last_line for i in images] == [
        (f + 1) * stream.header.lines_per_frame - 1 for f in range(stream.frames)
    ]


@pytest.mark.parametrize(("build", "remember"), [(ZeroFilled, False), (ViewSharing, True)])
def test_image_is_the_transform_of_the_lines_it_may_use(build, remember, stream):
    for image in run(build(), stream)[:12]:
        assert np.allclose(image.pixels, to_image(dense(stream, image.frame, remember)), atol=1e-5)


@pytest.mark.parametrize("lost", [(), (30,), (31,), (29, 30), (30, 31, 38)])
@pytest.mark.parametrize(("ny", "lines", "coils"), [(24, 8, 1), (25, 2, 2), (24, 1, 1)])
def test_view_sharing_is_the_transform_of_all_that_came_whatever_was_lost(ny, lines, coils, lost):
    """Nor does a line that is not finite count, and each row shows its newest line."""
    maps = np.exp(1j * np.linspace(0, coils, coils * ny * 20)).reshape(coils, ny, 20).astype(np.complex64)
    stream = small_stream(frames=80 // lines, ny=ny, lines=lines, maps=maps)
    images: list = []
    candidate, kspace = ViewSharing(), np.zeros((coils, ny, 20), np.complex64)
    candidate.open(stream.header, images.append)
    for readout in stream:
        if readout.index in lost:
            continue
        if readout.index == 47:  # the last of a frame
            readout = dataclasses.replace(readout, samples=np.full_like(readout.samples, np.nan))
        else:
            kspace[:, readout.ky + ny // 2] = readout.samples
        candidate.push(readout)
        if (readout.index + 1) % lines == 0:
            wanted = combine_coils(to_image(kspace))
            assert np.abs(images[-1].pixels - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert len(images) == sum(1 for i in range(80) if i not in lost and (i + 1) % lines == 0)


def test_frame_adapter_equals_zero_filled(stream):
    adapted = run(FrameAdapter(lambda kspace, mask: to_image(kspace)[0]), stream)
    for ours, other in zip(run(ZeroFilled(), stream), adapted, strict=True):
        assert np.allclose(ours.pixels, other.pixels, atol=1e-5)


def test_a_lost_line_costs_the_frame_adapter_its_own_frame_alone(stream):
    """The lines of a frame go by its number: what comes after a lost line is not misplaced."""
    whole = run(FrameAdapter(lambda kspace, mask: to_image(kspace)[0]), stream)
    images: list = []
    adapter = FrameAdapter(lambda kspace, mask: to_image(kspace)[0])
    adapter.open(stream.header, images.append)
    for readout in stream:
        if readout.index not in (19, 47):  # one within frame 2, and the last of frame 5
            adapter.push(readout)
    assert [i.frame for i in images] == [f for f in range(stream.frames) if f != 5]
    for image in images:
        assert np.array_equal(image.pixels, whole[image.frame].pixels) == (image.frame != 2)


def test_view_sharing_of_full_sampling_is_the_image_itself():
    full = small_stream(frames=12, lines=24, noise=0.0)
    still = dataclasses.replace(
        full, samples=np.stack([to_kspace(full.truth.image[0])[k + 12] for k in full.ky])[:, None]
    )
    assert np.allclose(run(ViewSharing(), still)[-1].pixels, full.truth.image[0], atol=1e-5)


def test_nearest_frame_shows_the_training_frame_with_the_least_misfit(stream):
    other = small_stream(frames=30, seed=2)
    images = run(NearestFrame(other), stream)
    library, contrast = to_kspace(other.truth.image), []
    for image in images:
        rows = [r for r in stream if r.frame == image.frame]
        misfit = [
            sum(np.sum(np.abs(frame[r.ky + 12] - r.samples[0]) ** 2) for r in rows) for frame in library
        ]
        shown = [i for i, frame in enumerate(other.truth.image) if np.array_equal(frame, image.pixels)]
        assert misfit[shown[0]] <= min(misfit) * (1 + 1e-5)  # a tie within rounding is a tie
        contrast.append(max(misfit) / min(misfit))
    assert np.median(contrast) > 10  # the lines do tell frames apart


def test_nearest_frame_finds_the_frame_itself_in_its_library(stream):
    quiet = small_stream(noise=0.0)
    exact = np.stack([to_kspace(quiet.truth.image[r.frame])[r.ky + 12] for r in quiet])[:, None]
    for image in run(NearestFrame(quiet), dataclasses.replace(quiet, samples=exact)):
        assert np.allclose(image.pixels, quiet.truth.image[image.frame], atol=1e-6)


def test_nearest_frame_finds_in_several_coils_what_it_finds_in_one():
    """Sensitivities whose sum of squares is 1 leave each misfit as it is; without them it is refused."""
    maps = coil_maps(4, 24, 20)
    maps = (maps / np.linalg.norm(maps, axis=0)).astype(np.complex64)
    several = small_stream(noise=0.0, maps=maps)
    exact = np.stack([to_kspace(maps * several.truth.image[r.frame])[:, r.ky + 12] for r in several])
    images = run(NearestFrame(several, maps), dataclasses.replace(several, samples=exact))
    assert len({i.pixels.tobytes() for i in images}) > 10
    for image in images:
        assert np.allclose(image.pixels, several.truth.image[image.frame], atol=1e-6)
    with pytest.raises(InputError, match="sensitivities"):
        NearestFrame(several)
    with pytest.raises(InputError, match="4 coils"):
        run(NearestFrame(several, maps), small_stream())


def test_nearest_frame_names_both_matrices_where_they_differ(stream):
    with pytest.raises(InputError, match=r"\(24, 20\).*\(16, 20\)"):
        run(NearestFrame(stream), small_stream(ny=16))


def test_nearest_frame_without_truth_is_refused(stream):
    with pytest.raises(InputError, match="no truth"):
        NearestFrame(dataclasses.replace(stream, truth=None))


@pytest.mark.parametrize(
    "build", [ZeroFilled, ViewSharing, lambda: FrameAdapter(lambda k, m: to_image(k)[0])]
)
def test_a_line_that_is_not_finite_does_not_live_on(build, stream):
    samples = stream.samples.copy()
    samples[13, 0, 5] = np.nan
    assert all(
        np.isfinite(i.pixels).all() for i in run(build(), dataclasses.replace(stream, samples=samples))
    )
