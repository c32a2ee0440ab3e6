"""Files from outside: regular ones alone, of bounded size, depth and time."""

from __future__ import annotations

import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrsim.errors import InputError
from mrsim.files.arrays import map_array, read_arrays
from mrsim.files.reading import open_file, parse_json, read_bytes, read_json, read_text
from mrsim.files.toml import MAX_KEY_PARTS, parse_toml, read_toml

READERS = {
    "open_file": open_file,
    "read_bytes": lambda path: read_bytes(path, 1000),
    "read_text": lambda path: read_text(path, 1000),
    "read_json": lambda path: read_json(path, 1000),
    "read_toml": lambda path: read_toml(path, 1000),
    "map_array": map_array,
    "read_arrays": lambda path: read_arrays(path, 1000, "weights"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, reader: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-zero").symlink_to("/dev/zero")
    (tmp_path / "to-pipe").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    for path, told in (
        (tmp_path / "pipe", "it is a pipe, not a file; name a regular file"),
        (tmp_path / "to-pipe", "it is a pipe"),
        (tmp_path / "to-zero", "it is a device"),
        (Path("/dev/zero"), "it is a device"),
        (tmp_path, "it is a folder"),
        (tmp_path / "loop", "cannot be read: Too many levels"),
        (tmp_path / "broken", "no such file"),
        (tmp_path / "none", "no such file"),
        (tmp_path / "pipe" / "x", "cannot be read: Not a directory"),
        ("a\0b", "not a name of a file"),
    ):
        start = time.monotonic()
        with pytest.raises(InputError, match=told) as caught:
            READERS[reader](path)
        assert time.monotonic() - start < 5
        assert "\n" not in str(caught.value)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("text")
    (tmp_path / "link").symlink_to("real")
    assert read_text(tmp_path / "link", 10) == "text"


def test_what_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)  # sparse: read, it would fill the memory
    with pytest.raises(InputError, match=r"huge: larger than 9 bytes: not a profile"):
        read_bytes(tmp_path / "huge", 9, "a profile")
    (tmp_path / "nine").write_bytes(b"123456789")
    assert read_bytes(tmp_path / "nine", 9) == b"123456789"
    with pytest.raises(InputError, match="larger than 8 bytes"):
        read_bytes(tmp_path / "nine", 8)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="files that tell no size")
def test_a_file_that_tells_no_size_is_bounded_too() -> None:
    assert os.stat("/proc/self/status").st_size == 0
    with pytest.raises(InputError, match="larger than 10 bytes"):
        read_bytes("/proc/self/status", 10)


@pytest.mark.parametrize("nested", ["[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65, "[" * 100_000])
def test_json_is_of_bounded_depth(nested: str) -> None:
    with pytest.raises(InputError, match=r"f: (tables or lists are nested more than 64 deep|not valid JSON)"):
        parse_json(nested, "f")


def test_nesting_beyond_what_python_takes_is_told_like_any_other() -> None:
    for parse, nested in ((parse_json, "[" * 100_000), (parse_toml, "a = " + "[" * 5_000)):
        with pytest.raises(InputError, match="f: tables or lists are nested more than 64 deep"):
            parse(nested, "f")


@pytest.mark.parametrize(("parse", "text"), [(parse_json, '{"a": [1, %s]}'), (parse_toml, "a = [1, %s]")])
def test_a_whole_number_that_no_float_holds_is_refused(parse: Callable[..., Any], text: str) -> None:
    assert parse(text % (10**300), "f") == {"a": [1, 10**300]}
    for number in (10**301, -(10**400)):
        with pytest.raises(InputError, match="f: a whole number of more than 300 digits"):
            parse(text % number, "f")
    assert parse_json("[" * 64 + "]" * 64, "f")
    for bad in ("", "{", "[1,]", "1" * 5000):
        with pytest.raises(InputError, match=r"f: not valid JSON"):
            parse_json(bad, "f")
    assert parse_json("3", "f") == 3


HOSTILE = {
    "dots": "a" + ".a" * 100_000 + " = 1",
    "table of dots": "[" + "a . " * 100_000 + "a]",
    "dots in a table": "x = {y = 1, " + "a." * 100_000 + "a = 1}",
    "quoted parts": '"a".' * 100_000 + "a = 1",
    "after a string": 'x = """a""""" \n' + "a." * 100_000 + "a = 1",
    "after a literal": "x = '''it's'''\n" + "a." * 100_000 + "a = 1",
    "after a comment": '# "\n' + "a." * 100_000 + "a = 1",
    "quote in a comment": "# '''\n" + "a." * 100_000 + "a = 1",
    "open quotes": "x = " + '"\\"' * 50_000,
    "open long quotes": "x = " + '""" \\' * 50_000,
    "brackets": "x = " + "[" * 100_000,
    "tables": "x = " + "{a = " * 100_000,
    "digits": "x = " + "9" * 200_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_toml_is_refused_in_bounded_time(kind: str) -> None:
    start = time.monotonic()
    with pytest.raises(
        InputError,
        match=r"f: (line \d+: a key of more than 32 parts|tables or lists are nested|not valid TOML)",
    ) as caught:
        parse_toml(HOSTILE[kind], "f")
    assert time.monotonic() - start < 5  # the library alone takes 40 s
    assert ("parts" in str(caught.value)) == (
        "dots" in kind or "after" in kind or "part" in kind or "comment" in kind
    )


def test_plain_toml_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    dots = ".".join("a" * MAX_KEY_PARTS)
    for text in (
        f"{dots} = 1",
        f'x = "{dots}.a.a.a"  # {dots}.a.a',
        f"x = '{dots}.a.a'\ny = '''\n{dots}.a'''\nz = \"\"\"{dots}.a\\\"\"\"\"\"",
        "x = [" + "1.5, " * 1000 + "1.5]",
        "\n".join(f"a{n} = 0.{n}" for n in range(100)),
    ):
        import tomllib

        assert parse_toml(text, "f") == tomllib.loads(text)
    with pytest.raises(InputError, match="more than 32 parts"):
        parse_toml(f"{dots}.a = 1", "f")
    with pytest.raises(InputError, match="nested more than 2 deep"):
        parse_toml("x = [[1]]", "f", depth=2)
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"a\.toml: not UTF-8 at byte 0"):
        read_toml(tmp_path / "a.toml", 100)


def npy(array: np.ndarray, **keys: bool) -> bytes:
    held = io.BytesIO()
    np.save(held, array, **keys)
    return held.getvalue()


def lying(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


DAMAGED = {
    "nothing": b"",
    "no array": b"hello",
    "cut": npy(np.zeros(1000))[:500],
    "objects": npy(np.array([{}], object), allow_pickle=True),
    "more than there is": lying("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}"),
    "below none": lying("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 8)}"),
    "no header": lying("(((((((((((((((((((("),
    "code": lying("__import__('os').system('touch x')"),
    "of another version": b"\x93NUMPY\x09\x00" + bytes(100),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_arrays_are_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.npy").write_bytes(DAMAGED[kind])
    with pytest.raises(InputError, match=r"a\.npy: truncated or not a \.npy array") as caught:
        map_array(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", DAMAGED[kind])
    with pytest.raises(InputError, match=r"a\.npz: damaged, or not weights: .*; make them again$"):
        read_arrays(tmp_path / "a.npz", 10_000, "weights", remedy="make them again")


def test_arrays_come_back(tmp_path: Path) -> None:
    first, second = np.arange(6).reshape(2, 3), np.asfortranarray(np.ones((3, 2), np.complex64))
    np.save(tmp_path / "a.npy", second)
    back = map_array(tmp_path / "a.npy")
    assert isinstance(back, np.memmap)
    assert not back.flags.writeable
    np.testing.assert_array_equal(back, second)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", first=first, second=second, text=np.array("x"))
        found = read_arrays(tmp_path / "a.npz", 10_000, "weights")
        assert set(found) == {"first", "second", "text"}
        np.testing.assert_array_equal(found["first"], first)
        np.testing.assert_array_equal(found["second"], second)
        assert set(read_arrays(tmp_path / "a.npz", 10_000, "weights", names=("text", "no"))) == {"text"}


def test_an_archive_that_unfolds_or_lists_without_end_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(1 << 20))
    assert (tmp_path / "bomb.npz").stat().st_size < 10_000
    with pytest.raises(InputError, match="unfolds to more than 10000 bytes: not weights"):
        read_arrays(tmp_path / "bomb.npz", 10_000, "weights")
    with zipfile.ZipFile(tmp_path / "list.npz", "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(InputError, match="table of contents has more than"):
        read_arrays(tmp_path / "list.npz", 1 << 30, "weights")
    with zipfile.ZipFile(tmp_path / "large.npz", "w") as archive:  # past 65535, its end has another form
        for number in range(66_000):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(InputError, match="table of contents has more than"):
        read_arrays(tmp_path / "large.npz", 1 << 30, "weights")
    data = bytearray((tmp_path / "large.npz").read_bytes())
    at = data.rfind(b"PK\5\6")
    data[at + 12 : at + 16] = bytes(4)  # this end lies; the longer one before it counts
    (tmp_path / "large.npz").write_bytes(data)
    with pytest.raises(InputError, match="table of contents has more than"):
        read_arrays(tmp_path / "large.npz", 1 << 30, "weights")
    (tmp_path / "text.npz").write_bytes(json.dumps({}).encode())
    with pytest.raises(InputError, match=r"text\.npz: damaged, or not weights: it has no table of contents"):
        read_arrays(tmp_path / "text.npz", 100, "weights")
