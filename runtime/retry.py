"""Waiting for Kafka and Redis to come back: again and again, more and more slowly, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from runtime.kafka import KafkaUnreachable

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S = 0.05, 2.0
AWAY: tuple[type[Exception], ...] = (RedisError, KafkaError, KafkaUnreachable, OSError, TimeoutError)
"""What a server that is away, failing over or short of memory raises; a script's own fault (ResponseError) is among
them because `OOM` and `READONLY` are."""

T = TypeVar("T")


class NotWanted(Exception):
    """The waiting was given up, because what it was for is over."""


async def until_done(
    what: str, call: Callable[[], Awaitable[T]], wanted: Callable[[], bool], away: tuple[type[Exception], ...] = AWAY
) -> T:
    """Calls until it succeeds. Raises NotWanted once `wanted()` is false, and whatever is no sign of absence."""
    wait, told = FIRST_S, False
    while True:
        if not wanted():
            raise NotWanted(what)
        try:
            return await call()
        except away as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # a client may turn being cancelled into an error of its own
                raise asyncio.CancelledError from error
            if isinstance(error, ResponseError) and not _passes(error):
                raise
            if not told:
                log.warning("%s: %s; trying again until it answers", what, error or type(error).__name__)
                told = True
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_S)


def _passes(error: ResponseError) -> bool:
    """The client takes the code out of the text where it has a class for it, and leaves it there where it has none."""
    classes = (OutOfMemoryError, ReadOnlyError, ClusterDownError, MasterDownError, TryAgainError)
    return isinstance(error, classes) or str(error).startswith(("MISCONF", "BUSY", "NOREPLICAS", "UNBLOCKED"))
