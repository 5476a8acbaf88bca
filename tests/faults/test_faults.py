"""A short run with harm in it, and that the harness would tell if something were wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import ConnectionError as Refused
from redis.exceptions import TimeoutError as NoAnswer

from runtime.settings import Settings
from tests.faults.harm import HARMS
from tests.faults.proxy import Proxy
from tests.faults.run import Wanted, complaints, run
from tests.faults.schedule import schedule
from tests.faults.traffic import Episode, Traffic
from tests.integration.oracle import Oracle
from tests.integration.tables import Difference, differences
from tests.support.events import failed
from tests.support.kafka import KafkaServer
from tests.support.store import KillableStore

WORKERS = ("worker-1", "worker-2", "worker-3")
NOW = 1_795_420_800.0


@pytest.mark.fault
@pytest.mark.integration
async def test_a_short_run_is_exact(sturdy: KafkaServer, namespace: str, tmp_path: Path) -> None:
    harms = ("kill_worker", "freeze_worker", "lose_last_second", "fail_over_behind", "lose_answers")
    wanted = Wanted(
        4, 14_000, 900.0, 2, kills=3, harms=harms, longest_s=6.0, replay=False, brief=True, namespace=namespace
    )
    verdict = await run(wanted, sturdy, tmp_path / "site", print, kafka=False)
    assert verdict.exact, "\n".join(verdict.lines())
    assert len(verdict.done) == len(harms) + wanted.kills - 1
    assert verdict.records > wanted.events
    assert verdict.episodes >= 2


# --- what is done, and when -------------------------------------------------------------------------------------------


def test_a_seed_is_a_schedule() -> None:
    one, again, other = (schedule(seed, 200.0, WORKERS, HARMS, 20) for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize("seed", range(20))
def test_every_harm_comes_and_all_the_kills(seed: int) -> None:
    planned = schedule(seed, 200.0, WORKERS, HARMS, 20)
    assert {one.harm for one in planned} == HARMS.keys()
    assert sum(one.harm == "kill_worker" for one in planned) == 20
    assert len(planned) == len(HARMS) + 19
    assert all(0 < one.at < 190 for one in planned)
    (frozen,) = [one for one in planned if one.harm == "freeze_worker"]
    later = [one for one in planned if one.harm == "kill_worker" and frozen.at < one.at < frozen.at + frozen.lasts]
    assert sum(one.target == frozen.target for one in later) <= 1, "a zombie must live to wake up"


def test_a_seed_is_a_stream() -> None:
    def stream(seed: int) -> list[Any]:
        found = [(one.at, one.event["type"], one.event["time"], one.lot) for one in Traffic(seed, 3_000, 100.0, NOW)]
        assert found == sorted(found, key=lambda one: one[0])
        return found

    assert stream(1) == stream(1) != stream(2)
    traffic = Traffic(1, 10_000, 100.0, NOW)
    assert {one.rule for one in traffic.episodes} == {"sign_ins", "incidents", "outages"}
    assert len({one.event["id"] for one in traffic}) == 10_000
    assert sum(1 for _ in traffic) > 10_000, "some come twice"


# --- whether it would tell ---------------------------------------------------------------------------------------------

BURST = Episode("sign_ins", (("actor", "a"),), 1_000, (0, 2_000), ends=True)
OUTAGE = Episode("outages", (("provider", "p"),), None, (10_000, 20_000), ends=True)


def alert(episode: Episode, transition: str, at: int | None, **group: str) -> Any:
    data = SimpleNamespace(rule=episode.rule, group=group or dict(episode.group), first_bad_at=at)
    return SimpleNamespace(id=f"{transition}-{at}", transition=transition, data=data)


def as_it_should_be() -> list[Any]:
    return [alert(BURST, "firing", 1_000), alert(BURST, "resolved", 1_000), *outage()]


def outage() -> list[Any]:
    return [alert(OUTAGE, "firing", 12_000), alert(OUTAGE, "resolved", 12_000)]


def test_nothing_is_wrong_with_what_is_told_once_and_in_time() -> None:
    assert complaints(as_it_should_be(), [BURST, OUTAGE]) == []


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (outage(), "told 0 times"),
        ([*as_it_should_be(), alert(BURST, "firing", 1_001)], "told 2 times"),
        (as_it_should_be()[1:], "told 0 times"),
        ([alert(BURST, "firing", 1_000), *outage()], "resolved 0 times"),
        ([*as_it_should_be(), alert(BURST, "resolved", 1_001)], "resolved 2 times"),
        ([*as_it_should_be(), alert(BURST, "retracted", 1_000)], "retracted"),
        ([alert(BURST, "firing", 999), alert(BURST, "resolved", 1_000), *outage()], "first bad at 999, not 1000"),
        ([*as_it_should_be()[:2], alert(OUTAGE, "firing", 40_000), outage()[1]], "first bad at 40000, not in"),
        ([*as_it_should_be(), alert(BURST, "firing", 1_000, actor="nobody")], "and there was nothing"),
    ],
)
def test_whatever_is_wrong_with_alerts_is_told(found: list[Any], complaint: str) -> None:
    assert complaint in "; ".join(complaints(found, [BURST, OUTAGE]))


async def test_a_row_that_is_missing_is_told(store: KillableStore, namespace: str) -> None:
    settings = Settings(redis=SecretStr(store.url), namespace=namespace)
    wrong = await differences(settings, Oracle([failed(NOW, merchant="m1", amount=7, latency_ms=2)]))
    ours = [one for one in wrong if one.table == "merchants_1h"]
    at = int(NOW * 1000)
    assert ours == [Difference("merchants_1h", at - at % 3_600_000, ("failed", "m1", "ZAR"), (1, 7_000), None)]
    assert len(wrong) == 9, "in three tables, at three resolutions"


# --- the way to the store ----------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(patient: KillableStore) -> Iterator[Proxy]:
    made = Proxy(patient.port)
    yield made
    made.stop()


def test_the_way_to_the_store_is_slow_deaf_or_closed(proxy: Proxy, patient: KillableStore) -> None:
    with Redis.from_url(proxy.url, socket_timeout=0.5, retry=None) as client, patient.client() as direct:
        client.set("a", "1")
        assert direct.get("a") == b"1"

        proxy.change(delay_s=0.2)
        before = time.monotonic()
        client.get("a")
        assert time.monotonic() - before >= 0.2

        proxy.change(delay_s=0.0, deaf=True)
        with pytest.raises(NoAnswer):
            client.set("a", "2")
        assert direct.get("a") == b"2", "it was done, and nobody heard of it"

        proxy.change(deaf=False, open=False)
        with pytest.raises(Refused):
            client.get("a")

        proxy.change(open=True)
        assert client.get("a") == b"2"
