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


@given(
    st.integers(1_795_420_740_000, 1_795_420_860_000),
    st.sampled_from(["", "4", "000", "999999", "123456789012345"]),
    st.sampled_from(["Z", "z", "+00:00", "+02:00", "-05:30"]),
)
def test_a_time_met_before_is_read_the_same_however_fine_and_in_any_zone(ms, finer, zone):
    text = rfc3339(ms).removesuffix("Z") + finer + zone
    hours, minutes = (0, 0) if zone in ("Z", "z") else (int(zone[:3]), int(zone[0] + zone[4:]))
    for _ in range(3):
        assert epoch_ms(text) == ms - (hours * 60 + minutes) * 60_000


@pytest.mark.parametrize("text", ["2026-11-23T08:00:00.123x", "2026-11-23T08:00:00.123x4Z", "2026-11-23T08:00:00.123٣Z",
                                  "2026-11-23T08:00:00.1234567890123456789Z", "2026-11-23T08:00:00.123+02:0",
                                  "2026-11-23T08:00:+02:00", "2026-11-23T08:00:Z",
                                  "2026-11-23T08:00:00.123+24:00"])  # fmt: skip
def test_what_is_no_time_though_its_parts_were_met_before(text):
    for known in ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00.123Z", "2026-11-23T08:00:00.123+02:00"):
        epoch_ms(known)
    with pytest.raises(ValueError, match=r"."):
        epoch_ms(text)


@pytest.mark.parametrize("text", ["", "2026-11-23", "2026-11-23T08:00:00", "2026-11-23T08:00:00.Z",
                                  "2026-11-23T08:00:00ZZ",
                                  "2026-11-23T08:00:60Z", "2026-11-23T24:00:00Z", "2026-13-01T08:00:00Z",
                                  "2026-11-23T08:00:00+24:00", "2026-11-23T08:00:00+01:60", " 2026-11-23T08:00:00Z",
                                  "2026-11-23T08:00:00Z\n", "+2026-11-23T08:00:00Z"])  # fmt: skip
def test_what_is_no_time(text):
    epoch_ms("2026-11-23T08:00:00Z")  # whatever was met before
    with pytest.raises(ValueError, match=r"."):
        epoch_ms(text)
