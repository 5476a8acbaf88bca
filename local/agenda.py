"""An agenda of what happens when, and streams of chance that do not disturb each other."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from hashlib import blake2b
from random import Random

Act = Callable[[int], None]
"""What is done at a moment (epoch ms)."""
Happening = Callable[[int, Random, str], None]
"""Something that happens again and again: epoch ms, its own chance, and a name that it has for good."""


class Agenda:
    """Acts in order of their times; those of the same millisecond in the order in which they were put down."""

    def __init__(self, seed: int, start_ms: int) -> None:
        self._seed, self._start_ms = seed, start_ms
        self._order = 0
        self._acts: list[tuple[int, int, Act]] = []

    def put(self, ms: float, act: Act) -> None:
        self._order += 1
        heapq.heappush(self._acts, (int(ms), self._order, act))

    def until(self, end_ms: float) -> Iterator[tuple[int, Act]]:
        """Takes out what happens before `end_ms`; acts may put down more meanwhile."""
        while self._acts and self._acts[0][0] < end_ms:
            ms, _, act = heapq.heappop(self._acts)
            yield ms, act

    def chance(self, *of: object) -> Random:
        """A stream of its own: drawing from it changes no other."""
        return Random(hash_of(self._seed, *of))

    def every(self, period_ms: int, name: str, happening: Happening) -> None:
        """Something that happens once a period, from a phase of its own on."""
        rng = self.chance(name)

        def tick(ms: int) -> None:
            self.put(ms + period_ms, tick)
            happening(ms, rng, f"{name}x{(ms - self._start_ms) // period_ms:x}")

        self.put(self._start_ms + rng.randrange(period_ms), tick)

    def arrivals(
        self,
        name: str,
        rate: float,
        happening: Happening,
        *,
        span_s: tuple[float, float] = (0.0, math.inf),
        thin: Callable[[int], float] = lambda ms: 1.0,
    ) -> None:
        """The arrivals of a Poisson process of `rate` a second within a span of epoch seconds.

        thin: the share of them that happens at a moment (the thinning of Lewis and Shedler, 1979); whatever it says, an
        arrival that happens is the same.
        """
        gaps = self.chance(name, "gaps")
        at = max(float(self._start_ms), span_s[0] * 1000) + gaps.expovariate(rate) * 1000
        number = 0

        def arrive(ms: int) -> None:
            nonlocal at, number
            number += 1
            if gaps.random() < thin(ms):
                happening(ms, self.chance(name, number), f"{name}{number:x}")
            at += gaps.expovariate(rate) * 1000
            if at < span_s[1] * 1000:
                self.put(at, arrive)

        if at < span_s[1] * 1000:
            self.put(at, arrive)


def hash_of(*parts: object) -> int:
    """64 bits of parts, the same in every process."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "big")
