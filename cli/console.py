"""`tillwatch console`: the console's process."""

from __future__ import annotations

import asyncio

from cli import installation
from cli.process import begin


def console(log_level: str, json_logs: bool) -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = begin(log_level, json_logs)
    clock = installation.clock(settings)

    from cli.packs import rule_set
    from console.service import serve

    asyncio.run(serve(settings, clock, rule_set(settings), _say))


def _say(address: str) -> None:
    print(f"console at {address}\nready", flush=True)
