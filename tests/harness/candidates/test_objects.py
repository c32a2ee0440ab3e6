"""Whatever a user has in hand becomes a reconstructor: one for every run, or one line that says why not."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from harness.audits.audits import audit_candidate
from harness.audits.bench import default_stream
from harness.candidates.build import as_builder, candidate_builder
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from harness.testing.kit import as_candidate
from mrsim.errors import InputError
from mrsim.stream import Header, Readout
from recon.adapters import from_module
from recon.cascade.checkpoint import load
from recon.cascade.reconstructor import OnlineCascade
from recon.classical.zero_filled import ZeroFilled
from recon.fourier import to_image
from recon.protocol import Emit, Image
from tests.harness.synthetic import make_header, make_stream

STREAM = make_stream(40, header=make_header())


def first_coil(kspace: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return to_image(kspace)[0]


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.scale * image


class Counting:
    """Emit how many lines it has ever been given: `open` resets nothing."""

    def __init__(self) -> None:
        self.lines = 0

    def open(self, header: Header, emit: Emit) -> None:
        self.header, self.emit = header, emit

    def push(self, readout: Readout) -> None:
        self.lines += 1
        if (readout.index + 1) % self.header.lines_per_frame == 0:
            pixels = np.full(self.header.matrix, self.lines, np.complex64)
            self.emit(Image(pixels, readout.frame, readout.index))

    def close(self) -> None:
        pass


def pixels(given: object) -> np.ndarray:
    run = replay(STREAM, as_builder(given)[1](), VirtualClock())
    assert run.failure is None, run.failure
    assert run.images.shown.all()
    assert run.images.pixels is not None
    return run.images.pixels


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("zero-filled", "zero-filled"),
        (ZeroFilled, "ZeroFilled"),
        (lambda: ZeroFilled(), "<lambda>"),
        (functools.partial(ZeroFilled), "partial"),
        (ZeroFilled(), "ZeroFilled"),
        (first_coil, "first_coil"),
        (lambda: first_coil, "<lambda>"),
        (Network(), "Network"),
        (Network, "Network"),
        (from_module(Network()), "NetworkAdapter"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_of_them_shows_the_image_of_its_frame(given: object, name: str) -> None:
    assert as_builder(given)[0] == name
    assert as_candidate(given).name == name
    assert np.allclose(pixels(given), pixels("zero-filled"), atol=1e-5)
    assert as_builder(given, name="mine")[0] == "mine"


def test_trained_weights_are_a_cascade() -> None:
    name, build = as_builder(load("quasar-4x"))
    assert name == "cascade"
    first, second = build(), build()
    assert isinstance(first, OnlineCascade)
    assert first is not second


def test_a_run_has_a_reconstructor_of_its_own_where_one_can_be_made() -> None:
    for given in (Counting, lambda: Counting(), first_coil, Network(), from_module(Network())):
        _, build = as_builder(given)
        assert build() is not build()
    _, build = as_builder(Counting)
    for _ in range(2):
        run = replay(STREAM, build(), VirtualClock())
        assert run.images.pixels is not None
        assert run.images.pixels[0].max() == STREAM.header.lines_per_frame


def test_an_object_is_opened_again_and_what_it_keeps_is_found_by_the_audit() -> None:
    one = Counting()
    _, build = as_builder(one)
    assert build() is build() is one
    report = audit_candidate(default_stream(0, 24, (16, 16)), build, "it")
    assert "determinism" in report.broken
    _, build = as_builder(Counting)
    told = {
        f.audit: f.evidence for f in audit_candidate(default_stream(0, 24, (16, 16)), build, "it").findings
    }
    assert "opened again, it remembers" in told["determinism"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "^an int is no candidate: expected a string"),
        (lambda kspace: kspace, "candidate <lambda>: it takes neither no argument"),
        (lambda: 3, "candidate <lambda>: the factory returned int"),
        (lambda: 1 / 0, "candidate <lambda>: the factory raised ZeroDivisionError"),
        (Header, "candidate Header: the factory raised TypeError"),
        ("zero-filed", "did you mean 'zero-filled'"),
    ],
)
def test_what_is_no_candidate_is_told_in_one_line(given: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        as_builder(given)
    assert "\n" not in str(caught.value)


def test_a_process_of_its_own_takes_a_string() -> None:
    with pytest.raises(InputError, match="made anew from its string"):
        candidate_builder(ZeroFilled, True, None, (), 0)
