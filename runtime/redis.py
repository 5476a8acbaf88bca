"""Redis or Valkey: one way to connect, and the one setting that must be right before anything is written."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from runtime.settings import Settings

TIMEOUT_S = 5.0


class RedisUnusable(RuntimeError):
    """Redis does not answer or is set up so that it may drop what it was given; the text says what to do."""


class RedisAway(RedisUnusable):
    """Redis does not answer: that may pass."""


def connect(settings: Settings) -> Redis:
    """A client; nothing is sent yet. Commands end within 5 s and are not repeated here: each caller knows what a repeat
    of its own script means. Raises RedisUnusable where no address is set."""
    if settings.redis is None:
        raise RedisUnusable(
            "no Redis: set TILLWATCH_REDIS (such as redis://redis-1:6379), or start the embedded one with 'tillwatch up'"
        )
    return Redis.from_url(
        settings.redis.get_secret_value(),
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
    )


async def check(redis: Redis) -> None:
    """Raises RedisAway unless Redis answers, RedisUnusable unless it never evicts (`maxmemory-policy noeviction`)."""
    try:
        await redis.ping()
        policy = (await redis.info("memory")).get("maxmemory_policy", "noeviction")
    except (RedisError, OSError) as error:
        raise RedisAway(f"Redis does not answer: {error}") from error
    if policy != "noeviction":
        raise RedisUnusable(
            f"Redis has maxmemory-policy {policy}: it would drop counts silently when memory is short. "
            "Set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in its configuration file)."
        )
