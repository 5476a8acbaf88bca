"""`tillwatch console`: the console's process."""

from __future__ import annotations

import asyncio
import sys

from cli import installation
from cli.incidents import author
from cli.process import begin


def console(log_level: str, json_logs: bool) -> None:
    """Serves until SIGTERM or SIGINT. Somebody at a terminal gets a link to sign in with; a file or a pipe, which others may
    read, does not."""
    settings = begin(log_level, json_logs)
    clock = installation.clock(settings)

    from cli.packs import rule_set
    from console.service import serve

    offer_to = author() if sys.stdout.isatty() else None
    asyncio.run(serve(settings, clock, rule_set(settings), _say, offer_to))


def _say(address: str, link: str | None) -> None:
    if link is not None:
        print(f"to sign in: {link} (once, within 15 minutes; 'tillwatch console link' prints another)")
    print(f"console at {address}\nready", flush=True)
