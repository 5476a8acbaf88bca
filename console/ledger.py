"""Every incident and silence, as the notifier keeps them: read from the store, and followed on the incidents topic.

The topic tells of a change at once; the store is read again now and then, for what was forgotten there, and often while
Kafka is away. Of two versions of an incident the later one counts, wherever it came from.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from aiokafka import ConsumerRecord

from console.readings import AWAY
from console.tail import Tail
from notifier.desk import Refused, found_among
from runtime.outbox import HEADER
from runtime.settings import Settings
from runtime.tasks import heed
from schemas.incident import Incident, Silence

log = logging.getLogger(__name__)

TAIL = 200
"""Lifecycle events that are read from before the topic's end: those that the store may not have had yet when it was read."""
READ_EVERY_S, READ_ALONE_S = 30.0, 2.0
"""How often the store is read while the topic is followed, and while it is not."""

Read = Callable[[], Awaitable[tuple[tuple[Incident, ...], tuple[Silence, ...]]]]
"""Reads everything that is kept. Raises what redis raises when it is away."""


class Ledger:
    """What is known of incidents. `changed` is called with each that is new or changed, once the first were read."""

    def __init__(self, changed: Callable[[Incident], None] = lambda one: None) -> None:
        self._incidents: dict[str, Incident] = {}
        self._silences: dict[str, Silence] = {}
        self._changed = changed
        self.known = False
        """Whether the store was ever read: before that, no incidents means nothing."""

    def put(self, incident: Incident) -> None:
        """Notes an incident, unless a later version is known."""
        held = self._incidents.get(incident.id)
        if held is None or held.version < incident.version:
            self._incidents[incident.id] = incident
            if self.known:
                self._changed(incident)

    def put_silence(self, silence: Silence) -> None:
        held = self._silences.get(silence.id)
        if held is None or held.version <= silence.version:
            self._silences[silence.id] = silence

    def marks(self) -> frozenset[str]:
        """The ids of all that is known."""
        return frozenset((*self._incidents, *self._silences))

    def replace(self, incidents: Iterable[Incident], silences: Iterable[Silence], before: frozenset[str]) -> None:
        """Notes everything that is kept. Of what was known `before` it was read, what is not among it is kept no longer."""
        kept, quiet = {one.id: one for one in incidents}, {one.id: one for one in silences}
        for mark in before - kept.keys() - quiet.keys():
            self._incidents.pop(mark, None)
            self._silences.pop(mark, None)
        for incident in kept.values():
            self.put(incident)
        for silence in quiet.values():
            self.put_silence(silence)
        self.known = True

    # --- what it says -------------------------------------------------------------------------------------------------

    @property
    def incidents(self) -> list[Incident]:
        """All of them, the latest first."""
        return sorted(self._incidents.values(), key=lambda one: one.number, reverse=True)

    @property
    def silences(self) -> list[Silence]:
        """Those that are not over, and those that are, the latest first."""
        return sorted(self._silences.values(), key=lambda one: (one.phase != "over", one.start_ms), reverse=True)

    @property
    def open(self) -> list[Incident]:
        return [one for one in self.incidents if one.open]

    def find(self, wanted: str) -> Incident | None:
        """The incident with this number, id, or beginning of its id."""
        with contextlib.suppress(Refused):
            return found_among(self._incidents.values(), wanted)
        return None


class Following:
    """Keeps a ledger up to date."""

    def __init__(self, ledger: Ledger, settings: Settings, read: Read) -> None:
        self._ledger, self._read = ledger, read
        self._tail = Tail(settings, settings.names.incidents, TAIL, self._take)
        self._reading = asyncio.Lock()
        self._looked_at = float("-inf")
        self.away: str | None = "the store has not answered yet"
        """Why the store cannot be read now; None while it can."""

    @property
    def followed(self) -> bool:
        """Whether changes are known at once, or within moments."""
        return self._tail.away is None or self.away is None

    async def follow_topic(self) -> None:
        """Takes changes as they are told; returns never."""
        await self._tail.run()

    async def follow_store(self) -> None:
        """Reads everything, again and again; returns never. A store that is away is asked again."""
        while True:
            with contextlib.suppress(*AWAY):
                await self.look()
            heed()
            await asyncio.sleep(READ_EVERY_S if self._tail.away is None and self.away is None else READ_ALONE_S)

    async def look(self, unless_within_s: float = 0.0) -> None:
        """Reads everything once, unless that was done so lately. Raises what redis raises when it is away."""
        async with self._reading:
            if time.monotonic() - self._looked_at < unless_within_s:
                return
            before = self._ledger.marks()
            try:
                incidents, silences = await self._read()
            except AWAY as error:
                self.away = f"the store does not answer ({type(error).__name__})"
                raise
            self.away, self._looked_at = None, time.monotonic()
            self._ledger.replace(incidents, silences, before)

    def _take(self, record: ConsumerRecord, topic_id: str, news: bool) -> None:
        try:
            state = json.loads(dict(record.headers)[HEADER])["state"]
            if record.key is not None and "silence" in state:
                self._ledger.put_silence(msgspec.convert(state["silence"], Silence))
            else:
                self._ledger.put(msgspec.convert(state["incident"], Incident))
        except (KeyError, ValueError, TypeError) as error:
            log.warning("offset %d of %s tells of no incident and is left out: %s", record.offset, record.topic, error)
