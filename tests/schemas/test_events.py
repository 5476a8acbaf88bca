"""Every event type of the contract, written out once more by hand: what is required, what is optional, and where."""

import pytest

from schemas.decode import Refused
from schemas.events import DATA_OF, EVERYWHERE, SUBJECT_OF
from tests.schemas.samples import as_decoded, decoder, encoded, sample, without

PAYMENT = "transaction_id provider method merchant amount currency"
SECURITY = "auth.failed authz.violated api.suspicious data_access.flagged request.blocked security.violated"
CHANGES = "deploy.released config.changed flag.flipped maintenance.started maintenance.ended"

# (types, subject, required, optional)
CONTRACT = [
    ("payment.initiated payment.redirected", "payments", PAYMENT, ""),
    ("payment.succeeded payment.refunded", "payments", PAYMENT, "latency_ms initiated_at"),
    ("payment.failed", "payments", f"{PAYMENT} fault reason", "latency_ms initiated_at"),
    ("reconciliation.checked", "payments", "provider transaction_id outcome", "amount currency"),
    (
        "enrollment.created enrollment.approved enrollment.access_granted",
        "enrollments",
        "enrollment_id course",
        "transaction_id processing_ms",
    ),
    (
        "webhook.received webhook.processed webhook.failed webhook.rejected webhook.duplicate",
        "webhooks",
        "webhook_id provider",
        "reason lag_ms",
    ),
    ("health.checked", "health", "component instance status", "place response_ms"),
    ("request.served call.made query.run", "platform", "component target outcome latency_ms", ""),
    ("resource.sampled", "platform", "host resource value interval_s", ""),
    ("session.started session.ended", "platform", "component session_id", "duration_ms"),
    ("feature.checked", "platform", "component feature available", ""),
    ("feedback.given", "platform", "component score", ""),
    ("error.raised error.resolved", "errors", "error_id category component critical", "message"),
    (f"{SECURITY} security.incident", "security", "actor component", "reason"),
    ("policy.checked", "security", "component policy passed", ""),
    (CHANGES, "changes", "component", "version author note"),
    ("source.alive", EVERYWHERE, "sent started_at", ""),
    ("pipeline.heartbeat", EVERYWHERE, "", ""),
]
ROWS = {
    event_type: (subject, set(required.split()), set(optional.split()))
    for types, subject, required, optional in CONTRACT
    for event_type in types.split()
}
CLOSED = {
    "reconciliation.checked": {"outcome": {"match", "missing", "amount_differs", "duplicate"}},
    "payment.failed": {"fault": {"business", "technical", "fraud", "merchant", "unknown"}},
    "health.checked": {"status": {"up", "down"}},
    "query.run": {"outcome": {"ok", "error", "connection_failed"}},
    "resource.sampled": {"resource": {"cpu", "memory", "disk", "network"}},
    "error.raised": {"category": {"application", "payment", "webhook", "configuration", "security"}},
}


def refusal(event, event_type=None):
    with pytest.raises(Refused) as caught:
        decoder(event_type or event["type"]).decode(encoded(event), None, [])
    return caught.value


def test_the_types_are_those_of_the_contract():
    assert set(ROWS) == set(DATA_OF)
    assert {event_type: subject for event_type, (subject, _, _) in ROWS.items()} == SUBJECT_OF


@pytest.mark.parametrize("event_type", ROWS)
def test_an_event_has_the_fields_of_the_contract(event_type):
    _, required, optional = ROWS[event_type]
    event = sample(event_type)
    assert set(event["data"]) == required | optional
    decoded, _, notes = decoder(event_type).decode(encoded(event), None, [])
    assert {name: getattr(decoded.data, name) for name in event["data"]} == as_decoded(event["data"])
    assert (decoded.id, decoded.source, decoded.TYPE, notes) == (event["id"], event["source"], event_type, None)


@pytest.mark.parametrize("event_type", ROWS)
def test_a_required_field_must_be_there_and_an_optional_one_need_not(event_type):
    _, required, optional = ROWS[event_type]
    for name in required:
        refused = refusal(without(sample(event_type), f"data.{name}"))
        assert (refused.reason, refused.detail) == ("invalid_field", f"data.{name}: required, but missing")
    for name in optional:
        event, _, _ = decoder(event_type).decode(encoded(without(sample(event_type), f"data.{name}")), None, [])
        assert getattr(event.data, name) is None


@pytest.mark.parametrize("event_type", ROWS)
def test_null_is_refused_in_every_field(event_type):
    for name in ROWS[event_type][1] | ROWS[event_type][2]:
        refused = refusal(sample(event_type, **{name: None}))
        assert refused.reason == "invalid_field"
        assert refused.detail == f"data.{name}: null is refused; an optional field is left out"


@pytest.mark.parametrize("event_type", CLOSED)
def test_a_closed_set_takes_its_words_and_no_other(event_type):
    for name, words in CLOSED[event_type].items():
        for word in words:
            decoder(event_type).decode(encoded(sample(event_type, **{name: word})), None, [])
        for word in ("", "other", "Technical", 1):
            assert refusal(sample(event_type, **{name: word})).reason == "invalid_field"


@pytest.mark.parametrize("value", ["12", 12.0, 1.5, True, -1, 10**12 + 1, 10**40, [], {}])
def test_an_amount_is_an_integer_of_minor_units_up_to_a_million_million(value):
    assert refusal(sample(amount=value)).detail.startswith("data.amount: expected ")


@pytest.mark.parametrize("value", [0, 1, 10**12])
def test_an_amount_may_be_anything_in_between(value):
    assert decoder().decode(encoded(sample(amount=value)), None, [])[0].data.amount == value


@pytest.mark.parametrize("value", ["12", True, -0.001, 10**12 + 0.5, 10**40, []])
def test_a_duration_is_a_number_and_never_negative(value):
    assert refusal(sample(latency_ms=value)).detail.startswith("data.latency_ms: expected ")


@pytest.mark.parametrize("value", [0, 0.0, 0.001, 12, 12.5, 10**12, 1e12])
def test_a_duration_may_be_an_integer_or_not(value):
    assert decoder().decode(encoded(sample(latency_ms=value)), None, [])[0].data.latency_ms == value


@pytest.mark.parametrize(("name", "bad"), [("value", 100.1), ("value", -1), ("interval_s", -1)])
def test_a_resource_is_measured_in_percent(name, bad):
    decoder("resource.sampled").decode(encoded(sample("resource.sampled", value=100, interval_s=0.5)), None, [])
    assert refusal(sample("resource.sampled", **{name: bad})).reason == "invalid_field"


@pytest.mark.parametrize("bad", [0, 6, 3.0, True, "3"])
def test_a_score_is_one_to_five(bad):
    for score in (1, 2, 3, 4, 5):
        decoder("feedback.given").decode(encoded(sample("feedback.given", score=score)), None, [])
    assert refusal(sample("feedback.given", score=bad)).reason == "invalid_field"


@pytest.mark.parametrize("bad", ["ZZZ", "zar", "ZA", "", "Rand", 710])
def test_a_currency_is_one_of_iso_4217(bad):
    for code in ("ZAR", "USD", "EUR", "JPY", "KWD", "XOF", "ZWG"):
        decoder().decode(encoded(sample(currency=code)), None, [])
    assert refusal(sample(currency=bad)).detail.startswith("data.currency: expected an ISO 4217 currency, got ")


@pytest.mark.parametrize("text", ["x" * 256, "😀" * 256, "é", "naïve café 😀", "null", "a\u200bb", " "])
def test_a_text_may_be_of_256_characters_of_any_script(text):
    assert decoder().decode(encoded(sample(reason=text)), None, [])[0].data.reason == text


@pytest.mark.parametrize("text", ["", "x" * 257, "😀" * 257, "a\x00b", "a\tb", "a\nb", "a\x7fb", "a\x80b", "a\x9fb"])
def test_a_text_is_never_empty_too_long_or_with_control_characters(text):
    refused = refusal(sample(reason=text))
    assert refused.reason == "invalid_field"
    assert refused.detail.startswith("data.reason: ")


@pytest.mark.parametrize("name", ["id", "source", "subject"])
@pytest.mark.parametrize("text", ["x" * 257, "a\x00b", "a\x85b"])
def test_the_envelope_is_held_to_the_same(name, text):
    refused = refusal({**sample(), name: text})
    assert (refused.reason, refused.detail.split(":")[0]) == ("invalid_field", name)
