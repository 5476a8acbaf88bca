"""RFC 3339 and epoch milliseconds."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.time import epoch_ms, rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(
    lambda offset: timedelta(minutes=offset // timedelta(minutes=1))
)


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)), offsets)
def test_a_time_is_the_whole_milliseconds_since_1970_in_any_zone(moment, offset):
    sign, minutes = ("-" if offset < timedelta(0) else "+"), abs(offset) // timedelta(minutes=1)
    text = f"{moment.isoformat(timespec='microseconds')}{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    assert epoch_ms(text) == (moment.replace(tzinfo=UTC) - offset - EPOCH) // timedelta(milliseconds=1)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_what_is_written_is_read_again(ms):
    assert epoch_ms(rfc3339(ms)) == ms
    assert len(rfc3339(ms)) == len("2026-11-23T08:00:00.123Z")


@given(st.integers(1_795_420_740_000, 1_795_420_860_000), st.integers(1_795_420_740_000, 1_795_420_860_000))
def test_a_time_met_before_is_read_the_same(one, other):
    first = [epoch_ms(rfc3339(ms)) for ms in (one, other, one, other)]
    assert first == [one, other, one, other]


@pytest.mark.parametrize("text", ["", "2026-11-23", "2026-11-23T08:00:00", "2026-11-23T08:00:00.Z",
                                  "2026-11-23T08:00:00ZZ",
                                  "2026-11-23T08:00:60Z", "2026-11-23T24:00:00Z", "2026-13-01T08:00:00Z",
                                  "2026-11-23T08:00:00+24:00", "2026-11-23T08:00:00+01:60", " 2026-11-23T08:00:00Z",
                                  "2026-11-23T08:00:00Z\n", "+2026-11-23T08:00:00Z"])  # fmt: skip
def test_what_is_no_time(text):
    epoch_ms("2026-11-23T08:00:00Z")  # whatever was met before
    with pytest.raises(ValueError, match=r"."):
        epoch_ms(text)
