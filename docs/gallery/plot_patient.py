"""
A lung patient
==============

One of the six patients that memory cannot beat, with the tumour outlined: 1,800 blobs on moving regions.
"""

import matplotlib.pyplot as plt
import numpy as np

import mrsim

scan = mrsim.simulate("v2/patient1-day1", frames=2, acceleration=4, field_t=0.5, seed=1)
figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
axes.imshow(np.abs(scan.truth.image[1]), cmap="gray")
axes.contour(scan.truth.mask[1], [0.5], colors="tab:red")
axes.set_axis_off()
