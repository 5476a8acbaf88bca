"""The pages of incidents, and of the runbooks that they name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse

from console.desk import Desk
from console.incident_api import Before, Limit, Severity, State, asked
from console.incident_shapes import RunbookPage
from console.pages import page
from console.problems import Refused
from console.runbooks import runbook
from console.who import who_of

incident_site = APIRouter(include_in_schema=False)


@incident_site.get("/incidents")
async def incidents(
    request: Request, state: State = None, severity: Severity = None, before: Before = None, limit: Limit = 50
) -> Response:
    desk: Desk = request.app.state.desk
    told = await desk.incidents.list_page(state, asked(state, severity), severity, before, limit)
    return HTMLResponse(page("incidents", told, told.tiles))


@incident_site.get("/incidents/{incident}")
async def room(request: Request, incident: Annotated[str, Path(max_length=64)]) -> Response:
    desk: Desk = request.app.state.desk
    told = await desk.incidents.room(incident, who_of(request))
    return HTMLResponse(page("incident", told, where=f"Incident {told.incident.number}"))


@incident_site.get("/runbooks/{name}")
async def book(request: Request, name: Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z_]\w*$")]) -> Response:
    desk: Desk = request.app.state.desk
    found = runbook(name, desk.settings.rules)
    if found is None:
        raise Refused(404, f"there is no runbook {name!r}")
    now_ms = desk.readings.now_ms()
    told = RunbookPage(state="ok", sentence=[found.title], why=[], as_of=now_ms, now=now_ms, runbook=found)
    return HTMLResponse(page("runbook", told, where=found.title))
