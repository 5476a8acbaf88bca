"""`tillwatch worker`: one worker process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from cli import installation
from cli.terminal import USAGE, fail

if TYPE_CHECKING:
    from agents.worker import Worker


def work(log_level: str, json_logs: bool) -> None:
    """Runs a worker until SIGTERM or SIGINT."""
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
    clock = installation.clock(settings)

    from agents.worker import Worker
    from cli.packs import rule_set
    from runtime.guard import ProcessGuard

    rules = rule_set(settings)
    asyncio.run(_until_told(lambda: Worker(settings, clock, rules, ProcessGuard())))


def _nothing_to_write(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


async def _until_told(make: Callable[[], Worker]) -> None:
    stop = asyncio.Event()
    worker: Worker = make()
    ready = False

    def on_ready() -> None:
        nonlocal ready
        ready = True
        print("ready", flush=True)

    running = asyncio.create_task(worker.run(stop, on_ready))

    def told() -> None:
        stop.set()
        if not ready:  # it may be waiting for servers that are away, and has nothing to write
            running.cancel()

    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, told)
    try:
        await running
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
