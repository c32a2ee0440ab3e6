"""Tests for a reconstructor of your own, to copy into your project: `pytest test_mynet.py`.

With mrsim installed its pytest plugin is there, too: the fixtures below need no import.
"""

from harness.testing.kit import parametrize_with_checks, replay

MINE = "python:mynet.py:build"


@parametrize_with_checks([MINE])
def test_it_conforms(candidate, check):
    check(candidate)


def test_a_lost_line_costs_its_frame_alone(phantom_stream, faulty_stream, virtual_clock):
    from harness.candidates.registry import builder

    feed = faulty_stream("drop:at=100")
    run = replay(phantom_stream, builder(MINE)(), virtual_clock, feed=feed)
    assert run.images.shown.all()


def test_latency(latency_benchmark, phantom_stream):
    result = latency_benchmark(MINE, phantom_stream)  # at the scanner's pace; the table shows its images
    assert result.timing.images == 40


def test_it_is_no_slower_than_before(latency_guard):
    latency_guard(base=MINE, new=MINE, factor=1.15)  # in earnest, base is the version of the main branch
