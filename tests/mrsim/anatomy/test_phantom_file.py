"""Phantom files: overrides, exact writing, and one clear line for whatever is wrong."""

from __future__ import annotations

import os
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrsim.anatomy.phantom import Phantom, load_phantom
from mrsim.anatomy.phantom_file import MAX_TEXT_BYTES, apply_overrides, emit, parse, phantom_names, read_text
from mrsim.errors import InputError
from tests.mrsim.bodies import CHEST

KINDS = ("motion", "region", "texture", "slice", "field")
"""Keys that stand for tables."""
values = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
tables = st.dictionaries(keys, values | st.lists(values, max_size=3), max_size=4)


@given(
    tables.map(lambda t: {k: v for k, v in t.items() if k not in KINDS}),
    st.dictionaries(keys, tables, min_size=1, max_size=3),
    st.lists(tables, min_size=1, max_size=3),
)
def test_what_is_written_reads_back_equal_number_for_number(plain, motion, region) -> None:
    table = {**plain, "motion": motion, "region": region}
    again = tomllib.loads(emit(table))
    assert again == table
    assert repr(again) == repr(table)  # 1 and 1.0 and True are equal, and not the same


def test_overrides_replace_values_and_leave_the_original_alone() -> None:
    table = parse(CHEST, "chest")
    new = apply_overrides(
        table,
        {"target": "seed", "motion.breathing.period_s": 5.5, "region.heart.center_mm": (41, 9)},
        "chest",
    )
    assert new["target"] == "seed"
    assert new["motion"]["breathing"]["period_s"] == 5.5
    assert next(r for r in new["region"] if r["name"] == "heart")["center_mm"] == [41, 9]
    assert table == parse(CHEST, "chest")
    assert {k for k in new if new[k] != table[k]} == {"target", "motion", "region"}


@pytest.mark.parametrize(
    "key",
    ["motion.nobody.period_s", "region.nobody.tissue", "motion.breathing", "a.b.c.d", "region", "motion"],
)
def test_an_override_that_leads_nowhere_is_named_with_what_is_known(key: str) -> None:
    with pytest.raises(InputError, match=rf"quasar.toml: override '{key}' leads nowhere; known: .*breathing"):
        load_phantom("quasar", {key: 1})


def test_an_override_of_an_unknown_key_is_refused_where_it_lands() -> None:
    with pytest.raises(InputError, match=r"motion 'breathing': unknown key 'speed'; known: .*period_s"):
        load_phantom("quasar", {"motion.breathing.speed": 1})
    with pytest.raises(InputError, match=r"quasar.toml: unknown key 'colour'"):
        load_phantom("quasar", {"colour": "red"})


@pytest.mark.parametrize("value", [{"a": 1}, None, object()])
def test_an_override_takes_plain_values_only(value: object) -> None:
    with pytest.raises(InputError, match=r"override motion.breathing.period_s = .*expected a number"):
        load_phantom("quasar", {"motion.breathing.period_s": value})


def test_an_unknown_phantom_is_answered_with_the_known_ones() -> None:
    assert "quasar" in phantom_names()
    assert "tissues" not in phantom_names()
    with pytest.raises(InputError, match=r"'qasar' is not known; did you mean 'quasar'\? known: .*quasar"):
        load_phantom("qasar")
    with pytest.raises(InputError, match="or of the folder that `mrsim patient` makes"):
        load_phantom("mine")


def test_a_file_is_read_by_its_path_and_named_in_errors(tmp_path) -> None:
    file = tmp_path / "my own chest.toml"
    file.write_text(CHEST, encoding="utf-8")
    phantom = load_phantom(file)
    assert phantom.name == "my-own-chest"
    assert Phantom.from_text(phantom.text).name == "my-own-chest"
    file.write_text(CHEST.replace('"lung-foam"', '"cheese"'), encoding="utf-8")
    with pytest.raises(InputError, match=r"my own chest.toml: region 'lung': tissue = 'cheese' is not known"):
        load_phantom(str(file))


def test_files_that_are_none_are_refused(tmp_path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (MAX_TEXT_BYTES + 1))
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'title = "\xe4"')
    pipe = tmp_path / "pipe.toml"  # opening it would wait for ever
    os.mkfifo(pipe)
    for path, message in (
        (folder, "it is a folder"),
        (tmp_path / "missing.toml", "no such file"),
        ("nul\0.toml", "not a name of a file: embedded null byte"),
        (pipe, "it is a pipe, not a file"),
        (large, "larger than"),
        (latin, "not UTF-8 at byte 9"),
    ):
        with pytest.raises(InputError, match=message):
            read_text(path)


@pytest.mark.parametrize(
    "text",
    ["= 1", "a = [1", 'a = "x', "a = 1\na = 2", "[a", "a = " + "[" * 5000, "a = " + "9" * 5000, "a = {}}"],
)
def test_text_that_is_not_toml_gives_one_line(text: str) -> None:
    told = "nested more than 8 deep" if text.count("[") > 8 else "not valid TOML"
    with pytest.raises(InputError, match=f"chest: .*{told}") as error:
        parse(text, "chest")
    assert "\n" not in str(error.value)


def test_nesting_is_bounded() -> None:
    with pytest.raises(InputError, match="nested more than 8 deep"):
        parse("a = " + "[" * 30 + "]" * 30, "chest")


lines = st.sampled_from(
    [*CHEST.splitlines(), "[[region]]", "[motion.x]", "region = 3", "motion = []", "name = [1]", "x = 1e400"]
)
junk = st.sampled_from(
    ["nan", "-inf", "1e308", "[]", "[[]]", "{}", "true", '"x"', '"\\n"', "9" * 400, "[1, nan]"]
)
assignments = st.tuples(
    st.sampled_from(
        [
            *("name", "title", "target", "tissue", "shape", "center_mm", "semi_axes_mm", "angle_deg"),
            *("parent", "motion", "direction", "stretch_percent_per_mm", "kind", "amplitude_mm"),
            *("period_s", "exponent", "phase", "period_sd"),
        ]
    ),
    junk,
).map(" = ".join)


def check(text: str) -> None:
    try:
        phantom = Phantom.from_text(text, where="chest")
    except InputError as error:
        message = str(error)
    else:
        assert Phantom.from_text(phantom.text).text == phantom.text
        return
    assert message.startswith("chest: ")
    assert "\n" not in message
    assert len(message) < 2000


@given(st.lists(lines | assignments, max_size=25).map("\n".join) | st.text(max_size=60))
def test_any_text_is_a_phantom_or_one_clear_line(text: str) -> None:
    check(text)


@given(st.integers(0, len(CHEST.splitlines()) - 1), st.lists(assignments, max_size=2))
def test_a_chest_with_broken_lines_is_a_phantom_or_one_clear_line(at: int, new: list[str]) -> None:
    text = CHEST.splitlines()
    text[at : at + 1] = new
    check("\n".join(text))
