"""
Zero-filled, view-shared, true
==============================

Frame 60 of the motion phantom at four-fold acceleration, as two reconstructors show it, beside the truth.
"""

import matplotlib.pyplot as plt
import numpy as np

import harness
import mrsim

scan = mrsim.simulate("quasar", frames=64, acceleration=4, seed=1)
figure, panels = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for axes, name in zip(panels, ("zero-filled", "view-sharing", "truth"), strict=True):
    played = None if name == "truth" else harness.replay(scan, name, clock="virtual", quality=False)
    images = scan.truth.image if played is None else played.images
    axes.imshow(np.abs(images[60]), cmap="gray", vmax=np.abs(scan.truth.image[60]).max())
    axes.set(title=name, xticks=[], yticks=[])
