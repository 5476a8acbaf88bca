"""Where a line goes, and what is refused before it is sent."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.produce import NotAnEvent, batches, route
from runtime.names import Names
from schemas.events import EVERYWHERE, SUBJECT_OF

NAMES = Names("shop")


def _event(kind: str, **data: object) -> bytes:
    event = {"specversion": "1.0", "id": "e1", "source": "/checkout", "type": kind, "time": "2026-11-23T08:00:00Z"}
    return json.dumps(event | {"data": data}).encode()


@pytest.mark.parametrize(
    ("kind", "data", "topic", "key"),
    [
        ("payment.failed", {"transaction_id": "tx_9", "merchant": "m1"}, "shop.payments.v1", b"tx_9"),
        ("webhook.rejected", {"webhook_id": "w1", "provider": "p"}, "shop.webhooks.v1", b"w1"),
        ("health.checked", {"component": "api", "instance": "a"}, "shop.health.v1", b"api"),
        ("resource.sampled", {"host": "db-1"}, "shop.platform.v1", b"db-1"),
        ("auth.failed", {"actor": "bob", "component": "web"}, "shop.security.v1", b"bob"),
        ("source.alive", {"sent": 4}, "shop.platform.v1", b"/checkout"),
    ],
)
def test_an_event_goes_to_the_topic_of_its_type_keyed_by_what_it_is_about(
    kind: str, data: dict[str, object], topic: str, key: bytes
) -> None:
    routed = route(_event(kind, **data), NAMES)
    assert (routed.topic, routed.key) == (topic, key)


@pytest.mark.parametrize("kind", sorted(SUBJECT_OF))
def test_every_type_has_a_topic(kind: str) -> None:
    subject = SUBJECT_OF[kind]
    assert route(_event(kind), NAMES).topic == NAMES.events("platform" if subject == EVERYWHERE else subject)


def test_a_repeat_has_the_key_of_the_first_so_that_it_can_be_recognised() -> None:
    line = _event("payment.succeeded", transaction_id="tx_1")
    assert route(line, NAMES) == route(line, NAMES)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b"[1]", "expected a JSON object"),
        (b'{"type": "payment.failed"}', "specversion"),
        (b'{"specversion": "1.0", "id": 7}', "'id'"),
        (_event("payment.suceeded"), "did you mean payment.succeeded?"),
    ],
)
def test_a_line_that_cannot_be_routed_says_why(line: bytes, why: str) -> None:
    with pytest.raises(NotAnEvent, match=why.replace("?", r"\?")):
        route(line, NAMES)


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))), st.booleans())
def test_lines_come_out_as_they_went_in_however_they_end(lines: list[bytes], crlf: bool) -> None:
    written = b"".join(line + (b"\r\n" if crlf else b"\n") for line in lines)
    assert [line for some in batches(io.BytesIO(written)) for line in some] == lines


def test_a_last_line_without_an_end_counts() -> None:
    assert list(batches(io.BytesIO(b"a\nb"))) == [[b"a"], [b"b"]]


def test_what_is_one_endless_line_is_refused_and_not_held_in_memory() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b"x" * size

    with pytest.raises(NotAnEvent, match="one event a line"):
        next(batches(Endless()))  # type: ignore[arg-type]
