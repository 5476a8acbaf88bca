"""Who watches the notifier: what is found out now and then comes in, verdicts on the notifier's own world go out. Pure.

A verdict begins once something was so for long enough, and is over once it was not so for a while; in between nothing is said
twice. What cannot be known says nothing. BLIND goes around Kafka and Redis; the others become alerts and take the way of every
alert, so that whoever leads finds in its incidents what was told before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from schemas.alert import AlertData, AlertEvent, JudgedAt, Number, Transition, Window, alert_event, fingerprint
from schemas.incident import SYSTEM, digest
from schemas.severity import SeverityName
from schemas.time import rfc3339

PACK, OWNER = "tillwatch_alerts", SYSTEM
SEVERITY: SeverityName = "high"
Rule = Literal["pipeline_behind", "pipeline_down", "steps_overdue"]
Name = Literal["blind"] | Rule
BLIND: Final = "blind"
RULES: Mapping[Rule, str] = {
    "pipeline_behind": "The pipeline is behind: verdicts may be late",
    "pipeline_down": "No worker runs: nothing is counted or judged",
    "steps_overdue": "Steps of incidents are overdue: people are not asked when they should be",
}
"""The rules whose alerts are made here, and what each says."""

BEGINS_MS: Mapping[Name, int] = {
    "blind": 30_000,
    "pipeline_behind": 60_000,
    "pipeline_down": 30_000,
    "steps_overdue": 10_000,
}
"""For so long it must be so."""
PAUSE_MS = 10_000
"""What is not so for a shorter time goes on meanwhile."""
OVER_MS: Mapping[Name, int] = {"pipeline_behind": 60_000}
"""What was told and comes and goes is one and the same for longer; `PAUSE_MS` where it is not said."""
LATE_MS = 60_000
"""From then on a step that is due is overdue. One that was seen to be late once may have been taken meanwhile."""
STANDBY_MS = 30_000
"""For so much longer, where another may be telling already."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What Redis tells. workers: what each says of itself; worked: whether one ever has; due_ms: when the earliest step of all
    incidents is or was due."""

    workers: Sequence[Mapping[str, Any]] = ()
    worked: bool = False
    due_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation. redis, kafka: whether they do what they are asked; holder: the lead is ours, or was when it could last
    be told; looked: None where nothing could be."""

    redis: bool
    kafka: bool
    holder: bool
    looked: Looked | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be told: that something began, or is over. since_ms: since when it was so; text: what it is, in figures."""

    name: Name
    over: bool
    since_ms: int
    at_ms: int
    text: str
    value: Number = 0


@dataclass(frozen=True, slots=True)
class _Found:
    since_ms: int
    text: str
    value: Number = 0


@dataclass(slots=True)
class _Episode:
    """since_ms: when it began; seen_ms: when that was seen; well_ms: when it was first seen to be over."""

    found: _Found
    since_ms: int
    seen_ms: int
    well_ms: int | None = None
    told: bool = False


@dataclass(slots=True)
class Watch:
    """What is going on, and what of it was told. Times are epoch ms."""

    _episodes: dict[Name, _Episode] = field(default_factory=dict)

    @property
    def told(self) -> Mapping[Name, str]:
        """What was told and goes on, in words."""
        return {name: one.found.text for name, one in self._episodes.items() if one.told}

    def adopt(self, firing: Mapping[tuple[str, str], int]) -> None:
        """Takes over what was told before, by whomever, as the incidents have it: (pack, rule) → when its alert came."""
        for rule, says in RULES.items():
            at_ms = firing.get((PACK, rule))
            if at_ms is not None:
                self._episodes.setdefault(rule, _Episode(_Found(at_ms, says), at_ms, at_ms)).told = True

    def see(self, seen: Seen, now_ms: int) -> list[Verdict]:
        """What is to be told now; each is told again at the next look until `done` says that it was."""
        self._note(BLIND, _blind(seen, now_ms), now_ms)
        if not (seen.redis and seen.kafka):
            # Who sees nothing knows nothing, and after that everybody has to catch up first.
            self._episodes = {name: one for name, one in self._episodes.items() if one.told or name == BLIND}
        elif seen.looked is not None:
            workers = seen.looked.workers
            self._note("pipeline_down", _down(seen.looked, now_ms), now_ms)
            self._note("pipeline_behind", _behind(workers, now_ms), now_ms)
            self._note("steps_overdue", _overdue(seen.looked.due_ms, now_ms), now_ms)
        return [
            Verdict(name, one.told, one.since_ms, now_ms, one.found.text, one.found.value)
            for name, one in self._episodes.items()
            if (
                _is_over(one, now_ms, OVER_MS.get(name, PAUSE_MS))
                if one.told
                else self._begins(name, one, seen, now_ms)
            )
        ]

    def done(self, verdict: Verdict) -> None:
        """It was told."""
        if verdict.over:
            self._episodes.pop(verdict.name, None)
        elif verdict.name in self._episodes:
            self._episodes[verdict.name].told = True

    def _note(self, name: Name, found: _Found | None, now_ms: int) -> None:
        one = self._episodes.get(name)
        if found is not None:
            if one is None:
                one = self._episodes[name] = _Episode(found, found.since_ms, now_ms)
            one.found, one.well_ms = found, None
        elif one is not None:
            if one.well_ms is None:
                one.well_ms = now_ms
            if not one.told and _is_over(one, now_ms, PAUSE_MS):
                del self._episodes[name]

    @staticmethod
    def _begins(name: Name, one: _Episode, seen: Seen, now_ms: int) -> bool:
        """Whether it is time, and ours, to tell of it."""
        wait_ms = BEGINS_MS[name]
        if not seen.holder:
            if name in ("pipeline_behind", "pipeline_down") or (name == BLIND and seen.kafka):
                return False  # while Kafka answers, whoever has the lead lives
            wait_ms += STANDBY_MS
        return one.well_ms is None and now_ms - one.seen_ms >= wait_ms


def _is_over(one: _Episode, now_ms: int, after_ms: int) -> bool:
    return one.well_ms is not None and now_ms - one.well_ms >= after_ms


def _blind(seen: Seen, now_ms: int) -> _Found | None:
    away = [name for name, answers in (("Redis", seen.redis), ("Kafka", seen.kafka)) if not answers]
    return _Found(now_ms, f"{' and '.join(away)} cannot be used") if away else None


def _down(looked: Looked, now_ms: int) -> _Found | None:
    return _Found(now_ms, "no worker says that it lives") if looked.worked and not looked.workers else None


def _behind(workers: Sequence[Mapping[str, Any]], now_ms: int) -> _Found | None:
    late = [one for worker in workers for one in worker["partitions"] if one["behind"]]
    if late:
        waiting = sum(max(one["end"] - one["next"], 0) for one in late)
        return _Found(now_ms, f"{len(late)} of the events' partitions are behind; {waiting:,} records wait", waiting)
    if workers and not any(one["leader"] for one in workers):
        return _Found(now_ms, "no worker leads: rules are not judged")
    return None


def _overdue(due_ms: int | None, now_ms: int) -> _Found | None:
    if due_ms is None or now_ms - due_ms < LATE_MS:
        return None
    late_s = (now_ms - due_ms) // 1000
    return _Found(due_ms, f"the oldest was due at {rfc3339(due_ms)}, {late_s} s ago", late_s)


# --- what is told -----------------------------------------------------------------------------------------------------


def alert(namespace: str, rule: Rule, verdict: Verdict, bucket_ms: int) -> AlertEvent:
    """The verdict on a rule as an alert; whoever tells the same again tells it with the same id."""
    transition: Transition = "resolved" if verdict.over else "firing"
    text = f"was so since {rfc3339(verdict.since_ms)}" if verdict.over else verdict.text
    data = AlertData(
        fingerprint=fingerprint(namespace, PACK, rule, {}),
        rule=rule,
        pack=PACK,
        rule_version="1",
        severity=SEVERITY,
        status="resolved" if verdict.over else "firing",
        group={},
        value=None if verdict.over else verdict.value,
        threshold=None,
        unit="s" if rule == "steps_overdue" else "count",
        window=Window(start=verdict.since_ms, end=verdict.at_ms),
        first_bad_at=verdict.since_ms,
        detected_at=verdict.at_ms,
        summary=f"Over: {RULES[rule]}" if verdict.over else RULES[rule],
        arithmetic=text,
        owner=OWNER,
        runbook=f"docs/runbooks/{rule}.md",
        judged_at=JudgedAt(offset=0),
    )
    episode_ms = verdict.since_ms // bucket_ms * bucket_ms
    return alert_event(namespace, transition, data, episode_ms=episode_ms, n=0, time_ms=verdict.at_ms)


def blind_incident(namespace: str) -> str:
    """What stands for an incident in the messages of a blindness: the same in all of them, as services know what belongs
    together by it."""
    return digest("blind", namespace)


def blind_key(namespace: str, verdict: Verdict, person: str, channel: str) -> str:
    """The idempotency key of a message: of instances that saw it begin in the same minute the same."""
    return digest("blind", namespace, verdict.since_ms // 60_000, verdict.over, person, channel)
