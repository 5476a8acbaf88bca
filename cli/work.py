"""`tillwatch worker`: one worker process."""

from __future__ import annotations

import asyncio

from cli import installation
from cli.process import begin, until_told


def work(log_level: str, json_logs: bool, only: str | None) -> None:
    """Runs a worker until SIGTERM or SIGINT. `only`: one part of it alone."""
    settings = begin(log_level, json_logs)
    clock = installation.clock(settings)

    from agents.worker import Part, Worker
    from cli.packs import rule_set
    from runtime.guard import ProcessGuard

    rules = rule_set(settings)
    part = None if only is None else Part(only)
    asyncio.run(until_told(lambda: Worker(settings, clock, rules, ProcessGuard(), only=part)))
