"""A console that really listens, without a broker: in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from console.access import Access
from console.api import application
from console.desk import Desk
from console.gate import Gate
from rules.loader import load
from runtime.clock import WallClock
from runtime.settings import Settings
from tests.support.wait import eventually


@contextmanager
def listening(settings: Settings, token: str | None) -> Iterator[str]:
    """Its address. token: the installation's."""
    desk, access = Desk(settings, WallClock(), load()), Access(settings, WallClock(), token)
    config = uvicorn.Config(
        Gate(application(desk, access), access), port=0, log_config=None, access_log=False, lifespan="on", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started, "it listens")
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
