"""The notifier's half of a store, for whoever hands commands in."""

from __future__ import annotations

import asyncio
import threading

from redis.asyncio import Redis

from notifier.desk import Changed, Changes, Desk
from notifier.store import Place, Store
from runtime.names import Names
from tests.support.night import Night

NOWHERE = Place("", 0, 0)


class Counterpart:
    """The notifier's half of the store, with a desk that answers commands while the test is in `with`."""

    def __init__(self, url: str, namespace: str, night: Night | None = None) -> None:
        self._url, self._names = url, Names(namespace)
        self.night = night or Night()
        self._over = threading.Event()
        self._ready = threading.Event()

    @property
    def desk(self) -> Desk:
        return self.night.desk

    def __enter__(self) -> Counterpart:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(20)

    async def _work(self) -> None:
        redis = Redis.from_url(self._url)
        kept = Store(redis, self._names)
        await kept.take("token", [])
        first = self.desk.take([], 0)
        standing = Changes(tuple(Changed(one, "opened", ()) for one in self.desk.incidents.values()))
        await kept.save(standing, NOWHERE, NOWHERE, "0", 0, 0)
        self._ready.set()
        read = "0"
        while not self._over.is_set():
            commands, read = await kept.commands(read)
            changes = self.desk.act(commands, self.night.now_ms) if commands else first
            if changes:
                await kept.save(changes, NOWHERE, NOWHERE, read, 0, self.night.now_ms)
                await kept.answer(changes.answers)
            await asyncio.to_thread(self._over.wait, 0.02)
        await redis.aclose()
