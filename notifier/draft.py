"""One incident while it is being changed: what is added to it, within its bounds, and what the change is called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from notifier.policy import ENTRIES_AT_ONCE, MEMBERS_MOST, PAGES_MOST, TIMELINE_CHARS, TIMELINE_HEAD, TIMELINE_TAIL
from schemas.incident import (
    CHANGES,
    SYSTEM,
    Action,
    Change,
    Happened,
    Incident,
    LevelName,
    Member,
    Page,
    PageKind,
    page_key,
)
from schemas.severity import SEVERITIES, SeverityName

_RANK: dict[SeverityName, int] = {name: rank for rank, name in enumerate(SEVERITIES)}
SHORT = 16
"""Digits of a fingerprint that is counted and not kept."""
OTHERS_MOST = 5_000


def worse(one: SeverityName, other: SeverityName | None) -> bool:
    """Whether the first is worse than the second."""
    return other is None or _RANK[one] < _RANK[other]


def worst(of: Iterable[SeverityName]) -> SeverityName | None:
    return min(of, key=_RANK.__getitem__, default=None)


class Draft:
    """An incident and what is being done to it; `finish` puts it together."""

    def __init__(self, incident: Incident, now_ms: int, *, new: bool = False) -> None:
        self.before = None if new else incident
        self.it = incident
        self.now_ms = now_ms
        self.members = {one.fingerprint: one for one in incident.members}
        self.others = set(incident.others)
        self.entries: list[Happened] = []
        self.pages: list[Page] = []
        self.calls: list[Action] = []
        """Those that are to be called once all of this is saved and told."""
        self._alerts = 0
        self._kinds: set[Change] = set()

    def set(self, **fields: Any) -> None:
        """Changes fields of the incident."""
        self.it = msgspec.structs.replace(self.it, **fields)

    def say(self, kind: Change, text: str, author: str = SYSTEM, ref: str | None = None) -> None:
        """Adds an entry to the timeline."""
        self._kinds.add(kind)
        self.entries.append(Happened(self.now_ms, kind, text, author, ref))

    # --- alerts -----------------------------------------------------------------------------------------------------------

    def alert(self, member: Member, text: str) -> None:
        """Takes what became of an alert; many at once are one entry."""
        self._alerts += 1
        if self._alerts <= ENTRIES_AT_ONCE:
            self.say("alerted", text, ref=member.last)
        self._kinds.add("alerted")
        short = member.fingerprint[:SHORT]
        if member.fingerprint in self.members or self._room():
            self.members[member.fingerprint] = member
            self.others.discard(short)
        elif member.loud and len(self.others) < OTHERS_MOST:
            self.others.add(short)
            self.set(members_more=self.it.members_more + 1)
        else:
            self.set(members_more=self.it.members_more + 1)
        self.set(alerted_ms=self.now_ms)

    def forget_other(self, short: str) -> None:
        """Notes the end of an alert that was counted and not kept."""
        self.others.discard(short)
        self._alerts += 1
        self._kinds.add("alerted")

    def _room(self) -> bool:
        """Whether there is room for one more, be it that of one that is over."""
        if len(self.members) < MEMBERS_MOST:
            return True
        over = next((mark for mark, one in self.members.items() if not one.active), None)
        if over is None:
            return False
        del self.members[over]
        self.set(members_more=self.it.members_more + 1)
        return True

    @property
    def over(self) -> bool:
        return not self.others and not any(one.active for one in self.members.values())

    @property
    def loud_members(self) -> list[Member]:
        return [one for one in self.members.values() if one.loud]

    @property
    def loud(self) -> bool:
        """See `Incident.loud`."""
        active = any(one.active for one in self.members.values())
        return self.it.held or bool(self.loud_members) or (bool(self.others) and not active)

    @property
    def news(self) -> list[Member]:
        """What people would want to hear of and have not been told."""
        return [one for one in self.loud_members if worse(one.severity, one.told)]

    def told(self) -> None:
        """People are told of all that goes on."""
        for mark, one in self.members.items():
            if one.loud and one.told != one.severity:
                self.members[mark] = msgspec.structs.replace(one, told=one.severity)
        self.set(said_ms=self.now_ms, update_at=None)

    # --- messages ---------------------------------------------------------------------------------------------------------

    def page(self, kind: PageKind, level: LevelName, to: Iterable[tuple[str | None, str]]) -> int:
        """Queues messages, one for each (person, channel); how many."""
        step, before = self.it.step, len(self.pages)
        for person, channel in to:
            key = page_key(self.it.id, step, person, channel)
            self.pages.append(Page(key, kind, step, level, channel, self.now_ms, person))
        added = self.pages[before:]
        if added:
            self._kinds.add("paged")
            reached = dict.fromkeys((*self.it.reached, *((one.person, one.channel) for one in added)))
            self.set(reached=tuple(reached))
        return len(added)

    # --- the end ----------------------------------------------------------------------------------------------------------

    @property
    def changed(self) -> bool:
        return bool(self._kinds) or self.before is not self.it or self._members_changed

    @property
    def _members_changed(self) -> bool:
        before = () if self.before is None else self.before.members
        return len(before) != len(self.members) or any(self.members.get(one.fingerprint) is not one for one in before)

    @property
    def change(self) -> Change:
        """What the change is called: the first of CHANGES that it holds."""
        return next((kind for kind in CHANGES if kind in self._kinds), "noted")

    @property
    def now(self) -> Incident:
        """The incident as it is meanwhile."""
        return msgspec.structs.replace(self.it, members=tuple(self.members.values()), others=frozenset(self.others))

    def finish(self) -> Incident:
        """The incident after the change, within its bounds."""
        left = self._alerts - ENTRIES_AT_ONCE
        if left > 0:
            self.say("alerted", f"{left} more alert{'s' if left > 1 else ''} came at the same time")
        timeline, more = (*self.it.timeline, *self.entries), self.it.timeline_more
        kept = _within(timeline)
        more += len(timeline) - len(kept)
        pages = (*self.it.pages, *self.pages)
        if len(pages) > PAGES_MOST:
            spare = len(pages) - PAGES_MOST
            done = [one.key for one in pages if one.state != "queued"][:spare]
            pages = tuple(one for one in pages if one.key not in done)
        self.set(
            version=self.it.version + 1,
            changed_ms=self.now_ms,
            members=tuple(self.members.values()),
            others=frozenset(self.others),
            timeline=kept,
            timeline_more=more,
            pages=pages,
        )
        return self.it


def _within(timeline: tuple[Happened, ...]) -> tuple[Happened, ...]:
    """The first and the latest entries, where there are too many or they are too long."""
    head, tail = timeline[:TIMELINE_HEAD], timeline[TIMELINE_HEAD:][-TIMELINE_TAIL:]
    left = TIMELINE_CHARS
    for at in range(len(tail) - 1, -1, -1):
        left -= len(tail[at].text)
        if left < 0:
            return (*head, *tail[at + 1 :])
    return (*head, *tail)
