"""Draw the pictures of docs/physics.md, each a validation with its number: python scripts/draw_physics.py

Every number in a title is measured here and written to figures.json, from where the page quotes it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsim.anatomy.anatomy import Anatomy
from mrsim.anatomy.phantom import load_phantom
from mrsim.anatomy.polygon import Polygon
from mrsim.anatomy.shapes import Ellipse
from mrsim.errors import MissingExtraError, MrsimError
from mrsim.kernels.grid import Grid
from mrsim.motion.courses import Breathing
from mrsim.physics.slices import PROFILES, Sections, Slice, solid_form_factor
from mrsim.physics.steady_state import FlipResponse, bssfp
from mrsim.physics.tissue import tissue
from mrsim.reception.coil_fit import fit_coils
from mrsim.reception.coils import CoilArray
from mrsim.sampling import Sampler
from mrsim.scanner.acquisition import scan
from mrsim.scanner.protocol import ScanProtocol
from mrsim.spins.isochromat_scan import scan_isochromats
from mrsim.spins.isochromats import BlochSequence, Isochromats, Spins
from mrsim.spins.off_resonance import lorentz_offsets
from mrsim.stream import Stream
from mrsim.stream.fourier import to_image

Array = NDArray[np.float64]
Numbers = dict[str, Any]

SEED = 7
TR_NS, TE_NS, FLIP = 2_200_000, 1_100_000, math.radians(20)
TR, TE = TR_NS * 1e-9, TE_NS * 1e-9
FOV = 0.4
EDGE = 64 / FOV  # the largest |k| of 128 samples, cycles per metre
DARK, BLUE, ORANGE, GREEN, RED = "#333333", "#2f6db5", "#e07b1f", "#3b8f4f", "#c23b3b"
STYLE = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}


def transforms(figure: Any) -> Numbers:
    """Compare closed-form transforms with quadrature, and polygons with the ellipse that they approach."""
    k = np.linspace(0, EDGE, 161)
    kx, ky = k * math.cos(0.5), k * math.sin(0.5)
    oval = Ellipse((0.03, -0.02), (0.09, 0.05), 0.6)
    nodes, weights = np.polynomial.legendre.leggauss(96)
    unit, share = (nodes + 1) / 2, weights / 2

    turn = np.arange(320) * (2 * math.pi / 320)
    disc = unit[:, None, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    points = (disc @ oval.axes.T).reshape(-1, 2) + np.array(oval.center)
    area = np.repeat(share * unit, 320) * (2 * oval.area / 320)
    summed = area @ np.exp(-2j * math.pi * (np.outer(points[:, 0], kx) + np.outer(points[:, 1], ky)))
    error = {"ellipse": np.abs(summed - oval.transform(kx, ky)) / oval.area}

    semi = (0.06, 0.04, 0.05)
    u = 2 * math.pi * np.hypot(semi[0] * kx, semi[1] * ky)
    volume = 4 / 3 * math.pi * math.prod(semi)
    closed = solid_form_factor(semi, (kx, ky, np.zeros(len(k))))
    ball = (0.75 * weights * (1 - nodes**2)) @ np.cos(np.outer(nodes, u))
    error["ellipsoid"] = np.abs(ball - closed / volume)

    star = np.random.default_rng(SEED).uniform(0.03, 0.08, 11)
    around = np.arange(11) * (2 * math.pi / 11)
    corners = star[:, None] * np.stack([np.cos(around), np.sin(around)], axis=-1)
    polygon = Polygon(tuple((float(x), float(y)) for x, y in corners))
    middle, total = np.array(polygon.center), np.zeros(len(k), complex)
    for a, b in zip(polygon.vertices - middle, np.roll(polygon.vertices, -1, axis=0) - middle, strict=True):
        inside = unit[:, None, None] * (a + unit[None, :, None] * (b - a))
        part = np.outer(share * unit, share) * (a[0] * b[1] - a[1] * b[0])
        phase = np.exp(-2j * math.pi * (np.multiply.outer(inside[..., 0], kx) + inside[..., 1, None] * ky))
        total += np.tensordot(part, phase, axes=2)
    error["polygon"] = np.abs(total - polygon.form_factor(kx, ky)) / polygon.area

    count = 2 ** np.arange(3, 10)
    exact, energy = oval.form_factor(kx, ky), []
    for n in count.tolist():
        edge = Ellipse((0.0, 0.0), oval.semi_axes, oval.angle).boundary(n)
        form = Polygon(tuple((float(x), float(y)) for x, y in edge)).form_factor(kx, ky)
        energy.append(float((np.abs(form - exact) ** 2).sum() / (exact**2).sum()))
    slope = float(np.polyfit(np.log(count[2:]), np.log(energy[2:]), 1)[0])
    worst = float(max(e.max() for e in error.values()))

    form, off, approach = figure.subplots(1, 3)
    form.semilogy(k, np.abs(oval.form_factor(kx, ky)) / oval.area, color=BLUE, label="closed form")
    form.semilogy(k[::4], np.abs(summed[::4]) / oval.area, ".", color=ORANGE, label="quadrature")
    form.set(title="transform of a turned ellipse", xlabel="|k| (1/m)", ylabel="|F| / area")
    form.legend()
    for (name, values), colour in zip(error.items(), (BLUE, GREEN, RED), strict=True):
        off.semilogy(k, np.maximum(values, 1e-18), ".", ms=3, color=colour, label=name)
    off.set(title="closed form less quadrature", xlabel="|k| (1/m)", ylabel="error / area (volume)")
    off.set_ylim(1e-18, 1e-12)
    off.legend(loc="upper right", ncols=3, handletextpad=0.1, columnspacing=0.8)
    approach.loglog(count, energy, "o-", color=RED, base=2)
    approach.set_yscale("log")
    approach.set(title=f"polygon to ellipse: energy falls as n^{slope:.2f}", xlabel="corners n")
    approach.set_ylabel("error / energy")
    return {
        "title": f"Closed forms against quadrature: largest error {worst:.1e} of the area (volume)",
        "largest error": worst,
        "slope of the polygon": slope,
    }


def recursion(t1_s: float, t2_s: float, df_hz: Array, half_flip: bool, count: int) -> NDArray[np.complex128]:
    """Play a sequence with alternating pulses in the rotating frame; shape (count, frequencies)."""

    def free(m: NDArray[np.complex128], z: Array, t: float) -> tuple[NDArray[np.complex128], Array]:
        turned = m * np.exp(-t / t2_s + 2j * math.pi * df_hz * t)
        return turned, 1 + (z - 1) * math.exp(-t / t1_s)

    def pulse(m: NDArray[np.complex128], z: Array, a: float) -> tuple[NDArray[np.complex128], Array]:
        y = m.imag * math.cos(a) - z * math.sin(a)
        return m.real + 1j * y, m.imag * math.sin(a) + z * math.cos(a)

    m, z = np.zeros(len(df_hz), complex), np.ones(len(df_hz))
    if half_flip:
        m, z = free(*pulse(m, z, -FLIP / 2), TR / 2)
    out = np.empty((count, len(df_hz)), complex)
    for n in range(count):
        m, z = pulse(m, z, (-1) ** n * FLIP)
        out[n] = 1j * (-1) ** n * free(m, z, TE)[0]
        m, z = free(m, z, TR)
    return out


def profile(figure: Any) -> Numbers:
    """Compare the steady state with the recursion's, mark fat at three fields, and refocus T2'."""
    df = np.linspace(-600, 600, 601)
    bands, spread = figure.subplots(1, 2, width_ratios=(1.3, 1))
    numbers: Numbers = {}
    worst = 0.0
    for field_t, colour in ((0.5, GREEN), (1.5, BLUE), (3.0, RED)):
        fat = tissue("fat", field_t)
        on = complex(bssfp(fat.t1_s, fat.t2_s, FLIP, TR, TE))
        curve = bssfp(fat.t1_s, fat.t2_s, FLIP, TR, TE, df)
        played = recursion(fat.t1_s, fat.t2_s, df, True, 6000)[-1]
        worst = max(worst, float(np.abs(played - curve).max() / abs(on)))
        ratio = float((complex(bssfp(fat.t1_s, fat.t2_s, FLIP, TR, TE, fat.shift_hz)) / on).real)
        numbers[f"fat at {field_t:g} T"] = ratio
        bands.plot(df, curve.real / on.real, color=colour, lw=1)
        bands.plot(df[::12], played.real[::12] / on.real, ".", ms=3.5, color=colour)
        label = f"fat at {field_t:g} T: {fat.shift_hz:.0f} Hz, {ratio:+.2f}"
        bands.plot(fat.shift_hz, ratio, "o", ms=9, mfc="none", mew=2, color=colour, label=label)
    for null in (-0.5 / TR, 0.5 / TR):
        bands.axvline(null, color=DARK, lw=0.8, ls=":")
    bands.set(title="profile: formula (lines), recursion (dots), nulls (dotted)")
    bands.set(xlabel="off-resonance (Hz)", ylabel="signal / on resonance", ylim=(-1.5, 1.9))
    bands.legend(loc="upper center", ncols=2)

    t2_prime, at = 0.02, tissue("blood", 3.0)
    te = np.linspace(0, TR, 45)
    for count, colour, name in (
        (8, BLUE, "8 quantiles"),
        (32, GREEN, "32 quantiles"),
        (40_000, RED, "all tails"),
    ):
        offsets = lorentz_offsets(t2_prime, count)
        kept = [
            abs(
                bssfp(at.t1_s, at.t2_s, FLIP, TR, t, offsets).mean()
                / complex(bssfp(at.t1_s, at.t2_s, FLIP, TR, t))
            )
            for t in te
        ]
        numbers[f"kept of T2' {t2_prime * 1e3:g} ms at TR / 2, {name}"] = middle = float(kept[22])
        spread.plot(te * 1e3, kept, color=colour, label=f"{name}: {middle:.3f} at TR / 2")
    numbers["a free decay keeps"] = math.exp(-TE / t2_prime)
    spread.plot(te * 1e3, np.exp(-te / t2_prime), color=DARK, ls="--", label="free decay exp(-TE / T2')")
    spread.set(title=f"a spread of T2' = {t2_prime * 1e3:g} ms in blood", xlabel="TE (ms)")
    spread.set_ylabel("signal / without spread")
    spread.legend()
    null = 0.5 / TR
    title = f"bSSFP steady state: formula against recursion {worst:.1e}; nulls at +-{null:.1f} Hz"
    return {"title": title, "formula against recursion": worst} | numbers


def at_origin(t1_s: float, t2_s: float) -> Spins:
    """Put one spin at the origin."""
    one, zero = np.ones(1), np.zeros(1)
    return Spins(zero, zero, np.zeros(1, np.int64), one, t1_s * one, t2_s * one, zero, np.zeros((1, 2)))


def transient(figure: Any) -> Numbers:
    """Let spins approach the steady state with and without a half flip."""
    approach, decay = figure.subplots(1, 2)
    numbers: Numbers = {}
    worst, found = 0.0, []
    for name, colour in (("muscle", BLUE), ("blood", RED)):
        at = tissue(name, 3.0)
        rate = math.cos(FLIP / 2) ** 2 / at.t1_s + math.sin(FLIP / 2) ** 2 / at.t2_s
        predicted = 1 / (rate * TR)
        count = int(1.5 * predicted)
        steady = complex(bssfp(at.t1_s, at.t2_s, FLIP, TR, TE)).real
        for half, style, width in ((True, "-", 1.4), (False, ":", 1.0)):
            engine = Isochromats(
                at_origin(at.t1_s, at.t2_s), BlochSequence(TR_NS, TE_NS, FLIP, half), Grid((8, 8), (FOV, FOV))
            )
            run = engine.lines(np.zeros(count, int), np.zeros((count, 1, 2)))[:, 4]
            exact = recursion(at.t1_s, at.t2_s, np.zeros(1), half, count)[:, 0]
            worst = max(worst, float(np.abs(run - exact).max()))
            label = f"{name}, {'alpha/2' if half else 'none'}"
            approach.plot(np.abs(run[:300]), style, color=colour, lw=width, label=label)
            if half:
                gone = np.abs(run.real - steady)
                measured = -(count - 51) / math.log(gone[-1] / gone[50])
                numbers[f"{name}: TRs, predicted"], numbers[f"{name}: TRs, measured"] = predicted, measured
                found.append(f"{name} {measured:.1f} (predicted {predicted:.1f})")
                n = np.arange(count)
                decay.semilogy(n, gone / gone[50], color=colour, label=f"{name}: {measured:.1f} TR")
                line = np.exp(-(n - 50) / predicted)
                decay.semilogy(n[::40], line[::40], "o", ms=3.5, mfc="none", color=colour)
        approach.axhline(steady, color=colour, lw=0.7, ls="--")
    approach.set(title="after alpha/2, or none (dashed: steady state)", xlabel="TR", ylabel="|signal| / M0")
    approach.legend(ncols=2)
    decay.set(title="distance to the steady state after alpha/2 (circles: predicted)", xlabel="TR")
    decay.set_ylabel("relative to that at TR 50")
    decay.legend()
    title = f"Transient decay in TR: {', '.join(found)}; engine against recursion {worst:.1e}"
    return {"title": title, "engine against recursion": worst} | numbers


def lines_of(stream: Stream) -> NDArray[np.complex128]:
    """Return a stream's samples in double precision."""
    return np.asarray(stream.samples, np.complex128)


def energy_error(ours: Stream, exact: Stream) -> float:
    """Return the energy of the difference over that of the exact samples."""
    gone = np.abs(lines_of(ours) - lines_of(exact)) ** 2
    return float(gone.sum() / (np.abs(lines_of(exact)) ** 2).sum())


def engines(figure: Any) -> Numbers:
    """Scan the motion phantom by both engines, with more and more spins."""
    axes = figure.subplots(1, 2, width_ratios=(1.2, 1))
    protocol = ScanProtocol(acceleration=4, target_snr=math.inf)
    sides = np.array([64, 96, 128, 192, 256, 384])
    numbers: Numbers = {}
    for moves, colour, amplitude in ((False, BLUE, 0.0), (True, ORANGE, 15.0)):
        settings = {"motion.breathing.amplitude_mm": amplitude, "motion.breathing.phase": 0.25}
        phantom = load_phantom("quasar", settings)
        exact = scan(phantom, protocol, seed=SEED, frames=8, truth=False)
        error = []
        for side in sides.tolist():
            ours = scan_isochromats(
                phantom, protocol, seed=SEED, frames=8, spins=side, catalysation=3000, truth=False
            )
            error.append(energy_error(ours, exact))
        slope = float(np.polyfit(np.log(sides), np.log(error), 1)[0])
        name = "moving" if moves else "still"
        numbers |= {f"slope, {name}": slope, f"at 256 x 256, {name}": error[4]}
        axes[0].loglog(sides, error, "o-", color=colour, label=f"{name}: N^{slope:.2f}")
    guide = 0.6 * error[0] * (sides / sides[0]) ** -3.0
    axes[0].loglog(sides, guide, "--", color=DARK, lw=0.9, label="N^-3")
    axes[0].axhline(0.01, color=RED, lw=0.9, ls=":", label="1 %")
    axes[0].set_xticks(sides, [str(s) for s in sides], minor=False)
    axes[0].set_xticks([], minor=True)
    axes[0].set(title="energy of the difference over that of k-space", xlabel="N, spins a side")
    axes[0].legend()
    row = int(np.argmin(np.abs(exact.ky - 3)))
    x = np.arange(128) - 64
    axes[1].semilogy(x, np.abs(exact.samples[row, 0]), color=DARK, lw=1, label="analytic")
    axes[1].semilogy(x, np.abs(ours.samples[row, 0]), ".", ms=3, color=ORANGE, label="384 x 384 spins")
    axes[1].semilogy(
        x, np.abs(ours.samples[row, 0] - exact.samples[row, 0]), color=RED, lw=0.7, label="difference"
    )
    axes[1].set(
        title=f"one line of the moving scan, ky = {int(exact.ky[row])}", xlabel="kx", ylabel="|sample|"
    )
    axes[1].legend(loc="lower center", ncols=3)
    low, high = axes[1].get_ylim()
    axes[1].set_ylim(low / 8, high)
    still, moving = numbers["at 256 x 256, still"], numbers["at 256 x 256, moving"]
    title = f"Analytic against 256 x 256 isochromats: {still:.2%} of the energy still, {moving:.2%} moving"
    return {"title": title} | numbers


def _outside_of_the_slice() -> Numbers:
    """Return a slab over its signal at the nominal flip angle, and what comes from beyond 20 mm."""
    slice_, radius = Slice(0.02, "sinc"), 0.015
    low, high = slice_.limits
    z = np.linspace(low, high, 60_001)
    flip, beyond = FLIP * slice_.flip_share(z), np.abs(z) > slice_.thickness_m / 2
    numbers: Numbers = {}
    for name in ("muscle", "lung-tumour", "blood"):
        response = FlipResponse.of(tissue(name, 3.0), TR_NS, TE_NS)
        signal = response.at(flip).real
        slab, nominal = slice_.flat_weight(response, FLIP).real, float(response.at(np.array(FLIP)).real)
        numbers[f"slab over its signal at 20 degrees, {name}"] = slab / nominal
        sphere = signal * np.maximum(1 - (z / radius) ** 2, 0)
        numbers[f"from outside the slice, {name} that fills it"] = float(signal[beyond].sum() / signal.sum())
        share = float(sphere[beyond].sum() / sphere.sum())
        numbers[f"from outside the slice, sphere of 15 mm of {name}"] = share
    return numbers


def slices(figure: Any) -> Numbers:
    """Draw profiles and what they give, and let the integral over sections converge."""
    shares, seen, converge = figure.subplots(1, 3)
    at = tissue("muscle", 3.0)
    response = FlipResponse.of(at, TR_NS, TE_NS)
    nominal = response.at(np.array(FLIP)).real
    z = np.linspace(-0.031, 0.031, 1241)
    radius, count = Ellipse((0, 0), (0.035, 0.025)), np.arange(2, 49, 2)
    k = np.linspace(0, EDGE, 65)
    numbers: Numbers = {}

    def transform(sections: Sections) -> NDArray[np.complex128]:
        scale, weight = sections.cut(np.array([0.003]), np.array([0.022]))
        forms = np.stack([s * s * radius.form_factor(s * k, 0 * k) for s in scale[0]])
        return np.asarray(weight[0] @ forms, np.complex128)

    enough = []
    for name, colour in zip(PROFILES, (DARK, GREEN, BLUE), strict=True):
        slice_ = Slice(0.02, name)
        share = slice_.flip_share(z)
        shares.plot(z * 1e3, share, color=colour, label=name)
        seen.plot(z * 1e3, response.at(FLIP * share).real / nominal, color=colour, label=name)
        exact = transform(Sections(slice_, (response, None), FLIP, 300))
        error = [
            float(
                np.abs(transform(Sections(slice_, (response, None), FLIP, n)) - exact).max() / abs(exact[0])
            )
            for n in count.tolist()
        ]
        first = int(count[np.argmax(np.array(error) < 1e-6)])
        numbers[f"sections for 1e-6, {name}"] = first
        enough.append(f"{first} ({name})")
        converge.semilogy(count, np.maximum(error, 1e-16), ".-", lw=0.8, color=colour, label=name)
    gauss = Slice(0.02, "gaussian").flip_share(z)
    seen.plot(z * 1e3, gauss, ":", color=GREEN, lw=1, label="gaussian: p alone")
    whole = FlipResponse(1.0, 0.0, 1.0)  # tan a, so that a flip of pi / 4 gives 1
    sections = Sections(Slice(1.0, "ideal"), (whole, None), math.pi / 4, 32)
    closed = solid_form_factor((0.035, 0.025, 0.022), (k, 0 * k, 0 * k))
    apart = float(np.abs(transform(sections) - closed).max() / closed[0])
    numbers["endless slice against the ellipsoid's closed form"] = apart
    numbers |= _outside_of_the_slice()
    shares.set(title="flip angle, share of the nominal", xlabel="z (mm)", ylabel="p(z)")
    seen.set(title="what muscle gives at each height", xlabel="z (mm)", ylabel="signal / nominal")
    converge.axhline(1e-6, color=RED, lw=0.9, ls=":")
    converge.set(title="error of the slice integral over k-space", xlabel="sections")
    converge.set_ylabel("largest error / F(0)")
    for axes in (shares, seen, converge):
        axes.legend(loc="lower center" if axes is seen else "upper right")
    sections = ", ".join(enough)
    title = f"Slice of 20 mm: 1e-6 with {sections} sections; endless slice against closed form {apart:.1e}"
    return {"title": title} | numbers


def coils(figure: Any) -> Numbers:
    """Draw the maps of eight loops, and the error of their fit by the size of the filter."""
    grid = figure.add_gridspec(1, 4, width_ratios=(1, 1, 1, 1.35))
    array = CoilArray.ring(8)
    at = np.linspace(-0.5, 0.5, 96) * FOV
    x, y = np.meshgrid(at, at)
    fitted = fit_coils(array, (FOV, FOV), taps=7)
    maps, true = fitted.sensitivity(x, y), array.sensitivity(x, y)
    pictures = (
        (np.abs(maps[2]), "magnitude of coil 2", "magma", None),
        (np.angle(maps[2]), "phase of coil 2 (rad)", "twilight", (-math.pi, math.pi)),
        (np.abs(maps - true).max(axis=0), "largest error, 7 x 7 taps", "magma", None),
    )
    for column, (picture, title, colours, limits) in enumerate(pictures):
        axes = figure.add_subplot(grid[column])
        low, high = limits or (0, float(picture.max()))
        shown = axes.imshow(picture, cmap=colours, vmin=low, vmax=high)
        axes.set(title=title, xticks=[], yticks=[])
        axes.grid(False)
        figure.colorbar(shown, ax=axes, orientation="horizontal", shrink=0.9, aspect=18)
    errors = figure.add_subplot(grid[3])
    taps = np.arange(3, 14, 2)

    def body(px: Array, py: Array) -> NDArray[np.bool_]:
        return np.asarray((px / 0.16) ** 2 + (py / 0.19) ** 2 <= 1)

    numbers: Numbers = {}
    for inside, colour, name in ((None, RED, "whole FOV"), (body, BLUE, "within a body")):
        fits = [fit_coils(array, (FOV, FOV), taps=n, inside=inside) for n in taps.tolist()]
        errors.semilogy(taps, [f.error_rms for f in fits], "o-", color=colour, label=f"{name}, rms")
        errors.semilogy(taps, [f.error_max for f in fits], "o:", ms=3, color=colour, label=f"{name}, bound")
        numbers[f"rms error of 7 x 7 taps, {name}"] = fits[2].error_rms
        numbers[f"bound on the error of 7 x 7 taps, {name}"] = fits[2].error_max
    errors.set(title="error of the fit, worst coil", xlabel="taps a side", xticks=taps)
    errors.set_ylabel("relative error")
    errors.legend()
    whole, inner = (numbers[f"rms error of 7 x 7 taps, {n}"] for n in ("whole FOV", "within a body"))
    title = f"Eight loops by 7 x 7 taps: rms error {whole:.2%} over the FOV, {inner:.3%} within a body"
    return {"title": title} | numbers


def drives(figure: Any) -> Numbers:
    """Draw forty seconds of four patients' breathing, and cut one of them into pieces."""
    t_ns = np.arange(0, 40 * 10**9, TR_NS, dtype=np.int64)
    t = t_ns * 1e-9
    grid = figure.add_gridspec(4, 2, width_ratios=(3.2, 1))
    shown = (
        (2, "breathing", BLUE, "cycles that vary, and drift"),
        (3, "chest", GREEN, "cough"),
        (6, "breathing", RED, "held breath, then a deep one"),
        (5, "breathing", ORANGE, "followed late (dotted: 450 ms)"),
    )
    differ = total = 0
    for row, (number, name, colour, what) in enumerate(shown):
        patient = load_phantom(f"patient{number}")
        course = Anatomy(patient, SEED).drives
        value = course[name].at(t_ns)
        axes = figure.add_subplot(grid[row, 0])
        axes.plot(t, value * 1e3, color=colour, lw=1.1)
        axes.set_title(f"patient {number}: {what}", loc="left", pad=2)
        axes.set(xlim=(0, 40), ylabel="mm")
        axes.tick_params(labelbottom=row == 3)
        again = Anatomy(patient, SEED).drives[name]
        order = np.array_split(np.random.default_rng(SEED).permutation(len(t_ns)), 40)
        for part in order:  # in any order, each piece alone
            differ += int((again.at(t_ns[part]) != value[part]).sum())
            total += len(part)
        if number == 5:
            late = course["late"].at(t_ns)
            axes.plot(t, late * 1e3, ":", color=DARK, lw=0.9)
            axes.set_xlabel("time (s)")
            loop = figure.add_subplot(grid[2:, 1])
            first = slice(0, int(16 / TR))
            loop.plot(late[first] * 1e3, value[first] * 1e3, color=ORANGE, lw=0.9)
            loop.set(title="hysteresis: patient 5, 16 s", xlabel="late (mm)", ylabel="breathing (mm)")
    regular = Breathing(0.015, 4.0).drive(np.random.SeedSequence(SEED)).at(t_ns)
    formula = 0.015 * np.sin(math.pi * t / 4.0) ** 4
    apart = float(np.abs(regular - formula).max()) * 1e3
    axes = figure.add_subplot(grid[:2, 1])
    axes.plot(t[: int(8 / TR)], formula[: int(8 / TR)] * 1e3, color=DARK, lw=1, label="formula")
    axes.plot(t[: int(8 / TR) : 90], regular[: int(8 / TR) : 90] * 1e3, ".", color=BLUE, label="drive")
    axes.set(title="regular: Lujan, n = 2", xlabel="time (s)", ylabel="mm", ylim=(-1, 19))
    axes.legend(ncols=2, loc="upper center")
    title = (
        f"Drives: {differ} of {total} values differ when cut and shuffled; Lujan's formula to {apart:.1e} mm"
    )
    return {"title": title, "values that differ": differ, "values": total, "against Lujan, mm": apart}


def sampling(figure: Any) -> Numbers:
    """Draw a pattern over time, and how long rows wait for their next visit."""
    pattern, waits = figure.subplots(1, 2, width_ratios=(1.5, 1))
    numbers: Numbers = {}
    told = []
    for acceleration, colour in ((4.0, BLUE), (5.0, GREEN), (10.0, RED)):
        sampler = Sampler("variable-density", 128, acceleration, seed=SEED)
        frames = 3000
        seen = np.zeros((frames, 128), bool)
        for frame in range(frames):
            rows = sampler.frame(frame) + 64
            if len(set(rows.tolist())) != math.ceil(128 / acceleration):
                raise AssertionError(f"frame {frame}: {len(rows)} lines")
            seen[frame, rows] = True
        gaps = np.concatenate([np.diff(np.flatnonzero(seen[:, row])) for row in range(128)])
        promised = sampler.longest_wait
        numbers[f"longest wait at {acceleration:g}x"], numbers[f"promised at {acceleration:g}x"] = (
            int(gaps.max()),
            promised,
        )
        told.append(f"{int(gaps.max())} of {promised} at {acceleration:g}x")
        length, often = np.unique(gaps, return_counts=True)
        label = f"{acceleration:g}x: {sampler.lines} lines a frame"
        waits.semilogy(length, often / often.sum(), "o-", ms=3, lw=0.9, color=colour, label=label)
        waits.axvline(promised, color=colour, ls=":", lw=1)
        if acceleration == 4.0:
            rows = sampler.rows(0, 24)
            at_ms = np.arange(len(rows)) * TR * 1e3
            pattern.plot(at_ms, rows, ".", ms=2, color=BLUE)
            for frame in range(25):
                pattern.axvline(frame * sampler.lines * TR * 1e3, color="#d0d0d0", lw=0.6)
    pattern.grid(False)
    pattern.set(title="4x: rows as they are read (grey: frames)", xlabel="time (ms)", ylabel="ky")
    pattern.set(xlim=(0, 24 * 32 * TR * 1e3), ylim=(-66, 66))
    waits.set(title="from one visit to the next (dotted: promised)", xlabel="wait (frames)")
    waits.set_ylabel("share of the visits")
    waits.legend()
    title = f"Longest wait in 3000 frames over the promised bound: {', '.join(told)}"
    return {"title": title} | numbers


def frame_image(stream: Stream, frame: int) -> Array:
    """Return the magnitude of one frame's image, zero where no row was read."""
    ny, nx = stream.header.matrix
    kspace = np.zeros((ny, nx), complex)
    part = stream.frame == frame
    kspace[stream.ky[part] + ny // 2] = stream.samples[part, 0]
    return np.asarray(np.abs(to_image(kspace)), np.float64)


def show(axes: Any, picture: Array, title: str, limits: tuple[float, float], colours: str = "gray") -> None:
    axes.imshow(picture, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(False)


def inverse_crime(figure: Any) -> Numbers:
    """Render the motion phantom exactly and from pixels, finer and finer."""
    grid = figure.add_gridspec(1, 4, width_ratios=(1, 1, 1, 1.4))
    phantom, points = load_phantom("quasar"), (1, 2, 4, 8, 16)
    same: dict[str, Any] = {
        "acceleration": 1,
        "sampler": "full",
        "target_snr": math.inf,
        "timing": "retrospective",
    }
    exact = scan(phantom, ScanProtocol(**same), seed=SEED, frames=1, truth=False)
    raster = [
        scan(
            phantom,
            ScanProtocol(**same, rendering="raster", supersampling=n),
            seed=SEED,
            frames=1,
            truth=False,
        )
        for n in points
    ]
    error = [energy_error(stream, exact) for stream in raster]
    true, drawn = frame_image(exact, 0), frame_image(raster[0], 0)
    part, most = np.s_[22:106, 12:116], float(np.percentile(true, 99.5))
    show(figure.add_subplot(grid[0]), true[part], "exact", (0, most))
    show(figure.add_subplot(grid[1]), drawn[part], "pixels and FFT", (0, most))
    show(
        figure.add_subplot(grid[2]),
        (drawn - true)[part],
        "difference, 4 times",
        (-most / 4, most / 4),
        "RdBu_r",
    )
    axes = figure.add_subplot(grid[3])
    axes.loglog(points, error, "o-", color=RED)
    axes.set_xticks(points, [str(n) for n in points], minor=False)
    axes.set_xticks([], minor=True)
    axes.set(title="error of the raster's k-space", xlabel="points a side in each pixel", ylabel="NMSE")
    title = (
        f"Inverse crime: raster and FFT against true k-space, NMSE {error[0]:.4f}; "
        f"with 8 x 8 points {error[3]:.4f}"
    )
    return {"title": title} | {f"NMSE, {n} x {n}": e for n, e in zip(points, error, strict=True)}


def timing(figure: Any) -> Numbers:
    """Scan with every line at its own time, and with all lines of a frame from one instant."""
    grid = figure.add_gridspec(1, 4, width_ratios=(1.7, 0.8, 0.8, 0.8))
    axes = figure.add_subplot(grid[0])
    phantom = load_phantom(
        "quasar", {"motion.breathing.amplitude_sd": 0.0, "motion.breathing.period_sd": 0.0}
    )
    numbers: Numbers = {}
    told = []
    for acceleration, colour in ((1.0, RED), (4.0, BLUE), (10.0, GREEN)):
        own, frozen = (
            scan(
                phantom,
                ScanProtocol(
                    acceleration=acceleration,
                    sampler="full" if acceleration == 1 else "variable-density",
                    target_snr=math.inf,
                    timing=way,
                ),
                seed=SEED,
                seconds=8.0,
                truth=False,
            )
            for way in ("prospective", "retrospective")
        )
        per_frame = own.header.lines_per_frame
        gone = np.abs(lines_of(own) - lines_of(frozen)) ** 2
        power = (np.abs(lines_of(frozen)) ** 2).reshape(own.frames, -1).sum(axis=1)
        share = gone.reshape(own.frames, -1).sum(axis=1) / power
        mean = float(share.mean())
        numbers[f"energy of the difference at {acceleration:g}x"] = mean
        told.append(f"{mean:.1e} at {acceleration:g}x")
        at = own.t_ns[per_frame - 1 :: per_frame] * 1e-9
        label = f"{acceleration:g}x: frames of {own.header.frame_ns * 1e-6:.0f} ms"
        axes.semilogy(at, np.maximum(share, 1e-9), ".-", ms=4, lw=0.8, color=colour, label=label)
        if acceleration == 1:
            worst = int(np.argmax(share))
            moved, still = frame_image(own, worst), frame_image(frozen, worst)
    axes.set(title="energy of the difference in each frame", xlabel="time (s)", ylabel="share of the frame's")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0))
    low, high = axes.get_ylim()
    axes.set_ylim(low / 20, high)
    part, most = np.s_[34:94, 28:68], float(np.percentile(still, 99))
    show(figure.add_subplot(grid[1]), still[part], "retrospective", (0, most))
    show(figure.add_subplot(grid[2]), moved[part], "prospective", (0, most))
    show(
        figure.add_subplot(grid[3]),
        (moved - still)[part],
        "difference, 2 times",
        (-most / 2, most / 2),
        "RdBu_r",
    )
    title = f"Prospective less retrospective, mean share of a frame's energy: {', '.join(told)}"
    return {"title": title} | numbers


Draw = Callable[[Any], Numbers]
FIGURES: dict[str, tuple[Draw, float]] = {  # what draws each picture, and its height in inches
    "transforms": (transforms, 3.0),
    "profile": (profile, 3.5),
    "transient": (transient, 3.2),
    "engines": (engines, 3.2),
    "slices": (slices, 3.0),
    "coils": (coils, 3.1),
    "drives": (drives, 5.2),
    "sampling": (sampling, 3.2),
    "inverse-crime": (inverse_crime, 2.7),
    "timing": (timing, 2.9),
}


def draw(name: str, folder: Path) -> Numbers:
    """Draw one picture into a folder as NAME.png, and return its numbers."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "drawing the pictures") from None
    function, height = FIGURES[name]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, height), dpi=100)
        FigureCanvasAgg(figure)
        numbers = function(figure)
        figure.suptitle(numbers["title"], fontsize=10.5, fontweight="bold")
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    return numbers


def main() -> int:
    """Draw the pictures that are asked for, and write their numbers."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/physics.md.")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/physics"))
    parser.add_argument("--only", nargs="+", choices=sorted(FIGURES), metavar="NAME", help=", ".join(FIGURES))
    args = parser.parse_args()
    names = args.only or list(FIGURES)
    record = args.output / "figures.json"
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        known = json.loads(record.read_text(encoding="utf-8")) if args.only and record.exists() else {}
        for i, name in enumerate(names, 1):
            print(f"[{i}/{len(names)}] {name}.png ...", end=" ", flush=True)
            begun = time.monotonic()
            known[name] = draw(name, args.output)
            print(f"{time.monotonic() - begun:.1f} s", flush=True)
        ordered = {name: known[name] for name in FIGURES if name in known}
        record.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
    except (MrsimError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
