"""Shifts and warps of training frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mrsim.errors import InputError
from recon.cascade.inputs import CascadeInputs
from recon.data.augmentation import Augmentation
from recon.fourier import to_image, to_kspace
from tests.recon.conftest import blob


def batch(ny=24, nx=20, count=6):
    target = torch.stack([torch.from_numpy(blob(ny, nx, 2.0))] * count)
    hybrid = to_kspace(target, (-2,))
    mask = torch.rand(count, ny, generator=torch.Generator().manual_seed(1)) < 0.4
    return CascadeInputs(mask, torch.zeros(count, ny), hybrid, hybrid.clone()), target


def test_lines_and_target_are_moved_alike():
    """Were the object where the target shows it, these very lines would have been acquired."""
    inputs, target = batch()
    moved, shown = Augmentation(2.0, 1.5, 1.0)(inputs, target, np.random.default_rng(4))
    assert torch.allclose(to_kspace(shown, (-2,)), moved.shared, atol=1e-5)
    assert torch.equal(moved.shared, moved.mean)
    assert not torch.allclose(shown, target, atol=1e-2)


def test_a_shift_by_whole_pixels_is_a_roll_of_the_image():
    class Draw:
        """A generator that draws a shift of 3 pixels towards larger y and no wave."""

        def random(self, count):
            return np.zeros(count)

        def uniform(self, low, high, count):
            return np.full(count, high if high == 3.0 else 0.0 if low < 0 else high)

    inputs, target = batch()
    moved, shown = Augmentation(3.0, 0.0, 1.0)(inputs, target, Draw())
    assert torch.allclose(shown, torch.roll(target, 3, dims=-2), atol=1e-5)
    assert torch.allclose(to_image(moved.shared, (-2,)), shown, atol=1e-5)


def test_noise_keeps_its_power_in_every_sample():
    noise = torch.randn(4, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))
    inputs = CascadeInputs(torch.ones(4, 24, dtype=torch.bool), torch.zeros(4, 24), noise, noise)
    moved, _ = Augmentation(2.0, 2.0, 1.0)(inputs, noise, np.random.default_rng(1))
    assert torch.allclose(moved.shared.abs(), noise.abs(), atol=1e-5)


def test_frames_that_are_not_chosen_stay_as_they_are():
    inputs, target = batch(count=40)
    moved, _ = Augmentation(2.0, 1.0, 0.5)(inputs, target, np.random.default_rng(3))
    same = (moved.shared - inputs.shared).abs().amax((1, 2)) < 1e-6
    assert 8 < int(same.sum()) < 32


@pytest.mark.parametrize("values", [(-1.0, 1.0, 0.5), (1.0, float("nan"), 0.5), (1.0, 1.0, 1.5)])
def test_what_makes_no_sense_is_refused(values):
    with pytest.raises(InputError, match="augmentation"):
        Augmentation(*values)
