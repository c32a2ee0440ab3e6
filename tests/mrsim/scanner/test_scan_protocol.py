"""The protocol: defaults as stated, and every bad value refused by its key."""

from __future__ import annotations

import dataclasses
import math

import pytest

from mrsim.errors import InputError
from mrsim.sampling import ORDERS, SAMPLERS
from mrsim.scanner.protocol import ScanProtocol


def test_the_defaults_are_those_of_the_main_job() -> None:
    header = ScanProtocol().header()
    assert header.matrix == (128, 128)
    assert header.fov_m == (0.4, 0.4)
    assert (header.tr_ns, header.te_ns) == (2_200_000, 1_100_000)
    assert math.degrees(header.flip_rad) == pytest.approx(20)
    assert (header.field_t, header.coils, header.lines_per_frame) == (3.0, 1, 32)
    assert header.frame_ns == 70_400_000
    assert ScanProtocol().target_snr == 20


def test_the_header_holds_nothing_that_would_give_the_scan_away() -> None:
    told = {f.name for f in dataclasses.fields(ScanProtocol().header())}
    assert not told & {"seed", "phantom", "phantom_text", "path", "target_snr", "noise_std"}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_pattern_and_order_makes_a_protocol(sampler: str, order: str) -> None:
    protocol = ScanProtocol(sampler=sampler, order=order, acceleration=1.0 if sampler == "full" else 5.0)
    assert protocol.header().lines_per_frame == (128 if sampler == "full" else 26)
    assert protocol.sampling(7).lines == protocol.header().lines_per_frame


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"matrix": (0, 128)}, "rows"),
        ({"matrix": (128, 9999)}, "matrix"),
        ({"matrix": (128.0, 128)}, r"^matrix = \(128.0, 128\): expected two whole numbers"),
        ({"fov_m": (0.4, math.nan)}, "fov_m"),
        ({"fov_m": (400, 400)}, r"^fov_m = \(400, 400\): expected 0.01 to 2 metres a side \(millimetres in"),
        ({"fov_m": (0.4, 2.01)}, "^fov_m"),
        ({"fov_m": (0.009, 0.4)}, "^fov_m"),
        ({"tr_ns": 0}, "^tr_ns"),
        ({"tr_ns": 2.2e6}, "^tr_ns = 2200000.0: expected a whole number"),
        ({"te_ns": 2_200_000}, "te_ns"),
        ({"flip_rad": 0.0}, "^flip_rad"),
        ({"flip_rad": 20}, "^flip_rad = 20: expected above 0, at most pi"),
        ({"coils": "8"}, "^coils = '8': expected a whole number"),
        ({"coils": True}, "^coils = True: expected a whole number"),
        ({"field_t": -1.0}, "field_t"),
        ({"acceleration": 0.5}, "acceleration"),
        (
            {"acceleration": 500.0},
            "acceleration = 500.0: variable-density sampling of 128 rows gives 1 to 127",
        ),
        ({"sampler": "full"}, "full sampling of 128 rows gives 1 only"),
        ({"sampler": "radial"}, "sampler = 'radial'"),
        ({"order": "spiral"}, "order = 'spiral'"),
        ({"target_snr": 0.0}, "target_snr"),
        ({"target_snr": math.nan}, "target_snr"),
    ],
)
def test_a_bad_value_is_named(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        ScanProtocol(**values)
    assert "\n" not in str(error.value)
