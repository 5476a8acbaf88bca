"""`tillwatch up` and `demo`: everything on this machine."""

from __future__ import annotations

import asyncio
import time

from cli.terminal import say


def up(workers: int) -> int:
    """Runs until Ctrl-C or SIGTERM; 0."""
    from local.machine import up as run
    from local.supervisor import until_told
    from runtime.settings import load_settings

    settings = load_settings()
    asyncio.run(until_told(run(settings, workers, _tell)))
    return 0


def _tell(sentence: str) -> None:
    say(f"{time.strftime('%H:%M:%S')}  {sentence}")
