"""Python's garbage collector, told to rest.

What waits here (events, cells, rows that pages keep) lives long and forms no cycles, yet the collector would walk through all
of it again and again: a fifth of the time of a worker on a backlog, and pauses of a tenth of a second in a console. What does
form cycles, such as errors and what they point to, is little.
"""

from __future__ import annotations

import asyncio
import gc

YOUNG, OLDER = 50_000, 20
"""After so many new objects, and so many looks at these, it looks at what is young, and at what is a little older."""


def rest(every_s: float, *, young: bool = False) -> None:
    """From now on everything is looked at this often, by the event loop that runs; `young`: and what is new as always."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, 1_000_000) if young else gc.disable()
    loop = asyncio.get_running_loop()

    def sweep() -> None:
        gc.collect()
        loop.call_later(every_s, sweep)

    loop.call_later(every_s, sweep)
