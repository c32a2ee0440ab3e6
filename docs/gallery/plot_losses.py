"""
The abstract's network learns
=============================

Error against epoch of the three shipped trainings of the 2019 abstract's network: 70 coarse epochs, then 30
fine ones. The target is the image of all lines, whose noise no network can foretell: no error falls to zero.
"""

import matplotlib.pyplot as plt

import recon

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
for name in ("quasar-4x-dietz", "v2-patient1-5x-dietz", "v2-patient1-10x-dietz"):
    losses = recon.load_weights(name).record["losses"]
    (line,) = axes.semilogy([epoch["validation"] for epoch in losses], label=f"{name}: validation")
    axes.semilogy([epoch["train"] for epoch in losses], color=line.get_color(), alpha=0.4, linewidth=1)
axes.axvline(70, color="0.7", linewidth=1)
axes.set(xlabel="epoch", ylabel="relative squared error (faint: training)")
axes.legend()
