"""The page of payments: who is to blame, what is usual, and nothing that is not known."""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest

from console import payments, usual
from console.payments import NOTHING, Facts, Held, PaymentsPage
from console.readings import MINUTE_MS, Pulse, Window, window_of
from console.series import whole
from console.slices import all_of, guilty
from console.span import View, view_of
from console.words import plain
from rollups.query import query
from rollups.tables import DAY, HOUR
from tests.console.conftest import Held as Store
from tests.console.rows import NOW_MS, OPEN_MS, cells, failed, paid
from tests.console.test_api import busy, got

LIVE = Pulse("live", "", NOW_MS - 1_000)
MINUTE = NOW_MS - NOW_MS % MINUTE_MS
VIEW = view_of("1h", None, None, "6h", NOW_MS)
Row = dict[str, Any]
WELL = [paid(900, provider="ozow"), paid(100, provider="peach", method="card"), paid(900, outcome="initiated")]


def facts(
    rows: list[Row] | None = None,
    minutes: dict[int, list[Row]] | None = None,
    pulse: Pulse = LIVE,
    view: View = VIEW,
    weeks: list[Row] | None = None,
    **more: Any,
) -> Facts:
    """What a page is made of, where `rows` is what is now; `weeks`: what the same hour held in each week."""
    rows = WELL if rows is None else rows
    steps = {start: cells("payments", some) for start, some in ({MINUTE: rows} if minutes is None else minutes).items()}
    hour = NOW_MS - NOW_MS % HOUR
    past = tuple(
        {start - usual.WEEK_MS * ago: cells("payments", weeks) for start in range(hour - HOUR, hour + HOUR, HOUR)}
        for ago in range(1, 5)
    ) if weeks else ()  # fmt: skip
    held = Held(
        steps=steps, apart=payments.by_provider(steps), money=steps, total=whole(dict(steps)), minutes=steps,
        now=window_of(NOW_MS, 5 * MINUTE_MS), recent=cells("payments", rows),
        taken=whole(dict(steps)), recent_taken=cells("payments", rows), taken_weeks=past,
        judged=window_of(NOW_MS, MINUTE_MS), verdict=cells("payments", rows), recent_latency=cells("payments", rows),
        latency={start: payments.percentiles(cells) for start, cells in steps.items()}, weeks=past, recent_weeks=past, **more,
    )  # fmt: skip
    return Facts(NOW_MS, view, pulse, held)


def page(*args: Any, **how: Any) -> PaymentsPage:
    return payments.payments(facts(*args, **how))


def says(found: PaymentsPage) -> tuple[str, str]:
    return found.state, plain(found.sentence).replace("\u00a0", " ")


# --- who is to blame --------------------------------------------------------------------------------------------------


def blamed(*rows: Row) -> str | None:
    found = guilty(all_of(cells("payments", list(rows)), lambda named: None))
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([paid(1000)], None),
        ([paid(1000), failed(4)], None),
        ([paid(1000), failed(40)], None),
        ([paid(1000, provider="peach"), failed(50, provider="ozow"), paid(50, provider="ozow")], "ozow"),
        ([paid(900, provider="peach"), failed(50, provider="peach", method="card"), paid(50, provider="peach", method="card"),
          paid(500), paid(500, method="card")], "peach card"),
        ([paid(500), failed(90, method="card"), paid(100, method="card"),
          failed(90, method="card", provider="peach"), paid(99, method="card", provider="peach"),
          paid(500, provider="peach")], "card"),
        ([failed(90), paid(100), failed(90, provider="peach", method="card"), paid(99, provider="peach", method="card")], ""),
        ([paid(500), failed(300, currency="USD"), paid(20, currency="USD")], "USD"),
        ([paid(500), failed(300, "business"), failed(300, "fraud")], None),
    ],
)  # fmt: skip
def test_the_smallest_slice_that_holds_most_of_the_failures_is_named(rows: list[Row], name: str | None) -> None:
    assert blamed(*rows) == name


def test_a_dimension_that_hardly_narrows_is_not_named() -> None:
    rows = [failed(95), paid(100), paid(5, currency="USD"), paid(500, provider="peach")]
    assert blamed(*rows) == "ozow"


def test_what_always_fails_there_is_no_news() -> None:
    rows = [failed(30), paid(70), paid(500, provider="peach")]
    assert says(page(rows))[0] == "degraded"
    assert says(page(rows, weeks=[failed(310), paid(690), paid(5000, provider="peach")]))[0] == "ok"


# --- the sentence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "state", "sentence"),
    [
        ({}, "ok", "Payments work: success 100.0 %."),
        ({"weeks": [paid(970), failed(30)]}, "ok", "Payments work: success 100.0 %, usually 97.0 %."),
        ({"rows": [paid(900, provider="peach"), failed(60), paid(40)]}, "failing",
         "ozow payments are failing: 60 % since 12:00 UTC. The rest are fine."),
        ({"rows": [failed(60), paid(140)]}, "degraded", "Payments are failing: 30 % since 12:00 UTC."),
        ({"rows": [paid(100), paid(50, provider="peach", latency_ms=8_000.0)]}, "degraded",
         "peach is slow: p95 8.0 s, mean 8.0 s; the target is below 5 s."),
        ({"rows": [], "minutes": {MINUTE - 20 * MINUTE_MS: WELL}}, "nodata", "No payment has finished since 11:41 UTC."),
        ({"rows": [], "minutes": {}}, "nodata", "No payment finished in the time that is shown."),
        ({"pulse": Pulse("down", "no worker says that it works", NOW_MS - 65_000)}, "stale",
         "Nothing is known since 11:59 UTC."),
        ({"pulse": Pulse("behind", "2 partitions wait", NOW_MS - 360_000)}, "behind",
         "Tillwatch is 6 min behind. What it says is true up to 11:54 UTC."),
    ],
)  # fmt: skip
def test_one_sentence_says_how_payments_are(how: dict[str, Any], state: str, sentence: str) -> None:
    assert says(page(**how)) == (state, sentence)


def test_a_past_is_judged_on_itself_and_never_stale() -> None:
    past = View(Window(NOW_MS - 2 * HOUR, NOW_MS - HOUR), "1m", MINUTE_MS, False)
    found = page([failed(60), paid(40)], pulse=Pulse("down", "no worker", NOW_MS - 60_000), view=past)
    assert says(found) == ("failing", "Payments failed: 60 %.")


def test_a_provider_that_went_silent_is_told_and_stands_first() -> None:
    found = page(minutes={MINUTE - 10 * MINUTE_MS: [paid(50, provider="stitch")], MINUTE: WELL})
    assert "stitch has sent no payment since 11:51 UTC." in plain(found.why)
    assert [(one.name, one.state) for one in found.providers] == [("stitch", "nodata"), ("ozow", "ok"), ("peach", "ok")]
    assert found.providers[0].figure == "no data"


def test_far_fewer_payments_than_usual_are_told() -> None:
    long = {MINUTE - 50 * MINUTE_MS: WELL, MINUTE: [paid(60)]}
    found = page([paid(60)], long, weeks=[paid(3600)])
    assert says(found) == ("degraded", "Fewer payments than usual: 60 in the last 5 min, usually 265 to 335.")
    assert says(page([paid(250)], long, weeks=[paid(3600)]))[0] == "ok"
    assert says(page([paid(60)], {MINUTE: [paid(60)]}, weeks=[paid(3600)]))[0] == "ok", "counting began a moment ago"


# --- figures ----------------------------------------------------------------------------------------------------------


def test_tiles_compare_with_the_same_hour_last_week() -> None:
    found = page([paid(95), failed(3), failed(2, "business")], weeks=[paid(980), failed(20)])
    by_name = {tile.name: tile for tile in found.tiles}
    success = by_name["Success rate"]
    assert (success.figure, success.note.replace("\u00a0", " ")) == ("95.0", "Last 5 min; last week 98.0 %, −3.0 pt")
    assert by_name["Failed, our side or theirs"].figure == "3.0"
    assert by_name["Declined by a bank"].figure == "2.0"
    assert by_name["A payment, mean in ZAR"].figure == "R\u00a0100"
    assert success.before is not None and set(success.before) == {0.98}


def test_currencies_are_never_added_up() -> None:
    found = page([paid(10, amount=100), paid(2, currency="USD", amount=5_000)])
    assert [(one.currency, one.taken, one.mean) for one in found.revenue] == [
        ("ZAR", 1000, 100.0),
        ("USD", 10_000, 5_000.0),
    ]


def test_the_map_tells_not_offered_from_no_data_and_shades_by_what_is_usual() -> None:
    before = {MINUTE - MINUTE_MS: [paid(50, provider="stitch", method="qr")], MINUTE: WELL}
    rows = [paid(90), failed(10), paid(10, provider="peach", method="card")]
    heat = page(rows, before, weeks=[paid(990), failed(10)]).heat
    row = {one.provider: dict(zip(heat.methods, one.cells, strict=True)) for one in heat.rows}
    ozow, peach, stitch = row["ozow"], row["peach"], row["stitch"]
    assert ozow["eft"] is not None and (ozow["eft"].share, ozow["eft"].below) == (0.9, 9.0)
    assert peach["card"] is not None and peach["card"].below is None, "what is usual there is not known"
    assert stitch["qr"] is not None and stitch["qr"].share is None
    assert stitch["eft"] is None and ozow["qr"] is None
    assert heat.against == "the same hour of the last 4 weeks"


def test_the_funnel_tells_what_was_told_and_the_rest_is_not_known() -> None:
    rows = [paid(100, outcome="initiated"), paid(80, outcome="redirected"), paid(60)]
    enrolled = {MINUTE: cells("enrollments", [{"step": "created", "course": "c", "count": 57}])}
    found = page(rows, enrolled=enrolled, enrolled_total=enrolled[MINUTE])
    assert [(one.name, one.count, one.share, one.of_before) for one in found.funnel] == [
        ("Started", 100, 1.0, None), ("Redirected", 80, 0.8, 0.8), ("Paid", 60, 0.6, 0.75), ("Enrolled", 57, 0.57, 0.95),
        ("Access granted", None, None, None),
    ]  # fmt: skip
    assert found.leaving.replace("\u00a0", " ") == "Between redirected and paid 25.0 % leave or fail: about 20 people."


def test_reasons_that_grew_most_since_last_week_stand_first() -> None:
    now = cells("payments", [failed(50, reason="timeout"), failed(40, "business", reason="no_funds"), paid(910)])
    week = cells("payments", [failed(60, reason="timeout"), failed(2, "business", reason="no_funds")])
    found = page(reasons=now, reasons_before=week)
    scale = 3_605_000 / (2 * HOUR) * 0.983  # a part of an hour is shown, of whole hours last week
    assert [(one.reason, one.count) for one in found.reasons] == [("no_funds", 40), ("timeout", 50)]
    assert found.reasons[1].before == pytest.approx(60 * scale, abs=1)
    assert (found.failed, found.finished, found.reasons[0].share) == (90, 1000, 0.04)


def test_the_band_is_of_the_same_hours_and_a_view_of_weeks_has_none() -> None:
    found = page(weeks=[paid(970), failed(30)])
    assert found.success.low is not None and found.success.high is not None
    assert all(low is not None and low < 0.97 for low in found.success.low)
    assert found.volume.low is not None
    assert page().success.low is None
    long = view_of("31d", None, None, "6h", NOW_MS)
    assert page(view=long, weeks=[paid(970), failed(30)]).success.low is None


# --- nothing that is not known ----------------------------------------------------------------------------------------


def test_before_the_first_payment_nothing_is_known_and_a_quiet_minute_is_a_zero() -> None:
    found = page(minutes={MINUTE - 3 * MINUTE_MS: [paid(9)], MINUTE - MINUTE_MS: [paid(30)], MINUTE: [paid(5)]})
    assert found.volume.lines["Payments"][-5:] == [None, None, 0.0, 30.0, None], "the first minute may be a part of one"
    assert found.success.lines["Success"][-5:] == [None, 1.0, None, 1.0, None]
    assert found.unknown[0].start == VIEW.window.start_ms and found.unknown[0].end == MINUTE - 3 * MINUTE_MS


def test_what_lies_after_what_was_judged_is_a_gap() -> None:
    minutes = {MINUTE - MINUTE_MS * ago: WELL for ago in range(60)}
    found = page(minutes=minutes, pulse=Pulse("behind", "2 partitions wait", NOW_MS - 10 * MINUTE_MS))
    assert found.success.lines["Success"][-10:] == [None] * 10 and found.success.lines["Success"][-11] == 1.0
    assert (found.unknown[-1].start, found.unknown[-1].end) == (NOW_MS - 10 * MINUTE_MS, VIEW.window.end_ms)
    assert {tile.state for tile in found.tiles} == {"behind"}


@pytest.mark.parametrize("view", [VIEW, View(Window(NOW_MS - 2 * HOUR, NOW_MS - HOUR), "1m", MINUTE_MS, False)])
def test_where_nothing_could_be_read_nothing_is_green_or_zero(view: View) -> None:
    blind = Pulse("blind", "the store does not answer", None)
    found = payments.payments(Facts(NOW_MS, view, blind, NOTHING))
    assert found.state == "nodata" and not found.known
    assert {(tile.figure, tile.state) for tile in found.tiles} == {("–", "nodata")}
    values = [*found.success.lines.values(), *found.volume.lines.values(), *found.latency.lines.values()]
    assert {one for line in values for one in line} == {None}
    assert {one.count for one in found.funnel} == {None}
    assert {one.figure for one in found.after} == {"–"}


# --- as it is served --------------------------------------------------------------------------------------------------


SQL = """
with w as (from payments_10s where bucket >= '{start}' and bucket < '{end}')
select sum(count) filter (outcome = 'succeeded') / sum(count) filter (outcome in ('succeeded', 'failed')) as success,
  sum(count) filter (outcome in ('succeeded', 'failed'))::bigint as finished,
  sum(count) filter (outcome = 'failed')::bigint as failed,
  sum(amount_sum) filter (outcome = 'succeeded' and currency = 'ZAR')::bigint as zar
from w
"""


@pytest.mark.integration
async def test_its_numbers_are_those_of_sql(client: httpx.AsyncClient, held: Store) -> None:
    rng = random.Random(7)
    starts = {OPEN_MS - rng.randrange(350) * 10_000 for _ in range(200)}
    await held.write("payments", {start: [busy(rng, "payments") for _ in range(5)] for start in starts})
    await held.tell()
    found = await got(client, "/api/v1/pages/payments?range=1h")

    async def by_sql(start: int, end: int) -> dict[str, Any]:
        window = {name: f"epoch_ms({ms})" for name, ms in (("start", start), ("end", end))}
        text = SQL.replace("'{start}'", "{start}").replace("'{end}'", "{end}").format(**window)
        [row] = (await query(held.tables, text, NOW_MS / 1000)).objects()
        return row

    whole = await by_sql(found["start"], found["end"])
    assert (found["finished"], found["failed"]) == (whole["finished"], whole["failed"])
    assert {one["currency"]: one["taken"] for one in found["revenue"]}["ZAR"] == whole["zar"]
    now = await by_sql(found["now_start"], found["now_end"])
    assert found["tiles"][0]["figure"] == f"{100 * now['success']:.1f}"
    line = found["success"]["lines"]["Success"]
    for at in (20, 40, 55):
        start = found["start"] + at * found["step"]
        step = await by_sql(start, start + found["step"])
        assert line[at] == (None if step["success"] is None else pytest.approx(step["success"], abs=1e-4))
    figures = await got(client, "/api/v1/kpis/payments?window=5m")
    assert found["tiles"][0]["figure"] == f"{100 * figures['success_rate']:.1f}", "and those that others are told"


@pytest.mark.integration
async def test_the_page_is_sent_with_its_verdict_and_any_time_can_be_asked_for(
    client: httpx.AsyncClient, held: Store
) -> None:
    await held.tell()
    await held.write("payments", {OPEN_MS: [paid(500)]})
    text = (await client.get("/payments")).text.replace("\u00a0", " ")
    assert "<title>Payments work: success 100.0 %. · Tillwatch</title>" in text and 'src="/static/payments.js"' in text
    for asked in ("range=24h", "range=7d", "range=31d", "from=2026-09-20T00:00:00Z&to=2026-09-20T12:00:00Z"):
        found = await got(client, f"/api/v1/pages/payments?{asked}")
        steps = (found["end"] - found["start"]) // found["step"]
        assert len(found["success"]["lines"]["Success"]) == len(found["latency"]["lines"]["p99"]) == steps
    assert (await client.get("/api/v1/pages/payments?range=soon")).status_code == 400
    assert (await client.get(f"/payments?from=2026-09-20T00:00:00Z&to={'9' * 30}")).status_code == 400


def test_the_day_before_is_read_where_rows_still_are() -> None:
    near, far = (payments.day_before(Window(NOW_MS - age - HOUR, NOW_MS - age), NOW_MS) for age in (0, 5 * DAY))
    assert near.start_ms % MINUTE_MS == far.start_ms % HOUR == 0
    assert near.end_ms <= NOW_MS - HOUR and near.end_ms - near.start_ms == far.end_ms - far.start_ms == DAY
