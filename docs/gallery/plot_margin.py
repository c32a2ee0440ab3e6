"""
What a delay costs
==================

The true path of the target, shown late: the margin that holds it for 95 % of the time grows with the delay.
"""

import matplotlib.pyplot as plt
import numpy as np

import mrsim

scan = mrsim.simulate("quasar", seconds=60, acceleration=8, matrix=(32, 32), seed=1)
path, lines = scan.truth.centroid[:, 1] * 1e3, np.arange(1, 181)
margin = [np.percentile(np.abs(path[n:] - path[:-n]), 95) for n in lines]
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(lines * scan.header.tr_ns / 1e6, margin)
axes.set(xlabel="delay (ms)", ylabel="M95 (mm)", ylim=0, xlim=0)
