"""`tillwatch report`: what a day, a week or a month was like."""

from __future__ import annotations

import asyncio
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cli import installation
from cli.terminal import USAGE, fail, note

if TYPE_CHECKING:
    from console.reports.facts import Facts
    from console.reports.periods import Kind, Period
    from runtime.settings import Settings


def report(kind: str, day: str | None, to: Path | None, *, as_json: bool, as_text: bool) -> int:
    """Prints the report as text or JSON, or writes the page to a file."""
    from console.reports.page import page
    from console.reports.periods import KINDS, last_over, period_of
    from console.reports.report import report as made
    from console.reports.text import text

    if as_json and as_text:
        fail("--json or --text, not both", USAGE)
    if kind not in KINDS:
        from runtime.suggest import nearest, quoted

        near = nearest(kind, KINDS)
        fail(f"no report {quoted(kind)}: there are {', '.join(KINDS)}" + (f" (did you mean {near}?)" if near else ""), USAGE)
    which: Kind = kind
    settings = installation.settings()
    zone, now = zone_of(settings), installation.clock(settings).now()
    if day is None:
        period = last_over(which, int(now * 1000), zone)
    else:
        period = period_of(which, _day(day), zone)
        if period.start_ms > now * 1000:
            fail(f"--date {day}: {period.title} has not begun", USAGE)
    told = made(asyncio.run(_facts(settings, period)))
    if as_json:
        content = told.model_dump_json(indent=2) + "\n"
    elif as_text or to is None:
        content = text(told)
    else:
        content = page(told)
    if to is None or str(to) == "-":
        sys.stdout.write(content)
        sys.stdout.flush()
        return 0
    try:
        to.write_text(content, encoding="utf-8")
    except OSError as error:
        fail(f"{to} cannot be written: {error.strerror}")
    note(f"{told.title}: {told.sentence}")
    note(f"written to {to}")
    return 0


def zone_of(settings: Settings) -> ZoneInfo:
    """The organisation's zone: that of the calendar of `teams.toml`."""
    from notifier.people.business import Calendar

    if settings.teams is None:
        return Calendar().zone
    from cli.oncall import directory_of

    return directory_of(settings).calendar.zone


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        fail(f"--date {text}: expected a day such as 2026-11-29", USAGE)


async def _facts(settings: Settings, period: Period) -> Facts:
    from console.reports.facts import gather
    from runtime.redis import check, connect

    redis = connect(settings)
    try:
        await check(redis)
        return await gather(redis, settings.names, installation.clock(settings), period)
    finally:
        await redis.aclose()
