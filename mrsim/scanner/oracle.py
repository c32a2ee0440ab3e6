"""The truth of a scan at any instant: lines, image, mask and centroid, without noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.anatomy.body import Body
from mrsim.argument_types import checked
from mrsim.errors import InputError, StreamError
from mrsim.scanner.quantised import Quantiser
from mrsim.scanner.scene import Scene
from mrsim.scanner.scenes import body_of, scene_of
from mrsim.stream import Header, Stream, Truth
from mrsim.stream.fourier import to_image


class Oracle:
    """Compute what a scan would see without noise and at one instant.

    Parameters
    ----------
    phantom
        What is scanned: a phantom, or a patient made of a series of images.
    header
        The protocol.
    seed
        Seed of the scan.

    Raises
    ------
    InputError
        If a tissue has no values at the field, or the tables would be too large.
    """

    def __init__(self, phantom: Body, header: Header, seed: int) -> None:
        self.phantom, self.header = phantom, header
        self.scene: Scene = scene_of(phantom, header, seed)
        ny = header.matrix[0]
        self.quantiser: Quantiser | None = None
        """Rounds the true images that are stored; None to store them in single precision."""
        self._all_rows = (np.arange(ny) - ny // 2).astype(np.int32)

    def lines(self, ky: NDArray[np.int32], t_ns: NDArray[np.int64]) -> NDArray[np.complex128]:
        """Compute lines, each at its own instant.

        Parameters
        ----------
        ky
            Row of each line, centred, shape (lines,), int32.
        t_ns
            Instant of each line, shape (lines,), int64, nanoseconds.

        Returns
        -------
        lines
            Shape (lines, nx), complex128. The centred unitary inverse FFT of all rows is the image.
        """
        return np.asarray(self.scene.uniform.lines(ky, t_ns)[:, 0], np.complex128)

    def image(self, t_ns: int) -> NDArray[np.complex64]:
        """Compute the image of one instant at the scan's own resolution.

        It is band-limited, as full sampling in no time would give it.

        Parameters
        ----------
        t_ns
            From the start of the scan, nanoseconds.

        Returns
        -------
        image
            Shape (ny, nx), complex64.
        """
        return self._exact(t_ns).astype(np.complex64)

    def _exact(self, t_ns: int) -> NDArray[np.complex128]:
        return np.asarray(to_image(self.scene.instant(self._all_rows, t_ns)), np.complex128)

    def mask(self, region: str, t_ns: int) -> NDArray[np.bool_]:
        """Return the pixels whose centre lies in a region at an instant, shape (ny, nx), bool."""
        return self.scene.mask(region, t_ns)

    def masks(self, region: str, t_ns: NDArray[np.int64], window: tuple[slice, slice]) -> NDArray[np.bool_]:
        """Return the pixels of a window whose centre lies in a region, at many instants at once.

        Parameters
        ----------
        region
            Its name.
        t_ns
            Instants, ascending, shape (n,), int64, nanoseconds.
        window
            Rows and columns of the window.

        Returns
        -------
        masks
            Shape (n, rows, columns), bool.
        """
        return self.scene.masks(region, t_ns, window)

    def contour(self, region: str, t_ns: int, points: int = 180) -> NDArray[np.float64]:
        """Return points on the outline of a region as it is seen, shape (n, 2), metres; none if it is not."""
        return self.scene.contour(region, t_ns, points)

    def centroid(self, region: str, t_ns: ArrayLike) -> NDArray[np.float64]:
        """Return the centroid (x, y) of a region at each instant, shape (n, 2) or (2,), metres."""
        return self.scene.centroid(region, t_ns)

    def displacement(self, t_ns: ArrayLike) -> NDArray[np.float64]:
        """Return how far each region is from where it rests, shape (n, regions, 2), metres."""
        return self.scene.displacement(t_ns)

    def truth(self, first_line: int, lines: int) -> Truth:
        """Compute what is stored of whole frames.

        Parameters
        ----------
        first_line
            First line, the first of a frame.
        lines
            Number of lines; frames that are not whole get no image and mask.

        Returns
        -------
        truth
            Displacements and the target's centroid at every echo; image and mask at the echo of each
            frame's last line.
        """
        header, phantom = self.header, self.phantom
        t_ns = header.te_ns + header.tr_ns * np.arange(first_line, first_line + lines, dtype=np.int64)
        last = t_ns[header.lines_per_frame - 1 :: header.lines_per_frame]
        shape = (len(last), *header.matrix)
        image, mask = np.empty(shape, np.complex64), np.empty(shape, np.bool_)
        first_frame = first_line // header.lines_per_frame
        for i, t in enumerate(last):
            mask[i] = self.mask(phantom.target, int(t))
            if self.quantiser is None:
                image[i] = self.image(int(t))
            else:
                image[i] = self.quantiser.values("image", first_frame + i, self._exact(int(t))[None])[0]
        return Truth(
            phantom.region_names,
            phantom.target,
            self.displacement(t_ns),
            self.centroid(phantom.target, t_ns),
            image,
            mask,
        )


@checked
def truth_of(stream: Stream) -> Oracle:
    """Make the truth of a stream again, at any instant, from its provenance.

    Raises
    ------
    StreamError
        If the stream does not say how it was made, or not by this scanner.
    """
    where = stream.path or "stream"
    if stream.provenance is None:
        raise StreamError(f"{where}: it does not say how it was made, so its truth cannot be made again")
    made = stream.provenance
    try:
        beside = None if stream.path is None else Path(stream.path).absolute().parent
        body = body_of(made.phantom_text, made.phantom, "its phantom_text", beside=beside)
    except InputError as error:
        raise StreamError(
            f"{where}: what was scanned cannot be had, so its truth cannot be made again ({error})"
        ) from None
    return Oracle(body, stream.header, made.seed)
