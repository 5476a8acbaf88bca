"""The public status page, as HTML, JSON and a feed. Anybody may ask, often: the answers are kept."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from console.desk import Desk
from console.pages import status_page
from console.status import StatusPage, blanks, feed

CACHED = {"Cache-Control": "public, max-age=2"}
public = APIRouter(tags=["public"])


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


@public.get("/status", include_in_schema=False)
async def shown(request: Request) -> Response:
    desk = _desk(request)
    told, zone = await desk.status.page(), await desk.status.zone()
    return HTMLResponse(status_page(blanks(told, desk.readings.now_ms(), zone)), headers=CACHED)


@public.get("/status.json")
async def told(request: Request, response: Response) -> StatusPage:
    """How things are for customers: no token needed."""
    response.headers.update(CACHED)
    return await _desk(request).status.page()


@public.get("/status.atom", response_class=Response, responses={200: {"content": {"application/atom+xml": {}}}})
async def followed(request: Request) -> Response:
    """What customers were told, as an Atom feed: no token needed."""
    page = await _desk(request).status.page()
    address = f"{str(request.base_url).rstrip('/')}/status"
    return Response(feed(page, address), media_type="application/atom+xml; charset=utf-8", headers=CACHED)
