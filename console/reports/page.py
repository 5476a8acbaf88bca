"""A report as one HTML file: its own styles and charts in it, no script, nothing that is fetched; light, dark and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from console.pages import FOLDER, files
from console.reports import charts
from console.reports.charts import Axis
from console.reports.money import money
from console.reports.periods import local
from console.reports.report import Figure, IncidentLine, Mean, Operations, Report, Step, changed, points, written
from console.words import NB, counted, duration, grouped, percent

_STYLE = "report.css"
_MARKS = {"ok": "ok", "degraded": "degraded", "failing": "failing", "nodata": "nodata"}
_WORDS = {"ok": "OK", "degraded": "Degraded", "failing": "Failing", "nodata": "No data"}
_FONT_FACE = re.compile(r"@font-face\s*\{[^}]*\}\s*")
_DARK = re.compile(r":root\[data-theme=\"dark\"\]\s*\{([^}]*)\}")
_COMMENT = re.compile(r"/\*.*?\*/\s*", re.DOTALL)
_SYMBOL = re.compile(r'<symbol id="(\w+)".*?</symbol>', re.DOTALL)
_STEP = {"daily": "by the hour", "weekly": "by six hours", "monthly": "by the day"}


def page(told: Report) -> str:
    """The file."""
    zone = ZoneInfo(told.zone)
    body = "".join(
        (
            _head(told, zone),
            _section("Payments", _figures("Payments", told.payments) + _revenue(told)),
            _section(f"Payments {_STEP[told.kind]}", _charts(told, zone)),
            _section("Providers, the worst first", _providers(told)),
            _section("Why payments failed", _reasons(told)),
            _section("Incidents", _operations(told) + _incidents(told, zone)),
            _section("Rules that made people look", _rules(told)),
            _section("System and security", _figures("System and security", told.system)),
            _section("To review", _list(told.review, "Nothing stands out.")),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(told.title)}: {escape(told.sentence)}</title>\n<style>\n{_style()}</style>\n</head>\n"
        f"<body>\n{_symbols()}<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _style() -> str:
    """Tokens of the pages, dark where the reader has it so, and the styles of a report."""
    tokens = _COMMENT.sub("", _FONT_FACE.sub("", files()["tokens.css"].content.decode()))
    dark = _DARK.search(tokens)
    assert dark is not None, "tokens.css has the dark theme"
    light = _DARK.sub("", tokens).strip()
    own = (FOLDER / _STYLE).read_text(encoding="utf-8")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n:root {{{dark[1]}}}\n}}\n{own}"


def _symbols() -> str:
    found = {one[1]: one[0] for one in _SYMBOL.finditer(files()["icons.svg"].content.decode())}
    return f'<svg width="0" height="0" aria-hidden="true">{"".join(found[name] for name in _MARKS)}</svg>\n'


def _mark(state: str, word: str | None = None) -> str:
    icon = f'<svg aria-hidden="true"><use href="#{state}"/></svg>'
    return f'<span class="st" data-s="{state}">{icon}{word or _WORDS[state]}</span>'


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n"


def _head(told: Report, zone: ZoneInfo) -> str:
    state = told.state if told.state in _MARKS else "nodata"
    made = _clock(told.made_at, zone, year=True)
    known = "" if told.as_of is None else f", data to {_clock(told.as_of, zone)}"
    remarks = "".join(f"<li>{escape(one)}</li>" for one in told.remarks)
    return (
        f'<header><p class="what">Tillwatch · {escape(told.title)}</p>'
        f'<div class="verdict" data-s="{state}">{_mark(state)}<h1>{escape(told.sentence)}</h1><p>{escape(told.why)}</p></div>'
        f'<p class="note">Made {made}{known} · {escape(told.zone)}</p>'
        + (f'<ul class="remarks">{remarks}</ul>' if remarks else "")
        + "</header>\n"
    )


def _clock(ms: int, zone: ZoneInfo, *, year: bool = False) -> str:
    at = local(ms, zone)
    return f"{_day(at)}{at: %Y} {at:%H:%M}" if year else f"{_day(at)} {at:%H:%M}"


def _day(at: datetime) -> str:
    return f"{at:%a} {at.day} {at:%b}"


# --- tables -----------------------------------------------------------------------------------------------------------


def _wide(what: str, body: str) -> str:
    """What scrolls sideways where it is narrow, by the keyboard, too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(what)}">{body}</div>'


def _table(what: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int], empty: str) -> str:
    """`head` is text, the cells of `rows` are HTML; `numbers`: columns that are set to the right."""
    rows = list(rows)
    if not rows:
        return f'<p class="empty">{escape(empty)}</p>'

    def cells(tag: str, row: Sequence[str]) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        kinds = (' class="num"' if at in numbers else "" for at in range(len(row)))
        return "".join(f"<{tag}{scope}{kind}>{one}</{tag}>" for kind, one in zip(kinds, row, strict=True))

    titles = cells("th", [escape(one) for one in head])
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return _wide(what, f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>")


def _figures(what: str, figures: Iterable[Figure]) -> str:
    rows = []
    for one in figures:
        target, state = "", ""
        if one.target is not None:
            side, limit = ("above", one.target.above) if one.target.above is not None else ("below", one.target.below)
            target = f"{side} {written(one.unit, limit)}"
            met = one.target.met
            state = _mark("nodata") if met is None else _mark("ok", "Met") if met else _mark("failing", "Missed")
        title = escape(one.title[:1].upper() + one.title[1:])
        rows.append(
            (title, written(one.unit, one.value), written(one.unit, one.before), _difference(one), target, state)
        )
    head = ("Figure", "This period", "Before", "Change", "Target", "State")
    return _table(what, head, rows, (1, 2, 3, 4), "Nothing is known.")


def _difference(one: Figure) -> str:
    if one.value is None or one.before is None:
        return "–"
    if one.unit == "ratio":
        return points(one.value - one.before)
    if not one.before:
        return "–" if one.value else f"±0{NB}%"
    return changed(one.value, one.before)


def _revenue(told: Report) -> str:
    rows = [
        (
            escape(one.currency),
            money(one.amount, one.currency),
            "–" if one.before is None else money(one.before, one.currency),
        )
        for one in told.revenue
    ]
    return "<h3>Revenue</h3>" + _table(
        "Revenue", ("Currency", "This period", "Before"), rows, (1, 2), "No payment succeeded."
    )


def _providers(told: Report) -> str:
    rows = []
    for one in told.providers:
        known = one.success_rate is not None and one.success_before is not None
        change = points(one.success_rate - one.success_before) if known else "–"  # type: ignore[operator]
        rows.append(
            (
                escape(one.provider),
                grouped(one.payments),
                percent(one.success_rate),
                change,
                grouped(one.failed),
                grouped(one.declined),
                written("s", one.average_latency),
            )
        )
    head = ("Provider", "Payments", "Success", "Change", "Failed", "Declined", "Latency, mean")
    return _table("Providers", head, rows, range(1, 7), "No payment finished.")


def _reasons(told: Report) -> str:
    rows = [(escape(one.reason), escape(one.fault), grouped(one.count), percent(one.share)) for one in told.reasons]
    return _table("Reasons", ("Reason", "Fault", "Payments", "Share"), rows, (2, 3), "No payment failed.")


def _operations(told: Report) -> str:
    now, before = told.operations, told.operations_before
    times = (
        ("Mean time to detect (MTTD)", now.mttd, None if before is None else before.mttd),
        ("Mean time to acknowledge (MTTA)", now.mtta, None if before is None else before.mtta),
        ("Mean time to resolve (MTTR)", now.mttr, None if before is None else before.mttr),
    )
    rows = [
        ("Incidents", f"{grouped(now.opened)}{_levels(now)}", "–" if before is None else grouped(before.opened)),
        (
            "Over before anybody took them",
            grouped(now.never_taken),
            "–" if before is None else grouped(before.never_taken),
        ),
        *((title, _mean(mean), _mean(then)) for title, mean, then in times),
    ]
    return _table("How incidents went", ("Figure", "This period", "Before"), rows, (1, 2), "")


def _levels(one: Operations) -> str:
    told = ", ".join(f"{count} {level}" for level, count in one.by_level.items() if count)
    return f" ({told})" if told else ""


def _mean(one: Mean | None) -> str:
    if one is None or one.seconds is None:
        return "–"
    return f"{duration(one.seconds)} (of {one.of})"


def _incidents(told: Report, zone: ZoneInfo) -> str:
    rows = [
        (
            f"#{one.number}",
            one.level,
            escape(one.title),
            _clock(one.opened, zone),
            _lasted(one),
            escape(one.assignee or ("taken" if one.acknowledged is not None else "nobody")),
            _cost(one),
        )
        for one in told.incidents
    ]
    head = ("Number", "Level", "What", "Opened", "Took", "Who", "Payments that failed")
    more = f"<p>{counted(told.incidents_more, 'incident')} more.</p>" if told.incidents_more else ""
    return "<h3>One by one</h3>" + _table("Incidents", head, rows, (), "No incident was opened.") + more


def _lasted(one: IncidentLine) -> str:
    if one.resolved is None:
        return _mark("failing", "open")
    return duration(max(one.resolved - one.opened, 0) / 1000)


def _cost(one: IncidentLine) -> str:
    if one.failed_payments is None:
        return "–"
    sums = ", ".join(money(amount, currency) for currency, amount in sorted(one.at_risk.items()))
    return f"{grouped(one.failed_payments)}{f' ({sums})' if sums else ''}"


def _rules(told: Report) -> str:
    rows = [
        (
            f"<code>{escape(one.rule)}</code>",
            grouped(one.incidents),
            grouped(one.alerts),
            grouped(one.unattended),
            _mark("degraded", "Noisy") if one.noisy else "",
        )
        for one in told.rules
    ]
    return _table(
        "Rules", ("Rule", "Incidents", "Alerts", "Over before taken", "State"), rows, (1, 2, 3), "No rule did."
    )


def _list(lines: Iterable[str], empty: str) -> str:
    items = "".join(f"<li>{escape(one)}</li>" for one in lines)
    return f'<ul class="todo">{items}</ul>' if items else f'<p class="empty">{escape(empty)}</p>'


# --- charts -----------------------------------------------------------------------------------------------------------


def _charts(told: Report, zone: ZoneInfo) -> str:
    steps = told.steps
    if not any(one.payments is not None for one in steps):
        return '<p class="empty">Nothing is known.</p>'
    labels = _labels(told, zone)
    volume = [None if one.payments is None else float(one.payments) for one in steps]
    success = [one.success_rate for one in steps]
    latency = [one.p95_latency for one in steps]
    most = charts.round_up(max((one for one in volume if one is not None), default=0.0))
    slowest = charts.round_up(max((one for one in latency if one is not None), default=0.0))
    low = 0.05 * int(min([0.9, *(one for one in success if one is not None)]) * 20)
    rate = Axis(low, 1, ((low, percent(low, 0)), (1, f"100{NB}%")), (0.95, f"target 95{NB}%"))
    count = Axis(0, most, ((0, "0"), (most, grouped(round(most)))))
    time = Axis(0, slowest, ((0, "0"), (slowest, written("s", slowest))))
    drawn = (
        ("Success rate", f"{percent(low, 0)} to 100{NB}%", charts.line(success, rate, labels, _worst(steps, zone))),
        ("Finished payments", "", charts.bars(volume, count, labels, _busiest(steps, zone))),
        ("Latency", "95th percentile", charts.line(latency, time, labels, _slowest(steps, zone))),
    )
    shown = (f"<h3>{title} <small>{unit}</small></h3>{_wide(f'Chart: {title}', chart)}" for title, unit, chart in drawn)
    return "".join(shown) + _twin(steps, zone)


def _worst(steps: Sequence[Step], zone: ZoneInfo) -> str:
    known = [(one.success_rate, one.start) for one in steps if one.success_rate is not None]
    if not known:
        return "Success rate: nothing is known"
    rate, start = min(known)
    return f"Success rate: the lowest is {percent(rate)}, from {_clock(start, zone)} on"


def _busiest(steps: Sequence[Step], zone: ZoneInfo) -> str:
    count, start = max((one.payments or 0, -one.start) for one in steps)
    return f"Finished payments: the most are {grouped(count)}, from {_clock(-start, zone)} on"


def _slowest(steps: Sequence[Step], zone: ZoneInfo) -> str:
    known = [(one.p95_latency, one.start) for one in steps if one.p95_latency is not None]
    if not known:
        return "Latency: nothing is known"
    seconds, start = max(known)
    return f"Latency, 95th percentile: the highest is {written('s', seconds)}, from {_clock(start, zone)} on"


def _labels(told: Report, zone: ZoneInfo) -> list[tuple[int, str]]:
    """At most eight, at round times."""
    found = []
    for number, step in enumerate(told.steps):
        at = local(step.start, zone)
        if told.kind == "daily" and at.hour % 3 == 0:
            found.append((number, f"{at:%H:%M}"))
        elif told.kind == "weekly" and at.hour == 0:
            found.append((number, _day(at)))
        elif told.kind == "monthly" and at.day % 5 == 1 and at.day < 31:
            found.append((number, f"{at.day} {at:%b}"))
    return found


def _twin(steps: Sequence[Step], zone: ZoneInfo) -> str:
    rows = [
        (
            _clock(one.start, zone),
            "–" if one.payments is None else grouped(one.payments),
            percent(one.success_rate),
            written("s", one.p95_latency),
        )
        for one in steps
    ]
    table = _table("Steps", ("From", "Payments", "Success", "p95"), rows, (1, 2, 3), "")
    return f"<details><summary>The same as a table</summary>{table}</details>"
