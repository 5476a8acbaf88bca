"""States in Redis as an outbox: saved unsent, sent to a topic, marked sent, under the leader's token.

A state that was saved is sent sooner or later, by whoever leads; one that was sent is never sent with another meaning. The
states of one key are numbered. The number and the state travel with the event in a header, so that a new leader can adopt
what a Redis that came back without its last second (or empty) has forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis

HEADER = "tw_state"
TAIL, TAIL_LIMIT_S = 5_000, 30.0

# KEYS: leader, states, other hashes. ARGV: token, serial that this leader wrote last, serial, name of what is kept beside the
# states, what is kept; for each of the other hashes the number of its fields; then their pairs (field, value), then pairs
# (key, entry).
_SAVE = """
local held = redis.call('HMGET', KEYS[1], 'token', 'serial')
if held[1] ~= ARGV[1] then return 0 end
local serial = held[2]
if serial ~= ARGV[2] and serial ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'serial', ARGV[3], ARGV[4], ARGV[5])
local at = 6 + #KEYS - 2
for k = 3, #KEYS do
  for i = 1, tonumber(ARGV[3 + k]) do
    redis.call('HSET', KEYS[k], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
for i = at, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
"""


class NotLeader(RuntimeError):
    """Someone else leads, or Redis lost what this leader wrote."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One state as kept, and the event that announces it with whether that was sent."""

    key: str
    number: int
    state: dict[str, Any]
    event: str | None = None
    """The event as JSON, None for a state that nobody is told of."""
    sent: bool = True

    def encode(self) -> bytes:
        return msgspec.json.encode({"n": self.number, "state": self.state, "event": self.event, "sent": self.sent})

    def header(self) -> bytes:
        """What travels with the event."""
        return msgspec.json.encode({"n": self.number, "state": self.state})

    @classmethod
    def decode(cls, key: str, value: bytes | str) -> Entry:
        held = msgspec.json.decode(value)
        return cls(key, held["n"], held["state"], held.get("event"), held.get("sent", True))


class Outbox:
    """The outbox of one leader. leader, states, others: its keys in Redis, all hashes; beside: the field of `leader` that has
    what is kept beside the states. Methods raise NotLeader, or what redis raises when it is away."""

    def __init__(self, redis: Redis, leader: str, states: str, others: Sequence[str] = (), *, beside: str) -> None:
        self._redis, self._leader, self._states, self._others, self._beside = redis, leader, states, others, beside
        self._script = redis.register_script(_SAVE)
        self._token = ""
        self._serial = 0
        self.entries: dict[str, Entry] = {}
        self.beside: dict[str, Any] = {}
        """What is kept beside the states, as saved last."""

    async def take(self, token: str, tail: Iterable[Entry]) -> list[Entry]:
        """Becomes the leader and loads every state; `tail`: what the topic tells. Returns what Redis had forgotten."""
        await self._redis.hset(self._leader, mapping={"token": token, "serial": 0})
        self._token, self._serial = token, 0
        beside = await self._redis.hget(self._leader, self._beside)
        self.beside = {} if beside is None else msgspec.json.decode(beside, type=dict[str, Any])
        stored = await self._redis.hgetall(self._states)
        entries = {(key := text(mark)): Entry.decode(key, value) for mark, value in stored.items()}
        adopted = {}
        for entry in tail:
            held = entries.get(entry.key)
            if held is None or entry.number > held.number:
                entries[entry.key] = adopted[entry.key] = entry
            elif entry.number == held.number and not held.sent:
                entries[entry.key] = adopted[entry.key] = replace(held, sent=True)
        self.entries = entries
        if adopted:
            await self.save(list(adopted.values()), self.beside)
        return list(adopted.values())

    async def save(
        self,
        entries: Sequence[Entry],
        beside: Mapping[str, Any],
        others: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> None:
        """Writes states, what is kept beside them, and fields of the other hashes (by their keys), all or nothing; without
        states it is also a check that this is still the leader's Redis."""
        serial = self._serial + 1
        more = [(others or {}).get(key, {}) for key in self._others]
        args: list[str | int | bytes] = [self._token, self._serial, serial, self._beside, msgspec.json.encode(beside)]
        args += map(len, more)
        for fields in more:
            for name, value in fields.items():
                args += (name, value)
        for entry in entries:
            args += (entry.key, entry.encode())
        if not await self._script(keys=[self._leader, self._states, *self._others], args=args):
            raise NotLeader("the leader's token or serial in Redis is not ours")
        self._serial, self.beside = serial, dict(beside)
        self.entries.update({entry.key: entry for entry in entries})

    async def forget(self, keys: Sequence[str]) -> None:
        """Removes states that nobody needs any more. To be called by the leader, after a `save` that went through."""
        if keys:
            await self._redis.hdel(self._states, *keys)
        for key in keys:
            del self.entries[key]

    def unsent(self) -> list[Entry]:
        return sorted((e for e in self.entries.values() if not e.sent), key=lambda e: (e.number, e.key))

    @property
    def states(self) -> Mapping[str, dict[str, Any]]:
        return {key: entry.state for key, entry in self.entries.items()}


async def tail(kafka: str, topic: str, client_id: str, most: int = TAIL) -> list[Entry]:
    """The states that the latest events of a topic with one partition carry, of each key that with the highest number. Raises
    what Kafka raises when it is away, TimeoutError among it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, client_id=client_id, enable_auto_commit=False)
    tp = TopicPartition(topic, 0)
    entries: dict[str, Entry] = {}
    async with asyncio.timeout(TAIL_LIMIT_S):
        await consumer.start()
        try:
            consumer.assign([tp])
            first = (await consumer.beginning_offsets([tp]))[tp]
            position = max(first, (await consumer.end_offsets([tp]))[tp] - most)
            consumer.seek(tp, position)
            # The end as a fetch tells it: asked for it plainly, the embedded broker leaves out part of the last batch.
            while (end := consumer.highwater(tp)) is None or position < end:
                for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, []):
                    position = record.offset + 1
                    header = dict(record.headers).get(HEADER)
                    if header is not None and record.key is not None:
                        entry = Entry.decode(record.key.decode(), header)
                        held = entries.get(entry.key)
                        if held is None or entry.number >= held.number:  # whoever led before may have been late
                            entries[entry.key] = entry
        finally:
            await consumer.stop()
    return list(entries.values())


def text(value: bytes | str) -> str:
    """A name as Redis has it."""
    return value.decode() if isinstance(value, bytes) else value
