"""Which incident an alert belongs to: the one that has it already, that explains it or is explained by it, or that is about
the same component, provider or host at the same time; where nothing of the kind is named, what one rule tells at the same time
is one matter. In a storm, what one rule tells is one incident."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from notifier.policy import EXPLAINED_MS, SLICE_SHARE, STORM_ALL, STORM_RULE, STORM_WITHIN_MS, TOGETHER_MS
from schemas.alert import AlertEvent, Value
from schemas.incident import Incident, Member

ENTITIES = {"component": "component", "provider": "provider", "target": "provider", "host": "host"}
"""Dimension → what it names: what is called (`target`) and who provides it are one thing."""
STORM_OF_ALL = "*"

Place = tuple[Literal["fingerprint", "entity", "rule", "alert", "inhibitor"], str]


def entities(alert: AlertEvent) -> tuple[str, ...]:
    """What an alert is about, such as `provider=ozow`: its group, else the slice that most of it is in."""
    found = _entities(alert.data.group)
    if not found:
        for part in alert.data.slice:
            if part.share >= SLICE_SHARE:
                found += _entities(part.dimensions)
    return tuple(dict.fromkeys(found))


def _entities(dimensions: dict[str, Value]) -> list[str]:
    return [
        f"{ENTITIES[name]}={value}" for name, value in dimensions.items() if name in ENTITIES and value not in (None, "other")
    ]


class Grouping:
    """Looks alerts up among incidents. To be told of each that changes (`put`) or goes (`drop`)."""

    def __init__(self) -> None:
        self._incidents: dict[str, Incident] = {}
        self._index: dict[Place, list[str]] = {}
        self._noted: dict[str, set[Place]] = {}
        self._by_other: dict[str, str] = {}
        self._by_storm: dict[str, str] = {}
        self._opened: dict[str, tuple[int, str]] = {}
        """Incident → when it was opened and by which rule, of those that were opened of late."""

    def put(self, incident: Incident, members: Iterable[Member] | None = None) -> None:
        """Notes an incident as it is now; members: those that changed, all unless said."""
        changed = incident.members if members is None else tuple(members)
        if incident.id not in self._incidents and changed:
            self._opened[incident.id] = (incident.opened_ms, changed[0].full_rule)
        self._incidents[incident.id] = incident
        noted = self._noted.setdefault(incident.id, set())
        for member in changed:
            for place in _places(member):
                if place not in noted:
                    noted.add(place)
                    self._index.setdefault(place, []).append(incident.id)
        if members is None:
            self._by_other |= dict.fromkeys(incident.others, incident.id)
        if incident.storm is not None:
            self._by_storm[incident.storm] = incident.id

    def put_other(self, incident: Incident, short: str) -> None:
        """Notes an alert that is counted and not kept."""
        self._by_other[short] = incident.id

    def drop(self, incident: Incident) -> None:
        """Forgets an incident."""
        self._incidents.pop(incident.id, None)
        self._opened.pop(incident.id, None)
        for place in self._noted.pop(incident.id, ()):
            self._index[place].remove(incident.id)
            if not self._index[place]:
                del self._index[place]
        for short in incident.others:
            self._by_other.pop(short, None)
        if incident.storm is not None and self._by_storm.get(incident.storm) == incident.id:
            del self._by_storm[incident.storm]

    def counting(self, short: str) -> Incident | None:
        """The incident that counts this alert without keeping it."""
        return self._incidents.get(self._by_other.get(short, ""))

    def holding(self, fingerprint: str) -> Sequence[Incident]:
        """The incidents that have this rule and group among their alerts, the latest last."""
        return [self._incidents[one] for one in self._index.get(("fingerprint", fingerprint), ()) if one in self._incidents]

    def home(self, alert: AlertEvent, now_ms: int) -> Incident | None:
        """Where an alert that begins belongs; None: it is a new incident."""
        mine = self._fit(self._index.get(("fingerprint", alert.data.fingerprint), ()), now_ms, None)
        if mine is not None:
            return mine
        explains = [
            *self._index.get(("alert", alert.data.inhibited_by or ""), ()),
            *self._index.get(("inhibitor", alert.id), ()),
        ]
        found = self._fit(explains, now_ms, EXPLAINED_MS)
        if found is None:
            named = entities(alert)
            places: list[Place] = [("entity", one) for one in named] or [("rule", f"{alert.data.pack}/{alert.data.rule}")]
            about = [one for place in places for one in self._index.get(place, ())]
            found = self._fit(about, now_ms, TOGETHER_MS)
        return found

    def storm(self, rule: str, now_ms: int) -> str | None:
        """The storm that a further incident of this rule (`pack/rule`) would be part of, None where there is none."""
        self._opened = {one: held for one, held in self._opened.items() if now_ms - held[0] < STORM_WITHIN_MS}
        mine = sum(opened_by == rule for _, opened_by in self._opened.values())
        if mine >= STORM_RULE or self.raging(rule, now_ms) is not None:
            return rule
        if len(self._opened) >= STORM_ALL or self.raging(STORM_OF_ALL, now_ms) is not None:
            return STORM_OF_ALL
        return None

    def raging(self, storm: str, now_ms: int) -> Incident | None:
        """The incident of this storm, while it lasts."""
        found = self._by_storm.get(storm)
        return None if found is None else self._fit([found], now_ms, TOGETHER_MS)

    def _fit(self, ids: Iterable[str], now_ms: int, within_ms: int | None) -> Incident | None:
        """The oldest open one of these, else the latest that ended of late; its last alert not longer ago than `within_ms`."""
        found = [self._incidents[one] for one in dict.fromkeys(ids) if one in self._incidents]
        fresh = [one for one in found if within_ms is None or now_ms - one.alerted_ms <= within_ms]
        still = [one for one in fresh if one.open]
        if still:
            return min(still, key=lambda one: one.number)
        ended = [one for one in fresh if one.status == "resolved" and now_ms - (one.resolved_ms or 0) <= TOGETHER_MS]
        return max(ended, key=lambda one: one.number, default=None)


def _places(member: Member) -> Iterator[Place]:
    """Under what a member is found."""
    yield "fingerprint", member.fingerprint
    if member.entities:
        yield from (("entity", entity) for entity in member.entities)
    else:
        yield "rule", member.full_rule
    yield from (("alert", alert) for alert in member.ids)
    if member.inhibited_by is not None:
        yield "inhibitor", member.inhibited_by
