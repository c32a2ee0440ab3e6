"""Kernels of the tracker: the sums of a line when it comes, and the estimate at a frame's last line.

With numpy and torch the estimate is some sixty calls on matrices of at most a hundred rows, and a call costs
more than its arithmetic. Here it is one compiled call. `Subspace.fit` and `KnownPositions.posterior_mean`
compute the same with array operations, for many frames at once.

Every sum runs along contiguous rows, so that the compiler vectorizes it. Only the two kernels that other
modules call are cached, with their helpers inside. So the bits do not depend on what was compiled before.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mrsim.kernels.compilation import kernel
from recon.subspace.tracker_arrays import CHUNK, Model, Rows, Workspace

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

FAST = {"reassoc", "contract", "nsz"}
NEGLIGIBLE = -40.0
"""Logarithm of the relative weight below which a known position is left out of the mean."""


@kernel(fastmath=FAST)
def take_lines(newest: Indices, shared: Floats, inverse_scale: float, rows: Rows, line: Floats) -> None:
    """Compute the sums of each row whose line has changed.

    Parameters
    ----------
    newest
        Index of the line that each row was last taken from, shape (ny,).
    shared
        Those lines, real and imaginary parts in turn, shape (coils, ny, 2 nx).
    inverse_scale
        To the scale of the network.
    rows
        `newest`, `projections`, `energy` and `air_power` are brought up to date.
    line
        Workspace for one line in all coils, shape (coils 2 nx,).
    """
    scale = np.float32(inverse_scale)
    for row in range(newest.size):
        if newest[row] == rows.newest[row]:
            continue
        rows.newest[row] = newest[row]
        energy, power = np.float32(0), np.float32(0)
        for coil in range(shared.shape[0]):
            own = slice(coil * shared.shape[2], (coil + 1) * shared.shape[2])
            samples, innovation = shared[coil, row], line[own]
            mean, air = rows.mean[row, own], rows.air[row, own]
            for i in range(samples.size):
                value = samples[i] * scale
                innovation[i] = value - mean[i]
                energy += innovation[i] * innovation[i]
                power += air[i] * value * value
        rows.energy[row], rows.air_power[row] = energy, power
        for k in range(rows.basis.shape[1]):
            projection = np.float32(0)
            for i in range(line.size):
                projection += rows.basis[row, k, i] * line[i]
            rows.projections[row, k] = projection


@kernel(fastmath=FAST)
def locate(line: int, rows: Rows, model: Model, work: Workspace, position: Floats) -> float:
    """Estimate the position that is shown at a line.

    Parameters
    ----------
    line
        Index of the newest line.
    rows, model
        Sums of the rows, and what is the same for all lines.
    work
        Workspace.
    position
        Posterior mean of the weight of every component, shape (components,): set.

    Returns
    -------
    misfit
        Residual variance over noise variance.
    """
    oldest, n, size = model.used.size - 1, rows.projections.shape[1], len(model.state_precision)
    used, energy, power, air = 0.0, 0.0, 0.0, 0.0
    for row in range(rows.newest.size):
        age = min(line - rows.newest[row], oldest) if rows.newest[row] >= 0 else oldest
        work.ages[row] = age
        used += model.used[age]
        energy += model.used[age] * rows.energy[row]
        power += model.used[age] * rows.air_power[row]
        air += model.used[age] * rows.air_samples[row]
    noise = model.noise_variance
    if air >= model.min_air_samples:
        in_air = power / (2 * air)
        if abs(in_air / noise - 1) > max(model.noise_tolerance, model.noise_deviations / math.sqrt(air)):
            noise = max(in_air, 1e-12)
    _normal_equations(rows, model.knot_weights, work)
    _solve(model, noise, work)
    # The residual energy of the state x is the lines' energy minus x^T (b + noise Q x): b is the right side
    # and Q the prior precision, and the normal matrix N satisfies N x = b - noise Q x.
    residual = energy
    for i in range(size):
        product, precision = 0.0, model.state_precision[i]
        for j in range(size):
            product += precision[j] * work.state[j]
        residual -= work.state[i] * (work.right_side[i] + noise * product)
    residual /= rows.mean.shape[1] * max(used, 1.0)
    if residual > model.explained_misfit * noise:  # the residual counts as noise; see `Subspace.fit`
        _solve(model, residual, work)
    for p in range(n):
        work.deviation[p] = 0.0
        for q in range(n):
            work.covariance[p, q] = model.prediction_covariance[p, q]
    for i in range(size):
        half, solved = work.system[i, size + 1 :], work.system[i, size]
        for p in range(n):
            work.deviation[p] += half[p] * solved
            covariance, factor = work.covariance[p], half[p]
            for q in range(n):
                covariance[q] += factor * half[q]
    if model.positions.shape[1] > 0:
        _posterior_mean(model, work)
    for p in range(n):
        value = model.prior_mean[p]
        for q in range(n):
            value += model.kernel_root[p, q] * work.deviation[q]
        position[p] = value
    misfit: float = residual / noise
    return misfit


@kernel(cached=False, fastmath=FAST)
def _normal_equations(rows: Rows, knot_weights: Doubles, work: Workspace) -> None:
    """Sum the rows by their ages: upper triangle of the normal matrix, and right side."""
    knots, n, packed = knot_weights.shape[1], rows.projections.shape[1], rows.gram.shape[1]
    right_side, blocks, normal = work.right_side, work.blocks, work.normal
    right_side[:] = 0.0
    blocks[:] = 0.0
    for row in range(work.ages.size):
        pair, age = 0, work.ages[row]
        for a in range(knots):
            share = knot_weights[age, a]
            if share == 0.0:
                pair += knots - a
                continue
            for k in range(n):
                right_side[a * n + k] += share * rows.projections[row, k]
            for b in range(a, knots):
                weight = share * knot_weights[age, b]
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
def _solve(model: Model, noise: float, work: Workspace) -> None:
    """Set the state to its posterior mean.

    In `system` the root R of the posterior precision is left, and beside it R^-T times the information vector
    and R^-T times the transposed prediction.
    """
    size, inverse = len(model.state_precision), 1 / noise
    system, state = work.system, work.state
    for i in range(size):
        row, normal, prior = system[i, i:size], work.normal[i, i:size], model.state_precision[i, i:size]
        for j in range(row.size):
            row[j] = normal[j] * inverse + prior[j]
        system[i, size] = work.right_side[i] * inverse
        system[i, size + 1 :] = model.prediction[i]
    _factorize(system, size)
    for i in range(size - 1, -1, -1):
        row, later = system[i, i + 1 : size], state[i + 1 : size]
        rest = system[i, size]
        for j in range(row.size):
            rest -= row[j] * later[j]
        state[i] = rest / system[i, i]


@kernel(cached=False, fastmath=FAST)
def _posterior_mean(model: Model, work: Workspace) -> None:
    """Set `deviation` to its mean under the mixture prior, as `KnownPositions.posterior_mean` computes it."""
    positions, scales, logs = model.positions, model.kernel_scales, work.logs
    n, count = positions.shape
    precision, information, deviation, sums = work.precision, work.information, work.deviation, work.sums
    evidence = _invert(work.covariance, work.augmented, precision)
    for p in range(n):
        information[p] = 0.0
        for q in range(n):
            information[p] += precision[p, q] * deviation[q]
        evidence += information[p] * deviation[p]
    log_wide = 0.5 * evidence + model.log_prior_odds
    largest = log_wide
    for s in range(scales.size):
        variance, inverse = scales[s] * scales[s], work.inverses[s]
        for p in range(n):
            for q in range(n):
                work.matrix[p, q] = variance * (precision[p, q] - model.prior_precision[p, q])
            work.matrix[p, p] += 1.0
        evidence = -_invert(work.matrix, work.augmented, inverse)
        for p in range(n):
            slope = 0.0
            for q in range(n):
                slope += inverse[p, q] * information[q]
                work.quadratic[p, q] = inverse[p, q] / variance
            work.quadratic[p, p] = 0.5 * (inverse[p, p] - 1.0) / variance
            work.linear[p] = slope
            evidence += variance * information[p] * slope
        _quadratic_form(positions, work.quadratic, work.linear, work.partial, logs[s])
        constant, most = np.float32(0.5 * evidence), np.float32(-np.inf)
        for i in range(count):
            logs[s, i] += constant
            most = max(most, logs[s, i])
        largest = max(largest, float(most))
    wide_weight = math.exp(log_wide - largest)
    total = wide_weight
    for p in range(n):
        deviation[p] *= wide_weight
    for s in range(scales.size):
        variance, inverse, kernel_weight = scales[s] * scales[s], work.inverses[s], 0.0
        sums[:] = 0.0
        for i in range(count):
            above = logs[s, i] - largest
            if above > NEGLIGIBLE:
                weight = math.exp(above)
                kernel_weight += weight
                for p in range(n):
                    sums[p] += weight * positions[p, i]
        total += kernel_weight
        for p in range(n):
            sums[p] += variance * kernel_weight * information[p]
        for p in range(n):
            for q in range(n):
                deviation[p] += inverse[p, q] * sums[q]
    for p in range(n):
        deviation[p] /= total


@kernel(cached=False, fastmath=FAST)
def _quadratic_form(
    positions: Floats, quadratic: Floats, linear: Floats, partial: Floats, logs: Floats
) -> None:
    """Set linear . a + a^T C a of each position a; `quadratic` has C's diagonal and twice its upper half."""
    n, count = positions.shape
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        size, sums = stop - start, logs[start:stop]
        sums[:] = np.float32(0)
        for k in range(n):
            own, first, second = positions[k, start:stop], linear[k], quadratic[k, k]
            for i in range(size):
                partial[i] = first + second * own[i]
            j = k + 1
            while j + 3 < n:
                a, b, c, d = quadratic[k, j], quadratic[k, j + 1], quadratic[k, j + 2], quadratic[k, j + 3]
                w, x = positions[j, start:stop], positions[j + 1, start:stop]
                y, z = positions[j + 2, start:stop], positions[j + 3, start:stop]
                for i in range(size):
                    partial[i] += (a * w[i] + b * x[i]) + (c * y[i] + d * z[i])
                j += 4
            while j < n:
                a, w = quadratic[k, j], positions[j, start:stop]
                for i in range(size):
                    partial[i] += a * w[i]
                j += 1
            for i in range(size):
                sums[i] += partial[i] * own[i]


@kernel(cached=False, fastmath=FAST)
def _factorize(matrix: Doubles, size: int) -> float:
    """Set the upper root R of a matrix R^T R, and R^-T of the columns beside it; return the log determinant.

    It reads only the diagonal and what is above it. Rows are finished one by one, each with the rows above
    it, four at a time, so that a row stays in the first cache.
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
def _invert(matrix: Doubles, augmented: Doubles, out: Doubles) -> float:
    """Invert a symmetric, positive matrix; return its log determinant. `augmented` is twice as wide."""
    n = len(matrix)
    for i in range(n):
        for j in range(n):
            augmented[i, j] = matrix[i, j]
            augmented[i, n + j] = 1.0 if i == j else 0.0
    logarithm: float = _factorize(augmented, n)
    for p in range(n):
        for q in range(n):
            out[p, q] = 0.0
    for i in range(n):  # the columns beside it are now R^-T, whose product with its transpose is the inverse
        for p in range(i + 1):
            factor = augmented[i, n + p]
            for q in range(i + 1):
                out[p, q] += factor * augmented[i, n + q]
    return logarithm
