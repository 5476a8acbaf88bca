"""The page of security: what happened by kind, the case that is under way, signatures, policies. Pure but for `read`.

A rule's limit is drawn only where a bar is what the rule counts: the most in any of its windows, of minutes. Compliance is what
events tell: policies that services check (`policy.checked`), and what Tillwatch itself saw of every event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import Field

from console import limits, usual
from console.board import Event
from console.limits import Limit
from console.overview import doubt, doubted
from console.readings import MINUTE_MS, Pulse, Totals, Window
from console.series import COUNTS, Cut, Series, made
from console.shapes import Mark, Page, Shape, Tile, Words
from console.span import View
from console.words import counted, figure, grouped
from rollups.tables import DAY, HOUR
from rules.loader import RuleSet
from schemas.incident import Incident
from schemas.tables import EVENT, TABLES, Value
from schemas.time import epoch_ms

BARS = 48
FINE_MS = 2 * DAY
"""A view up to so long is read by the minute."""
NOW_MS = 5 * MINUTE_MS
POLICIES, PROVIDERS, ACTORS, UNDER_WAY = 40, 20, 5, 8
CARD = "card_number"
"""The reason of the event that Tillwatch makes of a card number that it masked."""

EVENTS = Cut("security", frozenset({"kind", "reason", "policy", "passed"}))
WEBHOOKS = Cut("webhooks", frozenset(TABLES["webhooks"].dimensions), only=("outcome", "rejected"), measures=COUNTS)
HEARD = Cut("webhooks", frozenset(), measures=COUNTS)
BY_PROVIDER = Cut("webhooks", frozenset({"outcome", "provider"}), measures=COUNTS)
WHO = Cut("actors", frozenset(TABLES["actors"].dimensions))
TAKEN = Cut("pipeline", frozenset({"kind"}), measures=COUNTS)
_KIND, _REASON, _POLICY, _PASSED = (
    TABLES["security"].dimensions.index(name) for name in ("kind", "reason", "policy", "passed")
)
_OUTCOME, _PROVIDER, _WHY = (TABLES["webhooks"].dimensions.index(name) for name in ("outcome", "provider", "reason"))
_WHO_KIND, _ACTOR = (TABLES["actors"].dimensions.index(name) for name in ("kind", "actor"))
_TAKEN = TABLES["pipeline"].dimensions.index("kind")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of security event: the signal that counts it, if there is one, and the type of its events (none: of webhooks)."""

    name: str
    signal: str
    kind: str = ""

    @property
    def actors(self) -> bool:
        return bool(self.kind)


KINDS = (
    Kind("Security violations", "security_violations", "security.violated"),
    Kind("Security incidents", "security_incidents", "security.incident"),
    Kind("Failed sign-ins", "failed_auth_attempts", "auth.failed"),
    Kind("Invalid webhook signatures", "invalid_webhook_signatures"),
    Kind("Authorization violations", "authorization_violations", "authz.violated"),
    Kind("Suspicious API use", "suspicious_activities", "api.suspicious"),
    Kind("Flagged data access", "", "data_access.flagged"),
    Kind("Blocked requests", "blocked_requests", "request.blocked"),
)


class Seen(Shape):
    """A kind of event. `bars`: each the most within `window_s` where a limit is known, else how many; null: not known."""

    name: str
    state: Mark | None = Field(description="as the rules about it stand; null where no rule is about it")
    rule: str | None
    limit: float | None
    window_s: int | None
    bars: list[int | None]
    recent: int | None
    total: int | None
    before: int | None = Field(description="about so many in the same time last week")
    last: int | None


class Case(Shape):
    """An alert about security: the arithmetic, and who did most of it."""

    rule: str
    state: Mark
    summary: str
    since: int
    group: dict[str, str]
    value: float | None
    threshold: float | None
    window_s: int
    actors: list[tuple[str, int]]
    total: int
    over: bool


class Signatures(Shape):
    """Webhooks of one provider."""

    provider: str
    received: int
    invalid: int
    refused: int = Field(description="for another reason")
    last: int | None
    state: Mark


class UnderWay(Shape):
    """An incident about security."""

    number: int
    id: str
    title: str
    status: str
    level: str
    owner: str | None
    since: int
    acknowledged: int | None
    resolved: int | None
    open: bool


class Compliance(Shape):
    """A line of compliance. `share`: of what was looked at; null where nothing was."""

    area: str
    name: str
    passed: int | None
    total: int | None
    share: float | None
    state: Mark
    word: str
    last: int | None


class SecurityPage(Page):
    """What the page of security shows."""

    start: int
    end: int
    bar: int
    live: bool
    tiles: list[Tile]
    kinds: list[Seen]
    cases: list[Case]
    signatures: list[Signatures]
    under_way: list[UnderWay]
    compliance: list[Compliance]
    known: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What was read, by the minute or by the hour; `before`: the same hours last week; `who`: of the last hour. `webhooks`:
    those that were rejected; `heard`: all of them; `providers`: of the whole time, by provider. `happened` and `rejected`: what
    `events` and `webhooks` hold together."""

    events: Mapping[int, Totals] = field(default_factory=dict)
    happened: Totals = field(default_factory=dict)
    webhooks: Mapping[int, Totals] = field(default_factory=dict)
    rejected: Totals = field(default_factory=dict)
    heard: Mapping[int, Totals] = field(default_factory=dict)
    providers: Totals = field(default_factory=dict)
    events_before: Totals = field(default_factory=dict)
    webhooks_before: Totals = field(default_factory=dict)
    heard_before: Totals = field(default_factory=dict)
    who: Totals = field(default_factory=dict)
    taken: Totals = field(default_factory=dict)


NOTHING = Held()


def fine(view: View) -> View:
    """The rows that it is made of: by the minute, so that the windows of rules can be told, where they are kept."""
    long = view.window.end_ms - view.window.start_ms > FINE_MS or view.resolution == "1h"
    step = HOUR if long else MINUTE_MS
    start = view.window.start_ms - view.window.start_ms % step
    return View(Window(start, -(-view.window.end_ms // step) * step), "1h" if long else "1m", step, view.live)


async def read(series: Series, view: View, now_ms: int, firing: bool) -> Held:
    """firing: whether anybody is to be named. Raises what redis raises when it is away."""
    rows = fine(view)
    before = usual.hours(view.before(usual.WEEK_MS).window)
    hour = Window(now_ms - now_ms % MINUTE_MS - 59 * MINUTE_MS, now_ms - now_ms % MINUTE_MS + MINUTE_MS)
    heard = await series.steps(HEARD, rows, (WEBHOOKS, BY_PROVIDER))
    return Held(
        events=await series.steps(EVENTS, rows),
        happened=await series.totals(EVENTS, rows.window, coarsest=rows.resolution),
        webhooks=await series.steps(WEBHOOKS, rows),
        rejected=await series.totals(WEBHOOKS, rows.window, coarsest=rows.resolution),
        heard=heard,
        providers=await series.totals(BY_PROVIDER, rows.window),
        events_before=await series.totals(EVENTS, before),
        webhooks_before=await series.totals(WEBHOOKS, before, (HEARD,)),
        heard_before=await series.totals(HEARD, before),
        who=await series.totals(WHO, hour) if firing else {},
        taken=await series.totals(TAKEN, rows.window),
    )


@dataclass(frozen=True)
class Facts:
    """What the page is made of."""

    now_ms: int
    view: View
    pulse: Pulse
    held: Held
    rules: RuleSet
    firing: Sequence[Event] = ()
    incidents: Sequence[Incident] = ()

    @cached_property
    def rows(self) -> View:
        return fine(self.view)

    @property
    def known(self) -> bool:
        return self.held is not NOTHING

    @property
    def known_ms(self) -> int:
        """From here on nothing is known."""
        live = self.pulse.state == "live"
        return min(self.now_ms, self.rows.window.end_ms) if live else self.pulse.as_of_ms or self.rows.window.start_ms

    @property
    def first_ms(self) -> int:
        """From here on something is known: any event was counted at all, of whatever kind."""
        return min((*self.held.events, *self.held.heard), default=self.rows.window.end_ms)

    @property
    def alerts(self) -> list[Event]:
        """What fires about security, the worst first."""
        return limits.alerts(self.firing, {rule.name for rule in limits.about(self.rules, SIGNALS)})


SIGNALS = frozenset({*(kind.signal for kind in KINDS if kind.signal), "failed_policy_checks"})


def security(facts: Facts) -> SecurityPage:
    """The whole page."""
    kinds = [_seen(facts, kind) for kind in KINDS]
    kinds.sort(key=lambda one: (one.state not in ("failing", "degraded"), -(one.total or 0)))
    compliance = _compliance(facts)
    state, sentence, why = _verdict(facts, kinds, compliance)
    return SecurityPage(
        state=state,
        sentence=sentence,
        why=why,
        as_of=facts.pulse.as_of_ms,
        now=facts.now_ms,
        start=facts.rows.window.start_ms,
        end=facts.rows.window.end_ms,
        bar=_bar_ms(facts),
        live=facts.view.live,
        tiles=_tiles(facts, kinds, compliance),
        kinds=kinds,
        cases=[_case(facts, one) for one in facts.alerts[:3]],
        signatures=_signatures(facts),
        under_way=_under_way(facts),
        compliance=compliance,
        known=facts.known,
    )


# --- the sentence -----------------------------------------------------------------------------------------------------


def _verdict(facts: Facts, kinds: Sequence[Seen], compliance: Sequence[Compliance]) -> tuple[Mark, Words, Words]:
    unsure = doubt(facts.pulse, facts.now_ms)
    if unsure is not None:
        detail = f"{facts.pulse.detail[:1].upper()}{facts.pulse.detail[1:]}."
        return *unsure, [f"{detail} The figures below are the last that are known."]
    why = _beside(facts, kinds)
    if facts.alerts:
        first = facts.alerts[0]
        title = str(first["data"]["summary"]).partition(":")[0].rstrip(".")
        mark: Mark = "failing" if first["data"]["severity"] == "critical" else "degraded"
        since = epoch_ms(first["data"].get("first_bad_at") or first["time"])
        case = _case(facts, first)
        counts = first["data"]["unit"] == "count" and case.over
        counted_so = f": {case.value:g}, the limit is {case.threshold:g}" if counts else ""
        name, count = case.actors[0] if case.actors else ("", 0)
        mostly = f"{grouped(count)} of {grouped(case.total)} in the last hour by {name}. " if count > case.total / 2 else ""
        return mark, [f"{title}{counted_so}, since ", since, "."], [mostly, *why]
    failed = [one for one in compliance if one.state == "degraded"]
    if failed:
        return "degraded", [f"{failed[0].name} does not hold."], why
    if not facts.held.events and not facts.held.heard:
        return "nodata", ["No service has told anything about security in the time that is shown."], why
    return "ok", ["Nothing about security is beyond its limits."], why


def _beside(facts: Facts, kinds: Sequence[Seen]) -> Words:
    by_name = {one.name: one for one in kinds}
    violations, signatures = by_name["Security violations"], by_name["Invalid webhook signatures"]
    words: Words = []
    if violations.last is not None:
        words += ["The last security violation was at ", violations.last, ". "]
    elif violations.total == 0:
        words.append("No security violation in the time that is shown. ")
    if signatures.recent:
        words.append(f"{counted(signatures.recent, 'invalid webhook signature')} in the last 5 min. ")
    waiting = sum(one.open and one.acknowledged_ms is None for one in _mine(facts))
    if waiting:
        words.append(f"{counted(waiting, 'incident')} about it {'waits' if waiting == 1 else 'wait'} for somebody. ")
    return words


# --- events by kind ---------------------------------------------------------------------------------------------------


def _count(kind: Kind, events: Totals, webhooks: Totals) -> int:
    if kind.actors:
        return sum([cell.count for key, cell in events.items() if key[_KIND] == kind.kind])
    return sum(
        cell.count for key, cell in webhooks.items() if key[_OUTCOME] == "rejected" and key[_WHY] == "invalid_signature"
    )


def _by_step(facts: Facts, kind: Kind) -> list[int | None]:
    """How many in each minute or hour; null where nothing is known."""
    first, known = facts.first_ms, facts.known_ms
    steps, of = (facts.held.events, _kinds) if kind.actors else (facts.held.webhooks, _reasons)
    what = kind.kind if kind.actors else "invalid_signature"
    counts = {start: made(cells, of, of)[what] for start, cells in steps.items()}
    return [counts.get(start, 0) if first <= start < known else None for start in facts.rows.starts]


def _kinds(events: Totals) -> Counter[Value]:
    """How many events of each kind."""
    found: Counter[Value] = Counter()
    for key, cell in events.items():
        found[key[_KIND]] += cell.count
    return found


def _reasons(webhooks: Totals) -> Counter[Value]:
    """Why webhooks were rejected."""
    found: Counter[Value] = Counter()
    for key, cell in webhooks.items():
        found[key[_WHY]] += cell.count if key[_OUTCOME] == "rejected" else 0
    return found


def _bar_ms(facts: Facts) -> int:
    rows = facts.rows
    return max(1, -(-len(rows.starts) // BARS)) * rows.step_ms


def _bars(facts: Facts, steps: Sequence[int | None], limit: Limit | None) -> tuple[list[int | None], int | None]:
    """The bars, and the seconds of the window that each is the most of."""
    per, width = _bar_ms(facts) // facts.rows.step_ms, facts.rows.step_ms
    window_ms = None if limit is None else limit.span_ms
    if window_ms is None or width > window_ms or window_ms % width:
        pieces = [_some(steps[at : at + per]) for at in range(0, len(steps), per)]
        return [sum(one) if one else None for one in pieces], None
    n = window_ms // width
    windows = [None if one is None else sum(_some(steps[max(0, at - n + 1) : at + 1])) for at, one in enumerate(steps)]
    pieces = [_some(windows[at : at + per]) for at in range(0, len(windows), per)]
    return [max(one) if one else None for one in pieces], window_ms // 1000


def _some(values: Iterable[int | None]) -> list[int]:
    return [one for one in values if one is not None]


def _seen(facts: Facts, kind: Kind) -> Seen:
    steps, limit = _by_step(facts, kind), limits.of(facts.rules, kind.signal)
    bars, window_s = _bars(facts, steps, limit)
    known = any(one is not None for one in steps)
    minutes = NOW_MS // facts.rows.step_ms if facts.rows.step_ms < NOW_MS else 0
    live = [one for one in steps if one is not None][-minutes:] if minutes and facts.view.live and known else None
    last = next((start for start, one in reversed(list(zip(facts.rows.starts, steps, strict=True))) if one), None)
    held = facts.held
    week = _count(kind, held.events_before, held.webhooks_before)
    shown = min(facts.rows.window.end_ms, facts.now_ms) - facts.rows.window.start_ms
    hours = usual.hours(facts.view.window)
    state = limits.state(facts.rules, {kind.signal}, facts.firing)
    return Seen(
        name=kind.name,
        state=(doubted(facts.pulse) or state) if known and state else None if state is None else "nodata",
        rule=None if limit is None else f"{limit.rule}: {limit.said}",
        limit=limit.most if limit is not None and (window_s is not None or limit.span_ms is None) else None,
        window_s=window_s,
        bars=bars,
        recent=None if live is None else sum(live),
        total=sum(_some(steps)) if known else None,
        before=round(week * shown / (hours.end_ms - hours.start_ms))
        if held.events_before or held.heard_before
        else None,
        last=last,
    )


def _tiles(facts: Facts, kinds: Sequence[Seen], compliance: Sequence[Compliance]) -> list[Tile]:
    by_name = {one.name: one for one in kinds}
    tiles = []
    for name in ("Security violations", "Failed sign-ins", "Invalid webhook signatures", "Blocked requests"):
        seen = by_name[name]
        state: Mark = "nodata" if seen.total is None else seen.state or "ok"
        tiles.append(
            Tile(
                name=name, figure="–" if seen.total is None else grouped(seen.total), unit="", state=state,
                note="Nothing is known" if seen.total is None else "In the time shown"
                + ("" if seen.before is None else f"; last week about {grouped(seen.before)}"),
                trend=[None if one is None else float(one) for one in seen.bars],
            )
        )  # fmt: skip
    checks = [one for one in compliance if one.area == "Policy"]
    passed, total = sum(one.passed or 0 for one in checks), sum(one.total or 0 for one in checks)
    broken = any(one.state == "degraded" for one in checks)
    tiles.append(
        Tile(
            name="Policy checks that pass", figure=figure(passed / total if total else None, 100, 1), unit="%",
            state="nodata" if not total else "degraded" if broken else doubted(facts.pulse) or "ok",
            note=f"{grouped(passed)} of {grouped(total)}" if total else "No policy was checked", trend=[],
        )
    )  # fmt: skip
    return tiles


# --- the case ---------------------------------------------------------------------------------------------------------


def _case(facts: Facts, alert: Event) -> Case:
    data = alert["data"]
    rule = next((one for one in facts.rules.rules if one.name == data["rule"]), None)
    signals = {part.signal.name for part in rule.parts} if rule is not None else set()
    wanted = {kind.kind for kind in KINDS if kind.signal in signals and kind.actors}
    counts: dict[str, int] = {}
    for key, cell in facts.held.who.items():
        if key[_WHO_KIND] in wanted:
            counts[str(key[_ACTOR])] = counts.get(str(key[_ACTOR]), 0) + cell.count
    most = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:ACTORS]
    window = data["window"]
    return Case(
        rule=str(data["rule"]),
        state="failing" if data["severity"] == "critical" else "degraded",
        summary=str(data["summary"]),
        since=epoch_ms(data.get("first_bad_at") or alert["time"]),
        group={str(name): str(value) for name, value in data["group"].items()},
        value=data["value"],
        threshold=data["threshold"],
        window_s=(epoch_ms(window["end"]) - epoch_ms(window["start"])) // 1000,
        actors=most,
        total=sum(counts.values()),
        over=data["value"] is not None and data["threshold"] is not None and data["value"] > data["threshold"],
    )


# --- signatures, incidents, compliance --------------------------------------------------------------------------------


def _signatures(facts: Facts) -> list[Signatures]:
    """The providers with the most invalid signatures first."""
    limit = limits.of(facts.rules, "invalid_webhook_signatures")
    received: Counter[str] = Counter()
    for key, cell in facts.held.providers.items():
        received[str(key[_PROVIDER])] += cell.count if key[_OUTCOME] == "received" else 0
    invalids, refusals, now_of, last_of = Counter[str](), Counter[str](), Counter[str](), dict[str, int]()
    for key, cell in facts.held.rejected.items():
        if _is_invalid(key[_OUTCOME], key[_WHY]):
            invalids[str(key[_PROVIDER])] += cell.count
        elif key[_OUTCOME] == "rejected":
            refusals[str(key[_PROVIDER])] += cell.count
    now_ms = facts.known_ms - NOW_MS
    for start, cells in _latest(facts.held.webhooks):
        if start < now_ms and len(last_of) == len(invalids):
            break
        for key, cell in cells.items():
            if _is_invalid(key[_OUTCOME], key[_WHY]):
                last_of.setdefault(name := str(key[_PROVIDER]), start)
                now_of[name] += cell.count if start >= now_ms else 0
    found = []
    for name in sorted(received):
        now = now_of[name]
        over = limit is not None and now > limit.most
        state: Mark = doubted(facts.pulse) or ("degraded" if over else "ok" if received[name] else "nodata")
        found.append(
            Signatures(
                provider=name, received=received[name], invalid=invalids[name], refused=refusals[name], state=state,
                last=last_of[name] + facts.rows.step_ms if name in last_of else None,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (one.state != "degraded", -one.invalid, one.provider))[:PROVIDERS]


def _latest(steps: Mapping[int, Totals]) -> Iterator[tuple[int, Totals]]:
    """The latest step first."""
    return ((start, steps[start]) for start in sorted(steps, reverse=True))


def _is_invalid(outcome: object, reason: object) -> bool:
    return outcome == "rejected" and reason == "invalid_signature"


def _mine(facts: Facts) -> list[Incident]:
    """Incidents in which a rule about security fired."""
    names = {rule.name for rule in limits.about(facts.rules, SIGNALS)}
    return [one for one in facts.incidents if names & {*one.rules}]


def _under_way(facts: Facts) -> list[UnderWay]:
    """The open ones first, then the latest."""
    found = sorted(_mine(facts), key=lambda one: (not one.open, -one.since_ms))[:UNDER_WAY]
    return [
        UnderWay(
            number=one.number,
            id=one.id,
            title=one.title,
            status=one.status,
            level=one.severity,
            owner=one.assignee or one.acknowledged_by,
            since=one.since_ms,
            acknowledged=one.acknowledged_ms,
            resolved=one.resolved_ms,
            open=one.open,
        )
        for one in found
    ]


def _compliance(facts: Facts) -> list[Compliance]:
    return [*_policies(facts), *_protected(facts), *_trail(facts), *_access(facts)]


def _policies(facts: Facts) -> list[Compliance]:
    """Each policy holds or not as its latest step says; those that do not first."""
    passed_of, total_of, latest = Counter[str](), Counter[str](), dict[str, tuple[int, bool]]()
    for key, cell in facts.held.happened.items():
        if key[_POLICY] is not None:
            total_of[str(key[_POLICY])] += cell.count
            passed_of[str(key[_POLICY])] += cell.count if key[_PASSED] is True else 0
    for start, cells in _latest(facts.held.events):
        if len(latest) == len(total_of):
            break
        step: dict[str, bool] = {}
        for key in cells:
            if key[_POLICY] is not None:
                name, passes = str(key[_POLICY]), key[_PASSED] is True
                step[name] = step.get(name, True) and passes
        latest = {name: (start + facts.rows.step_ms, holds) for name, holds in step.items()} | latest
    found = []
    for name, (last, holds) in sorted(latest.items()):
        passed, total = passed_of[name], total_of[name]
        state: Mark = "degraded" if not holds else doubted(facts.pulse) or "ok"
        found.append(
            Compliance(
                area="Policy", name=name, passed=passed, total=total, share=passed / total if total else None, state=state,
                word="Passes" if holds else "Fails", last=last,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (one.state != "degraded", one.name))[:POLICIES]


def _protected(facts: Facts) -> list[Compliance]:
    """Card numbers: Tillwatch looks at every event that it takes."""
    taken = _taken(facts, EVENT)
    happened = facts.held.happened
    cards = sum(
        cell.count for key, cell in happened.items() if key[_KIND] == "security.violated" and key[_REASON] == CARD
    )
    last = None
    if any(key[_REASON] == CARD for key in happened):
        some = (start for start, cells in _latest(facts.held.events) if any(key[_REASON] == CARD for key in cells))
        last = next(some, None)
    state: Mark = "nodata" if not taken else "degraded" if cards else doubted(facts.pulse) or "ok"
    return [
        Compliance(
            area="Data protection", name="No card number in any event", passed=max(taken - cards, 0) if taken else None,
            total=taken or None, share=max(taken - cards, 0) / taken if taken else None, state=state,
            word="No data" if not taken else f"{counted(cards, 'masked card number')}" if cards else "Holds",
            last=None if last is None else last + facts.rows.step_ms,
        )
    ]  # fmt: skip


def _trail(facts: Facts) -> list[Compliance]:
    """The trail is what services told: complete as far as what came could be used."""
    taken, refused = _taken(facts, EVENT), _taken(facts, "dead_letter")
    total = taken + refused
    share = taken / total if total else None
    state: Mark = "nodata" if share is None else doubted(facts.pulse) or ("degraded" if refused else "ok")
    word = "No data" if share is None else f"{grouped(refused)} refused" if refused else "Complete"
    return [
        Compliance(
            area="Audit trail", name="Every event that came could be used", passed=taken if total else None,
            total=total or None, share=share, state=state, word=word, last=None,
        )
    ]  # fmt: skip


def _access(facts: Facts) -> list[Compliance]:
    """Nobody did what they may not: no share, since nobody counts what was allowed."""
    known = facts.known and facts.first_ms < facts.known_ms
    violated = _kinds(facts.held.happened)["authz.violated"]
    some = (start for start, cells in _latest(facts.held.events) if "authz.violated" in made(cells, _kinds, _kinds))
    last = next(some, None) if violated else None
    state: Mark = "nodata" if not known else doubted(facts.pulse) or "ok"
    word = "No data" if not known else f"{counted(violated, 'attempt')} refused" if violated else "No attempt"
    return [
        Compliance(
            area="Access control", name="Attempts at what somebody may not do", passed=None, total=violated if known else None,
            share=None, state=state, word=word, last=None if last is None else last + facts.rows.step_ms,
        )
    ]  # fmt: skip


def _taken(facts: Facts, kind: str) -> int:
    return sum(cell.count for key, cell in facts.held.taken.items() if key[_TAKEN] == kind)
