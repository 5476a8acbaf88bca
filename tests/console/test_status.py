"""The public page: what customers are told, by what was measured and what was published, and what they are never told."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import fromstring
from zoneinfo import ZoneInfo

import httpx
import pytest

from console.access import Access
from console.desk import Desk
from console.gate import Gate
from console.status import (
    ACCESS,
    DAYS,
    Facts,
    Measured,
    StatusPage,
    blanks,
    clock,
    day_starts,
    feed,
    measured,
    service_of,
    status,
)
from rollups.tables import DAY, HOUR
from runtime.clock import ManualClock
from schemas.incident import Update
from tests.console.conftest import APPLICATION, TOKEN, Held
from tests.console.rows import NOW_MS, OPEN_MS, cells, failed, paid
from tests.support.night import Night, alert

TODAY = NOW_MS - NOW_MS % DAY
ZONE = ZoneInfo("Africa/Johannesburg")


def read(*rows: dict[str, Any]) -> Any:
    return cells("payments", list(rows))


def page(now: Any = None, days: dict[int, Measured] | None = None, night: Night | None = None, **how: Any) -> StatusPage:
    """The page of these facts."""
    held: dict[str, Any] = {"name": "Kasi Courses", "now_ms": NOW_MS, "as_of_ms": NOW_MS, "live": True}
    incidents = [] if night is None else list(night.desk.incidents.values())
    silences = [] if night is None else list(night.desk.silences.values())
    facts: dict[str, Any] = {"now": now or {}, "days": days or {}, "incidents": incidents, "silences": silences}
    return status(Facts(**(held | facts | how)))


def night_at(ms: int) -> Night:
    night = Night()
    night.start_ms = night.now_ms = ms
    return night


WELL = (paid(90, method="card"), paid(50), failed(5, fault="business", method="card"))
CARDS_FAIL = (paid(10, method="card"), failed(30, method="card"), paid(50), paid(20, method="qr"))


class TestMeasured:
    def test_all_is_well(self) -> None:
        told = page(read(*WELL))
        assert (told.state, told.sentence) == ("ok", "Everything works.")
        assert {(one.name, one.state) for one in told.services} == {("Card payments", "ok"), ("EFT payments", "ok")}

    def test_what_fails_and_what_works_is_said_in_the_words_of_customers(self) -> None:
        told = page(read(*CARDS_FAIL))
        assert told.state == "failing"
        assert told.sentence == "Card payments are failing for many customers. EFT and QR payments work."

    def test_what_fails_in_part(self) -> None:
        told = page(read(paid(90, method="card"), failed(10, method="card"), paid(50)))
        assert (told.state, told.sentence) == ("degraded", "Card payments fail for some customers. EFT payments work.")

    def test_what_customers_bank_declines_is_no_trouble_of_ours(self) -> None:
        assert page(read(paid(10, method="card"), failed(30, fault="business", method="card"))).state == "ok"

    def test_a_handful_is_no_verdict(self) -> None:
        assert page(read(failed(4, method="card"), paid(50))).services[0].state == "ok"

    def test_what_cannot_be_measured_is_not_well(self) -> None:
        told = page(read(*WELL), live=False, as_of_ms=NOW_MS - 60_000)
        assert (told.state, {one.state for one in told.services}) == ("nodata", {"nodata"})
        assert "do not know" in told.sentence and told.since == NOW_MS - 60_000
        assert page().state == "nodata"

    @pytest.mark.parametrize(
        ("method", "name"),
        [("card", "Card payments"), ("instant_eft", "Instant eft payments"), (None, "Payments")],
    )
    def test_a_way_to_pay_has_a_name(self, method: str | None, name: str) -> None:
        assert service_of(method) == name


class TestDays:
    def test_a_day_is_as_bad_as_its_worst_hour(self) -> None:
        hours = {
            TODAY: read(paid(100, method="card"), paid(100)),
            TODAY + HOUR: read(paid(40, method="card"), failed(60, method="card"), paid(90), failed(10)),
        }
        day = measured(hours)
        assert day.worst == {"Card payments": "f", "EFT payments": "p"}
        assert (day.sums["Card payments"].finished, day.sums["Card payments"].failing) == (200, 60)

    def test_ninety_of_them_the_oldest_first_and_none_is_made_up(self) -> None:
        days = {TODAY: measured({TODAY: read(failed(60, method="card"))}), TODAY - DAY: measured({TODAY: read(paid(9))})}
        told = {one.name: one for one in page(days=days).services}
        assert len(told["Card payments"].days) == DAYS
        assert told["Card payments"].days[-1] == "f" and set(told["Card payments"].days[:-1]) == {"n"}
        assert told["EFT payments"].days[-2:] == ["", "n"]
        assert (told["Card payments"].working, told["EFT payments"].working) == (0.0, 1.0)
        assert day_starts(NOW_MS)[-1] == TODAY

    def test_what_was_published_of_a_day_counts_as_well(self) -> None:
        night = night_at(NOW_MS - 2 * DAY)
        night.alert(alert("slow", provider="ozow", severity="high", at_ms=night.now_ms))
        night.tell("publish", update=Update("It is slow.", "degraded", services=("EFT payments",)))
        night.alert(alert("slow", "resolved", provider="ozow", severity="high"))
        days = {TODAY - n * DAY: measured({0: read(paid(100))}) for n in range(4)}
        [told] = page(days=days, night=night).services
        assert told.days[-4:] == ["", "p", "", ""]


class TestPublished:
    def night(self) -> Night:
        night = night_at(NOW_MS - 600_000)
        night.alert(alert("provider_down", provider="ozow", at_ms=night.now_ms))
        return night

    def test_what_people_say_goes_first(self) -> None:
        night = self.night()
        said = Update("Please pay by EFT.", "failing", "Cards fail. EFT works.", ("Card payments",), NOW_MS + 300_000)
        night.tell("publish", update=said)
        night.now_ms += 60_000
        night.tell("publish", update=Update("We found it.", "failing", services=("Card payments",), next_ms=NOW_MS + 300_000))
        told = page(read(*WELL), night=night)
        assert (told.state, told.sentence, told.why) == ("failing", "Cards fail. EFT works.", "We found it.")
        assert [one.text for one in told.updates] == ["We found it.", "Please pay by EFT."]
        assert (told.since, told.next_at) == (NOW_MS - 610_000, NOW_MS + 300_000)
        assert {one.name: one.state for one in told.services} == {"Card payments": "failing", "EFT payments": "ok"}

    def test_a_promise_that_was_not_kept_is_no_promise(self) -> None:
        night = self.night()
        night.tell("publish", update=Update("Soon.", "failing", next_ms=NOW_MS - 1))
        assert page(read(*WELL), night=night).next_at is None

    def test_nobody_hears_of_an_incident_that_was_not_published(self) -> None:
        told = page(read(*WELL), night=self.night())
        assert (told.state, told.updates, told.earlier) == ("ok", [], [])

    def test_what_is_over_is_told_as_that(self) -> None:
        night = self.night()
        night.tell("publish", update=Update("Cards failed.", "failing"))
        night.alert(alert("provider_down", "resolved", provider="ozow"))
        told = page(read(*WELL), night=night)
        assert (told.state, told.updates) == ("ok", [])
        assert [one.text for one in told.earlier] == ["Cards failed. It is over."]

    def test_that_it_works_again_ends_it_for_customers(self) -> None:
        night = self.night()
        night.tell("publish", update=Update("Cards failed.", "failing"))
        night.tell("publish", update=Update("Cards work again.", "ok"))
        told = page(read(*WELL), night=night)
        assert told.state == "ok"
        assert [one.text for one in told.earlier] == ["Cards work again."]

    def test_who_paid_and_does_not_get_in(self) -> None:
        night = night_at(NOW_MS - 600_000)
        night.alert(alert("paid_not_enrolled", severity="high", component="courses", at_ms=night.now_ms))
        [access] = [one for one in page(read(*WELL), night=night).services if one.name == ACCESS]
        assert (access.state, access.days[-1], access.days[-2], access.working) == ("degraded", "p", "", None)

    def test_maintenance_ahead_is_told_and_what_is_written_in_it_is_not(self) -> None:
        night = night_at(NOW_MS - 600_000)
        night.silence("provider=ozow", start="60:00", end="90:00", kind="maintenance", reason="ozow swaps its firewall")
        night.silence("provider=ozow", start="1:00", end="90:00", reason="they know")
        [planned] = page(read(*WELL), night=night).planned
        assert planned.end - planned.start == 1_800_000
        assert "ozow" not in planned.text and "firewall" not in planned.text


def test_no_name_of_a_provider_a_rule_or_a_person_is_in_it() -> None:
    night = night_at(NOW_MS - 600_000)
    night.alert(alert("provider_down", provider="ozow", summary="Ozow is down", at_ms=night.now_ms))
    night.tell("note", "ozow's support does not answer")
    night.tell("publish", update=Update("We are on it.", "failing"))
    told = page(read(*CARDS_FAIL), night=night).model_dump_json().lower()
    for word in ("ozow", "provider", "thandi", "incident"):
        assert word not in told


class TestSent:
    def test_what_is_written_is_text_and_never_markup(self) -> None:
        night = night_at(NOW_MS - 600_000)
        night.alert(alert("x", provider="ozow", at_ms=night.now_ms))
        night.tell("publish", update=Update("<script>a</script>", "failing", "<img src=x>", ("<b>",)))
        told = page(read(paid(9, method="<i>x")), night=night, name="<h1>")
        filled = "".join(blanks(told, NOW_MS, ZONE).values())
        assert not re.search(r"<(script|img|b|h1|i>x)", filled.lower())
        assert "<script" not in feed(told, "http://x/status").decode()

    def test_times_are_those_of_the_organisation(self) -> None:
        assert clock(NOW_MS, NOW_MS, ZONE) == "Today 14:00"
        assert re.fullmatch(r"\w{3} \d+ \w{3} 14:00", clock(NOW_MS - 3 * DAY, NOW_MS, ZONE))

    def test_the_feed_has_each_update_once(self) -> None:
        night = night_at(NOW_MS - 600_000)
        night.alert(alert("x", provider="ozow", at_ms=night.now_ms))
        night.tell("publish", update=Update("One & only.", "failing"))
        top = fromstring(feed(page(read(*WELL), night=night), "http://x/status"))
        atom = "{http://www.w3.org/2005/Atom}"
        assert [one.findtext(f"{atom}content") for one in top.findall(f"{atom}entry")] == ["One & only."]


# --- as it is asked for -----------------------------------------------------------------------------------------------


async def test_anybody_may_ask_and_the_answer_may_be_kept(desk: Desk, held: Held, clock: ManualClock) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(500, method="card")]})
    access = Access(desk.settings, clock, TOKEN)
    APPLICATION.state.desk, APPLICATION.state.access = desk, access
    transport = httpx.ASGITransport(Gate(APPLICATION, access), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://status.example.org") as anybody:
        kinds = {"/status": "text/html", "/status.json": "application/json", "/status.atom": "application/atom+xml"}
        for path, kind in kinds.items():
            answer = await anybody.get(path)
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
            assert answer.headers["cache-control"] == "public, max-age=2"
        page = (await anybody.get("/status")).text
        assert "Everything works." in page
        assert re.search(r'<main class="pub" data-age="[0-2]\.\d', page), "how old it is, for the script to add to"
        assert (await anybody.get("/status.json")).json()["services"][0]["name"] == "Card payments"
        assert (await anybody.get("/api/v1/incidents")).status_code == 401
    await access.close()


async def test_the_days_are_read_from_the_tables(desk: Desk, client: httpx.AsyncClient, held: Held) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(10, method="card"), failed(30, method="card")]})
    await desk.status.look()
    told = (await client.get("/status.json")).json()
    assert told["services"][0]["days"][-1] == "f"
    assert told["services"][0]["working"] == 0.25
    page = (await client.get("/status")).text
    assert "Card payments are failing for many customers." in page
    assert not re.findall(r"\{[a-z_]+\}", page)
