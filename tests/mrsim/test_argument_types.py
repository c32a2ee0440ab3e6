"""What calls are given: a wrong type is an error in one line that names the keyword, at every front door."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import harness
import mrsim
import recon
from mrsim.argument_types import checked
from mrsim.errors import InputError, OptionError
from mrsim.stream import Stream
from tests.harness.synthetic import moving_stream

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


@pytest.fixture(scope="module")
def scan() -> Stream:
    return moving_stream(16)


@checked
def door(
    pair: tuple[int, int] = (1, 2),
    *,
    share: float | None = None,
    flag: bool = False,
    names: Sequence[str] = (),
    table: Mapping[str, Any] | None = None,
    tell: Callable[[int], None] | None = None,
    folder: Path | None = None,
    unknown: Unknown = None,
) -> tuple[Any, ...]:
    return pair, share, flag, names, table, tell, folder, unknown


def test_what_fits_is_handed_on_as_plain_values() -> None:
    given = door([np.int32(3), 4], share=np.float32(0.5), flag=np.True_, folder="a", unknown=object)  # type: ignore[arg-type]
    assert given == ((3, 4), 0.5, True, (), None, None, Path("a"), object)
    assert [type(value) for value in (given[0][0], given[1], given[2])] == [int, float, bool]
    assert door(share=1, names=["a"], table={}, tell=print)[1:6] == (1, False, ["a"], {}, print)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pair": 3}, "pair = 3: expected two whole numbers, such as (1, 2)"),
        ({"pair": (1, 2, 3)}, "pair = (1, 2, 3): expected two whole numbers, such as (1, 2)"),
        ({"pair": (1, 2.0)}, "pair = (1, 2.0): expected two whole numbers, such as (1, 2)"),
        ({"share": "0.95"}, "share = '0.95': expected a number or None"),
        ({"share": True}, "share = True: expected a number or None"),
        ({"share": np.zeros(3)}, "share: expected a number or None, not a ndarray"),
        ({"share": "x" * 99}, "share: expected a number or None, not a str"),
        ({"flag": 1}, "flag = 1: expected True or False"),
        ({"names": "ab"}, "names = 'ab': expected a list of strings"),
        ({"names": (1,)}, "names = (1,): expected a list of strings"),
        ({"table": [1]}, "table = [1]: expected a dictionary or None"),
        ({"tell": 1}, "tell = 1: expected a function or None"),
        ({"folder": 1}, "folder = 1: expected a path or None"),
    ],
)
def test_a_wrong_type_is_told_with_its_keyword(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        door(**values)
    assert str(error.value) == message


def test_python_itself_tells_of_a_keyword_that_is_not_there() -> None:
    with pytest.raises(TypeError, match=r"door\(\) got an unexpected keyword argument 'nonsense'"):
        door(nonsense=1)  # type: ignore[call-arg]


def test_every_function_that_is_a_door_is_checked() -> None:
    for module in (mrsim, recon, harness):
        for name in module.__all__:
            thing = getattr(importlib.import_module(module.__name__), name)
            if inspect.isfunction(thing) and inspect.signature(thing).parameters:
                assert thing.__code__.co_filename == checked.__code__.co_filename, f"{module.__name__}.{name}"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda scan: mrsim.simulate(seconds="2"), "seconds = '2'"),
        (lambda scan: mrsim.simulate(matrix=128), "matrix = 128: expected two whole numbers"),
        (lambda scan: mrsim.simulate(fov_m=0.4), "fov_m = 0.4: expected two numbers"),
        (
            lambda scan: mrsim.simulate(3, seconds=1),
            "phantom = 3: expected a string, a path, a Phantom or",
        ),
        (lambda scan: mrsim.simulate(tr_ns=0.0022), "tr_ns = 0.0022: expected a whole number"),
        (lambda scan: mrsim.simulate(coils="8"), "coils = '8': expected a whole number"),
        (lambda scan: mrsim.simulate(frames=1, flip_rad=20), "flip_rad = 20: expected above 0"),
        (lambda scan: mrsim.load(3), "path = 3"),
        (lambda scan: mrsim.save(3, "a"), "stream = 3: expected a Stream"),
        (lambda scan: mrsim.load_phantom(3), "name_or_path = 3"),
        (lambda scan: harness.replay(None, "null"), "scan = None: expected a Stream, a string or a path"),
        (lambda scan: harness.replay(scan, "null", frames="10"), "frames = '10'"),
        (lambda scan: harness.replay(scan, "null", claim="0.95"), "claim = '0.95'"),
        (
            lambda scan: harness.replay(scan, "null", claim=95),
            "claim = 95: expected a share from 0.5 to below 1",
        ),
        (lambda scan: harness.find_peak(scan, "null", claim=95), "claim = 95: expected a share"),
        (lambda scan: harness.find_stride(scan, "null", claim=0), "claim = 0: expected a share"),
        (lambda scan: harness.compare("null", scan), "candidates: expected a list of 2 to 16"),
        (lambda scan: harness.audit("null", 3), "scan = 3"),
        (lambda scan: harness.compare(["null", "null"], 3), "on = 3"),
        (lambda scan: harness.guard("null", "null", progress=1), "progress = 1: expected a function or None"),
        (lambda scan: harness.find_peak(scan, "null", claim="1"), "claim = '1'"),
        (lambda scan: harness.find_stride(scan, "null", seed="1"), "seed = '1'"),
        (lambda scan: recon.train(3), "scans = 3"),
        (lambda scan: recon.train(scan, epochs=3), "epochs = 3: expected two whole numbers"),
        (lambda scan: recon.load_weights(3), "name = 3"),
    ],
)
def test_the_doors_name_what_is_wrong(call: Callable[[Stream], object], message: str, scan: Stream) -> None:
    with pytest.raises(InputError) as error:
        call(scan)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
