"""One quantity, two spellings: Python's, and that of files and options."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from pathlib import Path

import pytest

from harness.cli.arguments import parser
from harness.dataset.spec import SCAN_DEFAULTS, protocol_of
from mrsim.errors import InputError
from mrsim.scanner.protocol import ScanProtocol
from mrsim.stream import Header
from mrsim.stream.units import SPELLINGS, in_file_words, option_of

ROOT = Path(__file__).parents[3]
ODD = ScanProtocol(
    matrix=(96, 64), fov_m=(0.35, 0.3), tr_ns=3_217_001, te_ns=1_609_000, flip_rad=0.4, field_t=1.5,
    acceleration=3, sampler="uniform", order="ascending", target_snr=7.5, coils=2,
    timing="retrospective", rendering="raster", supersampling=2,
)  # fmt: skip


def test_a_protocol_in_the_units_of_files_is_the_protocol_again() -> None:
    values = ODD.file_values()
    assert values["tr_ms"] == 3.217001
    assert values["fov_mm"] == [350.0, 300.0]
    assert values["flip_deg"] == pytest.approx(math.degrees(0.4))
    assert ScanProtocol.from_file_values(values) == ODD
    assert ScanProtocol.from_file_values({}) == ScanProtocol()


def test_every_number_of_a_file_is_rounded_once() -> None:
    for number in range(50, 600):
        assert SPELLINGS["fov_mm"].read(number) == float(f"{number}e-3")
        assert SPELLINGS["tr_ms"].read(number / 100) == number * 10_000
    assert SPELLINGS["flip_deg"].read(20) == ScanProtocol.flip_rad


def test_options_and_specifications_have_the_defaults_of_the_protocol() -> None:
    args = parser().parse_args(["simulate", "quasar", "-o", "a.stream", "--frames", "2"])
    default = ScanProtocol().file_values()
    assert {key: getattr(args, key) for key in default if key != "supersampling"} == {
        key: value for key, value in default.items() if key != "supersampling"
    }
    assert protocol_of({}) == ScanProtocol()
    assert SCAN_DEFAULTS.items() <= default.items()


def test_every_quantity_with_a_unit_has_both_spellings() -> None:
    fields = {field.name for kind in (Header, ScanProtocol) for field in dataclasses.fields(kind)}
    with_unit = {name for name in fields if re.search("_(ns|m|rad|t)$", name)}
    assert with_unit == {s.name for s in SPELLINGS.values()} - {"target_snr"}
    assert option_of("tr_ns") == "--tr-ms"
    assert option_of("coils") is None


def test_a_message_has_the_spelling_of_files() -> None:
    assert in_file_words("header: te_ns = 3000000: expected at least 0 and below tr_ns") == (
        "header: te_ms = 3: expected at least 0 and below tr_ms"
    )
    assert in_file_words("header: fov_m = (0.4, nan): x") == "header: fov_mm = (400, nan): x"
    with pytest.raises(InputError, match=r"te_ms = 3: .* below tr_ms"):
        ScanProtocol.from_file_values({"te_ms": 3.0})
    with pytest.raises(InputError, match="tr_ms = nan: expected milliseconds"):
        ScanProtocol.from_file_values({"tr_ms": math.nan})


def test_keys_of_shipped_files_are_lower_case() -> None:
    def keys(table: object) -> list[str]:
        if isinstance(table, list):
            return [key for entry in table for key in keys(entry)]
        return [] if not isinstance(table, dict) else [*table, *(k for v in table.values() for k in keys(v))]

    files = sorted((ROOT / "phantoms").rglob("*.toml"))
    assert len(files) > 8
    for file in files:
        assert [key for key in keys(tomllib.loads(file.read_text("utf-8"))) if key != key.lower()] == []
