"""The mutating script changes one place at a time, tells what no test notices, and goes on where it was."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
CODE = '''"""Text 1 < 2."""


def share(part: float, whole: float, low: float = 0.5) -> float:
    """Return 3 - 2."""
    if part < low:
        raise ValueError(f"{part - 1}: below {1 + 1}")
    return part / whole
'''
TEST = """from harness.measure.ratio import share


def test_share():
    assert share(1, 2) == 0.5
"""


@pytest.fixture(scope="module")
def mutate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate", ROOT / "scripts" / "mutate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate"] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("x = 2 * n", {"x = 3 * n", "x = (2 / n)"}),
        ("x = 0.25", {"x = 0.5"}),
        ("x = t / 1e6", {"x = t / 1000000000.0", "x = (t * 1000000.0)"}),
        ("x = a <= b", {"x = (a < b)"}),
        ("x = a is None", {"x = (a is not None)"}),
        ("x = f(a, b)", {"x = (f(b, a))"}),
        ("x = f(a, a)", set()),
        ("x = f(*a, b)", set()),
        ("x = a[i, j]", {"x = (a[j, i])"}),
        ("a, b, c = f()", {"(a, c, b) = f()"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = h.tr_ns", {"x = h.te_ns"}),
        ("x = a and not b", {"x = (a or not b)", "x = a and (b)", "x = a and b"}),
        ("x = 'a' + b", set()),
        ("raise E(1 + 1)", set()),
        ("x: A[1, 2]", set()),
    ],
)
def test_what_takes_the_place_of_what(mutate: ModuleType, code: str, changed: set[str]) -> None:
    found = {code[: m.start] + m.new + code[m.stop :] for m in mutate.mutants_of("f.py", code)}
    assert found <= changed
    assert bool(found) == bool(changed)
    assert found == changed or "not b" in code


def test_every_mutant_of_the_house_is_python_and_one_change(mutate: ModuleType) -> None:
    count = 0
    for pattern in mutate.FILES:
        for path in ROOT.glob(pattern):
            text = path.read_text("utf-8")
            source, mutants = text.encode(), mutate.mutants_of(path.name, text)
            count += len(mutants)
            for mutant in mutants[::19]:
                changed = source[: mutant.start] + mutant.new.encode() + source[mutant.stop :]
                compile(changed, path.name, "exec")
                assert source[mutant.start : mutant.stop].decode() == mutant.old
                assert text.splitlines()[mutant.line - 1].strip()
    assert count > 1000


def test_the_tests_of_a_file_are_its_folders_first(mutate: ModuleType) -> None:
    imported = mutate.imports(ROOT)
    tests = mutate.tests_of("harness/measure/lag.py", imported, 9)
    assert tests[0] == "tests/harness/measure/test_lag.py"
    assert mutate.tests_of("harness/measure/lag.py", imported, 1) == tests[:1]
    through_its_user = mutate.tests_of("recon/subspace/tracker_kernels.py", imported, 9)
    assert "tests/recon/subspace/test_tracking.py" in through_its_user


@pytest.mark.slow
def test_survivors_are_told_and_what_was_judged_is_not_judged_again(
    mutate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("harness/measure", "tests/harness/measure"):
        (tmp_path / folder).mkdir(parents=True)
    for package in ("harness", "harness/measure"):
        (tmp_path / package / "__init__.py").touch()
    code, test = tmp_path / "harness/measure/ratio.py", tmp_path / "tests/harness/measure/test_ratio.py"
    code.write_text(CODE)
    test.write_text(TEST)
    argv = ["--files", "harness/measure/*.py", "--limit-s", "60"]
    assert mutate.main(argv, tmp_path) == 1
    out = capsys.readouterr().out
    assert "harness/measure/ratio.py:8: part / whole  ->  (part * whole)" in out
    assert out.count(" failed in ") == 1
    assert "SURVIVED harness/measure/ratio.py:6: part < low  ->  (part <= low)" in out
    assert code.read_text() == CODE
    assert mutate.main(argv, tmp_path) == 1
    again = capsys.readouterr().out
    assert " in " not in again.splitlines()[0]
    assert again.splitlines()[-1] == out.splitlines()[-1]
    test.write_text(TEST + "    assert share(0.5, 1) == 0.5\n")
    assert mutate.main(argv, tmp_path) == 0
    assert "3 mutants: 3 failed" in capsys.readouterr().out
    test.write_text(
        "def test_nothing():\n    from harness.measure.ratio import share\n    assert share(3, 1) == 2\n"
    )
    assert mutate.main(argv, tmp_path) == 2
    assert "its tests are failed without a mutant" in capsys.readouterr().out
