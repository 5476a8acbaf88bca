"""The process: where it listens, who may ask, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from console.access import Access, is_local
from console.api import application
from console.desk import Desk
from console.gate import Gate
from console.readings import AWAY
from console.sessions import link
from rules.loader import RuleSet
from runtime.clock import Clock
from runtime.collector import rest
from runtime.settings import Settings, SettingsError, secret_in

log = logging.getLogger(__name__)
STOP_WITHIN_S = 4
TOKEN_CHARS = 16
"""A token that is shorter could be guessed."""
BACKLOG = 512
SWEEP_EVERY_S = 600.0


class CannotListen(RuntimeError):
    """The address is taken, or is none of this machine's; the text says what to do."""


def token_of(settings: Settings) -> str | None:
    """The installation's token, None where there is none. Raises SettingsError where it is too short to be one."""
    token = None if settings.console_token is None else settings.console_token.get_secret_value()
    if token is None and settings.console_token_file is not None:
        token = secret_in("console_token_file", settings.console_token_file)
    if token is not None and len(token) < TOKEN_CHARS:
        raise SettingsError(f"TILLWATCH_CONSOLE_TOKEN: too short: at least {TOKEN_CHARS} random characters")
    return token


async def check_way_in(access: Access) -> None:
    """Raises SettingsError where others can ask, and nobody could sign in. A store that is away cannot tell, and lets nobody
    in either."""
    settings = access.settings
    if is_local(settings.console_host) or access.has_token or access.provider is not None:
        return
    try:
        some = await access.accounts.any()
    except AWAY as error:
        log.warning("the store does not answer (%s): nobody can sign in until it does", type(error).__name__)
        return
    if not some:
        raise SettingsError(
            f"TILLWATCH_CONSOLE: at {settings.console_host} others can ask, and there is no way to sign in: make an account "
            "('tillwatch console users add'), set TILLWATCH_CONSOLE_TOKEN or TILLWATCH_OIDC_ISSUER, or listen at 127.0.0.1"
        )


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


async def serve(
    settings: Settings, clock: Clock, rules: RuleSet, on_ready: Callable[[str, str | None], None], offer_to: str | None = None
) -> None:
    """Serves until SIGTERM or SIGINT; `on_ready` is told the address, and a link that signs `offer_to` in, once, where there
    is somebody to be offered one and the store answers. Raises SettingsError and CannotListen."""
    access = Access(settings, clock, token_of(settings))
    await check_way_in(access)
    desk = Desk(settings, clock, rules)
    with contextlib.closing(listen(settings)) as listening:
        gate = Gate(application(desk, access), access)
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
            rest(SWEEP_EVERY_S, young=True)
            address = address_of(listening)
            on_ready(address, None if offer_to is None else await _offer(access, offer_to, address))
        await serving


async def _offer(access: Access, name: str, address: str) -> str | None:
    try:
        return link(address, await access.sessions.offer(name))
    except AWAY as error:
        log.warning("no link to sign in with: the store does not answer (%s)", type(error).__name__)
        return None
