"""What a change of an incident calls for: a rule that begins or ends, how an incident is, the health of a component. Pure.

All of them are edges: something is so after the change and was not so before. What pages nobody (silenced, explained by another
alert, of the past) calls for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from notifier.actions.registered import Health, On
from schemas.incident import Incident, Member
from schemas.severity import SeverityName


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why an action is called. about: what placeholders stand for, beside what the incident says."""

    why: str
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Turn:
    """One incident before and after a change. elsewhere: component → severities of what other incidents have about it."""

    before: Incident | None
    after: Incident
    elsewhere: Callable[[str], Collection[SeverityName]]

    def calls(self, on: Iterable[On]) -> Iterator[Occasion]:
        """The occasions that the change is."""
        return (found for one in on for found in self._of(one))

    def _of(self, on: On) -> Iterator[Occasion]:
        if on.rules:
            yield from self._rules(on)
        if on.incident:
            yield from self._incident(on)
        if on.health:
            yield from self._health(on)

    def _rules(self, on: On) -> Iterator[Occasion]:
        held = {} if self.before is None else {one.fingerprint: one for one in self.before.members}
        for now in self.after.members:
            was = held.get(now.fingerprint)
            if not _named(on, now):
                continue
            if on.when == "firing" and now.loud and _severe(on, now.severity):
                if was is None or not (was.loud and _severe(on, was.severity)):
                    yield Occasion(f"{now.rule} fires", _about(now))
            elif on.when == "resolved" and was is not None and _ended(was, now) and _severe(on, was.severity):
                yield Occasion(f"{now.rule} is over", _about(now))

    def _incident(self, on: On) -> Iterator[Occasion]:
        def so(one: Incident | None) -> bool:
            return (
                one is not None
                and one.said_ms is not None
                and one.status in on.incident
                and _severe(on, one.severity)
                and (not on.components or any(_matches(on.components, name) for name in one.affected("component")))
            )

        if so(self.after) and not so(self.before):
            worst = next((one for one in self.after.members if one.loud), next(iter(self.after.members), None))
            more = {} if worst is None else {"rule": worst.rule, "pack": worst.pack}
            yield Occasion(f"the incident is {self.after.status}", more)

    def _health(self, on: On) -> Iterator[Occasion]:
        for component in dict.fromkeys((*_components(self.before), *_components(self.after))):
            if on.components and not _matches(on.components, component):
                continue
            others = self.elsewhere(component)
            was, now = (_health((*_severities(one, component), *others)) for one in (self.before, self.after))
            if was != now and now in on.health and (not on.severities or _severe(on, self.after.severity)):
                yield Occasion(f"{component} is {now}", {"component": component, "health": now})


def severities(incidents: Iterable[Incident], component: str) -> tuple[SeverityName, ...]:
    """Those of what goes on about a component, and people were told of."""
    return tuple(found for one in incidents for found in _severities(one, component))


def _severities(incident: Incident | None, component: str) -> Iterator[SeverityName]:
    for one in () if incident is None else incident.members:
        if f"component={component}" in one.entities and (one.loud or (one.active and one.told is not None)):
            yield one.severity


def _health(of: Collection[SeverityName]) -> Health:
    """A component is unhealthy while an alert about it goes on that is critical or high, and degraded while a lesser one
    does."""
    if {"critical", "high"} & set(of):
        return "unhealthy"
    return "degraded" if of else "healthy"


def _components(incident: Incident | None) -> tuple[str, ...]:
    return () if incident is None else incident.affected("component")


def _named(on: On, one: Member) -> bool:
    if not any(fnmatchcase(name, pattern) for pattern in on.rules for name in (one.rule, one.full_rule)):
        return False
    return not on.components or any(_matches(on.components, name) for name in _entity(one, "component"))


def _ended(was: Member, now: Member) -> bool:
    """Whether what people were told of is over."""
    return was.active and not now.active and was.told is not None


def _severe(on: On, severity: SeverityName) -> bool:
    return not on.severities or severity in on.severities


def _matches(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _entity(one: Member, name: str) -> list[str]:
    start = f"{name}="
    return [found.removeprefix(start) for found in one.entities if found.startswith(start)]


def _about(one: Member) -> dict[str, str]:
    found = {name: next(iter(_entity(one, name)), "") for name in ("component", "provider", "host")}
    return {"rule": one.rule, "pack": one.pack} | {name: value for name, value in found.items() if value}
