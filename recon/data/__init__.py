"""Training data: scans as examples, their targets, shifts and warps, and folders of datasets.

import mrsim
from recon.data import KEYS, FrameDataset

scan = mrsim.simulate("v2/patient1-day1", seconds=60, seed=1)
frames = FrameDataset(scan, keys=("shared", "age_s", "target"), window=8)
frames[0]["shared"]     # (8, coils, ny, nx) complex64
KEYS                    # every key of an item, with its shape, dtype and meaning
"""

from recon.data.dataset import FrameDataset, ShuffledFrames, Undersampling
from recon.data.items import KEYS, Item

__all__ = ["KEYS", "FrameDataset", "Item", "ShuffledFrames", "Undersampling"]
