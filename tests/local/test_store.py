"""The embedded store keeps what it was told, and never evicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from local.process import StartFailed
from local.store import EmbeddedStore, pid_at
from runtime.redis import check, connect
from runtime.settings import Settings
from tests.local.waiting import eventually, listens

pytestmark = pytest.mark.integration


async def test_it_is_one_that_tillwatch_accepts(tmp_path: Path) -> None:
    with EmbeddedStore(None, tmp_path) as store:
        client = connect(Settings(redis=store.url))  # type: ignore[arg-type]
        await check(client)
        await client.aclose()
        assert pid_at(store.port) == store.pid
    assert not listens(store.port)


@pytest.mark.fault
def test_what_it_was_told_survives_kill_9(tmp_path: Path) -> None:
    with EmbeddedStore(None, tmp_path) as store:
        with Redis.from_url(store.url) as client:
            for number in range(1_000):
                client.set(f"count:{number}", number)
            eventually(lambda: client.info("persistence")["aof_buffer_length"] == 0, "the file is written")
        store.kill()
        store.start()
        with Redis.from_url(store.url) as client:
            assert client.dbsize() == 1_000
            assert client.get("count:999") == b"999"


def test_it_answers_on_the_loopback_interface_alone(tmp_path: Path) -> None:
    with EmbeddedStore(None, tmp_path) as store, Redis.from_url(store.url) as client:
        assert client.config_get("bind")["bind"] == "127.0.0.1"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with EmbeddedStore(None, tmp_path / "one") as one:
        with pytest.raises(StartFailed, match=r"(?s)store ended.*in use"):
            EmbeddedStore(one.port, tmp_path / "other").start()
        assert one.answers()
