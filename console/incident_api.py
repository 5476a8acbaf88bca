"""The routes of incidents, silences and people on call. What is done goes the way of every command: through the notifier."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from console.desk import Desk
from console.incident_shapes import (
    Action,
    Answered,
    Incidents,
    IncidentsPage,
    NewSilence,
    OnCall,
    OperationsFigures,
    Room,
    Runbook,
    Said,
    SilenceAnswered,
    Silences,
    WholeIncident,
)
from console.problems import MEDIA_TYPE, Refused, unknown
from console.runbooks import runbook
from console.shapes import Problem
from console.who import Who, needs, who_of
from console.windows import length_ms
from schemas.incident import STATUSES, digest
from schemas.severity import SEVERITIES

INCIDENTS_MOST = 100
_STATES = ("open", "over", *STATUSES)
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "What is wrong with the request", "content": {MEDIA_TYPE: {}}},
    "503": {"model": Problem, "description": "The store is away", "content": {MEDIA_TYPE: {}}},
}
_LATER: dict[int | str, dict[str, Any]] = {202: {"description": "no notifier answered in time: it was asked; look again"}}

incident_api = APIRouter(prefix="/api/v1", tags=["incidents"], responses=_PROBLEMS)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]
Responder = Annotated[Who, Depends(needs("responder"))]
Which = Annotated[str, Path(max_length=64, description="its number, its id or the beginning of its id")]
State = Annotated[str | None, Query(max_length=20, description=f"one of {', '.join(_STATES)}")]
Severity = Annotated[str | None, Query(max_length=16)]
Before = Annotated[int | None, Query(ge=0, le=10**12, description="the `next` of an answer")]
Limit = Annotated[int, Query(ge=1, le=INCIDENTS_MOST)]
Once = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", max_length=128, description="what is sent again with the same key within a while is done once"
    ),
]


def asked(state: str | None, severity: str | None) -> frozenset[str] | None:
    """The statuses that are meant by `state`; None for all. Raises Refused for what is none."""
    if severity is not None and severity not in SEVERITIES:
        raise unknown("severity", severity, SEVERITIES)
    if state is None:
        return None
    if state not in _STATES:
        raise unknown("state", state, _STATES)
    groups = {"open": STATUSES[:4], "over": STATUSES[4:]}
    return frozenset(groups.get(state, (state,)))


# --- incidents --------------------------------------------------------------------------------------------------------


@incident_api.get("/incidents")
async def incidents(
    desk: AtDesk, state: State = None, severity: Severity = None, before: Before = None, limit: Limit = 50
) -> Incidents:
    """Incidents, the latest first: all that are open, and those of the last 90 days."""
    return await desk.incidents.page(asked(state, severity), severity, before, limit)


@incident_api.get("/incidents/{incident}")
async def incident(desk: AtDesk, incident: Which) -> WholeIncident:
    """All that is known of one incident."""
    return await desk.incidents.whole(incident)


@incident_api.post("/incidents/{incident}/{action}", responses=_LATER)
async def act(
    desk: AtDesk,
    who: Responder,
    response: Response,
    incident: Which,
    action: Action,
    said: Said | None = None,
    once: Once = None,
) -> Answered:
    """Does something about an incident, by the notifier: what became of it, 409 where it cannot be done."""
    answered = await desk.incidents.act(incident, action, said or Said(), who.name, _command_id(who, once, incident, action))
    response.status_code = 202 if answered.done is None else 200
    return answered


def _command_id(who: Who, once: str | None, *what: str) -> str:
    return secrets.token_hex(32) if once is None else digest("console", who.name, once, *what)


# --- silences ---------------------------------------------------------------------------------------------------------


@incident_api.get("/silences")
async def silences(desk: AtDesk, everything: Annotated[bool, Query(alias="all")] = False) -> Silences:
    """Silences and maintenance windows that are planned or active; `all`: those that are over, too."""
    return await desk.incidents.silences(everything)


@incident_api.post("/silences", responses=_LATER)
async def silence(desk: AtDesk, who: Responder, response: Response, wanted: NewSilence, once: Once = None) -> SilenceAnswered:
    """Adds one."""
    answered = await desk.incidents.silence(wanted, who.name, _command_id(who, once, "silence"))
    response.status_code = 202 if answered.done is None else 200
    return answered


@incident_api.delete("/silences/{silence}", responses=_LATER)
async def unsilence(
    desk: AtDesk,
    who: Responder,
    response: Response,
    silence: Annotated[str, Path(min_length=6, max_length=64, description="its id, or the beginning of it")],
    once: Once = None,
) -> SilenceAnswered:
    """Ends one now, or calls it off."""
    answered = await desk.incidents.unsilence(silence, who.name, _command_id(who, once, "unsilence", silence))
    response.status_code = 202 if answered.done is None else 200
    return answered


# --- people and figures -----------------------------------------------------------------------------------------------


@incident_api.get("/oncall")
async def oncall(desk: AtDesk) -> OnCall:
    """Who is on call now and until when, and the gaps of the next four weeks."""
    return await desk.incidents.on_call()


@incident_api.get("/kpis/operations", tags=["figures"])
async def operations(
    desk: AtDesk,
    length: Annotated[str, Query(alias="window", description="how long, such as 24h or 30d: up to 31d", max_length=20)] = "30d",
) -> OperationsFigures:
    """How incidents are handled: time to detect, to answer, to resolve, and what people judged of alerts."""
    return desk.incidents.operations(length_ms(length))


@incident_api.get("/runbooks/{name}")
async def runbook_of(desk: AtDesk, name: Annotated[str, Path(max_length=128, pattern=r"^[A-Za-z_]\w*$")]) -> Runbook:
    """What to do, as text and as a tree."""
    found = runbook(name, desk.settings.rules)
    if found is None:
        raise Refused(404, f"there is no runbook {name!r}: it is a page runbooks/{name}.md beside the rules")
    return found


# --- pages ------------------------------------------------------------------------------------------------------------


@incident_api.get("/pages/incidents", tags=["pages"])
async def incidents_page(
    desk: AtDesk, state: State = None, severity: Severity = None, before: Before = None, limit: Limit = 50
) -> IncidentsPage:
    """The page of incidents."""
    return await desk.incidents.list_page(state, asked(state, severity), severity, before, limit)


@incident_api.get("/pages/incident/{incident}", tags=["pages"])
async def room(request: Request, desk: AtDesk, incident: Which) -> Room:
    """The page of one incident."""
    return await desk.incidents.room(incident, who_of(request))


