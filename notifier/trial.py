"""A trial of the channels: a marked message through each, to its own address and to everybody on call; fallbacks on their own.

It needs neither Kafka nor Redis, as pages must not either when these are away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from notifier.channels.base import Message
from notifier.channels.registry import channels_of, tables_of
from notifier.channels.settings import Around, Table
from notifier.courier import Attempt, Courier
from notifier.people.directory import Directory, Person
from schemas.incident import digest


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one message. recipient: a person's name, the channel's where its own address was tried, empty where there is
    nobody to try it with; last: the latest attempt, None where there was none: no recipient, or no such channel."""

    channel: str
    recipient: str
    delivered: bool
    last: Attempt | None


def on_call(directory: Directory, team: str | None, at: datetime) -> list[Person]:
    """Everybody who is on call at any level, of one team or all. Raises KeyError for no such team."""
    teams = directory.teams.values() if team is None else [directory.teams[team]]
    people = (person for one in teams for level in one.levels for person in directory.on_call(one.key, level, at))
    return list({person.key: person for person in people}.values())


async def run(
    directory: Directory,
    said: Mapping[str, Mapping[str, object]],
    around: Around,
    team: str | None = None,
    channel: str | None = None,
) -> list[Trial]:
    """Tries every channel, or one. said: what the channels' tables say, with their secrets. Raises ChannelsError, and KeyError
    for no such team or channel."""
    # Proof of delivery comes to the notifier, which nobody in this process hears; what comes back at once is the result.
    alone = {name: {key: value for key, value in table.items() if key != "confirm"} for name, table in said.items()}
    channels = channels_of(alone, around)
    # Each on its own: a fallback would hide what failed, and is tried itself.
    tables = {name: table.model_copy(update={"fallback": None}) for name, table in tables_of(alone).items()}
    now = around.clock.now()
    people = on_call(directory, team, datetime.fromtimestamp(now, UTC))
    named = list(dict.fromkeys([*tables, *(name for person in people for name in person.contacts)]))
    if channel is not None and channel not in named:
        raise KeyError(channel)
    courier = Courier(channels, tables, around.clock)
    try:
        tried = [_trials(courier, name, tables.get(name), people, now) for name in named if channel in (None, name)]
        return [one for many in await asyncio.gather(*tried) for one in many]
    finally:
        await courier.close()


async def _trials(
    courier: Courier, name: str, table: Table | None, people: Iterable[Person], now: float
) -> list[Trial]:
    """Those of one channel, one after another, as its rate wants it."""
    to = [(person.name, person.key, {name: person.contacts[name]}) for person in people if name in person.contacts]
    if table is None:  # the outbox would step in for it
        return [Trial(name, recipient, False, None) for recipient, _, _ in to]
    if table.address is not None:
        to.insert(0, (name, "", {}))
    found = []
    for recipient, key, contacts in to:
        outcome = await courier.deliver(_message(recipient, digest("test", now, name, key), now), name, contacts)
        found.append(Trial(name, recipient, outcome.delivered, outcome.attempts[-1]))
    return found or [Trial(name, "", False, None)]


def _message(recipient: str, key: str, now: float) -> Message:
    return Message(
        key=key,
        kind="test",
        incident=key,
        number=0,
        title="a trial of Tillwatch's channels",
        severity="low",
        level="P3",
        status="test",
        summary="Nothing is wrong. This message shows that pages would reach you; there is nothing to do.",
        lines=(),
        since_ms=int(now * 1000),
        recipient=recipient,
    )
