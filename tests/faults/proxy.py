"""A TCP proxy before the store, so that the way to it can be slow, cut, deaf, or lead to another store.

It is a process of its own: what the tests do meanwhile must not slow it down.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from local.process import free_port
from tests.support.wait import eventually, pause

CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Way:
    """to: the port where the store is. delay_s: how long each answer is held back. open: whether anybody is let through;
    deaf: requests go through and no answer comes back."""

    to: int
    delay_s: float = 0.0
    open: bool = True
    deaf: bool = False


class Proxy:
    """The proxy, as whoever moves it sees it. `port`: where clients come."""

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self.way = Way(to)
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        self._pipe = ours
        self._process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(self.port, self.way, theirs), name="proxy", daemon=True
        )
        self._process.start()
        theirs.close()
        eventually(lambda: ours.poll(0), "the proxy listens")
        ours.recv()

    @property
    def url(self) -> str:
        """Its address, for TILLWATCH_REDIS."""
        return f"redis://127.0.0.1:{self.port}/0"

    def change(self, **how: object) -> None:
        """Changes the way (`Way`'s fields), and returns when it holds. Where it leads elsewhere, is closed or was deaf, every
        connection is cut."""
        self.way = replace(self.way, **how)  # type: ignore[arg-type]
        self._pipe.send(self.way)
        eventually(lambda: self._pipe.poll(0), "the proxy has changed")
        self._pipe.recv()

    def stop(self) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()


def _serve(port: int, way: Way, pipe: Connection) -> None:
    with contextlib.suppress(KeyboardInterrupt):  # whoever started it stops it
        asyncio.run(_Server(way, pipe).run(port))


class _Server:
    def __init__(self, way: Way, pipe: Connection) -> None:
        self._way, self._pipe = way, pipe
        self._clients: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    async def run(self, port: int) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", port, limit=CHUNK)
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._told)
        self._pipe.send(None)
        await self._over.wait()
        server.close()

    def _told(self) -> None:
        try:
            way: Way = self._pipe.recv()
        except (EOFError, OSError):  # whoever moves it is gone
            self._over.set()
            return
        before, self._way = self._way, way
        if way.to != before.to or not way.open or before.deaf:
            for client in self._clients:
                client.cancel()
        self._pipe.send(None)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._way.open:
                answers, upstream = await asyncio.open_connection("127.0.0.1", self._way.to, limit=CHUNK)
                both = [asyncio.create_task(one) for one in (self._ask(reader, upstream), self._answer(answers, writer))]
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in both:
                        one.cancel()
                    await asyncio.gather(*both, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            for one in (writer, upstream):
                if one is not None:
                    one.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while some := await reader.read(CHUNK):
            writer.write(some)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while some := await reader.read(CHUNK):
            if self._way.delay_s:
                await pause(self._way.delay_s)
            if self._way.deaf:
                continue
            writer.write(some)
            await writer.drain()
