"""What a specification may say, and what is refused before any work starts."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.dataset.draws import Choice, Range, draw_all, seed_of
from harness.dataset.make import plan
from harness.dataset.spec import load_spec, read_spec, spec_names
from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.errors import InputError

SPEC = """
name = "small"
title = "a small set"
seed = 3
phantoms = ["quasar"]
subjects = 4
[scan]
seconds = 0.5
matrix = [32, 32]
acceleration = { each = [2, 4] }
flip_deg = { range = [15, 30] }
coils = { choice = [1, 2] }
[subject]
target_scale = { range = [0.8, 1.2] }
target_shift_y_mm = { range = [-5, 5] }
region.insert-rod.tissue = { choice = ["gel", "oil"] }
[breathing.calm]
amplitude_mm = { range = [5, 12] }
[breathing.deep]
amplitude_mm = 25
[split]
train = 0.5
validation = 0.25
test = 0.25
"""


def swapped(old: str, new: str) -> str:
    assert old in SPEC
    return SPEC.replace(old, new)


def planned(text: str, folder: Path | None = None):
    return plan(read_spec(text, folder, "spec.toml"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seed = 3", "sead = 3", "unknown key 'sead'; known: name, title, seed"),
        ("seed = 3", "seed = -1", "seed = -1: expected a whole number"),
        ("seconds = 0.5", "seconds = 0.5\nspeed = 2", r"\[scan\]: unknown key 'speed'"),
        ("seconds = 0.5", "", "seconds = None: expected the length"),
        ("target_scale =", "target_size =", r"\[subject\]: unknown key 'target_size'"),
        ("region.insert-rod.tissue", "region.insert-rod.tisue", "unknown key 'tisue'"),
        ("region.insert-rod.tissue", "region.nowhere.tissue", "leads nowhere"),
        ("amplitude_mm = 25", "amplitude = 25", "unknown key 'amplitude'"),
        ("[split]\n", "[split]\nholdout = 0.1\n", r"\[split\]: unknown key 'holdout'"),
        ("range = [15, 30]", "range = [30, 15]", "flip_deg: range = .*: the range is empty"),
        ("range = [15, 30]", "range = [15, 15]", "the range is empty"),
        ("range = [15, 30]", "range = [15]", r"expected two numbers \[low, high\]"),
        ("range = [15, 30]", "span = [15, 30]", "expected a value, or one of"),
        (
            "range = [15, 30]",
            "range = [15, 300]",
            r"\[scan\]: flip_deg = 300: .*at most pi \(180",
        ),
        ("choice = [1, 2]", "choice = []", "coils: choice = .*: expected a list of 1"),
        ("choice = [1, 2]", "choice = [1, 99]", r"coils = 99: .*expected 1 to 32"),
        ("choice = [1, 2]", "range = [1, 2.5]", "expected two whole numbers"),
        ("each = [2, 4]", "each = [2, 2]", "stands there twice"),
        ("{ range = [5, 12] }", "{ each = [5, 12] }", "each: only values of"),
        (
            "{ range = [5, 12] }",
            "{ range = [5, 120] }",
            "amplitude_mm = 120.*expected a number from 0 to 100",
        ),
        ("train = 0.5", "train = 0.6", "expected positive ones that add up to 1"),
        ("validation = 0.25", "validation = 0.05\ntrain = 0.7", "Cannot overwrite|not valid TOML"),
        ('["quasar"]', '["quazar"]', "phantoms: 'quazar' is not known"),
        ('["quasar"]', '["quasar", "quasar"]', "stands there twice"),
        ('["quasar"]', "[]", "expected a list of 1"),
        ("coils =", "field_t = { choice = [1.5, 2.0] }\ncoils =", "field_t: quasar-0: tissue .* at 2 T"),
        ("coils =", "field_t = { range = [1.5, 3.0] }\ncoils =", "write choice or each"),
        ("{ range = [0.8, 1.2] }", "{ range = [6, 7] }", "none of 64 drawings fits"),
    ],
)
def test_what_is_wrong_is_refused_and_named(old: str, new: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        planned(swapped(old, new))


def test_a_share_that_comes_to_no_subject_is_refused() -> None:
    text = swapped("train = 0.5\nvalidation = 0.25\ntest = 0.25", "train = 0.95\ntest = 0.05")
    with pytest.raises(InputError, match=r"test = 0.05 of 4 subjects is none"):
        planned(text)


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ('train = ["quasar"]\ntest = ["quasar"]', "subject quasar-0 is in train and in test: a leak"),
        ('train = ["quasar"]\ntest = ["quasar-2"]', "subject quasar-2 is in train and in test: a leak"),
        ('train = ["quasar-0", "quasar-1"]\ntest = ["quasar-2"]', "quasar-3 is in no part"),
        ('train = ["patient1"]', "'patient1' is no phantom or subject"),
    ],
)
def test_a_split_that_leaks_a_subject_is_refused(split: str, told: str) -> None:
    text = SPEC.partition("[split]")[0] + "[split]\n" + split
    with pytest.raises(InputError, match=told):
        planned(text)


def test_subjects_that_are_drawn_alike_are_one_anatomy_and_may_not_be_split() -> None:
    start, _, rest = SPEC.partition("[subject]")
    text = start + "[breathing.calm]" + rest.partition("[breathing.calm]")[2]
    with pytest.raises(InputError, match="are the same anatomy"):
        planned(text)


def test_a_copy_under_another_name_and_with_another_motion_is_still_the_same_anatomy(tmp_path: Path) -> None:
    text = (
        (files("phantoms") / "quasar.toml")
        .read_text("utf-8")
        .replace("amplitude_mm = 15", "amplitude_mm = 5")
    )
    (tmp_path / "other.toml").write_text(text.replace("respiratory", "another"))
    spec = (
        'name = "a"\ntitle = "a"\nphantoms = ["quasar", "other.toml"]\n[scan]\nseconds = 1\n'
        '[split]\ntrain = ["quasar"]\ntest = ["other"]'
    )
    with pytest.raises(InputError, match="quasar in train and other in test are the same anatomy"):
        planned(spec, tmp_path)


def test_a_path_outside_the_folder_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    text = (files("phantoms") / "quasar.toml").read_text("utf-8")
    (outside / "mine.toml").write_text(text)
    (inside / "link.toml").symlink_to(outside / "mine.toml")
    for name in ("../out/mine.toml", str(outside / "mine.toml"), "link.toml"):
        with pytest.raises(InputError, match="outside the folder of the specification"):
            planned(swapped('"quasar"', f'"{name}"'), inside)
    with pytest.raises(InputError, match="names shipped phantoms alone"):
        planned(swapped('"quasar"', '"mine.toml"'), None)
    (outside / "trace.csv").write_text("t_s,value_mm\n0,0\n1,5\n")
    motion = 'kind = "trace"\nfile = "../out/trace.csv"\n'
    head, _, rest = text.partition("[motion.breathing]")
    (inside / "traced.toml").write_text(
        head + "[motion.breathing]\n" + motion + rest[rest.index("# The shell") - 1 :]
    )
    with pytest.raises(InputError, match=r"motion 'breathing': file = .*outside the folder"):
        planned('name = "a"\ntitle = "a"\nphantoms = ["traced.toml"]\n[scan]\nseconds = 1', inside)


def test_refusals_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.toml").write_text(swapped("range = [15, 30]", "range = [30, 15]"))
    assert main(["dataset", str(tmp_path / "spec.toml"), "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "spec.toml: [scan]: flip_deg" in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spec.toml"]


def test_every_combination_is_an_item_and_every_subject_is_in_one_part() -> None:
    made = planned(SPEC)
    assert len(made.items) == 4 * 2 * 2
    assert len({item.name for item in made.items}) == 16
    parts = {s.name: s.part for s in made.subjects}
    assert sorted(parts.values()) == ["test", "train", "train", "validation"]
    assert all(item.subject.part == parts[item.subject.name] for item in made.items)


def test_what_is_drawn_shows_in_the_anatomy() -> None:
    base = load_phantom("quasar")
    rest = base.regions[base.index("target")].shape
    made = planned(SPEC)
    for subject in made.subjects:
        phantom = Phantom.from_text(subject.text)
        shape = phantom.regions[phantom.index("target")].shape
        scale, shift = subject.values["target_scale"], subject.values["target_shift_y_mm"]
        assert 0.8 <= scale <= 1.2
        assert -5 <= shift <= 5
        np.testing.assert_allclose(shape.area / rest.area, scale**2, rtol=1e-4)
        np.testing.assert_allclose(
            np.subtract(shape.center, rest.center), [0, shift / 1e3], atol=1e-7, rtol=0
        )
        inner, before = (p.regions[p.index("fiducial")].shape.area for p in (phantom, base))
        np.testing.assert_allclose(inner / before, scale**2, rtol=1e-3)
        rod = phantom.regions[phantom.index("insert-rod")]
        assert rod.tissue == subject.values["region.insert-rod.tissue"]
    assert len({s.anatomy for s in made.subjects}) == 4


def test_a_subject_stays_the_same_when_others_or_other_keys_are_added() -> None:
    first = planned(SPEC).subjects[0]
    more = planned(
        swapped("subjects = 4", "subjects = 8").replace(
            "target_scale =", "target_shift_x_mm = { range = [-1, 1] }\ntarget_scale ="
        )
    )
    again = more.subjects[0]
    assert {k: again.values[k] for k in first.values} == dict(first.values)


def test_draws_fill_their_ranges_and_names_do_not_share_seeds() -> None:
    draws = {"a": Range(2, 3, False), "n": Range(1, 3, True), "c": Choice(("x", "y"))}
    values = [draw_all(draws, 7, f"item{i}") for i in range(400)]
    a = np.array([v["a"] for v in values])
    assert a.min() >= 2
    assert a.max() <= 3
    assert abs(a.mean() - 2.5) < 4 * (1 / 12 / 400) ** 0.5
    assert {v["n"] for v in values} == {1, 2, 3}
    assert {v["c"] for v in values} == {"x", "y"}
    states = {tuple(seed_of(7, f"item{i}").generate_state(4)) for i in range(400)}
    assert len(states) == 400


def test_the_shipped_set_is_what_its_name_promises() -> None:
    assert "nsclc-v1" in spec_names()
    made = plan(load_spec("nsclc-v1"))
    assert len(made.items) == 6 * 3 * 2
    assert {item.subject.part for item in made.items} == {"test"}
    keys = {(i.subject.name, i.axes["acceleration"], i.scan) for i in made.items}
    assert keys == {(f"patient{p}", a, s) for p in range(1, 7) for a in (4, 5, 10) for s in (0, 1)}
    by_key = {item.key for item in made.items}
    assert len(by_key) == 12  # a patient breathes alike at all accelerations


def test_a_specification_may_name_phantoms_beside_it(tmp_path: Path) -> None:
    shutil.copy(str(files("phantoms") / "quasar.toml"), tmp_path / "mine.toml")
    (tmp_path / "spec.toml").write_text(swapped('"quasar"', '"mine.toml"'))
    made = plan(load_spec(tmp_path / "spec.toml"))
    assert made.subjects[0].name == "mine-0"
