"""The dead man's switch: a service somewhere else that raises the alarm when it no longer hears from us."""

from __future__ import annotations

import asyncio
import logging
import time
from ipaddress import ip_network
from urllib.parse import urlsplit

from notifier.channels.base import Refused, Unreachable
from notifier.channels.guard import Guard, connector
from notifier.channels.http import Sender, failure

log = logging.getLogger(__name__)

LIMIT_S = 10.0
NEAR = tuple(map(ip_network, ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
"""Private networks in which an operator's own switch may stand."""


class Switch:
    """One switch. Its URL is a secret: what is told names the host alone."""

    def __init__(self, url: str) -> None:
        self._url, self._host = url, urlsplit(url).hostname
        self._guard = Guard(NEAR)
        self._well: bool | None = None
        """Whether the last call went through, None before the first."""
        self._ok_at: float | None = None
        self._detail = ""

    async def call(self) -> None:
        """Calls it once. What goes wrong is logged, the first time, and told by `status`."""
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._post()
        except (Unreachable, Refused, TimeoutError) as error:
            self._detail = str(error) or f"no answer within {LIMIT_S:g} s"
            if self._well is not False:
                log.error("the dead man's switch at %s cannot be called: %s", self._host, self._detail)
            self._well = False
            return
        if self._well is False:
            log.info("the dead man's switch at %s hears us again", self._host)
        self._well, self._ok_at, self._detail = True, time.time(), ""

    async def _post(self) -> None:
        sender = Sender(connector(await self._guard.addresses(self._url)))
        try:
            answer = await sender.post(self._url, body=b"", headers={"User-Agent": "tillwatch"})
        finally:
            await sender.close()
        if not 200 <= answer.status < 300:
            raise failure(answer)

    def status(self) -> dict[str, object]:
        """`state`: waiting, ok or failing; `ok_at`: epoch seconds of the last call that went through."""
        state = {None: "waiting", True: "ok", False: "failing"}[self._well]
        return {"state": state, "ok_at": self._ok_at, "detail": self._detail}
