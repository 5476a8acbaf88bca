"""One message to one recipient: through a channel, again if need be, and through its fallback where it fails.

Each channel has a lane of its own: a limit of time for an attempt and for all of them, a rate, and a circuit breaker that
leaves a channel alone which only fails. Limits run on the event loop's clock, records carry the clock that is handed in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from notifier.channels.base import Channel, Delivery, Message, Receipt, Refused, Unreachable, masked_address
from notifier.channels.settings import Table
from runtime.clock import Clock

log = logging.getLogger(__name__)

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 10.0
LONGEST_REST_S = 300.0
"""A Retry-After that is longer is one more try after this: one service's word must not close a channel for ever."""
ANSWERED = "it was answered"
LAST_RESORT = "outbox"
"""The channel that is used where nothing else is named."""

Result = Literal[
    "confirmed",  # the recipient has it
    "accepted",  # the provider has it
    "unconfirmed",  # the provider has it, and no proof of delivery came in time
    "undelivered",  # the provider had it, and told that it will not get there
    "unreachable",
    "refused",
    "limited",  # its turn would not have come within the budget
    "resting",  # the circuit breaker is open
    "no_address",
    "no_channel",
]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, as the delivery log keeps it. at_ms: when it began; address: masked; receipt: the provider's id; maybe_sent: the
    recipient may have it although it failed."""

    at_ms: int
    took_ms: int
    channel: str
    address: str
    result: Result
    detail: str
    receipt: str | None = None
    maybe_sent: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one message. channel: the one that took it, None if none did."""

    key: str
    channel: str | None
    receipt: Receipt | None
    attempts: tuple[Attempt, ...]

    @property
    def delivered(self) -> bool:
        return self.channel is not None

    @property
    def maybe_sent(self) -> bool:
        """Whether the recipient may have had it from an attempt that failed."""
        return any(attempt.maybe_sent for attempt in self.attempts)


@dataclass(frozen=True, slots=True)
class Health:
    """How a channel is. failures: in a row; resting_s: for so long it is left alone, 0 if it is not."""

    failures: int
    resting_s: float
    last_ok_ms: int | None
    last_failure: Attempt | None


class Bucket:
    """A token bucket: so many at once, then so many a second. Who waits has its place."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = float(burst), now
        self._closed_until = now

    def close(self, until: float) -> None:
        """Nobody's turn comes before: the service asked for it (Retry-After)."""
        self._closed_until = max(self._closed_until, until)

    def take(self, now: float, patience_s: float) -> float | None:
        """Seconds until one's turn, which is then taken; None where that is longer than `patience_s`."""
        tokens = min(float(self._burst), self._tokens + (now - self._at) * self._rate)
        wait = max(0.0, (1.0 - tokens) / self._rate, self._closed_until - now)
        if wait > patience_s:
            return None
        self._tokens, self._at = tokens - 1.0, now
        return wait


class Breaker:
    """Opens after so many failures in a row; after a rest it lets one through, which closes it or opens it again."""

    def __init__(self, after: int, rest_s: float) -> None:
        self._after, self._rest_s = after, rest_s
        self.failures = 0
        self._until = float("-inf")
        self._probing = False

    def resting_s(self, now: float) -> float:
        return max(0.0, self._until - now) if self.failures >= self._after else 0.0

    def admits(self, now: float) -> bool:
        """Whether one may try; who was let through says `passed`, `failed` or `left`."""
        if self.failures < self._after:
            return True
        if now < self._until or self._probing:
            return False
        self._probing = True
        return True

    def passed(self) -> None:
        self.failures, self._probing = 0, False

    def failed(self, now: float) -> None:
        self.failures, self._probing = self.failures + 1, False
        self._until = now + self._rest_s

    def left(self) -> None:
        """It was neither."""
        self._probing = False


class _Lane:
    """One channel with what limits it."""

    def __init__(self, channel: Channel, table: Table, now: float) -> None:
        self.channel, self.table = channel, table
        self.bucket = Bucket(table.rate, table.burst, now)
        self.breaker = Breaker(table.breaker_after, table.breaker_for)
        self.last_ok_ms: int | None = None
        self.last_failure: Attempt | None = None


class Courier:
    """Delivers messages through channels. `tables` has the limits of each; `random` draws the jitter."""

    def __init__(
        self, channels: Mapping[str, Channel], tables: Mapping[str, Table], clock: Clock, random: Random | None = None
    ) -> None:
        now = asyncio.get_running_loop().time()
        self._lanes = {name: _Lane(channel, tables[name], now) for name, channel in channels.items()}
        self._clock, self._random = clock, random or Random()
        self._awaited: dict[tuple[str, str], asyncio.Future[Delivery]] = {}

    async def deliver(self, message: Message, channel: str, contacts: Mapping[str, str]) -> Outcome:
        """Through `channel`, else its fallback, and so on. contacts: channel → the recipient's address.

        Takes at most the budgets of the channels that it goes through. Raises nothing but CancelledError.
        """
        attempts: list[Attempt] = []
        tried: set[str] = set()
        name: str | None = channel
        while name is not None and name not in tried:
            tried.add(name)
            lane = self._lanes.get(name)
            if lane is None:
                attempts.append(self._skipped(message, name, "", "no_channel", "no such channel is set up"))
            else:
                # A thread is that of one channel: the fallback knows nothing of it, nor it of the fallback's.
                said = message if name == channel else replace(message, thread=None)
                receipt = await self._through(lane, said, contacts.get(name) or lane.table.address, attempts)
                if receipt is not None:
                    receipt = receipt if name == channel else replace(receipt, thread=None)
                    return Outcome(message.key, name, receipt, tuple(attempts))
            name = LAST_RESORT if lane is None else lane.table.fallback
        log.error("page %.12s for %s reached nobody: %s", message.key, message.recipient, ", ".join(sorted(tried)))
        return Outcome(message.key, None, None, tuple(attempts))

    def heard(self, delivery: Delivery) -> bool:
        """Takes in what a provider told of a message that it accepted; whether that message is here."""
        awaited = self._awaited.get((delivery.key, delivery.channel))
        if awaited is not None and not awaited.done() and delivery.delivered is not None:
            awaited.set_result(delivery)
        return awaited is not None

    def answered(self, key: str) -> bool:
        """Whoever got the message with this key answered it, which proves that they have it; whether it is here."""
        found = [(channel, awaited) for (held, channel), awaited in self._awaited.items() if held == key]
        for channel, awaited in found:
            if not awaited.done():
                awaited.set_result(Delivery(key, channel, "", True, ANSWERED))
        return bool(found)

    def health(self) -> dict[str, Health]:
        """How each channel is."""
        now = asyncio.get_running_loop().time()
        return {
            name: Health(lane.breaker.failures, lane.breaker.resting_s(now), lane.last_ok_ms, lane.last_failure)
            for name, lane in self._lanes.items()
        }

    async def close(self) -> None:
        """Closes every channel."""
        for lane in self._lanes.values():
            await lane.channel.close()

    # --- one channel --------------------------------------------------------------------------------------------------

    async def _through(
        self, lane: _Lane, message: Message, address: str | None, attempts: list[Attempt]
    ) -> Receipt | None:
        """Tries one channel until it takes the message, or until its attempts or its budget are used up."""
        name, table, loop = lane.channel.name, lane.table, asyncio.get_running_loop()
        if address is None:
            attempts.append(self._skipped(message, name, "", "no_address", f"{message.recipient} has no address for it"))
            return None
        deadline = loop.time() + table.budget
        for number in range(table.attempts):
            turn = lane.bucket.take(loop.time(), deadline - loop.time())
            if turn is None:
                attempts.append(self._skipped(message, name, address, "limited", "its turn would come too late"))
                return None
            await asyncio.sleep(turn)
            if not lane.breaker.admits(loop.time()):
                detail = f"it failed {lane.breaker.failures} times in a row and is left alone"
                attempts.append(self._skipped(message, name, address, "resting", detail))
                return None
            attempt, receipt, wait = await self._once(lane, message, address, deadline)
            attempts.append(attempt)
            if receipt is not None or wait is None:
                return receipt
            jitter = self._random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number))
            wait = max(wait, jitter)
            if number + 1 == table.attempts or loop.time() + wait >= deadline:
                return None
            await asyncio.sleep(wait)
        return None

    async def _once(
        self, lane: _Lane, message: Message, address: str, deadline: float
    ) -> tuple[Attempt, Receipt | None, float | None]:
        """One attempt: the record, the receipt if it went through, and else after how many seconds it may be tried again,
        None for never."""
        loop, table, name = asyncio.get_running_loop(), lane.table, lane.channel.name
        began, at_ms = loop.time(), round(self._clock.now() * 1000)

        def record(result: Result, detail: str, receipt: str | None = None, maybe_sent: bool = False) -> Attempt:
            took_ms = round((loop.time() - began) * 1000)
            attempt = Attempt(at_ms, took_ms, name, masked_address(address), result, detail, receipt, maybe_sent)
            return self._told(message, attempt, lane)

        # Proof of delivery may come before the provider's answer has been read.
        awaited: asyncio.Future[Delivery] = loop.create_future()
        self._awaited[message.key, name] = awaited
        try:
            try:
                async with asyncio.timeout(min(table.timeout, deadline - began)):
                    receipt = await lane.channel.send(message, address)
            except Refused as error:
                lane.breaker.passed()  # it answers
                return record("refused", str(error)), None, None
            except (Unreachable, TimeoutError) as error:
                if isinstance(error, TimeoutError):
                    error = Unreachable(f"no answer within {loop.time() - began:.3g} s", maybe_sent=True)
                if error.retry_after_s is None:
                    lane.breaker.failed(loop.time())
                else:
                    lane.breaker.left()
                    lane.bucket.close(loop.time() + min(error.retry_after_s, LONGEST_REST_S))
                return record("unreachable", str(error), maybe_sent=error.maybe_sent), None, error.retry_after_s or 0.0
            except Exception as error:
                log.exception("channel %s failed in a way that it does not know", name)
                lane.breaker.failed(loop.time())
                return record("unreachable", f"failed with {type(error).__name__}", maybe_sent=True), None, 0.0
            lane.breaker.passed()
            if receipt.confirmed:
                return record("confirmed", receipt.detail, receipt.id), receipt, None
            if table.proof_s is None:
                return record("accepted", receipt.detail, receipt.id), receipt, None
            try:
                async with asyncio.timeout(table.proof_s):
                    told = await awaited
            except TimeoutError:
                detail = f"{receipt.detail}; no proof of delivery within {table.proof_s:g} s"
                return record("unconfirmed", detail, receipt.id, maybe_sent=True), None, None
            if told.delivered:
                proven = Receipt(receipt.id, told.detail, receipt.thread, confirmed=True)
                return record("confirmed", told.detail, receipt.id), proven, None
            return record("undelivered", told.detail, receipt.id), None, None
        finally:
            lane.breaker.left()
            self._awaited.pop((message.key, name), None)

    def _skipped(self, message: Message, channel: str, address: str, result: Result, detail: str) -> Attempt:
        shown = masked_address(address) if address else ""
        attempt = Attempt(round(self._clock.now() * 1000), 0, channel, shown, result, detail)
        return self._told(message, attempt, self._lanes.get(channel))

    def _told(self, message: Message, attempt: Attempt, lane: _Lane | None) -> Attempt:
        """Logs an attempt and notes how the channel is."""
        well = attempt.result in ("accepted", "confirmed")
        if lane is not None and well:
            lane.last_ok_ms = attempt.at_ms
        elif lane is not None:
            lane.last_failure = attempt
        log.log(
            logging.INFO if well else logging.WARNING,
            "page %.12s for %s through %s %s: %s, %s",
            message.key,
            message.recipient,
            attempt.channel,
            attempt.address,
            attempt.result,
            attempt.detail,
        )
        return attempt
