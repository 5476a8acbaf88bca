"""The page of security: events by kind against the rules' limits, the case, signatures, and what policies say."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from console import limits, security
from console.readings import MINUTE_MS, Pulse
from console.security import NOTHING, Facts, Held, SecurityPage, Seen
from console.series import whole
from console.span import view_of
from console.words import plain
from rollups.query import query
from rules.loader import load
from tests.console.conftest import Held as Store
from tests.console.rows import NOW_MS, OPEN_MS, cells
from tests.console.test_api import got
from tests.console.test_board import event

LIVE = Pulse("live", "", NOW_MS - 1_000)
VIEW = view_of("24h", None, None, "24h", NOW_MS)
MINUTE = NOW_MS - NOW_MS % MINUTE_MS
RULES = load()
Row = dict[str, Any]


def denied(count: int = 1, kind: str = "auth.failed", **more: Any) -> Row:
    return {"kind": kind, "component": "login", "count": count} | more


def policy(name: str, passed: bool, count: int = 1) -> Row:
    return {"kind": "policy.checked", "component": "shop", "policy": name, "passed": passed, "count": count}


def webhook(provider: str, outcome: str = "received", count: int = 1, reason: str | None = None) -> Row:
    return {"provider": provider, "outcome": outcome, "count": count, "reason": reason}


def forged(provider: str, count: int = 1) -> Row:
    return webhook(provider, "rejected", count, "invalid_signature")


def page(
    events: dict[int, list[Row]] | None = None,
    webhooks: dict[int, list[Row]] | None = None,
    pulse: Pulse = LIVE,
    firing: list[dict[str, Any]] | None = None,
    view: Any = VIEW,
    **more: Any,
) -> SecurityPage:
    told = webhooks or {MINUTE: [webhook("ozow", count=9)]}
    held = Held(
        events=(happened := {start: cells("security", rows) for start, rows in (events or {}).items()}),
        happened=whole(happened),
        rejected=whole({0: cells("webhooks", [row for rows in told.values() for row in rows if row["outcome"] == "rejected"])}),
        webhooks=(heard := {start: cells("webhooks", rows) for start, rows in told.items()}),
        heard=heard,
        providers=cells("webhooks", [row for rows in told.values() for row in rows]),
        **more,
    )
    return security.security(Facts(NOW_MS, view, pulse, held, RULES, firing or []))


def says(found: SecurityPage) -> tuple[str, str]:
    return found.state, plain(found.sentence).replace("\u00a0", " ")


def kind(found: SecurityPage, name: str) -> Seen:
    return next(one for one in found.kinds if one.name == name)


SIGN_INS = event("suspicious_activity", severity="high", value=23.0, threshold=10.0, unit="count", group={},
                 summary="Somebody tries passwords: 23 failed sign-ins in 5 minutes > 10.")  # fmt: skip


@pytest.mark.parametrize(
    ("how", "state", "sentence"),
    [
        ({}, "ok", "Nothing about security is beyond its limits."),
        ({"firing": [SIGN_INS]}, "degraded", "Somebody tries passwords: 23, the limit is 10, since 12:00 UTC."),
        ({"firing": [event("security_breach", summary="Security violations: 1 > 0.")]}, "failing",
         "Security violations, since 12:00 UTC."),
        ({"firing": [event("payment_failing_fast")]}, "ok", "Nothing about security is beyond its limits."),
        ({"events": {MINUTE: [policy("tls-1.2", False)]}}, "degraded", "tls-1.2 does not hold."),
        ({"events": {MINUTE - MINUTE_MS: [policy("tls-1.2", False)], MINUTE: [policy("tls-1.2", True)]}}, "ok",
         "Nothing about security is beyond its limits."),
        ({"pulse": Pulse("down", "no worker", NOW_MS - 65_000)}, "stale", "Nothing is known since 11:59 UTC."),
    ],
)  # fmt: skip
def test_one_sentence_says_how_security_is(how: dict[str, Any], state: str, sentence: str) -> None:
    assert says(page(**how)) == (state, sentence)


def test_limits_are_those_of_the_rules() -> None:
    sign_ins = limits.of(RULES, "failed_auth_attempts")
    assert sign_ins is not None
    assert (sign_ins.rule, sign_ins.most, sign_ins.span_ms) == ("suspicious_activity", 10.0, 5 * MINUTE_MS)
    assert limits.of(RULES, "payment_volume") is None, "fewer than a share of a baseline is no upper limit"
    assert limits.state(RULES, {"failed_auth_attempts"}, [SIGN_INS]) == "degraded"
    assert limits.state(RULES, {"failed_auth_attempts"}, []) == "ok"
    assert limits.state(RULES, {"nothing"}, [SIGN_INS]) is None


def test_a_bar_is_the_most_in_the_rules_window_so_that_the_limit_is_that_of_the_rule() -> None:
    rows = {MINUTE - MINUTE_MS * ago: [denied(3)] for ago in (60, 61, 62, 63, 64, 65)}
    found = kind(page(rows), "Failed sign-ins")
    assert (found.limit, found.window_s, found.total) == (10.0, 300, 18)
    assert max(one for one in found.bars if one is not None) == 15, "five minutes of three"
    assert len(found.bars) == 48
    blocked = kind(page({MINUTE - 5 * MINUTE_MS: [denied(7, "request.blocked")], MINUTE: [denied(2, "request.blocked")]}),
                   "Blocked requests")  # fmt: skip
    assert (blocked.limit, blocked.window_s, blocked.total, blocked.recent) == (None, None, 9, 2)
    assert max(one for one in blocked.bars if one is not None) == 9 and blocked.state is None


def test_over_a_month_bars_are_counts_without_a_limit() -> None:
    hour = NOW_MS - NOW_MS % 3_600_000
    long = view_of("31d", None, None, "24h", NOW_MS)
    found = kind(page({hour - 3_600_000: [denied(50)]}, {hour: [webhook("ozow")]}, view=long), "Failed sign-ins")
    assert (found.limit, found.window_s, found.recent, found.total) == (None, None, None, 50)


def test_before_anything_was_told_bars_are_gaps_and_then_zeros() -> None:
    found = kind(page({}, {MINUTE - 60 * MINUTE_MS: [webhook("ozow")]}), "Failed sign-ins")
    assert found.bars[:40] == [None] * 40 and found.bars[-1] == 0 and found.total == 0
    empty = security.security(Facts(NOW_MS, VIEW, LIVE, Held(), RULES))
    assert kind(empty, "Failed sign-ins").total is None and says(empty)[0] == "nodata"


def test_the_slip_tells_the_arithmetic_and_who_did_most_of_it() -> None:
    who = cells("actors", [
        {"kind": "auth.failed", "actor": "198.51.100.7", "count": 38}, {"kind": "auth.failed", "actor": "x", "count": 2},
        {"kind": "request.blocked", "actor": "198.51.100.7", "count": 90},
    ])  # fmt: skip
    [case] = page(firing=[SIGN_INS, event("payment_failing_fast")], who=who).cases
    assert (case.value, case.threshold, case.over, case.total) == (23.0, 10.0, True, 40)
    assert case.actors == [("198.51.100.7", 38), ("x", 2)]
    assert plain(page(firing=[SIGN_INS], who=who).why).startswith("38 of 40 in the last hour by 198.51.100.7.")


def test_signatures_by_provider_the_worst_first() -> None:
    found = page({}, {
        MINUTE - 60 * MINUTE_MS: [webhook("peach", count=90), forged("peach", 5), webhook("old", "processed")],
        MINUTE - MINUTE_MS: [webhook("ozow", count=50), forged("ozow", 4), webhook("ozow", "rejected", 2, "too_old")],
    }).signatures  # fmt: skip
    assert [(one.provider, one.received, one.invalid, one.refused, one.state) for one in found] == [
        ("ozow", 50, 4, 2, "degraded"), ("peach", 90, 5, 0, "ok"), ("old", 0, 0, 0, "nodata"),
    ]  # fmt: skip
    assert (found[0].last, found[2].last) == (MINUTE, None)


def test_compliance_tells_what_events_told_and_the_rest_is_not_known() -> None:
    taken = cells("pipeline", [{"kind": "event", "count": 990}, {"kind": "dead_letter", "count": 10}])
    rows = [policy("tls-1.2", True, 4), policy("mfa", False), policy("mfa", True, 3), denied(2, "authz.violated"),
            {"kind": "security.violated", "component": "tillwatch", "reason": "card_number", "count": 1}]  # fmt: skip
    found = {one.name: one for one in page({MINUTE: rows}, taken=taken).compliance}
    assert (found["mfa"].state, found["mfa"].word, found["mfa"].passed, found["mfa"].total) == (
        "degraded",
        "Fails",
        3,
        4,
    )
    assert (found["tls-1.2"].state, found["tls-1.2"].share) == ("ok", 1.0)
    cards, trail = found["No card number in any event"], found["Every event that came could be used"]
    assert (cards.state, cards.passed, cards.total, cards.word) == ("degraded", 989, 990, "1 masked card number")
    assert (trail.state, trail.share, trail.word) == ("degraded", 0.99, "10 refused")
    assert found["Attempts at what somebody may not do"].total == 2
    unread = security.security(Facts(NOW_MS, VIEW, LIVE, NOTHING, RULES)).compliance
    assert {(one.state, one.share, one.total) for one in unread} == {("nodata", None, None)}


def test_where_nothing_could_be_read_nothing_is_green_or_zero() -> None:
    found = security.security(Facts(NOW_MS, VIEW, Pulse("blind", "the store does not answer", None), NOTHING, RULES))
    assert found.state == "nodata" and not found.known
    assert {(tile.figure, tile.state) for tile in found.tiles} == {("–", "nodata")}
    assert {(one.total, one.recent, one.state) for one in found.kinds} <= {(None, None, "nodata"), (None, None, None)}
    assert {bar for one in found.kinds for bar in one.bars} == {None}


@pytest.mark.integration
async def test_its_numbers_are_those_of_sql_and_of_the_key_figures(client: httpx.AsyncClient, held: Store) -> None:
    rows = {OPEN_MS - at * 10_000: [denied(at % 4 + 1), denied(1, "request.blocked")] for at in range(100)}
    await held.write("security", rows)
    await held.write(
        "webhooks", {OPEN_MS - at * 10_000: [webhook("ozow", count=5), forged("ozow")] for at in range(100)}
    )
    await held.tell()
    found = await got(client, "/api/v1/pages/security?range=6h")
    totals = {one["name"]: one["total"] for one in found["kinds"]}
    sql = "select sum(count)::int as n from security_10s where kind = 'auth.failed'"
    [row] = (await query(held.tables, sql, NOW_MS / 1000)).objects()
    figures = await got(client, "/api/v1/kpis/security?window=6h")
    assert totals["Failed sign-ins"] == row["n"] == figures["authentication_failures"]
    assert totals["Invalid webhook signatures"] == 100 == figures["webhook_security_violations"]
    assert totals["Blocked requests"] == figures["blocked_requests"]
    assert (found["signatures"][0]["received"], found["signatures"][0]["invalid"]) == (500, 100)
    for asked in ("", "?range=31d", "?from=2026-09-20T00:00:00Z&to=2026-09-20T02:00:00Z"):
        assert (await client.get(f"/security{asked}")).status_code == 200
