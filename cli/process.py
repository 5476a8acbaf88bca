"""A process of an installation: its log, and how it ends when it is told to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from cli import installation
from cli.terminal import USAGE, fail

if TYPE_CHECKING:
    from runtime.settings import Settings


class Runs(Protocol):
    """A worker or a notifier."""

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None: ...


def begin(log_level: str, json_logs: bool) -> Settings:
    """The settings of a process that begins, with its log set up. SIGTERM ends it from now on."""
    signal.signal(signal.SIGTERM, _nothing_to_write)  # until there is a loop that can stop in order
    from runtime import log
    from schemas.masking import Masker

    settings = installation.settings()
    try:
        log.set_up(
            log_level,
            json_lines=json_logs,
            secrets=installation.secrets(settings),
            redact=Masker(settings.mask_bytes).text,
        )
    except ValueError:
        fail(f"--log-level {log_level}: expected debug, info, warning or error", USAGE)
    return settings


def _nothing_to_write(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


async def until_told(make: Callable[[], Runs]) -> None:
    """Runs it until SIGTERM or SIGINT; prints ready once it is."""
    stop = asyncio.Event()
    one = make()
    ready = False

    def on_ready() -> None:
        nonlocal ready
        ready = True
        print("ready", flush=True)

    running = asyncio.create_task(one.run(stop, on_ready))

    def told() -> None:
        stop.set()
        if not ready:  # it may be waiting for servers that are away, and has nothing to write
            running.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    try:
        await running
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
