"""The sections of a page in text and tables: times, faults and audits, host, and how to reproduce the run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from harness.report.charts import Chart
from harness.report.text import Figures, table

TIMES = (
    ("response", "latency_ms/response"),
    ("service", "latency_ms/service"),
    ("bench", "latency_ms/injector"),
    ("null", "null_latency_ms/response"),
)


def latency(figures: Figures, charts: Sequence[Chart]) -> str:
    """Return the section on times: charts, percentiles, and the repetitions if there are several.

    Parameters
    ----------
    figures
        The figures of the run.
    charts
        Charts of times.
    """
    at = figures.at
    times = [(name, path) for name, path in TIMES if figures.get(path) is not None]
    rows = [
        [name, *(at(f"{path}/{key}") for _, path in times)]
        for name, key in (*((key, key) for key in ("p50", "p95", "p99", "max")), ("samples", "count"))
    ]
    missed = (
        f"{at('deadline/misses')} of {at('deadline/images')} images missed the deadline of "
        f"{at('deadline/period_ms', 1)} ms (episodes: {at('deadline/episodes')}, longest run: "
        f"{at('deadline/longest_run')})."
        if figures.get("deadline") is not None
        else "One image was made after the other, without a deadline."
    )
    summary = (
        f"<p>{missed} Oldest image on show {at('queue/age_max_ms', 0)} ms; at most "
        f"{at('queue/depth_max')} lines in the queue; {at('queue/dropped_frames')} frames dropped "
        f"({at('policy')}).</p>"
        f'<p class="note">Apart from these: open {at("warmup/open_ms", 1)} ms, the first image '
        f"{at('warmup/cold_ms', 1)} ms, the others of {at('warmup/images')} to warm up at most "
        f"{at('warmup/max_ms', 1)} ms.</p>"
    )
    return (
        summary
        + "".join(chart.html() for chart in charts)
        + table(["ms", *(name for name, _ in times)], rows, numbers=True)
        + '<p class="note">Response: completed minus the time the last line was due, which the deadline '
        "judges. Service: completed minus the start of its push. Bench: how late it handed a line over, "
        "with nothing queued. Null: the response of a reconstructor that shows a blank image.</p>"
        + _repetitions(figures)
    )


def _repetitions(figures: Figures) -> str:
    runs = figures.get("repetitions/runs") or []
    if len(runs) < 2:
        return ""
    rows = []
    for number in range(len(runs)):
        path = f"repetitions/runs/{number}"
        cells = [f"{path}/{key}" for key in ("response_p50_ms", "response_p99_ms", "response_max_ms")]
        rows.append(
            [
                f"run {number + 1}",
                figures.at(f"{path}/verdict"),
                f"{figures.at(f'{path}/misses')} of {figures.at(f'{path}/images')}",
                *(figures.at(cell) for cell in cells),
            ]
        )
    return (
        "<h3>Runs</h3>"
        + table(["", "verdict", "missed", "p50 ms", "p99 ms", "max ms"], rows, numbers=True)
        + '<p class="note">The verdict is on all runs; charts, images and all else are of the first.</p>'
    )


def raised(figures: Figures) -> str:
    """Return the lines of the candidate's own code that led to what it raised; empty if it raised nothing.

    Parameters
    ----------
    figures
        The figures of the run.
    """
    text = figures.get("traceback_text")
    return "" if text is None else f"<pre>{escape(text)}</pre>"


def behaviour(figures: Figures) -> str:
    """Return the section on faults and audits.

    Parameters
    ----------
    figures
        The figures of the run.
    """
    at = figures.at
    html = ""
    if figures.get("faults"):
        touched = figures.get("touched") or {}
        rows = [[escape(kind), at(f"touched/{kind}")] for kind in touched]
        html += f"<h3>Faults</h3><p>Played with <code>{at('faults')}</code>.</p>"
        html += table(["kind", "lines touched"], rows, numbers=True)
        broken = figures.get("broken") or []
        if broken:
            html += table(
                ["broken promise", "k-space line", "what happened"],
                [
                    [f'<span class="broken">{at(f"broken/{n}/promise")}</span>', at(f"broken/{n}/line"),
                     at(f"broken/{n}/message")]
                    for n in range(len(broken))
                ],
            )  # fmt: skip
        else:
            html += "<p>Every promise was kept.</p>"
    lines = figures.get("lines")
    html += (
        f"<p>Lines: {at('lines/handed')} handed over, {at('lines/dropped')} dropped by the queue, "
        f"{at('lines/rejected')} rejected, {at('lines/lost')} lost, {at('lines/unreached')} not reached. "
        f"Images beside the expected ones: {at('images/extra')} more than once, "
        f"{at('images/early')} too early, {at('images/bands')} bands, "
        f"{at('images/nonfinite')} not finite.</p>"
        if lines
        else ""
    )
    audits: list[dict[str, Any]] | None = figures.get("audit/audits")
    if audits is None:
        return html + '<p class="note">Not audited: <code>mrsim report</code> audits, too.</p>'
    rows = [
        [
            at(f"audit/audits/{n}/audit"),
            _state(found),
            at(f"audit/audits/{n}/evidence"),
        ]
        for n, found in enumerate(audits)
    ]
    return html + "<h3>Audits</h3>" + table(["audit", "", "evidence"], rows)


def _state(found: dict[str, Any]) -> str:
    if found["kept"]:
        return '<span class="kept">kept</span>'
    return f'<span class="broken">{"not shown" if found["state"] == "not shown" else "BROKEN"}</span>'


def host_and_provenance(figures: Figures) -> str:
    """Return the section on the host and the scan.

    Parameters
    ----------
    figures
        The figures of the run.
    """
    at, get = figures.at, figures.get
    host = [
        ("host", at("environment/host")),
        ("processor", at("environment/cpu")),
        ("cores to use", at("environment/cores")),
        ("system", at("environment/system")),
        ("Python", at("environment/python")),
        ("numpy", at("environment/numpy")),
        ("numba", at("environment/numba")),
        ("torch", f"{at('environment/torch')}, threads {at('environment/threads')}"),
    ]
    if get("host") is not None:
        host += [
            ("cores that others used", at("host/others_cores", 2)),
            ("load", at("host/load", 2)),
            ("waited for a core", f"{at('host/waited_ms', 1)} ms"),
            ("longest stall of the idle bench", f"{at('host/longest_stall_ms', 2)} ms"),
            ("garbage collector", f"{at('gc/count')} pauses, {at('gc/longest_ms', 2)} ms at most"),
            ("what disturbed it", at("host/causes")),
        ]
    head = "stream/header"
    scan = [
        ("stream", at("stream/path")),
        ("phantom", at("stream/phantom")),
        ("seed", at("stream/seed")),
        ("SNR of the target", at("stream/target_snr", 1)),
        ("length", f"{at('stream/lines')} lines, {at('stream/frames')} frames"),
        ("matrix", at(f"{head}/matrix")),
        ("field of view, mm", at(f"{head}/fov_m", 0, 1e3)),
        ("TR, TE", f"{at(f'{head}/tr_ns', 2, 1e-6)}, {at(f'{head}/te_ns', 2, 1e-6)} ms"),
        ("field", f"{at(f'{head}/field_t', 1)} T"),
        ("coils", at(f"{head}/coils")),
        ("lines in a frame", f"{at(f'{head}/lines_per_frame')} ({at(f'{head}/acceleration', 1)}x)"),
        ("sampling", f"{at(f'{head}/sampler')}, order {at(f'{head}/order')}"),
    ]
    if get("overlap") is not None and get("overlap/told") is not None:
        scan.append(("seen by the candidate", at("overlap/told")))
    return (
        f'<div class="pair"><div><h3>Host</h3>{table([], [list(row) for row in host])}</div>'
        f"<div><h3>Scan</h3>{table([], [list(row) for row in scan])}</div></div>"
    )


def reproduce(figures: Figures) -> str:
    """Return the section with the command that made the page, and what differs when it runs again.

    Parameters
    ----------
    figures
        The figures of the run.
    """
    exact = figures.get("repetitions/exact")
    again = (
        "Times were modelled: the same command gives the same figures, to the nanosecond."
        if exact
        else "Images and what is measured on them are the same again; times are the host's of that moment."
    )
    return f"<pre><code>{figures.at('command')}</code></pre><p class='note'>{escape(again)}</p>"
