"""A short run in which notifiers are killed, and that it would tell if something were wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from tests.faults.paging import Hurt, Wanted, repeats_that_may_not_be, run, said_wrongly
from tests.support.kafka import KafkaServer
from tests.support.recipients import Arrived, What, recipients

PAGE = What("thandi", "webhook", "page", "payments fail")
OTHER = What("sipho", "email", "page", "payments fail")


@pytest.mark.fault
@pytest.mark.integration
@pytest.mark.timeout(300)
async def test_everybody_is_told_once_while_notifiers_are_killed(
    sturdy: KafkaServer, namespace: str, tmp_path: Path
) -> None:
    verdict = await run(Wanted(2, 1, 6, namespace=namespace), sturdy, tmp_path / "run", print)
    assert not verdict.wrong, "\n".join(verdict.lines())
    assert verdict.met["leader"] >= 2
    assert verdict.messages >= 48


# --- whether it would tell ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({PAGE: 1}, "never said: sipho email page payments fail"),
        ({PAGE: 2, OTHER: 1}, "said under 2 keys, not 1: thandi webhook page payments fail"),
        ({PAGE: 1, OTHER: 1, OTHER._replace(recipient="lerato"): 1}, "said under 1 keys, not 0: lerato"),
    ],
)
def test_whatever_is_said_wrongly_is_told(told: dict[What, int], complaint: str) -> None:
    expected = Counter({PAGE: 1, OTHER: 1})
    assert said_wrongly(expected, expected) == []
    (wrong,) = said_wrongly(expected, Counter(told))
    assert complaint in wrong


@pytest.mark.parametrize(
    ("hurt", "recorded", "complaint"),
    [
        ([Hurt(10.5, 10.6, "kill")], 12.5, None),
        ([Hurt(10.5, 10.6, "kill")], None, None),
        ([Hurt(10.5, 10.6, "kill")], 11.5, "though it had been recorded"),
        ([Hurt(9.0, 9.1, "kill")], 12.5, "though nobody had died"),
        ([], 12.5, "though nobody had died"),
    ],
)
def test_a_repeat_needs_a_death_before_it_was_recorded(
    hurt: list[Hurt], recorded: float | None, complaint: str | None
) -> None:
    repeats = [(Arrived(10.0, "k", PAGE), Arrived(12.0, "k", PAGE))]
    wrong = repeats_that_may_not_be(repeats, {} if recorded is None else {"k": recorded}, hurt)
    assert [complaint in one for one in wrong] == ([] if complaint is None else [True]), wrong


async def test_a_webhook_that_is_not_signed_is_turned_away() -> None:
    async with recipients() as they, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{they.web_port}/hooks/thandi"
        async with session.post(url, data=b"{}", headers={"webhook-id": "k", "webhook-timestamp": "1"}) as answer:
            assert answer.status == 401
        assert they.arrived == [] and they.refused == ["webhook k: its signature is wrong"]
