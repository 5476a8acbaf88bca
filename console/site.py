"""The routes of the pages, and of what they load."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import HTMLResponse

from console.asking import AtDesk, packed, spanning
from console.pages import files, page
from console.problems import Refused
from console.span import View

site = APIRouter(include_in_schema=False)


@site.get("/")
async def first_page(desk: AtDesk) -> Response:
    told = await desk.overview()
    return HTMLResponse(page("overview", told, told.tiles))


@site.get("/rules")
async def rules(desk: AtDesk) -> Response:
    told = await desk.rules_page()
    return HTMLResponse(page("rules", told, told.tiles))


@site.get("/pipeline")
async def pipeline(desk: AtDesk, view: Annotated[View, Depends(spanning("1h"))]) -> Response:
    told = await desk.pipeline(view)
    return HTMLResponse(page("pipeline", told, told.tiles))


@site.get("/analyst")
async def analyst(desk: AtDesk) -> Response:
    return HTMLResponse(page("analyst", await desk.analyst()))


@site.get("/static/{name}")
async def static(request: Request, name: Annotated[str, Path(max_length=64)]) -> Response:
    found = files().get(name)
    if found is None:
        raise Refused(404, "there is no such file")
    headers = {"ETag": found.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return packed(request, found.content, lambda: found.packed, found.type, headers)
