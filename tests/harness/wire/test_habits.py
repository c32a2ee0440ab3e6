"""A server with a habit of its own is judged rightly once the habit is stated, and named while it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ismrmrd = pytest.importorskip("ismrmrd")

import mrsim  # noqa: E402
from harness.cli.main import main  # noqa: E402
from harness.wire.client import WireClient  # noqa: E402
from harness.wire.options import parse_wire  # noqa: E402
from mrsim.stream import load, save  # noqa: E402
from tests.harness.wire.habits import Habit  # noqa: E402
from tests.harness.wire.wire_peer import Peer  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a fully sampled scan with its lines in order, and one in random order."""
    folder = tmp_path_factory.mktemp("scans")
    for order in ("ascending", "random"):
        scan = mrsim.simulate(
            "nsclc/patient1", frames=14, acceleration=1, order=order, matrix=(64, 64), sampler="full", seed=2
        )
        save(scan, folder / f"{order}.stream")
    return folder


def judged(scans: Path, habit: Habit, options: str = "", order: str = "ascending") -> dict[str, Any]:
    """Replay into a server with the habit."""
    out = scans / "out.json"
    out.unlink(missing_ok=True)
    with Peer(habit) as peer:
        name = f"mrd://127.0.0.1:{peer.port}/x?ready_s=0&wait=on&match=image_index_1{options}"
        command = ["replay", str(scans / f"{order}.stream"), name, "--json", str(out)]
        assert main([*command, "--clock", "virtual", "--claim", "0.5"]) in (0, 1, 3, 4)
    return dict(json.loads(out.read_text()))


HABITS = {
    "plain": (Habit(), "", ""),
    "integers": (Habit(most=4095), "&scale=fit", "times too large"),
    "rotated": (Habit(turn=2), "&orient=rot180", "turned by 180 degrees"),
    "turned": (Habit(turn=1), "&orient=rot270", "turned by 90 degrees"),
    "rolled": (Habit(roll=1), "&roll=0,-1", "rolled by one pixel in x"),
    "inverted": (Habit(invert=True), "&negative=on", "inverted"),
    "all at once": (
        Habit(turn=2, roll=1, invert=True, most=4095),
        "&orient=rot180&roll=0,1&negative=on&scale=fit",
        "inverted",
    ),
}


@pytest.mark.parametrize("name", HABITS)
def test_a_convention_is_named_and_judged_rightly_once_it_is_stated(name: str, scans: Path) -> None:
    habit, options, told = HABITS[name]
    right = judged(scans, habit, options)
    assert right["symptom"] is None
    assert right["quality"]["nmse"] < 0.03
    assert right["quality"]["dice"] > 0.85
    if not options:
        return
    wrong = judged(scans, habit)
    assert told in wrong["symptom"]
    assert options[1:] in wrong["symptom"]
    assert wrong["quality"]["nmse"] > 0.03


def test_lines_that_are_stacked_as_they_arrive_are_named_with_the_order_that_helps(scans: Path) -> None:
    stacks = Habit(stacks=True)
    assert judged(scans, stacks)["quality"]["dice"] > 0.85
    wrong = judged(scans, stacks, order="random")
    assert "in the order in which they arrive" in wrong["symptom"]
    assert "order='ascending'" in wrong["symptom"]


def test_an_image_with_a_row_for_each_line_fails_and_says_why(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = load(scans / "random.stream")
    few = mrsim.simulate("nsclc/patient1", frames=10, acceleration=4, matrix=(64, 64), seed=2)
    save(few, tmp_path / "few.stream")
    assert scan.header.matrix == few.header.matrix
    with Peer(Habit(stacks=True)) as peer:
        name = f"mrd://127.0.0.1:{peer.port}/x?ready_s=0"
        assert main(["replay", str(tmp_path / "few.stream"), name, "--clock", "virtual"]) == 1
    out = capsys.readouterr().out
    assert "(16, 64)" in out
    assert "as many rows as a frame has lines" in out


@pytest.mark.parametrize(
    ("index", "match", "helps"), [(1, "image_index_1", "repetition"), (None, "repetition", "image_index_1")]
)
def test_the_counter_that_counts_is_named(index: int | None, match: str, helps: str, scans: Path) -> None:
    class Uncounted(Habit):
        def image(self, header: Any, lines: list[Any], count: int) -> Any:
            made = super().image(header, lines, count)
            if match == "repetition":
                made.repetition = 0
            return made

    options = f"&match={match}".replace("&match=image_index_1", "")
    with Peer(Uncounted(index=index)) as peer:
        name = f"mrd://127.0.0.1:{peer.port}/x?ready_s=0{options or '&match=image_index_1'}"
        out = scans / "counter.json"
        main(["replay", str(scans / "ascending.stream"), name, "--no-quality", "--json", str(out)])
    assert f"set match={helps}" in json.loads(out.read_text())["reason"]


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_a_server_that_counts_from_1_is_named_and_judged_once_it_is_stated(clock: str, scans: Path) -> None:
    class FromOne(Habit):
        def image(self, header: Any, lines: list[Any], count: int) -> Any:
            made = super().image(header, lines, count)
            made.repetition = lines[-1].idx.repetition + 1
            return made

    found = {}
    for match in ("repetition", "repetition_1"):
        out = scans / "one.json"
        with Peer(FromOne()) as peer:
            name = f"mrd://127.0.0.1:{peer.port}/x?ready_s=0&match={match}&limit_s=3"
            name += "&wait=on" if clock == "virtual" else ""
            main(["replay", str(scans / "ascending.stream"), name, "--json", str(out), "--clock", clock])
        found[match] = json.loads(out.read_text())
    assert "takes match=repetition_1" in found["repetition"]["reason"]
    assert found["repetition_1"]["quality"]["dice"] > 0.85


def test_a_server_that_does_not_count_is_named_where_the_bench_waits_for_each_image(scans: Path) -> None:
    class Uncounted(Habit):
        def image(self, header: Any, lines: list[Any], count: int) -> Any:
            made = super().image(header, lines, count)
            made.repetition = 0
            return made

    out = scans / "waits.json"
    with Peer(Uncounted()) as peer:
        name = f"mrd://127.0.0.1:{peer.port}/x?ready_s=0&wait=on&limit_s=2"
        main(["replay", str(scans / "ascending.stream"), name, "--json", str(out), "--clock", "virtual"])
    assert "set match=image_index_1" in json.loads(out.read_text())["reason"]


def test_the_end_of_a_long_text_is_told_and_so_is_the_noise_scan(scans: Path) -> None:
    out = scans / "noise.json"
    with Peer(Habit(dies_of_noise=True)) as peer:
        name = f"mrd://127.0.0.1:{peer.port}/x?ready_s=0&noise=1"
        assert main(["replay", str(scans / "ascending.stream"), name, "--json", str(out)]) == 1
    reason = json.loads(out.read_text())["reason"]
    assert "ValueError: cannot stack arrays of 256 and 16 samples" in reason
    assert "leave out noise=" in reason


def test_a_server_that_says_nothing_may_hold_another_session(scans: Path) -> None:
    """It takes one session at a time: the second waits for the first, which is not over."""
    out = scans / "busy.json"
    with Peer(None) as peer:
        first = WireClient(parse_wire(f"mrd://127.0.0.1:{peer.port}/x?ready_s=0"))
        first.open(load(scans / "ascending.stream").header, lambda image: None)
        name = f"mrd://127.0.0.1:{peer.port}/x?ready_s=0&limit_s=1"
        command = ["replay", str(scans / "ascending.stream"), name, "--clock", "virtual", "--no-quality"]
        assert main([*command, "--json", str(out)]) == 1
        first.close()
    assert "one session at a time" in json.loads(out.read_text())["reason"]


def test_small_writes_without_nodelay_come_soon_where_they_are_acknowledged_at_once(scans: Path) -> None:
    """In turns on one host: a delayed acknowledgement costs some 40 ms for each image of several writes."""
    took: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(2):
        for quick, found in took.items():
            report = judged(scans, Habit(pieces=True), f"&quickack={quick}")
            found.append(report["transfer"]["total_ms"]["p50"])
    assert np.median(took["on"]) <= np.median(took["off"]) / 2, took
