"""The routes of the pages Payments, System health and Security, and of payments as they happen."""

from __future__ import annotations

import asyncio
from typing import Annotated

from aiokafka.errors import KafkaError
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from console import live, payments, security, system
from console.asking import AtDesk, told
from console.desk import KEPT_WARM_S, Desk
from console.live import LivePayments, TransactionEvents
from console.pages import page
from console.payments import PaymentsPage
from console.problems import Refused
from console.readings import MINUTE_MS, Pulse, Totals, window_of
from console.security import SecurityPage
from console.series import COUNTS, Cut, Series
from console.span import From, Length, To, view_of
from console.system import SystemPage
from runtime.kafka import KafkaUnreachable
from runtime.tasks import heed

pages = APIRouter()
NOW_MS, BEGUN_MS = 5 * MINUTE_MS, 15 * MINUTE_MS
_BY_OUTCOME = Cut("payments", frozenset({"outcome"}), measures=COUNTS)
_BEGUN = Cut("payment_cohorts", frozenset({"outcome"}), measures=COUNTS)


# --- payments ---------------------------------------------------------------------------------------------------------


async def _payments(desk: Desk, length: str | None, start: str | None, end: str | None) -> PaymentsPage:
    view = view_of(length, start, end, "1h", desk.readings.now_ms())
    volume, ledger = await desk.keeper.volume(desk.rules), desk.incidents.ledger

    async def read(series: Series, now_ms: int) -> payments.Held:
        return await payments.read(series, view, now_ms)

    def make(now_ms: int, pulse: Pulse, held: payments.Held) -> PaymentsPage:
        return payments.payments(payments.Facts(now_ms, view, pulse, held, ledger.incidents, ledger.silences, volume))

    return await desk.page(("payments", length, start, end), read, payments.NOTHING, make, view.shared_s)


@pages.get("/api/v1/pages/payments", tags=["pages"], response_model=PaymentsPage)
async def payments_page(
    request: Request, desk: AtDesk, length: Length = None, start: From = None, end: To = None
) -> Response:
    """What the page of payments shows, of the last hour unless said."""
    return told(request, await _payments(desk, length, start, end))


@pages.get("/payments", include_in_schema=False)
async def payments_site(desk: AtDesk, length: Length = None, start: From = None, end: To = None) -> Response:
    shown = await _payments(desk, length, start, end)
    return HTMLResponse(page("payments", shown, shown.tiles))


# --- payments as they happen ------------------------------------------------------------------------------------------


async def _live(desk: Desk) -> LivePayments:
    now_ms, pulse = desk.readings.now_ms(), await desk.readings.pulse()
    recent = (await desk.totals([_BY_OUTCOME], window_of(now_ms, NOW_MS)))["payments"]
    begun = (await desk.totals([_BEGUN], window_of(now_ms, BEGUN_MS)))["payment_cohorts"]
    known = pulse.state == "live" and bool(recent or begun)

    def count(held: Totals, *outcomes: str) -> int:
        return sum(cell.count for key, cell in held.items() if key[0] in outcomes)

    def rate(outcome: str) -> float | None:
        return round(count(recent, outcome) / (NOW_MS / MINUTE_MS), 1) if known else None

    unfinished = count(begun, "initiated") - count(begun, "succeeded", "failed")
    return LivePayments(
        initiated=rate("initiated"),
        succeeded=rate("succeeded"),
        failed=rate("failed"),
        unfinished=unfinished if known and unfinished >= 0 else None,
        payments=desk.live.look(),
        skipped=desk.live.skipped,
        away=desk.live.away,
        now=now_ms,
        as_of=pulse.as_of_ms,
    )


@pages.get("/api/v1/payments/live", tags=["payments"], response_model=LivePayments)
async def live_payments(request: Request, desk: AtDesk) -> Response:
    """How many begin, succeed and fail a minute, how many are not finished, and the last ones, of whose ids the end is told."""
    return told(request, await desk.once("live", lambda: _live(desk)))


@pages.get("/api/v1/payments/events", tags=["payments"])
async def transaction_events(
    desk: AtDesk,
    transaction: Annotated[str | None, Query(min_length=1, max_length=256, description="a transaction id")] = None,
    place: Annotated[
        str | None, Query(max_length=64, description="in its stead: the place of one that was listed")
    ] = None,
) -> TransactionEvents:
    """All events of one transaction in the topics of payments and enrollments, the earliest first: searched for 6 s."""
    if (transaction is None) == (place is None):
        raise Refused(400, "expected either transaction or place")
    wanted = desk.live.transaction(place) if transaction is None and place is not None else str(transaction)
    try:
        return await desk.aside(lambda _: live.events_of(desk.settings, wanted))
    except (KafkaUnreachable, KafkaError) as error:
        raise Refused(503, f"Kafka does not answer: {error}", {"Retry-After": "5"}) from None


# --- system health ----------------------------------------------------------------------------------------------------


async def _system(desk: Desk, length: str | None, start: str | None, end: str | None) -> SystemPage:
    view = view_of(length, start, end, "1h", desk.readings.now_ms())
    health = await desk.once("health", lambda: desk.health(None))

    async def read(series: Series, now_ms: int) -> system.Held:
        return await system.read(series, view, now_ms)

    def make(now_ms: int, pulse: Pulse, held: system.Held) -> SystemPage:
        return system.system(system.Facts(now_ms, view, pulse, held, health))

    return await desk.page(("system", length, start, end), read, system.NOTHING, make, view.shared_s)


@pages.get("/api/v1/pages/system", tags=["pages"], response_model=SystemPage)
async def system_page(
    request: Request, desk: AtDesk, length: Length = None, start: From = None, end: To = None
) -> Response:
    """What the page of system health shows: as it is now, with lines of the last hour unless said."""
    return told(request, await _system(desk, length, start, end))


@pages.get("/system", include_in_schema=False)
async def system_site(desk: AtDesk, length: Length = None, start: From = None, end: To = None) -> Response:
    shown = await _system(desk, length, start, end)
    return HTMLResponse(page("system", shown, shown.tiles))


# --- security ---------------------------------------------------------------------------------------------------------


async def _security(desk: Desk, length: str | None, start: str | None, end: str | None) -> SecurityPage:
    view = view_of(length, start, end, "24h", desk.readings.now_ms())
    incidents, firing = desk.incidents.ledger.incidents, desk.board.firing()

    async def read(series: Series, now_ms: int) -> security.Held:
        return await security.read(series, view, now_ms, bool(firing))

    def make(now_ms: int, pulse: Pulse, held: security.Held) -> SecurityPage:
        return security.security(security.Facts(now_ms, view, pulse, held, desk.rules, firing, incidents))

    return await desk.page(("security", length, start, end), read, security.NOTHING, make, view.shared_s)


@pages.get("/api/v1/pages/security", tags=["pages"], response_model=SecurityPage)
async def security_page(
    request: Request, desk: AtDesk, length: Length = None, start: From = None, end: To = None
) -> Response:
    """What the page of security shows, of the last 24 hours unless said."""
    return told(request, await _security(desk, length, start, end))


@pages.get("/security", include_in_schema=False)
async def security_site(desk: AtDesk, length: Length = None, start: From = None, end: To = None) -> Response:
    shown = await _security(desk, length, start, end)
    return HTMLResponse(page("security", shown, shown.tiles))


# --- before anybody asks ----------------------------------------------------------------------------------------------


async def keep_warm(desk: Desk) -> None:
    """Makes the pages that are opened first, again and again, so that nobody waits for an hour of rows; returns never."""
    while True:
        for made in (_payments, _system, _security):
            await made(desk, None, None, None)
        await desk.pipeline(view_of(None, None, None, "1h", desk.readings.now_ms()))
        heed()
        await asyncio.sleep(KEPT_WARM_S)
