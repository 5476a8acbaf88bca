"""Proof that a message arrived: whichever notifier hears of it, all of them do, through Redis.

The proxy before the callbacks leads to any notifier, and the message waits at the one that leads. A stream of bounded length;
what is in it when a notifier begins to follow is nothing that it waits for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from redis.asyncio import Redis

from notifier.channels.base import Delivery
from runtime.names import Names

log = logging.getLogger(__name__)

KEPT = 1_000
BLOCK_MS = 2_000
"""Less than a command to Redis may take."""


class Proofs:
    """The proofs of one installation. Methods raise what redis raises when it is away."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis, self._key = redis, names.notifier("proofs")
        self._after: bytes | None = None
        """The last that was heard; None before anything was looked at."""

    async def tell(self, proof: Delivery) -> None:
        """Tells all notifiers."""
        await self._redis.xadd(self._key, {"proof": msgspec.json.encode(proof)}, maxlen=KEPT, approximate=True)

    async def follow(self, hear: Callable[[Delivery], object]) -> None:
        """Hands on what is told from now on, until cancelled; called again, from where it was left."""
        after = self._after
        if after is None:
            latest: Any = await self._redis.xrevrange(self._key, count=1)
            after = self._after = latest[0][0] if latest else b"0"
        while True:
            found: Any = await self._redis.xread({self._key: after}, block=BLOCK_MS)
            for _, items in found or ():
                for mark, fields in items:
                    after = self._after = mark
                    try:
                        hear(msgspec.json.decode(fields[b"proof"], type=Delivery))
                    except (msgspec.MsgspecError, KeyError) as error:
                        log.error("entry %s of the proofs is none: %s; left out", mark.decode(), error)
