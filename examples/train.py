"""Train a network of your own in plain PyTorch, test it on another scan, and write a report.

python examples/train.py                                   # writes mine.pt and mine.html here
mrsim replay my.stream python:examples/train.py:build      # what it trained is a candidate like any other

Recurrent: it sees each frame's view-shared image, its own last one, and what it kept beside it.
On two cores all of it takes three to four minutes; its NMSE is then about 0.011, and view sharing's 0.014.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import harness
import mrsim
from recon import Image
from recon.data import FrameDataset
from recon.fourier import to_image, to_kspace

WEIGHTS = "mine.pt"  # in the folder that you work in
FOLD = 4  # pixels along an axis that become channels
KEYS = ("shared", "kspace", "mask", "target")


class Recurrent(nn.Module):
    """Correct a view-shared image by what four convolutions make of it and of the last image."""

    def __init__(self, features=32):
        super().__init__()
        self.features = features
        folded = 2 * FOLD**2
        self.first = nn.Conv2d(2 * folded + features, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)
        self.keep = nn.Conv2d(features, features, 3, padding=1)
        self.last = nn.Conv2d(features, folded, 3, padding=1)
        self.trust = nn.Parameter(torch.zeros(()))  # of the network in rows that were just sampled
        self.register_buffer("scale", torch.ones(()))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, shared, kspace, mask, state):  # complex64 (batch, ny, nx); mask (batch, ny)
        if state is None:
            ny, nx = shared.shape[1] // FOLD, shared.shape[2] // FOLD
            state = torch.zeros(len(shared), self.features, ny, nx), shared
        features, before = state
        both = torch.stack([shared, before - shared], 1) / self.scale
        channels = torch.view_as_real(both).permute(0, 1, 4, 2, 3).flatten(1, 2)
        folded = functional.pixel_unshuffle(channels, FOLD)  # smaller images of more channels: faster
        hidden = functional.relu(self.first(torch.cat([folded, features], 1)))
        hidden = functional.relu(self.second(hidden))
        features = torch.tanh(self.keep(hidden))
        change = functional.pixel_shuffle(self.last(features), FOLD).permute(0, 2, 3, 1).contiguous()
        image = shared + self.scale * torch.view_as_complex(change)
        own = to_kspace(image)  # data consistency: sampled rows are drawn towards what was sampled
        share = torch.sigmoid(self.trust) * mask[:, :, None]
        image = to_image(own + share * (kspace - own))
        return image, (features, image)


def nmse(image, target):
    """Return the error of magnitudes, as the bench takes it."""
    return (image.abs() - target.abs()).square().sum() / target.abs().square().sum()


def train(scan, epochs, window=8, batch=4, seed=1):
    """Train on windows of consecutive frames."""
    torch.manual_seed(seed)
    frames = FrameDataset(scan, keys=KEYS, window=window)
    loader = torch.utils.data.DataLoader(frames, batch_size=batch, shuffle=True)
    network = Recurrent()
    network.scale = torch.from_numpy(np.abs(scan.truth.image)).square().mean().sqrt()
    steps = max(1, epochs * len(loader) // window)  # windows overlap: an epoch is one pass over the frames
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    done = 0
    while done < steps:
        for item in loader:
            shared, kspace = item["shared"][:, :, 0], item["kspace"][:, :, 0]  # of one coil
            state, loss = None, 0.0
            for t in range(window):
                image, state = network(shared[:, t], kspace[:, t], item["mask"][:, t], state)
                loss = loss + nmse(image, item["target"][:, t]) / window
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            done += 1
            if done % 10 == 0:
                print(f"step {done} of {steps}: NMSE {loss.item():.5f}", flush=True)
            if done == steps:
                break
    return network


class Trained:
    """Show what the network makes of each frame: the candidate."""

    def __init__(self, network):
        self.network = network.eval()

    def open(self, header, emit):
        if header.coils != 1:
            raise mrsim.InputError(f"mine: a scan of {header.coils} coils: this network takes one")
        self.header, self.emit, self.state = header, emit, None
        self.newest = np.zeros(header.matrix, np.complex64)
        self.mask, self.frame = np.zeros(header.matrix[0], np.bool_), -1

    def push(self, line):
        if line.frame != self.frame:
            self.mask[:], self.frame = False, line.frame
        if np.isfinite(line.samples).all():
            row = line.ky + self.header.matrix[0] // 2
            self.newest[row], self.mask[row] = line.samples[0], True
        if (line.index + 1) % self.header.lines_per_frame == 0:
            kspace, mask = torch.from_numpy(self.newest)[None], torch.from_numpy(self.mask)[None]
            with torch.inference_mode():
                image, self.state = self.network(to_image(kspace), kspace, mask, self.state)
            self.emit(Image(image[0].numpy(), line.frame, line.index))

    def close(self):
        pass


def build():
    """Return a candidate with the trained weights."""
    if not Path(WEIGHTS).exists():
        raise mrsim.InputError(f"{WEIGHTS}: no such file here; train first: python examples/train.py")
    network = Recurrent()
    network.load_state_dict(torch.load(WEIGHTS))
    return Trained(network)


def main():
    """Scan, train, test on another scan of the same day, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantom", default="v2/patient1-day1")
    parser.add_argument("--seconds", type=float, default=24.0, help="of the scan to train on")
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    print(f"scanning {args.seconds:g} s of {args.phantom} twice, to train and to test ...", flush=True)
    scan = mrsim.simulate(args.phantom, seconds=args.seconds, acceleration=4, seed=1)
    test = mrsim.simulate(args.phantom, seconds=args.seconds, acceleration=4, seed=2)
    network = train(scan, args.epochs)
    torch.save(network.state_dict(), WEIGHTS)
    results = {
        name: harness.replay(test, candidate, clock="virtual", claim=0.95)
        for name, candidate in (("view sharing", "view-sharing"), ("mine", build))
    }
    for name, result in results.items():
        print(f"{name}: NMSE {np.nanmean(result.quality.nmse):.4f}, {result.margin.sentence}")
    results["mine"].report("mine.html")
    print(f"processor time {time.process_time():.0f} s; open mine.html")


if __name__ == "__main__":
    main()
