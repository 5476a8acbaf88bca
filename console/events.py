"""Server-sent events: what the board tells, to one listener."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from console.board import LISTENERS, Board, Full, Message, Slow
from runtime.tasks import end

TAKEN_WITHIN_S = 15.0
"""Who takes nothing for so long is gone."""
RETRY_MS = 2_000


class EventStream(Response):
    """The stream of one listener: a first `tick`, what it missed since `after`, and all that is told from then on.

    Raises Full where there are as many listeners as there may be.
    """

    media_type = "text/event-stream"

    def __init__(self, board: Board, after: str | None, tick: str) -> None:
        if board.listeners >= LISTENERS:
            raise Full(f"{LISTENERS} listen already")
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._board, self._after, self._tick = board, after, tick

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pumping = asyncio.ensure_future(self._pump(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((pumping, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end((pumping, leaving))

    async def _pump(self, send: Send) -> None:
        try:
            with self._board.listening(self._after) as messages:
                await _send(send, b"retry: %d\n\n%b" % (RETRY_MS, Message("tick", self._tick).wire))
                async for message in messages:
                    await _send(send, message.wire)
        except (Full, Slow):
            pass  # it comes back by itself
        await _send(send, b"", more=False)


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    """Raises TimeoutError where it is not taken."""
    async with asyncio.timeout(TAKEN_WITHIN_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
