"""
What each coil sees
===================

The prescan of four coils, transformed: each is bright where its coil lies.
"""

import matplotlib.pyplot as plt
import numpy as np

import mrsim
from recon.fourier import to_image

scan = mrsim.simulate("quasar", frames=1, acceleration=4, coils=4, seed=1)
figure, panels = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
for coil, axes in enumerate(panels):
    axes.imshow(np.abs(to_image(scan.header.prescan[coil])), cmap="gray")
    axes.set(title=f"coil {coil}", xticks=[], yticks=[])
