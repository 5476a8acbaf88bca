"""The routes of the pages, and of what they load."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from console.asking import AtDesk, spanning
from console.gate import COOKIE, Keys
from console.pages import files, page, sign_in_page
from console.problems import Refused
from console.span import View

COOKIE_S = 30 * 86_400
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
    return Response(found.content, headers=headers, media_type=found.type)


@site.get("/sign-in")
async def ask() -> Response:
    return HTMLResponse(sign_in_page("Show the token of this console (TILLWATCH_CONSOLE_TOKEN)."))


@site.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Who shows the token gets a cookie in its place."""
    keys: Keys | None = request.app.state.keys
    given = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=5).get("token", [""])[0]
    if keys is not None and not keys.is_token(given.strip()):
        return HTMLResponse(sign_in_page("That is not the token."), 401)
    answer = RedirectResponse("/", 303)
    if keys is not None:
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        answer.set_cookie(COOKIE, keys.cookie(), max_age=COOKIE_S, httponly=True, samesite="strict", secure=secure)
    return answer
