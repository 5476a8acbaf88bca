"""What every module of routes needs: the desk, the time that is asked for, and work that ends when nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response

from console.desk import Desk
from console.shapes import Shape
from console.span import From, Length, To, View, view_of

T = TypeVar("T")
NOTHING: Mapping[str, str] = MappingProxyType({})
PACKED_FROM = 1_000
"""Less is sent as it is."""


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]


def spanning(usual: str) -> Callable[..., View]:
    """A dependency of pages: the time that the address names, `usual` where it names none."""

    def spanned(desk: AtDesk, length: Length = None, start: From = None, end: To = None) -> View:
        return view_of(length, start, end, usual, desk.readings.now_ms())

    return spanned


def told(request: Request, answer: Shape) -> Response:
    """An answer that many get: its JSON is made and compressed once for all of them."""
    return packed(request, answer.encoded, lambda: answer.packed, "application/json")


def packed(
    request: Request, content: bytes, pack: Callable[[], bytes | None], kind: str, headers: Mapping[str, str] = NOTHING
) -> Response:
    """Content that is compressed already, for who takes gzip. pack: None for what gzip would not make less."""
    if len(content) < PACKED_FROM or (less := pack()) is None:
        return Response(content, headers=dict(headers), media_type=kind)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(less, headers={**headers, "Vary": "Accept-Encoding", "Content-Encoding": "gzip"}, media_type=kind)
    return Response(content, headers={**headers, "Vary": "Accept-Encoding"}, media_type=kind)


class Gone(Exception):
    """Nobody waits for the answer any more."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work answers, unless who asked goes away: then the work ends. Raises Gone, and what the work raises."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    await request.body()
    while (await request.receive())["type"] != "http.disconnect":
        pass
