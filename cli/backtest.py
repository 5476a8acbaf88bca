"""`tillwatch rules backtest`: what the learned baseline would have paged over a series that somebody has in a file."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.series import read_series
from cli.terminal import USAGE, fail, note, out, print_json, say

if TYPE_CHECKING:
    from rules.baseline.backtest import Page, Score
    from rules.baseline.calendar import Calendar, Treatment
    from rules.baseline.history import History


def backtest(file: Path, *, below: str, window_s: float, zone: str | None, holidays: Path | None, as_json: bool) -> int:
    """Prints each page, and where rows are labelled how good they were. What cannot be read ends with 2."""
    from rules.baseline.backtest import pages, whole
    from rules.baseline.guard import Guard

    calendar = _calendar(zone, holidays)
    history = read_series(file)
    window_ms = round(window_s * 1000)
    guard = Guard(history.step_ms, window_ms, _share(below), counts=history.counts, calendar=calendar)
    found = pages(guard, history)
    score = None if history.labels is None else whole(found, history)
    for remark in history.remarks:
        note(remark, style="yellow")
    if as_json:
        print_json(_as_json(file, history, found, score, calendar))
        return 0
    _show(file, history, found, score, calendar)
    return 0


def _share(text: str) -> float:
    """The share of `50%`."""
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else float("nan")
    except ValueError:
        share = float("nan")
    if not 0 < share <= 1:
        fail(f"--below takes a share of the baseline such as 50%, not {text!r}", USAGE)
    return share


def _calendar(zone: str | None, holidays: Path | None) -> Calendar:
    from rules.baseline.calendar import DEFAULT_ZONE, Calendar

    special = {} if holidays is None else _special(holidays)
    try:
        return Calendar(zone or DEFAULT_ZONE, special)
    except ValueError as error:
        fail(str(error), USAGE)


def _special(holidays: Path) -> dict[date, Treatment]:
    from rules.baseline.calendar import special_days

    try:
        return special_days(holidays.read_text(encoding="utf-8-sig"))
    except OSError as error:
        fail(f"{holidays}: {error.strerror}", USAGE)
    except ValueError as error:
        fail(f"{holidays}: {error}", USAGE)


def _explained(page: Page, calendar: Calendar) -> str:
    from rules.baseline.words import sentence

    return "" if page.reading is None else sentence("Volume", page.reading, calendar)


def _show(file: Path, history: History, found: list[Page], score: Score | None, calendar: Calendar) -> None:
    from rich.table import Table
    from rich.text import Text

    if found:
        table = Table(box=None, pad_edge=False)
        for name in ("opened", "closed", "value", "expected", "why"):
            table.add_column(name, justify="right" if name in ("value", "expected") else "left", overflow="fold")
        for page in found:
            value, expected = _values(page)
            table.add_row(
                _local(page.opened, calendar),
                "open" if page.closed is None else _local(page.closed, calendar),
                "" if value is None else f"{value:,.6g}",
                "" if expected is None else f"{expected:,.6g}",
                Text(_explained(page, calendar)),
            )
        out().print(table)
    days = len(history.rows) * history.step_ms / 86_400_000
    n = len(found)
    say(f"{n} page{'' if n == 1 else 's'} in {days:.1f} days of {file.name}, times in {calendar.zone}")
    if days < 1:
        say("LEARNING: with less than a day of history nothing is judged")
    if score is not None:
        delay = "" if score.delay_ms is None else f", {score.delay_ms / 60_000:.0f} min after its start in the middle"
        say(
            f"labelled: {score.detected} of {score.intervals} detected{delay}; {score.false} false pages, "
            f"{score.false_a_week:.2f} a week (the first week is not scored)"
        )


def _values(page: Page) -> tuple[float | None, float | None]:
    return (None, None) if page.reading is None else (page.reading.value, page.reading.expected)


def _local(ms: int, calendar: Calendar) -> str:
    return f"{calendar.local(ms):%Y-%m-%d %H:%M}"


def _as_json(
    file: Path, history: History, found: list[Page], score: Score | None, calendar: Calendar
) -> dict[str, Any]:
    from schemas.time import rfc3339

    told: list[dict[str, Any]] = []
    for page in found:
        value, expected = _values(page)
        told.append(
            {
                "opened": rfc3339(page.opened),
                "closed": None if page.closed is None else rfc3339(page.closed),
                "value": value,
                "expected": expected,
                "explanation": _explained(page, calendar),
            }
        )
    answer: dict[str, Any] = {
        "file": file.name,
        "step_s": history.step_ms / 1000,
        "rows": len(history.rows),
        "counts": history.counts,
        "zone": calendar.zone,
        "pages": told,
        "remarks": history.remarks,
        "score": None,
    }
    if score is not None:
        answer["score"] = {
            "intervals": score.intervals,
            "detected": score.detected,
            "missed": score.missed,
            "false_pages": score.false,
            "false_pages_a_week": score.false_a_week,
            "median_delay_s": None if score.delay_ms is None else score.delay_ms / 1000,
        }
    return answer
