"""Card numbers: found as the contract defines them, and replaced before anything is stored, logged or forwarded.

A card number is a run of 13 to 19 digits (single blanks or dashes allowed between them), not adjacent to a letter, digit
or dot, that has an issuer's prefix with that issuer's length and passes the Luhn check (ISO/IEC 7812-1, annex B). A Luhn
check alone would hit one in ten of ordinary 16-digit identifiers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

_RUN = re.compile(r"(?<![\w.])[0-9](?:[ -]?[0-9]){12,18}(?![\w.])", re.ASCII)
_RUN_BYTES = re.compile(rb"(?<![\w.\x80-\xff])[0-9](?:[ -]?[0-9]){12,18}(?![\w.\x80-\xff])")

# For the quick look: digits, blanks and dashes become one letter, so that a long run of them is a substring search.
_QUICK = bytes(ord("0") if chr(byte) in "0123456789 -" else ord(".") for byte in range(256))
_LONG = b"0" * 13
_ESCAPED_DIGIT = b"\\u003"


def _prefixes() -> list[tuple[range, int, tuple[int, ...]]]:
    """(range of prefixes, digits of a prefix, lengths) of the issuers, as they publish them."""
    return [
        (range(4, 5), 1, (13, 16, 19)),  # Visa
        (range(51, 56), 2, (16,)),  # Mastercard
        (range(2221, 2721), 4, (16,)),
        (range(34, 35), 2, (15,)),  # American Express
        (range(37, 38), 2, (15,)),
        (range(300, 306), 3, (14, 16, 17, 18, 19)),  # Diners Club
        (range(36, 37), 2, (14, 15, 16, 17, 18, 19)),
        (range(38, 40), 2, (14, 16, 17, 18, 19)),
        (range(6011, 6012), 4, (16, 17, 18, 19)),  # Discover
        (range(644, 650), 3, (16, 17, 18, 19)),
        (range(65, 66), 2, (16, 17, 18, 19)),
        (range(3528, 3590), 4, (16, 17, 18, 19)),  # JCB
        (range(62, 63), 2, (16, 17, 18, 19)),  # UnionPay
        (range(5018, 5019), 4, tuple(range(13, 20))),  # Maestro
        (range(5020, 5021), 4, tuple(range(13, 20))),
        (range(5038, 5039), 4, tuple(range(13, 20))),
        (range(5893, 5894), 4, tuple(range(13, 20))),
        (range(6304, 6305), 4, tuple(range(13, 20))),
        (range(6759, 6760), 4, tuple(range(13, 20))),
        (range(6761, 6764), 4, tuple(range(13, 20))),
    ]


_PREFIXES = _prefixes()


def is_card_number(digits: str) -> bool:
    """Whether 13 to 19 digits are an issuer's prefix with its length, and Luhn-valid."""
    if not any(len(digits) in lengths and int(digits[:width]) in wanted for wanted, width, lengths in _PREFIXES):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit)
        if place % 2:
            number = number * 2 - 9 if number > 4 else number * 2
        total += number
    return total % 10 == 0


def may_hold_card(value: bytes) -> bool:
    """A quick look: False means that there is no card number in these bytes, however JSON may write it."""
    return _LONG in value.translate(_QUICK) or _ESCAPED_DIGIT in value


def _stars(run: str) -> str:
    digits = re.sub("[ -]", "", run)
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"


class Masker:
    """Replaces card numbers; `key` is that of the hash which stands for one in an identifier."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _hash(self, run: str) -> str:
        digits = re.sub("[ -]", "", run)
        return "card_" + hmac.new(self._key, digits.encode(), hashlib.sha256).hexdigest()[:16]

    def text(self, text: str) -> str:
        """First six, stars, last four."""
        return self._sub(text, _stars)

    def identifier(self, text: str) -> str:
        """A keyed hash, so that two stay two and one stays one."""
        return self._sub(text, self._hash)

    def _sub(self, text: str, replacement: Callable[[str], str]) -> str:
        def replace(match: re.Match[str]) -> str:
            run = match[0]
            return replacement(run) if is_card_number(re.sub("[ -]", "", run)) else run

        return _RUN.sub(replace, text)

    def raw(self, value: bytes) -> bytes:
        """Bytes of a dead letter: first six, stars, last four; also where JSON escapes hide the digits."""

        def replace(match: re.Match[bytes]) -> bytes:
            run = match[0].decode()
            return _stars(run).encode() if is_card_number(re.sub("[ -]", "", run)) else match[0]

        if _ESCAPED_DIGIT in value:
            plain = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), value)
            masked = _RUN_BYTES.sub(replace, plain)
            if masked != plain:
                return masked
        return _RUN_BYTES.sub(replace, value)


_ESCAPE = re.compile(rb"\\u00(2[0d]|2[0D]|3[0-9])")
