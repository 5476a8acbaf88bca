"""How often somebody may do something: token buckets, in a memory that does not grow.

There is a fixed number of buckets, and a keyed hash says whose is which: who shares one shares it. So nobody pushes another's
bucket out by coming under many names.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from hashlib import blake2b

SLOTS = 4096


class Buckets:
    """burst: how many at once; rate_s: how many more come back each second. now: seconds that never go back."""

    def __init__(self, burst: int, rate_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._rate_s, self._now = float(burst), rate_s, now
        self._key = secrets.token_bytes(16)
        self._left: dict[int, tuple[float, float]] = {}
        """Slot → what was left in it, and when; a full one need not be there."""

    def take(self, who: str) -> float:
        """Takes one: 0, or where none is left the seconds until one is there."""
        slot, now = self._slot(who), self._now()
        left, at = self._left.get(slot, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate_s)
        if left < 1:
            return (1 - left) / self._rate_s
        self._left[slot] = (left - 1, now)
        return 0.0

    def give_back(self, who: str) -> None:
        """It was all right: as if nothing had been taken of late."""
        self._left.pop(self._slot(who), None)

    def _slot(self, who: str) -> int:
        return int.from_bytes(blake2b(who.encode(errors="replace"), digest_size=8, key=self._key).digest(), "big") % SLOTS
