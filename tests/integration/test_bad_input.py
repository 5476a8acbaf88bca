"""What cannot be used ends in the dead letters, with the reason and its place; its neighbours count, the worker lives."""

from __future__ import annotations

import random
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord
from redis.asyncio import Redis

from rollups.tables import TableStore
from runtime.settings import Settings
from schemas.tables import TABLES
from tests.integration.conftest import Crew
from tests.integration.oracle import Event, Oracle
from tests.integration.tables import exact, pipeline, redis_of, written
from tests.support.events import HEADERS, encoded, event, failed, failed_sign_in, succeeded
from tests.support.topics import produce, read_all, send
from tests.support.wait import eventually_async

MANY = 10 * 1024 * 1024


@dataclass
class Bad:
    """A record that cannot be used, and what must be said of it."""

    value: bytes | None
    reason: str
    detail: str
    """A pattern."""
    subject: str = "payments"
    key: bytes | None = b"k"
    headers: list[tuple[str, bytes]] = field(default_factory=lambda: list(HEADERS))


def changed(now: float, **data: object) -> bytes:
    return encoded(failed(now, **data))


def without(now: float, name: str) -> bytes:
    one = failed(now)
    del one[name]
    return encoded(one)


def bad_records(now: float) -> dict[str, Bad]:
    year = 365 * 24 * 3600
    return {
        "not JSON": Bad(b"not JSON", "not_json", "byte 4: invalid character"),
        "cut short": Bad(encoded(failed(now))[:-3], "not_json", "ends too early"),
        "not UTF-8": Bad(b'{"id":"\xff"}', "not_json", "."),
        "a list": Bad(b"[1, 2]", "not_an_event", "an array"),
        "no value": Bad(None, "null_value", "no value"),
        "an empty value": Bad(b"", "null_value", "no value"),
        "ten megabytes": Bad(b'{"x":"' + b"x" * MANY + b'"}', "too_large", str(MANY + 8)),
        "deep nesting": Bad(b"[" * 5_000 + b"]" * 5_000, "not_json", "nested deeper"),
        "deep data": Bad(
            changed(now).replace(b'"ZAR"', b'{"a":' * 300 + b"1" + b"}" * 300), "not_json", "nested deeper"
        ),
        "no id": Bad(without(now, "id"), "not_an_event", "^id: "),
        "no data": Bad(without(now, "data"), "invalid_field", "^data: required"),
        "an unknown type": Bad(encoded(failed(now) | {"type": "payment.vanished"}), "unknown_type", "payment.vanished"),
        "text for a number": Bad(changed(now, amount="39900"), "invalid_field", '^data.amount: .*"39900"'),
        "a float for an integer": Bad(changed(now, amount=1.5), "invalid_field", "^data.amount: expected an integer"),
        "a bool for an integer": Bad(changed(now, amount=True), "invalid_field", "^data.amount: "),
        "null": Bad(changed(now, merchant=None), "invalid_field", "^data.merchant: null is refused"),
        "a negative amount": Bad(changed(now, amount=-1), "invalid_field", "^data.amount: .*at least 0"),
        "a huge integer": Bad(changed(now, amount=10**40), "invalid_field", "^data.amount: "),
        "an endless integer": Bad(
            changed(now, amount=7).replace(b'"amount":7', b'"amount":' + b"9" * 400), "invalid_field", "^data.amount: "
        ),
        "an unknown currency": Bad(changed(now, currency="ZZZ"), "invalid_field", "ISO 4217.*ZZZ"),
        "an unknown fault": Bad(changed(now, fault="gremlins"), "invalid_field", "^data.fault: .*gremlins"),
        "NUL in a text": Bad(changed(now, merchant="m\x00"), "invalid_field", "^data.merchant: .*control"),
        "a long text": Bad(changed(now, merchant="m" * 257), "invalid_field", "^data.merchant: .*256"),
        "no zone": Bad(encoded(failed(now) | {"time": "2026-11-23T08:00:00"}), "invalid_field", "^time: "),
        "a clock years ahead": Bad(changed(now + 5 * year), "from_future", "ahead of the broker's clock"),
        "a clock years behind": Bad(changed(now - 5 * year), "too_late", "beyond the amend horizon"),
        "seven hours late": Bad(changed(now - 7 * 3600), "too_late", "beyond the amend horizon of 6 h"),
        "another topic": Bad(changed(now), "wrong_topic", "topic of payments", subject="health"),
        "no key": Bad(b"{", "not_json", ".", key=None),
    }


def neighbours(now: float) -> list[Event]:
    return [failed(now + number / 100, merchant="smile 😀") for number in range(3)]


async def dead_letters(settings: Settings, count: int) -> list[ConsumerRecord]:
    """That many dead letters, once there are so many; one may come twice, so each place counts once."""
    places: dict[tuple[bytes, bytes, bytes], ConsumerRecord] = {}

    async def there() -> bool:
        assert settings.kafka is not None
        for record in await read_all(settings.kafka, settings.names.deadletters):
            told = dict(record.headers)
            places[told["tw_topic"], told["tw_partition"], told["tw_offset"]] = record
        assert len(places) >= count, f"{len(places)} of {count}"
        return True

    await eventually_async(there, "the dead letters are there", 60)
    assert len(places) == count
    return list(places.values())


async def test_each_ends_in_the_dead_letters_and_its_neighbours_count(installation: Settings, crew: Crew) -> None:
    now = time.time()
    bad, names = bad_records(now), installation.names
    worker = await crew.start(installation)
    pid, oracle = worker.pid, Oracle()
    assert installation.kafka is not None
    sent = {}
    for name, one in bad.items():
        around = neighbours(now)
        await produce(installation.kafka, names, around[:1], partition=0)
        topic = names.events(one.subject)
        (end,) = (await send(installation.kafka, [(topic, one.key, one.value)], one.headers, partition=0)).values()
        sent[topic, 0, end - 1] = name
        await produce(installation.kafka, names, around[1:], partition=0)
        for event_ in around:
            oracle.add(event_)
    letters = await dead_letters(installation, len(bad))

    for letter in letters:
        told = {name: value.decode() for name, value in letter.headers if name.startswith("tw_")}
        name = sent.pop((told["tw_topic"], int(told["tw_partition"]), int(told["tw_offset"])))
        one, value = bad[name], bad[name].value or b""
        assert told["tw_reason"] == one.reason, f"{name}: {told}"
        assert re.search(one.detail, told["tw_detail"]), f"{name}: {told}"
        assert told["tw_length"] == str(len(value)), name
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["tw_time"]), name
        assert (letter.key, letter.value or b"") == (one.key, value[: 64 * 1024]), name
        assert dict(letter.headers)["content-type"] == b"application/cloudevents+json", name
    assert not sent
    await exact(installation, oracle)
    counted = await pipeline(installation)
    for reason in {one.reason for one in bad.values()}:
        found = sum(count for (kind, what, _), count in counted.items() if (kind, what) == ("dead_letter", reason))
        assert found == sum(one.reason == reason for one in bad.values()), reason
    assert worker.running and worker.pid == pid
    await crew.leave()


async def test_what_is_unknown_counts_and_is_counted(installation: Settings, crew: Crew) -> None:
    now = time.time()
    events = [
        succeeded(now, colour="blue", size=[1, {"deep": None}]),
        succeeded(now) | {"traceparent": "00-ab", "vendor": "x"},
        succeeded(now, colour="red") | {"vendor": "y"},
        failed_sign_in(now) | {"vendor": "z"},
    ]
    await crew.start(installation)
    assert installation.kafka is not None

    await produce(installation.kafka, installation.names, events)

    await exact(installation, Oracle(events))
    expected = {
        ("unknown_field", "payment.succeeded", None): 2,
        ("extension", "payment.succeeded", None): 2,
        ("extension", "auth.failed", None): 1,
    }

    async def counted() -> bool:
        assert await pipeline(installation) == expected
        return True

    await eventually_async(counted)
    await crew.leave()


# --- card numbers -----------------------------------------------------------------------------------------------------

CARDS = ("4111111111111111", "5555555555554444", "378282246310005", "6011111111111117")
"""Numbers that card schemes publish for tests."""


def spelled(card: str) -> Iterator[bytes]:
    """The digits as they could appear: plain, in groups, and as JSON may escape them."""
    groups = [card[at : at + 4] for at in range(0, len(card), 4)]
    yield from (text.encode() for text in (card, " ".join(groups), "-".join(groups)))
    yield "".join(f"\\u{ord(digit):04x}" for digit in card).encode()


def with_cards(now: float) -> list[tuple[bytes, bytes, list[tuple[str, bytes]]]]:
    """(key, value, headers) of records with a card number wherever one can be; the first ones count, the last do not."""
    visa, master, amex, discover = CARDS
    grouped = " ".join(master[at : at + 4] for at in range(0, 16, 4))
    good: list[tuple[bytes, bytes, list[tuple[str, bytes]]]] = [
        (b"k", encoded(failed(now, merchant=visa)), HEADERS),
        (b"k", encoded(failed(now, transaction_id=master)), HEADERS),
        (b"k", encoded(failed(now, reason=f"declined {grouped}")), HEADERS),
        (b"k", encoded(failed(now, id=f"order {amex}")), HEADERS),
        (b"k", encoded(failed(now, source=f"/till/{discover}")), HEADERS),
        (b"k", encoded(failed(now) | {"subject": visa}), HEADERS),
        (visa.encode(), encoded(failed(now)), HEADERS),
        (b"k", encoded(failed(now)), [*HEADERS, ("note", b"card " + master.encode())]),
        (b"k", encoded(failed(now, merchant="@")).replace(b"@", b"\\u0034" + visa[1:].encode()), HEADERS),
        (b"k", encoded(failed(now, card_number=visa)), HEADERS),
    ]
    bad: list[tuple[bytes, bytes, list[tuple[str, bytes]]]] = [
        (amex.encode(), b"no JSON " + visa.encode(), [("note", discover.encode())]),
        (b"k", encoded(failed(now, amount=visa)), HEADERS),
        (b"k", encoded(failed(now, currency=grouped)), HEADERS),
        (b"k", encoded(failed(now) | {"type": f"paid by {master}"}), HEADERS),
        (b"k", encoded(failed(now - 8 * 3600, merchant=visa, source=f"/till {amex}")), HEADERS),
        (b"k", b"x" * (2 * 1024 * 1024) + visa.encode(), HEADERS),
        (b"k", visa.encode() + b" " + b"x" * (2 * 1024 * 1024), HEADERS),
    ]
    return [*good, *bad]


async def everything_in(redis: Redis, prefix: str) -> list[bytes]:
    """Every key of a namespace, and every value, unpacked where it is packed."""
    found: list[bytes] = []
    async for key in redis.scan_iter(f"{prefix}:*", count=500):
        found.append(key)
        kind = (await redis.type(key)).decode()
        if kind == "string":
            found.append(await redis.get(key) or b"")
        elif kind == "hash":
            for item in (await redis.hgetall(key)).items():
                found.extend(item)
        elif kind == "set":
            found.extend(await redis.smembers(key))
        else:
            assert kind == "zset", f"{key!r} is a {kind}, which nobody looks through"
            found.extend(await redis.zrange(key, 0, -1))
    return [*found, *map(_unpacked, found)]


def _unpacked(value: bytes) -> bytes:
    for start in (0, 1):  # merged rows have a version before
        try:
            return zlib.decompress(value[start:])
        except zlib.error:
            continue
    return b""


async def test_a_card_number_is_found_nowhere(installation: Settings, crew: Crew) -> None:
    now = time.time()
    records, names = with_cards(now), installation.names
    worker = await crew.start(installation, TILLWATCH_MASK_KEY="a key of this test, which nobody knows")
    assert installation.kafka is not None
    ends = {}
    for key, value, headers in records:
        ends |= await send(installation.kafka, [(names.events("payments"), key, value)], headers)
    await written(installation, ends)
    letters = await dead_letters(installation, 7)

    async def found() -> bool:
        counted = await _counts(installation)
        assert counted["payments"] == counted["merchants"] == 10
        return True

    await eventually_async(found, "the others count")
    await crew.leave()

    raw = [text for card in CARDS for text in spelled(card)]
    async with redis_of(installation) as redis:
        kept = await everything_in(redis, installation.namespace)
    assert any(b"issuer_timeout" in value for value in kept), "they are looked through unpacked"
    ours = [
        record
        for topic in (names.rollups, names.alerts, names.incidents)
        for record in await read_all(installation.kafka, topic)
    ]
    assert ours
    for text in raw:
        assert not [value for value in kept if text in value], f"{text!r} is in Redis"
        for record in [*ours, *letters]:
            held = [record.key or b"", record.value or b"", *(name.encode() + item for name, item in record.headers)]
            assert not [part for part in held if text in part], f"{text!r} is in {record.topic}"
        assert text.decode() not in worker.output
    counted = await _counts(installation, reason="card_number")
    assert counted["security"] == 10, "each finding in an event that counts is a security event"


async def _counts(settings: Settings, **wanted: str) -> dict[str, int]:
    """How much each table has counted, of what has these dimensions."""
    counts = {}
    async with redis_of(settings) as redis:
        for name, table in TABLES.items():
            rows = await TableStore(redis, settings.names).read(name, "1h")
            counts[name] = sum(
                cell.count
                for cells in rows.values()
                for key, cell in cells.items()
                if all(dict(zip(table.dimensions, key, strict=True)).get(part) == text for part, text in wanted.items())
            )
    return counts


async def test_ordinary_numbers_are_left_alone(installation: Settings, crew: Crew) -> None:
    rng, now = random.Random(5), time.time()
    numbers = [str(rng.randint(10**15, 2 * 10**15)) for _ in range(500)]  # no issuer's cards begin with 1
    assert sum(_luhn(number) for number in numbers) > 20, "a check of the last digit alone would take one in ten"
    events = [event("payment.succeeded", now, transaction_id=number, merchant=number) for number in numbers]
    await crew.start(installation)
    assert installation.kafka is not None

    await produce(installation.kafka, installation.names, events)

    await exact(installation, Oracle(events))
    assert (await _counts(installation))["security"] == 0
    await crew.leave()


def _luhn(digits: str) -> bool:
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0
