"""Services that do not work: each kind of broken, over real HTTP and SMTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Literal

Fault = Literal["hangs", "refuses", "500", "429", "garbage", "nothing", "slow body", "200", "302"]

_ANSWERS: dict[Fault, bytes] = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
    "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01 this is not HTTP\r\n\r\n",
    "nothing": b"",
    "slow body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal",
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "302": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
}


MailFault = Literal["hangs", "refuses", "421", "451", "554", "garbage", "nothing", "never confirms"]

_GREETINGS: dict[MailFault, bytes] = {
    "421": b"421 4.3.2 too busy\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01 this is not SMTP\r\n",
    "nothing": b"",
}
_REPLIES: dict[MailFault, bytes] = {"451": b"451 4.7.1 come back later\r\n", "554": b"554 5.7.1 not for us\r\n"}


class Sink:
    """A server on this machine. `faults`: what it does to one request after another, the last for ever; requests: when they
    came on the loop's clock, with their first bytes."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = list(faults)
        self.requests: list[tuple[float, bytes]] = []
        self.url = ""

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append((asyncio.get_running_loop().time(), head))
            fault = self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]
            if fault == "hangs":
                await reader.read()  # until the other side gives up
            else:
                writer.write(_ANSWERS[fault])
                await writer.drain()
                if fault == "slow body":
                    await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class MailSink:
    """The same as a mail server. requests: when somebody connected; taken: mails that it got whole."""

    def __init__(self, *faults: MailFault) -> None:
        self.faults = list(faults)
        self.requests: list[float] = []
        self.taken = 0
        self.port = 0

    async def smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(asyncio.get_running_loop().time())
            fault = self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]
            if fault == "hangs":
                await reader.read()
            elif fault in _GREETINGS:
                writer.write(_GREETINGS[fault])
                await writer.drain()
            else:
                await self._talk(fault, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _talk(self, fault: MailFault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 localhost\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                self.taken += 1
                await reader.read()  # it has the mail, and never says so
            else:
                writer.write(_REPLIES[fault] if verb == b"RCPT" and fault in _REPLIES else b"250 fine\r\n")


@contextlib.asynccontextmanager
async def mail_sink(*faults: MailFault) -> AsyncIterator[MailSink]:
    """The mail server, listening; one that refuses has a port where nobody listens."""
    it = MailSink(*faults)
    server = await asyncio.start_server(it.smtp, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    if faults[0] == "refuses":
        server.close()
    try:
        yield it
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def sink(*faults: Fault) -> AsyncIterator[Sink]:
    """The sink, listening; one that refuses has a port where nobody listens."""
    it = Sink(*faults)
    if faults[0] == "refuses":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            it.url = f"http://127.0.0.1:{unused.getsockname()[1]}/hook"
        yield it
        return
    server = await asyncio.start_server(it.http, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield it
    finally:
        server.close()
        await server.wait_closed()
