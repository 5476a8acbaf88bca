"""Silences and maintenance windows: what they match, and when they begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from notifier.policy import SILENCE_LONGEST_MS
from schemas.incident import Member, Silence
from schemas.severity import SEVERITIES

MATCHERS_MOST, TEXT_MOST = 20, 256
_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]{0,63})\s*(!?=)\s*(.*?)\s*")


class BadSilence(ValueError):
    """A silence that cannot be used; the text says what is expected."""


def matcher(text: str) -> tuple[str, bool, str]:
    """Of `component=checkout`, `rule!=system_*`: name, whether it must match, pattern. Raises BadSilence."""
    found = _MATCHER.fullmatch(text)
    if found is None or not found[3] or len(found[3]) > TEXT_MOST:
        raise BadSilence(
            f"{text!r} is no matcher: write name=pattern or name!=pattern, such as provider=ozow or rule=payment_*; "
            "names are rule, pack, severity, and what alerts are grouped by"
        )
    return found[1], found[2] == "=", found[3]


def check(silence: Silence, now_ms: int) -> None:
    """Raises BadSilence unless it can be used from now on."""
    if not 1 <= len(silence.matchers) <= MATCHERS_MOST:
        raise BadSilence(f"a silence needs 1 to {MATCHERS_MOST} matchers, such as provider=ozow")
    if all(wanted and not pattern.strip("*") for _, wanted, pattern in silence.matchers):
        raise BadSilence("it would silence every alert: name a rule, a component or a provider")
    if silence.end_ms <= max(silence.start_ms, now_ms):
        raise BadSilence("it would be over already: its end must be later than its start and than now")
    if silence.end_ms - max(silence.start_ms, now_ms) > SILENCE_LONGEST_MS:
        raise BadSilence(f"it would last longer than {SILENCE_LONGEST_MS // 86_400_000} days")
    if not silence.author.strip() or not silence.reason.strip():
        raise BadSilence("say who silences, and why: whoever is on call at its end wants to know")


def labels(one: Member) -> dict[str, str]:
    """What matchers look at: the rule, pack and severity of an alert, what it is grouped by, and what it is about."""
    found = {"rule": one.rule, "pack": one.pack, "severity": one.severity, "level": SEVERITIES[one.severity].level}
    found |= dict(entity.split("=", 1) for entity in one.entities)
    return found | {name: _text(value) for name, value in one.group.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def matches(silence: Silence, of: Mapping[str, str]) -> bool:
    """Whether all matchers hold; a name that an alert does not have is empty."""
    return all(fnmatchcase(of.get(name, ""), pattern) is wanted for name, wanted, pattern in silence.matchers)


def silencing(silences: Iterable[Silence], one: Member) -> str | None:
    """The id of the first active silence that matches."""
    of: dict[str, str] | None = None
    for silence in silences:
        if silence.phase == "active":
            of = labels(one) if of is None else of
            if matches(silence, of):
                return silence.id
    return None
