"""The directory that is in force: loaded from `teams.toml`, and again when it changes, with its channels and calendars; and
beside it the actions of `actions.toml`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from notifier.actions import book
from notifier.actions.calls import Ran
from notifier.actions.registered import Registered
from notifier.actions.runner import Runner
from notifier.calendars import fetch_all
from notifier.callbacks import Answered, Callbacks
from notifier.channels.base import ACTIONS, Channel, Delivery, Message
from notifier.channels.registry import ChannelsError, channels_of, tables_of
from notifier.channels.settings import Around
from notifier.courier import ANSWERED, Courier, Health, Outcome
from notifier.desk import Duty, Result
from notifier.links import Links, SpentHere
from notifier.people import ical
from notifier.people.business import Calendar
from notifier.people.directory import Directory, DirectoryError, Person, builtin, load
from notifier.post import Post
from runtime.clock import Clock
from runtime.retry import AWAY
from schemas.incident import Action, Incident, Page

log = logging.getLogger(__name__)

LOOK_EVERY_S, CALENDARS_EVERY_S = 5.0, 600.0


@dataclass(frozen=True, slots=True)
class Hearing:
    """How answers come back. do: does what somebody answered, and returns a sentence for them. pass_on: tells other notifiers
    of a proof that nobody waits for here."""

    links: Links
    host: str
    port: int
    do: Callable[[Answered], Awaitable[str]]
    pass_on: Callable[[Delivery], Awaitable[None]] | None = None


class Staff:
    """Who answers and how they are reached. path: `teams.toml`, None for the built-in outbox; hearing: None where nothing can
    be answered by links, buttons or keys; dashboard: what messages link to. actions: `actions.toml`, None where nothing is
    called; redact: takes out of what programs write what must not be kept."""

    def __init__(
        self,
        path: Path | None,
        around: Around,
        clock: Clock,
        hearing: Hearing | None = None,
        dashboard: str | None = None,
        actions: Path | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._actions_path = actions
        self._actions: Mapping[str, Registered] = {}
        self.actions_problem: str | None = None
        """Why the file of actions cannot be used as it is now."""
        self._runner = Runner(lambda: self._actions, clock, redact)
        self._path, self._around, self._clock, self._hearing = path, around, clock, hearing
        self._dashboard = dashboard
        self._callbacks: Callbacks | None = None
        self._spent = SpentHere(clock)
        self._post: Post | None = None
        self._stamp: object = None
        """That of the files as they were read last, whether or not they could be used."""
        self._said: dict[str, dict[str, object]] | None = None
        self._courier: Courier | None = None
        self._calendars: dict[str, ical.Calendar] = {}
        """Those behind URLs, as they were read last."""
        self._retired: list[Courier] = []
        """Those that may still be at work on a message: they are let go with the next change."""

    async def load(self) -> Duty:
        """Takes the directory as it is now. Raises DirectoryError or ChannelsError; then what was in force stays so."""
        self._stamp = self._stamped()
        await self._load_actions()
        directory, said = (builtin(), {}) if self._path is None else await self._read(self._path)
        if self._courier is None or said != self._said:
            channels, tables = channels_of(said, self._around), tables_of(said)
            await self._let_go()
            if self._courier is not None:
                self._retired.append(self._courier)
            self._courier, self._said = Courier(channels, tables, self._clock), said
            await self._listen(channels)
        links = None if self._hearing is None else self._hearing.links
        self._post = Post(directory, self._courier, links, self._dashboard)
        rooms = frozenset(name for name, table in tables_of(said).items() if name in said and table.address is not None)
        return Duty(directory, business_end(directory.calendar), rooms, self._actions)

    async def _load_actions(self) -> None:
        """Takes the actions as they are now. What is wrong with them is no reason to page nobody."""
        if self._actions_path is None:
            return
        try:
            self._actions, self.actions_problem = await asyncio.to_thread(book.load, self._actions_path), None
        except DirectoryError as error:
            stays = "what was in force before stays so" if self._actions else "no action is called"
            log.error("%s cannot be used; %s: %s", self._actions_path, stays, error)
            others = len(error.faults) - 1
            more = f" (and {others} more)" if others else ""
            self.actions_problem = f"{error.faults[0]}{more}; {stays}"

    async def _read(self, path: Path) -> tuple[Directory, dict[str, dict[str, object]]]:
        """The directory, and what its channels say; files are read beside the event loop."""
        directory = await asyncio.to_thread(load, path)
        if directory.urls:
            fetched, problems = await fetch_all(directory.urls)
            for problem in problems:
                log.warning("%s; what was read of it last stays in force, if anything was", problem)
            held = self._calendars | fetched
            self._calendars = {url: held[url] for url in directory.urls if url in held}
            directory = await asyncio.to_thread(load, path, self._calendars)
        return directory, await asyncio.to_thread(lambda: {name: directory.channel(name) for name in directory.channels})

    @property
    def directory(self) -> Directory:
        """Who there is. `load` comes first."""
        assert self._post is not None, "load comes first"
        return self._post.directory

    async def send(self, message: Message, channel: str, person: Person) -> Outcome:
        """Sends what belongs to no incident. Raises nothing but CancelledError."""
        assert self._courier is not None, "load comes first"
        return await self._courier.deliver(message, channel, person.contacts)

    def health(self) -> dict[str, Health]:
        """How each channel is."""
        return {} if self._courier is None else self._courier.health()

    async def deliver(self, incident: Incident, page: Page) -> Result:
        """See `notifier.service.Deliver`."""
        assert self._post is not None, "load comes first"
        return await self._post.deliver(incident, page)

    async def call(self, incident: Incident, call: Action) -> Ran:
        """See `notifier.service.Call`."""
        return await self._runner.call(incident, call)

    async def follow(self, on_change: Callable[[Duty], None]) -> None:
        """Puts changes of the files, and of the calendars, in force, until cancelled."""
        if self._path is None and self._actions_path is None:
            return
        loop = asyncio.get_running_loop()
        fetched = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            changed = self._stamped() != self._stamp
            if not changed and loop.time() - fetched < CALENDARS_EVERY_S:
                continue
            fetched = loop.time()
            try:
                on_change(await self.load())
            except (DirectoryError, ChannelsError) as error:
                log.error("%s cannot be used; what was in force before stays so: %s", self._path, error)
                continue
            if changed:
                files = (self._path, None if self.actions_problem else self._actions_path)
                for path in filter(None, files):
                    log.info("%s is in force as it is now", path)

    def _stamped(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(None if path is None else _stamp(path) for path in (self._path, self._actions_path))

    async def close(self) -> None:
        """Hears nothing any more, and lets go of the channels' connections."""
        if self._callbacks is not None:
            await self._callbacks.close()
        await self._let_go()
        if self._courier is not None:
            await self._courier.close()

    async def _listen(self, channels: Mapping[str, Channel]) -> None:
        """Hears what comes back through these channels. Raises OSError where the address cannot be listened on."""
        hearing = self._hearing
        if hearing is None:
            return
        if self._callbacks is not None:
            await self._callbacks.close()
        self._callbacks = Callbacks(hearing.links, channels, self._heard, self._spent, self._clock)
        await self._callbacks.start(hearing.host, hearing.port)

    async def _heard(self, told: Answered | Delivery) -> str:
        if isinstance(told, Delivery):
            await self._prove(told)
            return ""
        assert self._hearing is not None
        said = await self._hearing.do(told)
        if told.action in ACTIONS:
            try:
                await self._prove(Delivery(told.page, "", "", True, ANSWERED))
            except AWAY as error:
                log.warning("that a page was answered proves nothing to its sender: %s", error or type(error).__name__)
        return said

    async def _prove(self, proof: Delivery) -> None:
        known = self.proven(proof)
        if not known and proof.delivered is not None and self._hearing is not None and self._hearing.pass_on is not None:
            await self._hearing.pass_on(proof)

    def proven(self, proof: Delivery) -> bool:
        """Takes in proof that a message arrived, or did not; whether that message is here."""
        couriers = [one for one in (self._courier, *self._retired) if one is not None]
        return any([one.heard(proof) if proof.channel else one.answered(proof.key) for one in couriers])

    async def _let_go(self) -> None:
        retired, self._retired = self._retired, []
        for courier in retired:
            await courier.close()


def business_end(calendar: Calendar) -> Callable[[int], int]:
    """Tells of a moment when the next business day ends; all in epoch ms."""

    def end(ms: int) -> int:
        opening = calendar.next_business_day(datetime.fromtimestamp(ms / 1000, UTC))
        return int(datetime.combine(opening.date(), calendar.closes, calendar.zone).timestamp() * 1000)

    return end


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
