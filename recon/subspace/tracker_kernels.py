"""Kernels of the tracker: what a line says when it comes, and where the anatomy is after a frame's last one.

By numpy and torch the estimate is some sixty calls on matrices of at most a hundred rows, and a call costs
more than its arithmetic, the more so after two milliseconds in which the caches served others. Here it is one
call. `Subspace.fit` and `KnownStates.correct` say the same in array operations, for many frames at once.

Every sum is formed along contiguous rows, so that the compiler vectorizes it. Only what is called from
without is cached, its helpers within it: so the bits do not depend on what was compiled before.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.compilation import kernel
from recon.subspace.tracker_arrays import CHUNK, Model, Room, Rows

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

FAST = {"reassoc", "contract", "nsz"}
FORGOTTEN = -40.0
"""Logarithm of the share below which a known position counts for nothing."""


@kernel(fastmath=FAST)
def take_lines(newest: Indices, shared: Floats, inverse_scale: float, rows: Rows, line: Floats) -> None:
    """Work out what each row that has changed says of the subspace.

    Parameters
    ----------
    newest
        Line that each row was last taken from, shape (ny,).
    shared
        Those lines, real and imaginary parts in turn, shape (coils, ny, 2 nx).
    inverse_scale
        To the scale of the network.
    rows
        Of them `seen`, `said`, `energy` and `power` are brought up to date.
    line
        Room for one of them in all coils, shape (coils 2 nx,).
    """
    scale = np.float32(inverse_scale)
    for row in range(newest.size):
        if newest[row] == rows.seen[row]:
            continue
        rows.seen[row] = newest[row]
        energy, power = np.float32(0), np.float32(0)
        for coil in range(shared.shape[0]):
            own = slice(coil * shared.shape[2], (coil + 1) * shared.shape[2])
            came, off, mean, air = shared[coil, row], line[own], rows.mean[row, own], rows.air[row, own]
            for i in range(came.size):
                value = came[i] * scale
                off[i] = value - mean[i]
                energy += off[i] * off[i]
                power += air[i] * value * value
        rows.energy[row], rows.power[row] = energy, power
        for k in range(rows.basis.shape[1]):
            said = np.float32(0)
            for i in range(line.size):
                said += rows.basis[row, k, i] * line[i]
            rows.said[row, k] = said


@kernel(fastmath=FAST)
def locate(line: int, rows: Rows, model: Model, room: Room, position: Floats) -> float:
    """Find where the anatomy is at a line.

    Parameters
    ----------
    line
        Index of the newest line.
    rows, model
        What the rows say, and what is known before.
    room
        Room to work in.
    position
        Weight of every component, shape (components,): set.

    Returns
    -------
    misfit
        Variance that the fit leaves over that of the noise.
    """
    oldest, n, size = model.used.size - 1, rows.said.shape[1], len(model.prior)
    used, energy, power, air = 0.0, 0.0, 0.0, 0.0
    for row in range(rows.seen.size):
        age = min(line - rows.seen[row], oldest) if rows.seen[row] >= 0 else oldest
        room.ages[row] = age
        used += model.used[age]
        energy += model.used[age] * rows.energy[row]
        power += model.used[age] * rows.power[row]
        air += model.used[age] * rows.air_samples[row]
    noise = model.noise
    if air >= model.least_air:
        own = power / (2 * air)
        if abs(own / noise - 1) > max(model.differs, model.sure / math.sqrt(air)):
            noise = max(own, 1e-12)
    _normal_equations(rows, model.terms, room)
    _solve(model, noise, room)
    # The lines' energy less what the state x explains of it: N x = told - noise Q x, Q the prior's inverse.
    left = energy
    for i in range(size):
        drawn, before = 0.0, model.prior[i]
        for j in range(size):
            drawn += before[j] * room.state[j]
        left -= room.state[i] * (room.told[i] + noise * drawn)
    left /= rows.mean.shape[1] * max(used, 1.0)
    if left > model.explained * noise:  # the lines are believed less; see `Subspace.fit`
        _solve(model, left, room)
    for p in range(n):
        room.off[p] = 0.0
        for q in range(n):
            room.spread[p, q] = model.doubt[p, q]
    for i in range(size):
        asked, found = room.system[i, size + 1 :], room.system[i, size]
        for p in range(n):
            room.off[p] += asked[p] * found
            spread, factor = room.spread[p], asked[p]
            for q in range(n):
                spread[q] += factor * asked[q]
    if model.at.shape[1] > 0:
        _correct(model, room)
    for p in range(n):
        value = model.middle[p]
        for q in range(n):
            value += model.near[p, q] * room.off[q]
        position[p] = value
    misfit: float = left / noise
    return misfit


@kernel(cached=False, fastmath=FAST)
def _normal_equations(rows: Rows, terms: Doubles, room: Room) -> None:
    """Sum what the rows tell over their ages: upper triangle of the normal matrix, and right-hand side."""
    knots, n, packed = terms.shape[1], rows.said.shape[1], rows.gram.shape[1]
    told, blocks, normal = room.told, room.blocks, room.normal
    told[:] = 0.0
    blocks[:] = 0.0
    for row in range(room.ages.size):
        pair, age = 0, room.ages[row]
        for a in range(knots):
            share = terms[age, a]
            if share == 0.0:
                pair += knots - a
                continue
            for k in range(n):
                told[a * n + k] += share * rows.said[row, k]
            for b in range(a, knots):
                weight = share * terms[age, b]
                if weight != 0.0:
                    for i in range(packed):
                        blocks[pair, i] += weight * rows.gram[row, i]
                pair += 1
    pair = 0
    for a in range(knots):
        for b in range(a, knots):
            i = 0
            for p in range(n):
                for q in range(p, n):
                    normal[a * n + p, b * n + q] = blocks[pair, i]
                    normal[a * n + q, b * n + p] = blocks[pair, i]
                    i += 1
            pair += 1


@kernel(cached=False, fastmath=FAST)
def _solve(model: Model, noise: float, room: Room) -> None:
    """Leave the state, and in `system`, beside the root R, R^-T of what is told and of what is asked."""
    size, inverse = len(model.prior), 1 / noise
    system, state = room.system, room.state
    for i in range(size):
        row, known, before = system[i, i:size], room.normal[i, i:size], model.prior[i, i:size]
        for j in range(row.size):
            row[j] = known[j] * inverse + before[j]
        system[i, size] = room.told[i] * inverse
        system[i, size + 1 :] = model.ask[i]
    _factorize(system, size)
    for i in range(size - 1, -1, -1):
        row, later = system[i, i + 1 : size], state[i + 1 : size]
        rest = system[i, size]
        for j in range(row.size):
            rest -= row[j] * later[j]
        state[i] = rest / system[i, i]


@kernel(cached=False, fastmath=FAST)
def _correct(model: Model, room: Room) -> None:
    """Turn `off` into the posterior mean under the mixture, as `KnownStates.correct` does."""
    at, sizes, logs = model.at, model.sizes, room.logs
    n, count = at.shape
    precision, said, off, sums = room.precision, room.said, room.off, room.sums
    evidence = _invert(room.spread, room.beside, precision)
    for p in range(n):
        said[p] = 0.0
        for q in range(n):
            said[p] += precision[p, q] * off[q]
        evidence += said[p] * off[p]
    wide = 0.5 * evidence + model.odds
    most = wide
    for s in range(sizes.size):
        square, step = sizes[s] * sizes[s], room.steps[s]
        for p in range(n):
            for q in range(n):
                room.matrix[p, q] = square * (precision[p, q] - model.surely[p, q])
            room.matrix[p, p] += 1.0
        evidence = -_invert(room.matrix, room.beside, step)
        for p in range(n):
            moved = 0.0
            for q in range(n):
                moved += step[p, q] * said[q]
                room.curve[p, q] = step[p, q] / square
            room.curve[p, p] = 0.5 * (step[p, p] - 1.0) / square
            room.slope[p] = moved
            evidence += square * said[p] * moved
        _compare(at, room.curve, room.slope, room.partial, logs[s])
        same, largest = np.float32(0.5 * evidence), np.float32(-np.inf)
        for i in range(count):
            logs[s, i] += same
            largest = max(largest, logs[s, i])
        most = max(most, float(largest))
    strange = math.exp(wide - most)
    total = strange
    for p in range(n):
        off[p] *= strange
    for s in range(sizes.size):
        square, step, share = sizes[s] * sizes[s], room.steps[s], 0.0
        sums[:] = 0.0
        for i in range(count):
            above = logs[s, i] - most
            if above > FORGOTTEN:
                weight = math.exp(above)
                share += weight
                for p in range(n):
                    sums[p] += weight * at[p, i]
        total += share
        for p in range(n):
            sums[p] += square * share * said[p]
        for p in range(n):
            for q in range(n):
                off[p] += step[p, q] * sums[q]
    for p in range(n):
        off[p] /= total


@kernel(cached=False, fastmath=FAST)
def _compare(at: Floats, curve: Floats, slope: Floats, partial: Floats, logs: Floats) -> None:
    """Set slope . a + a^T C a of each known position a; `curve` has C's diagonal and twice its upper half."""
    n, count = at.shape
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        size, sums = stop - start, logs[start:stop]
        sums[:] = np.float32(0)
        for k in range(n):
            own, first, second = at[k, start:stop], slope[k], curve[k, k]
            for i in range(size):
                partial[i] = first + second * own[i]
            j = k + 1
            while j + 3 < n:
                a, b, c, d = curve[k, j], curve[k, j + 1], curve[k, j + 2], curve[k, j + 3]
                w, x = at[j, start:stop], at[j + 1, start:stop]
                y, z = at[j + 2, start:stop], at[j + 3, start:stop]
                for i in range(size):
                    partial[i] += (a * w[i] + b * x[i]) + (c * y[i] + d * z[i])
                j += 4
            while j < n:
                a, w = curve[k, j], at[j, start:stop]
                for i in range(size):
                    partial[i] += a * w[i]
                j += 1
            for i in range(size):
                sums[i] += partial[i] * own[i]


@kernel(cached=False, fastmath=FAST)
def _factorize(matrix: Doubles, size: int) -> float:
    """Make the upper root R of R^T R of a matrix, and R^-T of the columns beside it; return its log det.

    Only what lies on and above the diagonal is read. Rows are finished one by one, each by those above it,
    four at a time, so that it stays in the nearest cache.
    """
    logarithm = 0.0
    for i in range(size):
        row = matrix[i, i:]
        width, j = row.size, 0
        while j + 3 < i:
            a, b, c, d = matrix[j, i], matrix[j + 1, i], matrix[j + 2, i], matrix[j + 3, i]
            w, x, y, z = matrix[j, i:], matrix[j + 1, i:], matrix[j + 2, i:], matrix[j + 3, i:]
            for k in range(width):
                row[k] -= (a * w[k] + b * x[k]) + (c * y[k] + d * z[k])
            j += 4
        while j < i:
            a, w = matrix[j, i], matrix[j, i:]
            for k in range(width):
                row[k] -= a * w[k]
            j += 1
        logarithm += math.log(row[0])
        unit = 1 / math.sqrt(row[0])
        for k in range(width):
            row[k] *= unit
    return logarithm


@kernel(cached=False, fastmath=FAST)
def _invert(matrix: Doubles, room: Doubles, out: Doubles) -> float:
    """Invert a symmetric, positive matrix; return its log det. `room` has twice as many columns."""
    n = len(matrix)
    for i in range(n):
        for j in range(n):
            room[i, j] = matrix[i, j]
            room[i, n + j] = 1.0 if i == j else 0.0
    logarithm: float = _factorize(room, n)
    for p in range(n):
        for q in range(n):
            out[p, q] = 0.0
    for i in range(n):  # the columns beside it are now R^-T, whose product with its transpose is the inverse
        for p in range(i + 1):
            factor = room[i, n + p]
            for q in range(i + 1):
                out[p, q] += factor * room[i, n + q]
    return logarithm
