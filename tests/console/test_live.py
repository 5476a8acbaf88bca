"""Payments as they happen: the last ones from the topic, and all events of one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from console import live
from console.live import KEPT, Live, events_of, shortened
from console.problems import Refused
from local.broker import EmbeddedBroker
from runtime.kafka import create_topics
from runtime.settings import Settings
from tests.console.rows import NOW_MS
from tests.support.events import Event, encoded, event
from tests.support.topics import produce, send
from tests.support.wait import eventually_async

NOW_S = NOW_MS / 1000
CARD = "4111111111111111"


@dataclass
class Record:
    """As it comes from Kafka."""

    value: bytes
    offset: int = 0
    partition: int = 0
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def story(transaction: str) -> list[Event]:
    """A payment from its beginning to the course."""
    of = {"transaction_id": transaction, "provider": "ozow", "amount": 4_900}
    return [
        event("payment.initiated", NOW_S, **of),
        event("payment.redirected", NOW_S + 1, **of),
        event("payment.succeeded", NOW_S + 5, latency_ms=4_000.0, **of),
        event("enrollment.created", NOW_S + 6, transaction_id=transaction),
    ]


@pytest.fixture
async def installation(embedded: EmbeddedBroker, namespace: str) -> Settings:
    settings = Settings(kafka=embedded.bootstrap, redis=SecretStr("redis://127.0.0.1:1"), namespace=namespace)
    await create_topics(settings, 3)
    return settings


def follower() -> Live:
    return Live(Settings(kafka="127.0.0.1:1", redis=SecretStr("redis://127.0.0.1:1")))


def test_a_payment_is_one_row_as_its_last_event_left_it() -> None:
    following = follower()
    for at, one in enumerate(
        [*story("tx-0000000012345678")[:3], event("payment.initiated", NOW_S, transaction_id="tx-2")]
    ):
        following.take(Record(encoded(one), offset=at))
    assert [(one.state, one.place) for one in reversed(following._kept.values())] == [
        ("initiated", "0-3"),
        ("succeeded", "0-2"),
    ]
    paid = next(iter(following._kept.values()))
    assert (paid.id, paid.latency_s, paid.amount, paid.provider) == ("…5678", 4.0, 4_900, "ozow")
    assert following.transaction("0-2") == "tx-0000000012345678"
    with pytest.raises(Refused):
        following.transaction("0-1")


def test_what_is_no_payment_is_left_out_and_so_many_are_kept() -> None:
    following = follower()
    following.take(Record(b"not JSON"))
    following.take(Record(encoded(event("reconciliation.checked", NOW_S))))
    assert not following._kept
    for at in range(KEPT + 5):
        following.take(Record(encoded(event("payment.initiated", NOW_S, transaction_id=f"tx-{at}")), offset=at))
    assert len(following._kept) == KEPT


def test_of_an_id_only_the_end_is_listed_and_of_a_short_one_nothing() -> None:
    assert (shortened("tx_r3bbeeae8xp5f35"), shortened("tx-12345")) == ("…5f35", "…")


def test_a_card_number_is_masked_wherever_it_stands() -> None:
    following = follower()
    following.take(Record(encoded(event("payment.initiated", NOW_S, transaction_id=CARD, method=f"card {CARD}"))))
    [(transaction, payment)] = following._kept.items()
    assert transaction.startswith("card_") and CARD not in payment.model_dump_json()
    assert payment.method == "card 411111******1111"


@pytest.mark.integration
async def test_the_topic_is_followed_while_somebody_looks(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.live.POLL_S", 0.05)
    await produce(installation.kafka or "", installation.names, story("tx-of-before-000")[:1])
    following = Live(installation)
    try:
        await eventually_async(lambda: len(following.look()) == 1, "what came just before is there")
        await produce(installation.kafka or "", installation.names, story("tx-of-now-000000")[:3])
        await eventually_async(
            lambda: [one.state for one in following.look()] == ["succeeded", "initiated"], "it is followed"
        )
        assert following.away is None
        monkeypatch.setattr("console.live.WATCHED_S", 0.0)
        task = following._task
        assert task is not None
        await eventually_async(task.done, "nobody looks, nobody follows")
    finally:
        await following.close()


@pytest.mark.integration
async def test_a_burst_is_left_out_and_counted(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.live.POLL_S", 0.05)
    monkeypatch.setattr("console.live.TAKEN_AT_ONCE", 5)
    monkeypatch.setattr("console.live.SKIP_FROM", 50)
    monkeypatch.setattr("console.live.SKIP_TO", 10)
    following = Live(installation)
    try:
        await eventually_async(lambda: following.look() == [] and following.away is None, "it follows")
        many = (event("payment.initiated", NOW_S, transaction_id=f"tx-of-a-burst-{at:04d}") for at in range(600))
        await produce(installation.kafka or "", installation.names, many, partition=1)
        await eventually_async(
            lambda: bool(found := following.look()) and found[0].place == "1-599" and following.skipped > 0,
            "it keeps up",
        )
        assert following.skipped + len(following._kept) <= 600
    finally:
        await following.close()


@pytest.mark.integration
async def test_all_events_of_a_transaction_are_found_and_of_no_other(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.live.BLOCK", 7)
    others = [one for at in range(20) for one in story(f"tx-of-others-{at:03d}")]
    await produce(installation.kafka or "", installation.names, [*others, *story("tx-wanted"), *others])
    found = await events_of(installation, "tx-wanted", 20)
    assert [one.type for one in found.events] == [
        "payment.initiated", "payment.redirected", "payment.succeeded", "enrollment.created"
    ]  # fmt: skip
    assert found.whole and found.looked_at < 164
    assert found.events[2].told["latency_ms"] == 4_000.0 and "transaction_id" not in found.events[2].told


@pytest.mark.integration
async def test_a_transaction_is_found_wherever_producers_put_it_and_none_is_told_so(installation: Settings) -> None:
    names = installation.names
    lost = [(names.events("payments"), b"another key", encoded(one)) for one in story("tx-lost")[:3]]
    for partition in range(3):
        await produce(installation.kafka or "", names, story(f"tx-{partition}"), partition=partition)
    home = (live.murmur2(b"tx-lost") & 0x7FFFFFFF) % 3
    await send(installation.kafka or "", lost, partition=(home + 1) % 3)
    assert len((await events_of(installation, "tx-lost", 20)).events) == 3
    nothing = await events_of(installation, "tx-of-nobody", 20)
    assert (nothing.events, nothing.whole, nothing.looked_at) == ([], True, 15)
    cut = await events_of(installation, "tx-of-nobody", 0.0)
    assert not cut.whole
