"""From a page of an incident to the words of its message, and through the courier to its recipient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from notifier.channels.base import Message
from notifier.courier import Outcome
from notifier.desk import Result, thread_of
from notifier.draft import worse
from notifier.people.directory import Directory
from schemas.incident import Action, Incident, Member, Page
from schemas.severity import SEVERITIES

SHOWN = 5
"""Alerts, components and changes that a message names; the rest is counted."""


class Carrier(Protocol):
    """`notifier.courier.Courier` is one."""

    async def deliver(self, message: Message, channel: str, contacts: Mapping[str, str]) -> Outcome: ...


class Answers(Protocol):
    """`notifier.links.Links` is one."""

    def answers(self, incident: str, person: str, page: str) -> Mapping[str, str]: ...

    def decisions(self, incident: str, person: str, name: str, call: str, until_ms: int) -> Mapping[str, str]: ...


class Post:
    """Brings pages to people. links: None where nothing can be answered by link; dashboard: the address that messages
    link to, with `{incident}` for its id."""

    def __init__(
        self, directory: Directory, courier: Carrier, links: Answers | None = None, dashboard: str | None = None
    ) -> None:
        self.directory, self.courier, self._links, self._dashboard = directory, courier, links, dashboard

    async def deliver(self, incident: Incident, page: Page) -> Result:
        """See `notifier.service.Deliver`."""
        person = None if page.person is None else self.directory.people.get(page.person)
        if page.person is not None and person is None:
            return Result(incident.id, page.key, False, "there is nobody of this name any more")
        answer: dict[str, str] = {}
        if self._links is not None:
            whom = page.person or page.channel
            if incident.open:
                answer |= self._links.answers(incident.id, whom, page.key)
            for one in _waiting(incident):
                answer |= self._links.decisions(incident.id, whom, one.name, one.key, one.until_ms or 0)
        url = None if self._dashboard is None else self._dashboard.replace("{incident}", incident.id)
        name = page.channel if person is None else person.name
        outcome = await self.courier.deliver(
            message(incident, page, name, answer, url), page.channel, {} if person is None else person.contacts
        )
        last = outcome.attempts[-1] if outcome.attempts else None
        detail = "" if last is None else last.detail
        if outcome.channel is not None and outcome.channel != page.channel:
            detail = f"by {outcome.channel} instead: {detail}"
        thread = None if outcome.receipt is None else outcome.receipt.thread
        return Result(incident.id, page.key, outcome.delivered, detail, thread)


def message(incident: Incident, page: Page, recipient: str, answer: Mapping[str, str], url: str | None = None) -> Message:
    """What a page says of the incident as it is now."""
    return Message(
        key=page.key,
        kind=page.kind,
        incident=incident.id,
        number=incident.number,
        title=incident.title,
        severity=incident.severity,
        level=SEVERITIES[incident.severity].level,
        status=incident.status,
        summary=_summary(incident, page),
        lines=tuple(filter(None, _lines(incident))),
        since_ms=incident.since_ms,
        recipient=recipient,
        url=url,
        runbook=incident.runbook,
        answer=answer,
        thread=incident.threads.get(thread_of(page)),
    )


def _summary(incident: Incident, page: Page) -> str:
    """Why this comes now: the latest that was decided, or how it ended."""
    if page.kind == "update":  # of an action, where that is what it was sent for
        why = next((one.text for one in reversed(incident.timeline) if one.kind == "action" and one.at_ms == page.at_ms), None)
        if why is not None:
            return why
    kinds = {"page": ("escalated", "triggered", "reopened"), "resolved": ("resolved",), "update": ()}[page.kind]
    why = next((one.text for one in reversed(incident.timeline) if one.kind in kinds and one.at_ms <= page.at_ms), None)
    if why is not None:
        return why
    worst = _worst(incident)
    return incident.title if worst is None else worst.summary


def _waiting(incident: Incident) -> list[Action]:
    """Calls of actions that wait for somebody's word, so many that buttons for them have room."""
    return [one for one in incident.actions if one.state == "waiting"][:SHOWN]


def _worst(incident: Incident) -> Member | None:
    found: Member | None = None
    for one in incident.members:
        if one.loud and (found is None or worse(one.severity, found.severity)):
            found = one
    return found


def _lines(incident: Incident) -> list[str]:
    worst, lines = _worst(incident), []
    if worst is not None:
        lines += [worst.summary if worst.summary != incident.title else "", worst.arithmetic, worst.slice]
    active = [one.rule for one in incident.members if one.loud]
    if len(active) > 1:
        lines.append(f"{len(active) + len(incident.others)} alerts: {_some(active)}")
    for name in ("component", "provider", "host"):
        found = incident.affected(name)
        if found:
            lines.append(f"{name}: {_some(found)}")
    if incident.impact is not None:
        sums = ", ".join(f"{minor / 100:,.2f} {currency}" for currency, minor in sorted(incident.impact.at_risk.items()))
        lines.append(f"{incident.impact.failed_payments} failed payments" + (f", {sums} at risk" if sums else ""))
    for one in incident.changes[-SHOWN:]:
        minutes = max((incident.since_ms - one.at_ms) // 60_000, 0)
        lines.append(f"{minutes} min before: {one.kind} {one.component} {one.text}".strip())
    lines += [f"{one.name} waits for approval ({one.why}): {one.detail}" for one in _waiting(incident)]
    if incident.assignee is not None:
        lines.append(f"{incident.assignee} has it")
    return lines


def _some(names: list[str] | tuple[str, ...]) -> str:
    shown = list(dict.fromkeys(names))
    more = len(shown) - SHOWN
    return ", ".join(shown[:SHOWN]) + (f" and {more} more" if more > 0 else "")
