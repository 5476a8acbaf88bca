"""One POST to a service: what came back, or why it did not go through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from notifier.channels.base import Refused, Unreachable

ANSWER_BYTES = 65_536
"""More of an answer is not read."""
TIMES = aiohttp.ClientTimeout(total=20.0, sock_connect=5.0)
"""Limits of a request. The courier's own limit is the shorter one; this one holds for whoever sends without it."""
_PASSING = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered. retry_after_s: seconds from its Retry-After, None without one."""

    status: int
    body: bytes
    retry_after_s: float | None

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Unreachable where it is none: the service may have done what it was asked."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Unreachable(f"answered {self.status} with something that is not a JSON object", maybe_sent=True)
        return found


class Sender:
    """HTTP to one service; connections are kept. Redirects are not followed."""

    def __init__(self, connector: aiohttp.BaseConnector | None = None) -> None:
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        auth: aiohttp.BasicAuth | None = None,
    ) -> Answer:
        """Posts once. Raises Unreachable; details name the host and nothing else of the URL."""
        host = urlsplit(url).hostname
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=self._connector, timeout=TIMES, raise_for_status=False)
        try:
            async with self._session.post(
                url, data=body, headers=dict(headers), auth=auth, allow_redirects=False
            ) as response:
                read = bytearray()
                async for chunk in response.content.iter_any():
                    read += chunk
                    if len(read) >= ANSWER_BYTES:
                        break
                return Answer(
                    response.status, bytes(read[:ANSWER_BYTES]), retry_after_s(response.headers.get("Retry-After"))
                )
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
            late = isinstance(error, aiohttp.ServerTimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError)
            raise Unreachable(f"no connection to {host} ({type(error).__name__})", maybe_sent=late) from None
        except TimeoutError:
            raise Unreachable(f"{host} did not answer in time", maybe_sent=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{host} broke off or answered garbage ({type(error).__name__})", maybe_sent=True) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number, or a date; None for anything else."""
    if value is None:
        return None
    try:
        if value.strip().isdigit():
            return float(value)
        at = parsedate_to_datetime(value)
        return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - (now or datetime.now(UTC))).total_seconds())
    except ValueError:
        return None


def failure(answer: Answer, words: str = "") -> Unreachable | Refused:
    """What an answer that is not a success means: 429 and its kin pass, so do faults of the server (after which nobody knows
    whether it did what it was asked); everything else is what we sent."""
    detail = f"answered {answer.status}" + (f": {words}" if words else "")
    if answer.status in _PASSING:
        return Unreachable(detail, retry_after_s=answer.retry_after_s)
    if answer.status >= 500:
        return Unreachable(detail, retry_after_s=answer.retry_after_s, maybe_sent=answer.status != 503)
    if 300 <= answer.status < 400:
        return Refused(f"{detail}: redirects are not followed")
    return Refused(detail)
