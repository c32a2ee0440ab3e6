"""A caller can tell errors apart by their kind, and each is still caught as bad input."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import mrsim
import recon
from mrsim import errors
from mrsim.errors import (
    FileError,
    FormatError,
    InputError,
    MrsimError,
    PhantomError,
    ProtocolError,
    StreamError,
    WeightsError,
)

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MrsimError)]


def a_stream_that_is_a_file(folder: Path) -> None:
    (folder / "x").write_text("no")
    mrsim.load(folder / "x")


def weights_cut_short(folder: Path) -> None:
    whole = Path(recon.__file__).parent / "weights" / "quasar-4x.npz"
    (folder / "w.npz").write_bytes(whole.read_bytes()[:1000])
    recon.load_weights(folder / "w.npz")


def a_phantom_that_is_not_toml(folder: Path) -> None:
    (folder / "p.toml").write_text("[[")
    mrsim.load_phantom(folder / "p.toml")


def a_fastmri_file_that_is_none(folder: Path) -> None:
    pytest.importorskip("h5py")
    from mrsim.formats.fastmri import fastmri_to_stream

    (folder / "f.h5").write_text("no")
    fastmri_to_stream(folder / "f.h5", folder / "f.stream")


CASES: list[tuple[Callable[[Path], object], type[MrsimError]]] = [
    (lambda _: mrsim.load_phantom("nobody"), PhantomError),
    (a_phantom_that_is_not_toml, PhantomError),
    (lambda _: mrsim.simulate("quasar", frames=1, field_t=9.0), PhantomError),
    (lambda _: mrsim.ScanProtocol(coils=99), ProtocolError),
    (lambda folder: mrsim.load(folder / "nothing.stream"), StreamError),
    (a_stream_that_is_a_file, StreamError),
    (lambda _: recon.load_weights("nobody"), WeightsError),
    (weights_cut_short, WeightsError),
    (a_fastmri_file_that_is_none, FormatError),
    (lambda folder: recon.save_weights(folder / "no" / "w.npz", recon.load_weights("quasar-4x")), FileError),
]


@pytest.mark.parametrize(("wrong", "kind"), CASES, ids=lambda value: getattr(value, "__name__", "case"))
def test_what_is_wrong_tells_its_kind(
    wrong: Callable[[Path], object], kind: type[MrsimError], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        wrong(tmp_path)
    assert type(caught.value) is kind, repr(caught.value)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_comes_back_from_a_worker_as_it_was_raised(kind: type[MrsimError]) -> None:
    given = ("h5py", "mrd", "reading") if kind is errors.MissingExtraError else ("what: why; do this",)
    error = kind(*given)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (kind, str(error))
