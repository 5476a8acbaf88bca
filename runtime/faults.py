"""Crash points for fault tests: `TILLWATCH_FAULT=after_script:0.01` kills the process with -9 there, that often.

Several are separated by commas. Unset, nothing ever happens.
"""

from __future__ import annotations

import os
import random
import signal

MEASURE = ("before_letters", "after_letters", "after_script", "after_send", "after_commit")
EVALUATE = ("after_save", "after_alert")
NOTIFIER = ("after_incident_saved", "after_incident_told", "after_incident_marked", "after_page")
ACTIONS = ("before_action", "after_action")
POINTS = (*MEASURE, *EVALUATE, *NOTIFIER, *ACTIONS)


def _wanted() -> dict[str, float]:
    wanted = {}
    for item in filter(None, os.environ.get("TILLWATCH_FAULT", "").split(",")):
        point, _, share = item.partition(":")
        if point not in POINTS:
            raise ValueError(f"TILLWATCH_FAULT: no crash point {point!r}; there are {', '.join(POINTS)}")
        wanted[point] = float(share or 1)
    return wanted


_WANTED = _wanted()


def crash_point(point: str) -> None:
    """Dies here if the environment asks for it."""
    share = _WANTED.get(point)
    if share is not None and random.random() < share:
        os.kill(os.getpid(), signal.SIGKILL)
