"""From a record to an event: both modes of the CloudEvents binding, and everything that can be wrong with one."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.deadletter import REASONS
from schemas.decode import MAX_BYTES, MAX_DEPTH, Decoder, Notes, Refused
from schemas.events import SUBJECT_OF, event_model
from tests.schemas.samples import (
    CARD,
    HEADER,
    MASK_KEY,
    as_decoded,
    binary,
    decoder,
    encoded,
    events,
    sample,
    subject_of,
    twisted,
    wild,
    without,
)

NOON = 1_795_435_200_000  # 2026-11-23T12:00:00Z


def refusal(value, headers=(), subject="payments", key=None):
    with pytest.raises(Refused) as caught:
        Decoder(subject, MASK_KEY).decode(value, key, headers)
    return caught.value


# --- what is accepted -----------------------------------------------------------------------------------------------


def test_an_event_in_structured_mode():
    event, ms, notes = decoder().decode(encoded(sample(amount=39900)), b"tx_9", HEADER)
    assert (event.id, event.source, event.TYPE, event.subject) == ("evt_01", "/checkout/za-1", "payment.failed", "tx_9")
    assert (event.data.amount, event.data.currency, ms, notes) == (39900, "AED", 1_795_420_800_123, None)


def test_an_event_in_structured_mode_needs_no_header():
    assert decoder().decode(encoded(sample()), None, [])[0] == decoder().decode(encoded(sample()), None, HEADER)[0]


def test_an_event_in_binary_mode_is_the_same_event():
    value, headers = binary(sample())
    event, ms, notes = decoder().decode(value, None, headers)
    plain, plain_ms, _ = decoder().decode(encoded(sample()), None, HEADER)
    assert (event.id, event.source, event.TYPE, event.data, ms) == (
        plain.id, plain.source, plain.TYPE, plain.data, plain_ms,
    )  # fmt: skip
    assert notes is None


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        ("2026-11-23T12:00:00Z", NOON),
        ("2026-11-23t12:00:00z", NOON),
        ("2026-11-23T14:00:00+02:00", NOON),
        ("2026-11-23T06:30:00.000-05:30", NOON),
        ("2026-11-23T12:00:00.1Z", NOON + 100),
        ("2026-11-23T12:00:00.123999Z", NOON + 123),
        ("2026-11-23T12:00:00.123999999Z", NOON + 123),
        ("1969-12-31T23:59:59.9999Z", -1),
    ],
)
def test_a_time_counts_in_whole_milliseconds_never_rounded_up(time, ms):
    assert decoder().decode(encoded({**sample(), "time": time}), None, [])[1] == ms


@pytest.mark.parametrize("event_type", ["pipeline.heartbeat", "source.alive"])
@pytest.mark.parametrize("subject", ["payments", "health", "changes"])
def test_signs_of_life_are_allowed_on_every_topic(event_type, subject):
    event, _, _ = Decoder(subject, MASK_KEY).decode(encoded(sample(event_type)), None, HEADER)
    assert event_type == event.TYPE


def test_what_is_unknown_is_ignored_and_noted():
    plain, _, _ = decoder().decode(encoded(sample()), None, [])
    event, _, notes = decoder().decode(encoded(sample(colour="red")), None, [])
    assert event == plain
    assert (notes.unknown_field, notes.extension, notes.card) == (True, False, False)
    event, _, notes = decoder().decode(encoded({**sample(), "traceparent": "00-1-1-00"}), None, [])
    assert event == plain
    assert (notes.unknown_field, notes.extension, notes.card) == (False, True, False)


@pytest.mark.parametrize("core", ["subject", "datacontenttype", "dataschema"])
def test_an_attribute_of_cloudevents_itself_is_no_extension(core):
    assert decoder().decode(encoded({**sample(), core: "x"}), None, [])[2] is None


def test_an_extension_may_come_as_a_header():
    value, headers = binary(sample())
    assert decoder().decode(value, None, [*headers, ("ce_traceparent", b"\xff")])[2].extension
    assert decoder().decode(value, None, [*headers, ("traceparent", b"x"), ("a-header-of-somebody", b"x")])[2] is None


@given(events())
def test_any_valid_event_is_accepted(event):
    decoded, _, notes = decoder(event["type"]).decode(encoded(event), None, [])
    assert {name: getattr(decoded.data, name) for name in event["data"]} == as_decoded(event["data"])
    assert notes is None or notes.card


# --- the fast way and the careful way agree ---------------------------------------------------------------------------


class OnlyFast(Decoder):
    def _carefully(self, value, key, headers):
        raise AssertionError("took the careful way")


@given(events())
def test_ordinary_events_take_the_fast_way(event):
    value = encoded(event)
    if b"\\" not in value:
        OnlyFast(subject_of(event["type"]), MASK_KEY).decode(value, b"tx_9", HEADER)


def test_an_ordinary_long_number_takes_the_fast_way():
    ordinary = "1234567812345670"
    OnlyFast("payments", MASK_KEY).decode(encoded(sample(transaction_id=ordinary)), ordinary.encode(), HEADER)


def verdict(decode, value):
    try:
        return decode(value, None, [])[:2]
    except Refused as refused:
        return refused.reason


@given(events())
def test_both_ways_give_the_same_event(event):
    decode = decoder(event["type"]).decode
    assert decode(encoded(event), None, [])[:2] == decode(encoded(event | {"extension": "x"}), None, [])[:2]


@given(twisted())
def test_both_ways_and_the_models_accept_the_same(event):
    event_type = event.get("type")
    try:
        decode = decoder(event_type).decode
    except (KeyError, TypeError):
        decode = decoder().decode
    fast, careful = verdict(decode, encoded(event)), verdict(decode, encoded(event | {"extension": "x"}))
    assert fast == careful
    if isinstance(fast, str) and fast != "invalid_field":
        return
    try:
        event_model(event_type).model_validate(json.loads(encoded(event)))
    except ValueError:
        assert fast == "invalid_field"
    else:
        assert fast != "invalid_field"


# --- a chunk at once ------------------------------------------------------------------------------------------------


class Record(NamedTuple):
    value: bytes | None
    key: bytes | None = b"tx_9"
    headers: Sequence[tuple[str, bytes]] = HEADER
    offset: int = 0
    timestamp: int = NOON


payments = events(st.sampled_from(sorted(t for t, home in SUBJECT_OF.items() if home == "payments")))
records = st.builds(Record, payments.map(encoded))
odd_records = st.builds(
    Record,
    payments.map(encoded) | twisted().map(encoded) | st.sampled_from([None, b"", b"hello"]),
    st.sampled_from([None, b"", b"tx_9", b"\xff", CARD.encode(), b"1234567812345670"]),
    st.sampled_from([(), HEADER, [("ce_specversion", b"1.0")], [("x", CARD.encode())]]),
)


@given(st.lists(records, max_size=4), st.lists(odd_records, max_size=1), st.lists(records, max_size=4))
def test_of_a_chunk_each_record_gives_what_it_gives_alone_or_nothing(before, odd, after):
    decode, chunk = decoder(), [*before, *odd, *after]
    events, times, notes = decode.decode_all(chunk)
    for place, (record, event, ms) in enumerate(zip(chunk, events, times, strict=True)):
        if event is not None:
            assert (event, ms, notes.get(place)) == decode.decode(record.value, record.key, record.headers)


def test_ordinary_chunks_are_taken_together():
    chunk = [Record(encoded({**sample(), "id": f"evt_{number}"}), b"1234567812345670") for number in range(50)]
    together = decoder().decode_all(chunk)
    assert [event.id for event in together[0]] == [f"evt_{number}" for number in range(50)]


@pytest.mark.parametrize(
    "odd",
    [
        Record(None),
        Record(b"hello"),
        Record(encoded(sample(reason=CARD))),
        Record(encoded(sample()), key=CARD.encode()),
        Record(encoded(sample()), headers=[("x", CARD.encode())]),
        Record(encoded(sample(reason="a\x7fb"))),
        Record(encoded(sample(reason="a\x85b"))),
        Record(encoded(sample(initiated_at="yesterday"))),
        Record(encoded({**sample(), "time": "yesterday"})),
        Record(encoded(sample("auth.failed"))),
        Record(encoded(sample()) + b" " * MAX_BYTES),
        Record(*binary(sample())[:1], headers=binary(sample())[1]),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_an_odd_record_is_left_out_and_its_neighbours_are_not(odd, place):
    chunk = [Record(encoded(sample()))] * 3
    events, times, notes = decoder().decode_all([*chunk[:place], odd, *chunk[place:]])
    assert notes == {}
    assert [index for index, event in enumerate(events) if event is None] == [place]
    assert [index for index, ms in enumerate(times) if ms == 0] == [place]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_what_is_unknown_is_noted_of_each_and_decoded_with_its_neighbours(place):
    chunk = [Record(encoded(sample()))] * 3
    drift = [Record(encoded(one)) for one in (sample(colour="red"), {**sample(), "traceparent": "00"}, sample())]
    events, times, notes = decoder().decode_all([*chunk[:place], *drift, *chunk[place:]])
    assert events == [decoder().decode(encoded(sample()), None, ())[0]] * 6
    assert len(set(times)) == 1
    assert notes == {place: Notes(unknown_field=True), place + 1: Notes(extension=True)}


def test_what_is_unknown_makes_no_event_of_what_is_none():
    deep = b"[" * 300 + b"]" * 300
    broken = [encoded(sample(more="MORE")).replace(b'"MORE"', more) for more in (deep, b"01", b'"\xff"', b"[1,]", b"nul")]
    wrong = [encoded(sample(colour="red", amount=-1)), encoded({**sample(), "time": "yesterday", "traceparent": "00"})]
    events, _, notes = decoder().decode_all([Record(value) for value in (*broken, *wrong)])
    assert (events, notes) == ([None] * 7, {})


def test_escaped_slashes_are_ordinary():
    chunk = [Record(encoded(sample()).replace(b"/", b"\\/"))] * 2
    assert b"\\/checkout" in (chunk[0].value or b"")
    events, _, _ = decoder().decode_all(chunk)
    assert events == [decoder().decode(encoded(sample()), None, ())[0]] * 2


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (None, "null_value", "the record has no value"),
        (b"", "null_value", "the record has no value"),
        (b" " * (MAX_BYTES + 1), "too_large", "1048577 bytes; the limit is 1048576"),
        (b"x" * 10_000_000, "too_large", "10000000 bytes; the limit is 1048576"),
        (b"hello", "not_json", "byte 0: invalid character"),
        (b'{"id": ', "not_json", "byte 7: the text ends too early"),
        (b'{"id": "a"}}', "not_json", "byte 12: trailing characters"),
        (b'{"id": "a" "b"}', "not_json", "byte 11: expected ',' or '}'"),
        (b'{"id": "caf\xe9"}', "not_json", "byte 11: not UTF-8"),
        (b'{"id": NaN}', "not_json", "byte 7: invalid character"),
        (b'{"id": "a\x00b"}', "not_json", "byte 9: invalid character"),
        (b'{"id": "\\ud800 is half"}', "not_json", "byte 14: unexpected end of escaped utf-16 surrogate pair"),
        (b"\xef\xbb\xbf{}", "not_json", "byte 0: invalid character"),
        (b"[" * 100_000, "not_json", "nested deeper than 256"),
        (b'{"a":' * 100_000, "not_json", "nested deeper than 256"),
        (b"[" * 300 + b"]" * 300, "not_json", "nested deeper than 256"),
        (b"[]", "not_an_event", "expected a JSON object, got an array"),
        (b"null", "not_an_event", "expected a JSON object, got null"),
        (b'"event"', "not_an_event", 'expected a JSON object, got "event"'),
        (b"1e400", "not_an_event", "expected a JSON object, got a number beyond all bounds"),
        (b"{}", "not_an_event", 'specversion: expected "1.0", got null'),
    ],
)
def test_a_value_that_is_no_event(value, reason, detail):
    refused = refusal(value)
    assert (refused.reason, refused.detail) == (reason, detail)


@pytest.mark.parametrize(
    ("event", "reason", "detail"),
    [
        ({**sample(), "specversion": "0.3"}, "not_an_event", 'specversion: expected "1.0", got "0.3"'),
        ({**sample(), "specversion": 1.0}, "not_an_event", 'specversion: expected "1.0", got 1.0'),
        (without(sample(), "id"), "not_an_event", "id: expected a non-empty string, got null"),
        ({**sample(), "id": ""}, "not_an_event", 'id: expected a non-empty string, got ""'),
        ({**sample(), "source": 7}, "not_an_event", "source: expected a non-empty string, got 7"),
        ({**sample(), "type": ["x"]}, "not_an_event", "type: expected a non-empty string, got an array"),
        (without(sample(), "time"), "not_an_event", "time: expected a non-empty string, got null"),
        ({**sample(), "type": "payment.lost"}, "unknown_type", 'type: no event type "payment.lost"'),
        ({**sample(), "type": "Payment.failed"}, "unknown_type", 'type: no event type "Payment.failed"'),
        (sample("auth.failed"), "wrong_topic", "type: auth.failed belongs on the topic of security"),
        (without(sample(), "data"), "invalid_field", "data: required, but missing"),
        ({**sample(), "data": "x"}, "invalid_field", 'data: expected an object, got "x"'),
        ({**sample(), "data": None}, "invalid_field", "data: null is refused; an optional field is left out"),
        ({**sample(), "subject": 5}, "invalid_field", "subject: expected a string, got 5"),
        (sample(amount="12"), "invalid_field", 'data.amount: expected an integer, got "12"'),
        (sample(amount=True), "invalid_field", "data.amount: expected an integer, got true"),
        (sample(amount=-1), "invalid_field", "data.amount: expected a number of at least 0, got -1"),
        (sample(amount=1.5, provider=2), "invalid_field", "data.provider: expected a string, got 2 (and 1 more)"),
        (sample(reason="a\x00b"), "invalid_field", 'data.reason: control characters are not allowed, got "a\\u0000b"'),
        (
            sample(merchant="m" * 257),
            "invalid_field",
            f'data.merchant: expected a string of at most 256 characters, got "{"m" * 59}…',
        ),
    ],
)  # fmt: skip
def test_an_event_that_cannot_count(event, reason, detail):
    refused = refusal(encoded(event))
    assert (refused.reason, refused.detail) == (reason, detail)


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "9" * 400, "9" * 5_000, "1" + "0" * 40, "0.5", "39900.0", "399e2"]
)
def test_a_number_that_no_amount_can_be(number):
    refused = refusal(encoded(sample(amount=424242)).replace(b"424242", number.encode()))
    assert refused.reason == "invalid_field"
    assert refused.detail.startswith("data.amount: expected ")


@pytest.mark.parametrize("time", ["yesterday", "2026-11-23", "2026-11-23T08:00:00", "2026-11-23T08:00:00+0200",
                                  "2026-11-23T25:00:00Z", "2026-02-30T08:00:00Z", "2026-11-23T08:00Z",
                                  "2026-11-23T08:00:60Z", "2026-11-23T08:00:00+01:99", "0000-01-01T00:00:00Z",
                                  "٢٠٢٦-11-23T08:00:00Z"])  # fmt: skip
@pytest.mark.parametrize("field", ["time", "data.initiated_at"])
def test_a_time_is_rfc_3339_with_a_zone(field, time):
    event = {**sample(), "time": time} if field == "time" else sample(initiated_at=time)
    refused = refusal(encoded(event))
    assert refused.reason == "invalid_field"
    assert refused.detail.startswith(f"{field}: ")


def test_the_first_reason_is_the_one_that_is_told():
    everything_wrong = {**sample("auth.failed", actor=5), "time": "no", "subject": 5}
    assert refusal(encoded(without(everything_wrong, "id"))).reason == "not_an_event"
    assert refusal(encoded({**everything_wrong, "type": "x"})).reason == "unknown_type"
    assert refusal(encoded(everything_wrong)).reason == "wrong_topic"
    assert refusal(encoded(everything_wrong), subject="security").reason == "invalid_field"


def test_a_neighbour_of_nested_data_counts_until_the_limit():
    ok = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    with_depth = encoded(sample(note="here")).replace(b'"here"', b"%s")
    refused = refusal(with_depth % (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH))
    assert refused.reason == "not_json"
    assert decoder().decode(encoded({**sample(), "x": "here"}).replace(b'"here"', ok), None, [])[2].extension


def test_brackets_in_a_text_are_no_nesting():
    event, _, _ = decoder("error.raised").decode(encoded(sample("error.raised", message="[{" * 128)), None, [])
    assert event.data.message == "[{" * 128
    with_quote = sample("error.raised", message='"' + "[" * 255)
    assert decoder("error.raised").decode(encoded({**with_quote, "x": [[]]}), None, [])[2].extension


@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"])
def test_an_attribute_in_a_header_must_be_text(name):
    value, headers = binary(sample())
    broken = [(header, b"\xff" if header == name else item) for header, item in headers]
    assert (refusal(value, broken).reason, refusal(value, broken).detail) == (
        "not_an_event", f"header {name}: not UTF-8",
    )  # fmt: skip


def test_binary_mode_without_an_id():
    value, headers = binary(without(sample(), "id"))
    assert refusal(value, headers).detail == "id: expected a non-empty string, got null"


def test_a_refusal_names_the_source_if_it_can_stand_in_a_table():
    assert refusal(encoded(sample(amount=-1))).source == "/checkout/za-1"
    for source in ("", "x" * 257, "a\x00b"):
        assert refusal(encoded({**sample(amount=-1), "source": source})).source is None


def test_a_refusal_never_tells_a_card_number():
    told = (sample(amount=CARD), sample(amount=int(CARD)), {**sample(), "type": CARD}, sample(latency_ms=f"\n{CARD}"))
    for event in told:
        assert CARD not in refusal(encoded(event)).detail
    for place in range(60):  # wherever the detail is cut
        assert "411111111111" not in refusal(encoded(sample(amount="-" * place + " " + CARD))).detail
    assert CARD not in refusal(encoded({**sample(amount=-1), "source": CARD})).source


# --- nothing but Refused comes out, whatever goes in ------------------------------------------------------------------

headers_of_any_kind = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"])
        | st.text(max_size=20),
        st.sampled_from([b"application/cloudevents+json", b"1.0", b"payment.failed", CARD.encode()])
        | st.just(b"2026-11-23T08:00:00Z")
        | st.binary(max_size=20)
        | st.none(),
    ),
    max_size=7,
)


def only_refused(value, key=None, headers=()):
    try:
        Decoder("payments", MASK_KEY).decode(value, key, headers)
    except Refused as refused:
        assert refused.reason in REASONS


@given(st.binary(max_size=200), st.none() | st.binary(max_size=40), headers_of_any_kind)
def test_any_bytes(value, key, headers):
    only_refused(value, key, headers)


@given(wild, headers_of_any_kind)
def test_any_json(value, headers):
    only_refused(encoded(value), None, headers)


@given(twisted(), headers_of_any_kind)
def test_any_twisted_event(event, headers):
    only_refused(encoded(event), None, headers)


@given(events(), st.data())
def test_any_damaged_event(event, data):
    value = bytearray(encoded(event))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        piece = data.draw(st.sampled_from([b"", b"\x00", b"\xff", b"\\", b'"', b"[", b"1e999", b"\\ud800", b"null"]))
        value[at : at + data.draw(st.integers(0, 3))] = piece
        if not value:
            break
    only_refused(bytes(value))
