"""Profiles: limits on time, on the target and on images, as data.

A profile states what is limited and how tightly. The limit on time is converted into a time from the moment
an image's last line is due, so that one verdict serves all profiles. A limit on the total includes the
motion of the anatomy meanwhile: the apparent lag and the delay downstream are subtracted first. The bars on
the target and on images are compared with the figures of the same name (`harness.judge.bars`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.judge.outcome import Outcome, Verdict
from harness.measure.exact_statistics import LEAST_CLAIM
from harness.measure.lag import Lag
from mrsim.errors import InputError, Option, OptionError
from mrsim.files.toml import read_toml
from mrsim.stream import Header

MAX_FILE_BYTES = 1 << 16
MAX_MS = 1e6
MEASURES = ("response", "total")
BEAM_BARS = ("duty_of_ideal", "coverage", "stray_share", "stray_longest_ms", "d98")
SHARES = ("duty_of_ideal", "coverage", "stray_share", "d98", "ssim", "dice")


@dataclass(frozen=True, slots=True)
class Profile:
    """State a limit on latency.

    Parameters
    ----------
    name
        Its name.
    about
        Its purpose, in one line.
    measure
        "response": from an image's last line being due to the image. "total": from the anatomy to the beam,
        which is the apparent lag, the time from the last echo to the image, and the delay downstream.
    limit_ms
        The limit, milliseconds; None for the cadence of the images.
    claim
        Share of images that must keep the limit.
    downstream_ms
        Delay after the image, milliseconds; None if the user has to state it.
    window_mm
        Half width of a gating window around the planned position, millimetres; None if nothing is gated.
    beam
        Name or .toml file of the beam whose figures are limited; None for one that is gated by `window_mm`,
        or for none.
    m95_mm
        Greatest margin M95 of what is displayed, millimetres; infinite for no bar.
    availability
        Least share of the time for which the target can be followed; 0 for no bar.
    silent
        Greatest share of the time with a silent failure on display; 1 for no bar.
    duty_of_ideal, coverage, stray_share, stray_longest_ms, d98
        Bars on the beam: least duty as a share of the ideal one, least share of the target's time covered,
        greatest share of the beam's time astray, longest such time in milliseconds, least relative D98. None
        for no bar.
    nmse, ssim, dice, gain
        Bars on images: greatest mean NMSE, least mean SSIM and Dice, least gain of the motion. None for no
        bar.
    """

    name: str
    about: str
    measure: str = "response"
    limit_ms: float | None = None
    claim: float = 0.99
    downstream_ms: float | None = 0.0
    window_mm: float | None = None
    beam: str | None = None
    m95_mm: float = 3.0
    availability: float = 0.99
    silent: float = 0.01
    duty_of_ideal: float | None = None
    coverage: float | None = None
    stray_share: float | None = None
    stray_longest_ms: float | None = None
    d98: float | None = None
    nmse: float | None = None
    ssim: float | None = None
    dice: float | None = None
    gain: float | None = None

    def __post_init__(self) -> None:
        checks = [
            (bool(self.name) and len(self.name) <= 80, "name", "1 to 80 characters"),
            (self.measure in MEASURES, "measure", f"one of {', '.join(MEASURES)}"),
            (LEAST_CLAIM <= self.claim < 1, "claim", f"a share from {LEAST_CLAIM:g} to below 1"),
            (self.measure != "total" or self.limit_ms is not None, "limit_ms", "a limit, for a total"),
        ]
        for key in ("limit_ms", "downstream_ms", "window_mm"):
            value = getattr(self, key)
            low = key == "downstream_ms"
            fits = value is None or (math.isfinite(value) and (0 if low else 1e-9) <= value <= MAX_MS)
            checks.append((fits, key, f"{'0' if low else 'above 0'} to {MAX_MS:g}"))
        checks += [
            (self.m95_mm > 0, "m95_mm", "millimetres above 0, or inf for no bar"),
            (self.beam is None or bool(self.beam), "beam", "the name of a beam, or a .toml file"),
            (self.beam is None or self.window_mm is None, "window_mm", "either a window or a beam, not both"),
            (
                not self.beam_bars or self.beam is not None or self.window_mm is not None,
                next(iter(self.beam_bars), "beam"),
                "a beam to go with it: beam or window_mm",
            ),
        ]
        for key in ("availability", "silent", *SHARES):
            value = getattr(self, key)
            checks.append((value is None or 0 <= value <= 1, key, "a share from 0 to 1"))
        for key in ("stray_longest_ms", "nmse", "gain"):
            value = getattr(self, key)
            checks.append((value is None or 0 <= value <= MAX_MS, key, f"0 to {MAX_MS:g}"))
        for holds, key, expected in checks:
            if not holds:
                raise InputError(
                    f"profile {self.name[:80]!r}: {key} = {getattr(self, key)!r}: expected {expected}"
                )

    @property
    def needs_quality(self) -> bool:
        """Return whether the images must be measured, too."""
        image = any(getattr(self, key) is not None for key in ("nmse", "ssim", "dice", "gain"))
        return self.measure == "total" or self.window_mm is not None or self.beam is not None or image

    @property
    def beam_bars(self) -> dict[str, float]:
        """Return the bars on the beam."""
        stated = {key: getattr(self, key) for key in BEAM_BARS}
        return {key: value for key, value in stated.items() if value is not None}


SHIPPED = {
    profile.name: profile
    for profile in (
        Profile("keep-up", "the default: p99 of the response under the cadence, and M95 within 3 mm"),
        Profile("dietz2019", "an image within 100 ms, hoped for in 2019 (ISMRM 4784)", limit_ms=100.0),
        Profile("paper", "an image within 65 ms (Phys Med Biol 2019;64:195002)", limit_ms=65.0),
        Profile("one-TR", "p99 of the response under one TR of 2.2 ms", limit_ms=2.2),
        Profile("tracking", "total lag under 200 ms, to steer a beam", "total", 200.0),
        Profile(
            "gating", "total under 500 ms with the beam's own delay (AAPM TG-76)", "total", 500.0,
            downstream_ms=None, window_mm=3.0, m95_mm=math.inf, duty_of_ideal=0.8, stray_share=0.05,
        ),
    )
}  # fmt: skip


def load_profile(name: str) -> Profile:
    """Return a shipped profile, or one from a TOML file whose keys are the fields of `Profile`.

    Parameters
    ----------
    name
        Name of a shipped profile, or path of a .toml file.

    Raises
    ------
    InputError
        If there is no such profile, or the file is not one.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise InputError(f"profile {name[:80]!r}: expected one of {', '.join(SHIPPED)}, or a .toml file")
    return _profile_of(read_toml(path, MAX_FILE_BYTES, "a profile"), str(path))


_KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "about": (str,),
    "measure": (str,),
    "limit_ms": (int, float),
    "claim": (int, float),
    "downstream_ms": (int, float),
    "window_mm": (int, float),
    "beam": (str,),
    **dict.fromkeys(
        ("m95_mm", "availability", "silent", *BEAM_BARS, "nmse", "ssim", "dice", "gain"), (int, float)
    ),
}


def _profile_of(values: dict[str, Any], where: str) -> Profile:
    for key, value in values.items():
        if key not in _KEYS:
            raise InputError(f"{where}: unknown key {key[:80]!r}; known: {', '.join(_KEYS)}")
        if isinstance(value, bool) or not isinstance(value, _KEYS[key]):
            raise InputError(
                f"{where}: {key} is a {type(value).__name__}: expected {_KEYS[key][-1].__name__}"
            )
        if isinstance(value, int) and abs(value) > 1e15:
            raise InputError(f"{where}: {key}: the number is too large")
    if "name" not in values:
        raise InputError(f"{where}: missing key 'name'")
    try:
        return Profile(**{"about": where, **values})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


@dataclass(frozen=True, slots=True)
class Criterion:
    """Hold a profile with the delay downstream that applies to one run.

    Parameters
    ----------
    profile
        The profile.
    downstream_ms
        Delay after the image, milliseconds.
    """

    profile: Profile
    downstream_ms: float

    @classmethod
    def of(cls, profile: Profile, downstream_ms: float | None) -> Criterion:
        """Return a profile with the delay downstream that the user states.

        Parameters
        ----------
        profile
            The profile.
        downstream_ms
            Delay after the image, milliseconds; None for the profile's.

        Raises
        ------
        InputError
            If the profile needs a delay and there is none, or takes none.
        """
        stated = profile.downstream_ms if downstream_ms is None else downstream_ms
        if stated is None:
            raise OptionError(
                "profile {}: state what the beam takes after the image: {}",
                profile.name,
                Option("downstream_ms", 150),
            )
        if not 0 <= stated <= MAX_MS:
            raise OptionError("{}: expected 0 to {:g}", Option("downstream_ms", stated), MAX_MS)
        if downstream_ms is not None and profile.measure == "response":
            raise OptionError(
                "profile {} limits the response alone: leave out {}", profile.name, Option("downstream_ms")
            )
        return cls(profile, stated)

    def deadline_ns(self, header: Header, cadence_ns: int, lag: Lag | None) -> int | Verdict:
        """Return the time that an image may take from its last line being due, nanoseconds.

        Parameters
        ----------
        header
            The scan's protocol.
        cadence_ns
            Cadence of the images, nanoseconds.
        lag
            Apparent lag of the run, for a limit on the total; None if no image came.

        Returns
        -------
        deadline
            A verdict instead if no time is left, or no lag can be claimed.
        """
        profile = self.profile
        if profile.limit_ms is None:
            return cadence_ns
        limit_ns = round(profile.limit_ms * 1e6)
        if profile.measure == "response":
            return limit_ns
        if lag is None:
            return Verdict(Outcome.FAIL, f"{profile.name}: no image came, so there is nothing to follow")
        if lag.claimed_ns is None:
            outcome = Outcome.INSUFFICIENT if lag.gain is None else Outcome.FAIL
            return Verdict(outcome, f"{profile.name}: no lag can be claimed: {lag.reason}")
        # The upper end of its interval: the limit must hold even if the lag is that long.
        lag_ns = lag.claimed_ns if lag.interval_ns is None else max(lag.claimed_ns, lag.interval_ns[1])
        # An image's last line is due at the end of its TR, TR - TE after its echo.
        left_ns = limit_ns - self.downstream_ms * 1e6 - lag_ns - (header.tr_ns - header.te_ns)
        if left_ns <= 0:
            spent = (
                f"{profile.name}: lag {lag_ns / 1e6:.0f} ms and {self.downstream_ms:g} ms downstream leave"
            )
            return Verdict(Outcome.FAIL, f"{spent} nothing of {profile.limit_ms:g} ms")
        return int(left_ns)
