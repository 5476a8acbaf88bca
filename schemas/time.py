"""RFC 3339 times and integer epoch milliseconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:([Zz])|([+-])(\d\d):([0-5]\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

# Times of one stream share their second and zone, and there are 1,000 ways to go on: two look-ups are several times as
# fast as parsing.
_CACHED = 100_000
_SECOND_CHARS, _MINUTE_CHARS = len("2026-11-23T08:00:00."), len("2026-11-23T08:00:")
_TAIL_CHARS = len("00.") + 18
_TAILS = {f"{ms:03d}Z": ms for ms in range(1_000)}
_MINUTES: dict[str, int] = {}


class _Seconds(dict[str, int]):
    """The epoch ms of a second, by how its times begin."""

    def __missing__(self, second: str) -> int:
        ms = _parse(f"{second}000Z")
        if len(self) >= _CACHED:
            self.clear()
        self[second] = ms
        return ms


_SECONDS = _Seconds()


def epoch_ms(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time with a zone, rounded down. Raises ValueError."""
    tail = _TAILS.get(text[_SECOND_CHARS:])
    return _otherwise(text) if tail is None else _SECONDS[text[:_SECOND_CHARS]] + tail


def epochs(texts: Sequence[str]) -> list[int]:
    """`epoch_ms` of each."""
    seconds, tails = _SECONDS, _TAILS
    try:
        return [seconds[text[:_SECOND_CHARS]] + tails[text[_SECOND_CHARS:]] for text in texts]
    except KeyError:  # one that is written in another way
        return list(map(epoch_ms, texts))


def _otherwise(text: str) -> int:
    """A time that does not end in milliseconds and Z but finer, or with an offset."""
    zone = "Z" if text[-1:] in ("Z", "z") else text[-6:]
    minute = _MINUTES.get(text[:_MINUTE_CHARS] + ("" if zone == "Z" else zone))
    if minute is not None:
        seconds = text[_MINUTE_CHARS : -len(zone)]
        digits = seconds[:2] + seconds[3:]
        formed = len(seconds) == 2 or (seconds[2:3] == "." and 4 <= len(seconds) <= _TAIL_CHARS)
        if formed and digits.isascii() and digits.isdigit() and digits[0] < "6":
            return minute + int(digits[:5].ljust(5, "0"))
    return _parse(text)


def _parse(text: str) -> int:
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError("expected an RFC 3339 time with a zone, such as 2026-11-23T08:00:00.123Z")
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    zone: timezone = UTC
    if match[9]:
        offset = timedelta(hours=int(match[10]), minutes=int(match[11]))
        zone = timezone(-offset if match[9] == "-" else offset)
    whole = (datetime(year, month, day, hour, minute, tzinfo=zone) - _EPOCH) // _MS
    if second > 59:
        raise ValueError("expected seconds from 00 to 59")
    tail = second * 1000 + int((match[7] or "").ljust(3, "0")[:3])
    zoned = text[-6:] if match[9] else ""
    if len(_MINUTES) >= _CACHED:
        _MINUTES.clear()
    _MINUTES[text[:_MINUTE_CHARS] + zoned] = whole
    return whole + tail


def rfc3339(ms: int) -> str:
    """The time of epoch milliseconds, in UTC with three digits."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
