"""Card numbers: found as the contract defines them, and replaced before anything is stored, logged or forwarded.

A card number is a run of 13 to 19 digits (single blanks or dashes allowed between them), not adjacent to a letter,
digit or dot, that has an issuer's prefix with that issuer's length and passes the Luhn check (ISO/IEC 7812-1, annex B).
A Luhn check alone would hit one in ten of ordinary 16-digit identifiers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable

SHORTEST = 13
"""Digits of the shortest card number."""

# A run may be longer than a card number: "4111 1111 1111 1111 12/27" goes on with the month. So every row of whole
# groups of digits within the run is looked at.
_RUN = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_GROUP = re.compile("[0-9]+")

# For the quick look: digits, blanks and dashes become one letter, so that a long run of them is a substring search.
_QUICK = bytes(ord("0") if chr(byte) in "0123456789 -" else ord(".") for byte in range(256))
_LONG = b"0" * SHORTEST
_GAPS = b" -"
_LONGEST_CHAR = 4
"""Bytes of a character in UTF-8, at most."""
BACKSLASH = ord("\\")
# JSON's escapes of digits, and of blank and dash.
_ESCAPED_DIGIT, _ESCAPED_GAP = b"\\u003", b"\\u002"
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.|\Z)", re.DOTALL)

_NAMED = frozenset({"id", "subject", "source", "merchant", "actor"})
_FIELD = re.compile(r'"([^"\\]{1,64})"\s*:\s*"?[^"]*\Z')
_LOOK_BACK = 400
_STRADDLE = 256
"""Bytes of the longest card number, were each of its characters escaped."""


def _prefixes() -> Iterable[tuple[range, tuple[int, ...]]]:
    """(range of prefixes, lengths) of the issuers, as they publish them."""
    long, maestro = (16, 17, 18, 19), tuple(range(13, 20))
    yield range(4, 5), (13, 16, 19)  # Visa
    yield range(51, 56), (16,)  # Mastercard
    yield range(2221, 2721), (16,)
    yield range(34, 35), (15,)  # American Express
    yield range(37, 38), (15,)
    yield range(36, 37), (14, 15, *long)  # Diners Club
    for diners in (range(300, 306), range(3095, 3096), range(38, 40)):
        yield diners, (14, *long)
    for discover in (range(6011, 6012), range(644, 650), range(65, 66)):
        yield discover, long
    yield range(3528, 3590), long  # JCB
    yield range(62, 63), long  # UnionPay
    for first in (5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763):  # Maestro
        yield range(first, first + 1), maestro


def _lengths() -> dict[str, tuple[int, ...]]:
    """The lengths that a card number may have, the longest first, by its first four digits."""
    lengths: dict[str, tuple[int, ...]] = {}
    for prefixes, allowed in _prefixes():
        for prefix in prefixes:
            width = 10 ** (4 - len(str(prefix)))
            for four in range(prefix * width, (prefix + 1) * width):
                lengths[f"{four:04d}"] = tuple(sorted(allowed, reverse=True))
    return lengths


_LENGTHS = _lengths()
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")


def is_card_number(digits: str) -> bool:
    """Whether 13 to 19 digits are an issuer's prefix with its length, and Luhn-valid."""
    return len(digits) in _LENGTHS.get(digits[:4], ()) and _luhn(digits.encode())


def _luhn(digits: bytes) -> bool:
    return (sum(digits[-1::-2]) + sum(digits[-2::-2].translate(_DOUBLED)) - ord("0") * len(digits)) % 10 == 0


def is_identifier(name: str) -> bool:
    """Whether a field of this name names one thing, so that a card number in it becomes a hash and not stars."""
    return name in _NAMED or name.endswith("_id")


Span = tuple[int, int]


def card_spans(text: str) -> list[Span]:
    """Where card numbers stand in a text, from left to right: (start, end)."""
    spans: list[Span] = []
    for run in _RUN.finditer(text):
        groups = [match.span() for match in _GROUP.finditer(text, *run.span())]
        if run.start() and _touches(text[run.start() - 1]):
            del groups[0]
        if groups and run.end() < len(text) and _touches(text[run.end()]):
            groups.pop()
        digits = "".join([text[start:end] for start, end in groups])
        starts: list[Span] = []
        ends: dict[int, int] = {}
        count = 0
        for start, end in groups:
            starts.append((count, start))
            count += end - start
            ends[count] = end
        free = 0
        for place, start in starts:
            for length in _LENGTHS.get(digits[place : place + 4], ()) if place >= free else ():
                if place + length in ends and _luhn(digits[place : place + length].encode()):
                    spans.append((start, ends[place + length]))
                    free = place + length
                    break
    return spans


def _touches(char: str) -> bool:
    return char == "." or char.isalnum()


def may_hold_card(value: bytes) -> bool:
    """A quick look: False means that there is no card number in these bytes, however JSON may write it."""
    if value.translate(_QUICK).find(_LONG) >= 0:
        return True
    return BACKSLASH in value and (_ESCAPED_DIGIT in value or _ESCAPED_GAP in value)


def holds_card(value: bytes) -> bool:
    """Whether there is a card number in these bytes, be it behind JSON's escapes."""
    if BACKSLASH in value:
        return may_hold_card(value) and bool(_raw_spans(_text(value)))
    # Only the surroundings of long rows of digits, blanks and dashes are looked at: a chunk of records is a megabyte,
    # and somewhere in it is a UUID with many digits in a row.
    quick = value.translate(_QUICK)
    at = quick.find(_LONG)
    while at >= 0:
        start, end = quick.rfind(b".", 0, at) + 1, quick.find(b".", at)
        end = len(quick) if end < 0 else end
        if len(value[start:end].translate(None, _GAPS)) >= SHORTEST and card_spans(
            _text(value[max(0, start - _LONGEST_CHAR) : end + _LONGEST_CHAR])
        ):
            return True
        at = quick.find(_LONG, end)
    return False


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")  # any bytes, and back again


def _raw_spans(text: str) -> list[Span]:
    """Where card numbers stand in a text that may be JSON: as it is, and with its escapes resolved."""
    found = card_spans(text)
    if "\\" in text:
        resolved, places = _resolved(text)
        found += [(places[start], places[end]) for start, end in card_spans(resolved)]
    spans: list[Span] = []
    for start, end in sorted(found):
        if spans and start < spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def _resolved(text: str) -> tuple[str, list[int]]:
    """The text with JSON's escapes resolved, and where each of its characters was. A short escape (`\\n`) is never a
    letter or digit: a backslash stands for it."""
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for escape in _ESCAPE.finditer(text):
        parts += (text[at : escape.start()], chr(int(escape[1], 16)) if escape[1] else "\\")
        places += range(at, escape.start() + 1)
        at = escape.end()
    parts.append(text[at:])
    places += range(at, len(text) + 1)
    return "".join(parts), places


def _digits(run: str) -> str:
    return "".join(_GROUP.findall(_resolved(run)[0]))


def _stars(run: str) -> str:
    digits = _digits(run)
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"


class Masker:
    """Replaces card numbers; `key` is that of the hash which stands for one in an identifier."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _hash(self, run: str) -> str:
        return "card_" + hmac.new(self._key, _digits(run).encode(), hashlib.sha256).hexdigest()[:16]

    def text(self, text: str) -> str:
        """First six, stars, last four."""
        return _replaced(text, card_spans(text), lambda start, end: _stars(text[start:end]))

    def identifier(self, text: str) -> str:
        """A keyed hash, so that two stay two and one stays one."""
        return _replaced(text, card_spans(text), lambda start, end: self._hash(text[start:end]))

    def raw(self, value: bytes, limit: int | None = None) -> bytes:
        """Bytes of a dead letter, JSON or not: as `identifier` in the fields that are one, elsewhere as `text`.

        limit: bytes to keep of what came; a card number that lies across it is left out.
        """
        cut = limit is not None and len(value) > limit
        if cut:
            value, kept = value[: (limit or 0) + _STRADDLE], value[:limit]
        if not may_hold_card(value):
            return kept if cut else value
        text = _text(value)
        spans = _raw_spans(text)
        if cut:
            until = len(_text(kept))
            until = min([until, *(start for start, end in spans if start < until < end)])
            text, spans = text[:until], [span for span in spans if span[1] <= until]

        def replacement(start: int, end: int) -> str:
            field = _FIELD.search(text, max(0, start - _LOOK_BACK), start)
            named = field is not None and is_identifier(field[1])
            return self._hash(text[start:end]) if named else _stars(text[start:end])

        return _replaced(text, spans, replacement).encode("utf-8", "surrogateescape")

    def raw_identifier(self, value: bytes) -> bytes:
        """Bytes that name one thing, such as a record's key."""
        if not may_hold_card(value):
            return value
        text = _text(value)
        masked = _replaced(text, _raw_spans(text), lambda start, end: self._hash(text[start:end]))
        return masked.encode("utf-8", "surrogateescape")


def _replaced(text: str, spans: list[Span], replacement: Callable[[int, int], str]) -> str:
    if not spans:
        return text
    parts: list[str] = []
    at = 0
    for start, end in spans:
        parts += (text[at:start], replacement(start, end))
        at = end
    return "".join([*parts, text[at:]])
