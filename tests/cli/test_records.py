"""Commands against a broker and a store that run: what is sent is found again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from cli.records import follow
from local.broker import EmbeddedBroker
from local.store import EmbeddedStore
from runtime.kafka import create_topics
from runtime.settings import Settings
from tests.cli.conftest import Run
from tests.support.wait import eventually_async

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings that name an embedded broker and an embedded store."""
    data = tmp_path_factory.mktemp("servers")
    broker, store = EmbeddedBroker(None, data), EmbeddedStore(None, data)
    try:
        broker.start()
        store.start()
        yield {"TILLWATCH_KAFKA": broker.bootstrap, "TILLWATCH_REDIS": store.url}
    finally:
        broker.stop()
        store.stop()


@pytest.fixture
def shop(servers: dict[str, str], run: Run, request: pytest.FixtureRequest) -> dict[str, str]:
    """An installation of its own, with its topics."""
    settings = servers | {"TILLWATCH_NAMESPACE": f"shop-{abs(hash(request.node.nodeid)):x}"}
    assert run("setup", "topics", "--partitions", "2", **settings).exit_code == 0
    return settings


def _payment(number: int) -> dict[str, object]:
    data = {"transaction_id": f"tx_{number}", "provider": "p", "method": "card", "merchant": "m", "amount": 100}
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "/checkout",
        "type": "payment.succeeded",
        "time": datetime.now(UTC).isoformat(),
        "data": data | {"currency": "ZAR"},
    }


def _alert(number: int, status: str) -> str:
    data = {"rule": f"rule_{number}", "level": "P1", "status": status, "historical": False, "summary": f"number {number}"}
    event = {"type": f"tillwatch.alert.{status}", "time": "2026-11-23T08:00:00Z", "data": data | {"group": {"host": "h1"}}}
    return json.dumps(event)


def test_setup_topics_creates_them_as_asked_and_a_repeat_changes_nothing(run: Run, servers: dict[str, str]) -> None:
    settings = servers | {"TILLWATCH_NAMESPACE": "fresh"}
    first = run("setup", "topics", "--partitions", "2", **settings)
    assert first.exit_code == 0, first.output
    assert "created  fresh.payments.v1 (2 partitions)" in first.stdout
    assert "created  fresh.rollups.v1 (1 partition)" in first.stdout
    again = run("setup", "topics", "--partitions", "2", **settings)
    assert again.exit_code == 0
    assert {line.split()[0] for line in again.stdout.splitlines()} == {"exists"}


def test_events_are_sent_each_to_its_topic_and_counted(run: Run, shop: dict[str, str], folder: Path) -> None:
    lines = [json.dumps(_payment(number)) for number in range(20)]
    lines += ["", "no event", json.dumps(_payment(1) | {"type": "payment.paid"})]
    (folder / "events.jsonl").write_text("\n".join(lines))
    done = run("produce", "events.jsonl", "--json", **shop)
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    payments = f"{shop['TILLWATCH_NAMESPACE']}.payments.v1"
    assert (told["sent"], told["refused"], told["topics"]) == (20, 2, {payments: 20})
    assert "events.jsonl:22: not JSON" in done.stderr
    assert "events.jsonl:23: unknown type 'payment.paid'" in done.stderr

    status = json.loads(run("status", "--json", **shop).stdout)
    assert status["verdict"] == "DOWN"
    assert {part["name"]: part["lag"] for part in status["parts"]}["payments"] == 20


def test_raw_lines_are_sent_as_they_are(run: Run, shop: dict[str, str]) -> None:
    done = run("produce", "-", "--raw", "--topic", "payments", "--json", stdin=b"no event\n\xff\xfe\n\n", **shop)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["sent"] == 3


def test_tail_shows_alerts_from_the_start_and_ends_after_so_many(run: Run, shop: dict[str, str]) -> None:
    topic = f"{shop['TILLWATCH_NAMESPACE']}.alerts.v1"
    sent = "\n".join(_alert(number, status) for number, status in enumerate(["firing", "updated", "resolved"]))
    assert run("produce", "-", "--raw", "--topic", topic, stdin=sent, **shop).exit_code == 0
    shown = run("tail", "alerts", "--from-start", "--count", "2", "--for", "30s", **shop)
    assert shown.exit_code == 0
    assert [line.split()[1] for line in shown.stdout.splitlines()] == ["firing", "updated"]
    assert "P1 rule_0 [host=h1]  number 0" in shown.stdout
    piped = run("tail", "alerts", "--from-start", "--count", "3", "--for", "30s", "--json", **shop)
    assert [json.loads(line)["data"]["rule"] for line in piped.stdout.splitlines()] == ["rule_0", "rule_1", "rule_2"]


def test_what_is_no_alert_does_not_stop_the_tail(run: Run, shop: dict[str, str]) -> None:
    topic = f"{shop['TILLWATCH_NAMESPACE']}.alerts.v1"
    sent = "\n".join(["no alert", "[]", '{"data": 3}', _alert(1, "firing")])
    assert run("produce", "-", "--raw", "--topic", topic, stdin=sent, **shop).exit_code == 0
    shown = run("tail", "alerts", "--from-start", "--count", "1", "--for", "30s", **shop)
    assert shown.exit_code == 0
    assert "rule_1" in shown.stdout
    assert shown.stderr.count("is no alert") == 3


def test_one_that_is_held_back_says_by_which_rule(run: Run, shop: dict[str, str]) -> None:
    topic = f"{shop['TILLWATCH_NAMESPACE']}.alerts.v1"
    louder, quiet = json.loads(_alert(1, "firing")), json.loads(_alert(2, "firing"))
    louder["data"]["fingerprint"], quiet["data"]["fingerprint"] = "a" * 64, "b" * 64
    quiet["data"]["inhibited_by"] = "a" * 64
    sent = "\n".join(map(json.dumps, (louder, quiet)))
    assert run("produce", "-", "--raw", "--topic", topic, stdin=sent, **shop).exit_code == 0
    shown = run("tail", "alerts", "--from-start", "--count", "2", "--for", "30s", **shop)
    assert "(pages nobody: rule_1 says it already)" in shown.stdout


@pytest.mark.fault
async def test_following_goes_on_in_the_log_that_a_broker_comes_back_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with EmbeddedBroker(None, tmp_path) as broker:
        settings = Settings(kafka=broker.bootstrap)
        topic = settings.names.alerts

        async def send(*texts: bytes) -> None:
            producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
            await producer.start()
            for text in texts:
                await producer.send_and_wait(topic, text)
            await producer.stop()

        await create_topics(settings, 1)
        await send(b"one", b"two", b"three")
        seen: list[bytes] = []

        async def read() -> None:
            async for record in follow(settings, topic, from_start=True, seconds=60):
                seen.append(record.value)

        reading = asyncio.create_task(read())
        await eventually_async(lambda: seen == [b"one", b"two", b"three"], "what is there is read")
        broker.kill()
        await eventually_async(lambda: "waiting for it" in capsys.readouterr().err, "it says that it waits")
        broker.start()
        await create_topics(settings, 1)
        await send(b"four")
        await eventually_async(lambda: seen[3:] == [b"four"], "what comes after is read from its start")
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def test_tail_of_nothing_ends_in_time(run: Run, shop: dict[str, str]) -> None:
    done = run("tail", "alerts", "--for", "1s", **shop)
    assert (done.exit_code, done.stdout) == (0, "")


def test_dead_letters_are_shown_with_their_reason_latest_last(run: Run, shop: dict[str, str]) -> None:
    assert run("deadletters", **shop).stdout == "no dead letters\n"
    topic = f"{shop['TILLWATCH_NAMESPACE']}.deadletters.v1"
    assert run("produce", "-", "--raw", "--topic", topic, stdin="one\ntwo\nthree\n", **shop).exit_code == 0
    shown = json.loads(run("deadletters", "--count", "10", "--json", **shop).stdout)
    assert sorted(letter["value"] for letter in shown) == ["one", "three", "two"]
    assert len(json.loads(run("deadletters", "--count", "2", "--json", **shop).stdout)) == 2


@pytest.mark.parametrize("command", [["tail", "alerts"], ["deadletters"], ["produce", "-"]])
def test_without_topics_the_command_says_how_to_make_them(run: Run, servers: dict[str, str], command: list[str]) -> None:
    done = run(*command, stdin="", **servers, TILLWATCH_NAMESPACE="nowhere")
    assert done.exit_code == 1
    assert "run 'tillwatch setup topics' first" in done.stderr


def test_configure_check_finds_the_servers_and_misses_the_topics(run: Run, servers: dict[str, str]) -> None:
    done = run("configure", "--check", "--json", **servers, TILLWATCH_NAMESPACE="nowhere")
    found = {one["what"]: one["state"] for one in json.loads(done.stdout)}
    assert (found["TILLWATCH_KAFKA"], found["TILLWATCH_REDIS"], found["topics"]) == ("ok", "ok", "wrong")
