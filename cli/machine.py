"""`tillwatch up` and `demo`: everything on this machine."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from cli.terminal import FAILED, say

if TYPE_CHECKING:
    from local.narrator import Line

TONES = {"bad": "bold red", "seen": "bold yellow", "good": "bold green", "flow": "dim"}
"""How the lines of the story look on a terminal."""


def up(workers: int) -> int:
    """Runs until Ctrl-C or SIGTERM; 0."""
    from local.machine import up as run
    from local.supervisor import until_told
    from runtime.settings import load_settings

    asyncio.run(until_told(run(load_settings(), workers, _tell)))
    return 0


def demo(seconds: float | None, workers: int) -> int:
    """Runs for so long, or until Ctrl-C or SIGTERM; 1 when it ran to its end and an outage was not detected."""
    from local.demo import run
    from local.supervisor import until_told
    from runtime.settings import load_settings

    detected = asyncio.run(until_told(run(load_settings(), seconds, _narrate, workers)))
    return FAILED if detected is False else 0


def _narrate(line: Line) -> None:
    say(line.text, TONES.get(line.tone))


def _tell(sentence: str) -> None:
    say(f"{time.strftime('%H:%M:%S')}  {sentence}")
