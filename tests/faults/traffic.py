"""Events with known totals and known episodes: the same for the same seed, rate and beginning."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

from tests.integration.stream import LATEST_S, draw
from tests.support.events import Event, declined, event, failed, failed_sign_in, succeeded

PACK = """
faults:
  sign_ins: {condition: "failed_auth_attempts > 40 in 30 seconds", by: [actor], severity: high}
  incidents: {condition: "security_incidents > 0", by: [component], severity: critical}
  outages:
    condition: "payment_failure_rate > 50% over 30 seconds"
    by: [provider]
    severity: critical
    min_events: 20
    no_data: hold
"""
"""Rules whose every verdict is known beforehand."""
LATE, LATE_S = 0.02, 20.0
"""So many come up to so late; their bucket may still be open, or not."""
VERY_LATE = 0.001
"""So many come up to five hours late, into buckets that are in Redis alone."""
REPEATED = 0.04
EPISODE_EVERY_S = 12.0
QUIET_S, BRIEF_QUIET_S = 50.0, 20.0
"""No episode begins in so much at the end, so that each is over while events still come."""


@dataclass(frozen=True, slots=True)
class Episode:
    """What must be told: the rule fires for this group, once. first_bad_ms: with the event of this time; None where it depends
    on the order in which partitions are read, and then within `between_ms`. ends: whether it must be resolved, too."""

    rule: str
    group: tuple[tuple[str, str], ...]
    first_bad_ms: int | None
    between_ms: tuple[int, int]
    ends: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One record to produce. at: when, as epoch seconds; lot: decides on its partition, with `born`: when its event came for
    the first time (0: it stays where all of its kind are)."""

    at: float
    event: Event
    lot: int
    born: float


class Traffic:
    """`count` events at `rate` a second from `start` (epoch seconds) on, with their repeats and, among them, the episodes'.

    brief: only episodes that are short, whose ends nobody waits for."""

    def __init__(self, seed: int, count: int, rate: float, start: float, *, brief: bool = False) -> None:
        self._seed, self._count, self._rate, self._start, self._brief = seed, count, rate, start, brief
        self.seconds = count / rate
        self.episodes: list[Episode] = []
        self._extra: list[Item] = []
        self._plan_episodes(random.Random(f"episodes {seed}"))

    def __iter__(self) -> Iterator[Item]:
        return heapq.merge(self._background(), sorted(self._extra, key=_at), key=_at)

    def _background(self) -> Iterator[Item]:
        rng = random.Random(f"events {self._seed}")
        latest: list[Item] = []
        for number in range(self._count - len(self._extra)):
            at = self._start + number / self._rate
            late = rng.random()
            behind = rng.uniform(60, LATEST_S) if late < VERY_LATE else rng.uniform(0, LATE_S) if late < LATE else 0.0
            item = Item(at, draw(rng, at - behind), rng.getrandbits(16), at)
            yield item
            latest.append(item)
            if len(latest) > 200:
                del latest[:100]
            if rng.random() < REPEATED:
                again = rng.choice(latest)
                yield replace(again, at=at)

    def _plan_episodes(self, rng: random.Random) -> None:
        at, number = self._start + 1, 0
        quiet_s = BRIEF_QUIET_S if self._brief else QUIET_S
        while at < self._start + max(self.seconds - quiet_s, 2):
            for plan in (self._sign_ins, self._incident, *(() if self._brief else (self._outage,))):
                number += 1
                plan(f"{self._seed}-{number}", at + rng.uniform(0, EPISODE_EVERY_S), rng)
            at += EPISODE_EVERY_S

    def _sign_ins(self, name: str, at: float, rng: random.Random) -> None:
        """61 failures in nine seconds, of which the 41st is one too many. Of one actor, so of one partition: in order."""
        lot, actor = rng.getrandbits(16), f"intruder-{name}"
        times = [round(at + 0.15 * n, 3) for n in range(61)]
        self._extra += [Item(one, failed_sign_in(one, actor=actor), lot, 0.0) for one in times]
        self._episode("sign_ins", "actor", actor, _ms(times[40]), times, ends=True)

    def _incident(self, name: str, at: float, rng: random.Random) -> None:
        """One event is an episode. It is over five minutes later, which is not waited for."""
        component, at = f"vault-{name}", round(at, 3)
        self._extra.append(Item(at, event("security.incident", at, component=component), rng.getrandbits(16), at))
        self._episode("incidents", "component", component, _ms(at), [at], ends=False)

    def _outage(self, name: str, at: float, rng: random.Random) -> None:
        """A provider of its own is down for ten seconds, but for declines, and fine for thirty."""
        provider = f"flaky-{name}"
        down = [round(at + 0.05 * n, 3) for n in range(200)]
        fine = [round(at + 10 + 0.1 * n, 3) for n in range(300)]
        for number, one in enumerate(down):
            made = (declined if number % 10 == 9 else failed)(one, provider=provider)
            self._extra.append(Item(one, made, rng.getrandbits(16), one))
        self._extra += [Item(one, succeeded(one, provider=provider), rng.getrandbits(16), one) for one in fine]
        self._episode("outages", "provider", provider, None, down, ends=True)

    def _episode(self, rule: str, dimension: str, value: str, first_bad: int | None, times: list[float], *, ends: bool) -> None:
        between = (_ms(times[0]), _ms(times[-1]))
        self.episodes.append(Episode(rule, ((dimension, value),), first_bad, between, ends and not self._brief))


_at = attrgetter("at")


def _ms(at: float) -> int:
    return round(at * 1000)
