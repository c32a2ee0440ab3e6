"""The truth of a scan at any instant: lines, image, mask and centroid, without noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsim.anatomy import Anatomy
from mrsim.errors import InputError
from mrsim.kspace import Grid, Renderer
from mrsim.phantom import Phantom
from mrsim.sequence import tissue_signal
from mrsim.stream import Header, Stream, Truth
from mrsim.tissue import tissue


class Oracle:
    """Know what a scan would see without noise and at one instant.

    Parameters
    ----------
    phantom
        What is scanned.
    header
        The protocol.
    seed
        Seed of the scan.

    Raises
    ------
    InputError
        If a tissue has no values at the field, or the tables would be too large.
    """

    def __init__(self, phantom: Phantom, header: Header, seed: int) -> None:
        self.header = header
        self.anatomy: Anatomy = phantom.animate(seed)
        by_name = {r.name: r for r in phantom.regions}
        signals = {
            name: tissue_signal(tissue(name, header.field_t), header.flip_rad, header.tr_ns, header.te_ns)
            for name in {r.tissue for r in phantom.regions}
        }
        contrast = [
            signals[r.tissue] - (signals[by_name[r.parent].tissue] if r.parent else 0)
            for r in phantom.regions
        ]
        self.target_signal = abs(signals[by_name[phantom.target].tissue])
        self._renderer = Renderer(
            Grid(header.matrix, header.fov_m),
            [r.shape for r in phantom.regions],
            np.array(contrast, np.complex128),
            self.anatomy.moves,
            self.anatomy.deforms,
        )
        ny = header.matrix[0]
        self._all_rows = (np.arange(ny) - ny // 2).astype(np.int32)

    @property
    def phantom(self) -> Phantom:
        """Return what is scanned."""
        return self.anatomy.phantom

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
        return self._renderer.render(ky, self.anatomy.centers(t_ns), self.anatomy.axes(t_ns))

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
        ny = self.header.matrix[0]
        # All rows share one state, so that it is found once.
        at = np.array([t_ns], np.int64)
        centers = np.broadcast_to(self.anatomy.centers(at), (ny, len(self.phantom.regions), 2))
        axes = np.broadcast_to(self.anatomy.axes(at), (ny, len(self._renderer.deforming), 2, 2))
        kspace = self._renderer.render(self._all_rows, centers, axes)
        image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace), norm="ortho"))
        return image.astype(np.complex64)

    def mask(self, region: str, t_ns: int) -> NDArray[np.bool_]:
        """Return the pixels whose centre lies in a region at an instant, shape (ny, nx), bool."""
        return self.anatomy.mask(region, t_ns, self.header.matrix, self.header.fov_m)

    def centroid(self, region: str, t_ns: ArrayLike) -> NDArray[np.float64]:
        """Return the centroid (x, y) of a region at each instant, shape (n, 2) or (2,), metres."""
        return self.anatomy.centroid(region, t_ns)

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
        for i, t in enumerate(last):
            image[i], mask[i] = self.image(int(t)), self.mask(phantom.target, int(t))
        return Truth(
            phantom.region_names,
            phantom.target,
            self.anatomy.displacement(t_ns),
            self.anatomy.centroid(phantom.target, t_ns),
            image,
            mask,
        )


def truth_of(stream: Stream) -> Oracle:
    """Make the truth of a stream again, at any instant, from its provenance.

    Raises
    ------
    InputError
        If the stream does not say how it was made, or not by this scanner.
    """
    where = stream.path or "stream"
    if stream.provenance is None:
        raise InputError(f"{where}: it does not say how it was made, so its truth cannot be made again")
    made = stream.provenance
    phantom = Phantom.from_text(made.phantom_text, name=made.phantom, where=f"{where}: phantom_text")
    return Oracle(phantom, stream.header, made.seed)
