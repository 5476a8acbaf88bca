"""A console over a real store, asked without a network, on a clock that the test moves."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from starlette.types import Scope

from console.access import Access, Caller
from console.api import application
from console.desk import Desk
from console.gate import Gate
from console.who import Who
from notifier.desk import Changed, Changes
from notifier.store import Place, Store
from rollups.tables import TableStore
from rules.loader import load
from runtime.clock import ManualClock
from runtime.settings import Settings
from schemas.incident import Incident
from tests.console.rows import NOW_MS, Table, cells, status
from tests.support.store import KillableStore


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS / 1000)


@pytest.fixture
def settings(store: KillableStore, namespace: str, tmp_path: Path) -> Settings:
    """An installation whose broker is away."""
    return Settings(kafka="127.0.0.1:1", redis=SecretStr(store.url), namespace=namespace, data=tmp_path / "data")


RULES = load()
APPLICATION = application()
"""To make one takes longer than most tests."""


@pytest.fixture
async def desk(settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """One that ticks, and looks for workers, more often than others."""
    monkeypatch.setattr("console.desk.TICK_S", 0.2)
    monkeypatch.setattr("console.desk.KEPT_WARM_S", float("inf"))
    monkeypatch.setattr("console.readings.LOOK_AGAIN_S", 0.2)
    found = Desk(settings, clock, RULES)
    async with found.running():
        yield found
    while _ACCESSES:
        await _ACCESSES.pop().close()


TOKEN = "not-a-real-token-only-for-tests"


class Trusting(Access):
    """Takes whoever asks for an admin: what others may not do is tested with the gate."""

    async def caller(self, scope: Scope) -> Caller | None:
        return Caller(Who("this machine", "admin"), "token", "127.0.0.1")


_ACCESSES: list[Access] = []
"""Those that were made for tests, to be closed with the desk."""


def app_of(desk: Desk) -> Gate:
    """The application at this desk."""
    access = Trusting(desk.settings, desk.clock, None)
    _ACCESSES.append(access)
    APPLICATION.state.desk, APPLICATION.state.access = desk, access
    return Gate(APPLICATION, access)


def client_of(desk: Desk) -> httpx.AsyncClient:
    """Asks it."""
    transport = httpx.ASGITransport(app_of(desk), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8321", timeout=30)


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk) as found:
        yield found


@pytest.fixture
async def access(settings: Settings, clock: ManualClock) -> AsyncIterator[Access]:
    """Who may do what, on one machine, where no account, token or provider is set."""
    found = Access(settings, clock, None)
    yield found
    await found.close()


class Held:
    """What is in the store."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis, self.settings = redis, settings
        self.tables = TableStore(redis, settings.names)

    async def write(self, table: Table, rows: dict[int, list[dict[str, Any]]]) -> None:
        """10 s rows: {bucket: [dimensions, count and measures]}."""
        await self.tables.take("writer")
        await self.tables.write(table, {bucket: cells(table, some) for bucket, some in rows.items()}, {})

    async def keep(self, *incidents: Incident) -> None:
        """Incidents, as the notifier keeps them."""
        place, store = Place("log", 0, 0), Store(self.redis, self.settings.names)
        await store.take("notifier", [])
        changed = tuple(Changed(one, "opened", one.timeline) for one in incidents)
        await store.save(Changes(changed), place, place, "0", len(incidents), NOW_MS)

    async def tell(self, **more: Any) -> None:
        """What a worker that works says of itself, now."""
        told = status(time.time(), **more)
        await self.redis.set(self.settings.names.worker(told["name"]), json.dumps(told))


@pytest.fixture
async def held(settings: Settings) -> AsyncIterator[Held]:
    assert settings.redis is not None
    async with Redis.from_url(settings.redis.get_secret_value()) as redis:
        yield Held(redis, settings)
