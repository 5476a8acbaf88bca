"""The page of rules: what each means, how it stands, what it has told of late, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from console.board import Event
from console.overview import doubt
from console.readings import Pulse
from console.shapes import Mark, RuleHistory, RuleInForce, RuleRecords, RulesPage, RuleState, Tile, Words
from console.words import counted
from rules.engine import GRAVEST
from rules.loader import RuleSet
from rules.rule import Rule
from rules.words import ends, explain
from schemas.severity import SEVERITIES
from schemas.time import epoch_ms

_MARKS: dict[str, Mark] = {
    "firing": "failing", "no_data": "nodata", "behind": "behind", "unknown": "nodata", "learning": "maint",
    "pending": "degraded", "disabled": "stale", "ok": "ok",
}  # fmt: skip
BRIEF_S = 120.0
"""An episode that is over so soon may have been noise: worth a look where it happens often."""

Standings = Mapping[str, Sequence[Mapping[str, Any]]]


def rules_page(
    now_ms: int, pulse: Pulse, rules: RuleSet, standings: Standings, told: Iterable[Event], records: RuleRecords
) -> RulesPage:
    """`standings`: the states of each rule that is not well; `told`: the last alert events, the latest first."""
    judged = pulse.state in ("live", "behind") and pulse.leader is not None
    alerts = list(told)
    histories = history(alerts)
    found = [in_force(rule, standings.get(rule.name, ()), judged) for rule in rules.rules]
    found.sort(key=lambda one: (GRAVEST.index(one.state) if one.state in GRAVEST else len(GRAVEST), one.level, one.rule))
    loud = [one for one in found if one.state in ("firing", "no_data")]
    learning = [one for one in found if one.state == "learning"]
    state, sentence = doubt(pulse, now_ms) or _verdict(found, loud)
    problems = [f"{one}" for one in rules.problems]
    return RulesPage(
        state=state,
        sentence=sentence,
        why=[_why(found, learning, problems)],
        as_of=pulse.as_of_ms,
        now=now_ms,
        tiles=_tiles(found, histories, judged),
        rules=found,
        marks=_MARKS,
        history=histories,
        since=earliest(alerts),
        records=records,
        problems=problems,
    )


def _verdict(found: Sequence[RuleInForce], loud: Sequence[RuleInForce]) -> tuple[Mark, Words]:
    if not loud:
        return "ok", [f"All {len([one for one in found if one.enabled])} rules are judged, and none fires."]
    names = ", ".join(one.rule for one in loud[:3])
    more = f" and {len(loud) - 3} more" if len(loud) > 3 else ""
    worst: Mark = "failing" if any(one.level == "P0" and one.state == "firing" for one in loud) else "degraded"
    return worst, [f"{counted(len(loud), 'rule')} of {len(found)} {'is' if len(loud) == 1 else 'are'} loud: {names}{more}."]


def _why(found: Sequence[RuleInForce], learning: Sequence[RuleInForce], problems: Sequence[str]) -> str:
    said = [f"{counted(len({one.pack for one in found}), 'pack')} in force."]
    if learning:
        said.append(f"{counted(len(learning), 'rule')} still {'learns' if len(learning) == 1 else 'learn'} what is usual.")
    off = [one for one in found if not one.enabled]
    if off:
        said.append(f"{counted(len(off), 'rule')} switched off.")
    if problems:
        said.append(f"{counted(len(problems), 'problem')} in the packs: those rules are not in force.")
    return " ".join(said)


def _tiles(found: Sequence[RuleInForce], histories: Mapping[str, RuleHistory], judged: bool) -> list[Tile]:
    """`judged`: whether somebody judges rules now; where nobody does, none is not known."""

    def tile(name: str, number: int, note: str, state: Mark = "ok") -> Tile:
        known = judged or number > 0
        return Tile(
            name=name, figure=str(number) if known else "–", unit="", state=state if known else "nodata", note=note, trend=[]
        )

    states = [one.state for one in found]
    brief = sum(one.brief for one in histories.values())
    episodes = sum(one.episodes for one in histories.values())
    noisy = max(histories, key=lambda name: histories[name].episodes, default=None)
    return [
        tile("Firing", states.count("firing"), "rules that fire in a group", "degraded" if "firing" in states else "ok"),
        tile("No data", states.count("no_data"), "their source is silent", "nodata" if "no_data" in states else "ok"),
        tile("Episodes", episodes, f"most: {noisy}" if noisy and episodes else "among the last alerts"),
        tile("Brief", brief, "over within 2 minutes: worth a look where it happens often"),
    ]


@dataclass(slots=True)
class _Told:
    """What the alerts told of one rule so far. lasted, silent: how long episodes took, and how long there were no data (ms)."""

    episodes: int = 0
    explained: int = 0
    withdrawn: int = 0
    last: int | None = None
    lasted: list[int] = field(default_factory=list)
    silences: int = 0
    silent: int = 0


def history(alerts: Iterable[Event]) -> dict[str, RuleHistory]:
    """What the alerts tell of each rule. An episode is a rule and group from firing until it is resolved; one that another
    explained, that was of the past or was taken back pages nobody, and is counted apart. There are no data from `no_data` until
    anything else is told."""
    found: dict[str, _Told] = {}
    begun: dict[str, int] = {}
    silent: dict[str, int] = {}
    for event in sorted(alerts, key=lambda one: str(one["time"])):
        data, at = event["data"], epoch_ms(event["time"])
        one = found.setdefault(str(data["rule"]), _Told())
        transition, mark = str(event["type"]).rpartition(".")[2], str(data["fingerprint"])
        one.silent += at - silent.pop(mark, at)
        if transition == "no_data":
            silent[mark] = at
            one.silences += 1
        elif transition == "firing":
            begun[mark] = at
            one.episodes += 1
            one.explained += bool(data.get("inhibited_by") or data.get("historical"))
            one.last = at
        elif transition in ("resolved", "retracted"):
            one.withdrawn += transition == "retracted"
            start = begun.pop(mark, None)
            if start is not None:
                one.lasted.append(at - start)
    return {
        name: RuleHistory(
            episodes=one.episodes,
            explained=one.explained,
            withdrawn=one.withdrawn,
            brief=sum(ms < BRIEF_S * 1000 for ms in one.lasted),
            median_s=sorted(one.lasted)[len(one.lasted) // 2] / 1000 if one.lasted else None,
            last=one.last,
            no_data=one.silences,
            no_data_s=one.silent / 1000,
        )
        for name, one in found.items()
    }


def earliest(alerts: Iterable[Event]) -> int | None:
    """The time of the first of these alerts (epoch ms), None where there is none."""
    return min((epoch_ms(one["time"]) for one in alerts), default=None)


def in_force(rule: Rule, standings: Iterable[Mapping[str, Any]], judged: bool) -> RuleInForce:
    """A rule and how it stands. `judged`: whether somebody judges rules now."""
    states = [RuleState(group=one["group"], state=one["state"], since=one["since"]) for one in standings]
    gravest = min((one.state for one in states), key=GRAVEST.index, default="ok" if judged else "unknown")
    return RuleInForce(
        pack=rule.pack,
        rule=rule.name,
        version=rule.version,
        severity=rule.severity,
        level=SEVERITIES[rule.severity].level,
        condition=str(rule.condition),
        explanation=explain(rule),
        resolves=ends(rule),
        by=list(rule.by),
        channels=list(rule.channels),
        owner=rule.owner,
        runbook=rule.runbook,
        enabled=rule.enabled,
        state=gravest if rule.enabled else "disabled",
        states=states,
    )
