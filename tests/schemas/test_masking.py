"""Card numbers are found wherever they stand; ordinary long numbers are left alone. All are published test numbers."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decode import Decoder
from schemas.masking import Masker, card_spans, holds_card, is_card_number, is_identifier, may_hold_card
from tests.schemas.samples import CARD, HEADER, MASK_KEY, binary, decoder, encoded, sample

PUBLISHED = {
    "Visa": "4111111111111111 4012888888881881 4222222222222",
    "Mastercard": "5555555555554444 5105105105105100 2223003122003222",
    "American Express": "378282246310005 371449635398431",
    "Discover": "6011111111111117 6011000990139424",
    "Diners Club": "30569309025904 38520000023237 36227206271667",
    "JCB": "3530111333300000 3566002020360505",
    "UnionPay": "6200000000000005 6205500000000000004",
    "Maestro": "6759649826438453 6304000000000000",
}
NUMBERS = [number for numbers in PUBLISHED.values() for number in numbers.split()]
masker = Masker(MASK_KEY)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_numbers_of_each_issuer_are_found(number):
    assert is_card_number(number)
    assert masker.text(f"paid with {number}, thanks") == (
        f"paid with {number[:6]}{'*' * (len(number) - 10)}{number[-4:]}, thanks"
    )


@pytest.mark.parametrize(
    "text",
    [
        "1234567812345670",  # passes Luhn, but no issuer begins with 1
        "4111111111111112",  # fails Luhn
        "411111111111111",  # Visa has no 15 digits
        "37828224631000",  # American Express has no 14
        "2026112308000012",  # a timestamp
        "1795420800123",  # milliseconds
        "550e8400-e29b-41d4-a716-446655440000",
        f"x{CARD}", f"{CARD}x", f"é{CARD}", f"{CARD}ß", f"7{CARD}", f"{CARD}7", f".{CARD}", f"{CARD}.5", f"0.{CARD}",
        "4111  1111 1111 1111", "4111--1111-1111-1111", "4111.1111.1111.1111", "4111/1111/1111/1111",
        "4111_1111_1111_1111",
        CARD * 2,
        "４１１１１１１１１１１１１１１１",  # digits of another script
    ],
)  # fmt: skip
def test_ordinary_numbers_are_left_alone(text):
    assert card_spans(text) == []
    assert masker.text(text) == masker.identifier(text) == text
    assert not holds_card(text.encode())


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (CARD, "411111******1111"),
        ("4111 1111 1111 1111", "411111******1111"),
        ("4111-1111-1111-1111", "411111******1111"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "411111******1111"),
        (f"card:{CARD};", "card:411111******1111;"),
        (f"card_{CARD}", "card_411111******1111"),
        (f"😀{CARD}😀", "😀411111******1111😀"),
        (f"({CARD})", "(411111******1111)"),
        (f" -{CARD}- ", " -411111******1111- "),
        (f"{CARD} 12/27", "411111******1111 12/27"),
        (f"on 2026-11-23 {CARD}", "on 2026-11-23 411111******1111"),
        (f"order 42 {CARD} x 3", "order 42 411111******1111 x 3"),
        (f"{CARD} {CARD}", "411111******1111 411111******1111"),
        (f"{CARD}, 378282246310005", "411111******1111, 378282*****0005"),
    ],
)
def test_a_number_is_found_in_whatever_surrounds_it(text, masked):
    assert masker.text(text) == masked
    assert masker.raw(text.encode()) == masked.encode()
    assert holds_card(text.encode())


def test_in_an_identifier_two_numbers_stay_two_and_one_stays_one():
    first, again, other = (masker.identifier(n) for n in (CARD, "4111-1111-1111-1111", "4012888888881881"))
    assert first == again != other
    assert re.fullmatch("card_[0-9a-f]{16}", first)
    assert Masker(b"another key").identifier(CARD) != first


def test_which_fields_are_identifiers():
    assert all(map(is_identifier, ["id", "subject", "source", "merchant", "actor", "transaction_id", "error_id"]))
    assert not any(map(is_identifier, ["reason", "note", "message", "provider", "host", "paid"]))


digits = st.text("0123456789", min_size=10, max_size=20)
near = st.text('0123456789 -.x_é"\\\n', max_size=6)


@given(near, st.sampled_from(NUMBERS), near)
def test_nothing_is_left_after_masking(before, number, after):
    for masked in (masker.text(before + number + after), masker.identifier(before + number + after)):
        assert card_spans(masked) == []


@given(st.binary(max_size=60))
def test_bytes_without_a_number_come_out_as_they_were(value):
    if not holds_card(value):
        assert masker.raw(value) == masker.raw_identifier(value) == value


@given(near, st.sampled_from(NUMBERS), near, st.randoms())
def test_the_quick_look_never_misses_a_number(before, number, after, random):
    text = before + number + after
    for value in (encoded(text), json.dumps(text).encode(), escaped(text, random)):
        if card_spans(json.loads(value)):
            assert may_hold_card(value)
            assert holds_card(value)
            assert json_text(masker.raw(value)) is None or card_spans(json_text(masker.raw(value))) == []


def escaped(text, random):
    """The text as JSON in which any character may be escaped."""
    units = "".join(f"\\u{ord(c):04x}" if random.random() < 0.3 else json.dumps(c)[1:-1] for c in text)
    return f'"{units}"'.encode()


def json_text(value):
    try:
        return json.loads(value)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (b'{"note":"card\\n4111111111111111"}', b'{"note":"card\\n411111******1111"}'),
        (b'{"note":"\\u0034111111111111111"}', b'{"note":"411111******1111"}'),
        (b'{"note":"4111\\u00201111\\u002D1111\\u00201111"}', b'{"note":"411111******1111"}'),
        (b'{"note":"\\u00414111111111111111"}', b'{"note":"\\u00414111111111111111"}'),
        (b'{"amount":4111111111111111}', b'{"amount":411111******1111}'),
        (b"\xff\xfe4111111111111111\x80", b"\xff\xfe411111******1111\x80"),
        (b'{"cards":["4111111111111111","378282246310005"]', b'{"cards":["411111******1111","378282*****0005"]'),
        ("{\"reason\":\"é4111111111111111\"}".encode(), "{\"reason\":\"é4111111111111111\"}".encode()),
    ],
)  # fmt: skip
def test_the_bytes_of_a_dead_letter(value, masked):
    assert masker.raw(value) == masked


def test_an_identifier_in_the_bytes_of_a_dead_letter():
    value = masker.raw(encoded({"id": CARD, "data": {"transaction_id": f"tx {CARD}", "note": CARD}}))
    hashed = masker.identifier(CARD)
    assert json.loads(value) == {
        "id": hashed,
        "data": {"transaction_id": f"tx {hashed}", "note": "411111******1111"},
    }


@pytest.mark.parametrize("limit", range(1, 60))
def test_a_cut_never_leaves_a_part_of_a_number(limit):
    value = b"some text, 4111 1111 1111 1111 and \\u0034111111111111111 more" + b"." * 500
    cut = masker.raw(value, limit)
    assert b"1111 11" not in cut
    assert b"11111111" not in cut
    assert len(cut) <= limit
    assert masker.raw(value).startswith(cut)


# --- in events --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["provider", "method", "reason"])
def test_in_text_of_an_event_it_is_starred_and_noted(field):
    event, ms, notes = decoder().decode(encoded(sample(**{field: f"card {CARD} declined"})), None, [])
    assert getattr(event.data, field) == "card 411111******1111 declined"
    assert notes.card
    assert ms == decoder().decode(encoded(sample()), None, [])[1]


@pytest.mark.parametrize("field", ["transaction_id", "merchant"])
def test_in_an_identifier_of_an_event_it_is_hashed(field):
    event, _, notes = decoder().decode(encoded(sample(**{field: CARD})), None, [])
    assert getattr(event.data, field) == masker.identifier(CARD)
    assert notes.card


@pytest.mark.parametrize("attribute", ["id", "subject", "source"])
def test_in_the_envelope_it_is_hashed(attribute):
    event, _, notes = decoder().decode(encoded({**sample(), attribute: f"a {CARD}"}), None, [])
    assert getattr(event, attribute) == f"a {masker.identifier(CARD)}"
    assert notes.card


def test_an_actor_is_hashed():
    value = encoded(sample("auth.failed", actor=CARD, component=CARD))
    event, _, notes = decoder("auth.failed").decode(value, None, [])
    assert (event.data.actor, event.data.component) == (masker.identifier(CARD), "411111******1111")
    assert notes.card


def test_json_escapes_do_not_hide_one():
    value = encoded(sample(reason="REASON")).replace(b"REASON", b"".join(b"\\u%04x" % ord(c) for c in CARD))
    event, _, notes = decoder().decode(value, None, [])
    assert (event.data.reason, notes.card) == ("411111******1111", True)


def test_a_full_identifier_stays_valid_when_the_hash_is_longer():
    event, _, notes = decoder().decode(encoded({**sample(), "id": f"{CARD} {'x' * 239}"}), None, [])
    assert event.id == f"{masker.identifier(CARD)} {'x' * 239}"
    assert notes.card


@pytest.mark.parametrize("event", [sample(colour=CARD), sample(colour=int(CARD)), {**sample(), "extension": [CARD]}])
def test_in_what_is_dropped_it_is_still_a_finding(event):
    assert decoder().decode(encoded(event), None, [])[2].card


def test_in_the_key_or_a_header_it_is_a_finding():
    decode = Decoder("payments", MASK_KEY).decode
    assert decode(encoded(sample()), CARD.encode(), HEADER)[2].card
    assert decode(encoded(sample()), None, [*HEADER, ("x", CARD.encode())])[2].card
    assert decode(encoded(sample()), None, [*HEADER, (f"x-{CARD}", b"")])[2].card
    assert decode(encoded(sample()), b"1234567812345670", [*HEADER, ("x", b"1234567812345670")])[2] is None


def test_in_binary_mode():
    value, headers = binary({**sample(), "id": CARD})
    event, _, notes = decoder().decode(value, None, headers)
    assert (event.id, notes.card) == (masker.identifier(CARD), True)


@given(
    st.lists(
        st.sampled_from(
            [
                b"0",
                b"1",
                b"4",
                b"12",
                b" ",
                b"-",
                b".",
                b"a",
                "é😀".encode(),
                b"\xf0",
                b"\x9f",
                *map(str.encode, NUMBERS),
            ]
        ),
        max_size=30,
    ).map(b"".join)
)
def test_looking_only_around_long_runs_finds_what_looking_at_everything_finds(value):
    assert holds_card(value) == bool(card_spans(value.decode("utf-8", "surrogateescape")))
