"""The rollup tables of the contract, written out once more by hand, and what each event adds to them."""

from collections import defaultdict

import pytest
from hypothesis import given

from schemas.events import DATA_OF
from schemas.tables import FOLDS, ITEMIZE, PUTTERS, TABLES
from tests.schemas.samples import decoder, encoded, events, sample, without

PAYMENTS = "outcome provider method currency fault reason"
# (table, dimensions, measures with ~ for a sketch, home)
LAYOUT = [
    ("payments", PAYMENTS, "amount ~latency_ms", "payments"),
    ("payment_cohorts", PAYMENTS, "amount ~latency_ms", "payments"),
    ("merchants", "outcome merchant currency", "amount", "payments"),
    ("reconciliations", "provider outcome currency", "amount", "payments"),
    ("enrollments", "step course", "~processing_ms", "enrollments"),
    ("webhooks", "outcome provider reason", "~lag_ms", "webhooks"),
    ("health", "component instance place status", "~response_ms", "health"),
    ("requests", "component target outcome", "~latency_ms", "platform"),
    ("calls", "component target outcome", "~latency_ms", "platform"),
    ("queries", "component target outcome", "~latency_ms", "platform"),
    ("resources", "host resource", "value interval_s", "platform"),
    ("experience", "kind component feature available score", "~duration_ms", "platform"),
    ("errors", "kind category component critical", "", "errors"),
    ("security", "kind component reason policy passed", "", "security"),
    ("actors", "kind actor", "", "security"),
    ("changes", "kind component version", "", "changes"),
    ("pipeline", "kind type source", "sent", None),
]
OPEN = {
    *("provider", "method", "merchant", "course", "reason", "component", "instance", "place"),
    *("target", "host", "feature", "actor", "policy", "version"),
}


@pytest.mark.parametrize(("name", "dimensions", "measures", "home"), LAYOUT)
def test_a_table_has_the_columns_of_the_contract(name, dimensions, measures, home):
    table = TABLES[name]
    assert table.dimensions == tuple(dimensions.split())
    assert [("~" * m.sketch) + m.name for m in table.measures] == measures.split()
    assert {m.name for m in table.measures if not m.thousandths} == {"amount", "sent"} & set(measures.split())
    assert table.home == home
    assert (table.slow, table.max_cells) == ((True, 10_000) if name in ("merchants", "actors") else (False, 1_000))
    assert table.keeps_recent == (name == "health")
    if name != "pipeline":
        assert table.closed == set(table.dimensions) - OPEN
    assert set(table.kinds) == set(table.dimensions)


def test_there_is_no_other_table():
    assert set(TABLES) == {row[0] for row in LAYOUT}
    assert {fold.table for folds in FOLDS.values() for fold in folds} == set(TABLES)


def test_the_kinds_of_dimensions_that_are_no_text():
    kinds = {(t.name, name): kind for t in TABLES.values() for name, kind in t.kinds.items() if kind != "text"}
    assert kinds == {
        ("experience", "available"): "bool",
        ("experience", "score"): "int",
        ("errors", "critical"): "bool",
        ("security", "passed"): "bool",
    }


def test_a_table_that_is_full_keeps_what_is_closed_and_merges_the_rest():
    assert TABLES["payments"].overflow(("failed", "ozow", "eft", "ZAR", "technical", "timeout")) == (
        "failed", "other", "other", "ZAR", "technical", "other",
    )  # fmt: skip
    assert TABLES["payments"].overflow(("initiated", "ozow", "eft", "ZAR", None, None)) == (
        "initiated", "other", "other", "ZAR", None, None,
    )  # fmt: skip
    assert TABLES["experience"].overflow(("feature.checked", "web", "cart", False, None)) == (
        "feature.checked", "other", "other", False, None,
    )  # fmt: skip


def folded(event):
    """{table: (key, measures, identity, bucket time)} of an event; that it is counted as one of its source is not shown."""
    decoded, ms, _ = decoder(event["type"]).decode(encoded(event), None, [])
    offset, time, _, _, identity, *numbers = item = ITEMIZE[event["type"]](decoded, 7, ms)
    assert (offset, time) == (7, ms)
    own, cohorts = put(event["type"], decoded, item)
    found = {}
    for fold in FOLDS[event["type"]]:
        ((bucket, keys),) = (cohorts if fold.by_cohort else own)[fold.key].items()
        ((key, items),) = keys.items()
        assert items == [item]
        if key[0] != "event":
            measures = tuple(None if place is None else numbers[place] for place in fold.numbers) or None
            found[fold.table] = key, measures, identity, bucket
    return found


def put(event_type, decoded, item):
    """Where an event goes, key by key: {bucket of 1 ms: {key: items}} by its own time, and by its cohort's."""
    count = len({fold.key for fold in FOLDS[event_type]})
    own, cohorts = ([defaultdict(lambda: defaultdict(list)) for _ in range(count)] for _ in range(2))
    PUTTERS[event_type](1, own, cohorts)(decoded, item)
    return own, cohorts


def test_every_event_is_counted_as_one_of_its_source():
    for event_type in DATA_OF.keys() - {"source.alive", "pipeline.heartbeat"}:
        decoded, ms, _ = decoder(event_type).decode(encoded(sample(event_type)), None, [])
        own, _ = put(event_type, decoded, ITEMIZE[event_type](decoded, 7, ms))
        (keys,) = [own[fold.key][ms] for fold in FOLDS[event_type] if fold.table == "pipeline"]
        assert list(keys) == [("event", None, "/checkout/za-1")]


def test_a_failed_payment():
    ms, initiated = 1_795_420_800_123, 1_795_420_798_283
    event = sample(provider="ozow", method="eft", merchant="m42", amount=39900, currency="ZAR", fault="technical",
                   reason="timeout", transaction_id="tx_9", latency_ms=1840.0627)  # fmt: skip
    key = ("failed", "ozow", "eft", "ZAR", "technical", "timeout")
    assert folded(event) == {
        "payments": (key, (39900, 1_840_063), "tx_9", ms),
        "payment_cohorts": (key, (39900, 1_840_063), "tx_9", initiated),
        "merchants": (("failed", "m42", "ZAR"), (39900,), "tx_9", ms),
    }


def test_a_payment_that_does_not_say_when_it_was_initiated_is_its_own_cohort():
    assert folded(without(sample("payment.succeeded"), "data.initiated_at"))["payment_cohorts"][3] == 1_795_420_800_123
    assert folded(sample("payment.initiated"))["payment_cohorts"][3] == 1_795_420_800_123


def test_what_is_absent_is_none():
    event = without(sample("payment.succeeded", amount=5, currency="ZAR"), "data.latency_ms")
    assert folded(event)["payments"][:2] == (("succeeded", "checkout", "checkout", "ZAR", None, None), (5, None))


@pytest.mark.parametrize(
    ("event_type", "table", "key", "measures"),
    [
        ("reconciliation.checked", "reconciliations", ("checkout", "match", "AED"), (3,)),
        ("enrollment.access_granted", "enrollments", ("access_granted", "checkout"), (12_500,)),
        ("webhook.rejected", "webhooks", ("rejected", "checkout", "checkout"), (12_500,)),
        ("health.checked", "health", ("checkout", "checkout", "checkout", "up"), (12_500,)),
        ("request.served", "requests", ("checkout", "checkout", "ok"), (12_500,)),
        ("call.made", "calls", ("checkout", "checkout", "ok"), (12_500,)),
        ("query.run", "queries", ("checkout", "checkout", "ok"), (12_500,)),
        ("resource.sampled", "resources", ("checkout", "cpu"), (12_500, 12_500)),
        ("session.ended", "experience", ("session.ended", "checkout", None, None, None), (12_500,)),
        ("feature.checked", "experience", ("feature.checked", "checkout", "checkout", True, None), (None,)),
        ("feedback.given", "experience", ("feedback.given", "checkout", None, None, 3), (None,)),
        ("error.raised", "errors", ("error.raised", "application", "checkout", True), None),
        ("policy.checked", "security", ("policy.checked", "checkout", None, "checkout", True), None),
        ("deploy.released", "changes", ("deploy.released", "checkout", "checkout"), None),
        ("source.alive", "pipeline", ("source.alive", None, "/checkout/za-1"), (3,)),
    ],
)
def test_what_each_other_event_adds(event_type, table, key, measures):
    assert folded(sample(event_type)) == {table: (key, measures, "evt_01", 1_795_420_800_123)}


def test_a_security_event_is_counted_by_component_and_by_actor():
    assert folded(sample("auth.failed", actor="mallory")) == {
        "security": (("auth.failed", "checkout", "checkout", None, None), None, "evt_01", 1_795_420_800_123),
        "actors": (("auth.failed", "mallory"), None, "evt_01", 1_795_420_800_123),
    }


def test_a_heartbeat_is_folded_nowhere():
    assert FOLDS["pipeline.heartbeat"] == ()
    assert set(FOLDS) == set(DATA_OF)


@given(events())
def test_every_key_has_the_shape_of_its_table(event):
    for table, (key, measures, _, at) in folded(event).items():
        assert len(key) == len(TABLES[table].dimensions)
        wanted = {"text": str, "bool": bool, "int": int}
        for value, name in zip(key, TABLES[table].dimensions, strict=True):
            assert value is None or type(value) is wanted[TABLES[table].kinds[name]]
        assert len(measures or ()) == len(TABLES[table].measures)
        assert all(value is None or (type(value) is int and value >= 0) for value in measures or ())
        assert type(at) is int
