"""The arguments of every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

import mrsim
from harness.candidates.registry import known
from harness.cli import commands
from harness.cli import dataset as dataset_command
from harness.cli import table as table_command
from mrsim.errors import InputError
from mrsim.scanner.protocol import CATALYSATION, COMBINATIONS, ENGINES, SPINS_PER_SIDE, ScanProtocol


class _Parser(argparse.ArgumentParser):
    """Say what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    about = "A real-time MR scanner in software, and the bench for reconstructors that must keep up with it."
    top = _Parser(prog="mrsim", description=about)
    top.add_argument("--version", action="version", version=f"mrsim {mrsim.__version__}")
    subparsers = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        added = subparsers.add_parser(run.__name__, help=about, description=f"{about[0].upper()}{about[1:]}.")
        added.set_defaults(run=run)
        return added

    _demo(command(commands.demo, "scan, replay, judge and draw: the whole of it in under 90 s"))
    _phantoms(command(commands.phantoms, "list the phantoms that are shipped, or draw one"))
    _simulate(command(commands.simulate, "scan a phantom into a folder"))
    _dataset(command(commands.dataset, "make many streams, reproducibly, here or on a cluster"))
    _train(command(commands.train, "train a cascade on stored streams"))
    _table(
        command(commands.table, "the experiment of Dietz 2019: patients against all opponents, in one table")
    )
    _replay(command(commands.replay, "replay a stream into a reconstructor and judge it"))
    _check(command(commands.check, "pass or not, for CI: replay and audit on every stream, exit code 0 or 1"))
    _compare(command(commands.compare, "set several candidates side by side on several streams"))
    _serve(command(commands.serve, "serve a reconstructor to other programs, over MRD"))
    _report(command(commands.report, "replay, audit, and write a page to look at and to show"))
    _audit(command(commands.audit, "look for what a reconstructor must not do"))
    _guard(command(commands.guard, "fail where new code takes longer than the old, both run in turns"))
    _convert(command(commands.convert, "turn a stream into an MRD or fastMRI file, or back"))
    _doctor(command(commands.doctor, "say what this host can measure"))
    return top


def _demo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", default="demo", metavar="DIR", help="folder to write (%(default)s)"
    )
    _overwrite(command)
    _seed(command)


def _phantoms(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", metavar="PHANTOM", help="a shipped phantom, or a .toml file")
    command.add_argument("--png", metavar="FILE", help="draw it: image, regions, motion, sampling, coils")
    _seed(command)


def _simulate(command: argparse.ArgumentParser) -> None:
    command.add_argument("phantom", metavar="PHANTOM", help="name of a shipped phantom, or a .toml file")
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder of the stream")
    _overwrite(command)
    length = command.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="length of the scan")
    length.add_argument("--frames", type=int, help="length of the scan in frames")
    default = ScanProtocol().file_values()
    for option, kind, what in (
        ("acceleration", float, "undersampling"),
        ("sampler", str, "pattern"),
        ("order", str, "order of a frame's lines"),
        ("snr", float, "SNR of the target, inf for no noise"),
        ("tr_ms", float, "repetition time"),
        ("te_ms", float, "echo time"),
        ("flip_deg", float, "flip angle"),
        ("field_t", float, "0.5, 1.5 or 3"),
        ("coils", int, "loops around the body, 1 to 32"),
        ("timing", str, "or retrospective"),
        ("rendering", str, "or raster, the inverse crime"),
    ):
        name = "--" + option.replace("_", "-")
        command.add_argument(name, type=kind, default=default[option], help=f"{what} (%(default)s)")
    for name, kind, pair, metavar in (
        ("--matrix", int, default["matrix"], ("NY", "NX")),
        ("--fov-mm", float, default["fov_mm"], ("Y", "X")),
    ):
        shown = " ".join(f"{value:g}" for value in pair)
        command.add_argument(name, type=kind, nargs=2, default=pair, metavar=metavar, help=f"({shown})")
    command.add_argument("--engine", default=ENGINES[0], help="or isochromats, spin by spin (%(default)s)")
    command.add_argument(
        "--spins",
        type=int,
        metavar="N",
        help=f"isochromats: across the field of view, each way ({SPINS_PER_SIDE})",
    )
    command.add_argument(
        "--catalysation",
        metavar="HOW",
        help=f"isochromats, --pulseq: alpha/2, none or dummy TRs ({CATALYSATION})",
    )
    command.add_argument("--t2-prime-ms", type=float, metavar="MS", help="isochromats: T2' of all tissues")
    command.add_argument(
        "--field-hz", type=float, nargs=6, metavar="C",
        help="isochromats: off-resonance, coefficients of 1, x, y, x^2, xy, y^2 (metres)",
    )  # fmt: skip
    command.add_argument(
        "--breathing-field-hz-per-m", type=float, nargs=6, metavar="C",
        help="isochromats: the same for each metre that the target moves",
    )  # fmt: skip
    command.add_argument(
        "--combine", default=COMBINATIONS[0], metavar="HOW",
        help="prewhiten the coils' noise, or sense: combine whole frames into one channel (%(default)s)",
    )  # fmt: skip
    command.add_argument("--pulseq", metavar="FILE.seq", help="write the sequence of the scan, too")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the phantom, such as motion.breathing.amplitude_mm=20; may be repeated",
    )
    _seed(command)


def _dataset(command: argparse.ArgumentParser) -> None:
    dataset_command.add_options(command)


def _train(command: argparse.ArgumentParser) -> None:
    command.add_argument("stream", nargs="+", metavar="STREAM", help="streams with truth, of one protocol")
    command.add_argument("-o", "--output", required=True, metavar="WEIGHTS", help=".npz file to write")
    command.add_argument(
        "--network", default="compact",
        help="compact, population or dietz2019 (%(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--config", action="append", default=[], metavar="KEY=VALUE",
        help="change the network, such as blocks=5 or lam=10; may be repeated",
    )  # fmt: skip
    command.add_argument(
        "--stages", default="coarse,fine", help="coarse, fine or both, in this order (%(default)s)"
    )
    command.add_argument(
        "--epochs",
        type=int,
        nargs=2,
        default=(14, 6),
        metavar=("COARSE", "FINE"),
        help="of each stage (14 6)",
    )
    command.add_argument(
        "--rates", type=float, nargs=2, metavar=("COARSE", "FINE"),
        help="learning rate at the start of each stage (5e-4 1e-4 with a subspace, else 2e-3 4e-4)",
    )  # fmt: skip
    command.add_argument("--batch", type=int, default=4, help="frames in a step (%(default)s)")
    command.add_argument("--columns", type=int, default=64, help="columns that a step sees (%(default)s)")
    command.add_argument(
        "--until-s", type=float, metavar="S", help="train on the time before this; what follows is for tests"
    )
    command.add_argument(
        "--target-instant", default="last", help="what to show: last, centre or last+MS (%(default)s)"
    )
    command.add_argument(
        "--redraw", type=_count, default=0, metavar="N", help="sample the same scan anew, N times, in turn"
    )
    command.add_argument(
        "--undersample", type=float, default=1.0, metavar="R",
        help="leave rows out of fully sampled scans, others in every epoch; shows what all rows give",
    )  # fmt: skip
    command.add_argument("--augment", action="store_true", help="shift and warp the training frames")
    command.add_argument(
        "--balanced", action="store_true", help="weigh each frame's error by that of what it starts from"
    )
    command.add_argument("--shift-px", type=float, default=2.0, help="with --augment, at most (%(default)s)")
    command.add_argument("--warp-px", type=float, default=1.0, help="with --augment, at most (%(default)s)")
    command.add_argument(
        "--patience", type=_count, default=0, metavar="EPOCHS",
        help="end a stage early, at its best epoch, when validation stops falling; 0: never (%(default)s)",
    )  # fmt: skip
    command.add_argument("--from", dest="first", metavar="WEIGHTS", help="weights to start from")
    command.add_argument(
        "--blocks-from",
        dest="blocks",
        metavar="WEIGHTS",
        help="weights to start the blocks from, such as those of other patients; the subspace is learnt anew",
    )
    command.add_argument("--keep-stages", action="store_true", help="write each stage's weights, too")
    command.add_argument("--half", action="store_true", help="store the weights in half precision")
    command.add_argument(
        "--restart", action="store_true", help="do not go on from a training that was killed"
    )
    command.add_argument("--log", metavar="FILE", help="write loss against epoch, as .csv")
    command.add_argument("--precision", default="float32", help="or bfloat16 (%(default)s)")
    command.add_argument("--device", default="cpu", help="or cuda (%(default)s)")
    _seed(command)


def _table(command: argparse.ArgumentParser) -> None:
    table_command.add_options(command)
    _seed(command)


def _replay(command: argparse.ArgumentParser) -> None:
    _play(command)
    command.add_argument("--report", metavar="FILE", help="write the run as a page, too (.html)")
    command.set_defaults(audit=False)


def _report(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", dest="report", required=True, metavar="FILE", help="page to write (.html)"
    )
    command.add_argument("--no-audit", dest="audit", action="store_false", help="leave the audits out")
    _play(command)


def _play(command: argparse.ArgumentParser) -> None:
    command.add_argument("stream", metavar="STREAM", help="folder of a stream")
    command.add_argument("candidate", metavar="CANDIDATE", help=", ".join(known()))
    _bar(command)
    command.add_argument("--frames", type=int, help="replay only so many first frames")
    command.add_argument(
        "--scenario",
        default="constant-stream",
        help="constant-stream, burst, find-peak or lockstep (%(default)s)",
    )
    command.add_argument(
        "--policy",
        default="keep-all",
        help="of a queue that grows: keep-all, latest or bounded:N (%(default)s)",
    )
    command.add_argument("--service", metavar="FILE", help="play the service times of an earlier --samples")
    command.add_argument("--samples", metavar="FILE", help="write every raw stamp, as .npz")
    command.add_argument(
        "--faults", default="", metavar="TEXT", help="such as 'drop:p=0.01,burst=4;nan:every=500'"
    )
    _isolate(command)
    command.add_argument("--warmup", type=_count, help="first images that are reported apart (at most 8)")
    command.add_argument(
        "--stride", type=_count, metavar="LINES", help="an image of the newest lines after every so many"
    )
    command.add_argument(
        "--over", choices=("TR", "stride"), default="TR", help="what find-peak shortens (%(default)s)"
    )
    _seed(command)
    _json(command)


def _bar(command: argparse.ArgumentParser) -> None:
    """Add what a replay is judged by."""
    command.add_argument("--clock", choices=("real", "virtual"), default="real", help="%(default)s")
    command.add_argument("--profile", default="keep-up", help="latency limits: a name or .toml (%(default)s)")
    command.add_argument("--downstream-ms", type=float, metavar="MS", help="delay after the image")
    command.add_argument(
        "--claim", type=float, help="share of images that must meet the deadline (the profile's)"
    )
    command.add_argument("--repeat", type=_count, default=1, help="replays judged together (%(default)s)")
    command.add_argument("--no-quality", action="store_true", help="measure time alone")


def _check(command: argparse.ArgumentParser) -> None:
    command.add_argument("candidate", metavar="CANDIDATE", help=", ".join(known()))
    command.add_argument("stream", nargs="+", metavar="STREAM", help="folders of streams")
    _bar(command)
    command.add_argument("--isolate", action="store_true", help="run the candidate in a process of its own")
    command.add_argument(
        "--limit-s", type=float, default=3600.0, metavar="S", help="end it all after this time (%(default)s)"
    )
    _seed(command)
    _json(command)


def _compare(command: argparse.ArgumentParser) -> None:
    command.add_argument("candidate", nargs="+", metavar="CANDIDATE", help=", ".join(known()))
    command.add_argument(
        "--on",
        nargs="+",
        action="extend",
        required=True,
        metavar="STREAM",
        help="folders of streams with truth",
    )
    command.add_argument("--frames", type=int, help="only so many first frames of each stream")
    command.add_argument(
        "--lockstep",
        action="store_true",
        help="images alone, in virtual time: exact, and the same every time",
    )
    command.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="with --lockstep: on a Dask cluster, such as tcp://127.0.0.1:8786",
    )
    command.add_argument("--repeat", type=_count, default=3, help="rounds of replays at TR (%(default)s)")
    command.add_argument(
        "--segment-s", type=float, default=5.0, metavar="S",
        help="candidates take turns after so much of a scan (%(default)s)",
    )  # fmt: skip
    _isolate(command)
    _seed(command)
    _json(command)


def _audit(command: argparse.ArgumentParser) -> None:
    command.add_argument("candidate", metavar="CANDIDATE", help=", ".join(known()))
    command.add_argument(
        "stream", nargs="?", metavar="STREAM", help="folder of a stream; default: one is made"
    )
    _isolate(command)
    _seed(command)
    _json(command)


def _serve(command: argparse.ArgumentParser) -> None:
    from harness.cli.serve import add_arguments

    add_arguments(command)


def _guard(command: argparse.ArgumentParser) -> None:
    command.add_argument("base", metavar="BASE", help="the candidate that is there")
    command.add_argument("new", metavar="NEW", help="the candidate that is to replace it")
    command.add_argument(
        "stream", nargs="?", metavar="STREAM", help="folder of a stream; default: one is made"
    )
    command.add_argument(
        "--factor", type=float, default=1.15, help="new may take this many times as long (%(default)s)"
    )
    command.add_argument("--images", type=int, default=240, help="pairs of images (%(default)s)")
    command.add_argument("--isolate", action="store_true", help="run each in a process of its own")
    command.add_argument(
        "--limit-s", type=float, default=30.0, metavar="S", help="wait for an image (%(default)s)"
    )
    _seed(command)
    _json(command)


def _isolate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--isolate", action="store_true", help="run the candidate in a process of its own")
    command.add_argument(
        "--limit-s", type=float, metavar="S", help="with --isolate for one line, else for the whole replay"
    )


def _convert(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", metavar="SRC", help="folder of a stream, or an HDF5 file")
    command.add_argument("target", metavar="DST", help="a name that ends in .h5 or .mrd, or a folder")
    command.add_argument(
        "--layout", choices=("mrd", "fastmri"), default="mrd", help="of a file to write (%(default)s)"
    )
    command.add_argument(
        "--oversampling", choices=("none", "reported", "unreported"), default="none",
        help="write 2x readout oversampling, with or without it in the encoded space (%(default)s)",
    )  # fmt: skip
    reading = command.add_argument_group("of a file that is read, where it does not say so itself")
    reading.add_argument("--tr-ms", type=float, metavar="MS", help="repetition time")
    reading.add_argument("--te-ms", type=float, metavar="MS", help="echo time (half of TR)")
    reading.add_argument("--flip-deg", type=float, metavar="DEG", help="flip angle (20)")
    reading.add_argument("--field-t", type=float, metavar="T", help="static field")
    reading.add_argument("--lines-per-frame", type=int, metavar="N", help="cut frames anew, by time")
    reading.add_argument("--slice", type=int, metavar="N", help="the slice to take, of several")
    reading.add_argument("--prewhiten", action="store_true", help="by the noise scans in the file")
    _overwrite(command)


def _doctor(command: argparse.ArgumentParser) -> None:
    _json(command)


def _overwrite(command: argparse.ArgumentParser) -> None:
    command.add_argument("--overwrite", action="store_true", help="replace a stream that is there already")


def _seed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=_count, default=0, help="reproduces everything (%(default)s)")


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of 0 or more")
    return value


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", metavar="FILE", help="write the result as JSON, too")
