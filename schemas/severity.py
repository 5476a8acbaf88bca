"""Severities: how bad an alert is, how soon somebody must answer, and who is told when the rule does not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SeverityName = Literal["critical", "high", "medium", "low"]
Level = Literal["P0", "P1", "P2", "P3"]


@dataclass(frozen=True, slots=True)
class Severity:
    """One severity. `answer_within_s`: seconds until somebody must have answered, None for the next business day."""

    name: SeverityName
    level: Level
    answer_within_s: int | None
    channels: tuple[str, ...]

    @property
    def answer_within(self) -> str:
        """The same for people to read."""
        if self.answer_within_s is None:
            return "next business day"
        minutes = self.answer_within_s // 60
        return "1 hour" if minutes == 60 else f"{minutes} minutes"


SEVERITIES: dict[SeverityName, Severity] = {
    severity.name: severity
    for severity in (
        Severity("critical", "P0", 5 * 60, ("phone", "sms", "email", "slack", "webhook")),
        Severity("high", "P1", 15 * 60, ("email", "slack", "webhook")),
        Severity("medium", "P2", 60 * 60, ("email", "slack")),
        Severity("low", "P3", None, ("email",)),
    )
}
"""Every severity by its name, the worst first."""

CHANNELS: tuple[str, ...] = SEVERITIES["critical"].channels
"""Every channel that a rule may name."""
