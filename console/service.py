"""The process: where it listens, who may ask, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from console.api import application
from console.desk import Desk
from console.gate import Gate, Keys, is_local
from rules.loader import RuleSet
from runtime.clock import Clock
from runtime.settings import Settings, SettingsError

STOP_WITHIN_S = 4
TOKEN_CHARS = 16
"""A token that is shorter could be guessed."""
BACKLOG = 512


class CannotListen(RuntimeError):
    """The address is taken, or is none of this machine's; the text says what to do."""


def token_of(settings: Settings) -> str | None:
    """What callers must show; None where the address is this machine's alone and no token is set.

    Raises SettingsError where there should be one, or where it is too short to be one.
    """
    token = None if settings.console_token is None else settings.console_token.get_secret_value()
    if token is None and settings.console_token_file is not None:
        try:
            token = settings.console_token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"TILLWATCH_CONSOLE_TOKEN_FILE: {settings.console_token_file}: {why}") from None
    if token is not None and len(token) < TOKEN_CHARS:
        raise SettingsError(f"TILLWATCH_CONSOLE_TOKEN: too short: at least {TOKEN_CHARS} random characters")
    if token is None and not is_local(settings.console_host):
        raise SettingsError(
            f"TILLWATCH_CONSOLE: at {settings.console_host} others can ask, so a token is needed: set TILLWATCH_CONSOLE_TOKEN "
            "or TILLWATCH_CONSOLE_TOKEN_FILE, or listen at 127.0.0.1"
        )
    return token


def listen(settings: Settings) -> socket.socket:
    """A socket at the address of the settings. Raises CannotListen."""
    host, port = settings.console_host, settings.console_port
    try:
        family, kind, proto, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"TILLWATCH_CONSOLE: {host} is no address of this machine: {error}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        what = "set TILLWATCH_CONSOLE to another port, such as 127.0.0.1:8322"
        raise CannotListen(f"the console cannot listen at {host}:{port}: {error.strerror}; {what}") from None
    return listening


def address_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are heard by `serve`, which ends the streams first."""
        yield


async def serve(settings: Settings, clock: Clock, rules: RuleSet, on_ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; `on_ready` is told the address. Raises SettingsError and CannotListen."""
    token = token_of(settings)
    desk = Desk(settings, clock, rules)
    with contextlib.closing(listen(settings)) as listening:
        keys = None if token is None else Keys(token)
        gate = Gate(application(desk, keys), keys)
        config = uvicorn.Config(
            gate,
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            timeout_graceful_shutdown=STOP_WITHIN_S,
            timeout_keep_alive=30,
            limit_concurrency=1_000,
            lifespan="on",
            ws="none",
        )
        server = _Server(config)

        def end() -> None:
            desk.ready = False
            desk.board.close()
            server.should_exit = True

        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, end)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if server.started:
            on_ready(address_of(listening))
        await serving
