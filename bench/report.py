"""What the benchmarks found, as tables and pictures: docs/benchmarks.md and docs/img.

    python -m bench.report [--docs FOLDER]

Reads what `bench.compare`, `bench.cost`, `bench.live`, `bench.paging` and `bench.pages` left in .cache/bench and puts it
between the marks in the document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import floor, log10
from pathlib import Path
from textwrap import shorten
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bench"

Result = dict[str, Any]
"""What a run left as JSON."""


# --- numbers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spread:
    """Of a figure over repetitions."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Raises ValueError where there is none."""
        held = list(values)
        if not held:
            raise ValueError("no figure to take the median of")
        return cls(statistics.median(held), min(held), max(held))

    def __str__(self) -> str:
        least, most = plain(self.least), plain(self.most)
        return plain(self.median) + (f" ({least} to {most})" if least != most else "")


def plain(value: float) -> str:
    """Three digits that mean something: `16,400`, `412`, `3.5`."""
    if value == 0:
        return "0"
    digits = 2 - floor(log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


# --- the comparison ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One contender. `said`: why it has no figures; then they are None."""

    name: str
    title: str
    rate: Spread | None = None
    second_half: Spread | None = None
    per_cpu: Spread | None = None
    with_servers: Spread | None = None
    memory_mb: Spread | None = None
    said: str = ""


def lines(result: Result) -> list[Line]:
    """A contender that was wrong, once or always, has no figures."""
    found = []
    for one in result["contenders"]:
        runs = one["runs"]
        wrong = [run["wrong"] for run in runs if run["wrong"]]
        if wrong:
            found.append(Line(one["name"], one["title"], said=f"wrong: {wrong[0]}"))
        elif not runs:
            said = f"not here: {one['lacking']}" if one["lacking"] else f"failed: {one['failed'] or 'no time was left'}"
            found.append(Line(one["name"], one["title"], said=said))
        else:
            found.append(
                Line(
                    one["name"],
                    one["title"],
                    Spread.of(run["events"] / run["seconds"] for run in runs),
                    Spread.of(run["second_half"] for run in runs) if runs[0]["second_half"] else None,
                    Spread.of(run["events"] / run["cpu_seconds"] for run in runs),
                    Spread.of(run["events"] / (run["cpu_seconds"] + run["servers_cpu_seconds"]) for run in runs),
                    Spread.of(run["peak_mb"] for run in runs),
                    ("right" if one["counts"] else "adds up nothing")
                    + (f", then failed: {one['failed']}" if one["failed"] else ""),
                )
            )
    return found


def comparison(result: Result) -> list[str]:
    """The table, with what it was taken on, in Markdown."""
    mix = result["mix"]
    repetitions = max((len(one["runs"]) for one in result["contenders"]), default=0)
    others = [run["others_cores"] for one in result["contenders"] for run in one["runs"]]
    rows = [
        [
            line.title,
            str(line.rate or "–"),
            str(line.second_half or "–"),
            str(line.per_cpu or "–"),
            str(line.with_servers or "–"),
            str(line.memory_mb or "–"),
            line.said,
        ]
        for line in lines(result)
    ]
    heads = [
        "contender",
        "events/s",
        "second half alone",
        "per CPU-second",
        "with broker and store",
        "peak memory, MB",
        "sums",
    ]
    return [
        taken_on(result),
        "",
        f"{mix['events']:,} payments of {result['bytes_an_event']:.0f} bytes in {mix['partitions']} partitions, "
        f"{result['windows']} windows of 10 s with {result['cells_a_window']:g} cells each, {result['events_a_cell']:,} events "
        f"a cell; {repetitions} repetitions: the median, with the least and the most. Other processes of the machine took "
        f"{max(others, default=0):.2f} cores at most.",
        "",
        *table(heads, rows),
    ]


def taken_on(result: Result) -> str:
    """When, on what machine, with what versions."""
    machine, versions = result["machine"], result["versions"]
    return (
        f"{result['made'][:10]}, {machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, "
        f"{machine['system']}; {', '.join(f'{name} {version}' for name, version in versions.items())}. `{result['command']}`"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; what would break it is escaped."""
    return [
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |" for row in rows),
    ]


# --- pictures ---------------------------------------------------------------------------------------------------------

STYLE = """
    .ground { fill: #FBFAF7; stroke: #E3DFD6 }
    .ours { fill: #0072B2 } .other { fill: #B9B3A6 }
    .name { fill: #1C1B18; font-size: 14px } .head { fill: #1C1B18; font-size: 15px; font-weight: 600 }
    .word { fill: #524E46; font-size: 12.5px } .end { text-anchor: end } .mid { text-anchor: middle }
    .axis { fill: none; stroke: #CFCABF } .spread { stroke: #1C1B18; stroke-width: 1.6 }
    .curve { fill: none; stroke: #0072B2; stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #131517; stroke: #2A2E32 }
      .ours { fill: #56B4E9 } .other { fill: #5B6168 }
      .name, .head { fill: #ECEAE4 } .word { fill: #B8B6AF }
      .axis { stroke: #3B4046 } .spread { stroke: #ECEAE4 } .curve { stroke: #56B4E9 }
    }"""
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def _svg(width: int, height: int, title: str, told: str, body: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d" '
        f'font-family="{FONT}">\n  <title id="t">{escape(title)}</title>\n  <desc id="d">{escape(told)}</desc>\n'
        f"  <style>{STYLE}\n  </style>\n"
        f'  <rect class="ground" x=".7" y=".7" width="{width - 1.4:g}" height="{height - 1.4:g}" rx="10"/>\n'
        + "".join(f"  {line}\n" for line in body)
        + "</svg>\n"
    )


def _text(x: float, y: float, words: str, classes: str) -> str:
    return f'<text class="{classes}" x="{x:g}" y="{y:g}">{escape(words)}</text>'


@dataclass(frozen=True, slots=True)
class Panel:
    """One group of bars: `figures` in the order of the rows, None where a row has none."""

    head: str
    figures: list[Spread | None]


ROW, NAMES, PANEL, GAP, TOP = 34, 300, 270, 24, 62


def bars(title: str, names: Sequence[str], ours: int, panels: Sequence[Panel], said: Sequence[str]) -> str:
    """Horizontal bars with their spread, each panel with a scale of its own; `ours`: the row that stands out; `said`: what
    is told where a row has no bar."""
    width, height = NAMES + len(panels) * (PANEL + GAP) + 10, TOP + ROW * len(names) + 18
    body = [_text(20, 30, title, "head")]
    body += [_text(NAMES - 12, TOP + ROW * row + 21, name, "name end") for row, name in enumerate(names)]
    for number, panel in enumerate(panels):
        left = NAMES + number * (PANEL + GAP)
        most = max((figure.most for figure in panel.figures if figure), default=0) or 1
        scale = (PANEL - 70) / most  # room for the number
        body.append(_text(left, TOP - 8, panel.head, "word"))
        body.append(f'<path class="axis" d="M{left} {TOP}v{ROW * len(names)}"/>')
        for row, figure in enumerate(panel.figures):
            y = TOP + ROW * row
            if figure is None:
                if number == 0:
                    body.append(_text(left + 8, y + 21, shorten(said[row], 42, placeholder=" …"), "word"))
                continue
            drawn = "ours" if row == ours else "other"
            body.append(
                f'<rect class="{drawn}" x="{left}" y="{y + 7}" width="{figure.median * scale:.1f}" height="20"/>'
            )
            if figure.least < figure.most:
                body.append(
                    f'<path class="spread" d="M{left + figure.least * scale:.1f} {y + 17}H{left + figure.most * scale:.1f}"/>'
                )
            body.append(_text(round(left + figure.most * scale + 8, 1), y + 21, plain(figure.median), "word"))
    told = []
    for row, name in enumerate(names):
        found = [f"{plain(figure.median)} {panel.head}" for panel in panels if (figure := panel.figures[row])]
        told.append(f"{name}: {', '.join(found) or said[row]}")
    return _svg(width, height, title, "; ".join(told), body)


def comparison_picture(result: Result) -> str:
    """Events a second and memory of each contender."""
    found = lines(result)
    names = [line.title for line in found]
    ours = next((row for row, line in enumerate(found) if line.name == "tillwatch"), -1)
    panels = [
        Panel("events a second, one process", [line.rate for line in found]),
        Panel("events per CPU-second", [line.per_cpu for line in found]),
        Panel("MB of memory at the peak", [line.memory_mb for line in found]),
    ]
    return bars("The same payments, the same sums", names, ours, panels, [line.said for line in found])


# --- the cost of an event ---------------------------------------------------------------------------------------------

SERIES = {"partitions": "partitions", "cells": "merchants", "size": "bytes more", "workers": "workers"}
"""{series: what is varied}."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One place of a series. `x`: what the picture shows it at; costs in µs of CPU an event. `said`: why there is none."""

    series: str
    value: int
    x: float
    bytes_an_event: float
    cells: float
    own_us: Spread | None = None
    servers_us: Spread | None = None
    rate: Spread | None = None
    memory_mb: Spread | None = None
    said: str = ""


def dots(result: Result) -> list[Dot]:
    """Every point with what it costs; one without a run says why."""
    found = []
    for point in result["points"]:
        runs, events = point["runs"], point["mix"]["events"]
        x = {"cells": point["cells"], "size": point["bytes_an_event"]}.get(point["series"], point["value"])
        dot = Dot(point["series"], point["value"], x, point["bytes_an_event"], point["cells"])
        if not runs:
            found.append(replace(dot, said=f"failed: {point['failed'] or 'no time was left'}"))
            continue
        found.append(
            replace(
                dot,
                own_us=Spread.of(run["whole_cpu_seconds"] / events * 1e6 for run in runs),
                servers_us=Spread.of(run["whole_servers_cpu_seconds"] / events * 1e6 for run in runs),
                rate=Spread.of(events / run["whole_seconds"] for run in runs),
                memory_mb=Spread.of(run["peak_rss_mb"] for run in runs),
            )
        )
    return found


def cost(result: Result) -> list[str]:
    """The table, with what it was taken on, in Markdown."""
    points = result["points"]
    others = [run["whole_others_cpu_seconds"] / run["whole_seconds"] for point in points for run in point["runs"]]
    repetitions = max((len(point["runs"]) for point in points), default=0)
    rows = [
        [
            f"{dot.value:,} {SERIES[dot.series]}",
            f"{dot.bytes_an_event:,.0f}" if dot.own_us else "–",
            f"{dot.cells:,.0f}" if dot.own_us else "–",
            str(dot.own_us or dot.said),
            str(dot.servers_us or "–"),
            str(dot.rate or "–"),
            str(dot.memory_mb or "–"),
        ]
        for dot in dots(result)
    ]
    heads = [
        "",
        "bytes",
        "cells in the fullest row",
        "worker, µs",
        "broker and store, µs",
        "events/s",
        "peak memory, MB",
    ]
    return [
        taken_on(result),
        "",
        f"{max(point['mix']['events'] for point in points):,} payments a point, fewer of the largest; CPU time an event; "
        f"{repetitions} repetitions: the median, with the least and the most. Other processes of the machine took "
        f"{max(others, default=0):.2f} cores at most.",
        "",
        *table(heads, rows),
    ]


@dataclass(frozen=True, slots=True)
class Curve:
    """x and y of each place, in the order of x."""

    head: str
    along: str
    places: list[tuple[float, Spread]]


SIDE, DEEP, EDGE = 340, 190, 52
LABEL = 46
"""Room that a number takes below an axis."""


def curves(title: str, up: str, drawn: Sequence[Curve]) -> str:
    """Panels beside each other, x by its logarithm, y from nothing; one y scale for all, so that they compare."""
    width, height, top = 20 + len(drawn) * (SIDE + 20), DEEP + 162, 100
    most = max((spread.most for curve in drawn for _, spread in curve.places), default=0) or 1
    body = [_text(20, 30, title, "head"), _text(20, 52, up, "word")]
    for number, curve in enumerate(drawn):
        left, low = 20 + number * (SIDE + 20) + EDGE, top + DEEP
        wide = SIDE - EDGE - 24
        body += [_text(left, top - 16, curve.head, "name"), f'<path class="axis" d="M{left} {top}V{low}h{wide}"/>']
        body += [_text(left - 8, low - DEEP * share + 4, plain(most * share), "word end") for share in (0.5, 1.0)]
        logs = [log10(x) for x, _ in curve.places]
        span = (max(logs) - min(logs) or 1) if logs else 1
        spots, labelled = list[str](), float(-LABEL)
        for (x, spread), at in zip(curve.places, logs, strict=True):
            across, y = left + 12 + (at - min(logs)) / span * (wide - 24), low - spread.median / most * DEEP
            spots.append(f"{across:.1f} {y:.1f}")
            if across - labelled >= LABEL:
                labelled = across
                body.append(_text(round(across, 1), low + 18, f"{x:,.0f}", "word mid"))
            body.append(f'<circle class="ours" cx="{across:.1f}" cy="{y:.1f}" r="3.5"/>')
            if spread.least < spread.most:
                ends = (low - spread.least / most * DEEP, low - spread.most / most * DEEP)
                body.append(f'<path class="spread" d="M{across:.1f} {ends[0]:.1f}V{ends[1]:.1f}"/>')
        if spots:
            body.append(f'<path class="curve" d="M{"L".join(spots)}"/>')
        body.append(_text(left, low + 40, curve.along, "word"))
    told = "; ".join(
        f"{curve.head}: " + ", ".join(f"{plain(spread.median)} at {x:,.0f} {curve.along}" for x, spread in curve.places)
        for curve in drawn
    )
    return _svg(width, height, title, told, body)


def cost_picture(result: Result) -> str:
    """What an event costs, against what it is that grows."""
    found = dots(result)
    return curves(
        "What an event costs the worker",
        "µs of CPU time an event",
        [
            Curve(head, along, sorted((dot.x, dot.own_us) for dot in found if dot.series == series and dot.own_us))
            for series, head, along in (
                ("partitions", "Partitions", "of the topic of payments"),
                ("cells", "Cells", "in the fullest 10 s row, all tables"),
                ("size", "Size", "bytes an event"),
            )
        ],
    )


# --- while events come in ---------------------------------------------------------------------------------------------

WAYS = {
    "takeover": "one of two workers is killed, the other takes over",
    "restart": "the only worker is killed and started again at once",
    "stop": "one of two workers is told to end",
}
"""How a worker dies."""


def live(result: Result) -> list[str]:
    """The tables of latency and recovery, with what they were taken on, in Markdown."""
    latencies = [
        [
            f"{one['load_events_a_second']:,.0f}",
            *(f"{one[name]:,}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")),
            f"{one['trials']}",
        ]
        for one in result["latency"]
    ]
    deaths = [
        [WAYS[one["way"]], f"failed: {one['failed']}" if one["failed"] else f"{Spread.of(one['seconds'])} s"]
        for one in result["recovery"]
    ]
    return [
        taken_on(result),
        "",
        *table(["payments/s", "p50, ms", "p95, ms", "p99, ms", "most, ms", "alerts"], latencies),
        "",
        *table(["what happens to a worker", "until all up to then is in the merged table"], deaths),
    ]


# --- from alert to page -----------------------------------------------------------------------------------------------


def paging(result: Result) -> list[str]:
    """The table of what was measured, with what it was taken on, in Markdown."""
    rows = []
    if one := result.get("latency"):
        told = f"p50 {one['p50_ms']} ms, p95 {one['p95_ms']} ms, p99 {one['p99_ms']} ms, most {one['max_ms']} ms"
        of = f"{one['alerts']} alerts; {one['cpu_ms_an_alert']} ms of CPU time each; {one['busy_cores']} cores busy in all"
        rows.append(["alert to first request of its page", told, of])
    for one in result.get("storms", ()):
        lags, counts = one["first_page_s"], Counter(one["incidents"].values())
        shape = ", ".join(f"{causes} × {number}" for number, causes in sorted(counts.items()))
        sent = ", ".join(f"{count} × {what}" for what, count in sorted(one["messages"].items()))
        more = f"; not paged: {one['unpaged']}" if one["unpaged"] else ""
        told = f"first page p50 {_s(lags, 0.5)}, p99 {_s(lags, 0.99)}, most {max(lags):.2f} s{more}"
        of = (
            f"{one['alerts']:,} alerts, the last {one['sent_late_s']:.1f} s late, of {one['causes']} causes "
            f"(causes × incidents each: {shape}); {sent}; "
            f"{one['cpu_s']} s of CPU time, {one['peak_mb']:.0f} MB"
        )
        rows.append([f"storm {one['seed']}", told, of])
    if one := result.get("failover"):
        for what, name in (("a timer that came due", "timers_s"), ("an alert that came", "alerts_s")):
            spread = one[name]
            told = f"p50 {_s(spread, 0.5)}, p95 {_s(spread, 0.95)}, most {max(spread):.2f} s"
            of = f"{one['trials']} deaths; session timeout {one['session_timeout_s']:g} s"
            rows.append([f"leader killed: {what} is paged", told, of])
    before, after = result["load"]
    load = f"The machine's load was {before:.1f} when it began, {after:.1f} when it ended."
    return [f"{taken_on(result)} {load}", "", *table(["what", "figures", "of"], rows)]


def _s(values: Sequence[float], share: float) -> str:
    """A quantile, by linear interpolation."""
    return f"{statistics.quantiles(values, n=100, method='inclusive')[round(share * 100) - 1]:.2f} s"


# --- the pages of the console -----------------------------------------------------------------------------------------


def pages(result: Result) -> list[str]:
    """The tables of answers and views, with what they were taken on, in Markdown."""
    answers = [
        [f"`{address.removeprefix('/api/v1')}`", f"{one['first']:,.0f}", f"{one['first_cpu']:,.0f}", f"{one['p50']:,.0f}",
         f"{one['p95']:,.0f}", f"{one['bytes'] / 1000:,.1f}"]
        for address, one in result["answers"].items()
    ]  # fmt: skip
    views = [
        [f"`{address}`", f"{one['paint']:,} ({one['paint_most']:,})", f"{one['drawn']:,} ({one['drawn_most']:,})",
         f"{one['charts']}", f"{one['bytes'] / 1000:,.0f}"]
        for address, one in (result.get("views") or {}).items()
    ]  # fmt: skip
    before, after = result["load"]
    tabs, rows = result["tabs"], ", ".join(f"{count:,} of {name}" for name, count in result["rows"].items())
    return [
        f"{taken_on(result)} The machine's load was {before:.1f} when it began, {after:.1f} when it ended.",
        "",
        f"Rows of {result['cells']:,} cells, of other tables {result['others']:,}: {rows}. "
        f"The console took {result['peak_mb']:,} MB at the most.",
        "",
        *table(["data of", "first look, ms", "of it CPU, ms", "p50, ms", "p95, ms", "KB, compressed"], answers),
        "",
        f"{tabs['tabs']} tabs: {tabs['core']:.1%} of a core in {tabs['seconds']:g} s, {tabs['requests_s']:g} questions "
        f"a second beside their streams; the whole machine was busy with {tabs['machine_cores']:g} cores.",
        *(
            ["", *table(["page", "first paint, ms (most)", "drawn, ms (most)", "charts", "KB, compressed"], views)]
            if views
            else []
        ),
    ]


# --- the document -----------------------------------------------------------------------------------------------------


def marked(document: str, name: str, lines: Sequence[str]) -> str:
    """The document with these lines between `<!-- bench: NAME -->` and `<!-- end -->`. Raises ValueError without marks."""
    begin, end = f"<!-- bench: {name} -->\n", "<!-- end -->"
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the document has no {begin.strip()} with {end} after it")
    return before + begin + "".join(f"{line}\n" for line in lines) + end + after


def write(figures: Path, docs: Path) -> list[Path]:
    """Puts the figures that are there into the document and the pictures; returns what was written."""
    document, written = docs / "benchmarks.md", []
    text = document.read_text()
    for name, (table_of, picture_of, shown) in SECTIONS.items():
        file = figures / f"{name}.json"
        if not file.exists():
            continue
        result = json.loads(file.read_text())
        told = table_of(result)
        if picture_of is not None:
            picture = docs / "img" / f"bench-{name}.svg"
            picture.write_text(picture_of(result))
            told = [f"![{shown}](img/{picture.name})", "", *told]
            written.append(picture)
        text = marked(text, name, told)
    document.write_text(text)
    return [document, *written]


SECTIONS: dict[str, tuple[Callable[[Result], list[str]], Callable[[Result], str] | None, str]] = {
    "compare": (
        comparison,
        comparison_picture,
        "Bars: events a second, events per CPU-second and memory of each contender.",
    ),
    "cost": (
        cost,
        cost_picture,
        "Curves: CPU time of an event against partitions, cells and the size of an event.",
    ),
    "live": (live, None, ""),
    "paging": (paging, None, ""),
    "pages": (pages, None, ""),
}
"""{section: (its table, its picture, what that shows)}."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--figures", type=Path, default=CACHE, help="where the JSON files are")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="the folder with benchmarks.md and img/")
    given = parser.parse_args()
    for path in write(given.figures, given.docs):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
