"""Waiting for Kafka and Redis, also where Faust makes an error of its own of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from faust.exceptions import ProducerSendError

from runtime import retry

AWAY = (*retry.AWAY, ProducerSendError)

T = TypeVar("T")


async def until_done(what: str, call: Callable[[], Awaitable[T]], wanted: Callable[[], bool]) -> T:
    """See `runtime.retry.until_done`; what Faust makes of an error while sending is a sign of absence, too."""
    return await retry.until_done(what, call, wanted, AWAY)
