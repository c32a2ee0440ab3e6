"""
How far behind
==============

View sharing shows the target where it was. The true path is red, the path on display blue.
"""

import matplotlib.pyplot as plt

import harness
import mrsim

scan = mrsim.simulate("quasar", seconds=8, acceleration=4, seed=1)
shown = harness.replay(scan, "view-sharing", clock="virtual", claim=0.5).quality
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.plot(scan.t_ns / 1e9, scan.truth.centroid[:, 1] * 1e3, "tab:red", label="true")
axes.plot(shown.shown_ns / 1e9, shown.centroid_m[:, 1] * 1e3, "tab:blue", label="shown")
axes.set(xlabel="time (s)", ylabel="target, head to feet (mm)")
axes.legend()
