"""A convention that is stated sets images right, and one that cannot be is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
import mrsim
from harness.candidates.build import candidate_builder
from harness.candidates.registry import builder
from mrsim.errors import CandidateError, InputError
from mrsim.stream import Header, Readout
from recon.convention import ORIENTATIONS, Convention, split_convention
from recon.protocol import COMBINATIONS, Emit, Image
from tests.harness.synthetic import make_stream


def test_the_eight_orientations_are_those_of_a_square() -> None:
    image = np.arange(16.0).reshape(4, 4)
    seen = {Convention(orient=orient).apply(image).tobytes() for orient in ORIENTATIONS}
    assert len(seen) == 8
    quarter = Convention(orient="rot90")
    np.testing.assert_array_equal(quarter.apply(image), np.rot90(image))
    turned = image
    for _ in range(4):
        turned = quarter.apply(turned)
    np.testing.assert_array_equal(turned, image)
    back = Convention(orient="rot270").apply(quarter.apply(image))
    np.testing.assert_array_equal(back, image)


@given(
    st.sampled_from(list(ORIENTATIONS)),
    st.tuples(st.integers(-70, 70), st.integers(-70, 70)),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", *COMBINATIONS]),
)
def test_what_it_says_of_itself_is_read_back(
    orient: str, roll: tuple[int, int], negative: bool, fit: bool, combine: str
) -> None:
    convention = Convention(negative, orient, roll, fit, combine)
    options = convention.options
    for name in ("view-sharing", "mrd://127.0.0.1:9002/a?match=order&limit_s=3"):
        whole = f"{name}{'&' if '?' in name else '?'}{options}" if options else name
        assert split_convention(whole) == (name, convention)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("orient=up", "orient='up'"),
        ("roll=1", "roll='1'"),
        ("roll=1,b", "roll='1,b'"),
        ("roll=1,2,3", "roll='1,2,3'"),
        ("roll=0,99999", "at most 65536"),
        ("negative=maybe", "negative='maybe'"),
        ("scale=2", "scale='2'"),
        ("combine=sum", "combine='sum'"),
        ("orient=rot90&orient=rot90", "comes twice"),
    ],
)
def test_what_is_no_convention_is_refused_by_name(wrong: str, said: str) -> None:
    with pytest.raises(CandidateError, match="view-sharing") as caught:
        builder(f"view-sharing?{wrong}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_options_are_not_taken_for_it() -> None:
    with pytest.raises(CandidateError, match="unknown option 'match'; known"):
        builder("view-sharing?match=order")
    with pytest.raises(CandidateError, match="unknown option 'orientation'; did you mean 'orient'"):
        builder("view-sharing?roll=0,1&orientation=rot180")
    assert split_convention("nearest-frame:a?b.stream") == ("nearest-frame:a?b.stream", Convention())


class Turned:
    """Show what view sharing would, in a scanner's habit: turned by 180 degrees, inverted, up to 4095."""

    def open(self, header: Header, emit: Emit) -> None:
        self._lines, self._emit = header.lines_per_frame, emit
        self._inner = builder("view-sharing")()
        self._inner.open(header, self._show)

    def _show(self, image: object) -> None:
        assert isinstance(image, Image)
        shown = np.abs(image.pixels[::-1, ::-1])
        whole = np.rint(4095 * (1 - shown / max(float(shown.max()), 1e-30)))
        self._emit(Image(whole.astype(np.complex64), image.frame, image.last_line))

    def push(self, readout: Readout) -> None:
        self._inner.push(readout)

    def close(self) -> None:
        self._inner.close()


def test_a_stated_convention_is_judged_like_the_same_images_upright() -> None:
    scan = mrsim.simulate("quasar", seconds=6, acceleration=4, matrix=(64, 64), seed=3)
    plain = harness.replay(scan, "view-sharing", clock="virtual")
    wrong = harness.replay(scan, Turned, clock="virtual")
    assert wrong.quality is not None
    assert plain.quality is not None
    assert wrong.quality.nmse.mean() > 1e3 * plain.quality.nmse.mean()
    said = wrong.first.symptom
    assert said is not None
    assert "inverted" in said
    assert "turned by 180 degrees" in said
    assert "?orient=rot180&negative=on&scale=fit" in said
    stated = Convention(negative=True, orient="rot180", fit=True)
    right = harness.replay(scan, stated.built(Turned), clock="virtual")
    scale = right.first.scale
    assert right.quality is not None
    assert scale is not None
    assert right.first.symptom is None
    # Images that are each scaled to their own maximum differ from frame to frame by a percent or so.
    assert right.quality.nmse.mean() == pytest.approx(plain.quality.nmse.mean(), abs=2e-3)
    assert right.quality.dice.mean() == pytest.approx(plain.quality.dice.mean(), abs=0.01)
    assert scale.nmse > 1e3 * right.quality.nmse.mean()
    assert right.to_json()["scale"]["gain"] == scale.gain


def test_the_fitted_scale_is_the_best_one() -> None:
    scan = mrsim.simulate("quasar", seconds=3, acceleration=4, matrix=(64, 64), seed=3)
    found = harness.replay(scan, "view-sharing?scale=fit", clock="virtual")
    plain = harness.replay(scan, "view-sharing", clock="virtual")
    assert found.first.scale is not None
    assert found.quality is not None
    assert plain.quality is not None
    assert found.first.scale.gain == pytest.approx(1, abs=0.05)
    assert found.first.scale.nmse == pytest.approx(plain.quality.nmse.mean(), rel=1e-6)
    assert scan.truth is not None
    frames, pixels = plain.quality.frames, plain.images
    assert pixels is not None
    shown, true = np.abs(pixels[frames]).astype(float), np.abs(scan.truth.image[frames]).astype(float)
    gain = (shown * true).sum() / (shown**2).sum()
    assert found.first.scale.gain == pytest.approx(gain, rel=1e-6)


def test_a_run_whose_images_show_nothing_has_no_scale() -> None:
    scan = mrsim.simulate("quasar", seconds=2, acceleration=4, matrix=(64, 64), seed=3)
    assert harness.replay(scan, "null?scale=fit", clock="virtual").first.scale is None


def test_isolated_the_bench_itself_sets_images_right() -> None:
    stream = make_stream(40)
    shown: dict[bool, list[np.ndarray]] = {}
    for isolate in (False, True):
        made = candidate_builder("zero-filled?orient=rot90&roll=1,-2", isolate, 60.0, (), 0)()
        images = shown[isolate] = []
        made.open(stream.header, lambda image, images=images: images.append(np.array(image.pixels)))
        for index in range(8):
            made.push(stream.readout(index))
        made.close()
    assert len(shown[True]) == 2
    np.testing.assert_array_equal(shown[True], shown[False])


@given(*[st.tuples(st.sampled_from(list(ORIENTATIONS)), st.integers(-9, 9), st.integers(-9, 9))] * 2)
def test_one_after_another_is_one(one: tuple[str, int, int], other: tuple[str, int, int]) -> None:
    image = np.random.default_rng(0).random((7, 7))
    first, then = (Convention(orient=o, roll=(y, x)) for o, y, x in (one, other))
    np.testing.assert_array_equal(then.after(first).apply(image), then.apply(first.apply(image)))


def test_images_that_are_not_square_are_turned_into_those_of_the_scan() -> None:
    class Sideways(Turned):
        def _show(self, image: object) -> None:
            assert isinstance(image, Image)
            self._emit(Image(np.ascontiguousarray(image.pixels.T), image.frame, image.last_line))

    oblong = mrsim.simulate("quasar", seconds=2, acceleration=4, matrix=(64, 48))
    plain = harness.replay(oblong, "view-sharing", clock="virtual")
    wrong = harness.replay(oblong, Sideways, clock="virtual")
    assert "y and x are exchanged" in wrong.verdict.reason
    right = harness.replay(oblong, Convention(orient="transpose").built(Sideways), clock="virtual")
    np.testing.assert_array_equal(right.images, plain.images)


def test_bands_are_not_turned() -> None:
    class Band:
        def open(self, header: Header, emit: Emit) -> None:
            emit(Image(np.zeros((8, 2), np.complex64), 0, 3, columns=(2, 4)))

    made = Convention(orient="flipud").built(Band)()  # type: ignore[arg-type]
    with pytest.raises(CandidateError, match="band of columns"):
        made.open(make_stream().header, lambda image: None)


def test_compare_refuses_what_is_fitted_at_the_end() -> None:
    scan = mrsim.simulate("quasar", seconds=2, acceleration=4, matrix=(64, 64))
    with pytest.raises(InputError, match="scale=fit"):
        harness.compare(["view-sharing", "zero-filled?scale=fit"], on=[scan], lockstep=True)
