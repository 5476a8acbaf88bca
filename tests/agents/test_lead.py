"""Who may take the lead: only whoever the partition is assigned to, whenever the store tells that somebody else leads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from faust.types import TP
from redis.asyncio import Redis

from agents import evaluate
from agents.evaluate import Evaluate
from local.process import free_port
from rules.loader import load
from runtime.clock import ManualClock
from runtime.guard import Guard
from runtime.outbox import NotLeader
from runtime.settings import Settings


class Chunks:
    """The assignment that is worked on is the group's latest."""

    def stale(self) -> bool:
        return False


class Judge(Evaluate):
    """Its work goes on until it is told who leads, and finds out then that somebody else does."""

    def __init__(self, folder: Path) -> None:
        nowhere = f"127.0.0.1:{free_port()}"
        settings = Settings(kafka=nowhere, redis=f"redis://{nowhere}", data=folder)  # type: ignore[arg-type]
        redis: Redis = Redis.from_url(f"redis://{nowhere}")
        super().__init__(settings, ManualClock(0.0), redis, nowhere, load(), Guard())
        self.told, self.led = asyncio.Event(), 0

    async def _lead(self) -> None:
        self.led += 1
        self._generation = 1

    async def _judge(self) -> None:
        await self.told.wait()
        raise NotLeader("somebody else leads")


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    made = Judge(tmp_path)
    monkeypatch.setattr(type(made.app), "chunks", Chunks())
    monkeypatch.setattr(evaluate, "LEAVE_LIMIT_S", 0.01)
    return made


async def test_who_is_told_that_somebody_else_leads_takes_the_lead_again(judge: Judge) -> None:
    await judge.assigned({TP(*judge._tp)})
    assert judge.led == 1 and judge.leader
    judge.told.set()
    await judge._work(write=True)
    await asyncio.wait_for(judge._leading or asyncio.sleep(0), 5)
    assert judge.led == 2


async def test_who_has_lost_the_partition_meanwhile_does_not(judge: Judge) -> None:
    await judge.assigned({TP(*judge._tp)})
    working = asyncio.create_task(judge._work(write=True))  # the store does not answer it for long
    await asyncio.sleep(0)
    await judge.revoked()
    await judge.assigned(set())
    judge.told.set()
    await working
    assert judge.led == 1 and not judge.leader
