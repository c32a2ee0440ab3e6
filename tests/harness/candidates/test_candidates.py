"""A string becomes a fresh reconstructor, or one line that says what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import recon
from harness.candidates.registry import Null, builder, known
from harness.realtime.clock import VirtualClock
from harness.realtime.replay import replay
from mrsim.errors import InputError
from mrsim.stream import save
from recon.protocol import Reconstructor
from tests.harness.synthetic import make_header, make_stream, moving_stream

STRANGER = """
import numpy as np
from helper import VALUE

def build():
    def image(kspace, mask):
        assert kspace.shape == (1, 8, 8) and mask.sum() == 4
        return np.full(kspace.shape[1:], VALUE, np.complex64)
    return image

class Own:
    def open(self, header, emit): pass
    def push(self, readout): pass
    def close(self): pass

def raises(): raise RuntimeError("no\\nweights here")
def exits(): raise SystemExit(1)
def takes(header): return None
number = 3
def returns_number(): return number
def returns_class(): return Own
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: a module, its helper, and a recon.py of the user's own."""
    (tmp_path / "stranger.py").write_text(STRANGER)
    (tmp_path / "helper.py").write_text("VALUE = 5")
    (tmp_path / "recon.py").write_text("raise ImportError('the wrong recon')")
    (tmp_path / "broken.py").write_text("def build(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for name in ("stranger", "helper", "mrsim_candidate_stranger"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("where", ["stranger", "stranger.py", "{folder}/stranger.py"])
def test_a_strangers_function_becomes_a_reconstructor(where: str, stranger: Path) -> None:
    build = builder(f"python:{where.format(folder=stranger)}:build")
    first, second = build(), build()
    assert first is not second
    run = replay(make_stream(40, header=make_header()), first, VirtualClock())
    assert run.failure is None
    assert run.images.pixels is not None
    assert (run.images.pixels == 5).all()
    assert sys.path.index(str(stranger)) > 0  # appended: a stranger's recon.py does not stand in for ours
    assert sys.modules["recon"] is recon
    sys.modules.pop("stranger", None)
    sys.modules.pop("helper", None)


def test_a_strangers_class_is_a_factory(stranger: Path) -> None:
    assert isinstance(builder("python:stranger.py:Own")(), Reconstructor)


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ("view-sharin", "did you mean 'view-sharing'.*known: zero-filled, view-sharing"),
        ("mynet.py:build", "did you mean 'python:mynet.py:build'"),
        ("../sliding.py", "did you mean 'python:../sliding.py:build'"),
        ("my.net:Build", "did you mean 'python:my.net:Build'"),
        ("", "known"),
        ("cascade", "expected cascade:WEIGHTS"),
        ("cascade:", "expected cascade:WEIGHTS"),
        ("cascade:nowhere", "nowhere"),
        ("zero-filled:3", "no more"),
        ("nearest-frame:nowhere", "not a stream"),
        ("python:stranger", "expected python:package.module:factory"),
        ("python::build", "expected python:package.module:factory"),
        ("python:stranger:no name", "expected python:package.module:factory"),
        ("python:nothing_there:build", "importing nothing_there raised ModuleNotFoundError"),
        ("python:broken.py:build", "importing broken.py raised SyntaxError"),
        ("python:missing.py:build", "there is no file missing.py"),
        ("python:stranger.py:missing", "has no callable 'missing'"),
        ("python:stranger.py:number", "has no callable 'number'"),
        ("python:stranger.py:raises", "the factory raised RuntimeError: no weights here"),
        ("python:stranger.py:exits", "the factory raised SystemExit: 1"),
        ("python:stranger.py:takes", "the factory raised TypeError"),
        ("python:stranger.py:returns_number", "returned int, expected a reconstructor"),
        ("python:stranger.py:returns_class", "returned type, expected a reconstructor"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(candidate: str, message: str, stranger: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        builder(candidate)
    assert "\n" not in str(caught.value)


def test_every_known_name_is_built(tmp_path: Path) -> None:
    stream = moving_stream(12)
    save(stream, tmp_path / "a.stream")
    for name in ("zero-filled", "view-sharing", "null", f"nearest-frame:{tmp_path}/a.stream"):
        assert name.split(":")[0] in {k.split(":")[0] for k in known()}
        build = builder(name)
        assert isinstance(build(), Reconstructor)
        assert build() is not build()
        run = replay(stream, build(), VirtualClock())
        assert run.failure is None
        assert run.images.shown.all(), name


def test_the_null_reconstructor_emits_blank_images() -> None:
    images = replay(make_stream(40), Null(), VirtualClock()).images
    assert images.shown.all()
    assert images.pixels is not None
    assert not np.any(images.pixels)
