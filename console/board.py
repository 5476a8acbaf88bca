"""The alerts: the last ones of the topic, what fires now, and a stream of both for whoever listens.

One reader for all. It begins at the topic's tail and follows it; what fires since before that is taken from the store, where
the judge keeps the alert last sent of each rule and group. An alert's place is `LOG-OFFSET`: LOG tells one log from the next of
the same name, so that nobody who comes back goes on at a place in another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from aiokafka import ConsumerRecord
from pydantic import ValidationError
from redis.asyncio import Redis

from console.readings import ANSWER_WITHIN_S, AWAY
from console.tail import Tail
from runtime.outbox import HEADER
from runtime.settings import Settings
from runtime.tasks import heed
from schemas.alert import TYPE_PREFIX, AlertEvent

log = logging.getLogger(__name__)

KEPT = 2_000
"""Alerts that are kept, the latest."""
WAITING = 256
"""Messages that wait for one listener; one that is slower is let go, and comes back where it was."""
LISTENERS = 500
LOOK_EVERY_S = 2.0
"""How often it is asked what the store says."""
FIRES = ("firing", "no_data")

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Post:
    """An alert event at its place in the topic. `at`: its offset there."""

    log: str
    at: int
    event: Event

    @property
    def place(self) -> str:
        return f"{self.log}-{self.at}"


@dataclass(frozen=True, slots=True)
class Message:
    """What listeners are told. `place`: where to go on after it, None for what is not repeated. `wire`: as it is sent, made
    once for all of them."""

    kind: str
    data: str
    place: str | None = None
    wire: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Its data is JSON, so it has no line break.
        place = "" if self.place is None else f"id: {self.place}\n"
        object.__setattr__(self, "wire", f"{place}event: {self.kind}\ndata: {self.data}\n\n".encode())


class Full(RuntimeError):
    """There are as many listeners as there may be."""


class Slow(RuntimeError):
    """A listener did not take what was told; the rest is told when it comes back."""


class Board:
    """What is known of alerts. Pure of Kafka and Redis: `post` and `stand` are told what these have."""

    def __init__(self, kept: int = KEPT) -> None:
        self._posts: deque[Post] = deque(maxlen=kept)
        self._last: dict[str, tuple[int, Event]] = {}
        """Fingerprint → number of the state that it announces, and the alert last sent."""
        self._listeners: set[asyncio.Queue[Message | None]] = set()
        self._closed = False
        self.news = asyncio.Event()
        """Set when an alert comes; whoever waits for it clears it."""
        self.sent: Counter[tuple[str, str]] = Counter()
        """(rule, transition) → alerts that were sent since this board began to follow."""

    # --- what it is told ----------------------------------------------------------------------------------------------

    def post(self, post: Post, number: int, *, news: bool) -> None:
        """The next alert of the topic. `number`: of the state that it announces; news: it came while we followed."""
        if self._posts and self._posts[-1].log != post.log:
            self._posts.clear()
        self._posts.append(post)
        self.stand(post.event, number)
        if news:
            data = post.event["data"]
            self.sent[str(data["rule"]), str(post.event["type"]).removeprefix(TYPE_PREFIX)] += 1
            self.tell(Message("alert", json.dumps(post.event, ensure_ascii=False), post.place))
            self.news.set()

    def stand(self, event: Event, number: int) -> None:
        """The alert last sent of its fingerprint, unless a later one is known."""
        mark = str(event["data"]["fingerprint"])
        held = self._last.get(mark)
        if held is None or number >= held[0]:
            self._last[mark] = number, event

    def keep_only(self, marks: Iterable[str]) -> None:
        """Forgets fingerprints that nobody keeps any more, so that they do not add up for ever."""
        known = {*marks}
        recent = {str(post.event["data"]["fingerprint"]) for post in self._posts}
        self._last = {mark: held for mark, held in self._last.items() if mark in known or mark in recent}

    # --- what it says -------------------------------------------------------------------------------------------------

    @property
    def latest(self) -> Post | None:
        return self._posts[-1] if self._posts else None

    def firing(self) -> list[Event]:
        """What fires now, or has no data, the worst and then the latest first."""
        found = [event for _, event in self._last.values() if event["data"]["status"] in FIRES]
        found.sort(key=lambda event: str(event["time"]), reverse=True)
        return sorted(found, key=lambda event: str(event["data"].get("level", "P3")))

    def before(self, place: str | None, wanted: Callable[[Event], bool], most: int) -> list[Post]:
        """The last `most` alerts that are wanted, the latest first; with a place those before it.

        Raises LookupError for a place in another log, or that is no place.
        """
        at = None if place is None else self._offset(place)
        posts = (post for post in reversed(self._posts) if (at is None or post.at < at) and wanted(post.event))
        return list(islice(posts, most))

    def _offset(self, place: str) -> int:
        log_id, _, at = place.rpartition("-")
        if not at.isascii() or not at.isdigit() or len(at) > 19:
            raise LookupError(f"{place[:40]!r} is no place of an alert")
        if self._posts and self._posts[-1].log != log_id:
            raise LookupError("the alerts topic was made anew since: begin again at the latest")
        return int(at)

    # --- listeners ----------------------------------------------------------------------------------------------------

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @contextlib.contextmanager
    def listening(self, after: str | None = None) -> Iterator[AsyncIterator[Message]]:
        """What is told from now on, after the alerts that came since the place `after`. Where it is not known which these are,
        the first message is `reset`: whoever listens begins anew.

        Raises Full. The messages end when the board closes, and with Slow where they are not taken.
        """
        if len(self._listeners) >= LISTENERS:
            raise Full(f"{LISTENERS} listen already")
        queue: asyncio.Queue[Message | None] = asyncio.Queue(WAITING)
        missed = self._missed(after)
        self._listeners.add(queue)
        if self._closed:
            queue.put_nowait(None)
        try:
            yield self._messages(queue, missed)
        finally:
            self._listeners.discard(queue)

    def _missed(self, after: str | None) -> list[Message]:
        if after is None:
            return []
        try:
            at = self._offset(after)
        except LookupError:
            return [Message("reset", "{}")]
        if not self._posts or self._posts[0].at > at + 1:
            return [Message("reset", "{}")]
        return [
            Message("alert", json.dumps(post.event, ensure_ascii=False), post.place) for post in self._posts if post.at > at
        ]

    async def _messages(self, queue: asyncio.Queue[Message | None], missed: list[Message]) -> AsyncIterator[Message]:
        for message in missed:
            yield message
        while (told := await queue.get()) is not None:
            yield told
        if not self._closed:
            raise Slow

    def tell(self, message: Message) -> None:
        """To all who listen."""
        for queue in list(self._listeners):
            if queue.full():
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(message)

    def close(self) -> None:
        """Ends every stream."""
        self._closed = True
        for queue in list(self._listeners):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)


# --- following the topic ----------------------------------------------------------------------------------------------


class Follower:
    """Tells a board what the alerts topic and the store have."""

    def __init__(self, board: Board, settings: Settings, redis: Redis) -> None:
        self.board, self._redis = board, redis
        self._names = settings.names
        self._tail = Tail(settings, self._names.alerts, KEPT, self._take, self._names.event_topics)

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many each event topic has, once Kafka told."""
        return self._tail.partitions

    @property
    def away(self) -> str | None:
        """Why the topic cannot be followed now; None while it is."""
        return self._tail.away

    async def follow_topic(self) -> None:
        """Takes alerts from the topic as they come; returns never."""
        await self._tail.run()

    async def follow_store(self) -> None:
        """Takes what fires from the store, again and again; returns never. A store that is away is asked again."""
        while True:
            with contextlib.suppress(*AWAY):
                await self.look()
            heed()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """What the store says of every rule and group. Raises what redis raises when it is away."""
        async with asyncio.timeout(ANSWER_WITHIN_S):
            held = await self._redis.hgetall(self._names.alert_states)
        for value in held.values():
            entry = json.loads(value)
            if entry.get("alert") and entry.get("sent", True):
                self.board.stand(json.loads(entry["alert"]), entry["n"])
        self.board.keep_only(mark.decode() if isinstance(mark, bytes) else mark for mark in held)

    def _take(self, record: ConsumerRecord, topic_id: str, news: bool) -> None:
        try:
            AlertEvent.model_validate_json(record.value or b"")
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            log.warning("offset %d of %s is no alert and is left out: %s", record.offset, record.topic, why)
            return
        state = dict(record.headers).get(HEADER)
        number = record.timestamp if state is None else json.loads(state)["n"]
        self.board.post(Post(_short(topic_id), record.offset, json.loads(record.value)), number, news=news)


def _short(topic_id: str) -> str:
    return topic_id[:12]
