"""What a newcomer meets first: `mrsim` alone, a word that is no command, choices, a shell that completes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from harness.cli.arguments import COMMANDS, GROUPS, PROFILES, command_parser
from harness.cli.main import main
from harness.cli.replay import BEAMS, SCENARIOS
from harness.judge.profiles import SHIPPED
from harness.measure.beam import SHIPPED_BEAMS
from harness.realtime import scenarios


def test_alone_it_shows_every_command_in_its_group_and_a_first_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # 2, not 0: a script whose variable is empty has judged nothing.
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    text = " ".join(out.split())
    places = [text.index(f"{group}:") for group in GROUPS]
    assert places == sorted(places)
    for group, nxt in zip(GROUPS, [*list(GROUPS)[1:], "options"], strict=True):
        part = text[text.index(f"{group}:") : text.index(f"{nxt}:")]
        for name, what in GROUPS[group].items():
            assert f"{name} {what}" in part
    assert text.index("a first step: mrsim demo") > places[-1]


def test_help_is_the_same_and_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    alone = capsys.readouterr().out
    with pytest.raises(SystemExit) as leaving:
        main(["--help"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == alone


def test_a_word_that_is_no_command_gets_its_likeness(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replai", "a.stream"]) == 2
    assert (
        capsys.readouterr().err
        == "mrsim: error: 'replai' is no command; did you mean replay? (see mrsim --help)\n"
    )
    assert main(["xyzzy"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_the_help_lists_all_that_there_is_to_choose_from() -> None:
    """Their modules take long to load, so the help holds the names; they must stay the same."""
    assert set(PROFILES) == set(SHIPPED)
    assert set(BEAMS) == set(SHIPPED_BEAMS)
    assert set(SCENARIOS) == set(scenarios.SCENARIOS)
    told = command_parser("replay").format_help()
    for names in (PROFILES, BEAMS, SCENARIOS, ("latest", "bounded:N", "virtual", "TR")):
        for name in names:
            assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", told), name


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_choices_and_names() -> None:
    script = subprocess.run(
        [sys.executable, "-m", "mrsim", "--completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    ask = (
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _mrsim; echo "${COMPREPLY[*]}"; }\n'
        'ask mrsim re\nask mrsim replay --cl\nask mrsim replay --clock ""\nask mrsim replay --profile one\n'
        'ask mrsim audit view\nask mrsim simulate quasar-\nask mrsim replay a b --json ""\n'
    )
    done = subprocess.run(["bash"], input=script + ask, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "replay report", "--clock --claim", "real virtual", "one-TR", "view-sharing", "quasar-recorded", "",
    ]  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_script_knows_every_option_of_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["--completion", shell])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert ("bashcompinit" in text) == (shell == "zsh")
    for name in COMMANDS:
        told = re.search(rf"^ +{name}\) words='([^']*)' ;;$", text, re.MULTILINE)
        assert told is not None, name
        options = re.findall(r"(?:^|[\s\[])(--[\w-]+)", command_parser(name).format_usage())
        assert len(options) > 2
        assert set(options) <= set(told[1].split())
