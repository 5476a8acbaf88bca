"""The board of alerts: what is told, in which order, and to whom again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from redis.asyncio import Redis

from console.board import LISTENERS, WAITING, Board, Follower, Full, Message, Post, Slow
from local.broker import EmbeddedBroker
from runtime.kafka import create_topics
from runtime.settings import Settings
from runtime.tasks import end
from schemas.alert import AlertData, alert_event, fingerprint
from tests.console.rows import NOW_MS
from tests.support.store import KillableStore
from tests.support.wait import eventually_async


def event(rule: str = "provider_down", transition: str = "firing", at_ms: int = NOW_MS, **more: Any) -> dict[str, Any]:
    """An alert event."""
    data = {
        "fingerprint": fingerprint("t", "pack", rule, {}), "rule": rule, "pack": "pack", "rule_version": "1",
        "severity": "critical", "status": transition, "group": {}, "value": 0.6, "threshold": 0.5, "unit": "ratio",
        "window": {"start": NOW_MS - 10_000, "end": NOW_MS}, "first_bad_at": NOW_MS, "detected_at": NOW_MS,
        "summary": f"{rule}: it fails.", "arithmetic": "6 of 10", "judged_at": {"offset": 1},
    } | more  # fmt: skip
    made = alert_event("t", transition, AlertData.model_validate(data), episode_ms=NOW_MS, n=0, time_ms=at_ms)  # type: ignore[arg-type]
    found: dict[str, Any] = json.loads(made.model_dump_json())
    return found


def post(board: Board, at: int, log: str = "log", **how: Any) -> None:
    board.post(Post(log, at, event(**how)), at, news=True)


def everything(_: object) -> bool:
    return True


def test_alerts_are_told_latest_first_and_page_by_page() -> None:
    board = Board()
    for at in range(5):
        post(board, at)
    first = board.before(None, everything, 2)
    assert [one.place for one in first] == ["log-4", "log-3"]
    assert [one.at for one in board.before("log-3", everything, 9)] == [2, 1, 0]


@pytest.mark.parametrize("place", ["", "log", "log-", "log-x", "log-²", "other-3", "log--1", "log-" + "9" * 40])
def test_a_place_that_is_none_is_refused(place: str) -> None:
    board = Board()
    post(board, 4)
    with pytest.raises(LookupError):
        board.before(place, everything, 2)


def test_only_the_last_are_kept() -> None:
    board = Board(kept=3)
    for at in range(10):
        post(board, at)
    assert [one.at for one in board.before(None, everything, 9)] == [9, 8, 7]


def test_what_fires_is_what_was_told_last_of_each_the_worst_first() -> None:
    board = Board()
    post(board, 1, rule="low", severity="low")
    post(board, 2, rule="bad")
    post(board, 3, rule="over")
    post(board, 4, rule="over", transition="resolved")
    post(board, 5, rule="silent", transition="no_data", severity="low", at_ms=NOW_MS + 1)
    assert [one["data"]["rule"] for one in board.firing()] == ["bad", "silent", "low"]


def test_what_the_store_says_counts_unless_the_topic_knows_later() -> None:
    board = Board()
    board.stand(event("old"), 7)
    board.stand(event("old", "resolved"), 6)
    assert [one["data"]["rule"] for one in board.firing()] == ["old"]
    board.keep_only([])
    assert board.firing() == []


def test_a_topic_that_was_made_anew_begins_anew() -> None:
    board = Board()
    post(board, 9)
    post(board, 0, log="next")
    assert [one.place for one in board.before(None, everything, 9)] == ["next-0"]


# --- listeners --------------------------------------------------------------------------------------------------------


async def heard(messages: AsyncIterator[Message], count: int) -> list[Message]:
    return [await asyncio.wait_for(anext(messages), 5) for _ in range(count)]


async def test_who_listens_hears_what_is_told_from_then_on() -> None:
    board = Board()
    post(board, 1)
    with board.listening() as messages:
        post(board, 2)
        board.tell(Message("tick", "{}"))
        alert, tick = await heard(messages, 2)
    assert (alert.kind, alert.place, tick.kind, tick.place) == ("alert", "log-2", "tick", None)
    assert json.loads(alert.data)["data"]["rule"] == "provider_down"
    assert board.listeners == 0


async def test_who_comes_back_hears_what_it_missed_and_nothing_twice() -> None:
    board = Board()
    for at in range(5):
        post(board, at)
    with board.listening("log-2") as messages:
        post(board, 5)
        assert [one.place for one in await heard(messages, 3)] == ["log-3", "log-4", "log-5"]


@pytest.mark.parametrize("after", ["log-1", "other-8", "nonsense"])
async def test_who_missed_more_than_is_kept_begins_anew(after: str) -> None:
    board = Board(kept=3)
    for at in range(10):
        post(board, at)
    with board.listening(after) as messages:
        assert [one.kind for one in await heard(messages, 1)] == ["reset"]


async def test_a_listener_that_is_slow_is_let_go_and_holds_nobody_up() -> None:
    board = Board()
    with board.listening() as slow, board.listening() as quick:
        for at in range(WAITING + 1):
            post(board, at)
            await heard(quick, 1)
        assert board.listeners == 1
        await heard(slow, WAITING - 1)
        with pytest.raises(Slow):
            await anext(slow)


def test_there_is_a_limit_of_listeners() -> None:
    board = Board()
    held = [board.listening() for _ in range(LISTENERS)]
    for one in held:
        one.__enter__()
    with pytest.raises(Full), board.listening():
        pass
    held[0].__exit__(None, None, None)
    with board.listening():
        pass


async def test_when_the_board_closes_every_stream_ends() -> None:
    board = Board()
    with board.listening() as early:
        board.close()
        assert [one async for one in early] == []
    with board.listening() as late:
        assert [one async for one in late] == []


# --- the topic and the store ------------------------------------------------------------------------------------------


@pytest.fixture
async def installation(embedded: EmbeddedBroker, store: KillableStore, namespace: str) -> Settings:
    settings = Settings(kafka=embedded.bootstrap, redis=SecretStr(store.url), namespace=namespace)
    await create_topics(settings, 2)
    return settings


async def send(settings: Settings, *events: dict[str, Any] | bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    try:
        for one in events:
            value = one if isinstance(one, bytes) else json.dumps(one).encode()
            headers = [("tw_state", b'{"n": 5, "state": {}}')]
            await producer.send_and_wait(settings.names.alerts, value, partition=0, headers=headers)
    finally:
        await producer.stop()


@pytest.mark.integration
async def test_the_topic_is_followed_from_its_tail_and_what_is_no_alert_left_out(installation: Settings) -> None:
    await send(installation, event("first"), b"no alert", event("second", "resolved"))
    board = Board()
    assert installation.redis is not None
    async with Redis.from_url(installation.redis.get_secret_value()) as redis:
        for rule, sent in (("ancient", True), ("unsent", False)):
            entry = {"n": 3, "state": {}, "alert": json.dumps(event(rule)), "sent": sent}
            mark = fingerprint("t", "pack", rule, {})
            await redis.hset(installation.names.alert_states, mapping={mark: json.dumps(entry)})
        follower = Follower(board, installation, redis)
        following = [asyncio.create_task(one()) for one in (follower.follow_topic, follower.follow_store)]
        try:
            await eventually_async(lambda: board.latest is not None and board.latest.at == 2, "the tail is read")
            await eventually_async(lambda: len(board.firing()) == 2, "the store is read")
            assert {one["data"]["rule"] for one in board.firing()} == {"first", "ancient"}
            assert board.sent == {}, "what came before is no news"
            with board.listening(board.before(None, everything, 1)[0].place) as messages:
                await send(installation, event("third"))
                [message] = await heard(messages, 1)
            assert json.loads(message.data)["data"]["rule"] == "third"
            assert board.sent == {("third", "firing"): 1}
            assert follower.away is None
            assert set(follower.partitions.values()) == {2}
        finally:
            await end(following)
