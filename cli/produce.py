"""`tillwatch produce`: events from a file or a pipe, one CloudEvent a line, each to the topic of its type."""

from __future__ import annotations

import asyncio
import difflib
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from cli import installation
from cli.terminal import FAILED, USAGE, err, fail, note, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.names import Names

READ_BYTES = 256 * 1024
LINE_BYTES = 16 * 1024 * 1024
BATCH_BYTES = 512 * 1024
TOLD_LINES = 10
KEY_FIELDS = ("transaction_id", "enrollment_id", "webhook_id", "actor", "component", "host")
CONTENT_TYPE = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


class NotAnEvent(ValueError):
    """A line that cannot be routed; the text says why."""


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a line goes. The key keeps what belongs together, and a repeat of an event, in one partition."""

    topic: str
    key: bytes | None
    headers: list[tuple[str, bytes]]


@dataclass(slots=True)
class Tally:
    """What became of the lines."""

    topics: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    failed: int = 0
    failure: str = ""

    @property
    def sent(self) -> int:
        return sum(self.topics.values()) - self.failed


def route(line: bytes, names: Names) -> Routed:
    """The topic and key of an event, after a look at its envelope; its data are the worker's to judge.

    Raises NotAnEvent.
    """
    import msgspec

    from schemas.events import EVERYWHERE, SUBJECT_OF

    try:
        event: Any = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise NotAnEvent(f"not JSON: {error}") from None
    if not isinstance(event, dict):
        raise NotAnEvent("expected a JSON object, one CloudEvent a line")
    if event.get("specversion") != "1.0":
        raise NotAnEvent('expected "specversion": "1.0"')
    for name in ("id", "source", "type", "time"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise NotAnEvent(f"expected {name!r} to be a text that is not empty")
    kind = event["type"]
    subject = SUBJECT_OF.get(kind)
    if subject is None:
        near = difflib.get_close_matches(kind, SUBJECT_OF, n=1)
        raise NotAnEvent(f"unknown type {kind!r}" + (f" (did you mean {near[0]}?)" if near else ""))
    if subject == EVERYWHERE:
        subject = "platform"
    return Routed(names.events(subject), _key(event), CONTENT_TYPE)


def _key(event: Mapping[str, Any]) -> bytes:
    data = event.get("data")
    if isinstance(data, dict):
        for name in KEY_FIELDS:
            value = data.get(name)
            if isinstance(value, str) and value:
                return value.encode()
    return str(event["source"]).encode()


def batches(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """The lines of a stream as they arrive, some at a time. Raises NotAnEvent for a line beyond 16 MiB."""
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    rest = b""
    while chunk := read(READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES:
            raise NotAnEvent("a line is longer than 16 MiB: is it one event a line?")
        if lines:
            yield [line.removesuffix(b"\r") for line in lines]
    if rest:
        yield [rest]


def produce(path: str, *, topic: str | None, raw: bool, rate: float | None, as_json: bool) -> int:
    """Sends the lines of a file (`-`: stdin) and says what became of them; the exit code."""
    if raw and topic is None:
        fail("--raw needs --topic: a line that is not looked at names no topic", USAGE)
    settings = installation.settings()
    name = "stdin" if path == "-" else path
    stream = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115
    began = time.monotonic()
    try:
        tally = asyncio.run(_Sending(settings, name, _topic(topic, settings.names), raw, rate).run(stream))
    finally:
        if path != "-":
            stream.close()
    took_s = time.monotonic() - began
    if as_json:
        print_json(
            {
                "sent": tally.sent,
                "refused": tally.refused,
                "failed": tally.failed,
                "topics": dict(tally.topics),
                "seconds": round(took_s, 3),
            }
        )
    else:
        say(_summary(tally, took_s))
    if tally.failed:
        note(f"error: {tally.failed} could not be sent: {tally.failure}", style="red")
    return FAILED if tally.refused or tally.failed else 0


def _topic(name: str | None, names: Names) -> str | None:
    """The full name of a topic that may be given by its subject alone."""
    known = (*names.event_topics, names.rollups, names.alerts, names.incidents, names.deadletters)
    if name is None or name in known:
        return name
    full = names.events(name)
    if full not in known:
        near = difflib.get_close_matches(name, [*known, *(names.subject(one) for one in known)], n=1)
        fail(f"--topic {name}: no such topic" + (f" (did you mean {near[0]}?)" if near else ""), USAGE)
    return full


def _summary(tally: Tally, took_s: float) -> str:
    parts = ", ".join(f"{count:,} to {topic}" for topic, count in tally.topics.most_common())
    text = f"sent {tally.sent:,} in {took_s:.1f} s" + (f": {parts}" if parts else "")
    return text + (f"; refused {tally.refused:,} before sending" if tally.refused else "")


class _Sending:
    def __init__(self, settings: Any, name: str, topic: str | None, raw: bool, rate: float | None) -> None:
        self._settings, self._name, self._topic, self._raw, self._rate = settings, name, topic, raw, rate
        self._tally = Tally()

    async def run(self, stream: IO[bytes]) -> Tally:
        from aiokafka import AIOKafkaProducer

        from runtime.kafka import address, topic_logs

        names, kafka = self._settings.names, address(self._settings)
        wanted = [self._topic] if self._topic is not None else list(names.event_topics)
        missing = sorted(set(wanted) - (await topic_logs(kafka, wanted)).keys())
        if missing:
            fail(f"no topic {', '.join(missing)}: run 'tillwatch setup topics' first")
        self._producer = AIOKafkaProducer(
            bootstrap_servers=kafka,
            client_id="tillwatch-produce",
            acks="all",
            linger_ms=5,
            max_batch_size=BATCH_BYTES,
            max_request_size=LINE_BYTES,
        )
        await self._producer.start()
        try:
            await self._all(stream)
        finally:
            await self._producer.stop()  # sends what is buffered
        return self._tally

    async def _all(self, stream: IO[bytes]) -> None:
        from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        console = err()
        number, began, source = 0, time.monotonic(), batches(stream)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("events read", total=None)
            while True:
                try:
                    lines = await asyncio.to_thread(next, source, None)
                except NotAnEvent as error:
                    self._refuse(number + 1, error)
                    return
                if lines is None:
                    return
                for line in lines:
                    number += 1
                    if self._rate is not None:
                        ahead_s = number / self._rate - (time.monotonic() - began)
                        if ahead_s > 0:
                            await asyncio.sleep(ahead_s)
                    await self._one(number, line)
                progress.update(task, completed=number)

    async def _one(self, number: int, line: bytes) -> None:
        if self._raw:
            assert self._topic is not None
            routed = Routed(self._topic, None, [])
        elif not line.strip():
            return
        else:
            try:
                routed = route(line, self._settings.names)
            except NotAnEvent as error:
                self._refuse(number, error)
                return
        await self._send(number, self._topic or routed.topic, routed, line)

    async def _send(self, number: int, topic: str, routed: Routed, line: bytes) -> None:
        from aiokafka.errors import MessageSizeTooLargeError

        try:
            sending = await self._producer.send(topic, line, key=routed.key, headers=routed.headers)
        except MessageSizeTooLargeError as error:
            self._refuse(number, NotAnEvent(str(error)))
            return
        self._tally.topics[topic] += 1
        sending.add_done_callback(self._done)

    def _done(self, sending: asyncio.Future[Any]) -> None:
        error = None if sending.cancelled() else sending.exception()
        if error is not None:
            self._tally.failed += 1
            self._tally.failure = str(error) or type(error).__name__

    def _refuse(self, number: int, error: NotAnEvent) -> None:
        self._tally.refused += 1
        if self._tally.refused <= TOLD_LINES:
            note(f"{self._name}:{number}: {error}", style="yellow")
        elif self._tally.refused == TOLD_LINES + 1:
            note("more lines were refused; they are counted below", style="yellow")
