"""The page of payments: which of them fail or are slow, since when, and what became of the others. Pure but for `read`.

What is looked at as now are the last 5 minutes (15 where little comes), or the whole of a time in the past that somebody chose.
The verdict is on the last minute of it where that holds enough: what is over is not said to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import Field

from console import kpis, marks, usual
from console.health import ENOUGH, WORSE
from console.marks import Stretch
from console.overview import doubt, doubted
from console.readings import MINUTE_MS, Pulse, Totals, Window, window_of
from console.series import COUNTS, Cut, Series, Step, made
from console.shapes import Happened, Lines, Mark, Page, Shape, Tile, Words
from console.slices import (
    AT,
    FINISHED,
    SLICED,
    Slice,
    Sliced,
    all_of,
    count_of,
    failed_of,
    figure_of,
    guilty,
    state_of,
    values_of,
    values_of_all,
    where,
)
from console.span import View
from console.words import NB, SYMBOLS, duration, figure, grouped, percent
from rollups.cells import Cell
from rollups.tables import DAY, HOUR, RESOLUTIONS
from rules.baseline.guard import SHARE, Guard
from rules.signals import shipped
from schemas.incident import Incident, Silence
from schemas.tables import TABLES, Key

LENGTHS_MS = (MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS)
"""Of the verdict, of now, and of now where little comes."""
NOWHEN = Window(0, 0)
PLENTY = 50
"""Finished payments that are enough."""
OPEN_FROM = 20
"""Finished payments from which on the step that is open is drawn."""
SLOW_S, TOO_SLOW_S = 5.0, 10.0
QUANTILES = (0.5, 0.95, 0.99)
PROVIDERS_SHOWN, REASONS_SHOWN, METHODS_SHOWN = 10, 8, 6
KNOWN_FROM = 100
"""Finished payments of the day before from which its share stands for what is usual, where no earlier week is known."""

AMOUNT, TIME = frozenset({"amount"}), frozenset({"latency_ms"})
ALL = Cut("payments", frozenset({"outcome", "fault", *SLICED}), measures=COUNTS)
LATENCY = Cut("payments", frozenset({"outcome"}), sketches=True, measures=TIME)
SPEED = Cut("payments", frozenset({"outcome", "provider"}), sketches=True, measures=TIME)
REASONS = Cut("payments", frozenset({"outcome", "fault", "reason"}), measures=COUNTS)
LINES = Cut("payments", frozenset({"outcome", "fault"}), measures=COUNTS)
APART = Cut("payments", frozenset({"outcome", "fault", "provider"}), measures=COUNTS)
MONEY = Cut("payments", frozenset({"outcome", "currency"}), measures=AMOUNT)
STEPS = Cut("enrollments", frozenset({"step"}), sketches=True)
OPINIONS = Cut("experience", frozenset({"kind", "available", "score"}), measures=COUNTS)
LAG = Cut("webhooks", frozenset({"outcome"}), sketches=True)
_STEP = TABLES["enrollments"].dimensions.index("step")


class ProviderLine(Shape):
    """One provider: its success over time with what is usual, and how it is now."""

    name: str
    state: Mark
    figure: str
    note: str
    values: list[float | None]
    low: list[float | None] | None
    high: list[float | None] | None


class HeatCell(Shape):
    """Success of one provider and method. `below`: points below what is usual there, null where that is not known; `share`
    null: no data now, though there was."""

    share: float | None
    below: float | None
    count: int


class HeatRow(Shape):
    """One provider; a cell is null where the method is not offered."""

    provider: str
    cells: list[HeatCell | None]


class Heat(Shape):
    """Provider × method."""

    methods: list[str]
    rows: list[HeatRow]
    against: str = Field("", description="what usual is, in words")


class Stage(Shape):
    """A stage of the way to a course: how many came so far, as a share of those that started, and of the stage before."""

    name: str
    count: int | None
    share: float | None
    of_before: float | None
    usual: float | None


class FailureReason(Shape):
    """Why payments failed, or were declined. `before`: about how many there were last week."""

    reason: str
    fault: str
    count: int
    share: float
    before: int | None


class Taken(Shape):
    """Revenue in one currency, in minor units."""

    currency: str
    taken: int
    payments: int
    mean: float | None
    before: int | None
    trend: list[float | None]


class After(Shape):
    """What happens after a payment: a figure as it is written, that of last week, and its trend."""

    name: str
    figure: str
    before: str
    trend: list[float | None]
    note: str = ""


class PaymentsPage(Page):
    """What the page of payments shows. Lines are by `step` ms from `start` to `end`; `now_start` to `now_end` is what the tiles
    and the map are of."""

    start: int
    end: int
    step: int
    live: bool
    now_start: int
    now_end: int
    judged: str = Field(description="the time that states and the figures of providers are of, in words")
    tiles: list[Tile]
    success: Lines
    volume: Lines
    latency: Lines
    providers: list[ProviderLine]
    others: int
    heat: Heat
    funnel: list[Stage]
    leaving: str
    reasons: list[FailureReason]
    failed: int
    finished: int
    revenue: list[Taken]
    after: list[After]
    marks: list[Happened]
    planned: list[Stretch]
    unknown: list[Stretch]
    known: bool = Field(description="false where nothing could be read yet: then nothing here is a zero")


# --- what it is made of -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weekly:
    """What was found out of the weeks before: kept as long as they are the same."""

    slices: Sliced = field(default_factory=Sliced)
    shares: dict[tuple[object, ...], usual.Share | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """What was read. `steps`, `money`, `latency` (its QUANTILES), `enrolled` and `changed`: by the step; `apart`: the steps of
    each provider; `total`: of all steps, by every dimension of a slice; of the weeks before by the hour, the latest week first.
    `recent`: what is looked at as now, and `verdict` what states are made of, with their windows; `minutes`: the last hour;
    `day`: the 24 hours before now, where no earlier week is known. `money`, `taken` and so on know what was taken of each
    currency, the others how many payments there were."""

    steps: Mapping[int, Totals] = field(default_factory=dict)
    apart: Mapping[str, Mapping[int, Totals]] = field(default_factory=dict)
    total: Totals = field(default_factory=dict)
    money: Mapping[int, Totals] = field(default_factory=dict)
    now: Window = NOWHEN
    recent: Totals = field(default_factory=dict)
    judged: Window = NOWHEN
    verdict: Totals = field(default_factory=dict)
    minutes: Mapping[int, Totals] = field(default_factory=dict)
    day: Totals = field(default_factory=dict)
    latency: Mapping[int, Sequence[float | None]] = field(default_factory=dict)
    recent_latency: Totals = field(default_factory=dict)
    taken: Totals = field(default_factory=dict)
    recent_taken: Totals = field(default_factory=dict)
    taken_before: Totals = field(default_factory=dict)
    taken_weeks: tuple[Mapping[int, Totals], ...] = ()
    reasons: Totals = field(default_factory=dict)
    weeks: tuple[Mapping[int, Totals], ...] = ()
    recent_weeks: tuple[Mapping[int, Totals], ...] = ()
    latency_before: Totals = field(default_factory=dict)
    before: Totals = field(default_factory=dict)
    reasons_before: Totals = field(default_factory=dict)
    enrolled: Mapping[int, Totals] = field(default_factory=dict)
    enrolled_total: Totals = field(default_factory=dict)
    enrolled_before: Totals = field(default_factory=dict)
    opinions: Totals = field(default_factory=dict)
    lag: Totals = field(default_factory=dict)
    changed: Mapping[int, Totals] = field(default_factory=dict)
    weekly: Weekly = field(default_factory=Weekly, compare=False)


NOTHING = Held()


async def read(series: Series, view: View, now_ms: int) -> Held:
    """Raises what redis raises when it is away."""
    last = _last_hour(now_ms)
    beside = (APART, MONEY, LATENCY, *((ALL, REASONS) if view.window == last.window else ()))
    steps = await series.steps(LINES, view, beside)
    now, recent = await _recent(series, view, now_ms, LENGTHS_MS[1:])
    judged, verdict = await _recent(series, view, now_ms, LENGTHS_MS[:1], (now, recent))
    hour = usual.weeks_before(now)
    banded = view.window.end_ms - view.window.start_ms <= usual.LONGEST_MS
    earlier = usual.hours(view.before(usual.WEEK_MS).window)
    recent_weeks = tuple([await series.steps(ALL, one, (APART, REASONS, MONEY)) for one in hour])
    weeks = tuple([await series.steps(APART, one) for one in usual.weeks_before(view.window)]) if banded else ()
    told = replace(LATENCY, told=percentiles)
    fine = View(view.window, view.resolution, RESOLUTIONS[view.resolution].width_ms, view.live)
    return Held(
        steps=steps,
        apart=by_provider(await series.steps(APART, view)),
        total=await series.totals(ALL, view.window, (REASONS, MONEY)),
        money=await series.steps(MONEY, view),
        now=now,
        recent=recent,
        judged=judged,
        verdict=verdict,
        minutes=await series.steps(ALL, last) if view.live else {},
        day={}
        if sum(map(bool, recent_weeks)) >= usual.LEAST_WEEKS
        else await series.totals(ALL, day_before(now, now_ms)),
        latency={start: made(cells, percentiles, percentiles) for start, cells in (await series.steps(told, view)).items()},
        recent_latency=await series.totals(SPEED, now),
        taken=await series.totals(MONEY, view.window),
        recent_taken=await series.totals(MONEY, now),
        taken_before=await series.totals(MONEY, earlier),
        taken_weeks=tuple([await series.steps(MONEY, one) for one in hour]),
        reasons=await series.totals(REASONS, view.window),
        weeks=weeks,
        recent_weeks=recent_weeks,
        latency_before=await series.totals(LATENCY, hour[0].window),
        before=await series.totals(ALL, earlier, (REASONS, MONEY)),
        reasons_before=await series.totals(REASONS, earlier),
        enrolled=await series.steps(replace(STEPS, told=approved), view),
        enrolled_total=await series.totals(STEPS, view.window, coarsest=view.resolution),
        enrolled_before=await series.totals(STEPS, earlier),
        opinions=await series.totals(OPINIONS, view.window),
        lag=await series.totals(LAG, now),
        changed=await series.steps(marks.CHANGES, fine),
        weekly=series.remembered("weeks", [cells for week in (*recent_weeks, *weeks) for cells in week.values()], Weekly),
    )


def by_provider(steps: Mapping[int, Totals]) -> dict[str, dict[int, Totals]]:
    """The steps of each provider."""
    found: dict[str, dict[int, Totals]] = {}
    for start, cells in steps.items():
        for name, mine in made(cells, _of_provider, _of_provider).items():
            found.setdefault(name, {})[start] = mine
    return found


def _of_provider(cells: Totals) -> dict[str, Step]:
    found: dict[str, Step] = {}
    for key, cell in cells.items():
        found.setdefault(str(key[AT["provider"]]), Step())[key] = cell
    return found


def _figure(cells: Totals, signal: str) -> float | None:
    """As `figure_of`, of a step."""
    return made(cells, signal, lambda cells: figure_of(signal, cells))


def _finished(cells: Totals) -> int:
    return made(cells, count_of, count_of)


def _last_hour(now_ms: int) -> View:
    end = now_ms - now_ms % MINUTE_MS + MINUTE_MS
    return View(Window(end - HOUR, end), "1m", MINUTE_MS, True)


async def _recent(
    series: Series, view: View, now_ms: int, lengths: Sequence[int], otherwise: tuple[Window, Totals] | None = None
) -> tuple[Window, Totals]:
    """The shortest of these lengths that holds plenty; without one the longest, or what is said."""
    if not view.live:
        return otherwise or (view.window, await series.totals(ALL, view.window))
    found = otherwise
    for length in lengths:
        now = window_of(now_ms, length)
        now = Window(max(now.start_ms, view.window.start_ms), now.end_ms)
        held = await series.totals(ALL, now)
        if count_of(held) >= PLENTY:
            return now, held
        found = otherwise or (now, held)
    assert found is not None, "there is a length"
    return found


def day_before(now: Window, now_ms: int) -> Window:
    """The 24 hours before a window; in whole hours where finer rows may be gone."""
    grain = MINUTE_MS if now_ms - now.start_ms < DAY else HOUR
    end = now.start_ms - now.start_ms % grain
    return Window(end - DAY, end)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page is made of. `guard`: the baseline of the volume of all payments, where the leader has learned one.
    `slices`: of what is held."""

    now_ms: int
    view: View
    pulse: Pulse
    held: Held
    incidents: Sequence[Incident] = ()
    silences: Sequence[Silence] = ()
    guard: Guard | None = None
    slices: Sliced = field(default_factory=Sliced, compare=False)

    @property
    def known(self) -> bool:
        """Whether anything was read at all."""
        return self.held is not NOTHING

    @property
    def unsure(self) -> Mark | None:
        """The state of everything, where the present is not known."""
        return doubted(self.pulse) if self.view.live else None

    @property
    def first_ms(self) -> int:
        """From here on something is known: where the time shown begins, or the first payment came."""
        return min(self.held.steps, default=self.view.window.end_ms)

    @property
    def known_ms(self) -> int:
        """From here on nothing is known."""
        if self.pulse.state == "live":
            return self.view.window.end_ms
        return self.pulse.as_of_ms or self.view.window.start_ms


def payments(facts: Facts) -> PaymentsPage:
    """The whole page."""
    view, held = facts.view, facts.held
    window, now = view.window, held.now
    state, sentence, why = _verdict(facts)
    incident = next((one for one in reversed(facts.incidents) if one.open), None)
    if incident is not None and view.live:
        why = [*why, f" Incident {incident.number} is open: {incident.title}"]
    providers = _providers(facts)
    failed, finished = (
        sum(cell.count for key, cell in held.reasons.items() if key[AT["outcome"]] in wanted)
        for wanted in (("failed",), FINISHED)
    )
    return PaymentsPage(
        state=state,
        sentence=sentence,
        why=why,
        as_of=facts.pulse.as_of_ms,
        now=facts.now_ms,
        start=window.start_ms,
        end=window.end_ms,
        step=view.step_ms,
        live=view.live,
        now_start=now.start_ms,
        now_end=now.end_ms,
        judged=_long(facts, held.judged).lower(),
        tiles=_tiles(facts),
        success=_success(facts),
        volume=_volume(facts),
        latency=_lines(facts, {f"p{q * 100:g}": _latency(facts, q) for q in QUANTILES}),
        providers=providers[:PROVIDERS_SHOWN],
        others=max(0, len(providers) - PROVIDERS_SHOWN),
        heat=_heat(facts),
        funnel=(stages := _funnel(facts)),
        leaving=_leaving(stages),
        reasons=_reasons(facts, finished),
        failed=failed,
        finished=finished,
        revenue=_revenue(facts),
        after=_after(facts),
        marks=marks.shown([*marks.changes(held.changed), *marks.incidents(facts.incidents, window)]),
        planned=marks.planned(held.changed, facts.silences, window),
        known=facts.known,
        unknown=_unknown(facts),
    )


def _unknown(facts: Facts) -> list[Stretch]:
    """Before the first payment that is known, and from where on nothing is."""
    window = facts.view.window
    stretches = (
        Stretch(start=window.start_ms, end=min(facts.first_ms, window.end_ms), label="nothing is known before"),
        Stretch(start=max(facts.known_ms, window.start_ms), end=window.end_ms, label="not known"),
    )
    return [one for one in stretches if one.start < one.end]


# --- what is usual --------------------------------------------------------------------------------------------------


def _usual_share(facts: Facts, name: str, ms: int | None = None, /, **named: str) -> usual.Share | None:
    """A share as it usually is at this hour (that of now unless said), for one slice or all."""
    held, weekly = facts.held, facts.held.weekly
    hour = held.now.start_ms if ms is None else ms
    asked = (name, ms is None, hour - hour % HOUR, *named.items())
    if asked not in weekly.shares:
        found: list[tuple[float, float]] = []
        for cells in usual.of_hour(held.recent_weeks if ms is None else held.weeks, hour):
            mine = weekly.slices.where(cells, **named)
            finished, rate = count_of(mine), figure_of(name, mine)
            if rate is not None:
                found.append((rate * finished, finished))
        weekly.shares[asked] = usual.share(found)
    return weekly.shares[asked]


def _usually(facts: Facts, name: str, **named: str) -> float | None:
    """The same in one figure; where no earlier week is known, that of the day before."""
    weekly = _usual_share(facts, name, **named)
    if weekly is not None:
        return weekly.middle
    mine = facts.slices.where(facts.held.day, **named)
    return figure_of(name, mine) if count_of(mine) >= KNOWN_FROM else None


def _against(facts: Facts) -> str:
    if any(facts.held.recent_weeks):
        known = sum(map(bool, facts.held.recent_weeks))
        return f"the same hour of the last {known} weeks" if known > 1 else "the same hour last week"
    return "the 24 hours before" if count_of(facts.held.day) >= KNOWN_FROM else ""


# --- the sentence -----------------------------------------------------------------------------------------------------


def _verdict(facts: Facts) -> tuple[Mark, Words, Words]:
    unsure = doubt(facts.pulse, facts.now_ms) if facts.view.live or not facts.known else None
    if unsure is not None:
        detail = f"{facts.pulse.detail[:1].upper()}{facts.pulse.detail[1:]}."
        return *unsure, [detail, " The figures below are the last that are known."]
    recent = facts.held.recent
    finished = count_of(recent)
    if not finished:
        last = max((start for start, cells in facts.held.steps.items() if count_of(cells)), default=None)
        if last is None:
            return "nodata", ["No payment finished in the time that is shown."], []
        return "nodata", ["No payment has finished since ", last + facts.view.step_ms, "."], []
    found = all_of(facts.held.verdict, lambda named: _usually(facts, "payment_failure_rate", **named))
    named = guilty(found)
    if named is not None and named.state != "ok":
        return named.state, _fails(facts, named), _beside(facts, named)
    slow = _slowest(facts)
    if slow is not None:
        return slow
    fewer = _fewer(facts, finished)
    if fewer is not None:
        return fewer
    success = figure_of("payment_success_rate", recent)
    middle = _usually(facts, "payment_success_rate")
    compared = f", usually {percent(middle)}" if middle is not None else ""
    return "ok", [f"Payments work: success {percent(success)}{compared}."], [
        f"{grouped(finished)} payments finished {_when(facts)}; {grouped(failed_of(recent))} failed, our side or theirs.",
        *_silent_words(facts),
    ]  # fmt: skip


def _when(facts: Facts, window: Window | None = None) -> str:
    return f"in the {_long(facts, window).lower()}" if facts.view.live else "in the time that is shown"


def _long(facts: Facts, window: Window | None = None) -> str:
    """`Last 5 min`."""
    window = facts.held.now if window is None else window
    return f"Last {duration((window.end_ms - window.start_ms) / 1000)}" if facts.view.live else "In the time shown"


def _fails(facts: Facts, named: Slice) -> Words:
    share = percent(named.failed / named.finished, 0)
    verb = "are failing" if facts.view.live else "failed"
    since = _since(facts, named) if facts.view.live else None
    words: Words = [f"{named.name} payments {verb}: {share}" if named.name else f"Payments {verb}: {share}"]
    if since is not None:
        words += [" since ", since]
    words.append(".")
    rest = named.finished < count_of(facts.held.verdict) and _others_fine(facts, named)
    return [*words, " The rest are fine." if rest else ""]


def _others_fine(facts: Facts, named: Slice) -> bool:
    everything = facts.held.verdict
    mine = where(everything, **named.named)
    rest = {key: cell for key, cell in everything.items() if key not in mine}
    finished, failed = count_of(rest), failed_of(rest)
    return finished > 0 and (failed < ENOUGH or failed <= WORSE * finished)


def _since(facts: Facts, named: Slice) -> int | None:
    """The start of the run of bad minutes that has not ended yet."""
    def counts(cells: Totals) -> tuple[int, int]:
        mine = where(cells, **named.named)
        return count_of(mine), failed_of(mine)

    since, what = None, ("of a slice", *named.named.items())
    for start in reversed(_last_hour(facts.now_ms).starts):
        finished, failed = made(facts.held.minutes.get(start, {}), what, counts)
        if finished and failed <= WORSE * finished:
            break
        if failed:
            since = start
    return since


def _beside(facts: Facts, named: Slice) -> Words:
    said = f"{grouped(named.failed)} of {grouped(named.finished)} failed {_when(facts, facts.held.judged)}"
    share = _usually(facts, "payment_failure_rate", **named.named)
    said += f", usually {percent(share)}" if share is not None else f"; the target is below {percent(WORSE, 0)}"
    return [f"{said}.", *_silent_words(facts)]


def _slowest(facts: Facts) -> tuple[Mark, Words, Words] | None:
    """The provider that is slowest, beyond the target."""
    found: list[tuple[float, str, Mapping[Key, Cell]]] = []
    for name in values_of(facts.held.recent_latency, "provider"):
        cells = facts.slices.where(facts.held.recent_latency, provider=name)
        mean = figure_of("avg_payment_latency", cells)
        if mean is not None and mean > SLOW_S and count_of(cells) >= ENOUGH:
            found.append((mean, name, cells))
    if not found:
        return None
    mean, name, cells = max(found, key=lambda one: one[:2])
    state: Mark = "failing" if mean > TOO_SLOW_S else "degraded"
    p95 = figure(figure_of("p95_payment_latency", cells), 1, 1)
    sentence = f"{name} is slow: p95 {p95}{NB}s, mean {figure(mean, 1, 1)}{NB}s; the target is below {SLOW_S:g}{NB}s."
    others = "Another provider is slow, too. " if len(found) > 1 else ""
    return (
        state,
        [sentence],
        [f"{others}Success {percent(figure_of('payment_success_rate', facts.held.recent))}.", *_silent_words(facts)],
    )


def _fewer(facts: Facts, finished: int) -> tuple[Mark, Words, Words] | None:
    now = facts.held.now
    if not facts.view.live or facts.first_ms >= now.start_ms > facts.view.window.start_ms:
        return None  # or counting began a moment ago
    edges = _usual_count(facts, now.start_ms, now.end_ms - now.start_ms)
    if edges is None or edges[0] < ENOUGH * 2 or finished >= SHARE * edges[0]:
        return None
    low, high = (grouped(round(edge)) for edge in edges)
    sentence = f"Fewer payments than usual: {grouped(finished)} {_when(facts)}, usually {low} to {high}."
    success = percent(figure_of("payment_success_rate", facts.held.recent))
    return "degraded", [sentence], [f"Those that come work: success {success}."]


def _silent_words(facts: Facts) -> list[str | int]:
    """Providers that finished payments in the time shown and none now."""
    if not facts.view.live:
        return []
    words: list[str | int] = []
    for name in values_of(facts.held.total, "provider"):
        if not count_of(facts.slices.where(facts.held.recent, provider=name)):
            words += [f" {name} has sent no payment since ", _last(facts, name), "."]
    return words


def _last(facts: Facts, provider: str) -> int:
    """The end of the last step in which a provider had a payment."""
    return max(facts.held.apart.get(provider, ()), default=facts.view.window.start_ms) + facts.view.step_ms


# --- lines ------------------------------------------------------------------------------------------------------------


def _each(
    facts: Facts, of: Callable[[int, Totals], float | None], least: int, of_steps: Mapping[int, Totals] | None = None
) -> list[float | None]:
    """A value of each step; null before the first that holds any, and where nothing is known. The step that is open counts
    from `least` finished payments on."""
    steps = facts.held.steps if of_steps is None else of_steps
    first = facts.first_ms
    found: list[float | None] = []
    for start in facts.view.starts:
        cells = steps.get(start, {})
        end = start + facts.view.step_ms
        closed = end <= facts.now_ms or (least > 0 and _finished(cells) >= least)
        value = of(start, cells) if first <= start < facts.known_ms and closed else None
        found.append(None if value is None else round(value, 4))
    return found


def _lines(facts: Facts, lines: dict[str, list[float | None]], edges: list[usual.Edges | None] | None = None) -> Lines:
    view = facts.view
    return Lines(
        ends=view.window.start_ms + view.step_ms,
        step=view.step_ms,
        lines=lines,
        low=None if edges is None else [None if one is None else round(one[0], 4) for one in edges],
        high=None if edges is None else [None if one is None else round(one[1], 4) for one in edges],
    )


def _success(facts: Facts, provider: str | None = None) -> Lines:
    """Of all payments, or of one provider."""
    steps = facts.held.steps if provider is None else facts.held.apart.get(provider, {})
    values = _each(facts, lambda _, cells: _figure(cells, "payment_success_rate"), OPEN_FROM, steps)
    return _lines(
        facts, {"Success": values}, _share_edges(facts, **({} if provider is None else {"provider": provider}))
    )


def _share_edges(facts: Facts, **named: str) -> list[usual.Edges | None] | None:
    if facts.view.step_ms > HOUR or not any(facts.held.weeks):
        return None
    by_hour: dict[int, usual.Edges | None] = {}
    edges: list[usual.Edges | None] = []
    for start in facts.view.starts:
        hour = start - start % HOUR
        if hour not in by_hour:
            found = _usual_share(facts, "payment_success_rate", hour, **named)
            by_hour[hour] = None if found is None else found.band(facts.view.step_ms)
        edges.append(by_hour[hour])
    return edges if any(edges) else None


def _volume(facts: Facts) -> Lines:
    step = facts.view.step_ms
    begun = (
        facts.first_ms if facts.first_ms > facts.view.window.start_ms else None
    )  # the first step may be a part of one

    def a_minute(start: int, cells: Totals) -> float | None:
        return None if start == begun else _finished(cells) * MINUTE_MS / step

    values = _each(facts, a_minute, 0)
    edges = [_usual_count(facts, start, step) for start in facts.view.starts] if step <= HOUR else []
    per_minute = [None if one is None else (one[0] * MINUTE_MS / step, one[1] * MINUTE_MS / step) for one in edges]
    return _lines(facts, {"Payments": values}, per_minute if any(per_minute) else None)


def _usual_count(facts: Facts, start: int, width_ms: int) -> usual.Edges | None:
    """How many payments usually finish in a stretch: by what the leader has learned, else by the weeks before."""
    if facts.guard is not None:
        return usual.learned(facts.guard, start, width_ms)
    weeks = [float(_finished(cells)) for cells in usual.of_hour(facts.held.weeks, start)]
    return usual.count(weeks, width_ms)


def percentiles(cells: Totals) -> list[float | None]:
    """The latencies below which the shares of QUANTILES lie of the payments that finished."""
    finished = ((key, cell) for key, cell in cells.items() if key[AT["outcome"]] in FINISHED)
    return kpis.percentiles(shipped()["p95_payment_latency"], finished, QUANTILES)


def _latency(facts: Facts, q: float) -> list[float | None]:
    at, held = QUANTILES.index(q), facts.held.latency
    return _each(facts, lambda start, _: held[start][at] if start in held else None, OPEN_FROM)


# --- tiles ------------------------------------------------------------------------------------------------------------


def _tiles(facts: Facts) -> list[Tile]:
    recent, lagged = facts.held.recent, facts.held.recent_latency
    before, taken_before = (
        next(iter(usual.of_hour(weeks, facts.held.now.start_ms)), {})
        for weeks in (facts.held.recent_weeks, facts.held.taken_weeks)
    )
    minutes = (facts.held.now.end_ms - max(facts.held.now.start_ms, facts.first_ms)) / MINUTE_MS
    finished, failing = count_of(recent), state_of(count_of(facts.held.verdict), failed_of(facts.held.verdict))
    mean_s = figure_of("avg_payment_latency", lagged)
    slow: Mark = "ok" if mean_s is None or mean_s <= SLOW_S else "degraded" if mean_s <= TOO_SLOW_S else "failing"
    main = next(iter(values_of(where(recent, outcome="succeeded"), "currency")), None)
    unit = "" if main is None else SYMBOLS.get(main, main)

    def rates(name: str) -> list[float | None]:
        return _each(facts, lambda _, cells: _figure(cells, name), OPEN_FROM)

    def a_payment(cells: Mapping[Key, Cell]) -> float | None:
        found = None if main is None else figure_of("revenue_per_transaction", where(cells, currency=main))
        return None if found is None else found / 100

    def tile(
        name: str,
        value: float | None,
        was: float | None,
        written: Callable[[float], str],
        suffix: str,
        trend: list[float | None],
        state: Mark = "ok",
        points: bool = False,
    ) -> Tile:
        mark: Mark = "nodata" if value is None else facts.unsure or state
        return Tile(
            name=name, figure="–" if value is None else written(value), unit=suffix, state=mark,
            note=f"{_long(facts)}{_compared(value, was, written, suffix, points)}", trend=trend,
        )  # fmt: skip

    def share(value: float) -> str:
        return figure(value, 100, 1)

    def few(value: float) -> str:
        return grouped(round(value)) if value >= 100 else figure(value, 1, 1)

    def of_share(name: str, signal: str, state: Mark) -> Tile:
        return tile(name, figure_of(signal, recent), figure_of(signal, before), share, "%", rates(signal), state, True)

    p95, p95_before = (figure_of("p95_payment_latency", cells) for cells in (lagged, facts.held.latency_before))
    an_hour = count_of(before) / 60 if before else None
    tiles = [
        of_share("Success rate", "payment_success_rate", failing),
        of_share("Failed, our side or theirs", "payment_failure_rate", failing),
        of_share("Declined by a bank", "payment_decline_rate", "ok"),
        tile("Payments a minute", finished / minutes if minutes > 0 else None, an_hour, few, "",
             _volume(facts).lines["Payments"], "ok" if finished else "nodata"),
        tile("Latency, p95", p95, p95_before, few, "s", _latency(facts, 0.95), slow),
        tile("A payment, mean" if main is None else f"A payment, mean in {main}",
             a_payment(facts.held.recent_taken), a_payment(taken_before),
             lambda one: f"{unit}{NB}{grouped(round(one))}", "",
             _each(facts, lambda _, cells: made(cells, ("a payment", main), a_payment), OPEN_FROM, facts.held.money)),
    ]  # fmt: skip
    return [tile.model_copy(update={"before": _trend_before(facts, tile.name)}) for tile in tiles]


_BEFORE = {
    "Success rate": "payment_success_rate",
    "Failed, our side or theirs": "payment_failure_rate",
    "Declined by a bank": "payment_decline_rate",
}


def _trend_before(facts: Facts, name: str) -> list[float | None] | None:
    """The same time last week, by the hour."""
    last = facts.held.weeks[:1]
    if not any(last) or facts.view.step_ms > HOUR:
        return None
    found: list[float | None] = []
    for start in facts.view.starts:
        cells = next(iter(usual.of_hour(last, start)), {})
        if name in _BEFORE:
            found.append(_figure(cells, _BEFORE[name]))
        elif name == "Payments a minute":
            found.append(_finished(cells) / 60 if cells else None)
        else:
            return None
    return found


def _compared(now: float | None, was: float | None, written: Callable[[float], str], suffix: str, points: bool) -> str:
    """`; last week 97.4 %, −0.4 pt`."""
    if was is None:
        return ""
    unit = f"{NB}{suffix}" if suffix else ""
    said = f"; last week {written(was)}{unit}"
    if now is None:
        return said
    if points:
        return f"{said}, {_signed((now - was) * 100, 1)}{NB}pt"
    if suffix:
        return f"{said}, {_signed(now - was, 1)}{unit}"
    return f"{said}, {_signed(100 * (now - was) / was, 0)}{NB}%" if was else said


def _signed(value: float, places: int) -> str:
    text = f"{abs(value):.{places}f}"
    if not float(text):
        return "±0"
    return f"{'+' if value > 0 else '−'}{text}"


# --- providers and methods --------------------------------------------------------------------------------------------


def _providers(facts: Facts) -> list[ProviderLine]:
    """The one furthest below its own usual first; one that went silent before all others."""
    recent, found = facts.held.verdict, list[tuple[tuple[int, float, str], ProviderLine]]()
    total = figure_of("payment_success_rate", recent)
    for name in values_of(facts.held.total, "provider"):
        mine = facts.slices.where(recent, provider=name)
        finished, failed = count_of(mine), failed_of(mine)
        rate, middle = figure_of("payment_success_rate", mine), _usually(facts, "payment_success_rate", provider=name)
        state = facts.unsure or state_of(finished, failed)
        note = ""
        if not finished:
            silent_s = (facts.held.now.end_ms - _last(facts, name)) / 1000
            note = f"for {duration(silent_s)}" if facts.view.live else ""
        elif middle is not None and rate is not None:
            note = f"usual {figure(middle, 100, 1)}, {_signed((rate - middle) * 100, 1)}{NB}pt"
        lines = _success(facts, name)
        below = (rate or 0.0) - (middle if middle is not None else total or 0.0)
        found.append(
            (
                (0 if not finished else 1, below, name),
                ProviderLine(
                    name=name,
                    state=state,
                    figure=percent(rate) if finished else "no data",
                    note=note,
                    values=lines.lines["Success"],
                    low=lines.low,
                    high=lines.high,
                ),
            )
        )
    return [line for _, line in sorted(found, key=lambda one: one[0])]


def _heat(facts: Facts) -> Heat:
    """A method is offered where there was a payment with it in the time shown, the day before or a week before."""
    held = facts.held
    known = (held.total, held.day, held.before)
    methods = values_of_all(known, "method")[:METHODS_SHOWN]
    rows = []
    for provider in values_of_all(known, "provider")[:PROVIDERS_SHOWN]:
        cells: list[HeatCell | None] = []
        for method in methods:
            if not any(count_of(facts.slices.where(one, provider=provider, method=method)) for one in known):
                cells.append(None)
                continue
            mine = facts.slices.where(held.recent, provider=provider, method=method)
            rate = figure_of("payment_success_rate", mine)
            middle = _usually(facts, "payment_success_rate", provider=provider, method=method)
            below = None if rate is None or middle is None else round((middle - rate) * 100, 1)
            cells.append(HeatCell(share=rate, below=below, count=count_of(mine)))
        rows.append(HeatRow(provider=provider, cells=cells))
    return Heat(methods=methods, rows=rows, against=_against(facts))


# --- from checkout to the course --------------------------------------------------------------------------------------


def _enrolled(cells: Mapping[Key, Cell], step: str) -> int:
    return sum(cell.count for key, cell in cells.items() if key[_STEP] == step)


def approved(cells: Totals) -> float | None:
    """How long approvals took: the 95th percentile."""
    return kpis.percentile(shipped()["approval_time"], _of_step(cells, "approved"), 0.95)


def _approved_mean(cells: Totals) -> float | None:
    approval = shipped()["approval_time"]
    at, _ = approval.measured()
    mine = [cell.stats[at] for _, cell in _of_step(cells, "approved")]
    n = sum(stat.n for stat in mine)
    return sum(stat.total for stat in mine) / n / approval.scale if n else None


def _of_step(cells: Totals, step: str) -> list[tuple[Key, Cell]]:
    return [(key, cell) for key, cell in cells.items() if key[_STEP] == step]


def _stages(paid: Mapping[Key, Cell], enrolled: Mapping[Key, Cell]) -> list[tuple[str, int]]:
    return [
        ("Started", count_of(paid, ("initiated",))),
        ("Redirected", count_of(paid, ("redirected",))),
        ("Paid", count_of(paid, ("succeeded",))),
        ("Enrolled", _enrolled(enrolled, "created")),
        ("Access granted", _enrolled(enrolled, "access_granted")),
    ]


def _funnel(facts: Facts) -> list[Stage]:
    """How often each step happened in the time shown. A step of which nothing was ever told is not known."""
    held = facts.held
    now = _stages(held.total, held.enrolled_total)
    before = _stages(held.before, held.enrolled_before)
    started, was = now[0][1], before[0][1]
    found: list[Stage] = []
    for at, (name, count) in enumerate(now):
        told = bool(count or before[at][1])
        above = found[-1].count if found else None
        found.append(
            Stage(
                name=name,
                count=count if told else None,
                share=count / started if started and told else None,
                of_before=count / above if above and told else None,
                usual=before[at][1] / was if was and before[at][1] else None,
            )
        )
    return found


def _leaving(stages: Sequence[Stage]) -> str:
    redirected, paid = stages[1], stages[2]
    if not redirected.count or paid.count is None or paid.of_before is None or paid.of_before > 1:
        return ""
    said = f"Between redirected and paid {percent(1 - paid.of_before)} leave or fail"
    if redirected.usual and paid.usual is not None:
        return f"{said}, last week {percent(1 - paid.usual / redirected.usual)}."
    return f"{said}: about {grouped(redirected.count - paid.count)} people."


def _scaled(facts: Facts) -> float:
    """What last week's whole hours are multiplied by to be as long as what is shown."""
    hours = usual.hours(facts.view.window)
    shown = min(facts.view.window.end_ms, facts.now_ms) - facts.view.window.start_ms
    return shown / (hours.end_ms - hours.start_ms)


def _reasons(facts: Facts, finished: int) -> list[FailureReason]:
    """Those that grew most since last week first; the most frequent first where that is not known."""
    known = bool(facts.held.reasons_before)
    found: list[FailureReason] = []
    for key, cell in facts.held.reasons.items():
        if key[AT["outcome"]] != "failed":
            continue
        was = facts.held.reasons_before.get(key)
        before = round((was.count if was else 0) * _scaled(facts)) if known else None
        found.append(
            FailureReason(
                reason=str(key[AT["reason"]]), fault=str(key[AT["fault"]]), count=cell.count,
                share=cell.count / finished if finished else 0.0, before=before,
            )
        )  # fmt: skip
    found.sort(key=lambda one: (-(one.count - (one.before or 0)), one.reason))
    return found[:REASONS_SHOWN]


def _revenue(facts: Facts) -> list[Taken]:
    signal = shipped()["revenue"]
    at, _ = signal.measured()
    found = []

    def taken(cells: Mapping[Key, Cell]) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for key, cell in cells.items():
            if key[AT["outcome"]] == "succeeded":
                total, n = found.get(currency := str(key[AT["currency"]]), (0, 0))
                found[currency] = total + cell.stats[at].total, n + cell.count
        return found

    def in_step(cells: Totals, currency: str) -> float:
        return float(made(cells, "taken", taken).get(currency, (0, 0))[0])

    now, before = taken(facts.held.taken), taken(facts.held.taken_before)
    for currency in values_of(where(facts.held.taken, outcome="succeeded"), "currency"):
        total, n = now[currency]
        was = before.get(currency, (0, 0))[0] if facts.held.taken_before else None
        found.append(
            Taken(
                currency=currency,
                taken=total,
                payments=n,
                mean=total / n if n else None,
                before=None if was is None else round(was * _scaled(facts)),
                trend=_each(facts, lambda _, cells, one=currency: in_step(cells, one), 0, facts.held.money),  # type: ignore[misc]
            )
        )
    return found


def _after(facts: Facts) -> list[After]:
    held = facts.held
    enrolled, was = held.enrolled_total, held.enrolled_before
    paid, opened = held.total, _enrolled(enrolled, "created")

    def ratio(part: int, base: int) -> str:
        return percent(part / base) if base and part <= base else f"{grouped(part)} of {grouped(base)}" if base else "–"

    def timed(value: float | None) -> str:
        return "–" if value is None else f"{value * 1000:.0f}{NB}ms" if value < 1 else f"{value:.1f}{NB}s"

    def by_step(step: str) -> list[float | None]:
        def of(start: int, _: Totals) -> float:
            return made(held.enrolled.get(start, {}), step, lambda cells: float(_enrolled(cells, step)))

        return _each(facts, of, 0) if opened else []

    def refunded(cells: Totals) -> float:
        return float(count_of(cells, ("refunded",)))

    lag, satisfied = (
        kpis.value("webhook_lag", {"webhooks": held.lag}),
        kpis.value("customer_satisfaction", {"experience": held.opinions}),
    )
    answers = sum(cell.count for key, cell in held.opinions.items() if key[0] == "feedback.given")
    offered = kpis.value("feature_availability", {"experience": held.opinions})
    scores = {int(str(key[4])): cell.count for key, cell in held.opinions.items() if key[0] == "feedback.given"}
    average = sum(score * n for score, n in scores.items()) / answers if answers else None
    return [
        After(name="Enrolments created", figure=grouped(opened) if enrolled or paid else "–",
              before=grouped(round(_enrolled(was, "created") * _scaled(facts))) if was else "–", trend=by_step("created")),
        After(name="Paid payments that are enrolled", figure=ratio(opened, count_of(paid, ("succeeded",))) if enrolled else "–",
              before=ratio(_enrolled(was, "created"), count_of(held.before, ("succeeded",))) if was else "–", trend=[]),
        After(name="Approval time, p95", figure=timed(approved(enrolled)), before=timed(approved(was)),
              trend=_each(facts, lambda start, _: made(held.enrolled.get(start, {}), approved, approved), 0),
              note=f"mean {timed(mean)}" if (mean := _approved_mean(enrolled)) is not None else ""),
        After(name="Access granted", figure=ratio(_enrolled(enrolled, "access_granted"), opened),
              before=ratio(_enrolled(was, "access_granted"), _enrolled(was, "created")), trend=by_step("access_granted")),
        After(name="Webhook lag, mean", figure=timed(lag), before="–", trend=[],
              note=_when(facts) if lag is not None else ""),
        After(name="Refunds", figure=grouped(count_of(paid, ("refunded",))) if paid else "–",
              before=grouped(round(count_of(held.before, ("refunded",)) * _scaled(facts))) if held.before else "–",
              trend=_each(facts, lambda _, cells: made(cells, "refunded", refunded), 0)),
        After(name="Experience score, mean of 5", figure=figure(average, 1, 2), before="–", trend=[],
              note=f"{percent(satisfied, 0)} gave 4 or 5; {grouped(answers)} answers" if answers else "nobody was asked"),
        After(name="Ways to pay, available", figure="–" if offered is None else percent(offered, 2), before="–", trend=[]),
    ]  # fmt: skip
