"""The plan of a table: which cells there are, and on how much each is judged."""

from __future__ import annotations

from harness.experiment.choices import SLOW
from harness.experiment.plan import CASCADE, Cell, Entry, ExperimentPlan, cells_of, read_patients
from harness.experiment.variants import CHANGES


def cells(**values: object) -> list[Cell]:
    given = {
        "patients": read_patients(["patient1", "quasar@4"], [5.0, 10.0]),
        "entries": tuple(map(Entry.parse, ["view-sharing", "nearest-frame", "cascade"])),
        **values,
    }
    return cells_of(ExperimentPlan(**given))  # type: ignore[arg-type]


def test_the_plan_crosses_everything_once() -> None:
    found = cells(timings=("prospective", "retrospective"), snrs=(20.0, 10.0))
    # Three references, two opponents and two stages, on three scans, at two timings and two SNRs.
    assert len(found) == 7 * 3 * 2 * 2
    names = [cell.file(cell.describe({})) for cell in found]
    assert len(set(names)) == len(names)
    seen = {c.candidate for c in found if c.label == "cascade" and c.scan.name == "patient1"}
    assert seen == {f"cascade:patient1-{x}x{s}" for x in (5, 10) for s in ("", "-coarse")}
    assert {c.scan.acceleration for c in found if c.scan.name == "quasar"} == {4.0}
    assert all(c.knowable.timing == "prospective" and c.knowable.variant == "" for c in found)


def test_generalisation_keeps_library_and_weights_of_the_plain_scan() -> None:
    found = cells(parts=("generalisation",), patients=read_patients(["patient1"], [5.0]))
    assert {c.scan.variant or f"{c.scan.acceleration:g}x" for c in found} == {*CHANGES, "7x"}
    for cell in found:
        assert (cell.knowable.variant, cell.knowable.acceleration) == ("", 5.0)
        if cell.label == "cascade":
            assert (cell.candidate, cell.stage) == ("cascade:patient1-5x", "fine")


def test_the_horizon_judges_plain_weights_with_the_delay() -> None:
    found = cells(parts=("horizon",), patients=read_patients(["patient2"], [10.0]))
    plain = [c for c in found if c.label == "plain"]
    ahead = [c for c in found if c.label == "ahead"]
    assert [c.ahead_ms for c in plain] == [0, 50, 100, 200, 300]
    assert {c.candidate for c in plain} == {"cascade:patient2-10x"}
    assert [c.candidate for c in ahead] == [f"cascade:patient2-10x-last+{h}" for h in (50, 100, 200, 300)]


def test_slow_candidates_are_judged_on_less() -> None:
    found = cells(entries=(Entry.parse("view-sharing"), Entry(SLOW[0], "view-sharing")), slow_s=3.0)
    assert {c.judged_s for c in found if c.label == SLOW[0]} == {3.0}
    assert {c.judged_s for c in found if c.label != SLOW[0]} == {None}


def test_entries_are_read() -> None:
    assert Entry.parse("cascade") == Entry("cascade", CASCADE)
    assert Entry.parse("centre=cascade:a{stage}.npz") == Entry("centre", "cascade:a{stage}.npz")
    assert Entry.parse("cascade:a.npz").label == "cascade:a.npz"
    assert not Entry.parse("nearest-frame").staged
    assert read_patients(["a@4", "b"], [5.0]) == (("a", (4.0,)), ("b", (5.0,)))
