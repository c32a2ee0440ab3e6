"""Training on several coils from the command line, and what is refused with what to do instead."""

from __future__ import annotations

import pytest

from harness.cli.main import main
from recon.cascade.checkpoint import load

pytestmark = pytest.mark.slow

SMALL = ("filters=4", "blocks=1", "convolutions=2")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("coils") / "scan.stream"
    size = ["--frames", "30", "--matrix", "32", "32", "--coils", "3", "--seed", "3"]
    assert main(["simulate", "quasar", "-o", str(path), *size]) == 0
    return path


def train(scan, output, *more, network="population"):
    config = [text for value in SMALL for text in ("--set", value)]
    return main(
        ["train", str(scan), "-o", str(output), "--network", network, "--epochs", "1", "0", *config, *more]
    )


def test_a_scan_of_several_coils_is_trained_on_and_replayed(scan, tmp_path, capsys):
    output = tmp_path / "w.npz"
    assert train(scan, output, "--augment", "--balanced", "--target-instant", "last+50") == 0
    assert load(output).cascade.config.coils == 3
    main(["replay", str(scan), f"cascade:{output}", "--clock", "virtual", "--allow-seen"])
    assert "NMSE" in capsys.readouterr().out
    assert train(scan, tmp_path / "more.npz", "--from", str(output)) == 2
    assert "--set" in capsys.readouterr().err
    more = ["train", str(scan), "-o", str(tmp_path / "more.npz"), "--from", str(output), "--epochs", "1", "0"]
    assert main(more) == 0


def test_a_patients_subspace_of_several_coils_is_trained_on_and_replayed(scan, tmp_path, capsys):
    output, few = tmp_path / "w.npz", ("--set", "components=4", "--set", "knots=3")
    assert train(scan, output, *few, "--augment", "--balanced", network="compact") == 0
    assert load(output).cascade.config.coils == 3
    main(["replay", str(scan), f"cascade:{output}", "--clock", "virtual", "--allow-seen"])
    assert "NMSE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "network", "told"),
    [
        ((), "compact", ("20 components of ", "training frames", "scan for longer")),
        (("--redraw", "2"), "population", ("3 coils", "leave --redraw out")),
        (("--set", "coils=2"), "population", ("coils = 2", "the streams have 3")),
    ],
)
def test_what_is_not_supported_says_what_to_do_and_leaves_no_file(
    scan, tmp_path, capsys, more, network, told
):
    assert train(scan, tmp_path / "w.npz", *more, network=network) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert all(text in said for text in told)
    assert not list(tmp_path.iterdir())


def test_weights_of_one_coil_name_both_numbers(scan, tmp_path, capsys):
    assert main(["train", str(scan), "-o", str(tmp_path / "w.npz"), "--from", "quasar-4x"]) == 2
    assert "coils = 1, the streams have 3" in capsys.readouterr().err
