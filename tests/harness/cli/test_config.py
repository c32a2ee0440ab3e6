"""`--config FILE.toml`: options by key; what is typed wins, and what is wrong is named with file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.arguments import COMMANDS, read
from harness.cli.main import main
from mrsim.errors import InputError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(text: str, *argv: str) -> dict[str, object]:
    Path("o.toml").write_text(text)
    return read([argv[0], "--config", "o.toml", *argv[1:]]).options


REPLAY = """[replay]
clock = "virtual"
claim = 0.9
repeat = 3
no-quality = true
isolate = false
beam = ["none", "mlc"]
[audit]
seed = 5
"""


def test_a_file_gives_the_options_of_its_command() -> None:
    found = options(REPLAY, "replay", "a", "b")
    words = "replay a b --clock virtual --claim 0.9 --repeat 3 --no-quality --beam none --beam mlc"
    typed = read(words.split()).options
    assert {**found, "argv": ()} == {**typed, "argv": ()}
    assert options(REPLAY, "audit", "a")["seed"] == 5
    assert options(REPLAY, "doctor") == read(["doctor"]).options


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--clock", "real"], "clock", "real"),
        (["--cloc=real"], "clock", "real"),  # argparse takes what is short of one
        (["--claim", "0.5"], "claim", 0.5),
        (["--beam", "tg-76"], "beams", ["tg-76"]),
    ],
)
def test_what_is_typed_wins(words: list[str], key: str, value: object) -> None:
    found = options(REPLAY, "replay", "a", "b", *words)
    assert found[key] == value
    assert found["repeat"] == 3


def test_what_a_command_needs_may_stand_in_the_file() -> None:
    found = options('[compare]\non = ["x", "y"]\nlockstep = true\n', "compare", "--", "a", "b")
    assert (found["candidates"], found["on"], found["lockstep"]) == (["a", "b"], ["x", "y"], True)
    found = options('[simulate]\noutput = "s"\nframes = 3\nmatrix = [64, 32]\n', "simulate", "quasar")
    assert (found["output"], found["frames"], found["matrix"]) == ("s", 3, [64, 32])
    # One of two that exclude each other was typed, so the other is left out.
    found = options('[simulate]\noutput = "s"\nframes = 3\n', "simulate", "quasar", "--seconds", "2")
    assert (found["frames"], found["seconds"]) == (None, 2.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[replay]\ncloc = 'real'\n", "o.toml: [replay] cloc: unknown key; did you mean clock?"),
        ("[replay]\nlimit_s = 1\n", "o.toml: [replay] limit_s: unknown key; did you mean limit-s?"),
        ("[replay]\nxyzzy = 1\n", "o.toml: [replay] xyzzy: unknown key; see mrsim replay --help"),
        ("[replay]\nconfig = 'b.toml'\n", "o.toml: [replay] config: unknown key"),
        ("[replai]\n", "o.toml: [replai] is no command; did you mean [replay]?"),
        ("clock = 'real'\n", "o.toml: clock: write it below a line [replay]"),
        ("[replay]\nclock = 'fast'\n", "o.toml: [replay] clock: argument --clock: invalid choice: 'fast'"),
        ("[replay]\nclaim = 'much'\n", "o.toml: [replay] claim: argument --claim: much: expected a number"),
        ("[replay]\nclaim = true\n", "o.toml: [replay] claim: expected text or a number"),
        ("[replay]\nclaim = [1, 2]\n", "o.toml: [replay] claim: expected text or a number"),
        ("[replay]\nisolate = 1\n", "o.toml: [replay] isolate: expected true or false"),
        ("[replay]\nclock = \n", "o.toml: not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(
    text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("o.toml").write_text(text)
    assert main(["replay", "a", "b", "--config", "o.toml"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "none.toml"], "none.toml: no such file"),
        (["--config"], "--config: expected the name of a file"),
        (["--conf", "o.toml"], "--config: write it out"),
    ],
)
def test_a_file_that_is_not_read_is_no_file_that_is_passed_over(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("o.toml").write_text("[replay]\nclock = 'virtual'\n")
    assert main(["replay", "a", "b", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_one(command: str) -> None:
    Path("o.toml").write_text(f"[{command}]\nxyzzy = 1\n")
    with pytest.raises(InputError, match=rf"\[{command}\] xyzzy: unknown key"):
        read([command, "--config=o.toml", "a", "b"])
