"""The alert states in Redis as an outbox: saved unsent, sent, marked sent, under the leader's token.

A state that was saved is sent sooner or later, by whoever leads; one that was sent is never sent with another meaning.
Each fingerprint's states are numbered. The number and the state travel with the alert in a header, so that a new leader
can adopt what a Redis that came back without its last second (or empty) has forgotten.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from runtime.names import Names

HEADER = "tw_state"

# KEYS: leader, alerts, baselines. ARGV: token, serial that this leader wrote last, serial, what the engine keeps beside the
# states, the number of baselines; then pairs (name, baseline), then pairs (fingerprint, entry).
_SAVE = """
local held = redis.call('HMGET', KEYS[1], 'token', 'serial')
if held[1] ~= ARGV[1] then return 0 end
local serial = held[2]
if serial ~= ARGV[2] and serial ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'serial', ARGV[3], 'engine', ARGV[4])
local baselines = tonumber(ARGV[5])
for i = 6, 5 + 2 * baselines, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
for i = 6 + 2 * baselines, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
"""


class NotLeader(RuntimeError):
    """Someone else leads, or Redis lost what this leader wrote."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One (rule, group) as kept: its state, and the alert that announces it with whether that was sent."""

    fingerprint: str
    number: int
    state: dict[str, Any]
    alert: str | None = None
    """The alert event as JSON, None for a state that nobody is told of."""
    sent: bool = True

    def encode(self) -> bytes:
        return msgspec.json.encode(
            {"n": self.number, "state": self.state, "alert": self.alert, "sent": self.sent}
        )

    def header(self) -> bytes:
        """What travels with the alert."""
        return msgspec.json.encode({"n": self.number, "state": self.state})

    @classmethod
    def decode(cls, fingerprint: str, value: bytes | str) -> Entry:
        held = msgspec.json.decode(value)
        return cls(fingerprint, held["n"], held["state"], held.get("alert"), held.get("sent", True))


class Outbox:
    """The outbox of one leader. Methods raise NotLeader, or what redis raises when it is away."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._names = redis, names
        self._script = redis.register_script(_SAVE)
        self._token = ""
        self._serial = 0
        self.entries: dict[str, Entry] = {}
        self.engine: dict[str, Any] = {}
        """What the engine keeps beside the states, as saved last."""

    async def take(self, token: str, tail: Iterable[Entry]) -> None:
        """Becomes the leader and loads every state; `tail`: what the alerts topic tells, oldest first."""
        names = self._names
        await self._redis.hset(names.leader, mapping={"token": token, "serial": 0})
        self._token, self._serial = token, 0
        engine = await self._redis.hget(names.leader, "engine")
        self.engine = {} if engine is None else msgspec.json.decode(engine, type=dict[str, Any])
        stored = await self._redis.hgetall(names.alert_states)
        entries = {(fp := _text(mark)): Entry.decode(fp, value) for mark, value in stored.items()}
        adopted = {}
        for entry in tail:
            held = entries.get(entry.fingerprint)
            if held is None or entry.number > held.number:
                entries[entry.fingerprint] = adopted[entry.fingerprint] = entry
            elif entry.number == held.number and not held.sent:
                entries[entry.fingerprint] = adopted[entry.fingerprint] = replace(held, sent=True)
        self.entries = entries
        if adopted:
            await self.save(list(adopted.values()), self.engine)

    def next_number(self, fingerprint: str, now_ms: int) -> int:
        """Numbers of one fingerprint grow, also past a time when nothing was kept of it."""
        held = self.entries.get(fingerprint)
        return now_ms if held is None else max(held.number + 1, now_ms)

    async def save(
        self, entries: Sequence[Entry], engine: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Writes states, what the engine keeps and baselines that changed, all or nothing; without states it is also a check
        that this is still the leader's Redis."""
        serial, baselines = self._serial + 1, baselines or {}
        args: list[str | int | bytes] = [self._token, self._serial, serial, msgspec.json.encode(engine), len(baselines)]
        for name, baseline in baselines.items():
            args += (name, zlib.compress(msgspec.json.encode(baseline), 1))
        for entry in entries:
            args += (entry.fingerprint, entry.encode())
        names = self._names
        if not await self._script(keys=[names.leader, names.alert_states, names.baselines], args=args):
            raise NotLeader("the leader's token or serial in Redis is not ours")
        self._serial, self.engine = serial, dict(engine)
        self.entries.update({entry.fingerprint: entry for entry in entries})

    async def baselines(self) -> dict[str, dict[str, Any]]:
        """What is kept of each baseline, by its name."""
        stored = await self._redis.hgetall(self._names.baselines)
        return {_text(name): msgspec.json.decode(zlib.decompress(cast(bytes, value))) for name, value in stored.items()}

    async def forget_baselines(self, names: Sequence[str]) -> None:
        """Removes what no rule asks for any more."""
        if names:
            await self._redis.hdel(self._names.baselines, *names)

    async def forget(self, fingerprints: Sequence[str]) -> None:
        """Removes states that nobody needs any more. To be called by the leader, after a `save` that went through."""
        if fingerprints:
            await self._redis.hdel(self._names.alert_states, *fingerprints)
        for fingerprint in fingerprints:
            del self.entries[fingerprint]

    def unsent(self) -> list[Entry]:
        return sorted((e for e in self.entries.values() if not e.sent), key=lambda e: (e.number, e.fingerprint))

    @property
    def states(self) -> Mapping[str, dict[str, Any]]:
        return {fingerprint: entry.state for fingerprint, entry in self.entries.items()}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
