"""A simple mistake is named in the verdict and in the JSON."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.judge.evaluate import evaluate
from harness.judge.profiles import SHIPPED, Criterion
from harness.realtime.clock import VirtualClock
from harness.realtime.service import ConstantService
from tests.harness.judge.mutants import truth_itself
from tests.harness.synthetic import moving_stream


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda image: image / 64, "small"),
        (lambda image: np.fft.fftshift(image, axes=(1, 2)), "shift"),
        (lambda image: image.swapaxes(1, 2), "transpose"),
    ],
)
def test_a_simple_mistake_is_named(change, word: str) -> None:  # type: ignore[no-untyped-def]
    stream = moving_stream(60)
    good = truth_itself(stream)
    wrong = dataclasses.replace(good, images=np.ascontiguousarray(change(good.images)))
    profile = dataclasses.replace(SHIPPED["keep-up"], nmse=0.01)
    found = evaluate(
        stream, "wrong", wrong.build, clock=VirtualClock(), service=ConstantService(1000),
        criterion=Criterion.of(profile, None),
    )  # fmt: skip
    told = found.to_json()
    assert told["symptom"] is not None
    assert word in told["symptom"]
    image = found.verdict.answer("image")
    assert image is not None
    assert image.outcome is not None
    assert told["symptom"] in image.reason
    right = evaluate(stream, "right", good.build, clock=VirtualClock(), service=ConstantService(1000))
    assert right.to_json()["symptom"] is None
