"""Somebody who is on call in the simulated shop: acknowledges each page after a while, and tells what becomes of incidents."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

from redis.exceptions import RedisError

from notifier.store import Counter
from runtime.redis import connect
from runtime.settings import Settings
from schemas.incident import Command, Incident, Page
from schemas.severity import SEVERITIES

NAME = "the person on call (simulated)"
ANSWERS_AFTER_S = 4.0
LOOK_EVERY_S = 0.3
ANSWER_LIMIT_S = 5.0
TOLD = ("acknowledged", "resolved")


class Responder:
    """tell: takes a sentence and its tone, as `local.narrator.Line` has it."""

    def __init__(self, settings: Settings, tell: Callable[[str, str], None]) -> None:
        self._settings, self._tell = settings, tell
        self._told: dict[str, str] = {}
        """Incident → the status that was told of it last."""

    async def run(self) -> None:
        """Until cancelled. While the store is away nothing is looked at."""
        redis = connect(self._settings)
        counter = Counter(redis, self._settings.names)
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                try:
                    incidents, _ = await counter.all()
                    for one in sorted(incidents, key=lambda one: one.number):
                        await self._look(one, counter)
                except (RedisError, OSError):
                    continue
        finally:
            await redis.aclose()

    async def _look(self, incident: Incident, counter: Counter) -> None:
        page = _paged(incident)
        before, now = self._told.get(incident.id), incident.status
        if before is None:
            if page is None:  # nobody was told, so there is no story in it
                return
            level = SEVERITIES[incident.severity].level
            self._tell(f"incident #{incident.number} ({level}): a page goes to {page.person or page.channel}", "seen")
            self._told[incident.id] = "triggered"
        elif now != before:
            self._told[incident.id] = now
            if now in TOLD:
                seconds = (incident.changed_ms - incident.opened_ms) / 1000
                self._tell(f"incident #{incident.number} is {now}, {seconds:.1f} s after it was opened", "good")
        if now == "triggered" and page is not None and time.time() - page.at_ms / 1000 > ANSWERS_AFTER_S:
            await counter.send(Command(uuid.uuid4().hex, "ack", NAME, incident.id, "looking at it"), ANSWER_LIMIT_S)


def _paged(incident: Incident) -> Page | None:
    """The latest page that somebody has."""
    sent = [page for page in incident.pages if page.kind == "page" and page.state == "sent"]
    return max(sent, key=lambda page: page.at_ms, default=None)
