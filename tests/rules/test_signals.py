"""Signals as data: those that ship, one's own beside them, and what is wrong with some."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from rules.compile import in_unit
from rules.condition import Quantity
from rules.loader import RuleSet, load, read
from rules.signals import AGGREGATES, KEYS, UNITS, Unit, shipped
from schemas.tables import TABLES
from tests.support.desk import START_S, Desk
from tests.support.events import call
from tests.support.packs import GOOD, marked, names

NAMED = """
payment_failure_rate avg_payment_latency payment_volume health_check_failures database_connection_failures
api_connection_failures avg_response_time memory_usage cpu_usage security_violations failed_auth_attempts
invalid_webhook_signatures payments_initiated schema_drift
payment_success_rate payment_decline_rate p95_payment_latency revenue revenue_per_transaction webhook_lag
duplicate_webhooks throughput error_rate critical_errors avg_query_time avg_api_latency disk_usage authorization_violations
suspicious_activities blocked_requests security_incidents enrollments_created approval_time uptime feature_availability
customer_satisfaction resolved_errors reconciliation_differences
"""


@pytest.mark.parametrize("name", NAMED.split())
def test_a_signal_of_the_language_ships(name: str) -> None:
    assert name in shipped()


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_signal_is_complete(name: str) -> None:
    signal = shipped()[name]
    assert signal.aggregate in AGGREGATES and signal.unit in UNITS
    assert signal.all != "events" and signal.one, "what it counts has a name, for one and for many"
    assert signal.table({*signal.needed, *signal.by}) is not None
    assert signal.counted(1) == signal.one and signal.counted(2) == signal.all


@pytest.mark.parametrize(
    ("number", "written", "unit", "read"),
    [
        (5, "%", "ratio", Fraction(1, 20)),
        (5, "%", "percent", Fraction(5)),
        (5, "minutes", "s", Fraction(300)),
        (5, "ms", "s", Fraction(1, 200)),
        (5, None, "count", Fraction(5)),
        (5, None, "minor", Fraction(5)),
        (5, None, "s", None),
        (5, "%", "count", None),
        (5, "s", "ratio", None),
    ],
)
def test_a_quantity_is_turned_into_the_unit_of_the_signal(
    number: int, written: str | None, unit: Unit, read: Fraction | None
) -> None:
    assert in_unit(Quantity(Fraction(number), written), unit)[0] == read


# --- one's own --------------------------------------------------------------------------------------------------------

SLOW = """
slow_partner:
  title: average latency of the partner
  table: calls
  aggregate: mean
  where: {target: partner}
  measure: latency_ms
  unit: s
"""
RULE = "p:\n  r: {condition: slow_partner > 2 seconds over 1 minute, severity: high, min_events: 1}\n"


def with_signals(text: str, packs: str = RULE) -> RuleSet:
    return read([("pack.yaml", packs)], signals=[("signals.yaml", text)])


def test_a_signal_of_ones_own_is_judged() -> None:
    found = with_signals(SLOW)
    assert found.problems == ()
    desk = Desk(found, now=START_S)
    desk.put(call(START_S, target="other", latency_ms=9_000))
    assert desk.told == []
    desk.put(call(START_S + 1, target="partner", latency_ms=2_001))
    assert desk.told == ["r firing"]


def test_signals_lie_beside_the_packs(tmp_path: Path) -> None:
    (tmp_path / "signals.yaml").write_text(SLOW)
    (tmp_path / "pack.yaml").write_text(RULE)
    for paths in ([tmp_path], [tmp_path / "pack.yaml"], [tmp_path / "pack.yaml", tmp_path / "signals.yaml"]):
        found = load(paths)
        assert found.problems == () and names(found) == ["p/r"], paths


def test_a_folder_of_signals_alone_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / "signals.yaml").write_text(SLOW)
    assert load([tmp_path / "signals.yaml"]) == RuleSet()


def _signal(**changed: str | None) -> str:
    keys: dict[str, str | None] = {
        "title": "x", "table": "payments", "aggregate": "mean", "measure": "latency_ms", "unit": "s",
    }  # fmt: skip
    given = {name: text for name, text in (keys | changed).items() if text is not None}
    return "mine: {" + ", ".join(f"{name}: {text}" for name, text in given.items()) + "}"


BROKEN = {
    "a name that ships": ("▲" + _signal().replace("mine", "cpu_usage"), "cpu_usage is a signal that ships"),
    "a name that no condition can name": ("▲" + _signal().replace("mine", "my-own"), "letters, digits and _"),
    "a name twice": (_signal() + "\n▲" + _signal(), "mine is given twice"),
    "no title": ("▲" + _signal(title=None), "mine has no title"),
    "no measure": ("▲" + _signal(measure=None), "mine has no measure"),
    "an unknown key": (_signal() + "\nmine2: {▲tabel: payments, title: x}", "did you mean table?"),
    "an unknown table": (_signal(table="▲paymnts"), "did you mean payments?"),
    "an unknown aggregate": (_signal(aggregate="▲avg"), "no aggregate 'avg'; there are count, sum, mean"),
    "an unknown measure": (_signal(measure="▲latency"), "no measure 'latency'; there are amount, latency_ms"),
    "the wrong unit": (_signal(unit="▲count"), "the unit of a mean of latency_ms is s, not count"),
    "a key of another aggregate": (_signal()[:-1] + ", ▲q: 0.5}", "a mean has no 'q'"),
    "an unknown dimension": (_signal()[:-1] + ", where: {▲provder: x}}", "did you mean provider?"),
    "a value of another kind": (
        _signal(table="errors", aggregate="count", measure=None, unit="count")[:-1] + ", where: {critical: ▲'yes'}}",
        "expected true or false for critical",
    ),
    "a grouping set that no table has": (
        _signal(table="▲[payments, merchants]", aggregate="count", measure=None, unit="count")[:-1]
        + ", where: {merchant: m}, by: [provider]}",
        "no table has merchant, provider together",
    ),
    "a measure that its grouping set has not": (
        _signal(table="▲[payments, merchants]")[:-1] + ", by: [merchant]}",
        "no table has merchant and latency_ms together",
    ),
    "a gauge of what is no sample": (_signal(aggregate="max", measure="▲latency_ms"), "a max is a gauge"),
    "a row of what has no order": (
        _signal(table="▲payments", aggregate="streak", measure=None, unit="count")[:-1]
        + ", of: {outcome: failed}, bad: failed, each: [provider]}",
        "the order of events is known in health alone",
    ),
    "a part of nothing": (
        _signal(aggregate="ratio", measure=None, unit="ratio")[:-1]
        + ", where: {outcome: succeeded}, of: ▲{outcome: failed}, bad: failed}",
        "'of' is a part of 'where', where outcome is never failed",
    ),
    "a text": ("mine: ▲5", "expected a mapping with title, table, aggregate, unit, got '5'"),
    "no YAML": ("mine: ▲*x", "not YAML"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_error_of_a_signal_says_where(case: str) -> None:
    text, places = marked(BROKEN[case][0])
    found = with_signals(text, f"p:\n  good: {GOOD}\n")
    told = {(problem.line, problem.column): str(problem) for problem in found.problems}
    assert places[0] in told, told
    assert BROKEN[case][1] in told[places[0]]
    assert told[places[0]].startswith("signals.yaml:")
    assert names(found) == ["p/good"]


def test_a_rule_on_a_signal_with_errors_is_told_so() -> None:
    found = with_signals(_signal(unit="count"), "p:\n  r: {condition: mine > 1 over 1 minute, severity: high}")
    assert [problem.text for problem in found.problems if problem.file == "pack.yaml"] == ["the signal mine is itself wrong"]


def test_two_files_of_signals_give_a_name_once() -> None:
    found = read([], signals=[("a/signals.yaml", SLOW), ("b/signals.yaml", SLOW)])
    assert [str(problem) for problem in found.problems] == [
        "b/signals.yaml:2:1: error: slow_partner is in a/signals.yaml already"
    ]


def test_every_key_is_said_in_the_head_of_the_file() -> None:
    from rules.signals import FILE

    head = "\n".join(line for line in FILE.read_text().splitlines() if line.startswith("#"))
    assert [key for key in KEYS if key not in ("q", "measure", "each") and f"{key}" not in head] == []


def test_a_signal_may_look_at_any_table() -> None:
    text = "\n".join(f"on_{name}: {{title: x, table: {name}, aggregate: count, unit: count}}" for name in TABLES)
    assert with_signals(text, f"p:\n  good: {GOOD}\n").problems == ()
