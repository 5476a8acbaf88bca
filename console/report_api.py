"""The routes of reports: as they would be made now, and those that were written."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from console.asking import AtDesk, while_connected
from console.problems import Refused
from console.reports import shelf
from console.reports.facts import gather
from console.reports.page import page
from console.reports.periods import Kind, last_over, period_of
from console.reports.report import Report, report
from console.shapes import Shape
from schemas.alert import Instant

reports = APIRouter(tags=["reports"])
pages = APIRouter(include_in_schema=False)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
Day = Annotated[date | None, Query(alias="date", description="a day in it; the last period that is over")]
File = Annotated[str, Path(max_length=40, description="its `file`")]


class KeptReport(Shape):
    """A report that was written. `name`: its period, as in `2026-11-29`, `2026-W48` or `2026-11`."""

    kind: Kind
    name: str
    title: str
    file: str
    made_at: Instant


class KeptReports(Shape):
    """Those that the data folder of this console has, the latest first: a notifier elsewhere writes into its own."""

    reports: list[KeptReport]


@reports.get("/reports")
async def all_reports(desk: AtDesk) -> KeptReports:
    """The reports that were written on schedule."""
    found = await asyncio.to_thread(shelf.shelf, desk.settings.data / shelf.FOLDER, await desk.checklists.zone())
    told = [
        KeptReport(
            kind=one.period.kind, name=one.period.name, title=one.period.title, file=one.file, made_at=one.made_ms
        )
        for one in found
    ]
    return KeptReports(reports=told)


@reports.get("/reports/kept/{file}", response_class=HTMLResponse)
async def kept_report(desk: AtDesk, file: File) -> Response:
    """One of them, as a page."""
    zone = await desk.checklists.zone()
    found = await asyncio.to_thread(shelf.content, desk.settings.data / shelf.FOLDER, file, zone)
    if found is None:
        raise Refused(404, "there is no such report: /api/v1/reports lists them")
    return _page(found)


@reports.get("/reports/{kind}", response_model=Report, responses=_HTML)
async def one_report(
    request: Request,
    desk: AtDesk,
    kind: Kind,
    day: Day = None,
    form: Annotated[Literal["json", "html"], Query(alias="format", description="html: as a page")] = "json",
) -> Report | Response:
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
    told = report(facts)
    return _page(page(told)) if form == "html" else told


@pages.get("/reports/{kind}", response_model=None)
async def report_page(request: Request, desk: AtDesk, kind: Kind, day: Day = None) -> Report | Response:
    """The same at an address that can be pasted into a chat."""
    return await one_report(request, desk, kind, day, "html")


@pages.get("/reports/kept/{file}")
async def kept_page(desk: AtDesk, file: File) -> Response:
    return await kept_report(desk, file)


def _page(content: str) -> Response:
    """A report as it was written: nothing but its own styles, no script, no form, no place in another page."""
    styles = " ".join(f"'sha256-{_digest(one)}'" for one in _STYLE.findall(content)) or "'none'"
    policy = f"default-src 'none'; style-src {styles}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
    return HTMLResponse(content, headers={"Content-Security-Policy": policy, "Cache-Control": "private, no-store"})


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
