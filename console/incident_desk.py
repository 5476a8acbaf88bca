"""What the routes of incidents stand on: the ledger, the counter where commands are handed in, and the figures of then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from console import evidence, operations, scores
from console import incidents as people
from console.board import Board, Message
from console.duty import DutyBook
from console.evidence import FROZEN, Frozen
from console.incident_shapes import (
    Action,
    Answered,
    IncidentRow,
    Incidents,
    IncidentsPage,
    NewSilence,
    OnCall,
    OperationsFigures,
    Room,
    Said,
    SilenceAnswered,
    Silences,
    WholeIncident,
)
from console.ledger import Following, Ledger
from console.problems import Refused
from console.readings import AWAY, Readings, window_of
from console.runbooks import runbook
from console.shapes import OpenIncidents, RuleRecords
from console.who import Who
from notifier.silences import BadSilence, check, matcher
from notifier.store import Counter
from rollups.tables import DAY, Rows
from rules.loader import RuleSet
from rules.rule import Rule
from rules.words import explain
from runtime.settings import Settings
from runtime.tasks import heed
from schemas.incident import Answer, Command, Incident, Onset, Silence, Update

log = logging.getLogger(__name__)

WITHIN_S = 8.0
"""How long the notifier has to answer; well below what a request may take."""
ASKED_AGAIN_S = 1.0
"""What is not known is looked for in the store, but no more often than this."""
FREEZE_EVERY_S = 10.0
FROZEN_KEPT_S = 90 * 86_400
READ_WITHIN_S = 8.0
_AWAY = "no notifier answered within {within:g} s: it was asked, and does it once one leads; look again in a moment"


class IncidentDesk:
    """Everything about incidents that one console has. rules: those in force now."""

    def __init__(
        self, settings: Settings, redis: Redis, readings: Readings, board: Board, rules: Callable[[], RuleSet]
    ) -> None:
        self._settings, self._redis, self._readings, self._board, self._rules = settings, redis, readings, board, rules
        self._counter = Counter(redis, settings.names)
        self.ledger = Ledger(self._changed)
        self.following = Following(self.ledger, settings, self._counter.all)
        self.duty = DutyBook(settings.teams)
        self._followed_ms: int | None = None
        self.services: Callable[[], Awaitable[list[str]]] = _none
        """What the public page calls its services."""
        self._frozen: set[str] = set()
        """Alerts whose figures are kept, or never will be."""

    @property
    def tasks(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What runs while the console does."""
        return self.following.follow_topic, self.following.follow_store, self.freeze

    def _changed(self, incident: Incident) -> None:
        """Tells all who listen."""
        self._board.tell(Message("incident", people.row(incident, self._now_ms()).model_dump_json()))

    def _now_ms(self) -> int:
        return self._readings.now_ms()

    def _as_of_ms(self) -> int | None:
        """Up to when changes were told: now, while they are."""
        if self.following.followed:
            self._followed_ms = self._now_ms()
        return self._followed_ms

    @property
    def open(self) -> OpenIncidents:
        """How many are open, and how bad the worst is; every tick asks."""
        self._as_of_ms()
        return people.open_ones(self.ledger.open)

    # --- looking ------------------------------------------------------------------------------------------------------

    async def page(self, statuses: frozenset[str] | None, severity: str | None, before: int | None, limit: int) -> Incidents:
        """Incidents of these statuses and this severity, the latest first."""
        await self._known()
        found = people.wanted(self.ledger.incidents, statuses, severity, before)
        return Incidents(
            incidents=self._rows(found[:limit]),
            next=found[limit - 1].number if len(found) > limit else None,
            open=len(self.ledger.open),
            followed=self.following.followed,
        )

    def _rows(self, found: list[Incident]) -> list[IncidentRow]:
        now_ms = self._now_ms()
        return [people.row(one, now_ms) for one in found]

    async def find(self, wanted: str) -> Incident:
        """An incident as it was saved last. Raises Refused with 404, and what redis raises when it is away."""
        found = self.ledger.find(wanted)
        if found is None:
            await self.following.look(ASKED_AGAIN_S)
            found = self.ledger.find(wanted)
        if found is None:
            raise Refused(404, f"there is no incident {wanted[:64]!r}: /api/v1/incidents lists them with their numbers")
        async with asyncio.timeout(READ_WITHIN_S):
            fresh = await self._counter.one(found.id)
        if fresh is not None:
            self.ledger.put(fresh)
        return fresh or found

    async def whole(self, wanted: str) -> WholeIncident:
        """All that is known of one."""
        return await self._whole(await self.find(wanted))

    async def _whole(self, incident: Incident) -> WholeIncident:
        onset = people.worst_onset(incident)
        rule = None if onset is None else self._rule(onset)
        kept = None if onset is None else await self.figures(onset)
        current = rule is not None and onset is not None and rule.version == onset.rule_version
        return people.whole(
            incident,
            self.ledger.incidents,
            self._now_ms(),
            means=explain(rule) if rule is not None and current else None,
            kept=kept,
            runbook=runbook(incident.runbook, self._settings.rules),
        )

    def _rule(self, onset: Onset) -> Rule | None:
        return next((one for one in self._rules().rules if one.full_name == (onset.pack, onset.rule)), None)

    async def _known(self) -> None:
        """Where the store was never read, reads it: nothing known is not nothing open. Raises what redis raises."""
        if not self.ledger.known:
            await self.following.look()

    # --- the figures of then --------------------------------------------------------------------------------------------

    async def figures(self, onset: Onset) -> Frozen | None:
        """The figures around an onset: those that are kept, or else as they are now. None where there are none."""
        rule = self._rule(onset)
        key = self._settings.names.frozen(onset.alert)
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(READ_WITHIN_S):
                held = await self._redis.get(key)
                if held is not None:
                    self._frozen.add(onset.alert)
                    return FROZEN.validate_json(held)
                if rule is None:
                    return None
                now_ms = self._now_ms()
                plan = evidence.plan(onset, rule, now_ms)
                if plan is None:
                    return None
                rows: Rows = {}
                async for some in self._readings.tables.chunks(
                    plan.table.name, plan.resolution.name, plan.start_ms, plan.end_ms, sketches=plan.sketches
                ):
                    rows |= some
                found = evidence.frozen(plan, onset, rows, now_ms)
                if found.chart.final:  # of two consoles the first one keeps it, and both show that
                    kept = await self._redis.set(key, found.model_dump_json(), nx=True, ex=FROZEN_KEPT_S)
                    self._frozen.add(onset.alert)
                    return found if kept else FROZEN.validate_json(await self._redis.get(key) or b"")
                return found
        return None

    async def freeze(self) -> None:
        """Keeps the figures of each incident as soon as they are complete, whether or not somebody looks; returns never."""
        while True:
            onsets = [onset for one in self.ledger.incidents if (onset := people.worst_onset(one)) is not None]
            self._frozen &= {onset.alert for onset in onsets}
            for onset in onsets:
                if onset.alert not in self._frozen:
                    await self.figures(onset)
                    if self._now_ms() - onset.detected_ms > DAY:
                        self._frozen.add(onset.alert)  # what is not kept by now never will be
            heed()
            await asyncio.sleep(FREEZE_EVERY_S)

    # --- acting -------------------------------------------------------------------------------------------------------

    async def act(self, wanted: str, action: Action, said: Said, who: str, command_id: str) -> Answered:
        """Hands a command in and waits for the answer. Raises Refused with 404 or 409."""
        incident = await self.find(wanted)
        update = None
        if action == "publish":
            update = Update(said.text, said.felt, said.title, tuple(said.services), said.next_at)
        text = "" if action == "publish" else said.text
        command = Command(command_id, action, who, incident.id, text, update=update, rules=tuple(said.rules))
        answer = await self._handed_in(command)
        if answer is None:
            return Answered(done=None, text=_AWAY.format(within=WITHIN_S))
        fresh = await self.find(incident.id)
        return Answered(done=True, text=answer.text, incident=people.row(fresh, self._now_ms()))

    async def _handed_in(self, command: Command) -> Answer | None:
        """What came of it; None where nobody answered in time. Raises Refused with 409 where it cannot be done."""
        answer = await self._counter.send(command, WITHIN_S)
        if answer is not None and not answer.done:
            raise Refused(409, answer.text)
        return answer

    async def silences(self, everything: bool) -> Silences:
        await self._known()
        return Silences(
            silences=[people.silence_row(one) for one in self.ledger.silences if everything or one.phase != "over"],
            followed=self.following.followed,
        )

    async def silence(self, wanted: NewSilence, who: str, command_id: str) -> SilenceAnswered:
        """Adds a silence. Raises Refused with 400 where it cannot be used, with 409 where the notifier says no."""
        now_ms = self._now_ms()
        start = now_ms if wanted.start is None else wanted.start
        if (wanted.end is None) == (wanted.lasts_s is None):
            raise Refused(400, "until when? Say either end or lasts_s")
        end = wanted.end if wanted.lasts_s is None else start + round(wanted.lasts_s * 1000)
        assert end is not None
        try:
            matchers = tuple(matcher(one) for one in wanted.matchers)
            found = Silence(command_id, wanted.kind, matchers, start, end, who, wanted.reason)
            check(found, now_ms)
        except BadSilence as error:
            raise Refused(400, str(error)) from None
        return await self._silenced(Command(command_id, "silence", who, silence=found))

    async def unsilence(self, mark: str, who: str, command_id: str) -> SilenceAnswered:
        """Ends a silence. Raises Refused with 404."""
        await self._known()
        if not any(one.id.startswith(mark) for one in self.ledger.silences):
            await self.following.look(ASKED_AGAIN_S)
        found = [one for one in self.ledger.silences if one.id.startswith(mark)]
        if len(found) != 1:
            raise Refused(404, f"there is no silence {mark[:64]!r}: /api/v1/silences lists them")
        return await self._silenced(Command(command_id, "unsilence", who, text=found[0].id))

    async def _silenced(self, command: Command) -> SilenceAnswered:
        answer = await self._handed_in(command)
        if answer is None:
            return SilenceAnswered(done=None, text=_AWAY.format(within=WITHIN_S))
        fresh = None if answer.id is None else await self._counter.silence(answer.id)
        if fresh is not None:
            self.ledger.put_silence(fresh)
        return SilenceAnswered(done=True, text=answer.text, silence=None if fresh is None else people.silence_row(fresh))

    # --- people and figures -------------------------------------------------------------------------------------------

    async def on_call(self) -> OnCall:
        return await self.duty.on_call(self._now_ms())

    async def webhook(self) -> str | None:
        """Where messages about incidents are sent to, if anywhere: the channel, not its address, which may be a secret."""
        with contextlib.suppress(Refused):
            directory, _ = await self.duty.directory()
            if "webhook" in directory.channels:
                return "[channels.webhook] of teams.toml: one signed POST for each message"
        return None

    def records(self) -> RuleRecords:
        """What the incidents tell of the rules."""
        incidents, now_ms = self.ledger.incidents, self._now_ms()
        return RuleRecords(
            rules=scores.records(incidents, now_ms),
            since=scores.known_since(incidents, now_ms),
            followed=self.following.followed,
        )

    def operations(self, length_ms: int) -> OperationsFigures:
        """How the incidents that opened in the window that ends now are handled."""
        now_ms = self._now_ms()
        window = window_of(now_ms, length_ms)
        return operations.figures(self.ledger.incidents, window, now_ms, stale=not self.following.followed)

    # --- pages --------------------------------------------------------------------------------------------------------

    async def list_page(
        self, state: str | None, statuses: frozenset[str] | None, severity: str | None, before: int | None, limit: int
    ) -> IncidentsPage:
        """The page of incidents: what is open, then the last ones. A store that is away is an answer, too."""
        with contextlib.suppress(*AWAY):
            await self._known()
        shown = people.wanted(self.ledger.incidents, statuses, severity, before)
        rest = [one for one in shown if not one.open]
        begun = people.worst_first(one for one in shown if one.open)
        mark, sentence = people.list_sentence(self.ledger.open, known=self.ledger.known)
        now_ms, figures = self._now_ms(), self.operations(30 * DAY)
        return IncidentsPage(
            state=mark,
            sentence=sentence,
            why=people.list_why(self.ledger.open) if self.ledger.known else ["Look again in a moment."],
            now=now_ms,
            as_of=self._as_of_ms(),
            open=self._rows(begun),
            last=self._rows(rest[:limit]),
            next=rest[limit - 1].number if len(rest) > limit else None,
            tiles=operations.tiles(figures),
            figures=figures,
            asked={name: value for name, value in (("state", state), ("severity", severity)) if value is not None},
            followed=self.following.followed,
        )

    async def room(self, wanted: str, who: Who) -> Room:
        """The page of one incident."""
        incident = await self.find(wanted)
        now_ms = self._now_ms()
        return Room(
            state=people.state_of(incident),
            sentence=people.sentence(incident, now_ms),
            why=people.why(incident),
            now=now_ms,
            as_of=self._as_of_ms(),
            may=who.may("responder"),
            me=who.name,
            acts=people.acts(incident),
            people=await self.duty.people(),
            services=await self.services(),
            incident=await self._whole(incident),
        )


async def _none() -> list[str]:
    return []
