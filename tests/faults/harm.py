"""Each harm: what is done to whom, what the machine must have for it, and how it is undone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from runtime.faults import EVALUATE, MEASURE
from runtime.kafka import create_topics
from tests.faults.site import SESSION_S, Post, Site
from tests.support.wait import eventually_async, pause

Do = Callable[[Site, str, float], Awaitable[None]]
CRASH_WITHIN_S = 25.0
GROW_BY = 2


@dataclass(frozen=True, slots=True)
class Harm:
    """target: `worker` (one of them) or what else of a site can be hurt. lasts: least and most seconds before it is undone.
    needs_kafka: the embedded broker cannot bear it."""

    name: str
    target: str
    lasts: tuple[float, float] | None
    needs_kafka: bool
    do: Do

    @property
    def words(self) -> str:
        return (self.do.__doc__ or "").strip()

    def missing(self, site: Site, kafka: bool) -> str | None:
        """Why it cannot be done here; None: it can."""
        if self.needs_kafka and not kafka:
            return "needs Apache Kafka: the embedded broker forgets everything, and cannot add partitions"
        return site.full_disk if self.name == "full_disk" else None


HARMS: dict[str, Harm] = {}


def harm(target: str, lasts: tuple[float, float] | None = None, *, needs_kafka: bool = False) -> Callable[[Do], Do]:
    def register(do: Do) -> Do:
        name = do.__name__
        HARMS[name] = Harm(name, target, lasts, needs_kafka, do)
        return do

    return register


async def inflict(site: Site, name: str, target: str, lasts: float) -> None:
    """Does it and undoes it. What is being hurt already is waited for, unless the harm is kill -9, which comes at any time."""
    if name == "kill_worker":
        await HARMS[name].do(site, target, lasts)
        return
    if target in site.posts:
        await site.ready(site.posts[target])  # there must be somebody to be hurt
    async with site.lock(target):
        try:
            await HARMS[name].do(site, target, lasts)
        finally:
            site.healed_at[target] = time.monotonic()


# --- workers ----------------------------------------------------------------------------------------------------------


@harm("worker")
async def kill_worker(site: Site, target: str, lasts: float) -> None:
    """kill -9 of a worker, whatever it is doing; another is started in its place."""
    places = [site.posts[target], *site.posts.values()]  # another one, where it has just been killed
    site.kills += any(post.kill() for post in places)


@harm("worker")
async def stop_worker(site: Site, target: str, lasts: float) -> None:
    """SIGTERM; it must end with 0 within 10 s; another is started in its place."""
    await _ended(site, site.posts[target])


@harm("worker", (4.0, 12.0))
async def leave_and_join(site: Site, target: str, lasts: float) -> None:
    """SIGTERM, and nobody comes in its place for a while: the others share its partitions, and then give some back."""
    await _ended(site, site.posts[target])
    await pause(lasts)


@harm("worker", (30.0, 30.0))
async def freeze_worker(site: Site, target: str, lasts: float) -> None:
    """SIGSTOP for much longer than the session lasts, then SIGCONT: a zombie that believes it owns its partitions."""
    post = site.posts[target]
    if not post.process.running:
        return
    post.process.freeze()
    try:
        await pause(lasts)
    finally:
        with contextlib.suppress(ProcessLookupError):
            post.process.thaw()


@harm("worker")
async def crash_in_flush(site: Site, target: str, lasts: float) -> None:
    """kill -9 of a worker by itself, between two steps of a flush or of an alert; another is started in its place."""
    post = site.posts[target]
    await _ended(site, post)
    point = site.rng.choice((*MEASURE, *EVALUATE))
    plain = dict(post.process.env or {})
    post.process.env = plain | {"TILLWATCH_FAULT": f"{point}:0.2"}
    try:
        with contextlib.suppress(RuntimeError):  # it may die before it is ready
            await asyncio.to_thread(post.process.start)
        with contextlib.suppress(AssertionError):  # nothing may come to that point
            await eventually_async(lambda: not post.process.running, "it is dead", CRASH_WITHIN_S)
    finally:
        post.process.env = plain
        post.kill()


async def _ended(site: Site, post: Post) -> None:
    if post.starting is not None:
        await post.starting
    if not post.process.running:
        return
    since = time.monotonic()
    code = await asyncio.to_thread(post.process.stop)
    post.begun = False
    if code != 0 and site.served_since(since):
        site.endings[f"{post.name}, told to end, {post.process.ending}"] += 1
        site.tell(f"{post.name}, told to end, {post.process.ending}: {' / '.join(post.process.last_lines()[-3:])}")


# --- the broker -------------------------------------------------------------------------------------------------------


@harm("broker", (0.0, 4.0), needs_kafka=True)
async def kill_broker(site: Site, target: str, lasts: float) -> None:
    """kill -9 of the broker, and back with the log that it had."""
    await asyncio.to_thread(site.broker.kill)
    await pause(lasts)
    await asyncio.to_thread(site.broker.start)


@harm("broker", (0.0, 2.0), needs_kafka=True)
async def restart_broker(site: Site, target: str, lasts: float) -> None:
    """The broker is stopped in order, and started again."""
    await asyncio.to_thread(site.broker.stop)
    await pause(lasts)
    await asyncio.to_thread(site.broker.start)


@harm("topics", needs_kafka=True)
async def grow_partitions(site: Site, target: str, lasts: float) -> None:
    """Every topic of events gets two partitions more, and events come into them at once. Nothing undoes that."""
    async with site.lock("broker"):  # whoever does this does it while there is a broker
        await create_topics(site.settings, site.partitions + GROW_BY)
    site.partitions += GROW_BY
    site.producer.grow(site.partitions)


# --- the store --------------------------------------------------------------------------------------------------------


@harm("redis", (0.7, 1.2))
async def lose_last_second(site: Site, target: str, lasts: float) -> None:
    """kill -9 of the store, and back without what it acknowledged in its last second."""
    await asyncio.to_thread(site.store.mark)
    await pause(lasts)
    await asyncio.to_thread(site.store.fall_back)


@harm("redis", (2.0, 8.0))
async def stop_redis(site: Site, target: str, lasts: float) -> None:
    """kill -9 of the store, and back after a while with all that it had."""
    await asyncio.to_thread(site.store.kill)
    await pause(lasts)
    await asyncio.to_thread(site.store.start)


@harm("redis")
async def empty_redis(site: Site, target: str, lasts: float) -> None:
    """Everything in the store is deleted while it runs."""
    await asyncio.to_thread(site.store.empty)


@harm("redis")
async def fail_over(site: Site, target: str, lasts: float) -> None:
    """The store dies and its replica leads, with all but what was on its way to it."""
    await _replica(site)
    await asyncio.to_thread(site.promote)


@harm("redis", (0.7, 1.2))
async def fail_over_behind(site: Site, target: str, lasts: float) -> None:
    """The same with a replica that lags: it lacks what was acknowledged in the last second."""
    await _replica(site)
    site.spare.freeze()
    try:
        await pause(lasts)
        await asyncio.to_thread(site.store.kill)  # before the replica can read what waits for it
    finally:
        site.spare.thaw()
    await asyncio.to_thread(site.promote)


async def _replica(site: Site) -> None:
    await asyncio.to_thread(site.spare.start)
    await asyncio.to_thread(site.spare.follow, site.store)


@harm("redis", (2.0, 6.0))
async def out_of_memory(site: Site, target: str, lasts: float) -> None:
    """The store refuses writes, because its memory is full."""
    await asyncio.to_thread(site.store.limit_memory, 0)
    await pause(lasts)
    await asyncio.to_thread(site.store.limit_memory, None)


@harm("redis", (2.0, 6.0))
async def read_only(site: Site, target: str, lasts: float) -> None:
    """The store refuses writes, because it is a replica for a while."""
    await asyncio.to_thread(site.store.refuse_writes)
    await pause(lasts)
    await asyncio.to_thread(site.store.lead)


@harm("redis", (4.0, 8.0))
async def slow_redis(site: Site, target: str, lasts: float) -> None:
    """Every answer of the store takes 300 ms longer."""
    await asyncio.to_thread(site.proxy.change, delay_s=0.3)
    await pause(lasts)
    await asyncio.to_thread(site.proxy.change, delay_s=0.0)


@harm("redis", (6.0, 9.0))
async def freeze_redis(site: Site, target: str, lasts: float) -> None:
    """The store stops answering for longer than anybody waits, with every connection open, and then does what it was asked."""
    site.store.freeze()
    try:
        await pause(lasts)
    finally:
        site.store.thaw()


@harm("redis", (3.0, 6.0))
async def lose_answers(site: Site, target: str, lasts: float) -> None:
    """What is written is written, and nobody hears of it: answers get lost, then the connections."""
    await asyncio.to_thread(site.proxy.change, deaf=True)
    await pause(lasts)
    await asyncio.to_thread(site.proxy.change, deaf=False)


@harm("redis", (2.0, 5.0))
async def cut_off_redis(site: Site, target: str, lasts: float) -> None:
    """Connections to the store are cut, and none is accepted for a while."""
    await asyncio.to_thread(site.proxy.change, open=False)
    await pause(lasts)
    await asyncio.to_thread(site.proxy.change, open=True)


@harm("redis", (2.0, 6.0))
async def full_disk(site: Site, target: str, lasts: float) -> None:
    """The disk of the store is full, so it refuses writes."""
    await asyncio.to_thread(site.squeeze_disk, True)
    try:
        await pause(lasts)
    finally:
        await asyncio.to_thread(site.squeeze_disk, False)
        await asyncio.to_thread(site.store.rewrite)


# --- the clock --------------------------------------------------------------------------------------------------------


@harm("clock", (6.0, 12.0))
async def clock_ahead(site: Site, target: str, lasts: float) -> None:
    """The clock jumps 40 s ahead, and later back: to workers it then stands still for as long."""
    await _step(site, 40.0, lasts)


@harm("clock", (6.0, 12.0))
async def clock_behind(site: Site, target: str, lasts: float) -> None:
    """The clock goes back by 25 s, so that to workers it stands still, and later jumps ahead."""
    await _step(site, -25.0, lasts)


async def _step(site: Site, seconds: float, lasts: float) -> None:
    site.clock_ahead_s = seconds
    await pause(lasts)
    site.clock_ahead_s = 0.0


assert HARMS["freeze_worker"].lasts is not None and HARMS["freeze_worker"].lasts[0] > SESSION_S
