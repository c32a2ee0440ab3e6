"""The nearest frame of a training scan, of one coil or of several whose sensitivities the scan tells."""

from __future__ import annotations

from mrsim.errors import CandidateError
from mrsim.stream import Stream
from recon.classical.zero_filled import NearestFrame
from recon.coils.waves import maps_of
from recon.data.coil_targets import true_waves


def nearest_frame(training: Stream) -> NearestFrame:
    """Return what shows the frame of a training scan that fits the lines best.

    Parameters
    ----------
    training
        A scan with truth. Of several coils the sensitivities are found from its lines and its true images,
        and are taken to be the same in what is scanned later.

    Raises
    ------
    CandidateError
        If the scan has no truth, or more frames than fit in memory.
    """
    header = training.header
    if header.coils == 1:
        return NearestFrame(training)
    if training.truth is None:
        raise CandidateError(
            f"{training.path or 'the training stream'}: it stores no truth; nearest-frame needs the images "
            "of a training scan"
        )
    return NearestFrame(training, maps_of(true_waves(training), header.matrix))
