"""`os._exit` of a candidate under test is its failure, and no end of pytest with code 0."""

from __future__ import annotations

import os

import pytest

from harness.audits.bench import default_stream
from harness.audits.conformance import CHECKS, Candidate, NotConforming
from harness.testing.plugin import no_sudden_end
from mrsim.stream import Readout
from recon.classical.zero_filled import ZeroFilled


class Leaves(ZeroFilled):
    def push(self, readout: Readout) -> None:
        if readout.index == 40:
            os._exit(0)
        super().push(readout)


def test_leaving_is_a_failure_that_names_the_line() -> None:
    candidate = Candidate("it", Leaves, default_stream(1, 24, (16, 16)))
    conformance = next(check for check in CHECKS if check.name == "conformance")
    with (
        no_sudden_end(),
        pytest.raises(NotConforming, match=r"it raised SystemExit: os\._exit\(0\)") as caught,
    ):
        conformance(candidate)
    assert "os._exit(0)" in caught.value.__notes__[0]


def test_the_real_one_is_back_and_what_was_kept_of_the_other_does_nothing() -> None:
    real = os._exit
    with no_sudden_end():
        kept = os._exit
        assert kept is not real
    assert os._exit is real
    kept(0)  # as `atexit` would call it


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_that_was_forked_ends_as_ever() -> None:
    with no_sudden_end():
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
