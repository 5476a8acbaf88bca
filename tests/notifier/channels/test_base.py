"""The words that channels share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.channels import base
from notifier.channels.http import retry_after_s
from tests.support.messages import MESSAGE, message


@given(st.text(st.characters()))
def test_a_line_is_one_line_and_can_be_sent(text: str) -> None:
    cleaned = base.line(text)
    assert len(cleaned.splitlines()) <= 1 and base.line(cleaned) == cleaned
    cleaned.encode()


@pytest.mark.parametrize("text", ["a\r\nb", "a\x00b", "a\u2028b", "a\x85b", "a\x1bb", "\u202ea b", " a  b "])
def test_control_characters_are_blanks(text: str) -> None:
    assert base.line(text) == "a b"


@given(st.text(), st.integers(1, 50))
def test_cut_is_never_longer(text: str, length: int) -> None:
    assert len(base.cut(text, length)) <= length and (len(text) > length or base.cut(text, length) == text)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("+27821234567", "***567"),
        ("thandi@shop.example", "t***@shop.example"),
        ("https://hooks.example:8443/T0/B0?key=1", "https://hooks.example/***"),
        ("https://user:pw@hooks.example/x", "https://hooks.example/***"),
        ("tgram://key-of-a-test/chat", "tgram://***/***"),
        ("C0TEST7", "***ST7"),
        ("12345", "***"),
    ],
)
def test_a_masked_address_can_be_recognised_and_not_used(address: str, shown: str) -> None:
    assert base.masked_address(address) == shown


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "https://", "https://a/\n", "", None]
)
def test_only_the_web_is_linked_to(url: str | None) -> None:
    assert base.web_address(url) is None


def test_the_token_is_the_last_part_of_the_link() -> None:
    assert base.token_of("https://pages.example/tillwatch/answer/a.b-c_d?x=1") == "a.b-c_d"


def test_what_is_no_incident_has_no_number() -> None:
    assert base.headline(message(kind="handover", number=0, title="On call")) == "On call"
    assert base.headline(message(kind="test")) == "Test: P0 #41: Payments failing"
    assert base.paragraphs(MESSAGE)[0] == "critical, firing"
    assert base.paragraphs(message(kind="handover"))[0] == MESSAGE.summary


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 60),
        ("Wed, 21 Oct 1999 07:28:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    now = datetime(2099, 10, 21, 7, 27, tzinfo=UTC)
    assert retry_after_s(header, now) == seconds
