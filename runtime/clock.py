"""The present, handed in: nothing that judges, waits or stamps an alert reads the wall clock itself."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Tells the present as epoch seconds."""

    def now(self) -> float: ...


class WallClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()


class ManualClock:
    """A clock that a test moves by hand."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class FileClock:
    """The present is the number in a file (epoch seconds), so that several processes share one clock.

    The writer replaces the file atomically. It is read again when it is older than `every_s`; what cannot be
    read as a number leaves the last reading in force, and the present never goes back.
    """

    def __init__(self, path: str | os.PathLike[str], every_s: float = 0.02) -> None:
        self._path = Path(path)
        self._every_s = every_s
        self._read_at = float("-inf")
        self._now = float("-inf")
        if self._read() is None:
            raise ValueError(f"TILLWATCH_CLOCK: {self._path} does not hold a number of epoch seconds")

    def _read(self) -> float | None:
        try:
            number = float(self._path.read_text())
        except (OSError, ValueError):
            return None
        self._now = max(self._now, number)
        return number

    def now(self) -> float:
        tick = time.monotonic()
        if tick - self._read_at >= self._every_s:
            self._read_at = tick
            self._read()
        return self._now


def clock_from(setting: str) -> Clock:
    """The clock that `TILLWATCH_CLOCK` names: `wall`, or `file:PATH`. Raises ValueError for anything else."""
    if setting == "wall":
        return WallClock()
    kind, _, path = setting.partition(":")
    if kind == "file" and path:
        return FileClock(path)
    raise ValueError(f"TILLWATCH_CLOCK: expected 'wall' or 'file:PATH', got {setting!r}")
