"""Partial rollups: split to fit a message, and read again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rollup import PackedPart, Partial, decode_partial, encode_partials

HEAD = Partial("tillwatch.payments.v1/aa/3", "token", 42, 1_000, 2_000, False)
ROW = [1, [5], [[5, "evt_01", "tx_9"]], 0, [[1, 39900, 39900, 39900, 0]]]


def raw(rows):
    return msgspec.Raw(msgspec.json.encode(rows))


def as_json(value):
    return msgspec.json.decode(msgspec.json.encode(value))


values = st.none() | st.booleans() | st.integers(0, 5) | st.text(max_size=3)
parts = st.lists(
    st.builds(
        PackedPart,
        st.sampled_from(["payments", "merchants"]),
        st.integers(0, 10**13),
        st.integers(0, 100),
        st.integers(0, 100),
        st.lists(st.tuples(st.lists(values), st.just(ROW))).map(raw),
    ),
    max_size=5,
)


@given(parts, st.integers(1, 400))
def test_all_parts_arrive_in_order_whatever_the_limit(tables, limit):
    messages = [decode_partial(value) for value in encode_partials(HEAD, tables, limit)]
    assert as_json([table for message in messages for table in message.tables]) == as_json(tables)
    assert [message.part for message in messages] == list(range(len(messages)))
    assert {message.parts for message in messages} == {len(messages)}
    assert all(message.source == HEAD.source and message.next == 42 for message in messages)


def test_a_partial_without_cells_still_tells_its_position():
    (value,) = encode_partials(HEAD, [], 1000)
    assert msgspec.structs.replace(decode_partial(value), tables=()) == HEAD


def test_a_message_is_at_most_its_limit_and_one_table_long():
    tables = [PackedPart("payments", bucket, 0, 1, raw([(("failed", "ozow"), ROW)])) for bucket in range(50)]
    messages = encode_partials(HEAD, tables, 500)
    assert len(messages) > 1
    assert all(len(message) < 500 + 250 for message in messages)


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"source": 5}', b"\xff"])
def test_what_is_no_partial_is_a_value_error(value):
    with pytest.raises(ValueError, match=r"."):
        decode_partial(value)
