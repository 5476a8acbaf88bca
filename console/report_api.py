"""The route of reports."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request

from console.asking import AtDesk, while_connected
from console.problems import Refused
from console.reports.facts import gather
from console.reports.periods import Kind, last_over, period_of
from console.reports.report import Report, report

reports = APIRouter(tags=["reports"])


@reports.get("/reports/{kind}")
async def one_report(
    request: Request,
    desk: AtDesk,
    kind: Kind,
    day: Annotated[date | None, Query(alias="date", description="a day in it; the last period that is over")] = None,
) -> Report:
    """What a day, a week or a month was like, beside the period before; days are those of the organisation's zone."""
    zone, now_ms = await desk.checklists.zone(), desk.readings.now_ms()
    try:
        period = last_over(kind, now_ms, zone) if day is None else period_of(kind, day, zone)
        begun = period.before.start_ms < period.start_ms <= now_ms
    except (OverflowError, ValueError):  # at the ends of the calendar
        begun = False
    if not begun:
        raise Refused(400, f"date={day}: expected a day that has begun")
    facts = await while_connected(request, desk.aside(lambda redis: gather(redis, desk.settings.names, desk.clock, period)))
    return report(facts)
