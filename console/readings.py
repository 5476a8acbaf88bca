"""What the tables and the workers' statuses say now: read once for everybody who asks within a moment.

A window is a union of 10 s rows (of minutes, of hours where it is long), the open one included, so its numbers are those of
SQL with `bucket >= start and bucket < end`. It is put together from as few rows as make it up. What cannot be read raises what
redis raises; nothing is answered from memory but the pulse, which says how old it is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from rollups.cells import Cell
from rollups.tables import DAY, HOUR, RESOLUTIONS, SECOND, TableStore
from runtime.clock import Clock
from runtime.names import Names
from runtime.tasks import end
from schemas.tables import Key

AWAY = (RedisError, OSError, TimeoutError)
"""What a Redis that is away raises."""
FINE_MS, MINUTE_MS = 10 * SECOND, 60 * SECOND
LONGEST_MS = 31 * DAY
ANSWER_WITHIN_S = 4.0
"""A store that is frozen is called away after this."""
SILENT_AFTER_S = 10.0
"""A worker tells of itself every second; its word goes after 15 s."""
STALLED_AFTER_S = 15.0
"""A worker that has not flushed for so long waits for something."""
UNHEARD_AFTER_S = 10.0
"""A worker sends a heartbeat through the broker every 5 s; where none was taken for so long, nothing comes from there."""
LOOK_EVERY_S, LOOK_AGAIN_S = 10.0, 2.0
"""How often workers are looked for among all keys of the store, of which there may be hundreds of thousands; sooner where one
that was known is gone."""
LOOKED_AT_ONCE = 10_000
KEPT_S = 1.0
"""How long an answer is given again to others."""
KEPT_ANSWERS = 200

NAMES = ("1h", "1m", "10s")
Totals = dict[Key, Cell]
"""What a window holds, by the dimensions of its table."""
T = TypeVar("T")


# --- windows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in epoch ms, of event time."""

    start_ms: int
    end_ms: int

    def pieces(self, coarsest: str = "1h") -> list[tuple[str, int, int]]:
        """(resolution, start, end): the coarsest rows that lie within, finer ones at both ends."""
        return _pieces(self.start_ms, self.end_ms, NAMES[NAMES.index(coarsest) :])


def window_of(now_ms: int, length_ms: int) -> Window:
    """The open 10 s and the `length_ms` that end with it. The start is a whole minute where it is over 6 hours ago, and a
    whole hour where over 2 days: finer rows may be gone there."""
    end = now_ms - now_ms % FINE_MS + FINE_MS
    start = end - length_ms
    grain = FINE_MS if length_ms <= 6 * HOUR else MINUTE_MS if length_ms <= 2 * DAY else HOUR
    return Window(start - start % grain, end)


def _pieces(start: int, end: int, names: Sequence[str]) -> list[tuple[str, int, int]]:
    if start >= end or not names:
        return []
    width, finer = RESOLUTIONS[names[0]].width_ms, names[1:]
    first, last = -(-start // width) * width, end - end % width
    if first >= last:
        return _pieces(start, end, finer)
    return [*_pieces(start, first, finer), (names[0], first, last), *_pieces(last, end, finer)]


# --- the pulse --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pulse:
    """Whether what the tables hold is up to date, by what the workers say of themselves.

    state: `live`; `behind`: someone works, and some of it is late; `down`: no worker says that it works; `blind`: the store
    does not answer. as_of_ms: up to when the tables are known to hold what happened, None where that was never known.
    """

    state: str
    detail: str
    as_of_ms: int | None
    workers: tuple[Mapping[str, Any], ...] = ()
    leader: Mapping[str, Any] | None = None

    def age_s(self, now_ms: int) -> float | None:
        return None if self.as_of_ms is None else round(max(now_ms - self.as_of_ms, 0) / 1000, 1)


def pulse_of(
    statuses: Sequence[Mapping[str, Any]],
    now_ms: int,
    wall_s: float,
    before: Pulse | None = None,
    partitions: Mapping[str, int] = MappingProxyType({}),
) -> Pulse:
    """The pulse by these statuses. `now_ms`: the present of the installation's clock; `wall_s`: the machine's, by which workers
    tell when they spoke; `before`: the last pulse, for what is known no more; `partitions`: how many each event topic has, as
    far as that is known."""
    known = None if before is None else before.as_of_ms
    alive = tuple(one for one in statuses if wall_s - one["at"] <= SILENT_AFTER_S)
    if not alive:
        return Pulse("down", "no worker says that it works", known)
    leader = next((one for one in alive if one["leader"]), None)
    if leader is None:
        return Pulse("behind", "no worker leads: nothing is added up and no rule is judged", known, alive)
    late = [part for one in alive for part in one["partitions"] if part["behind"]]
    stalled = [
        one
        for one in alive
        if one["partitions"] and one["last_flush_at"] and now_ms / 1000 - one["last_flush_at"] > STALLED_AFTER_S
    ]
    unheard = [one for one in alive if one["partitions"] and 0 < one.get("last_beat_at", 0.0) < now_ms / 1000 - UNHEARD_AFTER_S]
    if late or stalled or unheard:
        marks = [mark for mark in leader["table_watermarks"].values() if mark is not None]
        why = (
            f"{len(late)} partitions wait to be read" if late
            else "the broker takes nothing from a worker" if unheard
            else "a worker has not written for a while"
        )  # fmt: skip
        return Pulse("behind", why, min(marks, default=known), alive, leader)
    orphans = _orphans(alive, partitions)
    if orphans:
        return Pulse("behind", f"nobody reads {', '.join(orphans[:3])}", known, alive, leader)
    return Pulse("live", "", now_ms - round((wall_s - leader["at"]) * 1000), alive, leader)


def _orphans(workers: Sequence[Mapping[str, Any]], partitions: Mapping[str, int]) -> list[str]:
    """Partitions that nobody reads: `topic/number`."""
    read = {(part["topic"], part["partition"]) for one in workers for part in one["partitions"]}
    return [f"{topic}/{n}" for topic, count in partitions.items() for n in range(count) if (topic, n) not in read]


# --- reading ----------------------------------------------------------------------------------------------------------


class Shared(Generic[T]):
    """Answers that are asked for once and given to all who ask within `kept_s`; so many at most are kept."""

    def __init__(self, kept_s: float = KEPT_S, most: int = KEPT_ANSWERS, tick: Callable[[], float] = time.monotonic) -> None:
        self._kept_s, self._most, self._tick = kept_s, most, tick
        self._asked: OrderedDict[Hashable, tuple[float, asyncio.Task[T]]] = OrderedDict()

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]], kept_s: float | None = None) -> T:
        """The answer; who is cancelled meanwhile takes it from nobody else. kept_s: how long it is shared, as all are unless
        said."""
        kept_s = self._kept_s if kept_s is None else kept_s
        now = self._tick()
        held = self._asked.get(key)
        if held is None or (held[1].done() and (now - held[0] > kept_s or _failed(held[1]))):
            held = now, asyncio.ensure_future(_awaited(ask))
            held[1].add_done_callback(_failed)  # whoever waits is told; if nobody does any more, it is not worth a warning
            self._asked[key] = held
            self._asked.move_to_end(key)
            while len(self._asked) > self._most:
                self._asked.popitem(last=False)
        return await asyncio.shield(held[1])

    async def close(self) -> None:
        """Ends what is still being asked for."""
        await end(task for _, task in self._asked.values())

    def forget(self, key: Hashable) -> None:
        """The next one who asks gets an answer of their own, unless one is being asked for."""
        held = self._asked.get(key)
        if held is not None and held[1].done():
            del self._asked[key]


async def _awaited(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


class Readings:
    """The reader of one console. Methods raise what redis raises when it is away, or TimeoutError."""

    def __init__(self, redis: Redis, names: Names, clock: Clock) -> None:
        self._redis, self._names, self._clock = redis, names, clock
        self.tables = TableStore(redis, names)
        self._statuses: Shared[list[Mapping[str, Any]]] = Shared()
        self._before: Pulse | None = None
        self._known: dict[str, tuple[list[bytes], float]] = {}
        """Role → the keys of those that spoke, and when they were looked for."""
        self.partitions: Mapping[str, int] = {}
        """How many each event topic has, as told by whoever asks Kafka."""

    def now_ms(self) -> int:
        return int(self._clock.now() * 1000)

    async def pulse(self) -> Pulse:
        """How up to date the tables are; a store that is away is an answer, too."""
        try:
            statuses = await self._statuses.get("statuses", self._ask_statuses)
        except AWAY as error:
            known = None if self._before is None else self._before.as_of_ms
            return Pulse("blind", f"the store does not answer ({type(error).__name__})", known)
        self._before = pulse_of(statuses, self.now_ms(), time.time(), self._before, self.partitions)
        return self._before

    async def notifiers(self) -> list[Mapping[str, Any]]:
        """What notifiers say of themselves."""
        return await self._statuses.get("notifiers", lambda: self._ask("notifier"))

    async def _ask_statuses(self) -> list[Mapping[str, Any]]:
        return await self._ask("worker")

    async def _ask(self, role: str) -> list[Mapping[str, Any]]:
        known, looked_at = self._known.get(role, ([], float("-inf")))
        async with asyncio.timeout(ANSWER_WITHIN_S):
            values = await self._redis.mget(known) if known else []
            since_s = time.monotonic() - looked_at
            if since_s > LOOK_EVERY_S or ((None in values or not values) and since_s > LOOK_AGAIN_S):
                name_of = self._names.worker if role == "worker" else self._names.notifier_process
                looked_at = time.monotonic()
                known = [key async for key in self._redis.scan_iter(match=name_of("*"), count=LOOKED_AT_ONCE)]
                self._known[role] = (known, looked_at)
                values = await self._redis.mget(known) if known else []
        return [json.loads(value) for value in values if value is not None]
