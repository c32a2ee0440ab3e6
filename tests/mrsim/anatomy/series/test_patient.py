"""A patient made of a cine is a folder that is scanned like a phantom."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mrsim
from mrsim.anatomy.series.patient import patient_of
from mrsim.anatomy.series.series import series_from_arrays
from mrsim.anatomy.series.stored import load_patient, prepare_patient
from mrsim.errors import InputError, PhantomError, ProtocolError, StreamError
from tests.mrsim.anatomy.series.cines import cine

PROTOCOL = {"matrix": (32, 32), "fov_m": (0.12, 0.09), "acceleration": 4.0, "seed": 1}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    np.savez(tmp_path / "cine.npz", **cine())
    prepare_patient(tmp_path / "cine.npz", tmp_path / "mine", twin=False)
    return tmp_path / "mine"


def test_what_is_stored_is_what_was_made(mine: Path) -> None:
    stored, made = load_patient(mine), patient_of(series_from_arrays(**cine()), name="mine")
    assert stored.digest == made.digest
    assert stored.name == "mine"
    assert (np.load(mine / "images.npy") == made.playback.images).all()
    record = json.loads((mine / "patient.json").read_text())
    assert record["realism"]["left_out_nmse"] > 0
    assert record["source"].endswith("cine.npz")


def test_its_folder_is_scanned_like_a_phantom(mine: Path) -> None:
    scan = mrsim.simulate(mine, seconds=3, **PROTOCOL)
    assert scan.truth is not None
    assert scan.truth.regions == ("target",)
    assert scan.truth.mask.any(axis=(1, 2)).all()
    assert np.ptp(scan.truth.centroid[:, 1]) > 2 * 3e-3
    # It can be made again from what the scan says of itself.
    oracle = mrsim.truth_of(scan)
    last = scan.header.echo_ns(scan.header.lines_per_frame - 1)
    assert (oracle.image(last) == scan.truth.image[0]).all()
    assert (oracle.centroid("target", np.asarray(scan.t_ns)) == scan.truth.centroid).all()


def test_what_cannot_be_scanned_is_told(mine: Path) -> None:
    with pytest.raises(
        ProtocolError, match=r"mine: the scan takes 4.\d\d s, and 3.45 s were recorded.*or scan its twin"
    ):
        mrsim.simulate(mine, seconds=4, **PROTOCOL)
    with pytest.raises(PhantomError, match="takes no changes by key"):
        mrsim.simulate(mine, seconds=1, overrides={"target": "x"}, **PROTOCOL)
    with pytest.raises(ProtocolError, match="no spins"):
        mrsim.simulate(mine, seconds=1, engine="isochromats", **PROTOCOL)
    with pytest.raises(ProtocolError, match="made of pixels already"):
        mrsim.simulate(mine, seconds=1, rendering="raster", **PROTOCOL)


def test_a_folder_that_changed_is_refused(mine: Path, tmp_path: Path) -> None:
    scan = mrsim.simulate(mine, seconds=1, **PROTOCOL)
    images = np.load(mine / "images.npy")
    images[3, 5, 5] += 1
    np.save(mine / "images.npy", images)
    with pytest.raises(PhantomError, match="its arrays are not those of its record"):
        load_patient(mine)
    with pytest.raises(InputError, match=r"exists; choose another name$"):
        prepare_patient(tmp_path / "cine.npz", tmp_path)
    with pytest.raises(InputError, match="exists; choose another name, or give --overwrite"):
        prepare_patient(tmp_path / "cine.npz", mine)
    np.savez(tmp_path / "other.npz", **cine(pixel_mm=2.0))
    prepare_patient(tmp_path / "other.npz", mine, twin=False, overwrite=True)
    with pytest.raises(StreamError, match="holds another patient by now"):
        mrsim.truth_of(scan)


def test_what_is_no_patient_is_told_in_one_line(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="not a patient: make one with"):
        load_patient(tmp_path / "empty")
    for name, text in (("patient.json", "{}"), ("patient.json", "[" * 100), ("images.npy", "short")):
        kept = (mine / name).read_bytes()
        (mine / name).write_text(text)
        with pytest.raises(InputError) as raised:
            load_patient(mine)
        assert "\n" not in str(raised.value)
        (mine / name).write_bytes(kept)
    (mine / "path_px.npy").unlink()
    with pytest.raises(InputError, match=r"path_px.npy"):
        load_patient(mine)


def test_a_patient_that_was_never_stored_cannot_be_had_again() -> None:
    made = patient_of(series_from_arrays(**cine()))
    scan = mrsim.simulate(made, seconds=1, **PROTOCOL)
    with pytest.raises(StreamError, match="was never stored"):
        mrsim.truth_of(scan)
