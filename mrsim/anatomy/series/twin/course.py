"""Where a twin is at every instant, as its ride and a seed have it.

Every course leads through the recording: at each instant the twin is at a place of it, or on its way from one
to another. Modes and states are those of that place, so that nothing is alike from breath to breath but what
was. A drive moves the first mode itself. A breath of it runs through a recorded breath that is drawn among
those about as deep, by value and direction; where two breaths meet, one turns smoothly into the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.series.text import RECORDED
from mrsim.anatomy.series.twin.breaths import breaths_of, upright
from mrsim.anatomy.series.twin.moving import State
from mrsim.anatomy.series.twin.ride import BREATHING, BREATHS, Ride
from mrsim.anatomy.series.twin.twin import Twin, stretch
from mrsim.errors import PhantomError, ProtocolError
from mrsim.motion.courses import Breathing, Drive
from mrsim.seeds import child

Array = NDArray[np.float64]
Times = NDArray[np.int64]

MAX_NS = 3600 * 10**9
"""Longest scan of a twin that is driven: one hour."""
LEAST_STRETCH = 0.1
"""The least determinant of I + grad u that a scan may reach: fields that fold are refused."""
MEET_NS = 250_000_000
"""Time from the meeting of two breaths to where each is itself alone, at most."""
ALIKE = 3
"""Recorded breaths, nearest in depth, that one is drawn from."""
_STEP_NS = 50_000_000
_SMOOTH = 2  # steps: width of the Gaussian along a breath's places
_PARTS = 65  # places of a breath, by value, that are kept for each direction
_LOOKED_AT = 4000  # instants of a scan in which the fields' folding is looked for


class Course:
    """Lead a twin through a scan.

    Parameters
    ----------
    twin
        The twin.
    ride
        What drives it.
    seed
        Seed of the scan.
    where
        How errors name it.

    Raises
    ------
    PhantomError
        If the recording has too few breaths for the drive.
    """

    def __init__(self, twin: Twin, ride: Ride, seed: int, where: str) -> None:
        self._twin, self._ride, self._where = twin, ride, where
        if ride.drive == RECORDED:
            return
        self._breaths = breaths_of(twin.values[:, 0])
        if len(self._breaths) < 2:
            raise PhantomError(
                f"{where}: drive = {ride.drive!r}: {len(self._breaths)} whole breaths were recorded, and two "
                f"are needed; drive = {RECORDED!r} needs none"
            )
        self._rng = np.random.default_rng(child(seed, "twin"))
        self._ends = twin.t_ns[self._breaths]
        value = twin.values[:, 0][self._breaths]
        self._depth = value[:, 1] - (value[:, 0] + value[:, 2]) / 2
        self._rest = float(np.median(value[:, [0, 2]]))
        if ride.drive == BREATHS:
            self._in_turn()
        else:
            self._driven(seed)

    def at(self, t_ns: Times) -> State:
        """Return where the twin is at instants, shape (n,), int64, nanoseconds."""
        ride, t_ns = self._ride, np.ascontiguousarray(t_ns, np.int64)
        if ride.drive == RECORDED:
            place = np.rint(t_ns / ride.slow).astype(np.int64) + round(ride.shift_s * 1e9)
            values = self._twin.at(place)
            frames, shares = self._twin.mixed(place)
        else:
            self._check(int(t_ns.max(initial=0)))
            values, frames, shares = self._pieced(t_ns)
        moving = values
        if ride.drive not in (RECORDED, BREATHS):
            moving = values.copy()
            moving[:, 0] = self._drive_px(t_ns)
        moving = moving if ride.scale == 1 else moving * ride.scale
        return State(
            np.ascontiguousarray(moving), moving if ride.weight == "intensity" else values, frames, shares
        )

    def check(self, stop_ns: int) -> None:
        """Raise an error if a scan cannot be so long, or its fields fold.

        Raises
        ------
        ProtocolError
            It names the instant, and what to change.
        """
        if self._ride.drive != RECORDED:
            self._check(stop_ns)
        most = min(stop_ns, MAX_NS)
        t_ns = np.linspace(0, most, min(_LOOKED_AT, most // _STEP_NS + 2)).astype(np.int64)
        values = self.at(t_ns).values
        directions = np.concatenate([np.eye(values.shape[1]), _spread(values.shape[1])])
        reached = values @ directions.T
        for n in sorted({*reached.argmax(axis=0).tolist(), *reached.argmin(axis=0).tolist()}):
            least = float(stretch(self._twin.field(values[n])).min())
            if least < LEAST_STRETCH:
                raise ProtocolError(
                    f"{self._where}: scale = {self._ride.scale:g}: at {t_ns[n] * 1e-9:.1f} s tissue would be "
                    f"pressed to {max(least, 0.0):.2f} of its size, {LEAST_STRETCH:g} is the least; take a "
                    "smaller scale"
                )

    def _check(self, stop_ns: int) -> None:
        if stop_ns > MAX_NS:
            raise ProtocolError(
                f"{self._where}: the scan takes {stop_ns * 1e-9:.0f} s; a twin that is driven goes on for "
                f"{MAX_NS // 10**9} s at most"
            )

    def _in_turn(self) -> None:
        """Lay recorded breaths end to end, in a drawn order."""
        length = np.rint((self._ends[:, 2] - self._ends[:, 0]) * self._ride.slow).astype(np.int64)
        start = -round(self._ride.shift_s * 1e9)
        most = (MAX_NS + 2 * MEET_NS - start) // int(length.min()) + 2
        self._chosen = self._drawn(np.zeros((most, len(length))), slice(None))
        self._begins = start + np.append(0, np.cumsum(length[self._chosen])[:-1])
        self._settle()

    def _drawn(self, unlike: Array, modes: slice) -> NDArray[np.int64]:
        """Draw a recorded breath for each of a course, among the few that go best.

        A breath goes the better the more it is like the one that is asked for (`unlike`, shape (breaths,
        recorded)), the less `modes` jump where it meets the one before, and the rarer it has come.
        """
        values = self._twin.values[self._breaths][:, :, modes]
        jump = np.sqrt(((values[:, 2, None] - values[None, :, 0]) ** 2).sum(axis=-1))
        often = float(np.median(jump)) / 2
        came = np.zeros(len(jump))
        chosen = np.empty(len(unlike), np.int64)
        some = min(ALIKE, len(jump))
        draw = self._rng.integers(0, some, len(unlike))
        last: int | None = None
        for n, cost in enumerate(unlike):
            total = cost + often * (came - came.min())
            if last is not None:
                total = total + jump[last]
                total[last] += often
            last = int(np.argsort(total, kind="stable")[draw[n]])
            chosen[n] = last
            came[last] += 1
        return chosen

    def _driven(self, seed: int) -> None:
        """Find the breaths of the drive, and draw a recorded one for each."""
        ride = self._ride
        t_ns = np.arange(0, MAX_NS + 2 * _STEP_NS, _STEP_NS, dtype=np.int64)
        if ride.drive == BREATHING:
            spread = self._depth.std() / self._depth.mean()
            period = (self._ends[:, 2] - self._ends[:, 0]) * 1e-9
            self._drive: Drive = Breathing(
                0.01, float(np.clip(np.median(period), 0.5, 60)), 2, float(np.clip(spread, 0, 0.5)),
                float(np.clip(period.std() / period.mean(), 0, 0.5)),
            ).drive(child(seed, "twin", "breathing"))  # fmt: skip
        else:
            self._drive = ride.trace().drive(child(seed, "twin", "trace"))
        value = self._drive.at(self._drive_ns(t_ns))
        self._turn = upright(value)
        value = self._turn * value
        found = breaths_of(value)
        if len(found) < 2:
            raise PhantomError(f"{self._where}: drive = {ride.drive!r}: it has no two breaths in an hour")
        depth = value[found[:, 1]] - (value[found[:, 0]] + value[found[:, 2]]) / 2
        self._gain = float(np.median(self._depth) / np.median(depth))
        self._zero = float(np.median(value[found[:, [0, 2]]]))
        chosen = self._drawn(np.abs(self._depth - self._gain * depth[:, None]), slice(1, None))
        ways = np.stack([self._way(breath) for breath in self._breaths])
        places = [_run(value[a : c + 1], b - a, ways[n]) for (a, b, c), n in zip(found, chosen, strict=True)]
        # What comes before the first breath and after the last belongs to them.
        self._begins, self._from = t_ns[found[:, 0]].copy(), t_ns[found[:, 0]]
        self._begins[0] = 0
        self._first = np.append(0, np.cumsum([len(p) for p in places]))
        self._places = np.concatenate(places)
        self._settle()

    def _settle(self) -> None:
        """Let breaths meet within a quarter of the shorter of them at most."""
        length = np.diff(self._begins)
        shorter = np.minimum(np.append(length[0], length), np.append(length, length[-1]))
        self._meet = np.minimum(MEET_NS, shorter // 4).astype(np.int64)

    def _way(self, breath: NDArray[np.int64]) -> Array:
        """Return places of a recorded breath by value, in and out, shape (2, parts), nanoseconds."""
        out = np.empty((2, _PARTS))
        for side, (first, last) in enumerate(((breath[0], breath[1]), (breath[1], breath[2]))):
            place = np.linspace(self._twin.t_ns[first], self._twin.t_ns[last], 8 * _PARTS)
            value = self._twin.at(np.rint(place).astype(np.int64))[:, 0]
            value = value if side == 0 else value[::-1]
            place = place if side == 0 else place[::-1]
            # Only what is higher than all before counts, so that there is one place for a value.
            higher = np.maximum.accumulate(value)
            rise = np.concatenate([[True], np.diff(higher) > 0])
            share = (higher[rise] - higher[0]) / max(higher[-1] - higher[0], 1e-300)
            out[side] = np.interp(np.linspace(0, 1, _PARTS), share, place[rise])
        return out

    def _drive_ns(self, t_ns: Times) -> Times:
        return np.rint(t_ns / self._ride.slow).astype(np.int64) + round(self._ride.shift_s * 1e9)

    def _drive_px(self, t_ns: Times) -> Array:
        """Return the value of the first mode that the drive asks for, shape (n,), pixels."""
        value = self._turn * self._drive.at(self._drive_ns(t_ns))
        return np.asarray(self._rest + self._gain * (value - self._zero), np.float64)

    def _pieced(self, t_ns: Times) -> tuple[Array, NDArray[np.int64], Array]:
        """Return recorded values, states and shares at instants, each within a breath or between two."""
        last = len(self._begins) - 1
        piece = np.clip(np.searchsorted(self._begins, t_ns, side="right") - 1, 0, last)
        after = np.minimum(piece + 1, last)
        other, away, meet = piece.copy(), np.full(len(t_ns), 1.0), self._meet
        early = (piece > 0) & (t_ns - self._begins[piece] < meet[piece])
        late = (after > piece) & (self._begins[after] - t_ns < meet[after])
        other[early], other[late] = piece[early] - 1, after[late]
        away[early] = (t_ns - self._begins[piece])[early] / np.maximum(meet[piece][early], 1)
        away[late] = (self._begins[after] - t_ns)[late] / np.maximum(meet[after][late], 1)
        part = (1 + away) / 2
        own = part * part * (3 - 2 * part)
        values = np.zeros((len(t_ns), self._twin.values.shape[1]))
        frames, shares = [], []
        for number, share in ((piece, own), (other, 1 - own)):
            place = self._place(number, t_ns)
            values = values + share[:, None] * self._twin.at(place)
            mixed, parts = self._twin.mixed(place)
            frames.append(mixed)
            shares.append(share[:, None] * parts)
        return np.asarray(values), np.concatenate(frames, axis=1), np.concatenate(shares, axis=1)

    def _place(self, piece: NDArray[np.int64], t_ns: Times) -> Times:
        """Return the place of the recording at instants, each seen from a given breath."""
        if self._ride.drive == BREATHS:
            chosen = self._chosen[piece]
            since = np.rint((t_ns - self._begins[piece]) / self._ride.slow).astype(np.int64)
            return np.asarray(self._ends[chosen, 0] + since, np.int64)
        # Beyond its own breath it goes on in the recording at the recording's pace.
        at = (t_ns - self._from[piece]) / _STEP_NS
        most = (self._first[piece + 1] - self._first[piece] - 1).astype(np.float64)
        within = np.clip(at, 0, most)
        below = np.minimum(within.astype(np.int64), most.astype(np.int64) - 1)
        first = self._first[piece] + below
        low, high = self._places[first], self._places[first + 1]
        place = low + (within - below) * (high - low) + (at - within) * _STEP_NS
        return np.asarray(np.rint(place), np.int64)


def _run(value: Array, peak: int, way: Array) -> Array:
    """Return places of a recorded breath, by value and direction, along a breath of a drive.

    Parameters
    ----------
    value
        The drive from rest to rest, shape (n,); `peak` is the number of its highest sample.
    way
        Places by value, in and out, shape (2, parts), nanoseconds.

    Returns
    -------
    places
        Shape (n,), nanoseconds; they never go back. Where the drive rests or turns, value says little of the
        place, so that places are smoothed over a tenth of a second.
    """
    shares = np.linspace(0, 1, way.shape[1])
    inwards = np.maximum.accumulate(value[: peak + 1])
    outwards = np.maximum.accumulate(value[peak:][::-1])[::-1]
    place = np.concatenate(
        [
            np.interp((part - rest) / max(value[peak] - rest, 1e-300), shares, known)
            for part, rest, known in ((inwards, value[0], way[0]), (outwards[1:], value[-1], way[1]))
        ]
    )
    reach = 3 * _SMOOTH
    ends = _STEP_NS * np.arange(1, reach + 1)
    wide = np.concatenate([place[0] - ends[::-1], place, place[-1] + ends])
    weight = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * _SMOOTH**2))
    return np.convolve(wide, weight / weight.sum(), mode="valid")


def _spread(modes: int) -> Array:
    """Return directions of the space of modes, evenly drawn, the same ones always."""
    drawn = np.random.default_rng(0).standard_normal((8 * modes, modes))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float64)
