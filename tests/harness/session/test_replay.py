"""`harness.replay` and its neighbours: what the command line can do is one call with keyword arguments."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness.cli.main import main
from mrsim.errors import InputError, Option, OptionError
from mrsim.stream import Header, Readout, Stream, save
from recon.cascade.checkpoint import load as load_weights
from recon.classical.zero_filled import ZeroFilled
from recon.fourier import to_image
from recon.protocol import Emit, Image
from tests.harness.synthetic import Blank, moving_stream


@pytest.fixture(scope="module")
def scan() -> Stream:
    return moving_stream(60)


def play(scan: Stream, candidate: object = ZeroFilled, **options: object) -> harness.Result:
    return harness.replay(scan, candidate, **{"clock": "virtual", "claim": 0.9, **options})


class Summing(Blank):
    """Show the sum of all samples so far: a bad line lives on in everything that comes after it."""

    def open(self, header: Header, emit: Emit) -> None:
        self.header, self.emit, self.total = header, emit, 0

    def push(self, readout: Readout) -> None:
        self.total = self.total + readout.samples[0].sum()
        if (readout.index + 1) % self.header.lines_per_frame == 0:
            pixels = np.full(self.header.matrix, self.total, np.complex64)
            self.emit(Image(pixels, readout.frame, readout.index))


def test_a_result_has_a_verdict_latency_quality_and_the_images(scan: Stream) -> None:
    result = play(scan)
    time = result.verdict.answer("time")
    assert time is not None
    assert time.outcome is harness.Outcome.INSUFFICIENT  # 52 images carry no claim of nine in ten
    assert (result.latency.images, result.latency.misses, result.latency.p99_ms) == (52, 0, None)
    assert result.quality is not None
    assert len(result.quality.nmse) == 52
    assert result.images is not None
    assert (result.images.shape, result.images.dtype) == ((60, *scan.header.matrix), np.complex64)
    assert result.shown.all()
    frame = slice(3 * 16, 4 * 16)
    kspace = np.zeros((1, *scan.header.matrix), np.complex64)
    kspace[:, scan.ky[frame] + scan.header.matrix[0] // 2] = scan.samples[frame].swapaxes(0, 1)
    assert np.allclose(result.images[3], to_image(kspace)[0], atol=1e-4)
    assert result.candidate == "ZeroFilled"


def test_the_command_and_the_call_say_the_same(
    scan: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On measured service times: the same figures, to the nanosecond."""
    monkeypatch.chdir(tmp_path)
    save(scan, "a.stream")
    play(scan, "zero-filled", quality=False).save_samples("s.npz")
    argv = ["replay", "a.stream", "zero-filled", "--clock", "virtual", "--service", "s.npz", "--claim", "0.9"]
    argv += ["--profile", "tracking", "--frames", "40", "--warmup", "5", "--seed", "3", "--repeat", "2"]
    assert main([*argv, "--json", "r.json"]) in (0, 1, 4)
    by_command = json.loads(Path("r.json").read_text())
    result = harness.replay(
        "a.stream", "zero-filled", clock="virtual", service="s.npz", claim=0.9,
        profile="tracking", frames=40, warmup=5, seed=3, repeat=2,
    )  # fmt: skip
    result.save("r.json")
    by_call = json.loads(Path("r.json").read_text())
    for apart in ("gc", "warmup", "null_latency_ms"):  # the host's own times
        by_command.pop(apart)
        by_call.pop(apart)
    assert by_call == by_command


def test_every_option_of_the_command_is_a_keyword() -> None:
    from harness.cli.arguments import parser

    options = set(vars(parser().parse_args(["replay", "a", "b"])))
    renamed = {"no_quality": "quality", "stream": "scan"}
    of_the_terminal = {"json_file", "samples", "images", "report", "argv", "over", "command"}
    of_the_terminal |= {"config_file", "verbose", "log_file"}
    keywords = set(inspect.signature(harness.replay).parameters)
    assert {renamed.get(option, option) for option in options} - of_the_terminal == keywords - {
        "keep_images",
        "name",
    }


def test_trained_weights_and_networks_are_played(scan: Stream) -> None:
    network = torch.nn.Conv2d(2, 2, 1, bias=False)
    assert play(scan, network, quality=False).candidate == "Conv2d"
    with pytest.raises(InputError, match=r"cascade|matrix|rows"):  # made for 128 rows
        play(scan, load_weights("quasar-4x"), quality=False)


def test_runs_are_pooled_and_each_has_a_fresh_candidate(scan: Stream) -> None:
    made: list[Blank] = []

    def build() -> Blank:
        made.append(Blank())
        return made[-1]

    result = play(scan, build, repeat=3, quality=False)
    assert len(result.runs) == 3
    assert len({id(one) for one in made}) == 4  # one to see that it can be made
    assert result.latency.images == 3 * 52
    assert result.to_json()["repetitions"]["images"] == 3 * 52


def test_images_are_kept_as_asked(scan: Stream) -> None:
    assert play(scan, quality=False, frames=20).images.shape[0] == 20  # type: ignore[union-attr]
    assert play(scan, quality=False, frames=20, keep_images=False).images is None
    slid = play(scan, frames=20, stride=4)
    assert slid.images is None
    assert slid.quality is None
    assert slid.latency.images == 80 - 12
    with pytest.raises(InputError, match="sliding"):
        slid.report("r.html")


def test_faults_are_judged_by_their_promises_and_tell_how_to_repeat_them(
    scan: Stream, tmp_path: Path
) -> None:
    kept = play(scan, faults="nan:at=100;drop:every=50", seed=4, quality=False)
    assert kept.verdict.reason.startswith("every promise was kept under 2 faults; lines lost 19")
    assert kept.to_json()["touched"] == {"nan": 1, "drop": 19}

    broken = play(scan, Summing, faults="nan:at=100", seed=4, quality=False)
    assert broken.verdict.outcome is harness.Outcome.FAIL
    options = "clock='virtual', claim=0.9, faults='nan:at=100', seed=4, quality=False"
    assert broken.verdict.reason.endswith(f"again: harness.replay(scan, Summing, {options})")
    save(scan, tmp_path / "a.stream")
    stored = harness.replay(tmp_path / "a.stream", "null", clock="virtual", faults="nan:at=1", quality=False)
    assert stored.again == (
        f"mrsim replay {tmp_path / 'a.stream'} null --clock virtual --faults nan:at=1 --no-quality"
    )


def test_an_audit_that_finds_something_voids_the_runs(scan: Stream, tmp_path: Path) -> None:
    result = play(scan)
    report = harness.audit(Blank, scan)
    assert "consumption" in report.broken
    void = result.with_audit(report)
    assert void.verdict.outcome is harness.Outcome.INVALID
    assert void.to_json()["audit"]["candidate"] == "Blank"
    void.report(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "harness.replay(scan, ZeroFilled" in text
    assert "consumption" in text


def test_searches_tell_what_holds(scan: Stream) -> None:
    peak = harness.find_peak(scan, Blank, clock="virtual", name="mine")
    assert peak.to_json()["candidate"] == "mine"
    assert len(peak.trials) >= 1
    stride = harness.find_stride(scan, Blank, clock="virtual")
    assert stride.to_json()["schema"] == "mrsim-stride/1"
    assert peak.verdict.outcome in harness.Outcome


@pytest.mark.parametrize(
    ("options", "call", "typed"),
    [
        ({"repeat": 0}, "repeat = 0: expected 1 to 100", "--repeat 0: expected 1 to 100"),
        ({"warmup": -1}, "warmup = -1: expected", "--warmup -1: expected"),
        ({"clock": "wall"}, "clock = 'wall': expected real", "--clock wall: expected real"),
        ({"limit_s": 0}, "limit_s = 0: expected", "--limit-s 0: expected"),
        ({"scenario": "x"}, "scenario = 'x': expected", "--scenario x: expected"),
        ({"stride": 99}, "stride = 99: expected", "--stride 99: expected"),
        ({"stride": 4, "faults": "nan:at=1"}, "stride goes without faults", "--stride goes without --faults"),
        ({"repeat": 2, "faults": "nan:at=1"}, "faults takes no repeat", "--faults takes no --repeat"),
        ({"profile": "gating"}, "downstream_ms = 150", "--downstream-ms 150"),
        ({"faults": "hang:at=1"}, "isolate = True", "--isolate"),
        (
            {"profile": "gating", "downstream_ms": 1.0, "quality": False},
            "leave out quality = False",
            "leave out --no-quality",
        ),
    ],
)
def test_a_wrong_option_is_named_as_it_was_given(
    scan: Stream, options: dict[str, object], call: str, typed: str
) -> None:
    with pytest.raises(OptionError) as caught:
        play(scan, **options)
    assert call in str(caught.value)
    assert typed in caught.value.typed({})


def test_the_spelling_of_an_option_may_differ_on_the_command_line() -> None:
    error = OptionError("{}: too low {}", Option("target_snr", 2.0), "{braces}")
    assert str(error) == "target_snr = 2.0: too low {braces}"
    assert error.typed({"target_snr": "--snr"}) == "--snr 2.0: too low {braces}"


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Raising(Blank):
    def push(self, readout: Readout) -> None:
        raise Unreadable


class Proxy:
    """Answer to every name, as a mock does."""

    def __init__(self) -> None:
        self._inner = ZeroFilled()

    def open(self, header: Header, emit: Emit) -> None:
        self._inner.open(header, emit)

    def push(self, readout: Readout) -> None:
        self._inner.push(readout)

    def close(self) -> None:
        self._inner.close()

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_: self


def test_an_exception_without_a_text_is_a_verdict(scan: Stream) -> None:
    verdict = play(scan, Raising).verdict
    assert verdict.outcome is harness.Outcome.FAIL
    assert "Unreadable: its message cannot be read" in verdict.reason


def test_a_candidate_that_answers_to_every_name_is_judged_as_any_other(scan: Stream) -> None:
    assert play(scan, Proxy).to_json()["transfer"] is None


def test_a_stride_of_nothing_is_refused(scan: Stream) -> None:
    with pytest.raises(OptionError, match="stride"):
        play(scan, stride=0)


def test_one_object_cannot_be_guarded_against_itself(scan: Stream) -> None:
    one = ZeroFilled()
    with pytest.raises(InputError, match="one ZeroFilled"):
        harness.guard(one, one, scan)
    found = harness.guard(ZeroFilled, ZeroFilled, scan, images=40, factor=3.0)
    assert (found.base, found.new) == ("ZeroFilled", "ZeroFilled")
    assert len(found.base_ns) == 40
