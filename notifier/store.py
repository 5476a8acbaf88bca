"""Incidents, silences and commands in Redis: the leader's half, under its token, and the half of everybody else.

One hash holds incidents (by id) and silences (`silence/` and id), each as an entry of the outbox; docs/redis-layout.md has the
keys. Commands wait in a bounded stream; what came of one is a key that expires.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis

from notifier.desk import Changes
from runtime.names import Names
from runtime.outbox import Entry, Outbox, text
from schemas.incident import Answer, Command, Incident, Silence, incident_event, silence_event

log = logging.getLogger(__name__)

SILENCE = "silence/"
COMMANDS_MOST, COMMANDS_AT_ONCE = 10_000, 100
ANSWER_KEPT_S = 600
ANSWER_LOOK_S = 0.1


class Place(msgspec.Struct, frozen=True):
    """How far the alerts topic was taken. log: the topic's id; base: what is added to its offsets, so that places grow from one
    log to the next; next: the place of the next record."""

    log: str
    base: int
    next: int


@dataclass(frozen=True, slots=True)
class Held:
    """What is kept. place: None where nothing ever was. commands: id of the last that was read. last: the last number that an
    incident was given."""

    incidents: tuple[Incident, ...]
    silences: tuple[Silence, ...]
    place: Place | None
    commands: str
    last: int


class Store:
    """What the leader keeps. Methods raise NotLeader, or what redis raises when it is away."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._names = redis, names
        self._outbox = Outbox(redis, names.notifier("leader"), names.notifier("incidents"), beside="desk")

    async def take(self, token: str, tail: Iterable[Entry]) -> Held:
        """Becomes the leader, and loads everything; `tail`: what the incidents topic tells."""
        adopted = await self._outbox.take(token, tail)
        beside = self._outbox.beside
        places = [msgspec.convert(entry.state["place"], Place) for entry in adopted]
        if "place" in beside:
            places.append(msgspec.convert(beside["place"], Place))
        incidents, silences = _split(self._outbox.entries.values())
        last = max((beside.get("last", 0), *(one.number for one in incidents)))
        return Held(
            incidents, silences, max(places, key=lambda one: one.next, default=None), beside.get("commands", "0"), last
        )

    async def save(self, changes: Changes, before: Place, after: Place, commands: str, last: int, now_ms: int) -> None:
        """Writes what changed, unsent, and how far alerts and commands were taken, all or nothing."""
        entries = [
            Entry(
                SILENCE + silence.id,
                silence.version,
                {"place": before, "silence": silence},
                silence_event(self._names.namespace, change, silence, now_ms).model_dump_json(exclude_none=False),
                False,
            )
            for silence, change in changes.silences
        ]
        entries += [
            Entry(
                one.incident.id,
                one.incident.version,
                {"place": before, "incident": one.incident},
                incident_event(
                    self._names.namespace, one.change, one.incident, one.entries
                ).model_dump_json(exclude_none=False),
                False,
            )
            for one in changes.incidents
        ]  # fmt: skip
        if entries:
            # Whoever adopts the last of them has adopted all; whoever adopts fewer takes the alerts of the others again.
            entries[-1].state["place"] = after
        await self._outbox.save(entries, {"place": after, "commands": commands, "last": last})

    async def check(self, place: Place, commands: str, last: int) -> None:
        """Writes how far alerts and commands were taken, where nothing changed. Raises NotLeader where this Redis is not the
        one that we wrote to."""
        await self._outbox.save([], {"place": place, "commands": commands, "last": last})

    def unsent(self) -> list[Entry]:
        """What the topic does not have yet, in the order in which it must get it."""
        return sorted(self._outbox.unsent(), key=lambda one: _place(one).next)

    async def sent(self, entries: Sequence[Entry]) -> None:
        """Notes that the topic has these."""
        marked = [Entry(one.key, one.number, one.state) for one in entries]
        await self._outbox.save(marked, self._outbox.beside)

    async def forget(self, incidents: Sequence[str], silences: Sequence[str]) -> None:
        """Removes what need not be kept."""
        await self._outbox.forget([*incidents, *(SILENCE + one for one in silences)])

    # --- commands ---------------------------------------------------------------------------------------------------------

    async def commands(self, after: str) -> tuple[list[Command], str]:
        """The next commands, and the id of the last entry that was read; what is no command is left out."""
        found: Any = await self._redis.xread({self._names.notifier("commands"): after}, count=COMMANDS_AT_ONCE)
        commands: list[Command] = []
        for _, items in found or ():
            for mark, fields in items:
                after = mark.decode()
                try:
                    commands.append(msgspec.json.decode(fields[b"command"], type=Command))
                except (msgspec.MsgspecError, KeyError) as error:
                    log.error("entry %s of the commands is none: %s; left out", after, error)
        return commands, after

    async def answer(self, answers: Mapping[str, Answer]) -> None:
        """Tells whoever waits what came of commands."""
        async with self._redis.pipeline(transaction=False) as many:
            for mark, answer in answers.items():
                many.set(self._names.answer(mark), msgspec.json.encode(answer), ex=ANSWER_KEPT_S)
            await many.execute()


class _Timed(msgspec.Struct):
    """As much of a kept incident as tells when time alone does something to it; the rest is not even decoded."""

    step_at: int | None = None
    update_at: int | None = None
    act_at: int | None = None


class _State(msgspec.Struct):
    incident: _Timed = msgspec.field(default_factory=_Timed)


class _Kept(msgspec.Struct):
    state: _State


class Counter:
    """Incidents for everybody else: looks at them, and hands in commands. Methods raise what redis raises."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._names = redis, names

    async def all(self) -> tuple[tuple[Incident, ...], tuple[Silence, ...]]:
        """Everything that is kept, as it was saved last; decoded beside the event loop, since it may be much."""
        stored = await self._redis.hgetall(self._names.notifier("incidents"))
        return await asyncio.to_thread(lambda: _split(Entry.decode(text(key), value) for key, value in stored.items()))

    async def one(self, mark: str) -> Incident | None:
        """The incident with this id, as it was saved last."""
        value = await self._redis.hget(self._names.notifier("incidents"), mark)
        return None if value is None else msgspec.convert(Entry.decode(mark, value).state["incident"], Incident)

    async def silence(self, mark: str) -> Silence | None:
        """The silence with this id, as it was saved last."""
        value = await self._redis.hget(self._names.notifier("incidents"), SILENCE + mark)
        return None if value is None else msgspec.convert(Entry.decode(mark, value).state["silence"], Silence)

    async def due_ms(self) -> int | None:
        """When the earliest step of all incidents is or was due, by what is kept; None where nothing is to come."""
        held: Any = await self._redis.hvals(self._names.notifier("incidents"))
        timed = [msgspec.json.decode(one, type=_Kept).state.incident for one in held]
        return min((at for one in timed for at in (one.step_at, one.update_at, one.act_at) if at is not None), default=None)

    async def send(self, command: Command, within_s: float) -> Answer | None:
        """Hands it in, and waits for the answer; None where none came in time: it will be done once a notifier leads. To send
        it again does no harm."""
        await self._redis.xadd(
            self._names.notifier("commands"),
            {"command": msgspec.json.encode(command)},
            maxlen=COMMANDS_MOST,
            approximate=True,
        )
        until = asyncio.get_running_loop().time() + within_s
        while True:
            found = await self._redis.get(self._names.answer(command.id))
            if found is not None:
                return msgspec.json.decode(found, type=Answer)
            if asyncio.get_running_loop().time() >= until:
                return None
            await asyncio.sleep(ANSWER_LOOK_S)


def _place(entry: Entry) -> Place:
    place: Any = entry.state["place"]
    return place if isinstance(place, Place) else msgspec.convert(place, Place)


def _split(entries: Iterable[Entry]) -> tuple[tuple[Incident, ...], tuple[Silence, ...]]:
    incidents, silences = [], []
    for entry in entries:
        if entry.key.startswith(SILENCE):
            silences.append(msgspec.convert(entry.state["silence"], Silence))
        else:
            incidents.append(msgspec.convert(entry.state["incident"], Incident))
    return tuple(sorted(incidents, key=lambda one: one.number)), tuple(sorted(silences, key=lambda one: one.start_ms))
