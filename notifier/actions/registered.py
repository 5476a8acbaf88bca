"""A registered action: when it is called for, what it calls, and within which limits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from shlex import quote
from typing import Literal, get_args

from pydantic import SecretStr

from notifier.channels.base import cut, line, masked_address
from schemas.incident import Incident, Status, digest
from schemas.severity import SEVERITIES, SeverityName

When = Literal["firing", "resolved"]
Health = Literal["healthy", "degraded", "unhealthy"]
HEALTHS: tuple[Health, ...] = get_args(Health)
PLACEHOLDERS = (
    "incident",
    "number",
    "severity",
    "level",
    "status",
    "title",
    "team",
    "rule",
    "pack",
    "component",
    "provider",
    "host",
    "health",
)
"""What may stand in the place of an argument, in braces."""
VALUE_CHARS = 256
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Unfillable(ValueError):
    """There is nothing, or nothing harmless, to put in the place of an argument; the text says which and why."""


@dataclass(frozen=True, slots=True)
class On:
    """When an action is called for: by a rule, by how an incident is, or by the health of a component; one of `rules`,
    `incident` and `health` is not empty. All that is said must hold. rules, components: patterns; severities: those of the
    alert or the incident; empty: any."""

    rules: tuple[str, ...] = ()
    when: When = "firing"
    incident: frozenset[Status] = frozenset()
    health: frozenset[Health] = frozenset()
    severities: frozenset[SeverityName] = frozenset()
    components: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registered:
    """One action of the file. command: program and arguments; webhook: an address instead; secrets: what signs it, the first of
    them the newest; environment: variables of the notifier's that the program gets; folder: where the program runs.

    approval: a person must say so first, within `approval_within_s`. dry_run: everything but the call. time_limit_s: of the
    call, all attempts of a webhook included. cool_down_s: for so long after it began it is not called again. output:
    characters of what the program writes, or the webhook answers, that are kept.
    """

    name: str
    on: tuple[On, ...]
    command: tuple[str, ...] = ()
    webhook: str | None = field(default=None, repr=False)
    secrets: tuple[SecretStr, ...] = ()
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    environment: tuple[str, ...] = ()
    folder: Path = Path()
    approval: bool = False
    approval_within_s: float = 900.0
    dry_run: bool = False
    time_limit_s: float = 30.0
    cool_down_s: float = 300.0
    output: int = 500

    @property
    def means(self) -> Literal["command", "webhook"]:
        return "command" if self.command else "webhook"

    @property
    def fingerprint(self) -> str:
        """Of what it calls: who approves a call approves this."""
        return digest("registered", self.command, self.webhook)[:16]

    def arguments(self, about: Mapping[str, str]) -> tuple[str, ...]:
        """Program and arguments, with values in the place of placeholders. Raises Unfillable."""
        return tuple(_filled(part, about) for part in self.command)

    def aim(self, incident: str, about: Mapping[str, str]) -> str:
        """A fingerprint of what a call does: two with the same do the same. It is that of a program's arguments, and of a
        webhook's incident. Raises Unfillable."""
        return digest("aim", self.name, self.arguments(about) or incident)[:16]

    def shown(self, about: Mapping[str, str]) -> str:
        """What it calls, for people to read. Raises Unfillable."""
        if self.webhook is not None:
            return masked_address(self.webhook)
        return " ".join(quote(part) for part in self.arguments(about))


def placeholder(argument: str) -> str | None:
    """The name of the placeholder that an argument is; None where it stands for itself."""
    found = _PLACEHOLDER.fullmatch(argument)
    return None if found is None else found[1]


def _filled(argument: str, about: Mapping[str, str]) -> str:
    name = placeholder(argument)
    if name is None:
        return argument
    value = about.get(name, "")
    if not value:
        raise Unfillable(f"there is nothing to put in the place of {argument}")
    if value.startswith("-"):
        raise Unfillable(f"what would be put in the place of {argument} begins with '-': a program takes that for an option")
    return value


def about(incident: Incident, more: Mapping[str, str]) -> dict[str, str]:
    """What placeholders stand for: texts of one line, of bounded length, whatever an event holds."""
    found = {
        "incident": incident.id,
        "number": str(incident.number),
        "severity": incident.severity,
        "level": SEVERITIES[incident.severity].level,
        "status": incident.status,
        "title": incident.title,
        "team": incident.team,
    }
    for name in ("component", "provider", "host"):
        found[name] = next(iter(incident.affected(name)), "")
    return {name: text for name, value in (found | dict(more)).items() if (text := cut(line(value), VALUE_CHARS))}


def described(on: Iterable[On]) -> str:
    """When it is called for, in words."""
    return "; or ".join(map(_described, on))


def _described(on: On) -> str:
    if on.rules:
        said = f"{', '.join(on.rules)} {'is over' if on.when == 'resolved' else 'fires'}"
    elif on.incident:
        said = f"an incident is {' or '.join(sorted(on.incident))}"
    else:
        said = f"a component is {' or '.join(sorted(on.health))}"
    if on.severities:
        said += f", {' or '.join(name for name in SEVERITIES if name in on.severities)}"
    return said + (f", of {', '.join(on.components)}" if on.components else "")
