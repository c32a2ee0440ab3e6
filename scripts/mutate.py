"""Change the code in one place at a time, and tell which changes no test notices.

    python scripts/mutate.py --most 30 --seed 1                     # of measures, judge and kernels
    python scripts/mutate.py --files harness/measure/lag.py --most 10

Run by hand where the suite is in doubt: each mutant costs a run of the tests that concern its file. All of
it happens in a temporary copy of the tree. Constants, comparisons, arithmetic, min and max, TR and TE, units
of a thousand, and the order of arguments, indices and targets are changed, as drawn from the seed. What has
been judged is kept under build/ until the file or its tests change, so that a run that was broken off goes
on. Exit code 1 if a mutant survives, 2 if nothing can be judged.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mrsim", "recon", "harness")
FILES = (
    "harness/measure/*.py",
    "harness/judge/*.py",
    "mrsim/kernels/*.py",
    "mrsim/spins/*_kernels.py",
    "recon/fourier_kernels.py",
    "recon/subspace/tracker_kernels.py",
)
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", "demo"
)
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {
    one: other
    for pair in (
        ("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"), ("floor", "ceil"),
        ("tr_ns", "te_ns"), ("left", "right"), ("sin", "cos"), ("real", "imag"), ("mean", "sum"),
    )
    for one, other in (pair, pair[::-1])
}  # fmt: skip
UNITS = {10.0**power for power in (-9, -6, -3, 3, 6, 9)}
PRUNED = (ast.JoinedStr, ast.Raise, ast.Assert)
"""Texts and refusals: what they say is not what is measured."""


@dataclass(frozen=True)
class Mutant:
    """Hold one change of a file.

    Parameters
    ----------
    file
        Path from the root.
    line
        Number of the line, from 1.
    start, stop
        Bytes of the file that are replaced.
    old, new
        What stands there, and what takes its place.
    """

    file: str
    line: int
    start: int
    stop: int
    old: str
    new: str

    def __str__(self) -> str:
        old, new = (" ".join(text.split())[:120] for text in (self.old, self.new))
        return f"{self.file}:{self.line}: {old}  ->  {new}"


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Return every change of a file, in the order of its lines."""
    source = text.encode()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, changed in _changes(ast.parse(text)):
        start = starts[node.lineno - 1] + node.col_offset
        stop = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        new = ast.unparse(changed)
        # In parentheses it may run over several lines and keeps its precedence; names need none.
        new = new if isinstance(changed, ast.Attribute | ast.Name | ast.Constant | ast.Tuple) else f"({new})"
        found.append(Mutant(file, node.lineno, start, stop, source[start:stop].decode(), new))
    return found


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield nodes with what may take their place; docstrings, annotations and refusals are left alone."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or isinstance(node, PRUNED) or _is_text(node):
                continue
            if isinstance(node, ast.expr):
                yield from ((node, changed) for changed in _instead(node))
            yield from _changes(node)


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _instead(node: ast.expr) -> Iterator[ast.expr]:
    changed = copy.deepcopy(node)
    match changed:
        case ast.Constant(value=bool() | str() | bytes() | None):
            return
        case ast.Constant(value=int() | float() as value):
            if float(value) in UNITS:
                changed.value = value * 1000
            else:
                changed.value = value + 1 if isinstance(value, int) else 2 * value or 1.0
            yield changed
        case ast.Compare(ops=[first, *_]) if type(first) in COMPARISONS:
            changed.ops[0] = COMPARISONS[type(first)]()
            yield changed
        case ast.BinOp(left=left, right=right, op=op) if type(op) in ARITHMETIC:
            if not any(
                isinstance(side, ast.Constant | ast.JoinedStr) and _worded(side) for side in (left, right)
            ):
                changed.op = ARITHMETIC[type(op)]()
                yield changed
        case ast.BoolOp(op=op):
            changed.op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield changed
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            if not isinstance(operand, ast.Constant):
                yield operand
        case ast.Attribute(attr=name) if name in NAMES:
            changed.attr = NAMES[name]
            yield changed
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            changed.id = NAMES[name]
            yield changed
        case ast.Call(args=[ast.expr() as one, ast.expr() as other, *_]) if _differ(one, other):
            changed.args[:2] = [other, one]
            yield changed
        case ast.Subscript(slice=ast.Tuple(elts=[one, other, *_]) as index) if _differ(one, other):
            index.elts[:2] = [other, one]
            yield changed
        case ast.Tuple(elts=[*_, one, other], ctx=ast.Store()) if _differ(one, other):
            changed.elts[-2:] = [other, one]
            yield changed


def _worded(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _differ(one: ast.expr, other: ast.expr) -> bool:
    starred = isinstance(one, ast.Starred) or isinstance(other, ast.Starred)
    return not starred and ast.dump(one) != ast.dump(other)


def imports(root: Path) -> dict[str, set[str]]:
    """Return the modules that each file of tests and packages imports, as dotted names."""
    found = {}
    for path in sorted(path for top in (*PACKAGES, "tests") for path in (root / top).rglob("*.py")):
        names = found[path.relative_to(root).as_posix()] = set[str]()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
    return found


def tests_of(file: str, imported: dict[str, set[str]], most: int) -> list[str]:
    """Return the tests that concern a file: its folder's mirror first, then those that import the least else.

    Of a module that no test imports, those of the modules that import it.
    """

    def importing(modules: set[str], of_tests: bool) -> list[str]:
        return [
            path
            for path, names in imported.items()
            if names & modules
            and path.startswith("tests/") is of_tests
            and (not of_tests or Path(path).name.startswith("test_"))
            and "benchmarks" not in path
        ]

    found = importing({_module(file)}, of_tests=True)
    if not found:
        found = importing(
            {_module(path) for path in importing({_module(file)}, of_tests=False)}, of_tests=True
        )
    mirror = f"tests/{file.rpartition('/')[0]}/"
    return sorted(found, key=lambda path: (not path.startswith(mirror), len(imported[path])))[:most]


def _module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


def run_tests(tree: Path, tests: Sequence[str], limit_s: float, slow: bool) -> tuple[str, float]:
    """Run tests in a tree; return "passed", "failed", "too long" or "broken", and the seconds taken."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    command += [] if slow else ["-m", "not slow"]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=tree, env=environment, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return "too long", time.monotonic() - started
    finally:
        if process.poll() is None:  # with whatever it has started
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    told = {0: "passed", 1: "failed"}.get(code, "broken")
    return told, time.monotonic() - started


class Log:
    """Keep what has been judged, a line of JSON each, under a name that changes with file and tests."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._judged: dict[str, str] = {}
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                told = json.loads(line)
                self._judged[told["key"]] = told["outcome"]

    def __contains__(self, key: str) -> bool:
        return key in self._judged

    def __getitem__(self, key: str) -> str:
        return self._judged[key]

    def add(self, key: str, mutant: Mutant, outcome: str) -> None:
        """Keep an outcome, on disk at once."""
        self._judged[key] = outcome
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "outcome": outcome, "mutant": str(mutant)}) + "\n")


def key_of(mutant: Mutant, root: Path, tests: Sequence[str]) -> str:
    """Return what names a mutant: its file, all of its tests, and the change."""
    digest = hashlib.sha256(repr((mutant, *tests)).encode())
    for path in (mutant.file, *tests):
        digest.update((root / path).read_bytes())
    return digest.hexdigest()[:24]


def judge(root: Path, files: Sequence[str], args: argparse.Namespace) -> int:
    """Judge mutants of some files, print the survivors, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(root, tree, ignore=LEFT_OUT)  # all is read from here: the root may change meanwhile
        imported = imports(tree)
        concerned = {file: tests_of(file, imported, args.tests) for file in files}
        for file in [file for file, tests in concerned.items() if not tests]:
            print(f"{file}: no test imports it, or what imports it", file=sys.stderr)
            del concerned[file]
        drawn = [m for file in concerned for m in mutants_of(file, (tree / file).read_text("utf-8"))]
        random.Random(args.seed).shuffle(drawn)
        drawn = drawn[: args.most]
        if not drawn:
            print("nothing to mutate: name files with --files", file=sys.stderr)
            return 2
        outcomes = _outcomes(tree, drawn, concerned, args)
    if outcomes is None:
        return 2
    counts = ", ".join(f"{outcomes.count(told)} {told}" for told in sorted(set(outcomes)))
    print(f"{len(drawn)} mutants: {counts}")
    survivors = [m for m, told in zip(drawn, outcomes, strict=True) if told == "passed"]
    for mutant in sorted(survivors, key=lambda m: (m.file, m.line)):
        print(f"SURVIVED {mutant}")
    return 1 if survivors else 0


def _outcomes(
    tree: Path, drawn: Sequence[Mutant], concerned: dict[str, list[str]], args: argparse.Namespace
) -> list[str] | None:
    """Return what became of each mutant; None where tests fail without one."""
    log, usual, outcomes = Log(args.log), dict[str, float](), list[str]()
    for number, mutant in enumerate(drawn, 1):
        tests = concerned[mutant.file]
        key = key_of(mutant, tree, tests)
        if key not in log:
            if mutant.file not in usual:
                told, usual[mutant.file] = run_tests(tree, tests, args.limit_s, args.slow)
                if told != "passed":
                    print(f"{mutant.file}: its tests are {told} without a mutant: {' '.join(tests)}")
                    return None
            target = tree / mutant.file
            whole = target.read_bytes()
            target.write_bytes(whole[: mutant.start] + mutant.new.encode() + whole[mutant.stop :])
            limit_s = min(args.limit_s, 3 * usual[mutant.file] + 30)
            outcome, took_s = run_tests(tree, tests, limit_s, args.slow)
            target.write_bytes(whole)
            log.add(key, mutant, outcome)
            print(f"{number}/{len(drawn)} {outcome} in {took_s:.0f} s: {mutant}", flush=True)
        outcomes.append(log[key])
    return outcomes


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Read the options and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", nargs="+", default=FILES, help="files or patterns, from the root")
    parser.add_argument("--most", type=int, default=20, help="mutants at most (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (%(default)s)")
    parser.add_argument("--tests", type=int, default=6, help="files of tests at most (%(default)s)")
    parser.add_argument("--limit-s", type=float, default=600.0, help="for one run of tests (%(default)s)")
    parser.add_argument("--slow", action="store_true", help="run tests that are marked slow, too")
    parser.add_argument("--log", type=Path, default=root / "build" / "mutants.jsonl", help="(%(default)s)")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy and running tests go, too
    files = sorted(
        {path.relative_to(root).as_posix() for pattern in args.files for path in root.glob(pattern)}
    )
    return judge(root, [file for file in files if not file.endswith("__init__.py")], args)


if __name__ == "__main__":
    sys.exit(main())
