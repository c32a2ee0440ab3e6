"""A candidate that was made from the scan that judges it is found by its lines, refused, and said so."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
import mrsim
from harness.candidates.seen import (
    NONE,
    Carried,
    carried_by,
    check_seen,
    seen_by_breathing,
    seen_by_samples,
)
from harness.cli.main import main
from harness.experiment.training_overlap import refuse_overlap
from mrsim.errors import InputError, OptionError
from mrsim.stream import Stream, save
from mrsim.stream.fingerprint import MOST_HASHES, kept_hashes, line_hashes, span_s
from recon.cascade.checkpoint import Checkpoint, load_record
from recon.cascade.checkpoint import save as save_weights
from recon.cascade.network import Cascade, named_config
from tests.harness.synthetic import make_stream, moving_stream

TEXT = mrsim.load_phantom("quasar").text
HUGE = 10**400


def told_of(scan: Stream) -> Stream:
    """Return a scan that says a phantom that can be read."""
    assert scan.provenance is not None
    return dataclasses.replace(
        scan, provenance=dataclasses.replace(scan.provenance, phantom="quasar", phantom_text=TEXT)
    )


@pytest.fixture
def scan() -> Stream:
    return told_of(make_stream(40))


def other(scan: Stream, **made: object) -> Stream:
    assert scan.provenance is not None
    return dataclasses.replace(
        scan, samples=scan.samples + np.complex64(1), provenance=dataclasses.replace(scan.provenance, **made)
    )


def unsaid(scan: Stream) -> Stream:
    return dataclasses.replace(scan, provenance=None)


def part(scan: Stream, first: int, stop: int) -> Stream:
    """Return frames from the middle of a scan; its lines keep their times."""
    lines = slice(first * scan.header.lines_per_frame, stop * scan.header.lines_per_frame)
    cut = {name: getattr(scan, name)[lines] for name in scan.COLUMNS}
    return dataclasses.replace(scan, truth=None, **(cut | {"frame": cut["frame"] - cut["frame"][0]}))


def entry(scan: Stream, **more: object) -> dict[str, Any]:
    """Return what the record of weights says of a scan."""
    made = scan.provenance
    return {
        "frames": scan.frames,
        "used_s": list(span_s(scan)),
        "line_hashes": kept_hashes(scan),
        "samples_sha256": hashlib.sha256(scan.samples.tobytes()).hexdigest(),
        "phantom": made.phantom if made else None,
        "phantom_text": made.phantom_text if made else None,
        "seed": made.seed if made else None,
        **more,
    }


def weights(*data: Any, rows: int = 8) -> Checkpoint:
    config = dataclasses.replace(named_config("dietz2019", rows), blocks=1, convolutions=2, filters=2)
    return Checkpoint(Cascade(config).eval(), 1.0, {"matrix": [rows, rows], "data": list(data)})


def lines_of(candidate: Any, scan: Stream) -> tuple[int, int] | None:
    return check_seen(candidate, scan, allow=True).lines


def answer_of(candidate: Any, scan: Stream) -> str | None:
    return check_seen(candidate, scan, allow=True).answer


def test_stored_images_of_the_same_scan_are_found(scan: Stream, tmp_path: Path) -> None:
    kept = {
        "same": (scan, (0, 40)),
        "part": (scan.first_frames(3), (0, 12)),
        "noisier": (other(scan), (0, 40)),  # of the same breathing
        "unnamed": (unsaid(scan), (0, 40)),
        "foreign": (other(scan, seed=2), None),
        "strange": (unsaid(other(scan)), None),
    }
    for name, (training, lines) in kept.items():
        save(training, tmp_path / f"{name}.stream")
        assert lines_of(f"nearest-frame:{tmp_path / name}.stream", scan) == lines, name
    assert lines_of(f"nearest-frame:{tmp_path}/same.stream", unsaid(scan)) == (0, 40)
    assert lines_of(f"nearest-frame:{tmp_path}/foreign.stream", unsaid(scan)) is None
    assert (
        carried_by("zero-filled") == carried_by("nearest-frame:nowhere") == carried_by(lambda k, m: k) == ()
    )


@pytest.mark.parametrize(
    ("used_lines", "found"),
    [((0, 20), (0, 20)), ((8, 90), (8, 40)), ((40, 90), None), ((0, 40), (0, 40)), ((39, 40), (39, 40))],
)
def test_the_record_of_weights_is_compared_by_its_lines(
    scan: Stream, used_lines: tuple[int, int], found: tuple[int, int] | None
) -> None:
    tr_s = scan.header.tr_ns / 1e9
    known = entry(scan, used_s=[line * tr_s for line in used_lines])
    assert lines_of(weights(known), scan) == found
    assert lines_of(weights({**known, "seed": 7}), scan) is None
    changed = mrsim.load_phantom("quasar", {"motion.breathing.period_s": 3.9}).text
    assert lines_of(weights({**known, "phantom_text": changed}), scan) is None
    assert lines_of(weights({**known, "seed": 7}, known), scan) == found


def test_scans_that_do_not_say_how_they_were_made_are_compared_by_their_frames(scan: Stream) -> None:
    stranger = unsaid(scan)
    whole = weights(entry(stranger))
    assert lines_of(whole, stranger) == (0, 40)
    assert lines_of(whole, stranger.first_frames(4)) == (0, 16)  # less than what was trained on
    late = entry(stranger, line_hashes=kept_hashes(part(stranger, 6, 8)))
    assert lines_of(weights(late), stranger) == (24, 32)
    assert lines_of(whole, unsaid(other(scan))) is None
    assert lines_of(whole, scan) == (0, 40)  # one of the two does not say
    zeros = dataclasses.replace(stranger, samples=np.zeros_like(scan.samples))
    assert not line_hashes(zeros).any()
    assert lines_of(weights(entry(zeros)), zeros) == (0, 40)  # by the hash of all: no line has one
    assert answer_of(weights(entry(zeros)), stranger) == answer_of(whole, zeros) == "cannot be told"


def test_a_record_of_before_is_compared_by_the_hash_of_all_its_samples(scan: Stream) -> None:
    old = entry(unsaid(scan).first_frames(5))
    del old["line_hashes"]
    assert lines_of(weights(old), scan) == (0, 20)
    assert answer_of(weights({**old, "frames": 4}), scan) == "cannot be told"


@pytest.mark.parametrize(
    "data",
    [None, 5, [], [3], [{}], [{"used_s": 5}], [{"line_hashes": 7, "frames": "x", "samples_sha256": 3}],
     [{"line_hashes": ["x", 3, "g" * 16, "0" * 16]}], [{"frames": -1}]],
)  # fmt: skip
def test_a_record_that_says_nothing_cannot_be_told(scan: Stream, data: Any) -> None:
    found = check_seen(dataclasses.replace(weights(), record={"data": data}), scan)
    assert (found.answer, found.lines, found.untold) == ("cannot be told", None, 1)
    assert str(found.told).startswith("it cannot be told whether")
    assert answer_of(dataclasses.replace(weights(), record={}), scan) == "cannot be told"


@pytest.mark.parametrize(
    "said",
    [
        {"seed": 1.0}, {"seed": "1"}, {"seed": None}, {"seed": True}, {"seed": -1}, {"seed": HUGE},
        {"phantom_text": None}, {"phantom_text": "secret = 1"}, {"phantom_text": "not TOML"},
        {"used_s": None}, {"used_s": [1.0, 0.5]}, {"used_s": [0, HUGE]}, {"used_s": [0.0, 1e300]},
        {"used_s": [float("nan"), 1.0]}, {"used_s": [0, True]},
        {"used_s": None, "frames": 10},
    ],
)  # fmt: skip
def test_what_a_record_says_wrongly_cannot_be_told(scan: Stream, said: dict[str, Any]) -> None:
    known = entry(scan, line_hashes=[], samples_sha256="")
    assert answer_of(weights(known), scan) == "these"
    assert answer_of(weights(known | said), scan) == "cannot be told"  # the record has no header, either
    free = known | {"seed": 2}
    assert answer_of(weights(free, known | said), scan) == "cannot be told"  # one of two is enough
    assert answer_of(weights(entry(scan) | said), scan) == "these"  # but its samples tell


def test_what_weights_that_it_started_from_had_seen_counts(scan: Stream) -> None:
    started = weights(entry(other(scan, seed=2)))
    assert answer_of(started, scan) == "none"
    for before, answer in (([entry(scan)], "these"), ([{}], "cannot be told"), (7, "cannot be told")):
        record = started.record | {"before": before}
        assert answer_of(dataclasses.replace(started, record=record), scan) == answer


@pytest.mark.parametrize("said", [{"seed": 1.0}, {"seed": None}, {"phantom_text": None, "seed": "1"}, {}])
def test_a_table_refuses_what_cannot_be_told(scan: Stream, said: dict[str, Any]) -> None:
    phantom = mrsim.load_phantom("quasar")
    record = weights(entry(scan, used_s=[0.0, 5.0]) | said).record
    with pytest.raises(InputError, match="net: trained on" if not said else "does not say which phantom"):
        refuse_overlap(record, phantom, 1, (4.0, 9.0), "net")
    refuse_overlap(weights(entry(scan, used_s=[0.0, 5.0])).record, phantom, 2, (4.0, 9.0), "net")
    with pytest.raises(InputError, match="which time of its scan"):
        refuse_overlap(weights(entry(scan, used_s=[0, HUGE])).record, phantom, 1, (4.0, 9.0), "net")
    before = weights(entry(scan, seed=2)).record | {"before": [entry(scan, used_s=[0.0, 5.0])]}
    with pytest.raises(InputError, match="trained on"):
        refuse_overlap(before, phantom, 1, (4.0, 9.0), "net")


RECORDED = mrsim.load_phantom("quasar-recorded").text
STEADY = {"motion.breathing.period_sd": 0.0, "motion.breathing.amplitude_sd": 0.0}
LOOKS = {"title": "another", "region.target.tissue": "liver", "region.spine.semi_axes_mm": [11, 77]}


@pytest.mark.parametrize(
    ("text", "seed", "judged", "same"),
    [
        (RECORDED, 2, RECORDED, True),
        (mrsim.load_phantom("patient4").text, 2, mrsim.load_phantom("patient4").text, True),
        (mrsim.load_phantom("quasar", STEADY).text, 2, mrsim.load_phantom("quasar", STEADY).text, True),
        (TEXT, 2, TEXT, False),
        (TEXT.replace("\n", "\r\n"), 1, TEXT, True),
        ("# a comment\n" + TEXT, 1, TEXT, True),
        (mrsim.load_phantom("quasar", LOOKS).text, 1, TEXT, True),
        (mrsim.load_phantom("quasar", LOOKS).text, 2, TEXT, False),
        (mrsim.load_phantom("quasar", {"motion.breathing.period_s": 3.9}).text, 1, TEXT, False),
        (mrsim.load_phantom("patient1").text, 1, TEXT, False),
        ("secret = 1", 1, TEXT, None),
    ],
)
def test_the_breathing_is_compared_and_not_the_text(
    scan: Stream, text: str, seed: int, judged: str, same: bool | None
) -> None:
    assert scan.provenance is not None
    stream = dataclasses.replace(
        scan, provenance=dataclasses.replace(scan.provenance, phantom_text=judged, seed=1)
    )
    found = seen_by_breathing(Carried(text, seed, span_s(scan)), stream)
    assert found == {True: (0, 40), False: NONE, None: None}[same]


def test_the_same_breathing_has_the_same_true_path_and_another_has_another() -> None:
    def path(name: str, seed: int, **changes: object) -> Stream:
        return mrsim.simulate(
            mrsim.load_phantom(name, changes), seconds=1.5, matrix=(16, 16), seed=seed, acceleration=1
        )

    def way(scan: Stream) -> np.ndarray:
        assert scan.truth is not None
        return scan.truth.centroid - scan.truth.centroid[0]

    for name, changes in (("quasar-recorded", {}), ("quasar", STEADY), ("quasar", LOOKS), ("quasar", {})):
        one, two = path(name, 1, **changes), path(name, 2, **changes)
        still = np.abs(way(one) - way(two)).max() < 1e-9
        assert still == (seen_by_breathing(Carried(one.provenance.phantom_text, 1, span_s(one)), two) != NONE)


def test_lines_are_found_by_their_times(scan: Stream) -> None:
    middle, late = part(scan, 2, 5), part(scan, 5, 10)
    carried = Carried(TEXT, 1, span_s(middle))
    assert seen_by_breathing(carried, scan) == (8, 20)
    assert seen_by_breathing(carried, middle) == (0, 12)
    assert seen_by_breathing(carried, part(scan, 4, 10)) == (0, 4)
    assert seen_by_breathing(carried, late) == seen_by_breathing(carried, scan.first_frames(2)) == NONE
    assert seen_by_breathing(Carried(TEXT, 1, (-5.0, -1.0)), scan) == NONE
    assert seen_by_breathing(Carried(TEXT, 1, (-5.0, span_s(middle)[0])), scan) == (0, 8)


def altered(scan: Stream) -> dict[str, Stream]:
    """Return a scan as others may store it."""
    samples, lines = np.array(scan.samples), len(scan)
    first, edge = samples.copy(), samples.copy()
    first[:, :, 0], edge[::4] = 0, 0
    order = np.concatenate([np.argsort(scan.ky[at : at + 16]) + at for at in range(0, lines, 16)])
    halves = dataclasses.replace(scan.header, lines_per_frame=8)
    return {
        "scaled": dataclasses.replace(scan, samples=(samples * (1 + 1e-6)).astype(np.complex64)),
        "turned": dataclasses.replace(scan, samples=-samples),
        "phased": dataclasses.replace(scan, samples=(samples * 3e4j).astype(np.complex64)),
        "one sample of each line": dataclasses.replace(scan, samples=first),
        "one line of four": dataclasses.replace(scan, samples=edge),
        "sorted": dataclasses.replace(scan, ky=scan.ky[order], samples=samples[order]),
        "cut anew": dataclasses.replace(scan, header=halves, frame=(np.arange(lines) // 8).astype(np.int32)),
    }


def test_a_scan_is_known_by_its_samples_however_it_is_stored() -> None:
    shared = {"seconds": 1.5, "matrix": (64, 64), "acceleration": 4}
    scan = dataclasses.replace(mrsim.simulate("quasar", seed=1, **shared), provenance=None, truth=None)
    again = dataclasses.replace(mrsim.simulate("quasar", seed=2, **shared), provenance=None, truth=None)
    assert scan.header.lines_per_frame == 16
    for carried in (Carried(stream=scan), next(iter(carried_by(weights(entry(scan)))))):
        for name, one in altered(scan).items():
            first, stop = seen_by_samples(carried, one) or NONE
            assert (first, stop) in ((0, len(scan)), (1, len(scan))), name
        assert seen_by_samples(carried, again) == NONE
        late = part(scan, 3, 6)
        assert seen_by_samples(carried, late) == (0, len(late))
        noisy = np.random.default_rng(1).standard_normal(scan.samples.shape) * np.abs(scan.samples).std()
        added = dataclasses.replace(scan, samples=(scan.samples + noisy).astype(np.complex64))
        assert seen_by_samples(carried, added) == NONE  # a limit, and stated
    found = check_seen(weights(entry(scan)), again)
    assert str(found.told).endswith("from no line of the scan, as far as samples tell")


def test_a_record_keeps_so_many_hashes_and_no_more() -> None:
    long = make_stream(MOST_HASHES + 400)
    assert len(kept_hashes(long)) == MOST_HASHES
    found = seen_by_samples(carried_by(weights(entry(unsaid(long))))[0], long)
    first, stop = found or NONE
    assert stop - first > MOST_HASHES


def test_what_is_known_is_said_in_one_line(scan: Stream, tmp_path: Path) -> None:
    kept = save(scan, tmp_path / "a.stream")
    with pytest.raises(OptionError, match="allow_seen = True") as error:
        check_seen(f"nearest-frame:{kept}", scan)
    assert "was made from k-space lines 0 to 39 of the breathing in the scan" in str(error.value)
    assert "say --allow-seen" in error.value.typed({})
    free = check_seen(f"nearest-frame:{kept}", other(scan, seed=2), name="mine")
    assert free.told == "mine was made from 1 scan, and from no line of the scan"
    assert free.to_json() == {
        "candidate": "mine", "scan": "the scan", "carried": 1, "answer": "none", "lines": None, "untold": 0,
        "by_samples": 0, "told": free.told,
    }  # fmt: skip
    assert check_seen("zero-filled", scan).told is None


def test_a_part_that_was_not_seen_may_be_judged(scan: Stream) -> None:
    tr_s = scan.header.tr_ns / 1e9
    late = Carried(TEXT, 1, (20 * tr_s, 40 * tr_s))
    assert seen_by_breathing(late, scan) == (20, 40)
    assert seen_by_breathing(late, scan.first_frames(5)) == NONE


def test_the_record_is_read_without_the_weights(tmp_path: Path, scan: Stream) -> None:
    save_weights(tmp_path / "w.npz", weights(entry(scan)))
    with np.load(tmp_path / "w.npz") as found:
        arrays = dict(found)
    broken = {name: np.zeros(3) if name != "record" else value for name, value in arrays.items()}
    np.savez(tmp_path / "broken.npz", **broken)
    assert load_record(tmp_path / "broken.npz")["data"] == [entry(scan)]
    assert lines_of(f"cascade:{tmp_path}/broken.npz,eager,0-4", scan) == (0, 40)


JUDGING = {
    "replay": ["replay", "a.stream", "CANDIDATE", "--clock", "virtual", "--no-quality"],
    "report": ["report", "a.stream", "CANDIDATE", "--clock", "virtual", "--no-audit", "-o", "r.html"],
    "check": ["check", "CANDIDATE", "a.stream", "--clock", "virtual", "--no-quality"],
    "compare": ["compare", "zero-filled", "CANDIDATE", "--on", "a.stream", "--lockstep"],
    "audit": ["audit", "CANDIDATE", "a.stream"],
    "guard": ["guard", "zero-filled", "CANDIDATE", "a.stream", "--images", "2"],
    "find-peak": ["replay", "a.stream", "CANDIDATE", "--clock", "virtual", "--scenario", "find-peak"],
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    scan = told_of(moving_stream(60))
    save(scan, folder / "a.stream")
    save(other(scan, seed=2), folder / "b.stream")
    known = entry(scan)
    save_weights(folder / "w.npz", weights(known, rows=64))
    save_weights(folder / "v.npz", weights({**known, "seed": 2}, rows=64))
    save_weights(folder / "u.npz", weights({}, rows=64))
    return folder


@pytest.mark.parametrize("candidate", ["nearest-frame:a.stream", "cascade:w.npz"])
@pytest.mark.parametrize("command", list(JUDGING))
def test_every_command_that_judges_refuses_it(
    command: str,
    candidate: str,
    judged: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(judged)
    assert main([candidate if word == "CANDIDATE" else word for word in JUDGING[command]]) == 2
    error = capsys.readouterr().err
    assert f"{candidate} was made from k-space lines 0 to 959 of the breathing in a.stream" in error
    assert error.rstrip().endswith("or say --allow-seen")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("candidate", "option", "lines"),
    [
        ("cascade:u.npz", [], None),
        ("nearest-frame:b.stream", [], None),
        ("cascade:v.npz", [], None),
        ("nearest-frame:a.stream", ["--allow-seen"], [0, 960]),
        ("cascade:w.npz", ["--allow-seen"], [0, 960]),
    ],
)
def test_a_replay_says_what_it_found(
    candidate: str,
    option: list[str],
    lines: list[int] | None,
    judged: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(judged)
    words = [candidate if word == "CANDIDATE" else word for word in JUDGING["replay"]]
    assert main([*words, *option, "--json", "r.json"]) in (0, 1, 3, 4)
    told = capsys.readouterr()
    found = json.loads((judged / "r.json").read_text())["overlap"]
    untold = candidate == "cascade:u.npz"
    answer = "cannot be told" if untold else "none" if lines is None else "these"
    assert (found["candidate"], found["scan"], found["carried"]) == (candidate, "a.stream", 1)
    assert (found["answer"], found["lines"], found["untold"]) == (answer, lines, int(untold))
    if untold:
        assert told.err.startswith(f"mrsim: warning: {found['told']}")
        assert found["told"].startswith(
            f"it cannot be told whether {candidate} was made from lines of a.stream"
        )
    elif lines is None:
        assert f"{candidate} was made from 1 scan, and from no line of a.stream" in told.out
        assert told.err == ""
    else:
        assert told.err.startswith(f"mrsim: warning: {candidate} was made from k-space lines 0 to 959")


@pytest.mark.parametrize(
    ("candidate", "told"),
    [
        ("cascade:v.npz", "cascade:v.npz was made from 1 scan, and from no line of a.stream"),
        ("cascade:u.npz", "it cannot be told whether cascade:u.npz was made from lines of a.stream"),
    ],
)
def test_a_page_says_what_was_found(
    candidate: str, told: str, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(judged)
    words = [candidate if word == "CANDIDATE" else word for word in JUDGING["report"]]
    main([*words[:-1], f"{candidate[-5]}.html"])
    page = (judged / f"{candidate[-5]}.html").read_text()
    assert told in page[: page.index("<script")]


def test_weights_in_hand_are_refused_in_python_too(scan: Stream) -> None:
    net = weights(entry(scan))
    for call in (
        lambda **more: harness.replay(scan, net, clock="virtual", quality=False, **more),
        lambda **more: harness.find_peak(scan, net, clock="virtual", **more),
    ):
        with pytest.raises(InputError, match="was made from k-space lines 0 to 39"):
            call()
    assert harness.replay(scan, net, clock="virtual", quality=False, allow_seen=True).overlap.lines == (0, 40)
