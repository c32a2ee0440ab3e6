"""MRD as a stream of messages: the package reads ours, we read its, and what is damaged is one line."""

from __future__ import annotations

import io
import shlex
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ismrmrd = pytest.importorskip("ismrmrd")

from harness.cli.main import main  # noqa: E402
from mrsim.errors import FormatError  # noqa: E402
from mrsim.formats.mrd_import import messages_to_stream  # noqa: E402
from mrsim.formats.mrd_messages import is_messages, open_messages, write_messages  # noqa: E402
from mrsim.formats.noise_scan import NoiseScans  # noqa: E402
from mrsim.formats.oversampling import Oversampling  # noqa: E402
from mrsim.stream import Stream, load, save  # noqa: E402
from tests.harness.synthetic import make_header, make_stream  # noqa: E402

STREAM = make_stream(24, header=make_header(coils=3, matrix=(8, 16)))
NOISE = NoiseScans(np.full((2, 3, 32), 1 + 2j, np.complex64), np.array([5.0, 5.0], np.float32))


def written(stream: Stream = STREAM, **more: Any) -> bytes:
    out = io.BytesIO()
    write_messages(stream, out, **more)
    return out.getvalue()


def same(found: Stream, stream: Stream = STREAM) -> None:
    assert found.header == stream.header
    for name in ("ky", "frame", "t_ns", "samples"):
        np.testing.assert_array_equal(getattr(found, name), getattr(stream, name))


@pytest.mark.parametrize("noise", [None, NOISE])
def test_a_stream_comes_back_bit_for_bit(noise: NoiseScans | None, tmp_path: Path) -> None:
    (tmp_path / "a.mrd").write_bytes(written(noise=noise))
    made = messages_to_stream(tmp_path / "a.mrd", tmp_path / "a.stream")
    same(load(made.path))
    kept = NoiseScans.of(made.path)
    assert (kept is None) == (noise is None)
    if kept is not None:
        np.testing.assert_array_equal(kept.samples, NOISE.samples)


def test_oversampling_is_taken_off_again(tmp_path: Path) -> None:
    (tmp_path / "a.mrd").write_bytes(written(oversampling=Oversampling.REPORTED))
    made = messages_to_stream(tmp_path / "a.mrd", tmp_path / "a.stream")
    np.testing.assert_allclose(load(made.path).samples, STREAM.samples, atol=1e-5)


def test_the_package_reads_what_we_write() -> None:
    said = list(ismrmrd.ProtocolDeserializer(io.BytesIO(written())).deserialize())
    lines = [message for message in said if isinstance(message, ismrmrd.Acquisition)]
    assert len(lines) == len(STREAM)
    for line, readout in zip(lines, STREAM, strict=True):
        np.testing.assert_array_equal(line.data, readout.samples)
        assert line.idx.kspace_encode_step_1 == readout.ky + 4
        assert line.idx.repetition == readout.frame


def test_we_read_what_the_package_writes_and_pass_over_the_rest(tmp_path: Path) -> None:
    ours = list(ismrmrd.ProtocolDeserializer(io.BytesIO(written())).deserialize())
    document, lines = ours[0], ours[1:]
    out = io.BytesIO()
    serializer = ismrmrd.ProtocolSerializer(out)
    image = ismrmrd.Image.from_array(np.ones((8, 16), np.float32))
    wave = ismrmrd.Waveform.from_array(np.zeros((2, 5), np.uint32))
    for message in (
        ismrmrd.serialization.ConfigFile("simplefft"),
        ismrmrd.serialization.ConfigText("<a/>"),
        document,
        "a text",
        image,
        wave,
        *lines[:7],
        image,
        "more",
        *lines[7:],
    ):
        serializer.serialize(message)
    serializer.close()
    (tmp_path / "a.mrd").write_bytes(out.getvalue())
    same(load(messages_to_stream(tmp_path / "a.mrd", tmp_path / "a.stream").path))


def test_every_cut_is_one_line_or_the_lines_that_came_whole(tmp_path: Path) -> None:
    whole, path = written(), tmp_path / "a.mrd"
    size = 2 + 340 + 3 * 16 * 8
    start = len(whole) - 2 - len(STREAM) * size
    for stop in (1, 3, 5, 40, start - 1, *range(start, start + 2 * size, 37), len(whole) - 2, len(whole) - 1):
        path.write_bytes(whole[:stop])
        done, within = divmod(stop - start, size)
        if stop >= start and within == 0 and done > 0:
            assert len(open_messages(path).heads) == done
            continue
        with pytest.raises(FormatError) as caught:
            open_messages(path)
        assert "\n" not in str(caught.value)


def test_what_is_cut_off_between_messages_or_goes_on_is_noted(tmp_path: Path) -> None:
    whole, path = written(), tmp_path / "a.mrd"
    size = 2 + 340 + 3 * 16 * 8
    for data, told in (
        (whole[:-2], ["no message says that the scan is over"]),
        (whole[: -2 - 2 * size], ["no message says", "the last frame is not whole: it has 2 of 4 lines"]),
        (whole + whole, [f"{len(whole)} bytes after the end"]),
        (whole, []),
    ):
        path.write_bytes(data)
        notes = messages_to_stream(path, tmp_path / "a.stream", overwrite=True).notes
        assert len(notes) == len(told)
        assert all(part in note for part, note in zip(told, notes, strict=True)), notes


def test_a_line_that_is_missing_is_told_of_the_file_with_the_option_that_helps(tmp_path: Path) -> None:
    whole, size = written(), 2 + 340 + 3 * 16 * 8
    start = len(whole) - 2 - len(STREAM) * size
    (tmp_path / "a.mrd").write_bytes(whole[: start + 6 * size] + whole[start + 7 * size :])
    with pytest.raises(FormatError, match=r"a\.mrd: line 7 says .* --lines-per-frame N"):
        messages_to_stream(tmp_path / "a.mrd", tmp_path / "a.stream")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (struct.pack("<HI", 3, 1 << 30), "at most"),
        (struct.pack("<HI", 3, 4) + b"<a/>", "not an MRD header"),
        (struct.pack("<H", 4), "without a header"),
        (struct.pack("<H", 4711), "4711 is not known"),
        (struct.pack("<HI", 2, 1 << 31), "at most"),
    ],
)
def test_what_is_no_such_stream_is_refused_in_one_line(data: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.mrd").write_bytes(data)
    with pytest.raises(FormatError, match=told):
        open_messages(tmp_path / "a.mrd")


def test_a_readout_that_announces_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    whole = written()
    head = bytearray(whole[len(whole) - 2 - (340 + 3 * 16 * 8) : len(whole) - 2][:340])
    first = whole[: len(whole) - 2 - len(STREAM) * (2 + 340 + 3 * 16 * 8)]
    acquisition = ismrmrd.acquisition.AcquisitionHeader.from_buffer_copy(bytes(head))
    acquisition.active_channels, acquisition.number_of_samples = 65535, 65535
    (tmp_path / "a.mrd").write_bytes(first + struct.pack("<H", 1008) + bytes(acquisition))
    with pytest.raises(FormatError, match="65535 channels of 65535 samples"):
        open_messages(tmp_path / "a.mrd")


def test_it_is_known_by_its_first_message() -> None:
    assert is_messages(written())
    assert not is_messages(b"\x89HDF\r\n\x1a\n")
    assert not is_messages(b"yardl")
    assert not is_messages(b"")


def test_the_command_goes_round_through_files_and_pipes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(STREAM, tmp_path / "a.stream")
    assert main(["convert", str(tmp_path / "a.stream"), str(tmp_path / "a.mrd"), "--layout", "messages"]) == 0
    assert main(["convert", str(tmp_path / "a.mrd"), str(tmp_path / "b.stream")]) == 0
    same(load(tmp_path / "b.stream"))
    assert main(["convert", str(tmp_path / "a.stream"), str(tmp_path / "a.mrd"), "--layout", "messages"]) == 2
    assert "exists" in capsys.readouterr().err
    command = [sys.executable, "-m", "harness.cli", "convert"]
    sent = subprocess.run(
        [*command, str(tmp_path / "a.stream"), "-"], capture_output=True, check=True, timeout=120
    )
    taken = subprocess.run(
        [*command, "-", str(tmp_path / "c.stream")], input=sent.stdout, capture_output=True, timeout=120
    )
    assert taken.returncode == 0, taken.stderr
    same(load(tmp_path / "c.stream"))
    gone = f"{shlex.join(command)} {tmp_path / 'a.stream'} - | true; echo ${{PIPESTATUS[0]}}"
    assert subprocess.run(["bash", "-c", gone], capture_output=True, timeout=120).stdout in (b"141\n", b"0\n")
    closed = f"{shlex.join(command)} {tmp_path / 'a.stream'} - >&-"
    shut = subprocess.run(["bash", "-c", closed], capture_output=True, timeout=120)
    assert shut.returncode == 2
    assert b"standard output is closed" in shut.stderr
    cut = subprocess.run(
        [*command, "-", str(tmp_path / "d.stream")],
        input=sent.stdout[:2000],
        capture_output=True,
        timeout=120,
    )
    assert cut.returncode == 2
    assert cut.stderr.count(b"\n") == 1
    assert b"the pipe: cut off after 2000 bytes" in cut.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mrd", "a.stream", "b.stream", "c.stream"]


def test_version_2_is_called_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mrd").write_bytes(b"yardl" + bytes(200))
    assert main(["convert", str(tmp_path / "a.mrd"), str(tmp_path / "a.stream")]) == 2
    assert "MRD version 2" in capsys.readouterr().err
