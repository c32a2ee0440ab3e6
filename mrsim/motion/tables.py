"""The [motion.NAME] tables of a phantom's file."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mrsim.errors import InputError, PhantomError
from mrsim.motion.courses import Breathing, Motion, Static
from mrsim.motion.drives import MAX_DELAY_S, Cough, Delayed, Derived, Heart, Sum
from mrsim.motion.irregular import Modulated, Wander
from mrsim.motion.trace import MAX_SAMPLES, Trace, read_csv, read_csv_file
from mrsim.toml_tables import NAME_RULE, Keys, Table, is_name

STATIC = "static"

AnyMotion = Motion | Derived


def read_motions(table: Any, where: str) -> dict[str, AnyMotion]:
    """Read all motions.

    Parameters
    ----------
    table
        The tables by name.
    where
        How errors name the file.

    Returns
    -------
    motions
        By name, "static" first; a motion comes after those that it is derived from.

    Raises
    ------
    PhantomError
        It names the motion and the key.
    """
    if not isinstance(table, dict):
        raise PhantomError(f"{where}: motion: expected tables [motion.NAME]")
    motions: dict[str, AnyMotion] = {STATIC: Static()}
    for name, entry in table.items():
        here = f"{where}: motion {name!r}"
        if not is_name(name):
            raise PhantomError(f"{here[:300]}: expected {NAME_RULE}")
        if name == STATIC:
            raise PhantomError(f"{here}: this name is taken: it stands for no motion")
        keys = Keys(entry, here)
        kind = keys.name("kind", "breathing")
        if kind not in _KINDS:
            raise PhantomError(f"{here}: kind = {kind!r}: expected one of {', '.join(_KINDS)}")
        make = _KINDS[kind](keys)
        keys.done()
        try:
            motion = make()
        except InputError as error:
            raise PhantomError(f"{here}: {error}") from None
        for source in motion.sources if isinstance(motion, Derived) else ():
            if source not in motions:
                raise PhantomError(
                    f"{here}: of = {source!r}: no motion above has this name; known: {', '.join(motions)}"
                )
        motions[name] = motion
    return motions


def embed_traces(table: Table, folder: Path | None, where: str) -> None:
    """Put the samples of recorded traces in the place of their files' names, so that the text is whole.

    Parameters
    ----------
    table
        A parsed definition; it is changed.
    folder
        Where relative names start; None for the folder of the shipped phantoms.
    where
        How errors name the file.

    Raises
    ------
    PhantomError
        If a file cannot be read, or is no trace: it names the motion and the file.
    """
    motions = table.get("motion")
    for name, entry in motions.items() if isinstance(motions, dict) else ():
        if not (isinstance(entry, dict) and entry.get("kind") == "trace" and "file" in entry):
            continue
        file = entry["file"]
        if not isinstance(file, str) or not file.endswith(".csv") or "\0" in file:
            raise PhantomError(
                f"{where}: motion {name!r}: file = {str(file)[:80]!r}: expected the name of a .csv file"
            )
        try:
            if folder is None and not Path(file).is_absolute():
                t_s, value_mm = read_shipped(file)
            else:
                t_s, value_mm = read_csv_file((folder or Path()) / file)
        except InputError as error:
            raise PhantomError(f"{where}: motion {name!r}: file: {error}") from None
        del entry["file"]
        entry |= {"source": Path(file).name, "t_s": t_s, "value_mm": value_mm}


def read_shipped(file: str) -> tuple[list[float], list[float]]:
    """Read a trace that is shipped, named within `phantoms/`; see `read_csv`."""
    shipped = importlib.resources.files("phantoms") / file
    if not shipped.is_file():
        raise PhantomError(f"phantoms/{file}: no such file")
    return read_csv(shipped.read_bytes(), f"phantoms/{file}")


def _breathing(keys: Keys) -> Callable[[], AnyMotion]:
    values: dict[str, Any] = {
        "amplitude_m": keys.within("amplitude_mm", 0, 100) / 1e3,
        "period_s": keys.within("period_s", 0.5, 60),
        "exponent": keys.within("exponent", 1, 16, 2),
        "amplitude_sd": keys.within("amplitude_sd", 0, 0.5, 0.0),
        "period_sd": keys.within("period_sd", 0, 0.5, 0.0),
        "baseline_m": keys.within("baseline_mm", -100, 100, 0.0) / 1e3,
        "drift_m_per_s": keys.within("drift_mm_per_min", -60, 60, 0.0) / 60e3,
        "phase": keys.within("phase", 0, 1, 0.0),
        "hold_at_s": keys.within("hold_at_s", 0, 86400, 0.0),
        "hold_s": keys.within("hold_s", 0, 120, 0.0),
        "hold_every_s": keys.within("hold_every_s", 0, 86400, 0.0),
        "deep_amplitude_m": keys.within("deep_amplitude_mm", 0, 100, 0.0) / 1e3,
    }
    return lambda: Breathing(**values)


def _heart(keys: Keys) -> Callable[[], AnyMotion]:
    values: dict[str, Any] = {
        "amplitude_m": keys.within("amplitude_mm", 0, 50) / 1e3,
        "period_s": keys.within("period_s", 0.25, 5),
        "systole": keys.within("systole", 0.05, 0.9, 0.35),
        "filling": keys.within("filling", 0.05, 0.9, 0.25),
        "amplitude_sd": keys.within("amplitude_sd", 0, 0.3, 0.0),
        "period_sd": keys.within("period_sd", 0, 0.3, 0.0),
        "phase": keys.within("phase", 0, 1, 0.0),
    }
    return lambda: Heart(**values)


def _cough(keys: Keys) -> Callable[[], AnyMotion]:
    values: dict[str, Any] = {
        "amplitude_m": keys.within("amplitude_mm", 0, 100) / 1e3,
        "every_s": keys.within("every_s", 1, 86400),
        "burst_s": keys.within("burst_ms", 100, 2000, 350) / 1e3,
        "bursts": keys.within("bursts", 1, 10, 3),
    }
    return lambda: Cough(**values)


def _delayed(keys: Keys) -> Callable[[], AnyMotion]:
    source = keys.name("of")
    delay_s = keys.within("delay_ms", -MAX_DELAY_S * 1e3, MAX_DELAY_S * 1e3) / 1e3
    return lambda: Delayed(source, delay_s)


def _sum(keys: Keys) -> Callable[[], AnyMotion]:
    sources = keys.names("of")
    return lambda: Sum(sources)


def _wander(keys: Keys) -> Callable[[], AnyMotion]:
    values = {
        "amplitude_m": keys.within("amplitude_mm", 0, 20) / 1e3,
        "period_s": keys.within("period_s", 0.25, 3600),
        "longest_s": keys.within("longest_s", 0.25, 86400),
    }
    return lambda: Wander(**values)


def _modulated(keys: Keys) -> Callable[[], AnyMotion]:
    source, by = keys.name("of"), keys.name("by")
    share_per_m = keys.within("share_percent_per_mm", -1000, 1000) * 10
    return lambda: Modulated(source, by, share_per_m)


def _trace(keys: Keys) -> Callable[[], AnyMotion]:
    keys.take("source", "")
    t_s, value_mm = keys.numbers("t_s", MAX_SAMPLES), keys.numbers("value_mm", MAX_SAMPLES)
    scale, repeat = keys.within("scale", -10, 10, 1.0), keys.flag("repeat", False)
    value_m = tuple(v / 1e3 for v in value_mm)
    return lambda: Trace(t_s, value_m, scale, repeat)


_KINDS: Mapping[str, Callable[[Keys], Callable[[], AnyMotion]]] = {
    "breathing": _breathing,
    "heart": _heart,
    "cough": _cough,
    "delayed": _delayed,
    "sum": _sum,
    "wander": _wander,
    "modulated": _modulated,
    "trace": _trace,
}
