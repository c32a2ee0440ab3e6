"""Guard the bench's ratios: the code of an earlier commit and the present one, in turns on one host.

    python scripts/bench_check.py --base v0.1.0            # a commit, checked out beside this one
    python scripts/bench_check.py --base ../old --pieces image-compact

Each tree runs in a process of its own. Of every piece both take turns, time by time, and who goes first is
drawn; what is judged is the ratio, as `mrsim guard` does. A piece that the base does not have is left out,
and said. Exit code 1 if the lower 95 % bound of a ratio exceeds the factor.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 300.0


def pieces() -> dict[str, Callable[[], Callable[[], object]]]:
    """Return what sets each piece up; it returns what is timed."""

    def line() -> Callable[[], object]:
        import numpy as np

        from mrsim.anatomy.phantom import load_phantom
        from mrsim.scanner.acquisition import Scanner
        from mrsim.scanner.protocol import ScanProtocol

        scanner = Scanner(load_phantom("patient1"), ScanProtocol(), 1, 64)
        ky, t_ns = np.arange(-16, 16, dtype=np.int32), np.arange(32) * 2_200_000
        scene = scanner.oracle.scene.uniform
        return lambda: scene.lines(ky, t_ns)

    def frame() -> Callable[[], object]:
        from harness.measure.image_quality import FrameJudge

        stream = scan()
        assert stream.truth is not None
        judge = FrameJudge(stream.truth, stream.header)
        return lambda: judge.score(4, stream.truth.image[4])

    def scan() -> Any:
        from mrsim.anatomy.phantom import load_phantom
        from mrsim.scanner.acquisition import scan
        from mrsim.scanner.protocol import ScanProtocol

        return scan(load_phantom("patient1"), ScanProtocol(acceleration=5), seed=9, frames=14)

    def image(candidate: str) -> Callable[[], Callable[[], object]]:
        def set_up() -> Callable[[], object]:
            from harness.candidates.registry import builder

            stream = scan()
            made, images = builder(candidate)(), []
            made.open(stream.header, images.append)
            per_frame = stream.header.lines_per_frame
            for index in range((stream.frames - 1) * per_frame):
                made.push(stream.readout(index))
            rest = [stream.readout(stream.frames * per_frame - per_frame + i) for i in range(per_frame)]

            def play() -> object:
                for readout in rest:
                    made.push(readout)
                return images.pop()

            return play

        return set_up

    def gate() -> Callable[[], object]:
        from harness.candidates.registry import Null
        from harness.realtime.clock import VirtualClock
        from harness.realtime.replay import replay
        from harness.realtime.service import ConstantService

        stream = scan()
        return lambda: replay(stream, Null(), VirtualClock(), ConstantService(0), keep_images=False)

    return {
        "lines-patient1": line,
        "gate": gate,
        "quality-of-a-frame": frame,
        "image-view-sharing": image("view-sharing"),
        "image-compact": image("cascade:patient1-5x"),
        "image-population": image("cascade:quasar-4x"),
    }


def serve(tree: str) -> int:
    """Time pieces of a tree, one for each line of the input."""
    sys.path[:0] = [tree]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a piece prints is no answer
    ready: dict[str, Callable[[], object]] = {}
    for asked in sys.stdin:
        name = asked.strip()
        try:
            if name not in ready:
                ready[name] = pieces()[name]()
                for _ in range(5):
                    ready[name]()
            start = time.perf_counter_ns()
            ready[name]()
            told: dict[str, Any] = {"ns": time.perf_counter_ns() - start}
        except Exception as error:
            told = {"missing": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(told) + "\n")
    return 0


class Tree:
    """Hold the process that runs one tree's code."""

    def __init__(self, path: Path) -> None:
        env = os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--serve", str(path)]
        self._process = subprocess.Popen(
            command, cwd=path, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def time(self, piece: str) -> int | str:
        """Return the nanoseconds that a piece takes once, or why there is none."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(piece + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            return "its process has ended"
        told = json.loads(answer)
        return int(told["ns"]) if "ns" in told else str(told["missing"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextlib.contextmanager
def checked_out(base: str) -> Iterator[Path]:
    """Give the folder of a tree: the one named, or a commit's, checked out for as long as it is needed."""
    if Path(base).is_dir():
        yield Path(base).resolve()
        return
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "base"
        git = ["git", "-C", str(ROOT), "worktree"]
        made = subprocess.run(
            [*git, "add", "--detach", str(tree), base], capture_output=True, text=True, check=False
        )
        if made.returncode:
            sys.exit(f"bench-check: {base!r} is neither a folder nor a commit: {made.stderr.strip()}")
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=False)


def main() -> int:
    """Compare, print and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", default="HEAD", help="commit or folder that is compared with (HEAD)")
    parser.add_argument("--new", default=str(ROOT), help="folder of the new code (this one)")
    parser.add_argument("--pieces", nargs="+", choices=sorted(pieces()), default=list(pieces()))
    parser.add_argument("--pairs", type=int, default=200, help="turns of each piece (%(default)s)")
    parser.add_argument("--factor", type=float, default=1.15, help="new may take so much longer (1.15)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve)
    from harness.comparison.guard import BLOCK, MIN_BLOCKS

    if not MIN_BLOCKS * BLOCK <= args.pairs <= 100_000 or not 1 < args.factor <= 100:
        parser.error(f"--pairs takes {MIN_BLOCKS * BLOCK} to 100000, --factor above 1 to 100")
    with checked_out(args.base) as base:
        return compare(base, Path(args.new).resolve(), args)


def compare(base: Path, new: Path, args: argparse.Namespace) -> int:
    """Take turns over all pieces."""
    import numpy as np

    from harness.comparison.guard import Guarded, ratio_of
    from harness.console import print_table

    rng = np.random.default_rng(args.seed)
    rows, slower = [], False
    with contextlib.ExitStack() as closing:
        trees = [Tree(base), Tree(new)]
        for tree in trees:
            closing.callback(tree.close)
        for piece in args.pieces:
            taken = np.zeros((args.pairs, 2), np.int64)
            missing = ""
            for pair in taken:
                first = int(rng.random() < 0.5)
                for lane in (first, 1 - first):
                    found = trees[lane].time(piece)
                    if isinstance(found, str):
                        missing = f"{('base', 'new')[lane]}: {found}"
                        break
                    pair[lane] = found
                if missing:
                    break
            if missing:
                slower |= missing.startswith("new")
                rows.append([piece, "", "", "", "", missing])
                continue
            ratio, low, high = ratio_of(taken[:, 0], taken[:, 1])
            verdict = Guarded(
                "base", "new", args.factor, taken[:, 0], taken[:, 1], ratio, low, high, "", False, args.seed
            ).verdict
            slower |= bool(verdict.outcome.value)
            medians = [f"{m / 1e6:.3f}" for m in np.median(taken, axis=0)]
            rows.append([piece, *medians, f"{ratio:.3f}", f"{low:.3f} to {high:.3f}", verdict.outcome.name])
    print_table(
        f"new / base, {args.pairs} turns each", ["piece", "base ms", "new ms", "ratio", "95 %", ""], rows
    )
    print("FAIL: slower than the factor allows, or gone" if slower else "PASS: no slowdown beyond the factor")
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
