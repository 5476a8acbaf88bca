"""A dead letter is the record as it came, without card numbers, and with the reason and its place."""

import pytest

from schemas.deadletter import HEADERS, KEPT_BYTES, letter
from schemas.decode import MAX_BYTES
from schemas.masking import Masker
from tests.schemas.samples import CARD, MASK_KEY, encoded, sample

masker = Masker(MASK_KEY)


def made(key=b"tx_9", value=b"not json", headers=(), detail="byte 0: invalid character"):
    return letter(
        key, value, headers, reason="not_json", detail=detail,
        topic="tillwatch.payments.v1", partition=3, offset=41, broker_ms=1_795_420_800_123, masker=masker,
    )  # fmt: skip


def test_it_says_why_and_from_where():
    key, value, headers = made()
    assert (key, value) == (b"tx_9", b"not json")
    assert dict(headers) == {
        "tw_reason": b"not_json",
        "tw_detail": b"byte 0: invalid character",
        "tw_topic": b"tillwatch.payments.v1",
        "tw_partition": b"3",
        "tw_offset": b"41",
        "tw_time": b"2026-11-23T08:00:00.123Z",
        "tw_length": b"8",
    }
    assert list(HEADERS) == [name for name, _ in headers]


def test_its_own_headers_stay_in_their_order_and_a_second_reason_replaces_the_first():
    theirs = [("ce_type", b"x"), ("tw_reason", b"old"), ("a", b"1"), ("a", b"2")]
    assert made(headers=theirs)[2][:3] == [("ce_type", b"x"), ("a", b"1"), ("a", b"2")]
    assert [item for name, item in made(headers=theirs)[2] if name == "tw_reason"] == [b"not_json"]


@pytest.mark.parametrize(("key", "value"), [(None, None), (None, b""), (b"", None), (b"\xff\x00", b"\x80\x81")])
def test_any_bytes_or_none(key, value):
    assert made(key, value)[:2] == (key, value)


def test_up_to_one_mebibyte_it_is_whole_and_beyond_that_the_first_64_kib():
    assert made(value=b"x" * MAX_BYTES)[1] == b"x" * MAX_BYTES
    _, value, headers = made(value=b"y" * (MAX_BYTES + 1))
    assert (value, dict(headers)["tw_length"]) == (b"y" * KEPT_BYTES, b"1048577")


@pytest.mark.parametrize("before", range(KEPT_BYTES - 20, KEPT_BYTES + 2))
def test_a_card_number_across_the_cut_is_left_out(before):
    value = b" " * before + CARD.encode() + b" " * MAX_BYTES
    kept = made(value=value)[1]
    assert kept.strip() in (b"", b"411111******1111")
    assert len(kept) <= KEPT_BYTES


def test_card_numbers_are_masked_in_the_key_the_value_and_the_headers():
    event = {**sample(amount=-1, reason=f"card {CARD}", colour=int(CARD)), "id": CARD}
    theirs = [("ce_id", CARD.encode()), ("x", f"card {CARD}".encode()), (f"x-{CARD}", b"")]
    key, value, headers = made(CARD.encode(), encoded(event), theirs)
    hashed = masker.identifier(CARD).encode()
    assert key == hashed
    assert CARD.encode() not in value
    assert value.count(b"411111******1111") == 2
    assert b'"id":"%s"' % hashed in value
    assert headers[:3] == [("ce_id", hashed), ("x", b"card 411111******1111"), ("x-411111******1111", b"")]


def test_a_detail_with_half_a_character_can_still_be_sent():
    assert dict(made(detail="got \ud800")[2])["tw_detail"] == b"got ?"
