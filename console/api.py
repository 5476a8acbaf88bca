"""The routes. Each asks the desk, and says what went wrong as problem+json."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from console.access import Access
from console.access_api import access_api
from console.analyst_api import analyst
from console.asking import PACKED_FROM, AtDesk, Gone, spanning, told, while_connected
from console.board import Event, Full
from console.checklist_api import checklists
from console.checklist_api import pages as checklist_pages
from console.desk import Desk
from console.events import EventStream
from console.incident_api import incident_api
from console.incident_site import incident_site
from console.metrics import CONTENT_TYPE, exposition
from console.pages_api import keep_warm, pages
from console.problems import MEDIA_TYPE, Refused, problem, unknown
from console.readings import AWAY
from console.report_api import pages as report_pages
from console.report_api import reports
from console.rules_page import in_force
from console.shapes import (
    Alerts,
    ErrorFigures,
    Health,
    Integration,
    Overview,
    PaymentFigures,
    PerformanceFigures,
    PipelinePage,
    PlacedAlert,
    Problem,
    RuleInFull,
    Rules,
    RulesPage,
    SecurityFigures,
)
from console.shapes import Rows as RowsShape
from console.signals import Signals
from console.signing import signing
from console.site import site
from console.span import View
from console.status_site import public
from console.tables import question
from console.windows import length_ms as _length_ms
from schemas.severity import SEVERITIES
from schemas.time import rfc3339

ALERTS_MOST = 200
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "What is wrong with the request", "content": {MEDIA_TYPE: {}}},
    "503": {"model": Problem, "description": "The store is away, or too much is asked at once", "content": {MEDIA_TYPE: {}}},
}


Length = Annotated[
    str, Query(alias="window", description="how long, such as 5m, 1h or 24h: whole 10 s, up to 31d", max_length=20)
]


# --- health -----------------------------------------------------------------------------------------------------------

health = APIRouter(tags=["health"])


@health.get("/api/health", responses={503: {"model": Health, "description": "unhealthy"}})
async def overall_health(desk: AtDesk, response: Response) -> Health:
    """How payments are, by probes and by what was counted in the last minute: 200 while healthy or degraded, else 503."""
    return _with_status(await desk.health(None), response)


@health.get("/api/health/{part}", responses={503: {"model": Health, "description": "unhealthy"}})
async def part_health(
    desk: AtDesk, response: Response, part: Annotated[Literal["payment", "webhook", "database", "api"], Path()]
) -> Health:
    """The same for one part: the other booleans are false, since they were not looked at."""
    return _with_status(await desk.health(part), response)


def _with_status(found: Health, response: Response) -> Health:
    response.status_code = 503 if found.overall_health == "unhealthy" else 200
    return found


@health.get("/livez", response_class=Response)
async def livez() -> Response:
    """200 while this process answers."""
    return Response("live\n", media_type="text/plain")


@health.get("/readyz", response_class=Response)
async def readyz(request: Request) -> Response:
    """200 once this process can answer, 503 while it starts or ends. Whether payments work: /api/health."""
    ready = request.app.state.desk.ready
    return Response("ready\n" if ready else "not ready\n", 200 if ready else 503, media_type="text/plain")


# --- figures ----------------------------------------------------------------------------------------------------------

api = APIRouter(prefix="/api/v1", responses=_PROBLEMS)


@api.get("/kpis/payments", tags=["figures"])
async def payment_figures(desk: AtDesk, length: Length = "1h") -> PaymentFigures:
    """Success, failures, declines, latency, conversion and revenue of the window that ends now; the volume of 24 hours."""
    found = await desk.figures("payments", _length_ms(length))
    assert isinstance(found, PaymentFigures)
    return found


@api.get("/kpis/errors", tags=["figures"])
async def error_figures(desk: AtDesk, length: Length = "1h") -> ErrorFigures:
    """Errors raised and resolved, and the error rate of requests."""
    found = await desk.figures("errors", _length_ms(length))
    assert isinstance(found, ErrorFigures)
    return found


@api.get("/kpis/security", tags=["figures"])
async def security_figures(desk: AtDesk, length: Length = "1h") -> SecurityFigures:
    """Security events by kind."""
    found = await desk.figures("security", _length_ms(length))
    assert isinstance(found, SecurityFigures)
    return found


@api.get("/kpis/performance", tags=["figures"])
async def performance_figures(desk: AtDesk, length: Length = "1h") -> PerformanceFigures:
    """Response times, throughput and load, each with its thresholds and its state."""
    found = await desk.figures("performance", _length_ms(length))
    assert isinstance(found, PerformanceFigures)
    return found


# --- tables -----------------------------------------------------------------------------------------------------------


@api.get("/rollups/{table}", tags=["tables"], responses={200: {"model": RowsShape}, 304: {"description": "not changed"}})
async def rollups(
    request: Request,
    desk: AtDesk,
    table: Annotated[str, Path(max_length=64, description="a subject, such as payments")],
    resolution: Annotated[str, Query(max_length=10, description="10s, 1m or 1h")] = "1m",
    start: Annotated[str | None, Query(alias="from", max_length=64, description="RFC 3339; an hour before `to`")] = None,
    end: Annotated[str | None, Query(alias="to", max_length=64, description="RFC 3339; now")] = None,
    by: Annotated[list[str] | None, Query(max_length=20, description="dimensions to keep apart; none: all added up")] = None,
    where: Annotated[
        list[str] | None, Query(max_length=50, description="dimension=value; several of one dimension: any; none: absent")
    ] = None,
) -> Response:
    """Rows of one table, at most 10,000 of 1,500 buckets, added up over the dimensions that `by` does not name."""
    asked = question(table, resolution, start, end, by or (), where or (), desk.readings.now_ms())
    body = msgspec.json.encode(await while_connected(request, desk.rows(asked)))
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    pulse = await desk.readings.pulse()
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if pulse.as_of_ms is not None:
        headers["Tillwatch-As-Of"] = rfc3339(pulse.as_of_ms)
    if tag in (one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


# --- rules and alerts -------------------------------------------------------------------------------------------------


@api.get("/rules", tags=["rules and alerts"])
async def rules(desk: AtDesk) -> Rules:
    """The rules in force, what each means, and how it stands."""
    pulse, standings = await desk.standings()
    judged = pulse.state in ("live", "behind") and pulse.leader is not None
    return Rules(
        rules=[in_force(rule, standings.get(rule.name, ()), judged) for rule in desk.rules.rules],
        as_of=pulse.as_of_ms,
        stale=pulse.state != "live",
    )


@api.get("/rules/{rule}", tags=["rules and alerts"])
async def one_rule(desk: AtDesk, rule: Annotated[str, Path(max_length=128, description="its name")]) -> RuleInFull:
    """A rule in force: how it stands, what it told of late, and how well it serves whoever is on call."""
    return await desk.rule(rule)


@api.get("/alerts", tags=["rules and alerts"])
async def alerts(
    desk: AtDesk,
    firing: Annotated[bool, Query(description="what fires now, or has no data, in place of what happened")] = False,
    rule: Annotated[str | None, Query(max_length=128)] = None,
    severity: Annotated[str | None, Query(max_length=16)] = None,
    before: Annotated[str | None, Query(max_length=64, description="the `next` of an answer")] = None,
    limit: Annotated[int, Query(ge=1, le=ALERTS_MOST)] = 50,
) -> Alerts:
    """Alert events, the latest first. Those before the last 2,000 are in the alerts topic alone."""
    if severity is not None and severity not in SEVERITIES:
        raise unknown("severity", severity, SEVERITIES)
    names = {one.name for one in desk.rules.rules}
    if rule is not None and rule not in names:
        raise unknown("rule", rule, sorted(names))

    def wanted(event: Event) -> bool:
        data: Mapping[str, Any] = event["data"]
        return rule in (None, data["rule"]) and severity in (None, data["severity"])

    followed = desk.follower.away is None
    if firing:
        events = [event for event in desk.board.firing() if wanted(event)][:limit]
        return Alerts(alerts=[PlacedAlert(place=None, event=dict(event)) for event in events], next=None, followed=followed)
    try:
        posts = desk.board.before(before, wanted, limit + 1)
    except LookupError as error:
        raise Refused(400, str(error)) from None
    found = [PlacedAlert(place=post.place, event=dict(post.event)) for post in posts[:limit]]
    return Alerts(alerts=found, next=found[-1].place if len(posts) > limit else None, followed=followed)


@api.get(
    "/events",
    tags=["rules and alerts"],
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(request: Request, desk: AtDesk) -> Response:
    """Server-sent events: `alert` (an alert event, as it is sent), `incident` (an incident that changed, in a line), every 2 s
    `tick` (how fresh everything is) and `overview` (the first page), and `reset` (begin anew).

    Who comes back with Last-Event-ID gets the alerts that it missed; incidents it asks for again.
    """
    after = request.headers.get("last-event-id") or None
    try:
        return EventStream(desk.board, after, (await desk.tick()).model_dump_json())
    except Full as error:
        raise Refused(503, str(error), {"Retry-After": "10"}) from None


@api.get("/overview", tags=["figures"], response_model=Overview)
async def overview(request: Request, desk: AtDesk) -> Response:
    """What the first page shows; the stream of events has it every 2 s, as `overview`."""
    return told(request, await desk.overview())


@api.get("/pages/rules", tags=["pages"], response_model=RulesPage)
async def rules_page(request: Request, desk: AtDesk) -> Response:
    """Every rule, how it stands, and what it told of late."""
    return told(request, await desk.rules_page())


@api.get("/pages/pipeline", tags=["pages"], response_model=PipelinePage)
async def pipeline_page(request: Request, desk: AtDesk, view: Annotated[View, Depends(spanning("1h"))]) -> Response:
    """From the producers to the page: how far everything is, and what was refused."""
    return told(request, await desk.pipeline(view))


@api.get("/signals", tags=["figures"], response_model=Signals)
async def signals_now(request: Request, desk: AtDesk) -> Response:
    """What each signal that rules compare is now, as a whole and in its groups, and how the rules stand that compare it."""
    return told(request, await desk.signals())


@api.get("/integration", tags=["integration"])
async def integration(request: Request, desk: AtDesk) -> Integration:
    """Where other systems plug in."""
    base = str(request.base_url).rstrip("/")
    return Integration(
        metrics_endpoint=f"{base}/metrics",
        log_aggregation="stderr of every process, one JSON object a line with --json-logs",
        alert_webhook=await desk.incidents.webhook(),
        dashboard_url=f"{base}/",
        incident_api=f"{base}/api/v1/incidents",
    )


@health.get("/metrics", response_class=Response)
async def metrics(desk: AtDesk) -> Response:
    """For Prometheus."""
    pulse = await desk.readings.pulse()
    found = None
    if desk.settings.metrics == "signals":
        with contextlib.suppress(*AWAY):  # what Tillwatch says of itself is told all the same
            found = await desk.signals()
    body = exposition(desk.settings.names, pulse, desk.board, len(desk.rules.rules), desk.readings.now_ms(), found)
    return Response(body, media_type=CONTENT_TYPE)


# --- the application --------------------------------------------------------------------------------------------------


def application(desk: Desk | None = None, access: Access | None = None) -> FastAPI:
    """All routes at this desk, which runs as long as they do; without one they can be described, not asked. `access`: who may
    do what."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        assert desk is not None, "only a description"
        async with desk.running(lambda: keep_warm(desk)):
            yield
        if access is not None:
            await access.close()

    app = FastAPI(
        title="Tillwatch console",
        version="1",
        description="Reads what Tillwatch has counted and judged. Errors are problem+json. "
        "With a token: Authorization: Bearer TOKEN.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.desk, app.state.access = desk, access
    app.add_middleware(GZipMiddleware, minimum_size=PACKED_FROM, compresslevel=6)
    app.include_router(health)
    app.include_router(api)
    app.include_router(analyst, prefix="/api/v1", responses=_PROBLEMS)
    app.include_router(checklists, prefix="/api/v1", responses=_PROBLEMS)
    app.include_router(checklist_pages)
    app.include_router(reports, prefix="/api/v1", responses=_PROBLEMS)
    app.include_router(report_pages, responses=_PROBLEMS)
    app.include_router(incident_api)
    app.include_router(public)
    app.include_router(access_api)
    app.include_router(signing)
    app.include_router(site)
    app.include_router(incident_site)
    app.include_router(pages, responses=_PROBLEMS)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Gone, _gone)
    for kind in AWAY:
        app.add_exception_handler(kind, _away)
    app.add_exception_handler(Exception, _failed)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(error.status, error.detail, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return problem(400, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = "there is nothing here: /api/openapi.json tells what there is"
    return problem(error.status_code, detail, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _away(request: Request, error: Exception) -> Response:
    return problem(503, f"the store does not answer ({type(error).__name__}): ask again in a moment", {"Retry-After": "2"})


async def _failed(request: Request, error: Exception) -> Response:
    return problem(500, "this is a fault of the console: its log says which")
