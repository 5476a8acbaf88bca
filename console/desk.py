"""What the routes stand on: one reader of the tables, one board of alerts, the rules in force, and a place for long work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis

from agents.rulebook import Rulebook
from console import health, kpis, pipeline_page, signals
from console import overview as first_page
from console.aside import Aside
from console.board import KEPT, Board, Event, Follower, Message
from console.checklist_desk import ChecklistDesk
from console.incident_desk import IncidentDesk
from console.kept import Keeper
from console.kpis import Seen
from console.live import Live
from console.overview import Facts
from console.problems import unknown
from console.readings import AWAY, KEPT_S, Pulse, Readings, Shared, Totals, Window, window_of
from console.rules_page import rules_page
from console.saved import Saved
from console.series import Cut, Series
from console.shapes import (
    AnalystPage,
    Column,
    Figures,
    Health,
    Overview,
    Page,
    PipelinePage,
    RuleInFull,
    RulesPage,
    SqlTable,
    Tick,
)
from console.signals import Signals
from console.span import View
from console.status_book import StatusBook
from console.tables import Answer as TableAnswer
from console.tables import Question
from rollups.query import CATALOG, Answer, query
from rollups.tables import DAY, RESOLUTIONS, TableStore
from rules.loader import RuleSet
from rules.signals import shipped
from runtime.clock import Clock
from runtime.redis import connect
from runtime.settings import Settings
from runtime.tasks import end

log = logging.getLogger(__name__)

TICK_S, GATHER_S, AGAIN_AFTER_S = 2.0, 0.25, 5.0
KEPT_WARM_S = 20.0
SIGNALS_KEPT_S = 5.0
SQL_ROWS = 10_000
SQL_BYTES = 8_000_000
PAGES_AT_ONCE, PAGES_WAITING, PAGES_KEPT = 16, 200, 50
SQL_TABLES = [
    SqlTable(
        name=name,
        kept_s=RESOLUTIONS[name.rpartition("_")[2]].kept_ms / 1000,
        columns=[Column(name=column, type=kind) for column, kind in columns],
    )
    for name, columns in CATALOG.items()
]
H = TypeVar("H")
P = TypeVar("P", bound=Page)


async def _again(run: Callable[[], Awaitable[None]]) -> None:
    """A fault in what follows the others must not leave the pages without news: it is told, and tried again."""
    while True:
        try:
            await run()
            return
        except Exception:
            log.exception("%s failed; again in %g s", run.__qualname__, AGAIN_AFTER_S)
            await asyncio.sleep(AGAIN_AFTER_S)


class Desk:
    """Everything that one console has. `running` starts what follows and ends it."""

    def __init__(self, settings: Settings, clock: Clock, rules: RuleSet) -> None:
        self.settings, self.clock, self.rules = settings, clock, rules
        self._redis: Redis = connect(settings)
        self._redis_aside: Redis = connect(settings)
        self._tables_aside = TableStore(self._redis_aside, settings.names)
        self._aside = Aside()
        self.readings = Readings(self._redis, settings.names, clock)
        self.board = Board()
        self.follower = Follower(self.board, settings, self._redis)
        self.checklists = ChecklistDesk(settings, self._redis, self.readings, self.totals)
        self.incidents = IncidentDesk(settings, self._redis, self.readings, self.board, lambda: self.rules)
        self.status = StatusBook(
            settings.organisation, self.readings, self.totals, self.incidents.ledger, self.incidents.duty
        )
        self.incidents.services = self.status.services
        self._redis_pages: Redis = connect(settings)
        self._pages_aside = Aside(PAGES_AT_ONCE, PAGES_WAITING)
        self._series = Series(TableStore(self._redis_pages, settings.names), self.readings.now_ms)
        self._shown: Shared[Any] = Shared()
        self._state = ""
        """That of the pulse at the last tick."""
        self._read: OrderedDict[Hashable, Any] = OrderedDict()
        self.saved = Saved(self._redis, settings.names)
        self._signals: Shared[Signals] = Shared(SIGNALS_KEPT_S)
        self.keeper = Keeper(self._redis, settings.names)
        self.live = Live(settings)
        self.ready = False

    @contextlib.asynccontextmanager
    async def running(self, *beside: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Follows alerts and rules, and ticks, until the block is left. beside: what else goes on meanwhile."""
        self._aside.start()
        self._pages_aside.start()
        follower, incidents = self.follower, self.incidents
        following = (follower.follow_topic, follower.follow_store, *incidents.tasks, *self.status.tasks)
        running = (*following, self._follow_rules, self._tick, *beside)
        tasks = [asyncio.create_task(_again(one)) for one in running]
        self.ready = True
        try:
            yield
        finally:
            self.ready = False
            self.board.close()
            await end(tasks)
            await self._shown.close()
            await self.live.close()
            await self._aside.run(self._redis_aside.aclose)
            self._aside.stop()
            await self._pages_aside.run(self._redis_pages.aclose)
            self._pages_aside.stop()
            await self._redis.aclose()

    async def _follow_rules(self) -> None:
        if self.settings.rules is None:
            return
        book = Rulebook(self.settings.rules, self.settings.bucket_ms)
        while True:
            self.rules = await book.changed()

    async def _tick(self) -> None:
        """Tells all who listen how things are: one reading for all of them, at every tick and when an alert comes."""
        news, looked = self.board.news, float("-inf")
        while True:
            self.readings.partitions = self.follower.partitions
            if not self.board.listeners and time.monotonic() - looked > KEPT_WARM_S:
                looked = time.monotonic()
                await self.overview()  # so that whoever comes first does not wait for an hour of rows to be read
            if self.board.listeners:
                self.board.tell(Message("tick", (await self.tick()).model_dump_json()))
                self._shown.forget("overview")
                self.board.tell(Message("overview", (await self.overview()).encoded.decode()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await news.wait()
                    await asyncio.sleep(GATHER_S)  # alerts that belong together come together
            news.clear()

    async def tick(self) -> Tick:
        """How fresh everything is."""
        now_ms, pulse = self.readings.now_ms(), await self.readings.pulse()
        self._state = pulse.state
        latest = self.board.latest
        return Tick(
            now=now_ms,
            state=pulse.state,
            as_of=pulse.as_of_ms,
            age_s=pulse.age_s(now_ms),
            detail=pulse.detail,
            firing=sum(event["data"]["status"] == "firing" for event in self.board.firing()),
            alerts=self.follower.away or "followed",
            last_alert=None if latest is None else latest.place,
            incidents=self.incidents.open,
        )

    # --- answers ------------------------------------------------------------------------------------------------------

    async def figures(self, subject: str, length_ms: int) -> Figures:
        """The key figures of a window of this length. Raises what redis raises when it is away."""
        now_ms = self.readings.now_ms()
        seen = Seen(window_of(now_ms, length_ms), await self.readings.pulse())
        cuts = [kpis.cut_of(table, *kpis.TOLD_BY) for table in kpis.TABLES_OF[subject]]
        held = await self.totals(cuts, seen.window)
        if subject == "payments":
            return kpis.payments(seen, held, await self.totals(cuts[:1], window_of(now_ms, DAY)))
        return kpis.FIGURES[subject](seen, held)

    async def totals(self, cuts: Sequence[Cut], window: Window) -> dict[str, Totals]:
        """What a window holds of these cuts, each of another table: by table. Raises what redis raises when it is away."""

        async def read(series: Series) -> dict[str, Totals]:
            return {cut.table: await series.totals(cut, window) for cut in cuts}

        return await self._looked(read)

    async def _looked(self, read: Callable[[Series], Coroutine[Any, Any, H]]) -> H:
        """What is read of the tables for one answer."""
        return await self._pages_aside.run(lambda: self._series.together(read))

    async def health(self, part: str | None) -> Health:
        """The verdict on one part, or on everything. A store that is away is an answer, too."""
        pulse = await self.readings.pulse()
        names = health.NAMES if part is None else (part,)
        now_ms = self.readings.now_ms()
        if pulse.state == "blind":
            return health.unread(names, now_ms, pulse)
        try:
            minute, day = await self._looked(lambda series: health.read(series, now_ms))
        except AWAY as error:
            away = Pulse("blind", f"the store does not answer ({type(error).__name__})", pulse.as_of_ms)
            return health.unread(names, now_ms, away)
        if part is None:
            return health.overall(now_ms, pulse, minute, day)
        return health.of_part(part, now_ms, pulse, minute, day)

    async def overview(self) -> Overview:
        """The first page."""
        return await self.page("overview", first_page.read, first_page.NOTHING, self._overview)

    def _overview(self, now_ms: int, pulse: Pulse, held: first_page.Held) -> Overview:
        known = self.incidents.ledger.incidents
        return first_page.overview(Facts(now_ms, pulse, held, self.board.firing(), len(self.rules.rules), known))

    async def rules_page(self) -> RulesPage:
        """Every rule, how it stands, and what it told of late."""

        async def shown() -> RulesPage:
            pulse, standings = await self.standings()
            records = self.incidents.records()
            return rules_page(self.readings.now_ms(), pulse, self.rules, standings, self._alerts(), records)

        return await self.once("rules", shown)

    async def once(self, key: Hashable, make: Callable[[], Awaitable[H]]) -> H:
        """One answer for all who ask within a moment."""
        return cast(H, await self._shown.get(key, make))

    async def rule(self, name: str) -> RuleInFull:
        """One rule, with what the last alerts and the incidents tell of it. Raises Refused."""
        page = await self.rules_page()
        rule = next((one for one in page.rules if one.rule == name), None)
        if rule is None:
            raise unknown("rule", name, sorted(one.rule for one in page.rules), 404)
        pulse = await self.readings.pulse()
        return RuleInFull(
            rule=rule,
            history=page.history.get(name),
            history_since=page.since,
            record=page.records.rules.get(f"{rule.pack}/{name}"),
            record_since=page.records.since,
            followed=page.records.followed,
            as_of=pulse.as_of_ms,
            stale=pulse.state != "live",
        )

    def _alerts(self) -> list[Event]:
        """The last alert events, the latest first."""
        return [post.event for post in self.board.before(None, lambda _: True, KEPT)]

    async def pipeline(self, view: View) -> PipelinePage:
        """How far everything is."""
        try:
            notifiers = await self.readings.notifiers()
        except AWAY:
            notifiers = []
        alerts = self._alerts()

        def made(now_ms: int, pulse: Pulse, steps: pipeline_page.Steps) -> PipelinePage:
            return pipeline_page.pipeline_page(
                pipeline_page.Facts(
                    now_ms, pulse, view, steps, notifiers, alerts, len(self.rules.rules), self.settings.names.subject
                )
            )

        key, nothing = ("pipeline", view), pipeline_page.NOTHING
        return await self.page(key, lambda series, _: pipeline_page.read(series, view), nothing, made, view.shared_s)

    async def analyst(self) -> AnalystPage:
        """What there is to ask. Statements that are saved are left out where the store is away."""
        pulse = await self.readings.pulse()
        try:
            saved = await self.saved.all()
        except AWAY:
            saved = []
        return AnalystPage(
            state="ok", sentence=[], why=[], as_of=pulse.as_of_ms, now=self.readings.now_ms(), tables=SQL_TABLES, saved=saved
        )

    async def page(
        self,
        key: Hashable,
        read: Callable[[Series, int], Coroutine[Any, Any, H]],
        nothing: H,
        make: Callable[[int, Pulse, H], P],
        shared_s: float = KEPT_S,
    ) -> P:
        """A page, made once for all who ask within a moment: `read` what it is made of, then `make` it of the present, the
        pulse and that. Where the store is away it is made of what was read last (`nothing` at first), and the pulse says so.

        `key`: what tells it from other pages, with all that `read` goes by. shared_s: how long that moment is, which an alert
        ends, or that the pulse is another.
        """

        async def shown() -> P:
            now_ms, pulse = self.readings.now_ms(), await self.readings.pulse()
            if pulse.state == "blind":  # who does not answer is not waited for twice
                return make(now_ms, pulse, self._read.get(key, nothing))
            try:
                held = await self._looked(lambda series: read(series, now_ms))
                self._read[key] = held
                self._read.move_to_end(key)
                while len(self._read) > PAGES_KEPT:
                    self._read.popitem(last=False)
            except AWAY as error:
                pulse = Pulse("blind", f"the store does not answer ({type(error).__name__})", pulse.as_of_ms)
                held = self._read.get(key, nothing)
            return make(now_ms, pulse, held)

        if shared_s > KEPT_S:
            latest = self.board.latest
            return cast(P, await self._shown.get((key, self._state, latest and latest.place), shown, shared_s))
        return await self.once(key, shown)

    async def signals(self) -> Signals:
        """What every signal is now; read once for all who ask within some seconds. Raises what redis raises when it is away."""

        async def ask() -> Signals:
            names = tuple(shipped())
            now_ms, pulse = self.readings.now_ms(), await self.readings.pulse()
            seen = await self._looked(lambda series: signals.read(series, names, now_ms, pulse))
            return signals.signals(seen, names, self.rules.rules)

        return await self._signals.get("signals", ask)

    async def aside(self, work: Callable[[Redis], Coroutine[Any, Any, H]]) -> H:
        """What takes long, where others are answered meanwhile, with a connection for it."""
        return await self._aside.run(lambda: work(self._redis_aside))

    async def rows(self, asked: Question) -> dict[str, Any]:
        """The rows of a table. Raises Refused, and what redis raises when it is away."""

        async def read() -> dict[str, Any]:
            answer = TableAnswer(asked)
            async for rows in self._tables_aside.chunks(
                asked.table.name, asked.resolution.name, asked.start_ms, asked.end_ms, sketches=asked.sketched
            ):
                answer.add(rows)
            return answer.told()

        return await self._aside.run(read)

    async def sql(self, text: str) -> Answer:
        """The answer of one SELECT. Raises QueryError, Refused, and what redis raises when it is away."""
        now = self.clock.now()
        return await self._aside.run(
            lambda: query(self._tables_aside, text, now, rows=SQL_ROWS, answer_bytes=SQL_BYTES)
        )

    async def standings(self) -> tuple[Pulse, dict[str, list[Mapping[str, Any]]]]:
        """The pulse, and how each rule that is not well stands, by its name."""
        pulse = await self.readings.pulse()
        told = (pulse.leader or {}).get("rules") or {}
        found: dict[str, list[Mapping[str, Any]]] = {}
        for one in told.get("states", ()):
            found.setdefault(one["rule"], []).append(one)
        return pulse, found
