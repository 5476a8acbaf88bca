"""Reports on a schedule: what is due when, on a clock that the test moves; with a real store and a real mail server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import date, datetime, time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from console.reports import clerk
from console.reports.clerk import FIRST_PAUSE_S, TRIES, Clerk, due, newest
from console.reports.periods import period_of
from notifier.channels.settings import Around
from notifier.people.directory import DirectoryError, read
from notifier.people.reports import Reports
from notifier.staff import Staff
from runtime.clock import ManualClock
from runtime.settings import Settings
from tests.console.conftest import Held
from tests.console.rows import paid

ZONE = ZoneInfo("Africa/Johannesburg")
USUAL = Reports()


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


# --- what is due ------------------------------------------------------------------------------------------------------


def names(kind: clerk.Kind, done: str | None, now: str, said: Reports = USUAL) -> list[str]:
    return [one.name for one in due(kind, done, ms(now), ZONE, said)]


def test_a_day_is_due_at_six_of_the_next() -> None:
    assert names("daily", "2026-11-26", "2026-11-28T05:59:59") == []
    assert names("daily", "2026-11-26", "2026-11-28T06:00:00") == ["2026-11-27"]
    assert names("daily", "2026-11-27", "2026-11-28T06:00:00") == []
    assert names("daily", "2026-11-27", "2026-11-29T05:59:00") == []


def test_the_hour_is_the_organisations() -> None:
    late = Reports(at=time(9, 30))
    assert names("daily", "2026-11-26", "2026-11-28T09:29:00", late) == []
    assert names("daily", "2026-11-26", "2026-11-28T09:30:00", late) == ["2026-11-27"]


def test_weeks_end_with_sunday_and_months_with_their_last_day() -> None:
    assert names("weekly", "2026-W47", "2026-11-30T05:59:00") == []
    assert names("weekly", "2026-W47", "2026-11-30T06:00:00") == ["2026-W48"]
    assert names("monthly", "2026-10", "2026-12-01T05:59:00") == []
    assert names("monthly", "2026-10", "2026-12-01T06:00:00") == ["2026-11"]
    assert names("weekly", "2026-W52", "2027-01-04T06:00:00") == ["2026-W53"], "over the turn of the year"


def test_what_was_missed_is_made_up_for_the_oldest_first_and_not_without_end() -> None:
    assert names("daily", "2026-11-24", "2026-11-28T08:00:00") == ["2026-11-25", "2026-11-26", "2026-11-27"]
    assert names("daily", "2026-01-01", "2026-11-28T08:00:00") == [f"2026-11-{day}" for day in range(21, 28)]


def test_what_was_over_before_tillwatch_began_is_not_due() -> None:
    assert names("daily", None, "2026-11-28T08:00:00") == []
    assert newest("daily", ms("2026-11-28T05:00:00"), ZONE, USUAL) == "2026-11-26"
    assert newest("daily", ms("2026-11-28T06:00:00"), ZONE, USUAL) == "2026-11-27"


# --- who gets them ----------------------------------------------------------------------------------------------------

TEAMS = """
[people.thandi]
contacts = {email = "thandi@shop.example"}
[teams.shop]
primary = ["thandi"]
[channels.email]
host = "127.0.0.1"
port = %d
tls = "none"
sender = "tillwatch@shop.example"
attempts = 1
budget = "2s"
breaker_after = 100
"""


def test_reports_without_a_table_are_written_and_sent_to_nobody() -> None:
    assert read("teams.toml", (TEAMS % 25).encode()).reports == Reports(time(6), (), "email", ("daily", "weekly", "monthly"))


def test_reports_are_said_in_the_teams_file() -> None:
    text = TEAMS % 25 + '[reports]\nto = ["a@shop.example"]\nat = "07:15"\nkinds = ["monthly", "daily"]\n'
    assert read("teams.toml", text.encode()).reports == Reports(time(7, 15), ("a@shop.example",), "email", ("daily", "monthly"))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('to = ["thandi"]', "expected e-mail addresses, got 'thandi'"),
        ('to = "a@b.example"\nchannel = "emial"', "no channel for e-mail 'emial'; there are email (did you mean email?)"),
        ('kinds = ["dayly"]', "no report 'dayly'; there are daily, weekly, monthly (did you mean daily?)"),
        ('at = "25:00"', "expected a time of day from 00:00 to 23:59"),
        ('too = ["a@b.example"]', "there is no such key"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(said: str, told: str) -> None:
    with pytest.raises(DirectoryError) as error:
        read("teams.toml", (TEAMS % 25 + "[reports]\n" + said).encode())
    assert "reports" in str(error.value)
    assert told.replace("'", '"') in str(error.value).replace("'", '"')


# --- a clerk ----------------------------------------------------------------------------------------------------------

START = "2026-11-27T12:00:00"


class Mailbox:
    """What came, and whether anything is taken."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.open = True
        self.asked = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.asked += 1
        if not self.open:
            return "451 not now"
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    yield ManualClock(ms(START) / 1000)


@asynccontextmanager
async def at_work(settings: Settings, clock: ManualClock, box: Mailbox, folder: Path, reports: str) -> AsyncIterator[Clerk]:
    """A clerk that leads, with a mailbox."""
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box, hostname="localhost"), "127.0.0.1", 0)
    teams = folder / "teams.toml"
    teams.write_text(TEAMS % server.sockets[0].getsockname()[1] + reports)
    staff = Staff(teams, Around(outbox=folder / "outbox", clock=clock), clock)
    await staff.load()
    one = Clerk(settings, clock, staff, lambda: True)
    async with one.ready():
        yield one
    await staff.close()
    server.close()
    await server.wait_closed()


TO_ONE = '[reports]\nto = ["finance@shop.example"]\n'


def at(clock: ManualClock, text: str) -> None:
    clock.advance(ms(text) / 1000 - clock.now())


def written(settings: Settings) -> list[str]:
    return sorted(one.name for one in (settings.data / "reports").glob("*"))


async def test_a_week_of_reports(settings: Settings, clock: ManualClock, held: Held, tmp_path: Path) -> None:
    day = period_of("daily", date(2026, 11, 27), ZONE)
    await held.write("payments", {day.start_ms + 3_600_000: [paid(50)]})
    await held.write("pipeline", {day.start_ms + 3_600_000: [{"kind": "event", "count": 50}]})
    box = Mailbox()
    async with at_work(settings, clock, box, tmp_path, TO_ONE) as one:
        await one.turn()
        assert (written(settings), box.subjects()) == ([], []), "nothing of before"
        for moment in ("2026-11-28T05:59:00", "2026-11-28T06:00:00", "2026-11-28T06:01:00", "2026-11-28T23:00:00"):
            at(clock, moment)
            await one.turn()
        assert written(settings) == ["daily-2026-11-27.html"]
        assert box.subjects() == ["Daily report, Fri 27 Nov 2026"]
        at(clock, "2026-12-01T06:00:00")
        await one.turn()
        assert box.subjects()[1:] == [
            "Daily report, Sat 28 Nov 2026",
            "Daily report, Sun 29 Nov 2026",
            "Daily report, Mon 30 Nov 2026",
            "Weekly report, Mon 23 to Sun 29 Nov 2026",
            "Monthly report, November 2026",
        ]
    (mail,) = (one for one in box.mails if "Fri 27" in str(one["Subject"]))
    assert str(mail["To"]) == "finance@shop.example"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "Customers could pay." in body.get_content()
    (page,) = mail.iter_attachments()
    assert page.get_filename() == "tillwatch-daily-2026-11-27.html"
    assert page.get_content() == (settings.data / "reports" / "daily-2026-11-27.html").read_text()


async def test_another_leader_goes_on_where_the_last_one_was(
    settings: Settings, clock: ManualClock, held: Held, tmp_path: Path
) -> None:
    box = Mailbox()
    async with at_work(settings, clock, box, tmp_path, TO_ONE) as one, at_work(settings, clock, box, tmp_path, TO_ONE) as other:
        await one.turn()
        at(clock, "2026-11-28T06:00:00")
        await one.turn()
        await other.turn()
        assert box.subjects() == ["Daily report, Fri 27 Nov 2026"]
        at(clock, "2026-11-29T06:00:00")
        await other.turn()
        await one.turn()
        assert box.subjects()[1:] == ["Daily report, Sat 28 Nov 2026"]
    assert await held.redis.hkeys(settings.names.notifier("reports")) == [b"daily", b"weekly", b"monthly"], "no mark is left"


async def test_a_mail_that_does_not_get_through_is_tried_again_and_not_without_end(
    settings: Settings, clock: ManualClock, held: Held, tmp_path: Path
) -> None:
    box = Mailbox()
    async with at_work(settings, clock, box, tmp_path, TO_ONE) as one:
        await one.turn()
        at(clock, "2026-11-28T06:00:00")
        box.open = False
        await one.turn()
        await one.turn()
        assert box.asked == 1, "not before its pause is over"
        clock.advance(FIRST_PAUSE_S)
        box.open = True
        await one.turn()
        assert box.subjects() == ["Daily report, Fri 27 Nov 2026"]
        box.open, box.asked = False, 0
        at(clock, "2026-11-29T06:00:00")
        for _ in range(2 * TRIES):
            await one.turn()
            clock.advance(FIRST_PAUSE_S * 2**TRIES)
        assert box.asked == TRIES
        assert "daily-2026-11-28.html" in written(settings)


async def test_one_address_that_fails_keeps_nothing_from_the_others(
    settings: Settings, clock: ManualClock, held: Held, tmp_path: Path
) -> None:
    class Picky(Mailbox):
        async def handle_RCPT(
            self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
        ) -> str:
            if address.startswith("gone"):
                return "450 later"
            envelope.rcpt_tos.append(address)
            return "250 OK"

    box = Picky()
    async with at_work(settings, clock, box, tmp_path, '[reports]\nto = ["gone@shop.example", "here@shop.example"]\n') as one:
        await one.turn()
        at(clock, "2026-11-28T06:00:00")
        for _ in range(4):
            await one.turn()
            clock.advance(FIRST_PAUSE_S * 8)
    assert [str(mail["To"]) for mail in box.mails] == ["here@shop.example"]


async def test_a_folder_that_cannot_be_written_keeps_no_mail_back(
    settings: Settings, clock: ManualClock, held: Held, tmp_path: Path
) -> None:
    box = Mailbox()
    settings.data.mkdir()
    (settings.data / "reports").write_text("in the way")
    async with at_work(settings, clock, box, tmp_path, TO_ONE) as one:
        await one.turn()
        at(clock, "2026-11-28T06:00:00")
        await one.turn()
    assert len(box.mails) == 1


async def test_kinds_that_nobody_wants_are_written_and_not_sent(
    settings: Settings, clock: ManualClock, held: Held, tmp_path: Path
) -> None:
    box = Mailbox()
    async with at_work(settings, clock, box, tmp_path, TO_ONE + 'kinds = ["weekly"]\n') as one:
        await one.turn()
        at(clock, "2026-11-30T06:00:00")
        await one.turn()
    assert box.subjects() == ["Weekly report, Mon 23 to Sun 29 Nov 2026"]
    assert written(settings) == [
        "daily-2026-11-27.html",
        "daily-2026-11-28.html",
        "daily-2026-11-29.html",
        "weekly-2026-W48.html",
    ]


async def test_who_loses_the_lead_makes_no_more(settings: Settings, clock: ManualClock, held: Held, tmp_path: Path) -> None:
    box = Mailbox()
    async with at_work(settings, clock, box, tmp_path, TO_ONE) as one:
        await one.turn()
        at(clock, "2026-11-30T06:00:00")
        one._leads = lambda: len(box.mails) < 1
        await one.turn()
        assert box.subjects() == ["Daily report, Fri 27 Nov 2026"]
