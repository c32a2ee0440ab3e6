"""A network in PyTorch: the zero-filled image in, the image out, real and imaginary part as channels.

mrsim replay my.stream python:examples/module.py:build
"""

import torch


class Residual(torch.nn.Module):
    """Add what three convolutions make of the image to the image; the last starts at zero, untrained."""

    def __init__(self, features: int = 16) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(2, features, 3, padding=1), torch.nn.ReLU(),
            torch.nn.Conv2d(features, features, 3, padding=1), torch.nn.ReLU(),
            torch.nn.Conv2d(features, 2, 3, padding=1),
        )  # fmt: skip
        torch.nn.init.zeros_(self.layers[-1].weight)
        torch.nn.init.zeros_(self.layers[-1].bias)

    def forward(self, image):  # (1, 2, ny, nx) float32; of several coils, (1, 2 coils, ny, nx)
        # Networks like values around 1. The scale is taken here, so that an exported file holds it, too.
        scale = image.abs().amax(dim=(1, 2, 3), keepdim=True) + 1e-12
        return image + scale * self.layers(image / scale)


def build():
    """Return the network; load your weights here."""
    torch.manual_seed(0)
    return Residual().eval()
