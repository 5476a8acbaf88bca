"""Tells what happens in a demonstration: what is injected, and what Tillwatch says about it. Nothing but that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from local.scenarios import Scenario
from schemas.alert import AlertEvent

DETECT_LIMIT_S = 30
PATIENCE_S = {"volume_drop": 540}
"""Of what cannot be detected so soon: a window of 15 minutes is below half after seven and a half without a payment."""
RESOLVE_LIMIT_S = 60
_SLACK_MS = 2_000
_AFTERMATH_MS = 60_000

_PAYMENTS = frozenset(
    {
        "provider_down",
        "payment_processing_down",
        "payment_failing_fast",
        "payment_failing",
        "payment_processing_failure",
        "payment_failure_target",
        "payment_success_target",
    }
)
EXPECTED: dict[str, frozenset[str]] = {
    "provider_outage": _PAYMENTS | {"api_connectivity", "system_down"},
    "slow_provider": frozenset({"high_payment_latency"}),
    "volume_drop": frozenset({"payment_volume_drop"}),
    "brute_force": frozenset({"suspicious_activity"}),
    "bad_webhook_signatures": frozenset({"webhook_security_violation"}),
    "database_down": _PAYMENTS | {"database_connectivity", "system_down", "high_error_rate"},
    "memory_leak": frozenset({"high_memory_usage"}),
    "source_silent": frozenset({"source_silent"}),
}
"""Which rules see what; any other alert is told as one that nobody asked for."""


class Line(NamedTuple):
    """A line of the story. `tone`: what it is about, one of `bad`, `seen`, `good`, `flow`, or nothing in particular."""

    text: str
    tone: str = ""


@dataclass(slots=True, eq=False)
class Injected:
    """A scenario of the plan, and what became of it. `alert`: the gravest alert about it, the first of those; while it
    fires, the scenario is not resolved."""

    scenario: Scenario
    word: str
    begun: bool = False
    ended: bool = False
    alert: AlertEvent | None = None
    detected_ms: int | None = None
    resolved_ms: int | None = None
    asked_ms: int = 0
    explained: bool = False

    @property
    def start_ms(self) -> int:
        return round(self.scenario.start_s * 1000)

    @property
    def end_ms(self) -> int:
        return round(self.scenario.end_s * 1000)


class Narrator:
    """Makes sentences of the plan and of the alert events; `start_ms` is when the demonstration began."""

    def __init__(self, plan: Iterable[Scenario], start_ms: int) -> None:
        self.start_ms = start_ms
        self.injected = [
            Injected(scenario, "outage" if scenario.name.endswith(("outage", "down")) else "fault") for scenario in plan
        ]
        self._firing: dict[str, AlertEvent] = {}
        self._causes: dict[str, Injected | None] = {}
        self._names: dict[str, str] = {}
        self._told: set[str] = set()

    def at(self, now_ms: int, sentence: str, tone: str = "") -> Line:
        """The sentence with the time since the start."""
        return Line(f"{(now_ms - self.start_ms) / 1000:6.1f} s  {sentence}", tone)

    # --- the plan -----------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> Iterator[Line]:
        """What is to be said by now about what was injected."""
        for one in self.injected:
            if not one.begun and now_ms >= one.start_ms:
                one.begun = True
                one.asked_ms = one.start_ms
                lasts = (one.end_ms - one.start_ms) / 1000
                yield self.at(now_ms, f"{one.word} begins (injected): {one.scenario}, for {lasts:.0f} s", "bad")
            if not one.ended and now_ms >= one.end_ms:
                one.ended = True
                yield self.at(now_ms, f"{one.word} is over (injected): {one.scenario.name}")
            yield from self._explain(one, now_ms)

    def _explain(self, one: Injected, now_ms: int) -> Iterator[Line]:
        limit_s = PATIENCE_S.get(one.scenario.name, DETECT_LIMIT_S)
        if one.begun and one.detected_ms is None and now_ms - one.asked_ms >= limit_s * 1000:
            one.asked_ms = now_ms
            since_s = (now_ms - one.start_ms) / 1000
            yield self.at(now_ms, f"not detected yet: {one.scenario.name}, {since_s:.0f} s after it began")
        alert = one.alert
        if alert is None or one.resolved_ms is not None or one.explained:
            return
        if now_ms - one.end_ms < RESOLVE_LIMIT_S * 1000:
            return
        one.explained = True
        window = alert.data.window
        back = f", which looks back {_span(window.end - window.start)}" if window.end > window.start else ""
        over_s = (now_ms - one.end_ms) / 1000
        yield self.at(now_ms, f"still firing {over_s:.0f} s after the {one.word} was over: {_name(alert)}{back}", "flow")

    # --- what Tillwatch says ------------------------------------------------------------------------------------------

    def alert(self, event: AlertEvent, now_ms: int) -> Iterator[Line]:
        """What an alert event means. One that comes twice is told once."""
        if event.id in self._told:
            return
        self._told.add(event.id)
        data, name = event.data, _name(event)
        self._names[data.fingerprint] = data.rule
        if event.transition == "firing":
            self._firing[data.fingerprint] = event
            self._causes[data.fingerprint] = self._cause(event)
            yield from self._fired(event, self._causes[data.fingerprint], now_ms)
        elif event.transition == "resolved":
            began = self._firing.pop(data.fingerprint, None)
            yield from self._resolved(event, began, self._causes.pop(data.fingerprint, None), now_ms)
        elif event.transition == "retracted":
            self._firing.pop(data.fingerprint, None)
            self._causes.pop(data.fingerprint, None)
            yield self.at(now_ms, f"withdrawn: {name}: {data.summary}")
        elif event.transition == "no_data":
            yield self.at(now_ms, f"no data: {name}: {data.summary}")

    def _fired(self, event: AlertEvent, one: Injected | None, now_ms: int) -> Iterator[Line]:
        data, name = event.data, _name(event)
        if data.inhibited_by is not None:
            louder = self._names.get(data.inhibited_by, "another alert")
            yield self.at(now_ms, f"held back, pages nobody: {name}; {louder} says it already", "flow")
            return
        rank = f"{data.severity} ({data.level})"
        if one is None:
            yield self.at(now_ms, f"an alert that was not injected: {name}, {rank}", "seen")
        else:
            after_s = (data.detected_at - one.start_ms) / 1000
            also = "also detected" if one.alert is not None else "detected"
            if one.detected_ms is None:
                one.detected_ms = data.detected_at
            if one.resolved_ms is None and (one.alert is None or data.level < one.alert.data.level):
                one.alert = event
            yield self.at(now_ms, f"{also} after {after_s:.1f} s: {name}, {rank}", "seen")
        yield Line(f"          {data.summary}")

    def _resolved(
        self, event: AlertEvent, began: AlertEvent | None, one: Injected | None, now_ms: int
    ) -> Iterator[Line]:
        name, when = _name(event), ""
        if one is not None:
            since_s = (event.data.detected_at - one.end_ms) / 1000
            over = f"{since_s:.1f} s after the {one.word} was over"
            when = f", {over}" if since_s >= 0 else f", while the {one.word} lasts"
            if one.alert is not None and one.alert is began and one.resolved_ms is None:
                one.resolved_ms = event.data.detected_at
        if began is not None and began.data.inhibited_by is not None:
            yield self.at(now_ms, f"over, as quietly: {name}{when}", "flow")
        else:
            yield self.at(now_ms, f"resolved: {name}{when}", "good")

    def _cause(self, event: AlertEvent) -> Injected | None:
        """The scenario that an alert is about: the latest that its rule can see and that had begun."""
        data = event.data
        bad_ms = data.first_bad_at if data.first_bad_at is not None else data.detected_at
        for one in reversed(self.injected):
            if data.rule not in EXPECTED[one.scenario.name]:
                continue
            provider = data.group.get("provider")
            if one.scenario.name == "provider_outage" and provider not in (None, one.scenario.text("provider")):
                continue
            if one.start_ms - _SLACK_MS <= bad_ms <= one.end_ms + _AFTERMATH_MS:
                return one
        return None

    # --- the end ------------------------------------------------------------------------------------------------------

    def summary(self, now_ms: int) -> Iterator[Line]:
        """What was and what was not detected by the end, which is now."""
        for one in self.injected:
            if not one.begun:
                continue
            if one.detected_ms is None or one.alert is None:
                had_s = (min(now_ms, one.end_ms) - one.start_ms) / 1000
                tone = "bad" if had_s >= DETECT_LIMIT_S else ""
                yield Line(f"          {one.scenario.name}: not detected in the {had_s:.0f} s that it lasted", tone)
                continue
            found = f"detected after {(one.detected_ms - one.start_ms) / 1000:.1f} s; {_name(one.alert)} "
            if one.resolved_ms is None:
                found += "not resolved when the demonstration ended"
            elif one.resolved_ms < one.end_ms:
                found += f"resolved while the {one.word} lasted"
            else:
                found += f"resolved {(one.resolved_ms - one.end_ms) / 1000:.1f} s after it was over"
            yield Line(f"          {one.scenario.name}: {found}")

    @property
    def outage_detected(self) -> bool:
        """Whether the first outage that was injected was detected."""
        return next((one.detected_ms is not None for one in self.injected if one.begun and one.word == "outage"), False)


def _name(event: AlertEvent) -> str:
    group = ", ".join(f"{name} {value}" for name, value in event.data.group.items())
    return event.data.rule + (f" ({group})" if group else "")


def _span(ms: int) -> str:
    return f"{ms / 1000:.0f} s" if ms < 120_000 else f"{ms / 60_000:.0f} minutes"
