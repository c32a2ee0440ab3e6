"""
Rows of k-space over time
=========================

Each dot is a line. The middle of k-space comes in every frame, the rest in turn.
"""

import matplotlib.pyplot as plt

import mrsim

scan = mrsim.simulate("quasar", frames=12, acceleration=4, seed=1)
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.scatter(scan.t_ns / 1e6, scan.ky, s=4, c=scan.frame % 2, cmap="coolwarm")
axes.set(xlabel="time of the echo (ms)", ylabel="row ky")
